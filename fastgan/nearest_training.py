"""Who of the training images is nearest: asked once for samples and for images never trained on.

The check for memorised images (:mod:`fastgan.memorisation`) reads the distances, the diagnosis of
the Helvetica scenario (:mod:`fastgan.helvetica`) whom they are of; one search serves both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastgan.data import Dataset
from fastgan.neighbor_index import NeighborIndex
from fastgan.samples import Samples

_BLOCK_BYTES = 256 * 2**20  # of samples read at once: an array mapped from a file stays there


@dataclass(frozen=True, eq=False)
class Nearest:
    """The nearest training image of each row, and how far it is.

    Attributes
    ----------
    distances : ndarray of shape (n_rows,), float64
        Euclidean, exact: the real number under the root, rounded once to float64.
    images : ndarray of shape (n_rows,), int64
        Numbers of training images; of equally near ones the first.
    """

    distances: NDArray[np.float64]
    images: NDArray[np.int64]


class NearestTraining:
    """The nearest training images of samples, and of a data set's test and validation images.

    Each of the three is searched when it is first asked for, and kept.

    Parameters
    ----------
    samples : Tensor or ndarray of shape (n_samples, n_features), floating point
        In the data set's scale. A memory-mapped array is read part by part. float64 numbers are
        compared as they are, not rounded to the data set's float32.
    dataset : Dataset
    n_samples : int, optional
        The first that many samples; all that there are if left out.
    n_held_out : int, optional
        The first that many test images; all that there are if left out.
    impl : {"auto", "reference", "native", "triton"}

    Raises
    ------
    TypeError
        If ``samples`` is no array of floating numbers.
    ValueError
        If the shape does not fit the data set, or a number of images is below 1 or above what
        there is. That a sample is not finite is found when the samples are searched.
    """

    def __init__(
        self,
        samples: NDArray[Any] | Tensor,
        dataset: Dataset,
        *,
        n_samples: int | None = None,
        n_held_out: int | None = None,
        impl: str = "auto",
    ) -> None:
        self.dataset = dataset
        self.samples = Samples(samples)
        if self.samples.n_features != dataset.n_features:
            raise ValueError(
                f"samples: expected {dataset.n_features} columns as in the data set "
                f"{dataset.name!r}, got shape "
                f"{(self.samples.n_samples, self.samples.n_features)}"
            )
        self.n_samples = _checked_count(n_samples, "n_samples", self.samples.n_samples, "samples")
        self.n_held_out = _checked_count(n_held_out, "n_held_out", len(dataset.test), "test images")
        self._dtype = torch.float64 if samples.dtype.itemsize == 8 else torch.float32
        self._impl = impl

    @cached_property
    def of_samples(self) -> Nearest:
        """Of the samples asked about; ValueError if one is not finite."""
        return self._of(self.samples, self.n_samples)

    @cached_property
    def of_test(self) -> Nearest:
        """Of the first ``n_held_out`` test images."""
        return self._of(Samples(self.dataset.test), self.n_held_out)

    @cached_property
    def of_validation(self) -> Nearest:
        """Of all validation images."""
        return self._of(Samples(self.dataset.validation), len(self.dataset.validation))

    @cached_property
    def _index(self) -> NeighborIndex:
        train = self.dataset.train.to(device="cpu", dtype=self._dtype)
        return NeighborIndex(train, impl=self._impl)

    def _of(self, rows: Samples, n_rows: int) -> Nearest:
        n_block = max(1, _BLOCK_BYTES // (8 * rows.n_features))
        squared, images = np.empty(n_rows), np.empty(n_rows, dtype=np.int64)
        for first in range(0, n_rows, n_block):
            last = min(first + n_block, n_rows)
            block = as_tensor(rows.block(first, last), self._dtype)
            found, indices = self._index.query(block)
            squared[first:last], images[first:last] = found[:, 0], indices[:, 0]
        return Nearest(np.sqrt(squared), images)


def as_tensor(rows: NDArray[Any] | Tensor, dtype: torch.dtype) -> Tensor:
    """Return rows as a tensor of ``dtype`` on the CPU, copied where a file allows only reading."""
    if isinstance(rows, np.ndarray) and not rows.flags.writeable:
        rows = rows.copy()  # a part of a file opened for reading: torch wants to be able to write
    return torch.as_tensor(rows).to(device="cpu", dtype=dtype)


def _checked_count(count: int | None, name: str, available: int, what: str) -> int:
    if count is None:
        return available
    if isinstance(count, bool) or int(count) != count or not 1 <= count <= available:
        raise ValueError(f"{name}: expected 1 to the {available:,} {what} there are, got {count}")
    return int(count)
