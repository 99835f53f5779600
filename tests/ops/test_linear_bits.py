"""What the products of a dense layer promise of their bits.

The way through (dense, or by lists of what is not zero) is chosen by the share of a delta that is
not zero. Here it is forced without a change to the numbers that are looked at: rows (of
input_gradient) or units (of update) are set between them that are all zero, or not zero at all. The
results of one row or unit are promised not to depend on the others.
"""

from dataclasses import replace

import numpy as np
import pytest
from linear_cases import DTYPES, Move, interleaved, layer

from fastgan import _core

# Of the registers' width and of tiles, all of 1 to 3 left over; more than a block of 256 units, and
# more than a task's share of either.
SHAPES = [
    (1, 1, 1),
    (4, 16, 5),
    (5, 17, 8),
    (7, 47, 12),
    (8, 48, 9),
    (9, 100, 17),
    (13, 31, 255),
    (6, 130, 257),
    (3, 49, 600),
    (100, 257, 90),
]
MOVE = Move(lr=0.3, momentum=0.7, max_norm=0.9)
N_BETWEEN = 7


def same_bits(one, other):
    return one.dtype == other.dtype and one.tobytes() == other.tobytes()


def assert_same_bits(ones, others):
    for one, other in zip(ones, others, strict=True):
        assert same_bits(one, other)


def with_rows_between(made, fill):
    """Return the layer with rows between its own, of whose delta every number is fill."""
    return replace(
        made,
        input=interleaved(made.input, N_BETWEEN, 0.5, axis=0),
        delta=interleaved(made.delta, N_BETWEEN, fill, axis=0),
        row_scale=interleaved(made.row_scale, N_BETWEEN, 1.5, axis=0),
    )


def with_units_between(made, fill):
    """Return the layer with units between its own, of whose delta every number is fill."""
    between = {
        name: interleaved(getattr(made, name), N_BETWEEN, 0.25, axis=0)
        for name in ("weight", "bias", "velocity", "bias_velocity")
    }
    return replace(made, delta=interleaved(made.delta, N_BETWEEN, fill, axis=1), **between)


def whole(made, n_threads=1):
    """Return the results of all operations."""
    return [
        *(made.forward(activation, n_threads) for activation in ("linear", "sigmoid")),
        made.input_gradient(n_threads),
        *made.update(MOVE, n_threads),
    ]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("density", [1.0, 0.34, 0.32, 0.05, 0.0])
def test_dense_and_sparse_ways_have_the_same_bits(density, dtype, simd_level) -> None:
    for shape in SHAPES:
        made = layer(shape, dtype, density)
        gradient, moved = made.input_gradient(), made.update(MOVE)
        for fill in (0.0, -1.25):
            wide = with_rows_between(made, fill).input_gradient()
            assert same_bits(wide[:: 1 + N_BETWEEN].copy(), gradient)
            wide = with_units_between(made, fill).update(MOVE)
            assert_same_bits([array[:: 1 + N_BETWEEN].copy() for array in wide], moved)


@pytest.mark.parametrize("dtype", DTYPES)
def test_just_above_and_below_a_third(dtype, simd_level) -> None:
    """Of 9 x 40 numbers 119, 120 and 121 are not zero, 119 of them in what is looked at."""
    random = np.random.default_rng(0)
    made = layer((9, 50, 40), dtype, 0.0)
    made.delta[:8].flat[random.permutation(8 * 40)[:119]] = np.arange(1, 120)
    before = made.input_gradient()
    for n_more in (1, 2):
        made.delta[8, -n_more] = 3.0
        assert (made.delta != 0).sum() == 119 + n_more
        assert same_bits(made.input_gradient()[:8], before[:8])
    made = layer((9, 50, 40), dtype, 0.0)
    made.delta[:, :39].flat[random.permutation(9 * 39)[:119]] = np.arange(1, 120)
    before = made.update(MOVE)
    for n_more in (1, 2):
        made.delta[-n_more, 39] = 3.0
        assert (made.delta != 0).sum() == 119 + n_more
        assert_same_bits([a[:39] for a in made.update(MOVE)], [a[:39] for a in before])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("density", [1.0, 0.1])
def test_any_thread_count_gives_the_same_bits(density, dtype, simd_level) -> None:
    """Of shapes that are worth 5 threads and more: 2^19 products each."""
    for shape in [(100, 257, 120), (130, 1030, 41), (70, 70, 600)]:
        assert np.prod(shape) >= 5 << 19
        made = layer(shape, dtype, density)
        alone = whole(made)
        for n_threads in (2, 3, 5, 64):
            assert_same_bits(whole(made, n_threads), alone)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("density", [1.0, 0.1])
def test_a_row_does_not_depend_on_other_rows(density, dtype, simd_level) -> None:
    made = layer((13, 1030, 43), dtype, density)
    outputs = [made.forward("sigmoid"), made.input_gradient()]
    for rows in (slice(0, 1), slice(3, 8), slice(5, 13), slice(12, 13)):
        part = replace(made, input=made.input[rows], delta=made.delta[rows])
        some = [part.forward("sigmoid"), part.input_gradient()]
        assert_same_bits(some, [array[rows] for array in outputs])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("density", [1.0, 0.1])
def test_a_unit_does_not_depend_on_other_units(density, dtype, simd_level) -> None:
    made = layer((13, 1030, 43), dtype, density)
    output, moved = made.forward("relu"), made.update(MOVE)
    names = ("weight", "velocity", "bias", "bias_velocity")
    for units in (slice(0, 1), slice(3, 8), slice(5, 43), slice(42, 43)):
        part = replace(
            made,
            delta=made.delta[:, units].copy(),
            **{name: getattr(made, name)[units] for name in names},
        )
        assert same_bits(part.forward("relu"), output[:, units].copy())
        assert_same_bits(part.update(MOVE), [array[units] for array in moved])


def multiply_add(a, b, c, fused):
    """Return a b + c in float32, rounded once (through float64, which holds a b exactly) or twice.

    float64 rounds the sum first: the two roundings differ from one where it lands on the middle of
    two float32 numbers, once in 2^28 of them. The numbers of the test are fixed.
    """
    if fused:
        return (a.astype(np.float64) * b + c).astype(np.float32)
    return a * b + c


@pytest.mark.parametrize("density", [1.0, 0.1])
def test_sums_are_taken_in_ascending_order(density, simd_level) -> None:
    """In blocks of 256 units (input_gradient) that are then added; rows (update) in one sum."""
    fused = simd_level != "portable"
    for shape in [(3, 17, 5), (20, 40, 256), (12, 33, 300), (5, 30, 513)]:
        made = layer(shape, np.float32, density)
        gradient = np.zeros_like(made.input)
        for first in range(0, shape[2], 256):
            block = np.zeros_like(gradient)
            for unit in range(first, min(first + 256, shape[2])):
                block = multiply_add(made.delta[:, unit, None], made.weight[unit], block, fused)
            gradient += block
        assert same_bits(made.input_gradient(), gradient)
        of_weight = np.zeros_like(made.weight)
        scaled = made.row_scale[:, None] * made.delta
        for row in range(shape[0]):
            of_weight = multiply_add(scaled[row, :, None], made.input[row], of_weight, fused)
        lr, momentum = np.float32(MOVE.lr), np.float32(MOVE.momentum)
        velocity = momentum * made.velocity - lr * of_weight
        weight, got_velocity, *_ = made.update(MOVE._replace(max_norm=None))
        assert same_bits(got_velocity, velocity)
        assert same_bits(weight, made.weight + velocity)


def test_input_gradient_and_update_have_the_same_bits_at_every_fused_level() -> None:
    """Their order of summing does not depend on the registers' width."""
    for dtype in DTYPES:
        for density in (1.0, 0.1):
            made = layer((13, 101, 300), dtype, density)
            results = []
            for level in [name for name in _core.simd_levels() if name != "portable"]:
                _core.force_simd_level(level)
                results.append([made.input_gradient(), *made.update(MOVE)])
            _core.force_simd_level("auto")
            for result in results[1:]:
                assert_same_bits(result, results[0])


def sparse_deltas(n_rows, n_units, dtype):
    """Yield deltas of every extreme kind: by name, for the message of a failure."""
    random = np.random.default_rng(n_units)
    zero = np.zeros((n_rows, n_units), dtype)
    full = random.standard_normal(zero.shape).astype(dtype)
    yield "all zero", zero
    yield "all negative zero", np.full_like(zero, -0.0)
    for row, unit in [(0, 0), (n_rows - 1, n_units - 1), (n_rows // 2, n_units // 3)]:
        one = zero.copy()
        one[row, unit] = 1.5
        yield f"one number at {row}, {unit}", one
    for step in (2, 5):
        some = full.copy()
        some[::step] = 0
        yield f"every {step}th row is zero", some
        some = zero.copy()
        some[::step] = full[::step]
        yield f"but every {step}th row is zero", some
        some = full.copy()
        some[:, ::step] = 0
        yield f"every {step}th unit is zero", some
        some = zero.copy()
        some[:, ::step] = full[:, ::step]
        yield f"but every {step}th unit is zero", some
    winners = zero.copy()
    units = np.arange(n_units // 5) * 5
    for row in range(n_rows):
        winners[row, units + random.integers(0, 5, len(units))] = full[row, units]
    yield "one of each five units", winners


@pytest.mark.parametrize("dtype", DTYPES)
def test_sparse_extremes(dtype, simd_level) -> None:
    """Against float64, to the rounding of the largest sum of absolute values."""
    for shape in [(1, 17, 5), (9, 49, 83), (10, 130, 520)]:
        made = layer(shape, dtype)
        for name, delta in sparse_deltas(shape[0], shape[2], dtype):
            made.delta = delta
            exact = made.exact()
            truth = exact.delta @ exact.weight
            allowed = shape[2] * np.finfo(dtype).eps * (abs(exact.delta) @ abs(exact.weight))
            got = made.input_gradient()
            assert (np.abs(got - truth) <= allowed).all(), name
            rows = ~delta.any(axis=1)
            assert (got[rows] == 0).all(), name
            move = Move()
            weight, velocity, *_ = made.update(move, scaled=False)
            of_weight = exact.delta.T @ exact.input
            allowed = move.lr * shape[0] * (abs(exact.delta.T) @ abs(exact.input))
            allowed += np.abs(exact.velocity) + np.abs(move.lr * of_weight)
            error = velocity - (move.momentum * exact.velocity - move.lr * of_weight)
            assert (np.abs(error) <= 4 * np.finfo(dtype).eps * allowed).all(), name
            units = ~delta.any(axis=0)
            kept = np.asarray(move.momentum, dtype) * made.velocity[units]
            assert same_bits(velocity[units], kept), name
            assert same_bits(weight[units], made.weight[units] + kept), name


def test_negative_zero_is_zero(simd_level) -> None:
    for dtype in DTYPES:
        made = layer((9, 49, 83), dtype, 0.1)
        signed = replace(made, delta=np.where(made.delta == 0, -0.0, made.delta).astype(dtype))
        assert np.signbit(signed.delta).any()
        assert same_bits(signed.input_gradient(), made.input_gradient())
        assert_same_bits(signed.update(MOVE), made.update(MOVE))
