"""Samples that come as a stream: an iterable of batches, or an array read block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from torch import Tensor


def is_stream(samples: Any) -> bool:
    """Say whether samples come as a stream: an iterable of batches, or a memory-mapped array."""
    if isinstance(samples, np.ndarray):
        base: Any = samples
        while base is not None and not isinstance(base, np.memmap):
            base = getattr(base, "base", None)
        return base is not None
    if isinstance(samples, Tensor | Sequence | str | bytes | dict | set):
        return False
    return isinstance(samples, Iterable) and not hasattr(samples, "__array__")


def batches_of(samples: Any, block_size: int) -> Iterator[Any]:
    """Yield an array's blocks of rows, or an iterable's batches as they come.

    Raises
    ------
    TypeError
        If it is neither an array nor an iterable.
    """
    if is_array(samples) and len(samples.shape) > 0:
        for first in range(0, len(samples), block_size):
            yield samples[first : first + block_size]
        return
    if is_array(samples) or not isinstance(samples, Iterable):
        raise TypeError(
            "samples: expected an array of rows, a tensor or an iterable of batches, "
            f"got {samples!r}"
        )
    yield from samples


def is_array(value: Any) -> bool:
    """Say whether a value is a NumPy array or a torch tensor."""
    return isinstance(value, np.ndarray | Tensor)


def one_row_like(value: Any) -> Any:
    """Return a row that fits the features of a matrix; what is no matrix is left to the checks."""
    if not is_array(value) or len(value.shape) != 2:
        return value
    shape = (1, value.shape[1])
    if isinstance(value, Tensor):
        return value.new_zeros(shape)
    return np.zeros(shape, value.dtype)


class RowBuffer:
    """Rows that gather in one piece of memory, which grows with what is in use.

    Parameters
    ----------
    like : Tensor of shape (any, ...)
        Says of what shape a row is, its dtype and its device.
    n_most : int, optional
        How many rows it takes; as many as come if left out.
    n_expected : int
        Room for so many is set aside at once.
    """

    def __init__(self, like: Tensor, n_most: int | None = None, n_expected: int = 0) -> None:
        self._n_most = n_most
        self._memory = like.new_empty((n_expected, *like.shape[1:]))
        self._n_rows = 0

    def __len__(self) -> int:
        return self._n_rows

    @property
    def rows(self) -> Tensor:
        """What is in it, of shape (len(self), ...); valid until rows are forgotten."""
        return self._memory[: self._n_rows]

    def fill(self, rows: Tensor) -> Tensor:
        """Take as many rows as there is room for, and return the others."""
        n_rows = self._n_rows + len(rows)
        if self._n_most is not None:
            n_rows = min(n_rows, self._n_most)
        if n_rows > len(self._memory):
            n_reserved = max(n_rows, 2 * len(self._memory))
            if self._n_most is not None:
                n_reserved = min(n_reserved, self._n_most)
            larger = self._memory.new_empty((n_reserved, *self._memory.shape[1:]))
            larger[: self._n_rows] = self.rows
            self._memory = larger
        n_new = n_rows - self._n_rows
        self._memory[self._n_rows : n_rows] = rows[:n_new]
        self._n_rows = n_rows
        return rows[n_new:]

    def keep(self, n_rows: int) -> None:
        """Forget all but the first rows; the memory stays."""
        self._n_rows = min(n_rows, self._n_rows)
