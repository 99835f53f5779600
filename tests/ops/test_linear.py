"""The products of a dense layer against the specification: exact, in float64 and in float32."""

import numpy as np
import pytest
import torch
from linear_cases import (
    ACTIVATIONS,
    DTYPES,
    SHAPES,
    TINY,
    Layer,
    Move,
    U,
    guarded,
    layer,
    untouched_around,
    whole_numbers,
)

from fastgan import _core

DENSITIES = [1.0, 0.5, 0.1]
# exp within 2 units in the last place (4 u), 1 + it, the quotient and the rounding of -x.
N_SIGMOID = 8


def gamma(n, dtype):
    """Bound the relative error of n roundings (Higham, Accuracy and Stability, lemma 3.1)."""
    u = U[dtype]
    return n * u / (1 - n * u)


def assert_within(got, exact, bound):
    assert np.isfinite(got).all()
    excess = np.abs(got.astype(np.float64) - exact) - bound
    assert excess.max() <= 0, f"{excess.max():g} beyond the bound, at {excess.argmax()}"


def product_bound(a, b, dtype, n_more=0):
    """Bound the error of a @ b in any order, after n_more further roundings.

    To twice the last place of float64 where that is the dtype: the truth is rounded as well.
    """
    n_terms = a.shape[1]
    n_times = 1 if dtype is np.float32 else 2
    return (
        n_times * gamma(n_terms + n_more, dtype) * (np.abs(a) @ np.abs(b)) + n_terms * TINY[dtype]
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_whole_numbers_give_the_specifications_bits(activation, dtype, simd_level) -> None:
    move = Move(lr=0.5, momentum=0.5)
    for index, shape in enumerate(SHAPES):
        made = whole_numbers(shape, dtype, DENSITIES[index % 3])
        has_bias, is_scaled, n_threads = index % 2 == 0, index % 3 == 0, (1, 2, 5)[index % 3]
        output = made.forward(activation, n_threads, has_bias)
        np.testing.assert_array_equal(output, made.reference_forward(activation, has_bias))
        np.testing.assert_array_equal(made.input_gradient(n_threads), made.delta @ made.weight)
        moved = made.update(move, n_threads, is_scaled, has_bias)
        expected = made.reference_update(move, is_scaled, has_bias)
        for got, wanted in zip(moved, expected, strict=True):
            np.testing.assert_array_equal(got, wanted)
        if not has_bias:
            np.testing.assert_array_equal(moved[2], made.bias)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("has_bias", [False, True])
def test_forward_is_within_its_rounding(has_bias, activation, dtype, simd_level) -> None:
    for shape in SHAPES:
        made = layer(shape, dtype)
        exact = made.exact()
        sums = exact.input @ exact.weight.T
        bound = product_bound(exact.input, exact.weight.T, dtype, 1)
        if has_bias:
            sums += exact.bias
            bound += 2 * gamma(1, dtype) * np.abs(exact.bias)
        truth = exact.reference_forward(activation, has_bias)
        if activation == "sigmoid":  # whose slope is at most 1/4
            bound = bound / 4 + 2 * gamma(N_SIGMOID, dtype) * truth + 2 * TINY[dtype]
        assert_within(made.forward(activation, bias=has_bias), truth, bound)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("density", DENSITIES)
def test_input_gradient_is_within_its_rounding(density, dtype, simd_level) -> None:
    for shape in SHAPES:
        made = layer(shape, dtype, density)
        exact = made.exact()
        truth = exact.delta @ exact.weight
        assert_within(made.input_gradient(), truth, product_bound(exact.delta, exact.weight, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("max_norm", [None, 0.7])
def test_update_is_within_its_rounding(max_norm, density, dtype, simd_level) -> None:
    for index, shape in enumerate(SHAPES):
        made = layer(shape, dtype, density)
        exact = made.exact()
        move, is_scaled = Move(max_norm=max_norm), index % 2 == 0
        truth = exact.reference_update(move, is_scaled)
        scale = exact.row_scale[:, None] if is_scaled else 1.0
        # the rate, momentum and scale are rounded, and so is each product with them and the sum
        of_gradient = move.lr * product_bound((scale * exact.delta).T, exact.input, dtype, 6)
        kept = 4 * gamma(2, dtype) * np.abs(move.momentum * exact.velocity)
        of_velocity = of_gradient + kept + 2 * gamma(1, dtype) * np.abs(truth[1])
        moved = exact.weight + truth[1]
        of_weight = of_velocity + 2 * gamma(1, dtype) * np.abs(moved)
        of_weight += gamma(1, dtype) * of_velocity
        if max_norm is not None:
            of_weight = limited_bound(moved, of_weight, max_norm, dtype)
        of_bias_gradient = move.lr * product_bound(
            (scale * exact.delta).T, np.ones((shape[0], 1)), dtype, 6
        )
        of_bias_velocity = of_bias_gradient[:, 0] + 4 * gamma(2, dtype) * np.abs(
            move.momentum * exact.bias_velocity
        )
        of_bias_velocity += 2 * gamma(1, dtype) * np.abs(truth[3])
        of_bias = of_bias_velocity * (1 + U[dtype]) + 2 * gamma(1, dtype) * np.abs(truth[2])
        bounds = [of_weight, of_velocity, of_bias, of_bias_velocity]
        got = made.update(move, scaled=is_scaled)
        for array, wanted, bound in zip(got, truth, bounds, strict=True):
            assert_within(array, wanted, bound)


def limited_bound(weight, error, max_norm, dtype):
    """Carry errors through w min(|w|, c) / (1e-7 + |w|), whose norm is summed in double."""
    norm = np.sqrt((weight**2).sum(axis=1, keepdims=True))
    error_of_norm = np.sqrt((error**2).sum(axis=1, keepdims=True))
    error_of_norm += gamma(weight.shape[1] + 2, np.float64) * norm
    least = np.maximum(norm - error_of_norm, 0.0) + 1e-7
    factor = np.minimum(norm, max_norm) / (1e-7 + norm)
    # |d factor / d norm| <= c / (1e-7 + |w|)^2 above c, and <= 1e-7 / (1e-7 + |w|)^2 below it
    slope = max_norm / least**2
    above = norm + error_of_norm >= max_norm
    of_factor = np.where(above, slope * error_of_norm, 1e-7 / least**2 * error_of_norm)
    of_factor += 2 * gamma(4, dtype) * factor
    return error * (factor + of_factor) + np.abs(weight) * of_factor + 2 * TINY[dtype]


def test_norms_end_at_the_limit(simd_level) -> None:
    for dtype in DTYPES:
        made = layer((7, 100, 83), dtype)
        made.weight[::2] *= 1e-3  # some rows are well below it
        free = made.update(Move())[0].astype(np.float64)
        limit = float(np.median(np.linalg.norm(free, axis=1)))
        weight, velocity, *_ = made.update(Move(max_norm=limit))
        norms = np.linalg.norm(weight.astype(np.float64), axis=1)
        was_above = np.linalg.norm(free, axis=1) > limit
        assert was_above.any()
        assert not was_above.all()
        np.testing.assert_allclose(norms[was_above], limit, rtol=2e-7)
        np.testing.assert_allclose(weight[~was_above], free[~was_above], rtol=3e-7)
        np.testing.assert_array_equal(velocity, made.update(Move())[1])


def special(dtype):
    """Return numbers at the ends of a dtype's range."""
    largest = np.finfo(dtype).max
    ends = [np.nan, np.inf, -np.inf, 0.0, -0.0, largest, -largest, 90.0, -90.0, 800.0, -800.0, 1.0]
    return np.array(ends, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_of_nan_and_infinity_are_torchs(activation, dtype, simd_level) -> None:
    """A sigmoid may end at twice the smallest normal number where torch's goes on to 0."""
    # as biases, as products, and in a row of every length that a register may end in
    for n_units in (*range(1, 20), 64, 65, 83):
        bias = np.resize(special(dtype), n_units)
        made = layer((3, 2, n_units), dtype)
        made.weight[:], made.bias = 0, bias
        got = made.forward(activation)
        made.weight[:, 0], made.bias, made.input[:] = bias, np.zeros_like(bias), [1, 0]
        of_products = made.forward(activation, bias=False)
        with np.errstate(all="ignore"):
            expected = made.reference_forward(activation)
        for output in (got, of_products):
            np.testing.assert_allclose(
                output, expected, rtol=4 * N_SIGMOID * U[dtype], atol=2 * TINY[dtype]
            )
        if activation == "relu":
            assert np.isnan(got[:, 0]).all()
            assert not np.signbit(got[:, bias == 0]).any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_reaches_all_that_it_is_a_factor_of_and_nothing_else(dtype, simd_level) -> None:
    for density in (1.0, 0.1):
        made = layer((9, 33, 50), dtype, density)
        made.delta[4, 17] = np.nan
        gradient = made.input_gradient()
        assert np.isnan(gradient[4]).all()
        assert np.isfinite(np.delete(gradient, 4, axis=0)).all()
        for array in made.update(Move(max_norm=1.0)):
            assert np.isnan(array[17]).all()
            assert np.isfinite(np.delete(array, 17, axis=0)).all()
    made = layer((9, 33, 50), dtype)
    made.input[4, 32] = np.nan
    output = made.forward()
    assert np.isnan(output[4]).all()
    assert np.isfinite(np.delete(output, 4, axis=0)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("is_scaled", [False, True])
def test_activation_delta(is_scaled, activation, dtype, simd_level) -> None:
    """Bits of the specification: no operation of it is anything but one rounding."""
    for n_rows, n_columns, n_threads in [
        (1, 1, 1),
        (5, 17, 2),
        (7, 100, 1),
        (100, 83, 2),
        (33, 1200, 5),
        (0, 4, 1),
    ]:
        random = np.random.default_rng(n_columns)
        gradient = random.standard_normal((n_rows, n_columns)).astype(dtype)
        values = random.uniform(-0.5, 1.0, gradient.shape).astype(dtype)
        values[:, ::5] = 0
        values[:, 3::11] = np.nan
        gradient[:, 2::13] = np.nan
        gradient[:, 4::7] = -np.inf
        scale = random.uniform(0.5, 2.0, n_rows).astype(dtype) if is_scaled else None
        delta = guarded(gradient.shape, dtype)
        _core.activation_delta(gradient, scale, 1.0, 0, 0, 0, activation, values, delta, n_threads)
        scaled = torch.from_numpy(gradient)
        if scale is not None:
            scaled = torch.from_numpy(scale).unsqueeze(1) * scaled
        y = torch.from_numpy(values)
        if activation == "relu":
            scaled = torch.where(y <= 0, 0.0, scaled)
        elif activation == "sigmoid":
            scaled = scaled * ((1.0 - y) * y)
        np.testing.assert_array_equal(untouched_around(delta), scaled.numpy())


def test_layer_of_no_rows(simd_level) -> None:
    made = layer((0, 3, 5))
    assert isinstance(made, Layer)
    assert made.forward("relu").shape == (0, 5)
    assert made.input_gradient().shape == (0, 3)
    for got, wanted in zip(made.update(Move()), made.reference_update(Move()), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_a_weight_without_features_or_units_is_refused():
    nothing = np.zeros((3, 0))
    some = np.zeros((3, 2))
    with pytest.raises(ValueError, match=r"weight: expected 2 dimensions .*, at least 1 of each"):
        _core.linear_input_gradient(some, np.zeros((2, 0)), nothing, 1)
    with pytest.raises(ValueError, match=r"weight: expected 2 dimensions .*, at least 1 of each"):
        _core.linear_input_gradient(nothing, np.zeros((0, 2)), some, 1)


def test_no_threads_are_one():
    gradient = np.full((3, 4), np.nan)
    _core.linear_input_gradient(np.zeros((3, 2)), np.ones((2, 4)), gradient, 0)
    assert not gradient.any()
