"""What processes that share a batch ask of the native core: velocities alone, then the move."""

import numpy as np
import pytest

from fastgan import _core


def layer(dtype, n_rows, n_features, n_units, density):
    random = np.random.default_rng(n_units)
    delta = random.standard_normal((n_rows, n_units)) * (random.random((n_rows, n_units)) < density)
    arrays = [
        delta,
        random.random(n_rows),
        random.standard_normal((n_rows, n_features)),
        random.standard_normal((n_units, n_features)),
        random.standard_normal((n_units, n_features)),
        random.standard_normal(n_units),
        random.standard_normal(n_units),
    ]
    return [np.ascontiguousarray(array, dtype) for array in arrays]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("max_norm", [np.inf, 2.0])
@pytest.mark.parametrize("density", [0.1, 1.0], ids=["by lists", "dense"])
def test_velocity_and_then_move_are_the_whole_update_bit_for_bit(
    density, max_norm, dtype, simd_level
) -> None:
    for shape, n_threads in (((5, 17, 43), 1), ((8, 48, 40), 2), ((100, 257, 120), 3)):
        delta, scale, rows, *moved = layer(dtype, *shape, density)
        n = shape[2] // 3
        winner = np.random.default_rng(0).integers(0, 3, (len(delta), n), dtype=np.uint8)
        ways = {
            _core.linear_update: (delta,),
            _core.maxout_update: (np.ascontiguousarray(delta[:, :n]), winner, 3),
        }
        for update, given in ways.items():
            n_units = 3 * n if update is _core.maxout_update else len(moved[0])
            whole = [array[:n_units].copy() for array in moved]
            parts = [array[:n_units].copy() for array in moved]
            weight, velocity, bias, bias_velocity = parts
            numbers = (0.1, 0.7, max_norm, n_threads)
            update(*given, scale, rows, *whole, *numbers)
            never = np.full_like(weight, np.nan), np.full_like(bias, np.nan)  # not looked at
            update(*given, scale, rows, never[0], velocity, never[1], bias_velocity, *numbers, True)
            assert np.isnan(never[0]).all()
            assert np.isnan(never[1]).all()
            _core.move_weight(weight, velocity, max_norm, n_threads)
            _core.move_weight(bias[None], bias_velocity[None], np.inf, n_threads)
            for ours, wanted in zip(parts, whole, strict=True):
                np.testing.assert_array_equal(ours, wanted)


def test_masks_of_a_part_are_those_of_the_whole(simd_level) -> None:
    random = np.random.default_rng(1)
    gradient, values = random.random((2, 9, 7))
    whole = np.empty_like(gradient)
    mask = (0.5, 3, 4, 5, "sigmoid")
    _core.activation_delta(gradient, None, *mask, values, whole, 1)
    assert (whole == 0).any()
    for rows in (slice(0, 2), slice(2, 9), slice(5, 6)):
        part = np.empty_like(gradient[rows])
        first = 7 * rows.start
        _core.activation_delta(gradient[rows], None, *mask, values[rows], part, 2, first)
        np.testing.assert_array_equal(part, whole[rows])


def test_what_does_not_fit_is_refused() -> None:
    weight = np.zeros((3, 4))
    with pytest.raises(ValueError, match="velocity"):
        _core.move_weight(weight, np.zeros((3, 5)), np.inf, 1)
    with pytest.raises((TypeError, ValueError), match="velocity"):
        _core.move_weight(weight, np.zeros((3, 4), np.float32), np.inf, 1)
    with pytest.raises(ValueError, match="n_whole: expected at least the rows there are"):
        _core.batch_costs(np.zeros((4, 1)), False, np.zeros(4), np.zeros(2), 1)
