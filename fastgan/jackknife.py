"""Standard error over model samples: leave out one block of samples at a time."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def log_sums_without_each(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return, for each block, the log of the sum over all other blocks.

    Parameters
    ----------
    sums : ndarray of shape (n_blocks, n_queries)
        log of the sum over each block of samples.

    Returns
    -------
    ndarray of shape (n_blocks, n_queries)
        -inf where there is no other block.

    Notes
    -----
    From running sums forwards and backwards, never by subtraction: where one block holds nearly
    all of a sum, the difference would have no digits left.
    """
    before = np.full_like(sums, -np.inf)
    after = np.full_like(sums, -np.inf)
    for block in range(1, len(sums)):
        before[block] = np.logaddexp(before[block - 1], sums[block - 1])
    for block in range(len(sums) - 2, -1, -1):
        after[block] = np.logaddexp(after[block + 1], sums[block + 1])
    return np.logaddexp(before, after)


def jackknife_error(mean: float, without: NDArray[np.float64], sizes: NDArray[np.int64]) -> float:
    """Return the delete-one-block jackknife standard error, for blocks of unequal size too.

    Parameters
    ----------
    mean : float
        The estimate from all samples.
    without : ndarray of shape (n_blocks,)
        The estimate without each block.
    sizes : ndarray of shape (n_blocks,)
        Samples in each block.

    Notes
    -----
    Busing, Meijer and van der Leeden 1999, "Delete-m jackknife for unequal m"; with
    equal blocks it is sqrt((g - 1) / g sum (without - mean of without)^2).
    """
    n_blocks, n_samples = len(without), sizes.sum()
    ratio = n_samples / sizes
    pseudo = ratio * mean - (ratio - 1) * without
    estimate = n_blocks * mean - ((1 - sizes / n_samples) * without).sum()
    return math.sqrt(float(((pseudo - estimate) ** 2 / (ratio - 1)).mean()))
