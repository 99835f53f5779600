"""Nearest neighbours that several processes look for together."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fastgan.ops.index import BLOCK_ROWS
from fastgan.ops.sharing import by_centres
from fastgan.processes import Processes

Found = tuple[Tensor, Tensor]  # squared distances, rows: (n_queries, k)
Ask = Callable[[Tensor, int, slice], Found]  # queries, k, and among which rows


def shared_search(
    processes: Processes,
    queries: Tensor,
    n_rows: int,
    k: int,
    *,
    exclude_self: bool,
    may_share_rows: bool,
    ask: Ask,
) -> Found:
    """Return the k nearest rows of each query, ascending, on every process.

    Each process takes some queries; or, where there are many rows against them, all queries and
    some blocks of rows. The answer is unique, so neither changes it.

    Parameters
    ----------
    processes : Processes
    queries : Tensor of shape (n_queries, n_features)
    n_rows, k : int
    exclude_self : bool
        Row i is no neighbour of query i.
    may_share_rows : bool
    ask : callable (queries, k, rows)
        Returns the k nearest of some rows (a slice of them all, by which they are numbered).
    """
    n_queries, n_features = queries.shape
    every_row = slice(0, n_rows)
    shape = (n_queries, n_rows, n_features)
    if may_share_rows and by_centres(*shape, processes.size, BLOCK_ROWS, 0):
        own_rows = processes.share(n_rows, unit=BLOCK_ROWS)
        with processes.together():
            squared, rows = _nearest_among(queries, k, own_rows, ask)
        return _nearest_of_all(processes.gather(squared), processes.gather(rows), k)
    own = processes.share(n_queries)
    with processes.together():
        # of these queries, who is who is known here alone
        squared, rows = ask(queries[own], k + exclude_self, every_row)
        if exclude_self:
            squared, rows = _without(squared, rows, own)
    return processes.gather_rows(squared, n_queries), processes.gather_rows(rows, n_queries)


def _nearest_among(queries: Tensor, k: int, rows: slice, ask: Ask) -> Found:
    """Return the k nearest of some rows; where there are fewer, none (infinitely far) follows."""
    n_own = min(k, rows.stop - rows.start)
    squared = queries.new_full((len(queries), k), torch.inf, dtype=torch.float64)
    indices = queries.new_full((len(queries), k), torch.iinfo(torch.int64).max, dtype=torch.int64)
    if n_own:
        squared[:, :n_own], indices[:, :n_own] = ask(queries, n_own, rows)
    return squared, indices


def _nearest_of_all(squared: list[Tensor], indices: list[Tensor], k: int) -> Found:
    """Merge what was found among consecutive rows: ties go to the earlier."""
    every, rows = torch.cat(squared, dim=1), torch.cat(indices, dim=1)
    nearest, order = torch.sort(every, dim=1, stable=True)
    return nearest[:, :k].contiguous(), rows.gather(1, order[:, :k])


def _without(squared: Tensor, rows: Tensor, own: slice) -> Found:
    """Take each query itself out of its k + 1 nearest rows, or the last of them."""
    numbers = torch.arange(own.start, own.stop, device=rows.device)
    is_self = rows == numbers[:, None]
    is_self[:, -1] |= ~is_self.any(1)
    kept = ~is_self
    shape = (len(rows), rows.shape[1] - 1)
    return squared[kept].reshape(shape), rows[kept].reshape(shape)
