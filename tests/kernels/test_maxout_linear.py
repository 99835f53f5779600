"""Maxout layers: forward, the way back, and the update, against the specification."""

import pytest
import torch

from fastgan import backends, ops
from fastgan.reference import linear as linear_reference
from fastgan.reference.maxout_linear import maxout_linear

if not backends.has_triton():
    pytest.skip("triton is not installed", allow_module_level=True)

from dense_layers import (
    DTYPES,
    SHAPES,
    Guarded,
    Layer,
    assert_same,
    assert_within,
    gamma,
    layer,
    product_bound,
    shipped,
)
from fastgan.kernels.gradients import INPUT_GRADIENT_KERNEL, Behind, maxout_input_gradient
from fastgan.kernels.launch import forced
from fastgan.kernels.masks import Mask
from fastgan.kernels.maxout_linear import MAXOUT_FORWARD, maxout_forward
from fastgan.kernels.update import UPDATE_KERNEL, maxout_update, maxout_weight_gradient

KERNELS = [MAXOUT_FORWARD, INPUT_GRADIENT_KERNEL, UPDATE_KERNEL]
DRAW = {"include_probability": 0.5, "seed": 5, "step": 7, "stream": 3}


def number(value: float, device: torch.device) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64, device=device)


def mask(device: torch.device) -> Mask:
    return Mask(0.5, torch.tensor(5, device=device), torch.tensor(7, device=device), 3)


def forward(made: Layer, drawn: Mask | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    values, winner = Guarded(made.delta), Guarded(made.winner)
    maxout_forward(
        made.input, made.weight, made.bias, made.n_pieces, drawn, values.inside, winner.inside
    )
    return values.result(), winner.result()


def check_whole_numbers(
    shape: tuple[int, int, int],
    n_pieces: int,
    dtype: torch.dtype,
    device: torch.device,
    *,
    is_masked: bool,
) -> None:
    """Hold every kernel of a maxout layer to the specification's bits; ties are many."""
    made = layer(shape, n_pieces, dtype=dtype, device=device, whole=True, seed=n_pieces)
    drawn = mask(device) if is_masked else None
    row_scale = made.row_scale if is_masked else None
    values, winner = forward(made, drawn)
    expected, of_expected = maxout_linear(
        made.input, made.weight, made.bias, n_pieces, **(DRAW if is_masked else {})
    )
    assert_same(values, expected)
    assert torch.equal(winner, of_expected)

    back = made.sparse_delta @ made.weight
    dropped = ops.dropout(back, 0.5, 5, 7, 3, impl="reference") if is_masked else back
    expected = torch.empty_like(back)
    linear_reference.activation_delta(dropped, row_scale, "relu", made.values, expected)
    gradient = Guarded(back)
    behind = Behind(drawn, row_scale, "relu", made.values)
    maxout_input_gradient(made.delta, made.winner, n_pieces, made.weight, behind, gradient.inside)
    assert_same(gradient.result(), expected)

    before = [made.weight, made.velocity, made.bias, made.bias_velocity]
    of_specification = [tensor.clone() for tensor in before]
    linear_reference.linear_update(
        made.sparse_delta, row_scale, made.input, *of_specification, 0.5, 0.25, None
    )
    state = [Guarded.copy_of(tensor) for tensor in before]
    maxout_update(
        made.delta,
        made.winner,
        n_pieces,
        row_scale,
        made.input,
        *[guarded.inside for guarded in state],
        number(0.5, device),
        number(0.25, device),
    )
    for guarded, tensor in zip(state, of_specification, strict=True):
        assert_same(guarded.result(), tensor)

    of_weight, of_bias = Guarded(made.weight), Guarded(made.bias)
    maxout_weight_gradient(
        made.delta, made.winner, n_pieces, made.input, of_weight.inside, of_bias.inside
    )
    assert_same(of_weight.result(), made.sparse_delta.t() @ made.input)
    assert_same(of_bias.result(), made.sparse_delta.sum(dim=0))


@pytest.mark.parametrize("index", range(len(SHAPES)))
def test_whole_numbers_give_the_specifications_bits(index, device) -> None:
    n_pieces = (5, 2, 3)[index % 3]
    dtype = DTYPES[index % 2]
    check_whole_numbers(SHAPES[index], n_pieces, dtype, device, is_masked=index % 4 < 2)


@pytest.mark.parametrize("n_pieces", range(1, 9))
def test_any_number_of_pieces_gives_the_specifications_bits(n_pieces, device) -> None:
    check_whole_numbers((33, 19, 7), n_pieces, torch.float32, device, is_masked=n_pieces % 2 == 0)


def test_as_many_pieces_as_a_winner_can_name(device) -> None:
    check_whole_numbers((3, 2, 2), 256, torch.float32, device, is_masked=True)
    made = layer((1, 1, 1), 256, device=device, whole=True)
    made.bias.zero_()
    made.weight.zero_()
    made.bias[255] = 1
    values, winner = forward(made)
    assert values.item() == 1
    assert winner.item() == 255


@pytest.mark.skipif(torch.cuda.is_available(), reason="a device takes its own configurations")
@pytest.mark.parametrize(("architecture", "configuration"), shipped(*KERNELS))
def test_every_shipped_configuration_gives_the_bits(architecture, configuration, device) -> None:
    with forced(architecture, configuration):
        check_whole_numbers((131, 37, 67), 3, torch.float32, device, is_masked=True)
        check_whole_numbers((5, 9, 7), 2, torch.float64, device, is_masked=False)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "n_pieces"), [((7, 3072, 3), 2), ((129, 240, 20), 5)])
def test_random_numbers_within_their_bound(shape, n_pieces, dtype, device) -> None:
    made = layer(shape, n_pieces, dtype=dtype, device=device, whole=False, seed=3)
    n_rows, _, n_units = shape
    pieces = made.input.double() @ made.weight.double().t() + made.bias.double()
    bound = product_bound(made.input, made.weight.t())
    bound = (bound + gamma(2, dtype) * (pieces.abs() + bound)).reshape(n_rows, n_units, n_pieces)
    pieces = pieces.reshape(n_rows, n_units, n_pieces)
    values, winner = forward(made)
    assert_within(values, pieces.max(dim=2).values, bound.max(dim=2).values)
    of_winner = pieces.gather(2, winner.long().unsqueeze(2)).squeeze(2)
    assert_within(values, of_winner, bound.max(dim=2).values)

    sparse = made.sparse_delta
    gradient = Guarded(made.input)
    maxout_input_gradient(made.delta, made.winner, n_pieces, made.weight, Behind(), gradient.inside)
    exact = sparse.double() @ made.weight.double()
    assert_within(gradient.result(), exact, product_bound(sparse, made.weight))

    of_weight, of_bias = Guarded(made.weight), Guarded(made.bias)
    maxout_weight_gradient(
        made.delta, made.winner, n_pieces, made.input, of_weight.inside, of_bias.inside
    )
    exact = sparse.double().t() @ made.input.double()
    assert_within(of_weight.result(), exact, product_bound(sparse.t(), made.input))
    ones = torch.ones_like(sparse[:, :1])
    exact = sparse.double().sum(dim=0)
    assert_within(of_bias.result(), exact, product_bound(sparse.t(), ones)[:, 0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_a_finite_number_wins_as_in_the_specification(dtype, device) -> None:
    """Every triple of odd numbers, as three pieces of a unit: the first NaN, else the maximum."""
    odd = [torch.nan, torch.inf, -torch.inf, 0.0, -0.0, 1.0, -1.0]
    triples = torch.cartesian_prod(*[torch.tensor(odd, dtype=dtype)] * 3)
    bias = triples.flatten().to(device)
    weight = torch.zeros(len(bias), 1, dtype=dtype, device=device)
    input = torch.ones(2, 1, dtype=dtype, device=device)
    expected, of_expected = maxout_linear(input, weight, bias, 3)
    values = torch.zeros_like(expected)
    winner = torch.full_like(of_expected, 9)
    maxout_forward(input, weight, bias, 3, None, values, winner)
    assert_same(values, expected)
    assert torch.equal(winner, of_expected)


def test_a_nan_of_one_row_stays_in_its_row(device) -> None:
    made = layer((40, 20, 9), 3, device=device, whole=True)
    made.input[17, 3] = torch.nan
    values, _ = forward(made)
    assert values.isnan().all(dim=1).tolist() == [row == 17 for row in range(40)]


def test_a_nan_of_a_delta_reaches_only_its_winner(device) -> None:
    """Where a piece did not win its gradient is zero, not zero times the unit's."""
    made = layer((40, 20, 9), 3, device=device, whole=True)
    made.delta[17, 4] = torch.nan
    of_weight, of_bias = torch.empty_like(made.weight), torch.empty_like(made.bias)
    maxout_weight_gradient(made.delta, made.winner, 3, made.input, of_weight, of_bias)
    piece = 4 * 3 + int(made.winner[17, 4])
    assert of_bias.isnan().nonzero().flatten().tolist() == [piece]
    assert of_weight.isnan().any(dim=1).nonzero().flatten().tolist() == [piece]


def test_an_empty_batch(device) -> None:
    made = layer((3, 5, 4), 2, device=device, whole=True)
    nothing = made.input[:0], made.delta[:0], made.winner[:0]
    maxout_forward(nothing[0], made.weight, made.bias, 2, None, nothing[1], nothing[2])
    maxout_input_gradient(nothing[1], nothing[2], 2, made.weight, Behind(), nothing[0])
    of_weight, of_bias = Guarded(made.weight), Guarded(made.bias)
    maxout_weight_gradient(nothing[1], nothing[2], 2, nothing[0], of_weight.inside, of_bias.inside)
    assert_same(of_weight.result(), torch.zeros_like(made.weight))
    assert_same(of_bias.result(), torch.zeros_like(made.bias))
