"""Pairs within radii: the distance rounded once, closed balls, the same counts by either engine."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from point_families import RUNS, Run, cases, clustered, few_values, low_rank, rounded_once

from fastgan import ops


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == np.int64


@pytest.mark.parametrize("strategy", ["dense", "pruned"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("n_features", [1, 3, 17, 65])
def test_equals_rational_arithmetic(simd_level, dtype, n_features, strategy):
    """Radii at, just below and just above the distance of a pair."""
    generator = np.random.default_rng(n_features)
    data = (255 * generator.random((30, n_features))).astype(dtype)
    queries = (255 * generator.random((9, n_features))).astype(dtype)
    queries[0] = data[4]
    exact = np.array([[rounded_once(x, y) for y in data] for x in queries])
    at = exact[np.arange(9), generator.integers(0, 30, 9)]
    at[0] = 0.0
    for radii in (at, np.nextafter(at, -np.inf), np.nextafter(at, np.inf)):
        within = exact <= radii[:, None]
        found = ops.count_within(queries, data, radii, strategy=strategy)
        assert_same(found, (within.sum(1), within.sum(0)))
    # the closed balls hold the pair, the ones a bit smaller do not
    assert not (
        ops.count_within(queries, data, np.nextafter(at, -np.inf))[0] == within.sum(1)
    ).any()


@settings(max_examples=150, deadline=None)
@given(cases(), RUNS, st.data())
def test_pruned_equals_dense(case, run, draw):
    """Radii are distances of pairs, so that a pair lies at each; some hold nothing, or everything.

    With ``exclude_self`` the rows ask one another.
    """
    exclude_self = draw.draw(st.booleans())
    data = case.data[:300] if exclude_self else case.data
    queries = data if exclude_self else case.queries
    k = draw.draw(st.integers(1, len(data)))
    reached, _ = ops.nearest_neighbors(queries, data, k, strategy="dense")
    radii = reached[np.arange(len(queries)), case.generator.integers(0, k, len(queries))]
    special = np.array([-1.0, -5e-324, -0.0, 0.0, 5e-324, np.inf])
    use = case.generator.random(len(radii)) < 0.2
    radii = np.where(use, special[case.generator.integers(0, 6, len(radii))], radii)
    options = {"exclude_self": exclude_self}
    expected = ops.count_within(queries, data, radii, strategy="dense", **options)
    with run():
        assert_same(ops.count_within(queries, data, radii, strategy="pruned", **options), expected)
    n_others = len(data) - exclude_self
    np.testing.assert_array_equal(expected[0][radii < 0], 0)
    np.testing.assert_array_equal(expected[0][radii == np.inf], n_others)


@pytest.mark.parametrize("n_rows", [31, 32, 33, 2047, 2048, 2049, 65_535, 65_536, 65_537])
def test_sizes_of_panels_tiles_and_blocks(n_rows):
    generator = np.random.default_rng(n_rows)
    data = clustered(generator, n_rows, 4).astype(np.float32)
    queries = clustered(generator, 13, 4).astype(np.float32)
    data[-1] = queries[3]
    exact = ((queries[:, None].astype(float) - data.astype(float)) ** 2).sum(2)
    radii = np.quantile(exact, 0.1, axis=1)
    radii[3] = 0.0
    within = exact <= radii[:, None]
    found = ops.count_within(queries, data, radii, strategy="pruned")
    assert_same(found, (within.sum(1), within.sum(0)))
    assert found[1][-1] >= 1


def test_queries_in_any_company(simd_level):
    generator = np.random.default_rng(0)
    data = few_values(generator, 700, 30).astype(np.float32)
    queries = few_values(generator, 210, 30).astype(np.float32)
    radii = generator.integers(3, 12, 210).astype(float)
    expected = ops.count_within(queries, data, radii, strategy="dense")
    order = generator.permutation(210)
    for n_threads in (1, 2):
        with Run(simd_level, n_threads)():
            found = ops.count_within(queries[order], data, radii[order], strategy="pruned")
            assert_same(found, (expected[0][order], expected[1]))
            for size in (1, 11, 97):
                parts = [
                    ops.count_within(
                        queries[i : i + size], data, radii[i : i + size], strategy="pruned"
                    )
                    for i in range(0, 210, size)
                ]
                assert_same(
                    (np.concatenate([p[0] for p in parts]), sum(p[1] for p in parts)), expected
                )


@pytest.mark.parametrize("strategy", ["dense", "pruned"])
def test_far_rows_and_the_order_of_features_change_nothing(strategy):
    generator = np.random.default_rng(1)
    data = low_rank(generator, 300, 70)
    queries = low_rank(generator, 20, 70)
    radii = ops.nearest_neighbors(queries, data, 40)[0][:, -1]
    expected = ops.count_within(queries, data, radii, strategy=strategy)
    features = generator.permutation(70)
    turned = ops.count_within(queries[:, features], data[:, features], radii, strategy=strategy)
    assert_same(turned, expected)
    more = np.concatenate([data, 1e4 + data[:50]])
    found = ops.count_within(queries, more, radii, strategy=strategy)
    assert_same(found, (expected[0], np.append(expected[1], np.zeros(50, int))))


def test_implementations_and_kinds_of_arrays():
    generator = np.random.default_rng(2)
    queries, data = generator.random((7, 6)), generator.random((40, 6))
    radii = generator.random(7)
    expected = ops.count_within(queries, data, radii)
    assert expected[0].sum() == expected[1].sum() > 0
    assert_same(ops.count_within(queries, data, radii, impl="reference"), expected)
    tensors = ops.count_within(*(torch.tensor(x) for x in (queries, data, radii)))
    assert all(isinstance(x, torch.Tensor) for x in tensors)
    assert_same([x.numpy() for x in tensors], expected)
    for strategy in ("dense", "pruned"):
        nobody = ops.count_within(queries[:0], data, radii[:0], strategy=strategy)
        assert_same(nobody, (np.zeros(0, int), np.zeros(40, int)))


def test_opcheck():
    queries, data, radii = torch.rand(5, 6), torch.rand(70, 6), torch.rand(5).double()
    for strategy in ("dense", "pruned"):
        arguments = (queries, data, radii, False, strategy)
        torch.library.opcheck(torch.ops.fastgan.count_within, arguments)


GOOD, RADII = np.zeros((3, 4)), np.ones(3)


@pytest.mark.parametrize(
    ("queries", "data", "radii", "options", "error", "sentence"),
    [
        (GOOD, GOOD, RADII[:2], {}, ValueError,
         r"squared_radii: expected shape \(3,\), one for each query, got \(2,\)"),
        (GOOD, GOOD, RADII[:, None], {}, ValueError, r"squared_radii: .* got \(3, 1\)"),
        (GOOD, GOOD, RADII.astype(np.float32), {}, TypeError,
         "squared_radii: expected dtype float64, got torch.float32"),
        (GOOD, GOOD, np.array([1, np.nan, 1]), {}, ValueError,
         "squared_radii: expected numbers, got NaN"),
        (GOOD, np.zeros((3, 5)), RADII, {}, ValueError, "queries: expected 5 features like data"),
        (GOOD, np.zeros((0, 4)), RADII, {}, ValueError, "data: expected at least 1 row"),
        (GOOD, np.full((1, 4), np.inf), RADII, {}, ValueError, "data: expected finite numbers"),
        (GOOD, GOOD.astype(np.float32), RADII, {}, TypeError, "data: expected dtype float64 like"),
        (GOOD, np.zeros((4, 4)), RADII, {"exclude_self": True}, ValueError,
         "exclude_self: expected queries to be the 4 rows of data, got 3 queries"),
        (GOOD, GOOD, RADII, {"strategy": "fast"}, ValueError, "strategy: expected one of auto"),
        (GOOD, GOOD, RADII, {"strategy": "pruned", "impl": "reference"}, ValueError,
         "strategy: 'pruned' needs impl 'native', but 'reference' runs here"),
        (GOOD, GOOD, RADII, {"impl": "triton"}, ValueError, "impl: .* no Triton kernel"),
    ],
)  # fmt: skip
def test_bad_input(queries, data, radii, options, error, sentence):
    with pytest.raises(error, match=sentence):
        ops.count_within(queries, data, radii, **options)
