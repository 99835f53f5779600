"""Is a sample a memorised training image? Distances to the nearest one, with a yardstick.

Figure 2 of the paper shows the nearest training image of four samples. Here the distance is
measured for all samples, and for the test images, which the training never saw: a generator that
copies stands out by samples much nearer to the training images than unseen real images are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fastgan.data import Dataset
from fastgan.hit_statistics import expected_hits
from fastgan.memorisation_result import N_PAIRS, NEAR_LEVEL, Memorisation
from fastgan.nearest_training import NearestTraining

# The middle in steps of a hundredth, the tails finer, so that both can be drawn.
_TAIL = tuple(round(n * 10.0**-power, power) for power in (4, 3) for n in range(1, 10))
QUANTILES = (
    0.0,
    *_TAIL,
    *(percent / 100 for percent in range(1, 100)),
    *(round(1 - level, 4) for level in reversed(_TAIL)),
    1.0,
)


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
    return memorisation_of(
        NearestTraining(samples, dataset, n_samples=n_samples, n_held_out=n_held_out, impl=impl)
    )


def memorisation_of(nearest: NearestTraining) -> Memorisation:
    """Return what :func:`check_memorisation` does, from a search that others may share."""
    dataset, n_samples, n_held_out = nearest.dataset, nearest.n_samples, nearest.n_held_out
    sample_distances, sample_nearest = nearest.of_samples.distances, nearest.of_samples.images
    held_out_distances, held_out_nearest = nearest.of_test.distances, nearest.of_test.images

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
