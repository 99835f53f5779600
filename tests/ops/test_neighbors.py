"""Nearest neighbours: the real number, rounded once, and the smaller row where two are equal."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgan import ops
from fastgan.data import load_dataset


def rounded_once(x, y):
    """sum (x - y)^2 in rational arithmetic, rounded once."""
    return float(
        sum((Fraction(float(a)) - Fraction(float(b))) ** 2 for a, b in zip(x, y, strict=True))
    )


def exact_neighbors(queries, data, k, exclude_self=False):
    distances = np.array([[rounded_once(x, y) for y in data] for x in queries])
    distances = distances.reshape(len(queries), len(data))
    if exclude_self:
        np.fill_diagonal(distances, np.inf)
    indices = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, indices, 1), indices


def assert_exact(queries, data, k, **options):
    distances, indices = ops.nearest_neighbors(queries, data, k, **options)
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
    distances, indices = ops.nearest_neighbors(np.full((1, 2), 1e200), np.zeros((3, 2)), 2)
    assert distances.tolist() == [[np.inf, np.inf]]
    assert indices.tolist() == [[0, 1]]


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


def test_opcheck():
    queries, data = torch.rand(5, 6), torch.rand(70, 6)
    for strategy in ("dense", "pruned"):
        arguments = (queries, data, 3, False, strategy)
        torch.library.opcheck(torch.ops.fastgan.nearest_neighbors, arguments)


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
        (GOOD, GOOD, {"strategy": "pruned", "impl": "reference"}, ValueError, "strategy: .pruned. needs"),
        (GOOD, GOOD, {"impl": "triton"}, ValueError, "impl: "),
        (GOOD.astype(np.int32), GOOD, {}, TypeError, "queries: expected dtype uint8, .*got int32"),
    ],
)  # fmt: skip
def test_bad_input(queries, data, options, error, sentence):
    with pytest.raises(error, match=sentence):
        ops.nearest_neighbors(queries, data, **options)
