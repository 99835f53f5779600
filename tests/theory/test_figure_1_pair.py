"""The density of Figure 1's data, and p_g without sampling, against what is known exactly."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fastgan import theory
from fastgan.figure_1_pair import (
    LATENT_END,
    N_PIECES,
    P_DATA,
    RECIPE,
    CosineBumps,
    cell_middles,
    grid_edges,
    images_of_latent,
    prepare,
    push_forward,
)
from fastgan.models import Discriminator, Generator
from fastgan.recipes import DenseLayer
from fastgan.training import train

Vector = NDArray[np.float64]
LATENT = np.linspace(-LATENT_END, LATENT_END, 1001)
EDGES = np.concatenate(([-np.inf], np.linspace(-2, 2, 41), [np.inf]))


def below_by_ramps(images: Vector, x: Vector) -> Vector:
    """Return P(G(z) < x) piece by piece: the slow way, and the plain one."""
    low, high = np.minimum(images[1:], images[:-1]), np.maximum(images[1:], images[:-1])
    return np.array(
        [np.mean(np.clip((value - low) / np.maximum(high - low, 1e-300), 0, 1)) for value in x]
    )


def test_the_density_is_the_derivative_of_the_distribution_function() -> None:
    x = np.linspace(-3, 3.2, 20_001)
    total = np.concatenate(([0], np.cumsum((P_DATA.density(x)[1:] + P_DATA.density(x)[:-1]) / 2)))
    # The trapezoid rule's error is h^2 / 12 times the second derivative, below 1, and the kinks'.
    assert P_DATA.below(x) == pytest.approx(total * (x[1] - x[0]), abs=1e-7)
    assert P_DATA.below(np.array([-np.inf, -2.51, 2.81, np.inf])).tolist() == [0, 0, 1, 1]
    assert (P_DATA.density(np.array([-9.0, -2.5, 2.8001, 9.0])) == 0).all()


def test_draws_have_the_distribution() -> None:
    n = 100_000
    drawn = np.sort(P_DATA.draw(n, 3, 0)[:, 0].double().numpy())
    below = P_DATA.below(drawn)
    ranks = np.arange(n + 1) / n
    distance = max(np.max(ranks[1:] - below), np.max(below - ranks[:-1]))
    assert distance < 1.95 / math.sqrt(n)  # Kolmogorov: passed by 999 draws of 1,000
    wrong = CosineBumps((0.47, 0.53), P_DATA.middles, P_DATA.half_widths)
    assert np.max(np.abs(wrong.below(drawn) - ranks[1:])) > 1.95 / math.sqrt(n)


def test_a_row_is_the_same_however_many_are_drawn() -> None:
    assert torch.equal(P_DATA.draw(7, 5, 9), P_DATA.draw(1000, 5, 9)[:7])
    draws = [
        P_DATA.draw(50, *key, passage=p) for *key, p in [(5, 9, 1), (5, 9, 2), (5, 8, 1), (4, 9, 1)]
    ]
    for number, draw in enumerate(draws):
        assert draw.shape == (50, 1)
        assert draw.dtype == torch.float32
        assert not any(torch.equal(draw, other) for other in draws[:number])


@pytest.mark.parametrize(
    ("bumps", "message"),
    [
        (((1.0,), (0.0, 1.0), (1.0,)), "expected one number a bump in each, got 1, 2 and 1"),
        (((), (), ()), "expected one number a bump in each, got 0, 0 and 0"),
        (((1.0,), (0.0,), (0.0,)), "half_widths: expected numbers above 0"),
        (((0.5, 0.4), (0.0, 1.0), (1.0, 1.0)), "shares: expected .* that add up to 1"),
        (((1.5, -0.5), (0.0, 1.0), (1.0, 1.0)), "shares: expected numbers of at least 0"),
    ],
)
def test_wrong_bumps(bumps: tuple[tuple[float, ...], ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CosineBumps(*bumps)


def test_the_identity_leaves_the_uniform_density() -> None:
    found = push_forward(LATENT, EDGES)
    inner = np.diff(EDGES[1:-1])
    covered = np.clip(EDGES[2:-1], -LATENT_END, LATENT_END) - np.clip(
        EDGES[1:-2], -LATENT_END, LATENT_END
    )
    assert inner == pytest.approx(0.1)
    assert found[1:-1] == pytest.approx(covered / (2 * LATENT_END), abs=1e-15)
    assert found[[0, -1]].tolist() == [0, 0]


def test_a_fold_doubles_the_density_and_a_flat_piece_is_an_atom() -> None:
    folded = push_forward(np.abs(LATENT), EDGES)
    assert folded[:21].sum() == 0
    assert folded[21:37] == pytest.approx(0.1 / LATENT_END, abs=1e-15)
    flat = push_forward(np.where(LATENT < 0, 0.55, 0.55 + LATENT), EDGES)
    assert flat[26] == pytest.approx(0.5 + 0.05 / (2 * LATENT_END), abs=1e-15)
    assert push_forward(np.full(8, 0.5501), EDGES)[26] == 1


def test_steep_pieces_reach_over_many_cells_and_out_of_the_grid() -> None:
    found = push_forward(np.array([-1.0, 3.0, 3.0, -7.0]), EDGES)
    assert found.sum() == pytest.approx(1, abs=1e-15)
    assert found[-1] == pytest.approx((1 / 4 + 1 + 1 / 10) / 3, abs=1e-15)
    assert found[0] == pytest.approx(5 / 10 / 3, abs=1e-15)
    assert found[1:-1].sum() == pytest.approx((3 / 4 + 4 / 10) / 3, abs=1e-15)


@pytest.mark.parametrize("seed", range(20))
def test_any_path_has_the_distribution_of_its_pieces(seed: int) -> None:
    random = np.random.default_rng(seed)
    images = random.normal(0, 1.2, 60)
    images[10:13] = images[10]  # a flat piece
    images[20] = EDGES[7]  # an end on an edge
    found = np.cumsum(push_forward(images, EDGES))[:-1]
    assert found == pytest.approx(below_by_ramps(images, EDGES[1:-1]), abs=1e-13)


def test_a_relu_generators_density_is_known_by_hand() -> None:
    # G(z) = 2 relu(z) - relu(-z) / 2 has slopes 1/2 below 0 and 2 above it.
    layers = (DenseLayer(2, "relu", initial_range=1.0), DenseLayer(1, "linear", initial_range=1.0))
    generator = Generator(RECIPE.replace(generator=layers))
    with torch.no_grad():
        generator.layers[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        generator.layers[1].weight.copy_(torch.tensor([[2.0, -0.5]]))
    edges = grid_edges()
    density = push_forward(images_of_latent(generator), edges)[1:-1] / np.diff(edges[1:-1])
    x = cell_middles(edges)[1:-1]
    inside = 1 / (2 * LATENT_END)
    # Pieces are 1e-4 long, and float32 leaves 1e-7 in each.
    assert density[(x > -0.85) & (x < -0.01)] == pytest.approx(2 * inside, rel=1e-3)
    assert density[(x > 0.01) & (x < 3.45)] == pytest.approx(inside / 2, rel=1e-3)
    assert density[(x < -0.88) | (x > 3.48)].sum() == 0


def test_more_pieces_hardly_move_the_divergence() -> None:
    generator = Generator(RECIPE, seed=0)
    prepare(generator, Discriminator(RECIPE, seed=0), 0)
    edges = grid_edges()
    data = np.diff(P_DATA.below(edges))
    coarse, fine = (
        theory.jensen_shannon(data, push_forward(images_of_latent(generator, n), edges))
        for n in (N_PIECES, 4 * N_PIECES)
    )
    assert coarse > 0.1
    assert abs(coarse - fine) < 1e-5


@pytest.mark.parametrize("seed", range(8))
def test_the_generator_rises_and_starts_far_from_the_data(seed: int) -> None:
    generator = Generator(RECIPE, seed=seed)
    before = generator.layers[0].weight.detach().clone()
    prepare(generator, Discriminator(RECIPE, seed=seed), seed)
    images = images_of_latent(generator, 4_000)
    assert (np.diff(images) > 0).all()
    assert torch.equal(generator.layers[0].weight.abs(), before.abs())
    edges = grid_edges()
    data = np.diff(P_DATA.below(edges))
    assert theory.jensen_shannon(data, push_forward(images, edges)) > 0.1


def test_kinks_are_spread_over_the_line_by_the_seed() -> None:
    places = []
    for seed in (0, 0, 1):
        generator, discriminator = Generator(RECIPE, seed=seed), Discriminator(RECIPE, seed=seed)
        prepare(generator, discriminator, seed)
        for module, end in ((generator, 1.15 * LATENT_END), (discriminator, 3.5)):
            layer = module.layers[0]
            kinks = (-layer.bias / layer.weight[:, 0]).detach()
            assert kinks.abs().max() <= end * (1 + 1e-5)
            assert kinks.min() < -0.9 * end < 0.9 * end < kinks.max()
            places.append(kinks)
    assert torch.equal(places[0], places[2])
    assert not torch.equal(places[0], places[4])
    assert not torch.equal(places[0], places[1])  # G's and D's are other draws


@pytest.mark.parametrize("images", [[0.0], [0.0, math.nan], [0.0, math.inf]])
def test_images_that_are_none(images: list[float]) -> None:
    with pytest.raises(ValueError, match="images: expected at least two finite numbers"):
        push_forward(np.array(images), EDGES)


def test_the_recipe_and_the_density_fit_the_ordinary_loop(tmp_path: Path) -> None:
    dataset = P_DATA.dataset(1_000, 0)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (800, 100, 100)
    assert dataset.image_shape == (1, 1, 1)
    recipe = RECIPE.replace(k=2, n_samples=200)
    run = train(recipe, dataset=dataset, folder=tmp_path, sample_grids=False, progress=False)
    assert run.status == "finished"
    assert math.isfinite(run.metrics[-1]["validation_log_likelihood"])
    with pytest.raises(ValueError, match="n_rows: expected at least 10, got 9"):
        P_DATA.dataset(9, 0)
