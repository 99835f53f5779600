"""The Parzen protocol on samples that are at hand: the choice of sigma, the score and its errors.

:mod:`fastgan.evaluation` says what it is; more samples than the protocol's go through
:mod:`fastgan.streamed_evaluation`, which begins with these.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastgan import ops
from fastgan.data import Dataset
from fastgan.jackknife import jackknife_error, log_sums_without_each
from fastgan.ops.philox import permutation
from fastgan.ops.sharing import gather_queries
from fastgan.processes import Processes
from fastgan.published import GMMN_SIGMA_IMAGES, GMMN_SIGMAS
from fastgan.samples import Array, Samples
from fastgan.scores import Evaluation, SigmaChoice
from fastgan.streams import Kind, stream

Progress = Callable[[int, int], None]

# The stream of the GMMN variant's choice of validation images; layer 0 is the splits' own.
_SIGMA_IMAGES_STREAM = stream(Kind.SPLIT, layer=1)


@dataclass(frozen=True)
class Options:
    """What a score is computed with, besides samples and data."""

    n_validation: int
    sigma_variant: str
    seed: int
    n_blocks: int
    impl: str
    progress: Progress | None
    processes: Processes  # that share the work


def choose(
    validation: Array,
    samples: Samples,
    grid: tuple[float, ...],
    impl: str,
    progress: Progress | None,
    processes: Processes,
) -> SigmaChoice:
    """Choose sigma by mean log-likelihood; see :func:`fastgan.evaluation.choose_sigma`."""
    with processes.together():
        queries = samples.convert(validation, "validation")
    total = np.full((len(grid), queries.shape[0]), -np.inf)
    rows = samples.group_rows(1)
    for sums in log_sums(queries, samples, grid, rows, impl, progress, processes):
        total = np.logaddexp(total, sums[0])  # each group is one block
    means = normalised(total, grid, samples.n_samples, samples.n_features).mean(axis=1)
    best = int(np.argmax(means))  # the first of equal maxima, and the grid ascends
    return SigmaChoice(
        sigma=grid[best],
        sigmas=grid,
        means=tuple(float(mean) for mean in means),
        at_edge=best in (0, len(grid) - 1),
    )


def score(
    samples: Samples, dataset: Dataset, choice: SigmaChoice, options: Options, started: float
) -> Evaluation:
    """Score every test image at the chosen sigma; see :func:`fastgan.evaluation.evaluate`."""
    n = samples.n_samples
    block_size = -(-n // options.n_blocks)
    with options.processes.together():
        queries = samples.convert(dataset.test, "dataset.test")
    sigmas, impl = (choice.sigma,), options.impl
    parts = log_sums(
        queries, samples, sigmas, block_size, impl, options.progress, options.processes
    )
    sums = np.concatenate([part[:, 0] for part in parts])  # (n_blocks, n_test)
    sizes = np.full(len(sums), block_size)
    sizes[-1] = n - block_size * (len(sums) - 1)
    values, sample_error = values_and_error(sums, sizes, choice.sigma, samples.n_features)
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
        mean=float(values.mean()),
        standard_error=standard_error(values),
        sample_standard_error=sample_error,
        n_blocks=len(sums),
        seed=options.seed,
        sample_range=(samples.lowest, samples.highest),
        data_range=(float(queries.min()), float(queries.max())),
        seconds=time.perf_counter() - started,
    )


def values_and_error(
    sums: NDArray[np.float64], sizes: NDArray[np.int64], sigma: float, n_features: int
) -> tuple[NDArray[np.float64], float | None]:
    """Return log-likelihoods from the log sums of blocks, and their mean's error over samples.

    Parameters
    ----------
    sums : float64 ndarray of shape (n_blocks, n_queries)
        Each right on its own.
    sizes : int64 ndarray of shape (n_blocks,)
        Samples in each block.
    sigma : float
    n_features : int

    Returns
    -------
    values : float64 ndarray of shape (n_queries,)
        Nats.
    sample_error : float or None
        Of the mean, by a jackknife over blocks; None where there is one block only.
    """
    grid, n = (sigma,), int(sizes.sum())
    without = log_sums_without_each(sums)
    values = normalised(np.logaddexp(without[0], sums[0]), grid, n, n_features)[0]
    if len(sums) == 1:
        return values, None
    means = [
        normalised(rest, grid, n - int(size), n_features).mean()
        for rest, size in zip(without, sizes, strict=True)
    ]
    return values, jackknife_error(float(values.mean()), np.array(means), sizes)


def standard_error(values: NDArray[np.float64]) -> float:
    """Return std(ddof 0) / sqrt(n) of the values of n test images."""
    return float(values.std(ddof=0) / math.sqrt(len(values)))


def sigma_data(
    dataset: Dataset, variant: str, sigmas: Sequence[float] | None, seed: int
) -> tuple[Tensor, tuple[float, ...]]:
    """Return the validation images that choose sigma, and the grid."""
    validation = dataset.validation
    if variant == "paper":
        grid = dataset.sigma_grid if sigmas is None else sigmas
        return validation[: dataset.sigma_images], checked_sigmas(grid)
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
    return validation[order[:GMMN_SIGMA_IMAGES]], checked_sigmas(sigmas)


def log_sums(
    queries: Array,
    samples: Samples,
    sigmas: tuple[float, ...],
    block_size: int,
    impl: str,
    progress: Progress | None,
    processes: Processes,
) -> Iterator[NDArray[np.float64]]:
    """Yield log sums of groups of whole blocks: (n_blocks of the group, n_sigmas, n_queries).

    Processes share the queries; each gets the sums of all.
    """
    n, rows = samples.n_samples, samples.group_rows(block_size)
    own = queries[processes.share(len(queries))]
    for first in range(0, n, rows):
        group = samples.shared_block(first, min(first + rows, n))
        with processes.together():
            sums = ops.parzen_log_sums(own, group, sigmas, block_size=block_size, impl=impl)
        yield gather_queries(processes, torch.as_tensor(sums), len(queries)).cpu().numpy()
        if progress is not None:
            progress(min(first + rows, n), n)


def normalised(
    log_sums: NDArray[np.float64], sigmas: tuple[float, ...], n_samples: int, n_features: int
) -> NDArray[np.float64]:
    """Return log-likelihoods in nats from log sums, shape (n_sigmas, n_queries)."""
    normalisers = n_features * np.log(np.array(sigmas) * math.sqrt(2 * math.pi))
    offsets = normalisers[:, None] + math.log(n_samples)
    values: NDArray[np.float64] = np.atleast_2d(log_sums) - offsets
    return values


def checked_sigmas(sigmas: Sequence[float]) -> tuple[float, ...]:
    """Return the grid in ascending order, without duplicates."""
    grid = np.unique(np.asarray(sigmas, dtype=np.float64))
    if np.ndim(sigmas) != 1 or grid.size == 0:
        raise ValueError(f"sigmas: expected a list of at least one sigma, got {sigmas!r}")
    if not np.isfinite(grid).all() or grid[0] <= 0:
        bad = next(sigma for sigma in sigmas if not (math.isfinite(sigma) and sigma > 0))
        raise ValueError(f"sigmas: expected positive finite numbers, got {bad!r}")
    return tuple(grid.tolist())
