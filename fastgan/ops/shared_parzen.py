"""Parzen sums that several processes work out together, to the bits of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fastgan.ops._points import Points, check_points
from fastgan.ops.index import Index
from fastgan.ops.parzen_sums import ParzenSums
from fastgan.ops.sharing import by_centres, gather_queries
from fastgan.processes import Processes

Both = tuple[Tensor, Tensor]  # log_sums, log_dropped: (n_blocks, n_sigmas, n_queries)


class Centres:
    """The samples of a Parzen sum, of which a process reads only the blocks that it works on.

    Parameters
    ----------
    points : Points
        The queries, and the samples or one row like them.
    samples : array or tensor of shape (n_samples, n_features), optional
        Memory-mapped: checked block by block as it is read. Those of ``points`` if left out.
    block_size : int
    """

    def __init__(self, points: Points, samples: Any, block_size: int) -> None:
        self._points, self._samples, self._block_size = points, samples, block_size
        self._index = points.index
        if samples is None and self._index is None:
            self._index = Index(points.others, keep=False)
        self.n_samples = len(points.others if samples is None else samples)

    def add_to(self, sums: ParzenSums, rows: slice) -> Both:
        """Return the sums over blocks of samples, which begin and end where blocks do."""
        if self._index is not None:
            return sums.add_index(self._index, 0, self._block_size, rows)
        parts = []
        for first in range(rows.start, rows.stop, self._block_size):
            none = self._points.queries[:0]
            block = check_points(
                none.numpy() if self._points.is_numpy else none,
                self._samples[first : min(first + self._block_size, rows.stop)],
                f"samples from number {first} on" if first else "samples",
                "n_samples",
            )
            parts.append(sums.add(block.others, first, self._block_size))
        if not parts:
            return sums.none()
        log_sums, log_dropped = zip(*parts, strict=True)
        return torch.cat(log_sums), torch.cat(log_dropped)


def shared_log_sums(
    processes: Processes,
    queries: Tensor,
    centres: Centres,
    make: Callable[[slice], ParzenSums],
    block_size: int,
) -> Both:
    """Return the sums of all blocks and what was left out of them, on every process.

    Each process takes some queries; or, where there are many samples against them, all queries and
    some blocks. The first block is then shared by queries before the others, as it settles what
    they go by: the engine, and how near each query's nearest sample is at least.

    Parameters
    ----------
    processes : Processes
    queries : Tensor of shape (n_queries, n_features)
    centres : Centres
    make : callable
        Gives the ParzenSums of some queries.
    block_size : int
    """
    n_queries, n_features = queries.shape
    n_samples = centres.n_samples
    own = make(processes.share(n_queries))
    n_first = n_samples
    if by_centres(n_queries, n_samples, n_features, processes.size, block_size, block_size):
        n_first = min(n_samples, block_size)
    with processes.together():
        found = centres.add_to(own, slice(0, n_first))
    first = tuple(gather_queries(processes, part, n_queries) for part in found)
    if n_first == n_samples:
        return first[0], first[1]
    every = make(slice(0, n_queries))
    settled = own.state_dict()
    if "least" in settled:
        settled["least"] = processes.gather_rows(settled["least"], n_queries)
    every.load_state_dict(settled)
    n_blocks = -(-n_samples // block_size) - 1  # without the first
    blocks = processes.share(n_blocks)
    rows = slice((1 + blocks.start) * block_size, min((1 + blocks.stop) * block_size, n_samples))
    with processes.together():
        found = centres.add_to(every, rows if blocks.stop > blocks.start else slice(0, 0))
    others = [processes.gather_rows(part, n_blocks) for part in found]
    return torch.cat([first[0], others[0]]), torch.cat([first[1], others[1]])
