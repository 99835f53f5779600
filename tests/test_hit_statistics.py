"""Statistics of how often each kind came, against their definitions, one subset at a time."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgan.hit_statistics import (
    effective_kinds,
    expected_balance,
    expected_hits,
    expected_hits_error,
    same_kind,
    total_variation,
)

few = st.lists(st.integers(0, 2), min_size=2, max_size=5).filter(lambda counts: sum(counts) >= 3)


def draws_of(counts):
    """Return one kind a draw."""
    return [kind for kind, count in enumerate(counts) for _ in range(count)]


def mean_hits(draws, n_drawn):
    subsets = [len(set(subset)) for subset in itertools.combinations(draws, n_drawn)]
    return sum(subsets) / len(subsets)


def jackknife(statistic, draws):
    """Return the delete-one error, one draw left out after another."""
    n = len(draws)
    without = np.array([statistic(draws[:i] + draws[i + 1 :]) for i in range(n)])
    return math.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum())


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.data())
def test_expected_hits_is_the_mean_over_all_subsets(counts, data):
    drawn = [kind for kind, count in enumerate(counts) for _ in range(min(count, 2))]
    if not drawn:
        return
    n_drawn = data.draw(st.integers(1, len(drawn)))
    subsets = [len(set(subset)) for subset in itertools.combinations(drawn, n_drawn)]
    found = expected_hits(np.bincount(drawn), n_drawn)
    # four lgammas below 30 in size, each within an ulp or two
    assert found == pytest.approx(sum(subsets) / len(subsets), rel=1e-13)


def test_expected_hits_of_many():
    """Every kind as often as another: sum of 1 - C(n - c, m) / C(n, m), in exact integers."""
    n_kinds, each, n_drawn = 300, 40, 2_000
    n = n_kinds * each
    missed = math.comb(n - each, n_drawn) / math.comb(n, n_drawn)
    found = expected_hits(np.full(n_kinds, each), n_drawn)
    # lgamma(12,000) is about 1e5: its rounding is 1e5 eps, and four of them make the error
    assert found == pytest.approx(n_kinds * (1 - missed), rel=4 * 1e5 * np.finfo(float).eps)


@settings(deadline=None)
@given(few, st.data())
def test_the_error_of_hits_leaves_out_one_draw_at_a_time(counts, data):
    draws = draws_of(counts)
    n_drawn = data.draw(st.integers(1, len(draws) - 1))
    error = jackknife(lambda left: mean_hits(left, n_drawn), draws)
    # a difference of two means: what cancels is a rounding of numbers below 10
    found = expected_hits_error(np.array(counts), n_drawn)
    assert found == pytest.approx(error, rel=1e-12, abs=1e-7)
    assert expected_hits_error(np.array(counts), len(draws)) == expected_hits_error(
        np.array(counts), len(draws) - 1
    )


def test_a_single_draw_has_no_error():
    assert expected_hits_error(np.array([0, 1]), 1) == 0.0


@pytest.mark.parametrize("n_drawn", [400, 2_000])
@pytest.mark.parametrize(("power", "lowest", "highest"), [(0, 1.2, 1.6), (1, 0.9, 1.3)])
def test_the_error_of_hits_is_that_over_other_draws(n_drawn, power, lowest, highest):
    """2,000 draws from 5,000 kinds, drawn again 400 times: their own spread is known to 3.5%.

    For equal kinds the error comes out sqrt 2 too large: a draw alone then says nothing of the
    others, and the jackknife counts the effect of each pair twice.
    """
    random = np.random.default_rng(0)
    shares = 1.0 / np.arange(1, 5_001) ** power
    shares /= shares.sum()
    hits, errors = [], []
    for _ in range(400):
        counts = random.multinomial(2_000, shares)
        hits.append(expected_hits(counts, n_drawn))
        errors.append(expected_hits_error(counts, n_drawn))
    assert lowest < np.mean(errors) / np.std(hits) < highest


@settings(deadline=None)
@given(few)
def test_same_kind_is_the_share_of_equal_pairs(counts):
    def equal_pairs(draws):
        pairs = [a == b for a, b in itertools.combinations(draws, 2)]
        return sum(pairs) / len(pairs)

    draws = draws_of(counts)
    found, error = same_kind(np.array(counts))
    assert found == pytest.approx(equal_pairs(draws), rel=1e-14)
    assert error == pytest.approx(jackknife(equal_pairs, draws), rel=1e-12, abs=1e-7)


def test_same_kind_does_not_depend_on_how_many_were_drawn():
    random = np.random.default_rng(1)
    for n_draws in (1_000, 10_000):
        found = [same_kind(np.bincount(random.integers(0, 50, n_draws))) for _ in range(100)]
        means, errors = np.mean(found, axis=0)
        spread = np.std(found, axis=0)[0]
        assert means == pytest.approx(1 / 50, abs=4 * spread / 10)
        assert 0.7 < errors / spread < 1.7


def test_total_variation():
    assert total_variation(np.array([3, 1]), np.array([300, 100])) == 0.0
    assert total_variation(np.array([3, 0]), np.array([0, 5])) == 1.0
    # shares 1/2, 1/2, 0 against 1/4, 1/4, 1/2: half the draws would have to change
    assert total_variation(np.array([5, 5, 0]), np.array([1, 1, 2])) == 0.5


def test_effective_kinds():
    assert effective_kinds(np.array([7, 0, 7, 7])) == pytest.approx(3.0, rel=1e-15)
    assert effective_kinds(np.array([0, 9])) == 1.0
    assert 1 < effective_kinds(np.array([9, 1])) < 2


@pytest.mark.parametrize("counts", [[1, 1], [3, 1], [5, 2, 1], [2, 0, 1]])
@pytest.mark.parametrize("n_drawn", [1, 4, 7])
def test_expected_balance_is_the_mean_over_all_draws(counts, n_drawn):
    shares = np.array(counts) / sum(counts)
    difference = entropy = 0.0
    for drawn in itertools.product(range(len(counts)), repeat=n_drawn):
        found = np.bincount(drawn, minlength=len(counts))
        mass = math.prod(shares[list(drawn)])
        difference += mass * total_variation(found, np.array(counts))
        entropy += mass * math.log(effective_kinds(found))
    assert expected_balance(np.array(counts), n_drawn) == pytest.approx(
        (difference, math.exp(entropy)), rel=1e-12
    )


def test_expected_balance_of_one_kind_and_of_many_draws():
    assert expected_balance(np.array([0, 4]), 10) == (0.0, 1.0)
    difference, kinds = expected_balance(np.full(10, 500), 10_000)
    # ten binomial counts, near enough to normal: 10/2 E|N(0, .1 .9 / n)|
    normal = 5 * math.sqrt(2 / math.pi * 0.09 / 10_000)
    assert difference == pytest.approx(normal, rel=1e-3)
    assert 9.99 < kinds < 10
