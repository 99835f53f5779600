"""Samples under evaluation: drawn from a model or given as an array, read in checked blocks."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fastgan.ops._points import as_tensor
from fastgan.processes import Processes
from fastgan.published import N_SAMPLES_PUBLISHED

Array = NDArray[Any] | Tensor

# Samples are handed to an operation in groups of whole blocks of about this many bytes: one call
# for the usual 10,000 samples, and a bounded part of a memory-mapped array at a time.
GROUP_BYTES = 256 * 2**20
DRAWN_AT_ONCE = 10_000
SHARED_ROWS = 1_000  # of a draw that processes share, a generator's own blocks of rows
_DRAWN = "samples drawn from the model"
_NEEDS_FLOATS = (
    "pixels are never rescaled here, so bring the numbers to the data set's scale yourself"
)


class Samples:
    """Samples of shape (n_samples, n_features), checked as they are read.

    Half-precision numbers are read as float32, which is exact; float32 and float64 stay as they
    are. ``lowest`` and ``highest`` are those of the rows read so far.

    Parameters
    ----------
    array : Tensor or ndarray of shape (n_samples, n_features), floating point
        A memory-mapped ndarray is read block by block.
    name : str
        What errors call the array.

    Raises
    ------
    TypeError
        If ``array`` is no Tensor or ndarray, or not of a real floating dtype.
    ValueError
        If it is not two-dimensional, or has no rows or no columns.
    """

    def __init__(self, array: Any, name: str = "samples") -> None:
        check_array(array, name)
        if array.shape[0] < 1 or array.shape[1] < 1:
            raise ValueError(
                f"{name}: expected at least one row and one column, got shape {tuple(array.shape)}"
            )
        self.array: Array = array.detach() if isinstance(array, Tensor) else array
        self.name = name
        self.n_samples, self.n_features = (int(size) for size in array.shape)
        self.lowest, self.highest = np.inf, -np.inf

    def block(self, first: int, last: int) -> Array:
        """Return rows ``first`` to ``last`` (excluded), contiguous, in float32 or float64."""
        rows: Array = _contiguous_floats(self._rows(first, last))
        lowest, highest = float(rows.min()), float(rows.max())  # both NaN where any number is
        if not np.isfinite(lowest) or not np.isfinite(highest):
            check_finite(rows, self.name, first)
        self.lowest, self.highest = min(self.lowest, lowest), max(self.highest, highest)
        return rows

    def shared_block(self, first: int, last: int) -> Array:
        """Do what :meth:`block` does, on all processes for the same rows."""
        return self.block(first, last)

    def own_block(self, first: int, last: int) -> Array:
        """Do what :meth:`block` does, in parts that are no more than :meth:`rows_at_once`."""
        step = self.rows_at_once(last - first)
        if last - first <= step:
            return self.block(first, last)
        whole: Array | None = None
        for start in range(first, last, step):
            part = self.block(start, min(start + step, last))
            if whole is None:
                whole = _empty_like(part, last - first)
            whole[start - first : start - first + len(part)] = part  # type: ignore[assignment]
        assert whole is not None  # last > first
        return whole

    def first(self, n_samples: int) -> Samples:
        """Return the first samples, read once and held; on all processes together."""
        return Samples(self.shared_block(0, min(n_samples, self.n_samples)), self.name)

    def rows_at_once(self, block_size: int) -> int:
        """Return how many rows to read at once of blocks that are worked through in turn."""
        return block_size

    def _rows(self, first: int, last: int) -> Array:
        rows: Array = self.array[first:last]
        return rows

    def group_rows(self, block_size: int) -> int:
        """Return how many rows to read at once: whole blocks, at least one."""
        return block_size * max(1, GROUP_BYTES // (8 * self.n_features * block_size))

    def convert(self, queries: Array, name: str) -> Array:
        """Return queries as the kind (Tensor or ndarray), dtype and device of the samples.

        Samples in float64 take float32 queries exactly; queries in float64 are rounded to float32
        samples only where that loses nothing, else they raise a TypeError.
        """
        check_array(queries, name)
        if queries.shape[1] != self.n_features:
            raise ValueError(
                f"{name}: expected {self.n_features} columns as in {self.name}, "
                f"got shape {tuple(queries.shape)}"
            )
        if queries.shape[0] < 1:
            raise ValueError(f"{name}: expected at least one row, got none")
        wanted = _contiguous_floats(self.array[:1]).dtype
        rows = _contiguous_floats(queries)
        check_finite(rows, name)
        if isinstance(self.array, Tensor):
            tensor = torch.as_tensor(rows)
            converted: Array = tensor.to(device=self.array.device, dtype=wanted)
            exact = bool((tensor.to(wanted).to(tensor.dtype) == tensor).all())
        else:
            array = rows.numpy(force=True) if isinstance(rows, Tensor) else rows
            converted = array.astype(wanted, copy=False)
            exact = bool((converted == array).all())
        if not exact:
            raise TypeError(
                f"{name}: expected {wanted} as in {self.name}, got {queries.dtype} numbers that "
                "would be rounded; convert one of them"
            )
        return converted


class DrawnSamples(Samples):
    """Samples of a model that are drawn as they are read, and drawn again when read again.

    Parameters
    ----------
    draw : callable (n_samples, seed, *, first_row)
        Returns samples first_row, first_row + 1, ... of those that the seed names.
    n_samples : int
        How many there are.
    seed : int
    processes : Processes
        Those that share the drawing of what all of them need.
    """

    def __init__(
        self, draw: Callable[..., Any], n_samples: int, seed: int, processes: Processes
    ) -> None:
        self._draw, self._seed, self._processes = draw, seed, processes
        with processes.together(), torch.no_grad():
            super().__init__(draw(1, seed, first_row=0), _DRAWN)
        self.n_samples = n_samples

    def shared_block(self, first: int, last: int) -> Array:
        """Draw rows on all processes, each some of them."""
        processes = self._processes
        if processes.size == 1:
            return self.block(first, last)
        share = processes.share(last - first, unit=SHARED_ROWS)
        with processes.together():
            own = _contiguous_floats(self.array[:0])
            if share.stop > share.start:
                own = self.block(first + share.start, first + share.stop)
        gathered = processes.gather_rows(as_tensor(own), last - first, unit=SHARED_ROWS)
        self.lowest = min(self.lowest, float(gathered.min()))
        self.highest = max(self.highest, float(gathered.max()))
        return gathered if isinstance(own, Tensor) else gathered.numpy()

    def rows_at_once(self, block_size: int) -> int:
        """Return how many rows to draw at once: some 30 MB of the MNIST recipe's images."""
        return min(block_size, DRAWN_AT_ONCE)

    def _rows(self, first: int, last: int) -> Array:
        with torch.no_grad():
            drawn = self._draw(last - first, self._seed, first_row=first)
        check_array(drawn, self.name)
        if drawn.shape[0] != last - first:
            raise ValueError(f"model: expected {last - first} samples, it drew {drawn.shape[0]}")
        if drawn.shape[1] != self.n_features:
            raise ValueError(
                f"{self.name}: expected {self.n_features} columns as in the first sample, "
                f"got shape {tuple(drawn.shape)}"
            )
        rows: Array = drawn.detach() if isinstance(drawn, Tensor) else drawn
        return rows


def draw_samples(
    source: Any, n_samples: int | None, seed: int, processes: Processes | None = None
) -> Samples:
    """Return the samples to judge: drawn from a model, or the first rows of an array.

    Parameters
    ----------
    source : generator, callable or array
        Something with ``sample(n_samples, seed)``, a function ``f(n_samples, seed)``, or samples.
        Where the function also takes ``first_row``, more than 10,000 samples are drawn as they are
        read; else they are drawn and held together.
    n_samples : int, optional
        10,000 for a model and all rows of an array if left out.
    seed : int
    processes : Processes, optional
        Those that share the drawing; each calls with the same arguments. Where the function takes
        no ``first_row`` the first of them draws, and the others get what it drew.

    Raises
    ------
    TypeError
        If the source is none of these.
    ValueError
        If ``n_samples`` is below 1 or above what the source gives.
    """
    if n_samples is not None and (isinstance(n_samples, bool) or int(n_samples) != n_samples):
        raise ValueError(f"n_samples: expected a whole number, got {n_samples!r}")
    if n_samples is not None and n_samples < 1:
        raise ValueError(f"n_samples: expected at least 1, got {n_samples}")
    if isinstance(source, (Tensor, np.ndarray)):
        check_array(source, "samples")
        if n_samples is not None and n_samples > source.shape[0]:
            raise ValueError(
                f"n_samples: expected at most the {source.shape[0]} rows of samples, "
                f"got {n_samples}"
            )
        return Samples(source[:n_samples])
    wanted = N_SAMPLES_PUBLISHED if n_samples is None else int(n_samples)
    if hasattr(source, "sample") and not isinstance(source, type):
        draw = source.sample
    elif callable(source) and not isinstance(source, (type, nn.Module)):
        draw = source
    else:
        raise TypeError(
            "model_or_samples: expected samples as a Tensor or ndarray, an object with "
            f"sample(n_samples, seed), or a function of these two, got {type(source).__name__}"
        )
    processes = Processes() if processes is None else processes
    if _takes_first_row(draw) and (wanted > N_SAMPLES_PUBLISHED or processes.size > 1):
        drawn = DrawnSamples(draw, wanted, seed, processes)
        return drawn if wanted > N_SAMPLES_PUBLISHED else drawn.first(wanted)
    samples: Samples | None = None
    with processes.together():
        if processes.is_first:
            with torch.no_grad():
                samples = Samples(draw(wanted, seed), _DRAWN)
            if samples.n_samples != wanted:
                raise ValueError(f"model: expected {wanted} samples, it drew {samples.n_samples}")
    return _of_the_first(samples, wanted, processes)


def _of_the_first(samples: Samples | None, wanted: int, processes: Processes) -> Samples:
    """Return the first process's samples on every process."""
    if processes.size == 1 and samples is not None:
        return samples
    rows = None if samples is None else samples.block(0, wanted)
    # what the others cannot know: is it a tensor, of float64, on a GPU, and of how many columns?
    known = torch.zeros(4, dtype=torch.int64)
    if rows is not None:
        of_cuda = isinstance(rows, Tensor) and rows.device.type == "cuda"
        is_double = as_tensor(rows).dtype == torch.float64
        known = torch.tensor([isinstance(rows, Tensor), is_double, of_cuda, rows.shape[1]])
    is_tensor, is_double, of_cuda, n_features = processes.broadcast_(known).tolist()
    if rows is not None:
        tensor = as_tensor(rows)
    else:
        dtype = torch.float64 if is_double else torch.float32
        device = "cuda" if of_cuda else "cpu"
        tensor = torch.empty((wanted, n_features), dtype=dtype, device=device)
    processes.broadcast_(tensor)
    return Samples(tensor if is_tensor else tensor.numpy(), _DRAWN)


def check_array(array: Any, name: str) -> None:
    """Raise unless ``array`` is a two-dimensional Tensor or ndarray of real floating numbers."""
    if not isinstance(array, (Tensor, np.ndarray)):
        raise TypeError(f"{name}: expected a Tensor or ndarray, got {type(array).__name__}")
    floating = (
        array.is_floating_point()
        if isinstance(array, Tensor)
        else np.issubdtype(array.dtype, np.floating)
    )
    if not floating or array.dtype == np.longdouble != np.float64:
        raise TypeError(
            f"{name}: expected float32 or float64 numbers, got {array.dtype}; {_NEEDS_FLOATS}"
        )
    if array.ndim != 2:
        hint = "; flatten each image to a row" if array.ndim > 2 else ""
        raise ValueError(
            f"{name}: expected 2 dimensions (n_rows, n_features), "
            f"got shape {tuple(array.shape)}{hint}"
        )


def check_finite(rows: Array, name: str, first_row: int = 0) -> None:
    """Raise a ValueError that names the first number that is not finite."""
    finite = torch.isfinite(rows) if isinstance(rows, Tensor) else np.isfinite(rows)
    if bool(finite.all()):
        return
    mask = finite.numpy(force=True) if isinstance(finite, Tensor) else finite
    row, column = (int(i) for i in np.argwhere(~mask)[0])
    raise ValueError(
        f"{name}: expected finite numbers, got {float(rows[row, column])} "
        f"in row {first_row + row}, column {column}"
    )


def _takes_first_row(draw: Callable[..., Any]) -> bool:
    try:
        return "first_row" in inspect.signature(draw).parameters
    except (TypeError, ValueError):  # written in C, without a signature
        return False


def _empty_like(rows: Array, n_rows: int) -> Array:
    shape = (n_rows, *rows.shape[1:])
    return rows.new_empty(shape) if isinstance(rows, Tensor) else np.empty(shape, rows.dtype)


def _contiguous_floats(rows: Array) -> Any:
    if isinstance(rows, Tensor):
        if rows.dtype in (torch.float16, torch.bfloat16):
            rows = rows.float()
        return rows.detach().contiguous()
    dtype = np.float32 if rows.dtype == np.float16 else rows.dtype.newbyteorder("=")
    return np.ascontiguousarray(rows, dtype=dtype)
