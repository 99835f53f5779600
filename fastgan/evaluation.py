"""The Parzen protocol: sigma on validation data, mean log-likelihood, two standard errors.

Source: Goodfellow et al. 2014, section 5, and the authors' released ``parzen_ll.py``::

    log p(x) = logmeanexp_i(-|x - s_i|^2 / (2 sigma^2)) - d log(sigma sqrt(2 pi))       in nats

One draw of samples s_1 ... s_n serves the choice of sigma and the test. Nothing is rescaled, every
test image counts, and no test image takes part in the choice of sigma. Samples are read in blocks,
so a memory-mapped array of any length will do.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fastgan import ops
from fastgan.data import Dataset, load_dataset
from fastgan.jackknife import jackknife_error, log_sums_without_each
from fastgan.ops.philox import permutation
from fastgan.published import (
    COMPARABILITY_WARNING,
    GMMN_SIGMA_IMAGES,
    GMMN_SIGMAS,
    N_SAMPLES_PUBLISHED,
    REAL_DATA_NOTE,
    REFERENCE_TABLE,
    STANDARD_ERROR_NOTE,
    ReferenceResult,
    Score,
)
from fastgan.samples import Array, Samples, draw_samples
from fastgan.scores import Evaluation, FoldEvaluation, SigmaChoice
from fastgan.streams import Kind, stream

__all__ = [
    "COMPARABILITY_WARNING",
    "GMMN_SIGMAS",
    "N_SAMPLES_PUBLISHED",
    "REAL_DATA_NOTE",
    "REFERENCE_TABLE",
    "STANDARD_ERROR_NOTE",
    "Evaluation",
    "FoldEvaluation",
    "ReferenceResult",
    "Score",
    "SigmaChoice",
    "aggregate_folds",
    "choose_sigma",
    "evaluate",
    "evaluate_folds",
]

Progress = Callable[[int, int], None]

# The stream of the GMMN variant's choice of validation images; layer 0 is the splits' own.
_SIGMA_IMAGES_STREAM = stream(Kind.SPLIT, layer=1)


def choose_sigma(
    validation: Array,
    samples: Array,
    sigmas: Sequence[float],
    *,
    impl: str = "auto",
    progress: Progress | None = None,
) -> SigmaChoice:
    """Choose the sigma of largest mean log-likelihood of the validation data.

    Parameters
    ----------
    validation : Tensor or ndarray of shape (n_validation, n_features), floating point
        Never test data. Converted to the samples' kind and dtype (float32 or float64).
    samples : Tensor or ndarray of shape (n_samples, n_features), floating point
        The samples that are tested afterwards. A memory-mapped array is read in blocks.
    sigmas : sequence of float
        The grid, in the units of the data, in any order.
    impl : {"auto", "reference", "native", "triton"}
    progress : callable (n_done, n_samples), optional
        Called after each group of blocks.

    Returns
    -------
    SigmaChoice
        The grid in ascending order, the mean log-likelihood in nats at each of its sigmas, and the
        chosen one: ties take the smallest. ``at_edge`` says that it is an end of the grid.

    Raises
    ------
    TypeError
        If an array is no array or not of a floating dtype.
    ValueError
        If a shape does not fit, the grid is empty or holds a sigma that is not positive and
        finite, there is no validation image or no sample, or a number is not finite.
    """
    return _choose(validation, Samples(samples), _checked_sigmas(sigmas), impl, progress)


def evaluate(
    model_or_samples: Any,
    dataset: Dataset | str,
    *,
    n_samples: int | None = None,
    sigmas: Sequence[float] | None = None,
    sigma_variant: str = "paper",
    seed: int = 0,
    n_blocks: int = 50,
    impl: str = "auto",
    progress: Progress | None = None,
) -> Evaluation:
    """Return the Parzen-window log-likelihood of a data set's test images, with its errors.

    Parameters
    ----------
    model_or_samples : generator, callable or array
        A generator with ``sample(n_samples, seed)`` (a :class:`fastgan.Generator`, or your own),
        a plain function ``f(n_samples, seed)``, or the samples themselves: a Tensor or ndarray,
        memory-mapped if you like, of shape (n_samples, n_features) in the data set's scale.
    dataset : Dataset or str
        What :func:`fastgan.load_dataset` returns, or a name or path for it.
    n_samples : int, optional
        How many samples to draw; 10,000 if left out. Of an array the first ``n_samples`` rows
        are used; all if left out.
    sigmas : sequence of float, optional
        The grid for sigma; the variant's own if left out.
    sigma_variant : {"paper", "gmmn"}
        "paper": the data set's grid (logspace(-1, 0, 10) for pixels in [0, 1]) on its
        ``sigma_images`` first validation images. "gmmn": the grid of Li, Swersky and Zemel 2015,
        .10 to .29 in steps of .01 (TFD: .05 to .24), on 5,000 validation images chosen at random
        from ``seed``; for pixels in [0, 1] only, unless ``sigmas`` is given.
    seed : int
        Seed of the draw of samples and of the choice of validation images.
    n_blocks : int, from 2 to 1,000
        Blocks of samples for the jackknife (fewer where there are fewer samples).
    impl : {"auto", "reference", "native", "triton"}
    progress : callable (n_done, n_total), optional
        Called as samples are worked through; they are worked through twice, for sigma and test.

    Returns
    -------
    Evaluation
        ``mean`` in nats, ``standard_error`` over test images (std of ddof 0 / sqrt(n_test)) and
        ``sample_standard_error`` over model samples (delete-one-block jackknife at the chosen
        sigma; None with one sample).

    Raises
    ------
    TypeError
        If the model draws no samples, or an array is not of a floating dtype.
    ValueError
        If shapes do not fit the data set, ``n_samples`` is below 1 or more than the array holds,
        a number is not finite, or an option is unknown.
    """
    started = time.perf_counter()
    dataset = load_dataset(dataset) if isinstance(dataset, str) else dataset
    _check_n_blocks(n_blocks)
    images, grid = _sigma_data(dataset, sigma_variant, sigmas, seed)
    samples = draw_samples(model_or_samples, n_samples, seed)
    _check_features(samples, dataset)
    n = samples.n_samples
    passes = [None if progress is None else _from(progress, start, 2 * n) for start in (0, n)]
    choice = _choose(images, samples, grid, impl, passes[0])
    options = _Options(len(images), sigma_variant, seed, n_blocks, impl, passes[1])
    return _score(samples, dataset, choice, options, started)


def evaluate_folds(
    model_or_samples: Any,
    datasets: Sequence[Dataset],
    *,
    n_samples: int | None = None,
    sigmas: Sequence[float] | None = None,
    sigma_variant: str = "paper",
    seed: int = 0,
    n_blocks: int = 50,
    impl: str = "auto",
) -> FoldEvaluation:
    """Evaluate one model on every fold of a data set, and aggregate over the folds.

    One draw of samples serves all folds, since TFD's unlabeled training set is the same in each.
    With ``sigma_variant="paper"`` every fold chooses its own sigma; with "gmmn" ONE sigma, the
    best by the mean over folds of their validation means, serves all. Other arguments, results and
    errors are those of :func:`evaluate` and :func:`aggregate_folds`.
    """
    if not datasets:
        raise ValueError("datasets: expected at least one fold, got none")
    _check_n_blocks(n_blocks)
    samples = draw_samples(model_or_samples, n_samples, seed)
    n_images, choices = [], []
    for dataset in datasets:
        _check_features(samples, dataset)
        images, grid = _sigma_data(dataset, sigma_variant, sigmas, seed)
        n_images.append(len(images))
        choices.append(_choose(images, samples, grid, impl, None))
    if sigma_variant == "gmmn":
        choices = _one_sigma(choices)
    folds = []
    for dataset, choice, n_validation in zip(datasets, choices, n_images, strict=True):
        options = _Options(n_validation, sigma_variant, seed, n_blocks, impl, None)
        folds.append(_score(samples, dataset, choice, options, time.perf_counter()))
    return aggregate_folds(folds)


def aggregate_folds(folds: Sequence[Evaluation]) -> FoldEvaluation:
    """Return the mean over folds and its error, std(ddof 0) / sqrt(n_folds).

    The aggregator behind the paper's TFD column was never released; this one is ours.

    Raises
    ------
    ValueError
        If there is no fold, or folds differ in sample count, sigma variant or column of the table.
    """
    if not folds:
        raise ValueError("folds: expected at least one evaluation, got none")
    for name in ("n_samples", "sigma_variant", "comparable_to"):
        values = {getattr(fold, name) for fold in folds}
        if len(values) > 1:
            listed = ", ".join(sorted(str(value) for value in values))
            raise ValueError(f"folds: expected one {name} for all folds, got {listed}")
    means = np.array([fold.mean for fold in folds])
    return FoldEvaluation(
        folds=tuple(folds),
        mean=float(means.mean()),
        standard_error=float(means.std(ddof=0) / math.sqrt(len(folds))),
    )


@dataclass(frozen=True)
class _Options:
    """What a score is computed with, besides samples and data."""

    n_validation: int
    sigma_variant: str
    seed: int
    n_blocks: int
    impl: str
    progress: Progress | None


def _choose(
    validation: Array,
    samples: Samples,
    grid: tuple[float, ...],
    impl: str,
    progress: Progress | None,
) -> SigmaChoice:
    queries = samples.convert(validation, "validation")
    total = np.full((len(grid), queries.shape[0]), -np.inf)
    for sums in _log_sums(queries, samples, grid, samples.group_rows(1), impl, progress):
        total = np.logaddexp(total, sums[0])  # each group is one block
    means = _normalised(total, grid, samples.n_samples, samples.n_features).mean(axis=1)
    best = int(np.argmax(means))  # the first of equal maxima, and the grid ascends
    return SigmaChoice(
        sigma=grid[best],
        sigmas=grid,
        means=tuple(float(mean) for mean in means),
        at_edge=best in (0, len(grid) - 1),
    )


def _score(
    samples: Samples, dataset: Dataset, choice: SigmaChoice, options: _Options, started: float
) -> Evaluation:
    """Score every test image at the chosen sigma."""
    n, grid = samples.n_samples, (choice.sigma,)
    block_size = -(-n // options.n_blocks)
    queries = samples.convert(dataset.test, "dataset.test")
    parts = _log_sums(queries, samples, grid, block_size, options.impl, options.progress)
    sums = np.concatenate([part[:, 0] for part in parts])  # (n_blocks, n_test)
    sizes = np.full(len(sums), block_size)
    sizes[-1] = n - block_size * (len(sums) - 1)
    without = log_sums_without_each(sums)
    total = np.logaddexp(without[0], sums[0])
    values = _normalised(total, grid, n, samples.n_features)[0]
    mean = float(values.mean())
    sample_error = None
    if len(sums) > 1:
        means = [
            _normalised(rest, grid, n - int(size), samples.n_features).mean()
            for rest, size in zip(without, sizes, strict=True)
        ]
        sample_error = jackknife_error(mean, np.array(means), sizes)
    return Evaluation(
        dataset=dataset.name,
        comparable_to=dataset.comparable_to,
        n_samples=n,
        n_test=len(values),
        n_validation=options.n_validation,
        n_features=samples.n_features,
        sigma=choice.sigma,
        sigmas=choice.sigmas,
        validation_means=choice.means,
        at_edge=choice.at_edge,
        sigma_variant=options.sigma_variant,
        mean=mean,
        standard_error=float(values.std(ddof=0) / math.sqrt(len(values))),
        sample_standard_error=sample_error,
        n_blocks=len(sums),
        seed=options.seed,
        sample_range=(samples.lowest, samples.highest),
        data_range=(float(queries.min()), float(queries.max())),
        seconds=time.perf_counter() - started,
    )


def _one_sigma(choices: list[SigmaChoice]) -> list[SigmaChoice]:
    """Replace the folds' choices by the sigma of the best mean over folds."""
    grid = choices[0].sigmas
    best = int(np.argmax(np.mean([choice.means for choice in choices], axis=0)))
    edge = best in (0, len(grid) - 1)
    return [SigmaChoice(grid[best], grid, choice.means, edge) for choice in choices]


def _sigma_data(
    dataset: Dataset, variant: str, sigmas: Sequence[float] | None, seed: int
) -> tuple[Tensor, tuple[float, ...]]:
    """Return the validation images that choose sigma, and the grid."""
    validation = dataset.validation
    if variant == "paper":
        grid = dataset.sigma_grid if sigmas is None else sigmas
        return validation[: dataset.sigma_images], _checked_sigmas(grid)
    if variant != "gmmn":
        raise ValueError(f"sigma_variant: expected 'paper' or 'gmmn', got {variant!r}")
    if sigmas is None:
        low, high = float(validation.min()), float(validation.max())
        if low < 0 or high > 1:
            raise ValueError(
                "sigma_variant: 'gmmn' has a grid for pixels in [0, 1]; "
                f"{dataset.name!r} lies in [{low:g}, {high:g}]: give sigmas"
            )
        sigmas = GMMN_SIGMAS[dataset.comparable_to or "MNIST"]
    order = permutation(len(validation), seed, 0, _SIGMA_IMAGES_STREAM)
    return validation[order[:GMMN_SIGMA_IMAGES]], _checked_sigmas(sigmas)


def _log_sums(
    queries: Array,
    samples: Samples,
    sigmas: tuple[float, ...],
    block_size: int,
    impl: str,
    progress: Progress | None,
) -> Iterator[NDArray[np.float64]]:
    """Yield log sums of groups of whole blocks: (n_blocks of the group, n_sigmas, n_queries)."""
    n, rows = samples.n_samples, samples.group_rows(block_size)
    for first in range(0, n, rows):
        group = samples.block(first, min(first + rows, n))
        sums = ops.parzen_log_sums(queries, group, sigmas, block_size=block_size, impl=impl)
        yield sums.cpu().numpy() if isinstance(sums, Tensor) else sums
        if progress is not None:
            progress(min(first + rows, n), n)


def _normalised(
    log_sums: NDArray[np.float64], sigmas: tuple[float, ...], n_samples: int, n_features: int
) -> NDArray[np.float64]:
    """Return log-likelihoods in nats from log sums, shape (n_sigmas, n_queries)."""
    normalisers = n_features * np.log(np.array(sigmas) * math.sqrt(2 * math.pi))
    offsets = normalisers[:, None] + math.log(n_samples)
    values: NDArray[np.float64] = np.atleast_2d(log_sums) - offsets
    return values


def _from(progress: Progress, start: int, n_total: int) -> Progress:
    return lambda n_done, _: progress(start + n_done, n_total)


def _checked_sigmas(sigmas: Sequence[float]) -> tuple[float, ...]:
    """Return the grid in ascending order, without duplicates."""
    grid = np.unique(np.asarray(sigmas, dtype=np.float64))
    if np.ndim(sigmas) != 1 or grid.size == 0:
        raise ValueError(f"sigmas: expected a list of at least one sigma, got {sigmas!r}")
    if not np.isfinite(grid).all() or grid[0] <= 0:
        bad = next(sigma for sigma in sigmas if not (math.isfinite(sigma) and sigma > 0))
        raise ValueError(f"sigmas: expected positive finite numbers, got {bad!r}")
    return tuple(grid.tolist())


def _check_n_blocks(n_blocks: int) -> None:
    # every block costs n_test float64 numbers
    if not 2 <= n_blocks <= 1_000:
        raise ValueError(f"n_blocks: expected a number from 2 to 1,000, got {n_blocks}")


def _check_features(samples: Samples, dataset: Dataset) -> None:
    expected = int(dataset.test.shape[1])
    if samples.n_features != expected:
        raise ValueError(
            f"{samples.name}: expected {expected} columns as in the data set {dataset.name!r}, "
            f"got shape {(samples.n_samples, samples.n_features)}"
        )
