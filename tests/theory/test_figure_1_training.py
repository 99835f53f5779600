"""The pair of Figure 1 as it trains: what is measured is right, and the theory is seen in it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from fastgan import theory
from fastgan.figure_1_pair import (
    P_DATA,
    RECIPE,
    grid_edges,
    images_of_latent,
    prepare,
    push_forward,
)
from fastgan.figure_1_snapshot import (
    SAMPLE_COUNTS,
    Snapshot,
    arrow_latent,
    drawn_density,
    drawn_points,
    plug_in_jensen_shannon,
    take_snapshot,
)
from fastgan.figure_1_training import snapshot_moments, train_pair
from fastgan.recipes import MaxoutLayer
from fastgan.steps import AutogradStep, make_step

N_ALONE, N_TOGETHER = 3_000, 3_000


@pytest.fixture(scope="module")
def seen() -> list[Snapshot]:
    return train_pair(0, n_alone=N_ALONE, n_together=N_TOGETHER, n_snapshots=16)


def error_of_a_constant(snapshot: Snapshot, constant: float = 0.5) -> float:
    """Return the mean |c - D*| under (p_data + p_g) / 2, from the curves that are drawn."""
    data, model = np.array(drawn_density(P_DATA)), np.array(snapshot.p_g)
    width = drawn_points()[1] - drawn_points()[0]
    return float(np.sum(0.5 * np.abs(constant * (data + model) - data)) * width)


def test_trained_alone_the_discriminator_comes_to_the_optimal_one(seen: list[Snapshot]) -> None:
    alone = [snapshot for snapshot in seen if snapshot.n_generator_updates == 0]
    first, last = alone[0], alone[-1]
    assert last.n_discriminator_updates == N_ALONE
    assert {snapshot.jensen_shannon for snapshot in alone} == {last.jensen_shannon}
    assert last.jensen_shannon > 0.1  # p_g is far from p_data, and stands still
    assert last.p_g == first.p_g
    assert first.discriminator_error > 0.2
    assert last.discriminator_error < 0.05
    # what a constant D could have at best
    assert min(error_of_a_constant(last, c) for c in np.linspace(0, 1, 101)) > 0.15
    # and V has come to its maximum, C(G), from below
    assert last.criterion - last.value < 0.06 < 0.5 < first.criterion - first.value


def test_the_generator_lowers_the_criterion(seen: list[Snapshot]) -> None:
    last = seen[-1]
    assert last.n_discriminator_updates == N_ALONE + N_TOGETHER
    assert last.jensen_shannon < 0.05 < 0.2 < seen[0].jensen_shannon
    assert last.p_g != seen[0].p_g


def test_the_theory_holds_at_every_moment(seen: list[Snapshot]) -> None:
    for one in seen:
        assert one.criterion == pytest.approx(
            theory.LEAST_CRITERION + 2 * one.jensen_shannon, abs=1e-12
        )
        assert one.total_variation**2 <= one.criterion - theory.LEAST_CRITERION
        assert one.value <= one.criterion
        assert one.jensen_shannon_half_grid <= one.jensen_shannon
        assert one.bars_jensen_shannon <= one.jensen_shannon_half_grid
        # V(D*) - V(D) is at least 4 times the mean (D* - D)^2 under the mixture (Pinsker), so at
        # least 4 times the square of the mean |D* - D| (Jensen)
        assert one.criterion - one.value >= 4 * one.discriminator_error**2


def test_samples_say_what_the_quadrature_says(seen: list[Snapshot]) -> None:
    for one in seen:
        for name in ("criterion", "value"):
            error = getattr(one, f"{name}_standard_error")
            difference = getattr(one, f"{name}_sampled") - getattr(one, name)
            assert 0 < error < 0.03
            # 4.5 errors: 32 differences exceed it by chance once in 5,000 runs. And D bends within
            # a cell of .005, where the quadrature has it in the middle: 2e-4 at most.
            assert abs(difference) < 4.5 * error + 2e-4
        bars = one.bars_jensen_shannon
        assert one.plug_in_jensen_shannon[-1] == pytest.approx(bars, abs=0.01)
        assert one.plug_in_jensen_shannon[0] > bars  # biased: 100 samples in some 60 bars


def test_the_plug_in_estimate_is_biased_as_the_likelihood_ratio_says() -> None:
    # p = q over 20 bars, 400 times two histograms of 2,000 draws: the mean is (20 - 1) / (4 n),
    # its standard error sqrt(2 / 19 / 400) = 1.6 % of it; second order in 1 / n is 1 %.
    random = np.random.default_rng(0)
    n_bars, n = 20, 2_000
    found = [
        plug_in_jensen_shannon(*random.integers(0, n_bars, (2, n)), n_bars) for _ in range(400)
    ]
    assert np.mean(found) == pytest.approx((n_bars - 1) / (4 * n), rel=0.06)


def test_the_expected_bias_is_what_is_seen_near_the_end(seen: list[Snapshot]) -> None:
    one = seen[-1]
    assert one.expected_bias(1_000) == (one.n_bars - 1) / 4_000
    assert 60 <= one.n_bars <= 102
    excess = [found - one.bars_jensen_shannon for found in one.plug_in_jensen_shannon]
    assert excess[0] > excess[1] > excess[2] > abs(excess[3]) - 1e-3
    assert excess[1] == pytest.approx(one.expected_bias(1_000), rel=0.6)


def test_a_snapshot_is_what_another_way_finds() -> None:
    step = make_step(RECIPE, seed=2)
    prepare(step.generator, step.discriminator, 2)
    one = take_snapshot(step, P_DATA, 2, 0)
    edges = grid_edges()
    model = push_forward(images_of_latent(step.generator), edges)
    data = np.diff(P_DATA.below(edges))
    x = torch.linspace(-4, 4, 1601, dtype=torch.float64)
    middles = ((x[1:] + x[:-1]) / 2).to(torch.float32).unsqueeze(1)
    with torch.no_grad():
        d = torch.sigmoid(step.discriminator(middles)).double().numpy()
        arrows = step.generator(torch.tensor(arrow_latent(), dtype=torch.float32)[:, None])[:, 0]
    p, q = data[1:-1], model[1:-1]
    with np.errstate(invalid="ignore"):
        error = np.nansum((p + q) / 2 * np.abs(d - p / (p + q)))
        value = np.nansum(p * np.log(d) + q * np.log(1 - d))
    assert one.discriminator_error == pytest.approx(error, rel=1e-5)
    assert one.value == pytest.approx(value, rel=1e-5)
    assert one.arrows == pytest.approx(arrows.tolist(), abs=1e-3)
    assert one.p_g == pytest.approx(q.reshape(-1, 8).sum(axis=1) / 0.04, rel=1e-4)
    assert one.discriminator == pytest.approx(d.reshape(-1, 8).mean(axis=1), rel=1e-4)
    assert len(one.plug_in_jensen_shannon) == len(SAMPLE_COUNTS)


def test_measuring_changes_nothing_and_knows_no_dropout() -> None:
    masked = RECIPE.replace(
        discriminator=(MaxoutLayer(8, 2, include_probability=0.5, initial_range=1.0),),
        output_include_probability=0.5,
    )
    step = make_step(masked, seed=1)
    before = {name: value.clone() for name, value in step.state_dict().items()}
    torch_state = torch.get_rng_state()
    first, second = (take_snapshot(step, P_DATA, 1, 0) for _ in range(2))
    assert first == second
    assert step.discriminator.training
    assert torch.equal(torch.get_rng_state(), torch_state)
    for name, value in step.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert first.value_sampled == pytest.approx(first.value, abs=5 * first.value_standard_error)


def test_a_saturated_discriminator_has_a_finite_value() -> None:
    step = make_step(RECIPE, seed=0)
    with torch.no_grad():
        step.discriminator.output.bias.fill_(200.0)
    one = take_snapshot(step, P_DATA, 0, 0)
    assert -260 < one.value < -150
    assert set(one.discriminator) == {1.0}


def test_the_generator_moves_once_in_k_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastgan.figure_1_training import take_snapshot as take

    weights = []

    def kept(step: AutogradStep, *rest: object) -> Snapshot:
        weights.append(step.generator.layers[0].weight.detach().clone())
        return take(step, *rest)

    monkeypatch.setattr("fastgan.figure_1_training.take_snapshot", kept)
    monkeypatch.setattr("fastgan.figure_1_snapshot.N_SAMPLED", 1_000)
    monkeypatch.setattr(
        "fastgan.figure_1_training.snapshot_moments", lambda *_: frozenset(range(41))
    )
    found = train_pair(0, recipe=RECIPE.replace(k=7), n_alone=16, n_together=24)
    moved = [not torch.equal(a, b) for a, b in itertools.pairwise(weights)]
    counted = [b.n_generator_updates - a.n_generator_updates for a, b in itertools.pairwise(found)]
    assert [int(one) for one in moved] == counted
    assert np.flatnonzero(moved).tolist() == [20, 27, 34]  # never before 16, then every seventh


def test_a_seed_is_a_run_and_leaves_torch_as_it_was() -> None:
    torch_state, n_threads = torch.get_rng_state(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        runs = [train_pair(seed, n_alone=40, n_together=80, n_snapshots=4) for seed in (3, 3, 4)]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(n_threads)
    assert runs[0] == runs[1] != runs[2]
    assert torch.equal(torch.get_rng_state(), torch_state)


def test_moments_are_many_at_first_and_hold_the_ends() -> None:
    moments = sorted(snapshot_moments(10_000, 60_000, 80))
    assert moments[0] == 0
    assert moments[-1] == 70_000
    assert 10_000 in moments
    assert 70 <= len(moments) <= 80
    assert sum(moment <= 10_000 for moment in moments) >= 15
    assert sorted(snapshot_moments(1, 40, 4))[-1] == 41


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    train_pair(0, n_alone=10, n_together=40, n_snapshots=5, progress=lambda *t: told.append(t))
    assert told[0] == (0, 50)
    assert told[-1] == (50, 50)
    assert told == sorted(told)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recipe": RECIPE.replace(n_latent=2)}, "recipe: expected one latent number, uniform"),
        ({"recipe": RECIPE.replace(latent="normal")}, r"got 1 \(normal\) and 1"),
        (
            {"recipe": RECIPE.replace(schedule="simultaneous", k=1)},
            "recipe: expected schedule 'alternating', got 'simultaneous'",
        ),
        ({"seed": -1}, "seed: expected an integer of at least 0"),
        ({"n_alone": 0}, "n_alone: expected an integer of at least 1"),
        ({"n_together": 39}, "n_together: expected an integer of at least 40"),
        ({"n_snapshots": 3}, "n_snapshots: expected an integer of at least 4"),
        (
            {"recipe": RECIPE.replace(learning_rate=1e30), "n_alone": 30, "n_together": 40},
            "recipe: expected finite numbers of G and D.* the pair of seed 0 diverged",
        ),
    ],
)
def test_what_cannot_be_trained(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train_pair(**arguments)


def test_the_criterion_of_equal_distributions_is_the_least() -> None:
    data = np.diff(P_DATA.below(grid_edges()))
    assert theory.criterion(data, data) == pytest.approx(-math.log(4), abs=1e-14)
