"""Is a sample a memorised training image? Distances to the nearest one, with a yardstick.

Figure 2 of the paper shows the nearest training image of four samples. Here the distance is
measured for all samples, and for the test images, which the training never saw: a generator that
copies stands out by samples much nearer to the training images than unseen real images are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastgan.data import Dataset
from fastgan.memorisation_result import N_PAIRS, NEAR_LEVEL, Memorisation
from fastgan.neighbor_index import NeighborIndex
from fastgan.samples import Samples

# The middle in steps of a hundredth, the tails finer, so that both can be drawn.
_TAIL = tuple(round(n * 10.0**-power, power) for power in (4, 3) for n in range(1, 10))
QUANTILES = (
    0.0,
    *_TAIL,
    *(percent / 100 for percent in range(1, 100)),
    *(round(1 - level, 4) for level in reversed(_TAIL)),
    1.0,
)
_BLOCK_BYTES = 256 * 2**20  # of samples read at once: an array mapped from a file stays there


def check_memorisation(
    samples: NDArray[Any] | Tensor,
    dataset: Dataset,
    *,
    n_samples: int | None = None,
    n_held_out: int | None = None,
    impl: str = "auto",
) -> Memorisation:
    """Measure how near samples and test images come to their nearest training images.

    Parameters
    ----------
    samples : Tensor or ndarray of shape (n_samples, n_features), floating point
        In the data set's scale. A memory-mapped array is read part by part. float64 numbers are
        compared as they are, not rounded to the data set's float32.
    dataset : Dataset
        Its test images are the held-out ones.
    n_samples : int, optional
        The first that many samples; all that there are if left out.
    n_held_out : int, optional
        The first that many test images; all that there are if left out.
    impl : {"auto", "reference", "native", "triton"}

    Returns
    -------
    Memorisation
        Quantiles of both sets' Euclidean distances, and what follows from them. The distances are
        exact: the real number under the root, rounded once to float64.

    Raises
    ------
    TypeError
        If ``samples`` is no array of floating numbers.
    ValueError
        If the shape does not fit the data set, a number of images is below 1 or above what there
        is, or a sample is not finite.
    """
    checked = Samples(samples)
    if checked.n_features != dataset.n_features:
        raise ValueError(
            f"samples: expected {dataset.n_features} columns as in the data set "
            f"{dataset.name!r}, got shape {(checked.n_samples, checked.n_features)}"
        )
    n_samples = _checked_count(n_samples, "n_samples", checked.n_samples, "samples")
    n_held_out = _checked_count(n_held_out, "n_held_out", len(dataset.test), "test images")

    dtype = _dtype(samples)
    index = NeighborIndex(dataset.train.to(device="cpu", dtype=dtype), impl=impl)
    sample_distances, sample_nearest = _nearest(index, checked, n_samples, dtype)
    held_out_distances, held_out_nearest = _nearest(index, Samples(dataset.test), n_held_out, dtype)

    near = float(np.quantile(held_out_distances, NEAR_LEVEL))
    sample_counts, held_out_counts = (
        np.bincount(nearest, minlength=len(dataset.train))
        for nearest in (sample_nearest, held_out_nearest)
    )
    near_samples, near_held_out = (
        np.argsort(distances, kind="stable")[:N_PAIRS]
        for distances in (sample_distances, held_out_distances)
    )
    n_equal = min(n_samples, n_held_out)
    return Memorisation(
        dataset=dataset.name,
        n_samples=n_samples,
        n_held_out=n_held_out,
        n_train=len(dataset.train),
        quantile_levels=QUANTILES,
        sample_quantiles=tuple(np.quantile(sample_distances, QUANTILES).tolist()),
        held_out_quantiles=tuple(np.quantile(held_out_distances, QUANTILES).tolist()),
        near_distance=near,
        sample_near_share=float((sample_distances <= near).mean()),
        held_out_near_share=float((held_out_distances <= near).mean()),
        nearer_probability=nearer_probability(sample_distances, held_out_distances),
        sample_copies=int((sample_distances == 0).sum()),
        held_out_copies=int((held_out_distances == 0).sum()),
        sample_hits=int((sample_counts > 0).sum()),
        sample_most_hits=int(sample_counts.max()),
        sample_most_hit=int(sample_counts.argmax()),
        held_out_hits=int((held_out_counts > 0).sum()),
        held_out_most_hits=int(held_out_counts.max()),
        held_out_most_hit=int(held_out_counts.argmax()),
        n_equal=n_equal,
        sample_equal_hits=expected_hits(sample_counts, n_equal),
        held_out_equal_hits=expected_hits(held_out_counts, n_equal),
        near_samples=tuple(near_samples.tolist()),
        near_samples_images=tuple(sample_nearest[near_samples].tolist()),
        near_held_out=tuple(near_held_out.tolist()),
        near_held_out_images=tuple(held_out_nearest[near_held_out].tolist()),
    )


def nearer_probability(distances: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Return the share of pairs in which a distance is below one of the others, ties half.

    ``U / (n m)`` of Mann and Whitney, exact in integers until the division; both of shape (n,).
    """
    ordered = np.sort(others)
    below = np.searchsorted(ordered, distances, side="left")  # others smaller than the distance
    up_to = np.searchsorted(ordered, distances, side="right")
    n_pairs = len(distances) * len(others)
    return (2 * n_pairs - int(below.sum()) - int(up_to.sum())) / (2 * n_pairs)


def expected_hits(counts: NDArray[np.int64], n_drawn: int) -> float:
    """Return how many different kinds a random subset of ``n_drawn`` has, on average.

    ``sum_j 1 - C(n - c_j, n_drawn) / C(n, n_drawn)`` over kinds j that come c_j times among n:
    Hurlbert, *The Nonconcept of Species Diversity* (Ecology 52, 1971).

    Parameters
    ----------
    counts : ndarray of shape (n_kinds,), int64
        How often each kind comes; zeros are allowed.
    n_drawn : int, from 1 to the sum of counts
    """
    n = int(counts.sum())
    if n_drawn == n:
        return float((counts > 0).sum())
    sizes, n_kinds = np.unique(counts[counts > 0], return_counts=True)
    left = torch.tensor(n - sizes, dtype=torch.float64)
    whole, drawn = torch.tensor([n, n_drawn], dtype=torch.float64)
    log_missed = (
        torch.lgamma(left + 1)
        - torch.lgamma((left - drawn).clamp(min=0) + 1)
        - torch.lgamma(whole + 1)
        + torch.lgamma(whole - drawn + 1)
    )
    hit = torch.where(left >= drawn, -torch.expm1(log_missed), 1.0)
    return float(hit @ torch.tensor(n_kinds, dtype=torch.float64))


def _nearest(
    index: NeighborIndex, rows: Samples, n_rows: int, dtype: torch.dtype
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the distance of each row to its nearest training image, and that image's number."""
    n_block = max(1, _BLOCK_BYTES // (8 * rows.n_features))
    squared, nearest = np.empty(n_rows), np.empty(n_rows, dtype=np.int64)
    for first in range(0, n_rows, n_block):
        last = min(first + n_block, n_rows)
        block = _as_tensor(rows.block(first, last), dtype)
        found, indices = index.query(block)
        squared[first:last], nearest[first:last] = found[:, 0], indices[:, 0]
    return np.sqrt(squared), nearest


def _dtype(samples: NDArray[Any] | Tensor) -> torch.dtype:
    return torch.float64 if samples.dtype.itemsize == 8 else torch.float32


def _as_tensor(rows: NDArray[Any] | Tensor, dtype: torch.dtype) -> Tensor:
    if isinstance(rows, np.ndarray) and not rows.flags.writeable:
        rows = rows.copy()  # a part of a file opened for reading: torch wants to be able to write
    return torch.as_tensor(rows).to(device="cpu", dtype=dtype)


def _checked_count(count: int | None, name: str, available: int, what: str) -> int:
    if count is None:
        return available
    if isinstance(count, bool) or int(count) != count or not 1 <= count <= available:
        raise ValueError(f"{name}: expected 1 to the {available:,} {what} there are, got {count}")
    return int(count)
