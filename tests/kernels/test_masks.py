"""Masks drawn in tiles have the bits of the core's, wherever a matrix or a pass begins."""

import itertools

import pytest
import torch

from fastgan import backends, ops

if not backends.has_triton():
    pytest.skip("triton is not installed", allow_module_level=True)

from dense_layers import assert_same
from fastgan.kernels.gradients import Behind, pass_behind
from fastgan.kernels.masks import Mask

# signs, and numbers that differ in every bit from a float's or an int32's
DRAWS = [(1, 2, 3), (-3, 2**32 - 1, 2**32 - 1), (2**40 + 1, 2**31, 16), (-(2**63), 7, 0)]
FIRST_ROWS = [0, 1, 2**31 - 3, 2**33 + 6]
N_COLUMNS = [1, 2, 3, 4, 7, 64, 66, 68, 100]  # some rows are whole blocks of four words, some not


def drawn(input: torch.Tensor, mask: Mask) -> torch.Tensor:
    output = torch.full_like(input, torch.nan)
    pass_behind(input, Behind(mask), output)
    return output


def core(input: torch.Tensor, probability: float, *draw: int) -> torch.Tensor:
    """Return dropout as C++ draws it."""
    seed, step, stream, first_row = draw
    return ops.dropout(input.cpu(), probability, seed, step, stream, first_row, impl="native").to(
        input.device
    )


@pytest.mark.parametrize("n_columns", N_COLUMNS)
def test_masks_have_the_cores_bits(n_columns, device) -> None:
    input = 1 + torch.rand(5, n_columns, device=device)
    for number, (draw, first_row) in enumerate(itertools.product(DRAWS, FIRST_ROWS)):
        seed, step, stream = draw
        probability = (0.5, 1 / 3, 0.8)[number % 3]
        tensors = torch.tensor(seed, device=device), torch.tensor(step, device=device)
        mask = Mask(probability, *tensors, stream, first_row=first_row)
        assert_same(drawn(input, mask), core(input, probability, *draw, first_row))


@pytest.mark.parametrize("n_columns", [3, 8, 130])
@pytest.mark.parametrize("n_first_rows", [0, 1, 33, 40, 71])
def test_two_passes_in_one_matrix(n_columns, n_first_rows, device) -> None:
    """The second pass numbers its rows anew and draws from a stream of its own."""
    input = 1 + torch.rand(71, n_columns, dtype=torch.float64, device=device)
    seed, step = torch.tensor(9, device=device), torch.tensor(4, device=device)
    mask = Mask(0.5, seed, step, 6, 2**32 - 2, n_first_rows, 2**33)
    expected = torch.cat(
        [
            core(input[:n_first_rows], 0.5, 9, 4, 6, 2**33),
            core(input[n_first_rows:], 0.5, 9, 4, 2**32 - 2, 2**33),
        ]
    )
    assert_same(drawn(input, mask), expected)


@pytest.mark.parametrize("probability", [1.0, 1.0 - 2.0**-40])
def test_all_are_kept_and_none_is_drawn(probability, device) -> None:
    """A probability that rounds to one keeps everything."""
    input = torch.tensor([[1.0, torch.nan, -torch.inf, 3.0]], device=device)
    seed = torch.tensor(1, device=device)
    mask = Mask(probability, seed, seed, 3)
    assert mask.threshold == 2**32
    expected = input if probability == 1 else input * (1 / probability)
    assert_same(drawn(input, mask), expected)


def test_a_dropped_nan_is_zero(device) -> None:
    input = torch.full((8, 16), torch.nan, device=device)
    seed = torch.tensor(1, device=device)
    output = drawn(input, Mask(0.5, seed, seed, 3))
    dropped = core(torch.ones_like(input), 0.5, 1, 1, 3, 0) == 0
    assert dropped.any()
    assert (output[dropped] == 0).all()
    assert output[~dropped].isnan().all()
