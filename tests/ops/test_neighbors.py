"""Nearest neighbours: the real number, rounded once, and the smaller row where two are equal."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from point_families import (
    RUNS,
    Run,
    cases,
    clustered,
    few_values,
    low_rank,
    outliers,
    rounded_once,
    uniform,
)

from fastgan import ops
from fastgan.data import load_dataset


def exact_neighbors(queries, data, k, exclude_self=False):
    distances = np.array([[rounded_once(x, y) for y in data] for x in queries])
    distances = distances.reshape(len(queries), len(data))
    if exclude_self:
        np.fill_diagonal(distances, np.inf)
    indices = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, indices, 1), indices


def assert_exact(queries, data, k, strategy="auto", **options):
    distances, indices = ops.nearest_neighbors(queries, data, k, strategy=strategy, **options)
    assert distances.dtype == np.float64
    assert indices.dtype == np.int64
    expected_distances, expected_indices = exact_neighbors(queries, data, k, **options)
    np.testing.assert_array_equal(indices, expected_indices)
    np.testing.assert_array_equal(distances, expected_distances)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("n_features", [1, 3, 16, 17, 65])
@pytest.mark.parametrize("k", [1, 3, 40])
def test_equals_rational_arithmetic(simd_level, dtype, n_features, k):
    generator = np.random.default_rng(n_features)
    data = 255 * generator.random((40, n_features))
    queries = np.concatenate([data[:4], 255 * generator.random((9, n_features))])
    assert_exact(queries.astype(dtype), data.astype(dtype), k)


def test_duplicates_and_ties_take_the_smaller_row(simd_level):
    generator = np.random.default_rng(0)
    base = generator.integers(0, 3, (6, 5)).astype(np.float32)
    data = base[generator.integers(0, 6, 60)]
    assert_exact(base, data, 60)
    assert_exact(data, data, 7, exclude_self=True)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 30),
    st.integers(1, 12),
    st.sampled_from([1.0, 1e-3, 1e6, 1e30]),
    st.sampled_from([0.0, 1000.0, 1e8]),
    st.sampled_from([np.float32, np.float64]),
)
def test_near_ties(seed, n_rows, n_features, scale, offset, dtype):
    """Rows that differ in their last bits, far from the origin."""
    generator = np.random.default_rng(seed)
    centre = offset + generator.standard_normal(n_features)
    jitter = generator.integers(-3, 4, (n_rows, n_features)) * np.finfo(dtype).eps
    data = (scale * centre * (1 + jitter)).astype(dtype)
    queries = (scale * (centre + generator.standard_normal((3, n_features)))).astype(dtype)
    assert_exact(queries, data, min(5, n_rows))


@pytest.mark.data
@pytest.mark.parametrize("form", ["uint8", "float32", "float64"])
def test_real_mnist(data_folder, simd_level, form):
    """Against a float64 brute force; where they differ, rational arithmetic decides."""
    mnist = load_dataset("mnist", folder=data_folder)
    queries, data = mnist.test[:20].numpy(), mnist.train[:4000].numpy()
    if form == "uint8":
        queries, data = ((255 * x).round().astype(np.uint8) for x in (queries, data))
    queries, data = queries.astype(form), data.astype(form)
    data[500:510] = data[100:110]  # duplicates
    queries[:10] = data[100:110]
    distances, indices = ops.nearest_neighbors(queries, data, 10)
    plain_distances, plain_indices = ops.nearest_neighbors(queries, data, 10, impl="reference")
    rounding = 4 * 784 * np.finfo(np.float64).eps
    np.testing.assert_allclose(distances, plain_distances, rtol=rounding, atol=0)
    for q, j in np.argwhere(indices != plain_indices):
        chosen = rounded_once(queries[q], data[indices[q, j]])
        other = rounded_once(queries[q], data[plain_indices[q, j]])
        assert (chosen, indices[q, j]) <= (other, plain_indices[q, j]) or chosen == pytest.approx(
            other, rel=rounding
        )
    for q in range(0, 20, 5):
        assert distances[q, 0] == rounded_once(queries[q], data[indices[q, 0]])
    np.testing.assert_array_equal(indices[:10, 0], np.arange(100, 110))
    np.testing.assert_array_equal(indices[:10, 1], np.arange(500, 510))
    np.testing.assert_array_equal(distances[:10, :2], 0)


def test_same_answer_for_any_chunks_and_threads(simd_level):
    generator = np.random.default_rng(1)
    data = generator.random((2000, 30), np.float32)
    data[1500] = data[3]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    expected = ops.nearest_neighbors(data[:90], data, 4)
    try:
        for n_threads in (1, 2, 3):
            torch.set_num_threads(n_threads)
            for chunk in (1, 7, 90):
                for i in range(0, 90, chunk):
                    found = ops.nearest_neighbors(data[i : i + chunk][: 90 - i], data, 4)
                    np.testing.assert_array_equal(found[0], expected[0][i : i + chunk])
                    np.testing.assert_array_equal(found[1], expected[1][i : i + chunk])
    finally:
        torch.set_num_threads(before)


def test_few_queries_share_out_many_rows():
    generator = np.random.default_rng(2)
    data = generator.random((150_000, 4), np.float32)
    data[140_000] = data[11]
    queries = np.concatenate([data[11:12], generator.random((2, 4), np.float32)])
    distances, indices = ops.nearest_neighbors(queries, data, 3)
    plain = ((queries[:, None].astype(float) - data.astype(float)) ** 2).sum(2)
    order = np.argsort(plain, 1, kind="stable")[:, :3]
    np.testing.assert_array_equal(indices, order)
    assert indices[0, :2].tolist() == [11, 140_000]
    np.testing.assert_allclose(distances, np.take_along_axis(plain, order, 1), rtol=1e-15)


def test_extreme_magnitudes(simd_level):
    generator = np.random.default_rng(3)
    data = generator.standard_normal((50, 6))
    data[5] *= 1e12
    queries = generator.standard_normal((7, 6))
    queries[2] *= 1e30
    for scale in (1.0, 1e-60, 1e60):
        assert_exact(queries * scale, data * scale, 3)
    for scale in (1e-120, 1e-145, 1e-155, 1e-161, 1e-162, 2.0**-537, 1e-163, 1e-170):
        for strategy in ("dense", "pruned"):  # distances of few bits, or none
            assert_exact(queries * scale, data * scale, 3, strategy)
            few = np.round(queries) * scale, np.round(data) * scale  # ties of the last bit
            assert_exact(*few, 3, strategy)
    distances, indices = ops.nearest_neighbors(np.full((1, 2), 1e200), np.zeros((3, 2)), 2)
    assert distances.tolist() == [[np.inf, np.inf]]
    assert indices.tolist() == [[0, 1]]


def assert_equal(found, expected):
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_array_equal(found[0], expected[0])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("n_features", [1, 17, 70])
def test_pruned_equals_rational_arithmetic(simd_level, dtype, n_features):
    generator = np.random.default_rng(n_features)
    data = 255 * generator.random((24, n_features))
    data[18:] = data[:6]
    queries = np.concatenate([data[:2], 255 * generator.random((3, n_features))])
    assert_exact(queries.astype(dtype), data.astype(dtype), 5, strategy="pruned")
    others = data[14:].astype(dtype)
    assert_exact(others, others, 3, strategy="pruned", exclude_self=True)


@settings(max_examples=250, deadline=None)
@given(cases(most_rows=2_049), RUNS, st.integers(1, 70), st.booleans())
def test_pruned_equals_dense(case, run, k, exclude_self):
    data = case.data[:400] if exclude_self else case.data
    queries = data if exclude_self else case.queries
    if exclude_self and len(data) == 1:
        return
    k = min(k, len(data) - exclude_self)
    options = {"exclude_self": exclude_self}
    expected = ops.nearest_neighbors(queries, data, k, strategy="dense", **options)
    with run():
        found = ops.nearest_neighbors(queries, data, k, strategy="pruned", **options)
    assert_equal(found, expected)
    if exclude_self:
        assert (found[1] != np.arange(len(data))[:, None]).all()


@pytest.mark.parametrize("n_rows", [31, 32, 33, 63, 2047, 2048, 2049, 4097, 65_535, 65_536, 65_537])
def test_sizes_of_panels_tiles_and_blocks(n_rows):
    """The nearest row is the last one, the first one, or one on either side of a seam."""
    generator = np.random.default_rng(n_rows)
    data = clustered(generator, n_rows, 4).astype(np.float32)
    queries = clustered(generator, 13, 4).astype(np.float32)
    seams = [0, 31, 32, 2047, 2048, 65_535, 65_536, n_rows - 1]
    places = [place for place in seams if place < n_rows]
    queries[: len(places)] = data[places]
    exact = ((queries[:, None].astype(float) - data.astype(float)) ** 2).sum(2)
    for k in (1, 30):
        order = np.argsort(exact, 1, kind="stable")[:, :k]
        found = ops.nearest_neighbors(queries, data, k, strategy="pruned")
        np.testing.assert_array_equal(found[1], order)
        np.testing.assert_allclose(found[0], np.take_along_axis(exact, order, 1), rtol=1e-15)


@pytest.mark.parametrize("shape", [clustered, few_values, outliers])
def test_pruned_in_any_company(simd_level, shape):
    """As many queries as fill strips and tasks, and one more or less; one or two threads."""
    generator = np.random.default_rng(0)
    data = shape(generator, 500, 30).astype(np.float32)
    queries = shape(generator, 205, 30).astype(np.float32)
    expected = ops.nearest_neighbors(queries, data, 6, strategy="dense")
    order = generator.permutation(205)
    for n_threads in (1, 2):
        with Run(simd_level, n_threads)():
            found = ops.nearest_neighbors(queries[order], data, 6, strategy="pruned")
            assert_equal(found, [answer[order] for answer in expected])
            for size in (1, 4, 5, 6, 7, 12, 13, 95, 96, 97, 192, 193):
                found = ops.nearest_neighbors(queries[:size], data, 6, strategy="pruned")
                assert_equal(found, [answer[:size] for answer in expected])


@pytest.mark.parametrize("strategy", ["dense", "pruned"])
def test_moved_scaled_turned_and_mixed(strategy):
    """What leaves the real distances as they are, or scales them by a power of two, leaves the
    answer's bits: moves by whole numbers, other orders of features, zero features.
    """
    generator = np.random.default_rng(1)
    data = generator.integers(0, 50, (400, 90)).astype(np.float32)
    data[200:] = data[generator.integers(0, 200, 200)] + generator.integers(0, 2, (200, 90))
    queries = generator.integers(0, 50, (30, 90)).astype(np.float32)

    def nearest(queries, data, k=9):
        return ops.nearest_neighbors(queries, data, k, strategy=strategy)

    distances, indices = nearest(queries, data)
    for offset in (1.0, -700.0, 2.0**20):
        assert_equal(nearest(queries + offset, data + offset), (distances, indices))
    for power in (-40, -3, 1, 40):
        scaled = nearest(np.ldexp(queries, power), np.ldexp(data, power))
        assert_equal(scaled, (np.ldexp(distances, 2 * power), indices))
    features = generator.permutation(90)
    assert_equal(nearest(queries[:, features], data[:, features]), (distances, indices))
    wider = [np.pad(points, ((0, 0), (5, 40))) for points in (queries, data)]
    assert_equal(nearest(*wider), (distances, indices))
    signs = generator.choice([-1, 1], 90).astype(np.float32)
    assert_equal(nearest(queries * signs, data * signs), (distances, indices))


@pytest.mark.parametrize("strategy", ["dense", "pruned"])
def test_other_rows_leave_the_nearest(strategy):
    """Rows in another order; far rows more; two parts, asked alone, hold what the whole holds."""
    generator = np.random.default_rng(2)
    data = low_rank(generator, 600, 70)
    queries = np.concatenate([low_rank(generator, 20, 70), uniform(generator, 5, 70)])
    distances, indices = ops.nearest_neighbors(queries, data, 8, strategy=strategy)
    order = generator.permutation(600)
    found = ops.nearest_neighbors(queries, data[order], 8, strategy=strategy)
    assert_equal((found[0], order[found[1]]), (distances, indices))
    far = np.concatenate([data, data[:50] + 1e5, 1e9 * data[:5]])
    assert_equal(ops.nearest_neighbors(queries, far, 8, strategy=strategy), (distances, indices))
    halves = [
        ops.nearest_neighbors(queries, data[rows], 8, strategy=strategy)
        for rows in (slice(0, 300), slice(300, 600))
    ]
    both = np.concatenate([halves[0][0], halves[1][0]], 1)
    rows = np.concatenate([halves[0][1], halves[1][1] + 300], 1)
    best = np.argsort(both, 1, kind="stable")[:, :8]
    assert_equal(
        (np.take_along_axis(both, best, 1), np.take_along_axis(rows, best, 1)), (distances, indices)
    )


def test_ties_take_the_smaller_row_across_blocks(simd_level):
    """Copies of one row in every block, in front of it and behind it."""
    generator = np.random.default_rng(3)
    data = generator.random((300, 20))
    copies = np.array([10, 49, 50, 51, 99, 100, 101, 250, 299])
    data[copies] = data[10]
    with Run(simd_level, block_rows=50)():
        for k in (1, 3, 9):
            for query in (data[10:11], data[10:11] + 1e-3):
                found = ops.nearest_neighbors(query, data, k, strategy="pruned")
                np.testing.assert_array_equal(found[1][0], copies[:k])
        found = ops.nearest_neighbors(data, data, 8, strategy="pruned", exclude_self=True)
    for row in copies:
        np.testing.assert_array_equal(found[1][row], copies[copies != row])


@pytest.mark.parametrize("strategy", ["dense", "pruned"])
def test_extremes_of_float64_and_float32(strategy):
    """Differences past the largest number, among rows that are near one another."""
    generator = np.random.default_rng(4)
    for dtype, most in ((np.float64, 1.7e308), (np.float32, 3e38)):
        data = generator.random((60, 20)).astype(dtype)
        data[3], data[40] = most, -most
        distances, indices = ops.nearest_neighbors(data, data, 59, strategy=strategy)
        exact = [
            [np.inf if 3 in (i, j) or 40 in (i, j) else rounded_once(data[i], data[j])
             for j in range(60)] for i in range(60)
        ]  # fmt: skip
        near = [i for i in range(60) if i not in (3, 40)]
        exact = np.array(exact)[near]
        if dtype is np.float64:
            np.testing.assert_array_equal(
                indices[near], np.argsort(exact, 1, kind="stable")[:, :59]
            )
            assert (distances[near, 58] == np.inf).all()
        np.testing.assert_array_equal(distances[near, :58], np.sort(exact, 1)[:, :58])


def test_no_queries_and_kinds_of_arrays():
    data = np.random.default_rng(4).random((30, 5))
    distances, indices = ops.nearest_neighbors(data[:0], data, 2)
    assert distances.shape == indices.shape == (0, 2)
    expected = ops.nearest_neighbors(data[:6], data, 2)
    found = ops.nearest_neighbors(torch.tensor(data[:6]), torch.tensor(data), 2)
    assert isinstance(found[0], torch.Tensor)
    np.testing.assert_array_equal(found[1].numpy(), expected[1])
    frozen = data.copy()
    frozen.flags.writeable = False
    strided = np.asfortranarray(data)[:6]
    np.testing.assert_array_equal(ops.nearest_neighbors(strided, frozen, 2)[1], expected[1])


def test_opcheck(fused):
    op = getattr(torch.ops.fastgan, "nearest_neighbors" + fused.suffix).default
    queries, data = torch.rand(5, 6).to(fused.device), torch.rand(70, 6).to(fused.device)
    for strategy in ("dense", "pruned") if fused.impl == "native" else ("dense",):
        torch.library.opcheck(op, (queries, data, 3, False, strategy))


GOOD = np.zeros((3, 4))


@pytest.mark.parametrize(
    ("queries", "data", "options", "error", "sentence"),
    [
        (GOOD, GOOD, {"k": 4}, ValueError, "k: expected at most 3, as data has 3 rows, got 4"),
        (GOOD, GOOD, {"k": 3, "exclude_self": True}, ValueError, "k: expected at most 2"),
        (GOOD, GOOD, {"k": 0}, ValueError, "k: expected an integer of at least 1, got 0"),
        (GOOD, GOOD, {"k": 1.5}, TypeError, "k: expected an integer, got 1.5"),
        (GOOD[:2], GOOD, {"exclude_self": True}, ValueError,
         "exclude_self: expected queries to be the 3 rows of data, got 2 queries"),
        (GOOD, np.zeros((3, 5)), {}, ValueError, "queries: expected 5 features like data"),
        (GOOD, np.zeros((0, 4)), {}, ValueError, "data: expected at least 1 row"),
        (GOOD, np.full((1, 4), np.nan), {}, ValueError, "data: expected finite numbers, got nan"),
        (GOOD, GOOD, {"strategy": "pruned", "impl": "reference"}, ValueError,
         "strategy: 'pruned' needs impl 'native', but 'reference' runs here"),
        (GOOD.astype(np.int32), GOOD, {}, TypeError, "queries: expected dtype uint8, .*got int32"),
    ],
)  # fmt: skip
def test_bad_input(queries, data, options, error, sentence):
    with pytest.raises(error, match=sentence):
        ops.nearest_neighbors(queries, data, **options)
