"""Dense layers: forward, the way back, and the update, against the specification."""

import pytest
import torch

from fastgan import backends, ops
from fastgan.reference import linear as reference

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
from fastgan.kernels.gradients import (
    INPUT_GRADIENT_KERNEL,
    PASS_BEHIND,
    Behind,
    linear_input_gradient,
    pass_behind,
)
from fastgan.kernels.launch import forced
from fastgan.kernels.linear import LINEAR_FORWARD, linear_forward
from fastgan.kernels.masks import Mask
from fastgan.kernels.update import UPDATE_KERNEL, linear_update

ACTIVATIONS = ["linear", "relu", "sigmoid"]
KERNELS = [LINEAR_FORWARD, INPUT_GRADIENT_KERNEL, PASS_BEHIND, UPDATE_KERNEL]
# exp within 2 units in the last place (4 u), -x, 1 + it and a quotient within 2 of them.
N_SIGMOID = 10


def number(value: float, device: torch.device) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64, device=device)


def mask(device: torch.device, probability: float = 0.5, **others: int) -> Mask:
    return Mask(
        probability, torch.tensor(5, device=device), torch.tensor(7, device=device), 3, **others
    )


def check_forward(made: Layer, activation: str, *, has_bias: bool, device: torch.device) -> None:
    """Hold the output and its mask to the specification's bits."""
    bias = made.bias if has_bias else None
    expected = torch.empty_like(made.delta)
    reference.linear_forward(made.input, made.weight, bias, activation, expected)
    output, masked = Guarded(made.delta), Guarded(made.delta)
    linear_forward(
        made.input, made.weight, bias, activation, output.inside, mask(device), masked.inside
    )
    assert_same(output.result(), expected)
    assert_same(masked.result(), ops.dropout(expected, 0.5, 5, 7, 3, impl="reference"))


def check_backward(made: Layer, activation: str, *, is_masked: bool, device: torch.device) -> None:
    """Hold the way back, and what is passed on, to the specification's bits."""
    back = made.delta @ made.weight
    row_scale = made.row_scale if is_masked else None
    dropped = ops.dropout(back, 0.5, 5, 7, 3, impl="reference") if is_masked else back
    expected = torch.empty_like(back)
    reference.activation_delta(dropped, row_scale, activation, made.values, expected)
    behind = Behind(mask(device) if is_masked else None, row_scale, activation, made.values)
    gradient, passed = Guarded(back), Guarded(back)
    linear_input_gradient(made.delta, made.weight, behind, gradient.inside)
    assert_same(gradient.result(), expected)
    pass_behind(back, behind, passed.inside)
    assert_same(passed.result(), expected)


def check_update(made: Layer, *, is_scaled: bool, has_bias: bool, device: torch.device) -> None:
    """Hold weight, bias and their velocities to the specification's bits."""
    row_scale = made.row_scale if is_scaled else None
    before = [made.weight, made.velocity, made.bias, made.bias_velocity]
    expected = [tensor.clone() for tensor in before]
    state = [Guarded.copy_of(tensor) for tensor in before]
    n_moved = 4 if has_bias else 2
    nothing = [None] * (4 - n_moved)
    reference.linear_update(
        made.delta, row_scale, made.input, *expected[:n_moved], *nothing, 0.5, 0.25, None
    )
    linear_update(
        made.delta,
        row_scale,
        made.input,
        *[guarded.inside for guarded in state[:n_moved]],
        *nothing,
        number(0.5, device),
        number(0.25, device),
    )
    for guarded, tensor in zip(state, expected, strict=True):
        assert_same(guarded.result(), tensor)


def check_whole_numbers(
    shape: tuple[int, int, int], dtype: torch.dtype, device: torch.device, variant: int
) -> None:
    """Hold every kernel of a dense layer to the specification's bits."""
    made = layer(shape, dtype=dtype, device=device, whole=True)
    activation = ("linear", "relu")[variant % 2]
    check_forward(made, activation, has_bias=variant % 3 != 0, device=device)
    check_backward(made, activation, is_masked=variant % 3 != 1, device=device)
    check_update(made, is_scaled=variant % 2 == 0, has_bias=variant % 3 != 2, device=device)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("index", range(len(SHAPES)))
def test_whole_numbers_give_the_specifications_bits(index, dtype, device) -> None:
    check_whole_numbers(SHAPES[index], dtype, device, index)


@pytest.mark.parametrize("variant", range(6))
def test_every_way_to_call_gives_the_specifications_bits(variant, device) -> None:
    check_whole_numbers((35, 20, 67), torch.float32, device, variant)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a device takes its own configurations")
@pytest.mark.parametrize(("architecture", "configuration"), shipped(*KERNELS))
def test_every_shipped_configuration_gives_the_bits(architecture, configuration, device) -> None:
    with forced(architecture, configuration):
        check_whole_numbers((131, 133, 67), torch.float32, device, 2)
        check_whole_numbers((5, 9, 7), torch.float64, device, 3)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_forward_within_its_bound(shape, dtype, device) -> None:
    made = layer(shape, dtype=dtype, device=device, whole=False, seed=1)
    product = made.input.double() @ made.weight.double().t()
    bound = product_bound(made.input, made.weight.t())
    for activation, bias in (("relu", None), ("sigmoid", made.bias)):
        sums = product if bias is None else product + bias.double()
        of_sum = bound if bias is None else bound + gamma(2, dtype) * (sums.abs() + bound)
        exact = reference.activate(sums, activation)
        if activation == "sigmoid":  # of slope 1/4 at most, and its own roundings
            of_sum = of_sum / 4 + 2 * gamma(N_SIGMOID, dtype)
        output = Guarded(made.delta)
        linear_forward(made.input, made.weight, bias, activation, output.inside)
        assert_within(output.result(), exact, of_sum)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_backward_within_its_bound(shape, dtype, device) -> None:
    made = layer(shape, dtype=dtype, device=device, whole=False, seed=2)
    product = made.delta.double() @ made.weight.double()
    bound = product_bound(made.delta, made.weight, n_more=4)
    gradient = Guarded(made.values)
    linear_input_gradient(made.delta, made.weight, Behind(), gradient.inside)
    assert_within(gradient.result(), product, bound)

    factor = made.row_scale.double()[:, None] * ((1 - made.values) * made.values).double()
    behind = Behind(None, made.row_scale, "sigmoid", made.values)
    gradient = Guarded(made.values)
    linear_input_gradient(made.delta, made.weight, behind, gradient.inside)
    more = 2 * gamma(4, dtype) * (product * factor).abs()
    assert_within(gradient.result(), product * factor, bound * factor.abs() + more)

    scaled = made.row_scale[:, None] * made.delta
    lr, momentum = 0.1, 0.6  # neither is a float32
    state = [made.weight, made.velocity, made.bias, made.bias_velocity]
    weight, velocity, bias, bias_velocity = moved = [Guarded.copy_of(tensor) for tensor in state]
    linear_update(
        made.delta,
        made.row_scale,
        made.input,
        *[guarded.inside for guarded in moved],
        number(lr, device),
        number(momentum, device),
    )
    ones = torch.ones_like(scaled[:, :1])
    for right, before, speed_before, after, speed in (
        (made.input, made.weight, made.velocity, weight, velocity),
        (ones, made.bias[:, None], made.bias_velocity[:, None], bias, bias_velocity),
    ):
        sums = scaled.double().t() @ right.double()
        exact = momentum * speed_before.double() - lr * sums
        rounding = lr * product_bound(scaled.t(), right, n_more=5)
        rounding += 2 * gamma(4, dtype) * (momentum * speed_before.abs() + lr * sums.abs())
        assert_within(speed.result().view_as(exact), exact, rounding)
        exact = before.double() + exact
        rounding += 2 * gamma(1, dtype) * (exact.abs() + rounding)
        assert_within(after.result().view_as(exact), exact, rounding)


def test_one_gradient_for_every_row(device) -> None:
    made = layer((9, 21, 3), device=device, whole=False)
    one = made.input[:1]
    behind = Behind(mask(device, 0.8), made.row_scale, "relu", made.values - 0.5)
    got = Guarded(made.input)
    pass_behind(one, behind, got.inside)
    expected = torch.empty_like(made.input)
    dropped = ops.dropout(one.expand(9, 21).contiguous(), 0.8, 5, 7, 3, impl="reference")
    reference.activation_delta(dropped, made.row_scale, "relu", made.values - 0.5, expected)
    assert_same(got.result(), expected)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_what_is_not_a_finite_number_passes_as_in_the_specification(activation, device) -> None:
    odd = torch.tensor([torch.nan, torch.inf, -torch.inf, 0.0, -0.0, 1.0, -1.0], device=device)
    input = odd[:, None]
    weight = torch.ones(2, 1, device=device)
    expected, got = torch.empty(7, 2, device=device), torch.empty(7, 2, device=device)
    reference.linear_forward(input, weight, None, activation, expected)
    linear_forward(input, weight, None, activation, got)
    torch.testing.assert_close(
        got, expected, rtol=gamma(N_SIGMOID, torch.float32), atol=0, equal_nan=True
    )

    values = odd.repeat(7)[None, :]
    gradient = odd.repeat_interleave(7)[None, :]
    for row_scale in (None, odd[5:6]):
        expected, got = torch.empty_like(values), torch.empty_like(values)
        reference.activation_delta(gradient, row_scale, activation, values, expected)
        pass_behind(gradient, Behind(None, row_scale, activation, values), got)
        assert_same(got, expected)


def test_an_empty_batch(device) -> None:
    """No row: nothing is written, and an update is of momentum alone."""
    made = layer((3, 5, 4), device=device, whole=True)
    nothing = made.input[:0]
    linear_forward(nothing, made.weight, made.bias, "relu", made.delta[:0])
    linear_input_gradient(made.delta[:0], made.weight, Behind(), nothing)
    pass_behind(nothing, Behind(), nothing)
    weight, velocity = made.weight.clone(), made.velocity.clone()
    bias, bias_velocity = made.bias.clone(), made.bias_velocity.clone()
    half = number(0.5, device)
    linear_update(made.delta[:0], None, nothing, weight, velocity, bias, bias_velocity, half, half)
    assert_same(velocity, made.velocity / 2)
    assert_same(weight, made.weight + made.velocity / 2)
    assert_same(bias_velocity, made.bias_velocity / 2)
    assert_same(bias, made.bias + made.bias_velocity / 2)
