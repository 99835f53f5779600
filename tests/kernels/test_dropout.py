"""The kernel of dropout has the reference's bits, forward and backward."""

import itertools

import pytest
import torch

from fastgan import backends, ops

if not backends.has_triton():
    pytest.skip("triton is not installed", allow_module_level=True)

from dense_layers import DTYPES, assert_same, shipped
from fastgan.kernels.dropout import DROPOUT
from fastgan.kernels.launch import forced

SHAPES = [(0, 5), (1,), (3,), (7, 5), (5, 2, 3), (16, 1000)]


@pytest.mark.parametrize("first_row", [0, 1, 2**33 + 6])
@pytest.mark.parametrize("dtype", DTYPES)
def test_forward_and_backward_have_the_references_bits(dtype, first_row, device) -> None:
    draws = [(-3, 2**32 - 1), (2**40 + 1, 1)], [0.5, 1 / 3, 2.0**-40]
    step = torch.tensor(2**32 - 1, device=device)
    for shape, (draw, probability) in zip(SHAPES, itertools.product(*draws), strict=True):
        seed, stream = torch.tensor(draw[0], device=device), draw[1]
        input = torch.randn(shape, dtype=dtype, device=device, requires_grad=True)
        arguments = (input, probability, seed, step, stream, first_row)
        expected = ops.dropout(*arguments, impl="reference")
        got = ops.dropout(*arguments, impl="triton")
        assert_same(got, expected)
        gradient = torch.randn(shape, dtype=dtype, device=device)
        assert_same(
            torch.autograd.grad(got, input, gradient)[0],
            torch.autograd.grad(expected, input, gradient)[0],
        )


@pytest.mark.skipif(torch.cuda.is_available(), reason="a device takes its own configurations")
@pytest.mark.parametrize(("architecture", "configuration"), shipped(DROPOUT))
def test_every_shipped_configuration_has_the_bits(architecture, configuration, device) -> None:
    input = torch.randn(9, 333, device=device)
    seed = torch.tensor(11, device=device)
    expected = ops.dropout(input, 0.5, seed, seed, 3, 1, impl="reference")
    with forced(architecture, configuration):
        assert_same(ops.dropout(input, 0.5, seed, seed, 3, 1, impl="triton"), expected)
