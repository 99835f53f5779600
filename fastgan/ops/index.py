"""Sketches of data rows: what makes a question about all pairs cost a fraction of their product.

``csrc/index/frame.h`` says what a sketch is and why it bounds distances; whatever the sketches are,
answers are exact. They only decide how many pairs must be looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastgan import _core, backends
from fastgan.ops._registry import array

BLOCK_ROWS = 65_536  # rows that are sketched together: 30 MB of sketches
_CHUNK_QUERIES = 131_072  # queries that are sketched together
_LEAST_FEATURES = 96  # below, a sketch is no shorter than the row
_LEAST_ROWS = 4_096  # below, learning a frame costs more than the product


@dataclass(frozen=True)
class Shares:
    """Of all pairs, the shares that the coarse and the fine sketches leave."""

    coarse: float
    fine: float

    def prunes(self, n_features: int) -> bool:
        """Say whether looking at what is left costs clearly less than the dense product.

        In cycles a pair, as measured with AVX-512: the coarse bound costs .7, a fine one 40, a
        distance by differences 150 and a third more for each feature; the dense product a thirtieth
        for each feature.
        """
        left = 0.7 + 40.0 * self.coarse + (150.0 + n_features / 3.0) * self.fine
        return left < 0.7 * n_features / 30.0


class Index:
    """Rows with their sketches, made when they are first asked for, block by block.

    Parameters
    ----------
    rows : Tensor of shape (n_rows, n_features), uint8, float32 or float64, contiguous
        Not copied. Sketches are made on the CPU only.
    given : array or tensor, optional
        What the rows were made of, if not of themselves: it says what kind answers are.
    keep : bool
        Keep the sketches of all blocks (460 bytes a row) for the next question, or of none.
    """

    def __init__(self, rows: Tensor, *, given: Any = None, keep: bool = True) -> None:
        self.rows = rows
        self.given = rows if given is None else given
        self._keep = keep
        self._frame: _core.Frame | None = None
        self._blocks: dict[int, _core.Sketch] = {}
        self._shares: dict[float, Shares] = {}
        self.prepared: Any = None  # what Triton's kernels keep of the rows

    @property
    def frame(self) -> _core.Frame:
        """The frame of the first block."""
        if self._frame is None:
            first = array(self.rows[:BLOCK_ROWS])
            self._frame = _core.Frame(first, torch.get_num_threads())
        return self._frame

    def shares(self, width: float = 0.0) -> Shares:
        """Probe what is left for the nearest row (0), or for all within a width past it."""
        if width not in self._shares:
            first = array(self.rows[:BLOCK_ROWS])
            found = _core.index_probe(self.frame, first, width, torch.get_num_threads())
            self._shares[width] = Shares(*found)
        return self._shares[width]

    def prunes(self, width: float = 0.0) -> bool:
        """Say whether sketches pay for these rows; a function of the rows and the width alone."""
        n_rows, n_features = self.rows.shape
        if n_rows < _LEAST_ROWS or n_features < _LEAST_FEATURES:
            return False
        return self.shares(width).prunes(n_features)

    def block(self, rows: slice, *, frame_of: Index | None = None) -> _core.Sketch:
        """Return the sketch of some rows, in another index's frame if given.

        Kept, where sketches are, if the rows are a whole block in this index's own frame.
        """
        maker = self if frame_of is None else frame_of
        is_block = rows.start % BLOCK_ROWS == 0 and rows.stop == min(
            rows.start + BLOCK_ROWS, len(self.rows)
        )
        keeps = self._keep and is_block and maker is self
        sketch = self._blocks.get(rows.start) if keeps else None
        if sketch is None:
            sketch = maker.sketch(self.rows[rows], "samples")
            if keeps:
                self._blocks[rows.start] = sketch
        return sketch

    def blocks(self, rows: slice | None = None) -> Iterator[tuple[int, _core.Sketch]]:
        """Yield the first row and the sketch of each block, or of those that some rows are."""
        rows = slice(0, len(self.rows)) if rows is None else rows
        for first in range(rows.start, rows.stop, BLOCK_ROWS):
            stop = min(first + BLOCK_ROWS, len(self.rows))
            yield first, self.block(slice(first, stop))

    def sketch(self, rows: Tensor, role: str) -> _core.Sketch:
        """Sketch rows in this index's frame, as "queries" or "samples"."""
        return _core.Sketch(self.frame, array(rows), role, torch.get_num_threads())

    def nearest(
        self, queries: Tensor, k: int, exclude_self: bool, rows: slice | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return (n_queries, k) squared distances and rows, ascending; of some blocks' rows."""
        squared = np.full((len(queries), k), np.inf)
        indices = np.full((len(queries), k), -1, dtype=np.int64)
        for start, asking in self.chunks(queries):
            stop = start + asking.n_rows
            for first, block in self.blocks(rows):
                _core.index_nearest_neighbors(
                    asking,
                    block,
                    start - first if exclude_self else None,
                    first,
                    torch.get_num_threads(),
                    squared[start:stop],
                    indices[start:stop],
                )
        return squared, indices

    def count_within(
        self, queries: Tensor, squared_radii: NDArray[np.float64], exclude_self: bool
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return how many rows lie within each query's radius, and within how many each row."""
        per_query = np.zeros(len(queries), dtype=np.int64)
        per_row = np.zeros(len(self.rows), dtype=np.int64)
        for start, asking in self.chunks(queries):
            stop = start + asking.n_rows
            for first, block in self.blocks():
                _core.index_count_within(
                    asking,
                    block,
                    squared_radii[start:stop],
                    start - first if exclude_self else None,
                    torch.get_num_threads(),
                    per_query[start:stop],
                    per_row[first : first + block.n_rows],
                )
        return per_query, per_row

    def chunks(self, queries: Tensor) -> Iterator[tuple[int, _core.Sketch]]:
        """Yield the first row and the sketch of parts of the queries."""
        for start in range(0, len(queries), _CHUNK_QUERIES):
            yield start, self.sketch(queries[start : start + _CHUNK_QUERIES], "queries")


def choose(
    operation: str, strategy: str, index: Index, *, width: float = 0.0, may_prune: bool = True
) -> str:
    """Return the engine, "pruned" or "dense", that ``strategy`` asks for, and log it once.

    ``may_prune`` is false where the question rules the index out, whatever the rows are.
    """
    if strategy == "auto":
        strategy = "pruned" if may_prune and index.prunes(width) else "dense"
    backends.log_once(f"{operation}: {strategy} engine, {_core.simd_level()}")
    return strategy
