"""What a set of queries gathers from samples that come block by block."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastgan import _core, backends
from fastgan.ops._registry import array
from fastgan.ops.index import BLOCK_ROWS, Index, choose
from fastgan.reference.parzen import parzen_log_sums as reference_log_sums

_UNKNOWN_COUNT = 2**32  # samples, for thresholds, where nobody knows how many will come
_SEED_ROWS = 2_048  # samples whose nearest one is the first bound of the smallest distance
_STRATEGIES = (None, "dense", "pruned")
_PRECISIONS = ("auto", "float32", "float64")


class ParzenSums:
    """The Parzen sums of some queries over blocks of samples, in one pass for a grid of sigmas.

    Parameters
    ----------
    queries : Tensor of shape (n_queries, n_features), uint8, float32 or float64
        Checked and contiguous.
    sigmas : float64 Tensor of shape (n_sigmas,)
    tolerance : float
        The most, in nats, that a sum over all samples may be too low for what was left out.
    n_samples : int, optional
        How many samples there are in all; where it is not known, thresholds hold for 2^32.
    each_block : bool
        The sum of each block alone is right to ``tolerance``, not only the sum of all: for blocks
        that are left out in turn. Less can be left out then.
    exclude_self : bool
        The queries are the samples: sample i is left out of the sum of query i.
    first_query : int
        The number of the first of these queries among all, for ``exclude_self``.
    strategy, impl : str
        As in :func:`fastgan.parzen_log_likelihood`.

    Attributes
    ----------
    strategy : str or None
        The engine, "pruned" or "dense"; None before the first block, which settles it.
    """

    def __init__(
        self,
        queries: Tensor,
        sigmas: Tensor,
        *,
        tolerance: float = 1e-6,
        n_samples: int | None = None,
        each_block: bool = False,
        exclude_self: bool = False,
        first_query: int = 0,
        strategy: str = "auto",
        impl: str = "auto",
    ) -> None:
        self.queries = queries
        self.sigmas = sigmas.to(queries.device)
        self.tolerance = tolerance
        self.n_samples = n_samples
        self.each_block = each_block
        self.exclude_self = exclude_self
        self.first_query = first_query
        self.impl = backends.resolve_impl("parzen", impl, queries.device)
        backends.check_strategy(strategy, impl=self.impl)
        if strategy == "pruned" and tolerance == 0:
            raise ValueError("tolerance: 0 asks for the dense sum, but strategy is 'pruned'")
        self.strategy: str | None = None
        self._wanted = strategy
        self._precision = "auto"
        self._least: NDArray[np.float64] | None = None  # bounds of the smallest squared distances
        self._index: Index | None = None  # whose frame all sketches share
        self._asking: list[tuple[int, _core.Sketch]] = []

    def add(self, samples: Tensor, first_sample: int, block_size: int) -> tuple[Tensor, Tensor]:
        """Return the sums over each block of some samples, and what was left out of them.

        Parameters
        ----------
        samples : Tensor of shape (n, n_features)
            Of the queries' dtype and device. The first call settles the engine and its thresholds.
        first_sample : int
            The number of the first of them among all samples.
        block_size : int
            Samples in a block, counted from the first of these; the last block may be short.

        Returns
        -------
        log_sums : float64 Tensor of shape (n_blocks, n_sigmas, n_queries)
            ``log sum_{i in block} exp(-|x - s_i|^2 / (2 sigma^2))``.
        log_dropped : float64 Tensor of the same shape
            The log of an upper limit of what was left out of the sum; -inf where nothing was.
        """
        return self.add_index(Index(samples, keep=False), first_sample, block_size)

    def add_index(
        self, index: Index, first_sample: int, block_size: int, rows: slice | None = None
    ) -> tuple[Tensor, Tensor]:
        """Do what :meth:`add` does with samples whose sketches are kept.

        ``rows``: only those of the index, from the beginning of a block to the end of one.
        """
        rows = slice(0, len(index.rows)) if rows is None else rows
        n_blocks = -(-(rows.stop - rows.start) // block_size)
        log_sums, log_dropped = self.none(n_blocks)
        first_sample += rows.start
        if self.impl == "reference":
            self.strategy = "dense"
            own = self._own(first_sample)
            samples = index.rows[rows]
            if n_blocks:
                log_sums = reference_log_sums(self.queries, samples, self.sigmas, block_size, own)
            return log_sums, log_dropped
        if self.impl == "triton":
            self.strategy = "dense"
            self._add_by_triton(index.rows[rows], first_sample, block_size, log_sums)
            return log_sums, log_dropped
        if self.strategy is None:
            self._settle(index)
        if self.strategy == "dense":
            self._add_dense(index.rows[rows], first_sample, block_size, log_sums)
        else:
            self._add_pruned(index, rows, first_sample, block_size, log_sums, log_dropped)
        return log_sums, log_dropped

    def settle(self, samples: Tensor) -> None:
        """Settle, by the first block's samples, all that does not depend on queries.

        With ``each_block`` that is all, and other blocks may then be added before the first.
        """
        if self.impl != "native":
            self.strategy = "dense"
        elif self.strategy is None:
            self._settle(Index(samples, keep=False))
        if self.impl == "native" and self.strategy == "dense":
            self._precision = self._dense(self.queries[:0], samples, len(samples), None)

    def none(self, n_blocks: int = 0) -> tuple[Tensor, Tensor]:
        """Return room for the sums of blocks, and nothing left out of them."""
        shape = (n_blocks, len(self.sigmas), len(self.queries))
        log_sums = self.queries.new_empty(shape, dtype=torch.float64)
        return log_sums, torch.full_like(log_sums, -torch.inf)

    def _own(self, first_sample: int) -> int | None:
        """Return which of some samples, less a query's number here, is that query itself."""
        return self.first_query - first_sample if self.exclude_self else None

    @property
    def _cut(self) -> float:
        """How far, in units of 2 sigma^2, past the smallest distance a sample still counts."""
        n_samples = _UNKNOWN_COUNT if self.n_samples is None else self.n_samples
        return max(0.0, math.log(n_samples / self.tolerance))

    def _settle(self, index: Index) -> None:
        """Choose the engine, from the first samples, sigmas and tolerance alone."""
        width = 0.0
        if self.tolerance > 0:
            width = 2.0 * float(self.sigmas.max()) ** 2 * self._cut
        self.strategy = choose(
            "parzen", self._wanted, index, width=width, may_prune=self.tolerance > 0
        )

    def _add_dense(
        self, samples: Tensor, first_sample: int, block_size: int, log_sums: Tensor
    ) -> None:
        for blocks, rows in self._groups(len(samples), block_size):
            group = log_sums[blocks].contiguous()
            own = self._own(first_sample + rows.start)
            self._precision = self._dense(self.queries, samples[rows], block_size, own, group)
            log_sums[blocks] = group
        backends.log_once(f"parzen: {self._precision} products")

    def _dense(
        self,
        queries: Tensor,
        samples: Tensor,
        block_size: int,
        own: int | None,
        group: Tensor | None = None,
    ) -> str:
        """Fill the sums of a group of blocks, and return the precision of the products."""
        if group is None:
            shape = (1, len(self.sigmas), len(queries))
            group = queries.new_empty(shape, dtype=torch.float64)
        return _core.parzen_log_sums(
            array(queries),
            array(samples),
            array(self.sigmas),
            block_size,
            own,
            self._precision,
            torch.get_num_threads(),
            array(group),
        )

    def _add_by_triton(
        self, samples: Tensor, first_sample: int, block_size: int, log_sums: Tensor
    ) -> None:
        from fastgan.kernels.parzen import parzen_log_sums

        for blocks, rows in self._groups(len(samples), block_size):
            own = self._own(first_sample + rows.start)
            log_sums[blocks] = parzen_log_sums(
                self.queries, samples[rows], self.sigmas, block_size, own
            )

    def _add_pruned(
        self,
        index: Index,
        taken: slice,
        first_sample: int,
        block_size: int,
        log_sums: Tensor,
        log_dropped: Tensor,
    ) -> None:
        """Group by group of whole blocks: sketch it, then ask it for all queries."""
        if self._index is None:
            self._index = index
            self._asking = list(index.chunks(self.queries))
        for blocks, part in self._groups(taken.stop - taken.start, block_size):
            rows = slice(taken.start + part.start, taken.start + part.stop)
            sketch = index.block(rows, frame_of=self._index)
            own = self.first_query - (first_sample + part.start)
            least = self._least
            if least is None:
                seeds = index.rows[rows.start : min(rows.stop, rows.start + _SEED_ROWS)]
                least = self._least_among(self._index.sketch(seeds, "samples"), own)
            met = np.empty_like(least)
            for start, asking in self._asking:
                chunk = slice(start, start + asking.n_rows)
                sums = np.empty((blocks.stop - blocks.start, len(self.sigmas), asking.n_rows))
                dropped = np.empty_like(sums)
                met_by_block = np.empty((len(sums), asking.n_rows))
                _core.index_parzen_log_sums(
                    asking,
                    sketch,
                    array(self.sigmas),
                    self._cut,
                    least[chunk],
                    block_size,
                    start + own if self.exclude_self else None,
                    torch.get_num_threads(),
                    sums,
                    dropped,
                    met_by_block,
                )
                log_sums[blocks, :, chunk] = torch.from_numpy(sums)
                log_dropped[blocks, :, chunk] = torch.from_numpy(dropped)
                met[chunk] = met_by_block.min(axis=0)
            if self._least is None and not self.each_block:
                self._least = met  # what the first group holds bounds the least of all others

    def _groups(self, n_rows: int, block_size: int) -> Iterator[tuple[slice, slice]]:
        """Yield blocks, and their rows, that are worked through together."""
        n_blocks = -(-n_rows // block_size)
        at_once = 1 if self.each_block else max(1, BLOCK_ROWS // block_size)
        for first in range(0, n_blocks, at_once):
            last = min(n_blocks, first + at_once)
            yield slice(first, last), slice(first * block_size, min(n_rows, last * block_size))

    def _least_among(self, sketch: _core.Sketch, own: int) -> NDArray[np.float64]:
        """Return each query's smallest squared distance to some samples."""
        squared = np.full((len(self.queries), 1), np.inf)
        indices = np.full(squared.shape, -1, dtype=np.int64)
        for start, asking in self._asking:
            chunk = slice(start, start + asking.n_rows)
            _core.index_nearest_neighbors(
                asking,
                sketch,
                start + own if self.exclude_self else None,
                0,
                torch.get_num_threads(),
                squared[chunk],
                indices[chunk],
            )
        return squared[:, 0].copy()

    def state_dict(self) -> dict[str, Tensor]:
        """Return what the first samples settled, for a run that goes on with later ones.

        Frames need not be kept: which samples count, and so every bit, does not depend on them.
        """
        state = {
            "strategy": torch.tensor(_STRATEGIES.index(self.strategy)),
            "precision": torch.tensor(_PRECISIONS.index(self._precision)),
        }
        if self._least is not None:
            state["least"] = torch.from_numpy(self._least)
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take back what :meth:`state_dict` returned."""
        self.strategy = _STRATEGIES[int(state["strategy"])]
        self._precision = _PRECISIONS[int(state["precision"])]
        self._least = state["least"].numpy().copy() if "least" in state else None


def merge_blocks(log_sums: Tensor) -> Tensor:
    """Return the log-sum-exp over blocks, taken in their order, (n_sigmas, n_queries).

    Its bits do not depend on how many queries or sigmas come together.
    """
    if log_sums.device.type != "cpu":
        return torch.logsumexp(log_sums, 0)
    merged = torch.empty_like(log_sums[0])
    _core.merge_log_sums(array(log_sums), array(merged))
    return merged
