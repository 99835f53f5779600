"""Parzen sums through an index: what is left out is within the certificate, that within tolerance,
and all else is right to float64's rounding; the bits depend on inputs, options and SIMD level only.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from point_families import RUNS, Run, cases, clustered, line, low_rank, outliers

from fastgan import ops
from fastgan.ops.parzen_sums import ParzenSums, merge_blocks


def pruned(queries, samples, sigmas, **options):
    """Values and certificates."""
    return ops.parzen_log_likelihood(
        queries, samples, sigmas, strategy="pruned", return_bound=True, **options
    )


def brute_force(queries, samples, sigmas, exclude_self=False):
    """(n_sigmas, n_queries), by differences in float64."""
    queries, samples = np.asarray(queries, float), np.asarray(samples, float)
    sigmas = np.asarray(sigmas)
    inverse = 0.5 / sigmas**2
    normaliser = math.log(len(samples) - exclude_self) + samples.shape[1] * np.log(
        sigmas * math.sqrt(2 * math.pi)
    )
    values = np.empty((len(sigmas), len(queries)))
    with np.errstate(over="ignore"):
        for q, x in enumerate(queries):
            squared = ((x - samples) ** 2).sum(1)
            if exclude_self:
                squared[q] = np.inf
            least = squared.min()
            if np.isinf(least):
                values[:, q] = -np.inf
                continue
            terms = np.exp(inverse[:, None] * (least - squared)).sum(1)
            values[:, q] = np.log(terms) - least * inverse - normaliser
    return values


def assert_certified(found, expected, tolerance, rounding):
    """Values are right, but for what was left out: at most the bound, which is within tolerance."""
    values, bound = found
    assert not np.isnan(values).any()
    assert (bound >= 0).all()
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(values[~finite], expected[~finite])
    missing = expected[finite] - values[finite]
    rounding = np.broadcast_to(rounding, expected.shape)[finite]
    assert (missing >= -rounding).all()
    assert (missing <= bound[finite] + rounding).all()
    # Where exponents are so large that their own rounding is nats, a bound is off by as much.
    readable = rounding < 1e-3
    assert (bound[finite][readable] <= tolerance * (1 + 1e-2)).all()
    assert (bound[finite][rounding < 1e-7] <= tolerance * (1 + 1e-6)).all()


def rounding_of(expected, sigmas, n_features):
    """What sums of n_features squares may be off by in float64, in nats, and the normaliser."""
    normaliser = n_features * np.abs(np.log(np.array(sigmas) * math.sqrt(2 * math.pi)))
    with np.errstate(invalid="ignore"):
        return 1e-10 + 2e-13 * (np.abs(expected) + normaliser[:, None])


@settings(max_examples=200, deadline=None)
@given(
    cases(),
    RUNS,
    st.lists(st.floats(-4, 3), min_size=1, max_size=4),
    st.sampled_from([1e-300, 1e-12, 1e-6, 1e-2, 1.0, 1e6]),
    st.booleans(),
)
def test_certificate_on_points_of_all_kinds(case, run, log_sigmas, tolerance, exclude_self):
    samples = case.data[:100] if exclude_self else case.data
    queries = samples if exclude_self else case.queries
    if exclude_self and len(samples) == 1:
        return
    scale = 255 if case.form.dtype is np.uint8 else case.form.scale
    sigmas = [min(max(scale * 10.0**power, 1e-150), 1e150) for power in log_sigmas]
    options = {"exclude_self": exclude_self}
    expected = brute_force(queries, samples, sigmas, **options)
    with run():
        found = pruned(queries, samples, sigmas, tolerance=tolerance, **options)
    rounding = rounding_of(expected, sigmas, samples.shape[1])
    assert_certified(found, expected, tolerance, rounding)


@pytest.mark.parametrize("n_samples", [31, 32, 33, 2047, 2048, 2049, 65_535, 65_536, 65_537])
def test_sizes_of_panels_tiles_and_blocks(n_samples):
    generator = np.random.default_rng(n_samples)
    samples = clustered(generator, n_samples, 4).astype(np.float32)
    queries = clustered(generator, 13, 4).astype(np.float32)
    queries[0] = samples[-1]
    sigmas = [1e-4, 0.02]
    expected = brute_force(queries, samples, sigmas)
    found = pruned(queries, samples, sigmas)
    assert_certified(found, expected, 1e-6, rounding_of(expected, sigmas, 4))
    assert (found[1][0] > 0).any()


@pytest.mark.parametrize("side", [-1, 1])
def test_threshold_and_certificate_are_as_sharp_as_can_be(simd_level, side):
    """One sample at the query, the others all a hair within the threshold, or past it.

    Within, they count; past it they are left out, and the certificate says what just that is worth.
    """
    n, sigma, tolerance = 1_000, 0.7, 0.1
    cut = math.log(n / tolerance)
    generator = np.random.default_rng(0)
    directions = generator.standard_normal((n, 80))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    samples = math.sqrt(2 * sigma**2 * cut) * (1 + 1e-9 * side) * directions
    samples[500] = 0
    queries = np.zeros((1, 80))
    expected = brute_force(queries, samples, [sigma / 100, sigma, 2 * sigma])[:, 0]
    values, bound = (x[:, 0] for x in pruned(queries, samples, [sigma / 100, sigma, 2 * sigma],
                                             tolerance=tolerance))  # fmt: skip
    left_out = math.log1p((n - 1) * tolerance / n)
    if side < 0:
        np.testing.assert_array_equal(bound[1:], 0)
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-10)
    else:
        np.testing.assert_allclose(bound[1], left_out, rtol=1e-6)
        np.testing.assert_allclose(expected[1] - values[1], left_out, rtol=1e-6)
    # A pair enters each sigma by that sigma's own threshold.
    np.testing.assert_allclose(bound, [left_out, bound[1], 0], rtol=1e-6)


def test_what_a_certificate_covers_is_missing():
    """At a tolerance this wide there is something to see; the dense engine has it all."""
    generator = np.random.default_rng(1)
    samples = low_rank(generator, 3_000, 100).astype(np.float32)
    queries = low_rank(generator, 50, 100).astype(np.float32)
    for tolerance in (0.3, 30.0):
        values, bound = pruned(queries, samples, 3.0, tolerance=tolerance)
        dense = ops.parzen_log_likelihood(queries, samples, 3.0, strategy="dense")
        missing = dense - values
        assert (bound <= tolerance).all()
        assert (missing <= bound + 1e-9).all()
        assert (missing >= -2e-5).all()  # what the dense engine may round by
        assert np.median(missing) > 1e-4
    values, bound = pruned(queries, samples, 3.0)
    dense = ops.parzen_log_likelihood(queries, samples, 3.0, strategy="dense")
    np.testing.assert_allclose(values, dense, rtol=0, atol=1e-4)
    assert (bound <= 1e-6).all()


@pytest.mark.parametrize("shape", [clustered, outliers])
@pytest.mark.parametrize("block_rows", [None, 150])
def test_same_bits_in_any_company(simd_level, shape, block_rows):
    generator = np.random.default_rng(2)
    samples = shape(generator, 700, 50).astype(np.float32)
    queries = shape(generator, 205, 50).astype(np.float32)
    sigmas = [0.02, 0.1]
    with Run(simd_level, 1, block_rows)():
        expected = pruned(queries, samples, sigmas)
    order = generator.permutation(205)
    for n_threads, chunk in ((1, 7), (2, None)):
        with Run(simd_level, n_threads, block_rows, chunk)():
            found = pruned(queries[order], samples, sigmas)
            for part, whole in zip(found, expected, strict=True):
                np.testing.assert_array_equal(part, whole[:, order])
            for size in (1, 4, 6, 12, 13, 97):
                first = 205 - size
                for part, whole in zip(
                    pruned(queries[first:], samples, sigmas), expected, strict=True
                ):
                    np.testing.assert_array_equal(part, whole[:, first:])
            for j, sigma in enumerate(sigmas):
                alone = pruned(queries, samples, sigma)[0]
                np.testing.assert_allclose(alone, expected[0][j], rtol=0, atol=2e-6)


def log_sums(queries, samples, sigmas, block_size=65_536, **options):
    """Both answers of a first ``add``."""
    queries, samples = torch.from_numpy(queries), torch.from_numpy(samples)
    sums = ParzenSums(
        queries,
        torch.tensor(sigmas, dtype=torch.float64),
        n_samples=len(samples),
        strategy="pruned",
        **options,
    )
    return [found.numpy() for found in sums.add(samples, 0, block_size)]


def test_bits_depend_on_the_distances_alone():
    """Whole numbers, whose distances are exact: moved, scaled with sigma by a power of two, with
    features in another order, they are sketched otherwise, but the same samples count.
    """
    generator = np.random.default_rng(3)
    samples = np.repeat(generator.integers(0, 9, (300, 60)), 2, 0).astype(np.float32)
    samples += generator.integers(0, 2, samples.shape)
    queries = samples[::19] + generator.integers(0, 2, samples[::19].shape).astype(np.float32)
    sigmas = [0.5, 1.0, 3.0]
    expected = log_sums(queries, samples, sigmas)
    assert (expected[1] > -np.inf).any()
    features = generator.permutation(60)
    wider = [np.pad(points, ((0, 0), (4, 40))) for points in (queries, samples)]
    for moved in (
        log_sums(queries + 3000, samples + 3000, sigmas),
        log_sums(queries[:, features], samples[:, features], sigmas),
        log_sums(queries / 1024, samples / 1024, [sigma / 1024 for sigma in sigmas]),
        log_sums(queries * 2.0**30, samples * 2.0**30, [sigma * 2.0**30 for sigma in sigmas]),
        log_sums(queries.astype(float), samples.astype(float), sigmas),
        log_sums(queries.astype(np.uint8), samples.astype(np.uint8), sigmas),
    ):
        for found, same in zip(moved, expected, strict=True):
            np.testing.assert_array_equal(found, same)
    # Zero features change a limit's last bits, as they do the error of a distance.
    np.testing.assert_allclose(log_sums(*wider, sigmas)[0], expected[0], rtol=1e-14)


@pytest.mark.parametrize("shape", [line, clustered, low_rank])
def test_other_samples_change_no_more_than_their_share(shape):
    """Samples in another order; far ones more, which add nothing but to the count."""
    generator = np.random.default_rng(4)
    samples, queries = shape(generator, 900, 40), shape(generator, 30, 40)
    sigmas = [0.05, 0.5]
    values, bound = pruned(queries, samples, sigmas, tolerance=1e-3)
    turned, bound_turned = pruned(queries, samples[::-1].copy(), sigmas, tolerance=1e-3)
    assert (np.abs(turned - values) <= np.maximum(bound, bound_turned) + 1e-10).all()
    far = np.concatenate([samples[:450], samples[:90] + 1e6, samples[450:]])
    more, bound_more = pruned(queries, far, sigmas, tolerance=1e-3)
    # Their terms are exp(-10^12): what is missing of both is missing of the same sum.
    difference = more + math.log(990 / 900) - values
    assert (np.abs(difference) <= np.maximum(bound, bound_more) + 1e-10).all()
    assert (bound_more <= 1e-3).all()


def test_levels_agree(simd_level):
    generator = np.random.default_rng(5)
    samples, queries = clustered(generator, 900, 120), clustered(generator, 30, 120)
    expected = brute_force(queries, samples, [0.03, 0.1])
    found = pruned(queries, samples, [0.03, 0.1])
    assert_certified(found, expected, 1e-6, rounding_of(expected, [0.03, 0.1], 120))
    assert (found[1] > 0).mean() > 0.5


class TestSums:
    """Samples block by block: 1,000 of them, in blocks of 200."""

    size = 200
    sigmas = torch.tensor([0.02, 0.08], dtype=torch.float64)

    @pytest.fixture(params=[False, True], ids=["others", "exclude_self"])
    def exclude_self(self, request):
        return request.param

    @pytest.fixture
    def samples(self):
        points = clustered(np.random.default_rng(6), 1_000, 30)
        points[400:] += 0.05  # later blocks lie elsewhere than the frame was learned from
        return torch.from_numpy(points)

    def queries(self, samples, exclude_self):
        return samples if exclude_self else samples[::9] + 0.01

    def sums(self, samples, exclude_self, **options):
        queries = self.queries(samples, exclude_self)
        options = {"n_samples": len(samples), "strategy": "pruned"} | options
        return ParzenSums(queries, self.sigmas, exclude_self=exclude_self, **options)

    def test_blocks_one_by_one_equal_one_call(self, samples, exclude_self):
        with Run(block_rows=self.size)():
            whole = self.sums(samples, exclude_self).add(samples, 0, self.size)
            sums = self.sums(samples, exclude_self)
            parts = [
                sums.add(samples[first : first + n], first, self.size)
                for first, n in ((0, 200), (200, 400), (600, 400))
            ]
        assert whole[0].shape == (5, 2, len(sums.queries))
        for j in range(2):
            assert torch.equal(torch.cat([part[j] for part in parts]), whole[j])
        assert (whole[1] > -torch.inf).any()
        expected = brute_force(sums.queries, samples, self.sigmas, exclude_self=exclude_self)
        self.assert_right(merge_blocks(whole[0]), expected, exclude_self)

    def assert_right(self, merged, expected, exclude_self):
        normaliser = math.log(1_000 - exclude_self) + 30 * torch.log(
            self.sigmas * math.sqrt(2 * math.pi)
        )
        missing = torch.from_numpy(expected) - (merged - normaliser[:, None])
        assert (missing <= 1e-6 + 1e-10).all()
        assert (missing >= -1e-10).all()

    def test_grouped_blocks_are_as_right(self, samples, exclude_self):
        """Of small blocks, several are worked through together: other bits, the same promise."""
        sums = self.sums(samples, exclude_self)
        found, _ = sums.add(samples, 0, self.size)
        expected = brute_force(sums.queries, samples, self.sigmas, exclude_self=exclude_self)
        self.assert_right(merge_blocks(found), expected, exclude_self)

    @pytest.mark.parametrize("cut", [200, 600, 800])
    @pytest.mark.parametrize("strategy", ["dense", "pruned"])
    def test_cut_and_continued_gives_the_same_bits(self, samples, exclude_self, strategy, cut):
        options = {"strategy": strategy}
        with Run(block_rows=self.size)():
            whole = self.sums(samples, exclude_self, **options).add(samples, 0, self.size)
            sums = self.sums(samples, exclude_self, **options)
            sums.add(samples[:cut], 0, self.size)
            state = {name: value.clone() for name, value in sums.state_dict().items()}
            sums.add(samples[cut:], cut, self.size)  # what goes on does not touch what was kept
            continued = self.sums(samples, exclude_self, **options)
            continued.load_state_dict(state)
            assert continued.strategy == strategy
            rest = continued.add(samples[cut:].clone(), cut, self.size)
        for j in range(2):
            assert torch.equal(rest[j], whole[j][cut // self.size :])

    def test_unknown_count_leaves_out_less(self, samples, exclude_self):
        known = self.sums(samples, exclude_self).add(samples, 0, self.size)
        unknown = self.sums(samples, exclude_self, n_samples=None).add(samples, 0, self.size)
        assert (unknown[0] >= known[0] - 1e-12).all()
        # 2^32 instead of 1,000 samples: every one that is left out is worth that much less
        worth = merge_blocks(unknown[1]) - merge_blocks(unknown[0])
        assert (worth <= math.log(1e-6 * 1_000 / 2**32) + 1e-6).all()

    def test_each_block_alone(self, samples, exclude_self):
        """Each block's own sum is right, also of one far from a query; bits need no groups."""
        sums = self.sums(samples, exclude_self, each_block=True)
        found, dropped = sums.add(samples, 0, self.size)
        one = self.sums(samples, exclude_self, each_block=True)
        for block in range(4, -1, -1):
            rows = slice(block * self.size, (block + 1) * self.size)
            alone = one.add(samples[rows], rows.start, self.size)
            assert torch.equal(alone[0][0], found[block])
        squared = torch.cdist(sums.queries, samples, compute_mode="donot_use_mm_for_euclid_dist")
        if exclude_self:
            squared.fill_diagonal_(torch.inf)
        exponents = -(squared**2)[None] / (2 * self.sigmas[:, None, None] ** 2)
        expected = exponents.unflatten(2, (5, self.size)).logsumexp(3).permute(2, 0, 1)
        bound = torch.log1p(torch.exp(dropped - found))
        assert (bound <= 1e-6 * (1 + 1e-6)).all()
        assert (expected - found <= bound + 1e-10).all()
        assert (expected - found >= -1e-10).all()
        assert (bound > 0).any()

    def test_own_sample_is_not_counted(self, samples):
        """Each query has a copy of itself among the samples: one of the two counts."""
        twice = torch.cat([samples[:500], samples[:500]])
        with Run(block_rows=self.size)():
            found, _ = self.sums(twice, True).add(twice, 0, self.size)
        merged = merge_blocks(found)
        assert (merged[0] >= 0).all()  # the copy's term is exp(0)
        expected = brute_force(twice, twice, self.sigmas, exclude_self=True)
        self.assert_right(merged, expected, True)

    def test_refusals(self, samples):
        with pytest.raises(ValueError, match="tolerance: 0 asks for the dense sum, but strategy"):
            self.sums(samples, False, tolerance=0.0)
        with pytest.raises(ValueError, match="strategy: 'pruned' needs impl 'native', but"):
            self.sums(samples, False, impl="reference")


def test_no_queries():
    values, bound = pruned(np.zeros((0, 5)), np.ones((9, 5)), [0.1, 1.0])
    assert values.shape == bound.shape == (2, 0)
