"""Section 4 of the paper on discrete distributions, where everything is known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fastgan import theory

LOG_4 = math.log(4)
# Sums of a few terms of order 1 in float64.
ROUNDING = 1e-13


def normalised(counts: list[int]) -> NDArray[np.float64]:
    return np.array(counts, dtype=float) / sum(counts)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two distributions on a few points, with many zeros, apart or shared."""
    n = draw(st.integers(1, 7))
    counts = st.lists(st.integers(0, 1000) | st.just(0), min_size=n, max_size=n)
    some = counts.filter(lambda found: sum(found) > 0)
    return normalised(draw(some)), normalised(draw(some))


def entropy_form(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """Return the divergence as H((p + q) / 2) - (H(p) + H(q)) / 2: another formula (Lin 1991)."""

    def entropy(r: NDArray[np.float64]) -> float:
        return -sum(x * math.log(x) for x in r.tolist() if x > 0)

    return entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2


@settings(deadline=None)
@given(pairs())
@example((np.array([1.0, 0.0]), np.array([0.0, 1.0])))
@example((np.array([0.5, 0.5, 0.0]), np.array([0.0, 0.5, 0.5])))
def test_the_criterion_is_the_divergence(
    pair: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> None:
    p, q = pair
    divergence = theory.jensen_shannon(p, q)
    assert divergence == pytest.approx(entropy_form(p, q), abs=ROUNDING)
    assert theory.criterion(p, q) == pytest.approx(-LOG_4 + 2 * divergence, abs=ROUNDING)
    assert theory.jensen_shannon(q, p) == divergence
    assert 0 <= divergence <= math.log(2)


@settings(deadline=None)
@given(pairs())
def test_only_equality_reaches_the_least_criterion(
    pair: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> None:
    # Pinsker's inequality on each half of the divergence, and Lin's bound from above: what is not
    # equal is above -log 4 by a number that is known, and no further than another.
    p, q = pair
    distance = sum(abs(a - b) for a, b in zip(p.tolist(), q.tolist(), strict=True)) / 2
    above = theory.criterion(p, q) + LOG_4
    assert theory.total_variation(p, q) == pytest.approx(distance, abs=ROUNDING)
    assert distance**2 - ROUNDING <= above <= 2 * math.log(2) * distance + ROUNDING
    if not np.array_equal(p, q):
        assert theory.jensen_shannon(p, q) > 0
    assert theory.criterion(p, p) == pytest.approx(theory.LEAST_CRITERION, abs=ROUNDING)
    assert theory.jensen_shannon(p, p) == 0


@settings(deadline=None)
@given(pairs(), st.data())
def test_no_other_discriminator_is_better(
    pair: tuple[NDArray[np.float64], NDArray[np.float64]], data: st.DataObject
) -> None:
    # V(D*) - V(D) is the sum of (p + q) KL(D* || D), two outcomes each: Pinsker says how much.
    p, q = pair
    best = theory.optimal_discriminator(p, q)
    highest = theory.value(p, q, best)
    probabilities = st.floats(0, 1)
    other = np.array(data.draw(st.lists(probabilities, min_size=len(p), max_size=len(p))))
    lost = 2 * np.sum((p + q) * (best - other) ** 2)
    assert theory.value(p, q, other) <= highest - lost + ROUNDING
    assert highest == pytest.approx(theory.criterion(p, q), abs=ROUNDING)


@settings(max_examples=30, deadline=None)
@given(pairs())
def test_the_best_of_all_discriminators_on_a_grid_is_the_optimal_one(
    pair: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> None:
    # Points do not touch each other: V is a sum, so each point's best is found alone.
    p, q = pair
    grid = np.arange(1, 1000) / 1000
    best = theory.optimal_discriminator(p, q)
    for i in np.flatnonzero(p + q):
        values = p[i] * np.log(grid) + q[i] * np.log(1 - grid)
        assert abs(grid[values.argmax()] - best[i]) <= 1.001e-3
    assert (best[p + q == 0] == 0.5).all()


def test_a_case_by_hand() -> None:
    p, q = [1 / 2, 1 / 2], [1 / 4, 3 / 4]
    assert theory.optimal_discriminator(p, q) == pytest.approx([2 / 3, 2 / 5], abs=1e-16)
    by_hand = (
        math.log(2 / 3) / 2 + math.log(2 / 5) / 2 + math.log(1 / 3) / 4 + 3 * math.log(3 / 5) / 4
    )
    assert theory.criterion(p, q) == pytest.approx(by_hand, abs=1e-15)
    assert theory.value(p, q, [0.5, 0.5]) == pytest.approx(-LOG_4, abs=1e-15)


def test_what_shares_no_point_is_told_apart_wholly() -> None:
    p, q = [0.3, 0.7, 0, 0], [0, 0, 0.1, 0.9]
    assert theory.optimal_discriminator(p, q).tolist() == [1, 1, 0, 0]
    assert theory.criterion(p, q) == 0
    assert theory.jensen_shannon(p, q) == pytest.approx(math.log(2), abs=1e-16)
    assert theory.total_variation(p, q) == 1
    assert theory.value(p, q, [1, 1, 0, 0]) == 0
    assert theory.value(p, q, [0, 1, 0, 0]) == -math.inf
    assert theory.value(p, q, [1, 1, 1, 0]) == -math.inf


@pytest.mark.parametrize("difference", [1e-2, 1e-5, 1e-8, 1e-11])
def test_small_divergences_are_not_lost_to_rounding(difference: float) -> None:
    # To second order the divergence is sum (p - q)^2 / (4 (p + q)).
    p = np.array([0.3 + difference, 0.7 - difference])
    q = np.array([0.3, 0.7])
    expected = np.sum((p - q) ** 2 / (4 * (p + q)))
    found = theory.jensen_shannon(p, q)
    # The next term of the series is t^2 / 6 of it, t at most difference / .6; the terms of first
    # order cancel, and leave eps / difference of their rounding.
    assert found == pytest.approx(expected, rel=difference**2 + 8e-16 / difference, abs=0)


@settings(deadline=None)
@given(pairs(), st.integers(0, 6))
def test_joining_two_points_hides_and_never_adds(
    pair: tuple[NDArray[np.float64], NDArray[np.float64]], at: int
) -> None:
    p, q = pair
    at %= len(p)
    joined = [np.append(np.delete(r, at)[1:], r[at] + np.delete(r, at)[:1].sum()) for r in (p, q)]
    assert theory.jensen_shannon(*joined) <= theory.jensen_shannon(p, q) + ROUNDING


def test_densities_on_a_grid_with_weights() -> None:
    # Uniform on [0, 1] and on [1/2, 3/2]: half of each lies apart, where m is 1/2 of the density.
    n = 3000
    x = (np.arange(n) + 0.5) * 1.5 / n
    weights = np.full(n, 1.5 / n)
    p, q = (x < 1).astype(float), (x > 0.5).astype(float)
    assert theory.jensen_shannon(p, q, weights) == pytest.approx(math.log(2) / 2, abs=1e-12)
    assert theory.criterion(p, q, weights) == pytest.approx(-math.log(2), abs=1e-12)
    assert theory.total_variation(p, q, weights) == pytest.approx(0.5, abs=1e-12)
    half = np.full(n, 0.5)
    assert theory.value(p, q, half, weights) == pytest.approx(-LOG_4, abs=1e-12)
    assert set(theory.optimal_discriminator(p, q, weights).tolist()) == {0.0, 0.5, 1.0}


def test_unequal_weights_are_a_change_of_grid() -> None:
    # The same two triangles, p(x) = 2x and q(x) = 2 - 2x on [0, 1], on an even and an uneven grid:
    # JSD = log 2 - 1/2, as each half is the integral of 2x log 2x dx = log 2 - 1/2.
    exact = math.log(2) - 0.5
    for edges in (np.linspace(0, 1, 2001), np.linspace(0, 1, 2001) ** 2):
        weights = np.diff(edges)
        x = (edges[1:] + edges[:-1]) / 2
        found = theory.jensen_shannon(2 * x, 2 - 2 * x, weights)
        assert found == pytest.approx(exact, abs=1e-6)  # the midpoint rule's error at 2000 cells


def test_the_least_probabilities_give_no_nan() -> None:
    least = 5e-324
    p, q = [1.0, least, 0.0, 0.0], [1.0, 0.0, least, 0.0]
    assert theory.optimal_discriminator(p, q).tolist() == [0.5, 1.0, 0.0, 0.5]
    assert math.isfinite(theory.criterion(p, q))
    assert theory.jensen_shannon(p, q) == pytest.approx(0, abs=1e-300)


def test_a_trace_of_one_among_much_of_the_other_is_no_infinity() -> None:
    # D* is 1 to the last place at the first point, though p_g is not 0 there.
    p, q = [0.5, 0.5], [1e-20, 1.0]
    assert theory.optimal_discriminator(p, q)[0] == 1
    expected = 0.5 * math.log(1 / 3) + math.log(2 / 3) + 1e-20 * math.log(2e-20)
    assert theory.criterion(p, q) == pytest.approx(expected, abs=1e-15)
    assert theory.criterion(q, p) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 0.5], [1.0]), r"p_g: expected shape \(2,\) like p_data, got shape \(1,\)"),
        (([0.5, 0.5], [0.7, 0.7]), "p_g: expected numbers that add up to 1 .* got 1.4"),
        (([5.0, 5.0], [0.5, 0.5]), "p_data: expected numbers that add up to 1 .* got 10"),
        (([1.5, -0.5], [0.5, 0.5]), "p_data: expected finite numbers of at least 0"),
        (([0.5, 0.5], [0.5, math.nan]), "p_g: expected finite numbers of at least 0"),
        (([0.5, 0.5], [math.inf, 0.5]), "p_g: expected finite numbers of at least 0"),
        (([], []), r"p_data: expected 1 dimension \(n,\), n at least 1, got shape \(0,\)"),
        (([[1.0]], [[1.0]]), r"p_data: expected 1 dimension .* got shape \(1, 1\)"),
        (([0.5, 0.5], [0.5, 0.5], [1.0]), r"weights: expected shape \(2,\) like p_data"),
        (([0.5, 0.5], [0.5, 0.5], [2.0, 2.0]), "p_data: expected numbers that add up to 1"),
    ],
)
def test_wrong_distributions(arguments: tuple[list[float], ...], message: str) -> None:
    functions = (
        theory.optimal_discriminator, theory.criterion, theory.jensen_shannon,
        theory.total_variation,
    )  # fmt: skip
    for function in functions:
        with pytest.raises(ValueError, match=message):
            function(*arguments)


def test_wrong_discriminators() -> None:
    with pytest.raises(ValueError, match=r"discriminator: expected shape \(2,\) like p_data"):
        theory.value([0.5, 0.5], [0.5, 0.5], [0.5])
    for wrong in (1.1, -0.1, math.nan):
        with pytest.raises(ValueError, match=r"discriminator: expected probabilities in \[0, 1\]"):
            theory.value([0.5, 0.5], [0.5, 0.5], [0.5, wrong])
