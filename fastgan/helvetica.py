"""Is a generator in the Helvetica scenario? How varied its samples are, beside real images.

The paper's section 6 calls so what is known as mode collapse: G maps too many z to the same x. A
log-likelihood hardly shows it: here the samples' nearest training images are counted, their spread
over z is measured, and the balance of their classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fastgan import hit_statistics
from fastgan.data import Dataset
from fastgan.helvetica_result import CHANCE, Helvetica
from fastgan.nearest_training import NearestTraining, as_tensor
from fastgan.ops import philox
from fastgan.streams import Kind, stream

N_SPREAD = 10_000  # of samples and of training images whose spread is measured, at most
N_LINES = 500
N_LINE_STEPS = 20
_LATENT_STEP = 0  # z of the samples themselves: a line's ends are samples
_CHOSEN, _PAIRED = 1, 2  # steps of the stream SPLIT: which training images, and which pairs
LEAST_SAMPLES = 4  # images, so that there are two pairs and an error
_LEVELS = np.linspace(0.0, 1.0, 101)
_BLOCK_ROWS = 1_000  # of z whose samples are made at once


def diagnose_helvetica(
    samples: NDArray[Any] | Tensor,
    dataset: Dataset,
    *,
    generator: nn.Module | Callable[[Tensor], Tensor] | None = None,
    latent: Tensor | None = None,
    seed: int = 0,
    n_samples: int | None = None,
    n_held_out: int | None = None,
    impl: str = "auto",
) -> Helvetica:
    """Measure how varied samples are: training images hit, spread over z, balance of classes.

    Parameters
    ----------
    samples : Tensor or ndarray of shape (n_samples, n_features), floating point
        In the data set's scale; at least 4. 10,000 are usual.
    dataset : Dataset
        Its test and validation images are the held-out ones; its training labels, where it has
        them, give the classes.
    generator : callable, optional
        Maps z of shape (n, ...) to samples of shape (n, n_features): the samples are then also
        followed along lines in z. A module is called in evaluation mode.
    latent : Tensor of shape (n_latent_rows, ...), optional
        z drawn from the generator's prior, at least 4 rows: row i and row i + n // 2 are the ends
        of a line. Left out, the generator's own ``latent`` method draws the first 1,000 rows of
        ``seed``.
    seed : int, default=0
        Draws z for the lines, and pairs of images for the spread.
    n_samples, n_held_out : int, optional
        The first that many samples and test images; all that there are if left out.
    impl : {"auto", "reference", "native", "triton"}

    Returns
    -------
    Helvetica

    Raises
    ------
    TypeError
        If ``samples`` is no array of floating numbers.
    ValueError
        If the shape does not fit the data set, there are fewer than 4 samples or held-out images, a
        sample is not finite, or z is needed and neither ``latent`` nor the generator gives it.
    """
    nearest = NearestTraining(
        samples, dataset, n_samples=n_samples, n_held_out=n_held_out, impl=impl
    )
    return helvetica_of(nearest, generator=generator, latent=latent, seed=seed)


def helvetica_of(
    nearest: NearestTraining,
    *,
    generator: nn.Module | Callable[[Tensor], Tensor] | None = None,
    latent: Tensor | None = None,
    seed: int = 0,
) -> Helvetica:
    """Return what :func:`diagnose_helvetica` does, from a search that others may share."""
    dataset, n_samples = nearest.dataset, nearest.n_samples
    n_held_out = nearest.n_held_out + len(dataset.validation)
    for name, n, what in (
        ("samples", n_samples, "samples"),
        ("dataset", n_held_out, "test and validation images"),
        ("dataset", len(dataset.train), "training images"),
    ):
        if n < LEAST_SAMPLES:
            raise ValueError(f"{name}: expected at least {LEAST_SAMPLES} {what}, got {n}")
    lines = _Lines() if generator is None else _along_lines(generator, latent, dataset, seed)
    hit = nearest.of_samples.images
    hit_by_held_out = np.concatenate([nearest.of_test.images, nearest.of_validation.images])
    counts, held_out = (
        np.bincount(images, minlength=len(dataset.train)) for images in (hit, hit_by_held_out)
    )
    n_equal = min(n_samples, n_held_out)
    sample_equal = hit_statistics.expected_hits(counts, n_equal)
    uniform, uniform_error = uniform_hits(len(dataset.train), n_equal)
    sample_same, sample_same_error = hit_statistics.same_kind(counts)
    held_out_same, held_out_same_error = hit_statistics.same_kind(held_out)
    sizes, held_out_sizes = _curve_sizes(n_samples), _curve_sizes(n_held_out)

    rows = nearest.samples.block(0, min(N_SPREAD, n_samples))
    spread = _spread(as_tensor(rows, torch.float64), seed)
    chosen = _permutation(len(dataset.train), seed, _CHOSEN)[:N_SPREAD]
    real = _spread(dataset.train[chosen.to(dataset.train.device)].to("cpu", torch.float64), seed)
    return Helvetica(
        dataset=dataset.name,
        n_samples=n_samples,
        n_held_out=n_held_out,
        n_train=len(dataset.train),
        sample_hits=int((counts > 0).sum()),
        held_out_hits=int((held_out > 0).sum()),
        n_equal=n_equal,
        sample_equal_hits=sample_equal,
        sample_equal_hits_error=hit_statistics.expected_hits_error(counts, n_equal),
        held_out_equal_hits=hit_statistics.expected_hits(held_out, n_equal),
        held_out_equal_hits_error=hit_statistics.expected_hits_error(held_out, n_equal),
        uniform_equal_hits=uniform,
        uniform_equal_hits_error=uniform_error,
        equivalent_held_out=_equivalent(held_out, sample_equal),
        sample_same_hit=sample_same,
        sample_same_hit_error=sample_same_error,
        held_out_same_hit=held_out_same,
        held_out_same_hit_error=held_out_same_error,
        sample_curve_sizes=sizes,
        sample_curve_hits=tuple(hit_statistics.expected_hits(counts, n) for n in sizes),
        held_out_curve_sizes=held_out_sizes,
        held_out_curve_hits=tuple(
            hit_statistics.expected_hits(held_out, n) for n in held_out_sizes
        ),
        sample_deviation=spread.deviation,
        train_deviation=real.deviation,
        sample_pair_distance=spread.distance,
        sample_pair_distance_error=spread.distance_error,
        train_pair_distance=real.distance,
        train_pair_distance_error=real.distance_error,
        sample_pair_quantiles=spread.quantiles,
        train_pair_quantiles=real.quantiles,
        **vars(lines),
        **vars(_classes(dataset, hit, hit_by_held_out)),
    )


def uniform_hits(n_kinds: int, n_drawn: int) -> tuple[float, float]:
    """Return how many different kinds uniform draws have, mean and standard deviation.

    The occupied cells of the classical occupancy problem: mean ``m (1 - (1 - 1/m)^n)``, variance
    ``m (m - 1) (1 - 2/m)^n + m (1 - 1/m)^n - m^2 (1 - 1/m)^(2n)``; Feller, *An Introduction to
    Probability Theory and Its Applications* I, chapter IX.

    Parameters
    ----------
    n_kinds : int, at least 1
    n_drawn : int, at least 1
    """
    if n_kinds == 1:
        return 1.0, 0.0
    log_empty = n_drawn * math.log1p(-1 / n_kinds)
    empty = math.exp(log_empty)
    log_both = n_drawn * math.log1p(-2 / n_kinds) if n_kinds > 2 else -math.inf
    # two cells are empty together a little less often than if they did not know of each other
    covariance = empty * empty * math.expm1(log_both - 2 * log_empty)
    variance = n_kinds * (empty * (1 - empty) + (n_kinds - 1) * covariance)
    return -n_kinds * math.expm1(log_empty), math.sqrt(max(variance, 0.0))


def _curve_sizes(n: int) -> tuple[int, ...]:
    """Return about 60 numbers from 1 to n, denser where they are small, n the last."""
    return tuple(np.unique(np.geomspace(1, n, 60).round().astype(np.int64)).tolist())


def _equivalent(counts: NDArray[np.int64], hits: float) -> float | None:
    """Return how many draws hit as many on average, straight between whole numbers; or None."""
    low, high = 1, int(counts.sum())
    most = hit_statistics.expected_hits(counts, high)
    if hits >= most:
        return float(high) if hits == most else None
    while high - low > 1:  # expected hits rise with every draw
        middle = (low + high) // 2
        below = hit_statistics.expected_hits(counts, middle) <= hits
        low, high = (middle, high) if below else (low, middle)
    at_low, at_high = (hit_statistics.expected_hits(counts, n) for n in (low, high))
    return low + max(0.0, hits - at_low) / (at_high - at_low)


@dataclass(frozen=True)
class _Spread:
    deviation: float
    distance: float
    distance_error: float
    quantiles: tuple[float, ...]


def _permutation(n: int, seed: int, step: int) -> Tensor:
    return philox.permutation(n, seed, step, stream(Kind.SPLIT)).cpu()


def _spread(rows: Tensor, seed: int) -> _Spread:
    """Measure rows of shape (n, n_features): each is in one pair, so that pairs are independent."""
    order = _permutation(len(rows), seed, _PAIRED)
    half = len(rows) // 2
    distances = (rows[order[:half]] - rows[order[half : 2 * half]]).norm(dim=1).numpy()
    mean, error = _mean_and_error(distances)
    return _Spread(
        float(rows.std(dim=0, correction=0).mean()),
        mean,
        error,
        tuple(np.quantile(distances, _LEVELS).tolist()),
    )


def _mean_and_error(values: NDArray[np.float64]) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))


@dataclass(frozen=True)
class _Lines:
    n_lines: int = 0
    n_line_steps: int = N_LINE_STEPS
    latent_distance: float | None = None
    path_length: float | None = None
    path_length_error: float | None = None
    chord_length: float | None = None
    chord_length_error: float | None = None
    largest_step: float | None = None
    largest_step_error: float | None = None


def _along_lines(
    generator: nn.Module | Callable[[Tensor], Tensor],
    latent: Tensor | None,
    dataset: Dataset,
    seed: int,
) -> _Lines:
    """Follow samples along lines in z."""
    if latent is None:
        draw: Any = getattr(generator, "latent", None)
        if draw is None:
            raise ValueError(
                "latent: expected z of shape (n, ...), since the generator has no method latent() "
                "that draws it, got None"
            )
        latent = draw(2 * N_LINES, seed, _LATENT_STEP, stream(Kind.EVALUATION))
    if latent.ndim < 2 or len(latent) < LEAST_SAMPLES:
        raise ValueError(
            f"latent: expected shape (n, ...) with n of at least {LEAST_SAMPLES}, "
            f"got {tuple(latent.shape)}"
        )
    half = len(latent) // 2
    starts, ends = latent[:half], latent[half : 2 * half]
    before = first = _images(generator, starts, dataset)
    moved = []
    for number in range(1, N_LINE_STEPS + 1):
        after = _images(generator, torch.lerp(starts, ends, number / N_LINE_STEPS), dataset)
        moved.append((after - before).norm(dim=1).numpy())
        before = after
    steps = np.stack(moved, axis=1)
    paths = steps.sum(axis=1)
    still = paths == 0  # a generator that is constant along the line: its steps are all equal
    largest = np.where(still, 1 / N_LINE_STEPS, steps.max(axis=1) / np.where(still, 1.0, paths))
    path, path_error = _mean_and_error(paths)
    chord, chord_error = _mean_and_error((after - first).norm(dim=1).numpy())
    step, step_error = _mean_and_error(largest)
    flat = (ends - starts).flatten(1).to("cpu", torch.float64)
    return _Lines(
        n_lines=half,
        latent_distance=float(flat.norm(dim=1).mean()),
        path_length=path,
        path_length_error=path_error,
        chord_length=chord,
        chord_length_error=chord_error,
        largest_step=step,
        largest_step_error=step_error,
    )


@torch.no_grad()
def _images(
    generator: nn.Module | Callable[[Tensor], Tensor], latent: Tensor, dataset: Dataset
) -> Tensor:
    """Return a generator's images of z, in evaluation mode, of shape (n, n_features), float64."""
    was_training = isinstance(generator, nn.Module) and generator.training
    if isinstance(generator, nn.Module):
        generator.eval()
    try:
        made = [generator(block) for block in latent.split(_BLOCK_ROWS)]
    finally:
        if isinstance(generator, nn.Module):
            generator.train(was_training)
    images = torch.cat(made)
    if images.shape != (len(latent), dataset.n_features):
        raise ValueError(
            f"generator: expected images of shape {(len(latent), dataset.n_features)} for z of "
            f"shape {tuple(latent.shape)}, got {tuple(images.shape)}"
        )
    return images.to("cpu", torch.float64)


@dataclass(frozen=True)
class _Classes:
    class_numbers: tuple[int, ...] = ()
    train_classes: tuple[int, ...] = ()
    sample_classes: tuple[int, ...] = ()
    held_out_classes: tuple[int, ...] = ()
    class_difference: float | None = None
    class_difference_by_chance: float | None = None
    class_difference_bound: float | None = None
    held_out_class_difference: float | None = None
    held_out_class_difference_by_chance: float | None = None
    effective_classes: float | None = None
    effective_classes_by_chance: float | None = None


def _classes(
    dataset: Dataset, hit: NDArray[np.int64], hit_by_held_out: NDArray[np.int64]
) -> _Classes:
    """Count the classes of the training images that are hit."""
    if dataset.train_labels is None:
        return _Classes()
    numbers, labels = np.unique(dataset.train_labels.cpu().numpy(), return_inverse=True)
    train, sample, held_out = (
        np.bincount(of, minlength=len(numbers))
        for of in (labels, labels[hit], labels[hit_by_held_out])
    )
    by_chance, effective_by_chance = hit_statistics.expected_balance(train, len(hit))
    # one draw changes the distance by at most 1 / n: McDiarmid's inequality
    above = math.sqrt(math.log(1 / CHANCE) / (2 * len(hit)))
    return _Classes(
        class_numbers=tuple(numbers.tolist()),
        train_classes=tuple(train.tolist()),
        sample_classes=tuple(sample.tolist()),
        held_out_classes=tuple(held_out.tolist()),
        class_difference=hit_statistics.total_variation(sample, train),
        class_difference_by_chance=by_chance,
        class_difference_bound=by_chance + above,
        held_out_class_difference=hit_statistics.total_variation(held_out, train),
        held_out_class_difference_by_chance=hit_statistics.expected_balance(
            train, len(hit_by_held_out)
        )[0],
        effective_classes=hit_statistics.effective_kinds(sample),
        effective_classes_by_chance=effective_by_chance,
    )
