"""maxout_input_gradient and maxout_update: bit for bit the products of the long delta."""

import re

import numpy as np
import pytest
from linear_cases import DTYPES, Layer, Move, guarded, layer, untouched_around

from fastgan import _core

MOVE = Move(lr=0.3, momentum=0.7, max_norm=0.9)
# (n_rows, n_features, n_units of one piece, n_pieces): tasks of 40 units end within a unit's pieces
CASES = [
    (1, 1, 1, 1),
    (4, 17, 3, 2),
    (5, 47, 9, 5),
    (8, 33, 13, 7),
    (13, 100, 2, 256),
    (9, 130, 55, 5),
    (7, 1030, 31, 3),
    (100, 257, 24, 5),
    (30, 40, 81, 1),
]


def winning(case, dtype, density=1.0):
    """Return values and winners, and the layer of the long delta."""
    n, n_features, n_units, n_pieces = case
    made = layer((n, n_features, n_units * n_pieces), dtype)
    random = np.random.default_rng(n_units)
    values = random.standard_normal((n, n_units)).astype(dtype)
    values[random.random(values.shape) >= density] = 0
    winner = random.integers(0, n_pieces, values.shape, np.uint8)
    made.delta = spread(values, winner, n_pieces)
    return values, winner, made


def spread(values, winner, n_pieces):
    """Return the delta of all pieces: zero but at the winners, if those are among them."""
    is_winner = np.arange(n_pieces) == winner[:, :, None]
    return np.where(is_winner, values[:, :, None], 0).reshape(len(values), -1).astype(values.dtype)


def input_gradient(values, winner, n_pieces, made: Layer, n_threads=1):
    gradient = guarded(made.input.shape, made.input.dtype)
    _core.maxout_input_gradient(values, winner, n_pieces, made.weight, gradient, n_threads)
    return untouched_around(gradient)


def update(values, winner, n_pieces, made: Layer, n_threads=1, scaled=True, bias=True):
    moved = [
        guarded(array.shape, array.dtype, array)
        for array in (made.weight, made.velocity, made.bias, made.bias_velocity)
    ]
    weight, velocity, *biases = moved
    _core.maxout_update(
        values,
        winner,
        n_pieces,
        made.row_scale if scaled else None,
        made.input,
        weight,
        velocity,
        *(biases if bias else (None, None)),
        *MOVE,
        n_threads,
    )
    return [untouched_around(array) for array in moved]


def assert_same_bits(ones, others):
    for one, other in zip(ones, others, strict=True):
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("density", [1.0, 0.5, 0.05, 0.0])
def test_bits_are_those_of_the_long_delta(density, dtype, simd_level) -> None:
    for index, case in enumerate(CASES):
        values, winner, made = winning(case, dtype, density)
        before = values.copy(), winner.copy()
        n_pieces, is_scaled, has_bias = case[3], index % 2 == 0, index % 3 > 0
        assert_same_bits([input_gradient(values, winner, n_pieces, made)], [made.input_gradient()])
        assert_same_bits(
            update(values, winner, n_pieces, made, 1, is_scaled, has_bias),
            made.update(MOVE, 1, is_scaled, has_bias),
        )
        assert_same_bits((values, winner), before)


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_thread_count_gives_the_same_bits(dtype, simd_level) -> None:
    for case in [(100, 257, 24, 5), (70, 300, 18, 7), (100, 1200, 9, 3)]:
        assert np.prod(case) >= 5 << 19
        values, winner, made = winning(case, dtype)
        gradient = input_gradient(values, winner, case[3], made)
        moved = update(values, winner, case[3], made)
        for n_threads in (2, 3, 5, 64):
            assert_same_bits([input_gradient(values, winner, case[3], made, n_threads)], [gradient])
            assert_same_bits(update(values, winner, case[3], made, n_threads), moved)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_winner_beyond_the_pieces_belongs_to_none(dtype, simd_level) -> None:
    for case in CASES[1:]:
        values, winner, made = winning(case, dtype)
        if case[3] == 256:
            continue
        winner[0, 0], winner[-1, -1], winner[len(winner) // 2, 1] = case[3], 255, case[3] + 1
        made.delta = spread(values, winner, case[3])
        assert (made.delta != 0).sum() <= values.size - 2
        assert_same_bits([input_gradient(values, winner, case[3], made)], [made.input_gradient()])
        assert_same_bits(update(values, winner, case[3], made), made.update(MOVE))


def test_nan_stays_within_its_row_and_piece(simd_level) -> None:
    for dtype in DTYPES:
        values, winner, made = winning((9, 33, 20, 5), dtype)
        values[4, 7], winner[4, 7] = np.nan, 3
        gradient = input_gradient(values, winner, 5, made)
        assert np.isnan(gradient[4]).all()
        assert np.isfinite(np.delete(gradient, 4, axis=0)).all()
        for array in update(values, winner, 5, made):
            assert np.isnan(array[7 * 5 + 3]).all()
            assert np.isfinite(np.delete(array, 7 * 5 + 3, axis=0)).all()


def good(dtype=np.float32):
    values, winner, made = winning((3, 4, 5, 2), dtype)
    both = {"delta": values, "winner": winner, "n_pieces": 2, "weight": made.weight, "n_threads": 1}
    return {
        "maxout_input_gradient": {**both, "gradient": made.input.copy()},
        "maxout_update": {
            **both,
            "row_scale": made.row_scale,
            "input": made.input,
            "velocity": made.velocity,
            "bias": made.bias,
            "bias_velocity": made.bias_velocity,
            "lr": 0.1,
            "momentum": 0.5,
            "max_norm": np.inf,
        },
    }


ARRAYS = [
    (operation, name)
    for operation, arguments in good().items()
    for name, value in arguments.items()
    if isinstance(value, np.ndarray)
]


@pytest.mark.parametrize(("operation", "name"), ARRAYS)
def test_wrong_arrays_are_refused_by_name(operation, name) -> None:
    for dtype in DTYPES:
        arguments = good(dtype)[operation]
        array = arguments[name]
        for wrong in (array.astype(np.float16), np.repeat(array, 2, axis=-1)[..., ::2]):
            kind = f"{name}: expected a C-contiguous array of"
            with pytest.raises(ValueError, match=kind):
                getattr(_core, operation)(**{**arguments, name: wrong})
        for axis in range(array.ndim):
            wrong = np.repeat(array, 3, axis=axis)
            # the delta gives the rows, the weight the features and the pieces
            gives_size = name == "weight" or (name == "delta" and axis == 0)
            named = r"\w+" if gives_size else name
            with pytest.raises(ValueError, match=rf"^{named}: expected size \d+, got \d+"):
                getattr(_core, operation)(**{**arguments, name: wrong})


@pytest.mark.parametrize("operation", ["maxout_input_gradient", "maxout_update"])
@pytest.mark.parametrize("n_pieces", [0, 3, 257])
def test_wrong_numbers_of_pieces_are_refused(n_pieces, operation) -> None:
    sentence = re.escape("n_pieces: expected 1 to 256, and a divisor of weight's rows")
    with pytest.raises(ValueError, match=sentence):
        getattr(_core, operation)(**{**good()[operation], "n_pieces": n_pieces})
