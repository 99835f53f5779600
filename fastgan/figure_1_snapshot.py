"""What is measured of a one-dimensional pair at one moment, by quadrature and from samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fastgan import theory
from fastgan.figure_1_pair import (
    LATENT_END,
    CosineBumps,
    Vector,
    cell_middles,
    grid_edges,
    images_of_latent,
    logits_at,
    push_forward,
)
from fastgan.models import Generator
from fastgan.training_step import TrainingStep

Numbers: TypeAlias = "NDArray[np.int64]"

N_SAMPLED = 100_000  # of each, under the Monte Carlo estimates
SAMPLE_COUNTS = (100, 1_000, 10_000, N_SAMPLED)  # under the plug-in estimates of the divergence
CELLS_A_BAR = 16  # cells of the quadrature in one bar of the plug-in estimator's histogram
CELLS_A_POINT = 8  # and in one point of the curves that are drawn
N_ARROWS = 25  # z whose way to x = G(z) is drawn
SAMPLING_PASSAGE = 2  # of the stream FIGURES: x that judge, apart from those that train


@dataclass(frozen=True)
class Snapshot:
    """A pair at one moment. Logarithms are natural: all divergences and values are in nats.

    "By quadrature" is on the cells of :func:`fastgan.figure_1_pair.grid_edges`, with the exact
    probability of each under p_data and under p_g. "Sampled" is the mean over 100,000 x and
    100,000 z drawn for this snapshot, with its standard error.

    The plug-in estimates put n samples of each into the bars of a histogram and take the
    divergence of the two histograms, as one must who knows neither density. They lie too high: by
    about (bars - 1) / (4 n) where the two are alike, so they are given for several n, beside the
    divergence by quadrature on the same bars, at which they aim.
    """

    n_discriminator_updates: int
    n_generator_updates: int
    jensen_shannon: float  # by quadrature
    jensen_shannon_half_grid: float  # the same on cells of twice the width: what the grid hides
    total_variation: float
    criterion: float  # C(G) by quadrature
    criterion_sampled: float
    criterion_standard_error: float
    value: float  # V(D, G) by quadrature, D taken in the middle of each cell
    value_sampled: float
    value_standard_error: float
    discriminator_error: float  # mean |D - D*| under (p_data + p_g) / 2
    bars_jensen_shannon: float  # by quadrature on the bars of the plug-in estimates
    plug_in_jensen_shannon: tuple[float, ...]  # one for each of SAMPLE_COUNTS
    n_bars: int  # of the bars, those where p_data or p_g has probability
    p_g: tuple[float, ...]  # density on the points that are drawn
    discriminator: tuple[float, ...]  # D on these points
    arrows: tuple[float, ...]  # G at N_ARROWS equally spaced z

    def expected_bias(self, n_samples: int) -> float:
        """Return the plug-in estimate's bias where p_g = p_data, to first order in 1 / n.

        4 n JSD of two histograms of n draws each is the likelihood ratio statistic of the question
        whether both are draws of one distribution; where they are, its mean is bars - 1 for large
        n (Wilks 1938).
        """
        return (self.n_bars - 1) / (4.0 * n_samples)


def take_snapshot(
    step: TrainingStep, p_data: CosineBumps, seed: int, n_generator_updates: int
) -> Snapshot:
    """Measure a pair as it stands, D without its dropout if it has any; nothing of it changes.

    Parameters
    ----------
    step : TrainingStep
        Of a :class:`fastgan.Generator` of one uniform z and one output, and a discriminator of it.
    p_data : CosineBumps
    seed : int
        Key of the x and z that are drawn; ``step.update`` is their Philox step.
    n_generator_updates : int
        What the snapshot is to say of G.

    Raises
    ------
    ValueError
        If the pair has diverged: G or D gives numbers that are not finite.
    """
    was_training = step.discriminator.training
    step.discriminator.eval()  # in training mode a call counts itself, and draws masks
    try:
        return _measured(step, p_data, seed, n_generator_updates)
    finally:
        step.discriminator.train(was_training)


def _measured(
    step: TrainingStep, p_data: CosineBumps, seed: int, n_generator_updates: int
) -> Snapshot:
    generator = cast("Generator", step.generator)
    edges = grid_edges()
    data = np.diff(p_data.below(edges))
    images = images_of_latent(generator)
    logits = torch.from_numpy(logits_at(step.discriminator, cell_middles(edges)))
    if not (bool(np.isfinite(images).all()) and bool(logits.isfinite().all())):
        raise ValueError(
            "recipe: expected finite numbers of G and D, as a smaller learning rate or another "
            f"seed may give; the pair of seed {seed} diverged within {step.update:,} updates"
        )
    model = push_forward(images, edges)
    answers = torch.sigmoid(logits).numpy()
    log_answers, log_others = F.logsigmoid(logits).numpy(), F.logsigmoid(-logits).numpy()
    best = theory.optimal_discriminator(data, model)
    real = p_data.draw(N_SAMPLED, seed, step.update, passage=SAMPLING_PASSAGE)
    fake = generator.sample(N_SAMPLED, seed, step=step.update)
    with torch.no_grad():
        of_real = F.logsigmoid(step.discriminator(real).double()).numpy()
        of_fake = F.logsigmoid(-step.discriminator(fake).double()).numpy()
    real_cell, fake_cell = _cells_of(real, edges), _cells_of(fake, edges)
    value_sampled, value_error = _sum_of_means(of_real, of_fake)
    # D* is known by cell. A sample may fall past the last cell that p_g reaches, by G's rounding:
    # there D* is kept from 1 by a unit in the last place.
    log_best = np.log(np.maximum(best, np.finfo(float).eps))
    log_rest = np.log(np.maximum(1.0 - best, np.finfo(float).eps))
    criterion_sampled, criterion_error = _sum_of_means(log_best[real_cell], log_rest[fake_cell])
    data_bars, model_bars = _joined(data, CELLS_A_BAR), _joined(model, CELLS_A_BAR)
    bar_of = _groups(len(data), CELLS_A_BAR)
    return Snapshot(
        n_discriminator_updates=step.update,
        n_generator_updates=n_generator_updates,
        jensen_shannon=theory.jensen_shannon(data, model),
        jensen_shannon_half_grid=theory.jensen_shannon(_joined(data, 2), _joined(model, 2)),
        total_variation=theory.total_variation(data, model),
        criterion=theory.criterion(data, model),
        criterion_sampled=criterion_sampled,
        criterion_standard_error=criterion_error,
        value=float(np.sum(data * log_answers) + np.sum(model * log_others)),
        value_sampled=value_sampled,
        value_standard_error=value_error,
        discriminator_error=float(np.sum(0.5 * (data + model) * np.abs(answers - best))),
        bars_jensen_shannon=theory.jensen_shannon(data_bars, model_bars),
        plug_in_jensen_shannon=tuple(
            plug_in_jensen_shannon(bar_of[real_cell[:n]], bar_of[fake_cell[:n]], len(data_bars))
            for n in SAMPLE_COUNTS
        ),
        n_bars=int(np.count_nonzero(data_bars + model_bars)),
        p_g=_densities(model, edges),
        discriminator=_rounded(answers[1:-1].reshape(-1, CELLS_A_POINT).mean(axis=1)),
        arrows=_rounded(np.interp(arrow_latent(), _latent_of(images), images)),
    )


def plug_in_jensen_shannon(real_bars: Numbers, fake_bars: Numbers, n_bars: int) -> float:
    """Return the divergence of two histograms, from each draw's bar number, in nats."""
    shares = [np.bincount(bars, minlength=n_bars) / len(bars) for bars in (real_bars, fake_bars)]
    return theory.jensen_shannon(*shares)


def arrow_latent() -> Vector:
    """Return the z whose ways are drawn, float64 of shape (N_ARROWS,)."""
    return np.linspace(-LATENT_END, LATENT_END, N_ARROWS)


def drawn_points() -> Vector:
    """Return the x of the curves that are drawn."""
    inner = grid_edges()[1:-1]
    ends = inner[::CELLS_A_POINT]
    middles: Vector = 0.5 * (ends[:-1] + ends[1:])
    return middles


def drawn_density(p_data: CosineBumps) -> tuple[float, ...]:
    """Return p_data on these points: its mean over the cells that a point stands for."""
    edges = grid_edges()
    return _densities(np.diff(p_data.below(edges)), edges)


def _densities(probabilities: Vector, edges: Vector) -> tuple[float, ...]:
    width = CELLS_A_POINT * float(edges[2] - edges[1])
    return _rounded(_joined(probabilities, CELLS_A_POINT)[1:-1] / width)


def _cells_of(rows: Tensor, edges: Vector) -> Numbers:
    places: Numbers = np.searchsorted(edges, rows[:, 0].double().numpy(), side="right")
    return places - 1


def _sum_of_means(first: Vector, second: Vector) -> tuple[float, float]:
    """Return the sum of two means of independent draws, and its standard error."""
    variance = float(first.var()) / len(first) + float(second.var()) / len(second)
    return float(first.mean() + second.mean()), math.sqrt(variance)


def _groups(n_cells: int, size: int) -> Numbers:
    """Return the group of each cell: ``size`` neighbours are one, the two infinite ones alone."""
    inner = np.arange(n_cells - 2, dtype=np.int64) // size + 1
    groups: Numbers = np.concatenate((np.zeros(1, np.int64), inner, inner[-1:] + 1))
    return groups


def _joined(probabilities: Vector, size: int) -> Vector:
    sums = np.bincount(_groups(len(probabilities), size), weights=probabilities)
    return sums.astype(np.float64)


def _latent_of(images: Vector) -> Vector:
    return np.linspace(-LATENT_END, LATENT_END, len(images))


def _rounded(values: Vector) -> tuple[float, ...]:
    """Return numbers for a picture: five digits, a fifth of a file's size."""
    return tuple(float(f"{value:.5g}") for value in values)
