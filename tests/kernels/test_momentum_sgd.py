"""The kernels of the update and of the limit on norms, against the specification."""

import pytest
import torch

from fastgan import backends
from fastgan.reference import momentum_sgd as reference

if not backends.has_triton():
    pytest.skip("triton is not installed", allow_module_level=True)

from dense_layers import DTYPES, U, assert_same, shipped
from fastgan.kernels.launch import forced
from fastgan.kernels.momentum_sgd import LIMIT_NORMS, MOMENTUM_SGD, limit_norms, momentum_sgd

SHAPES = [(0, 3), (1,), (1023,), (2050,), (3, 1), (3, 784), (2, 1500)]


def number(value: float, device: torch.device) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64, device=device)


def check(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
    """Hold the velocity to the specification's bits, and the weight where nothing is limited."""
    lr, momentum = number(0.1, device), number(0.7, device)
    for max_norm in (None, 0.6, 100.0) if len(shape) == 2 else (None,):
        weight, velocity, gradient = torch.randn(3, *shape, dtype=dtype).to(device)
        expected = [weight.clone(), velocity.clone()]
        reference.momentum_sgd(*expected, gradient, lr, momentum, max_norm)
        alone = weight.clone()
        momentum_sgd(weight, velocity, gradient, lr, momentum, max_norm)
        assert_same(velocity, expected[1])
        # the order of a sum of positive float64, then one rounding of the factor and of the product
        bound = 0 if max_norm is None else 4 * U[dtype]
        torch.testing.assert_close(weight, expected[0], rtol=bound, atol=0)
        if max_norm is not None:
            limit_norms(alone.add_(velocity), max_norm)
            assert_same(alone, weight)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_update_equals_the_specification(shape, dtype, device) -> None:
    check(shape, dtype, device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a device takes its own configurations")
@pytest.mark.parametrize(("architecture", "configuration"), shipped(MOMENTUM_SGD, LIMIT_NORMS))
def test_every_shipped_configuration(architecture, configuration, device) -> None:
    with forced(architecture, configuration):
        check((3, 2500), torch.float32, device)


@pytest.mark.parametrize("dtype", DTYPES)
def test_norms_are_limited_and_small_ones_shrink_by_epsilon_alone(dtype, device) -> None:
    weight = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]], dtype=dtype, device=device)
    expected = weight.double()
    norm = torch.tensor([[5.0], [expected[1].square().sum().sqrt()], [0.0]], dtype=torch.float64)
    expected *= (norm.clamp(max=2.0) / (1e-7 + norm)).to(device)
    limit_norms(weight, 2.0)
    torch.testing.assert_close(weight.double(), expected, rtol=4 * U[dtype], atol=0)


def test_squares_beyond_float32_are_summed_in_float64(device) -> None:
    """A norm of 5e30 has squares that float32 cannot hold."""
    weight = torch.tensor([[3e30, 4e30]], device=device)
    moved, velocity = weight.clone(), torch.zeros_like(weight)
    limit_norms(weight, 1e10)
    expected = torch.tensor([[0.6e10, 0.8e10]], device=device)
    torch.testing.assert_close(weight, expected, rtol=4 * U[torch.float32], atol=0)
    zero = number(0.0, device)
    momentum_sgd(moved, velocity, torch.zeros_like(weight), zero, zero, 1e10)
    assert_same(moved, weight)


def test_a_row_that_is_not_finite_stays_so(device) -> None:
    weight = torch.tensor([[1.0, torch.nan], [1.0, torch.inf], [6.0, 8.0]], device=device)
    limit_norms(weight, 1.0)
    assert weight[0].isnan().all()
    assert weight[1].tolist()[0] == 0
    assert weight[1].isnan().tolist() == [False, True]
    torch.testing.assert_close(weight[2].tolist(), [0.6, 0.8], rtol=1e-6, atol=0)
