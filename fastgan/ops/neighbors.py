"""Exact nearest neighbours by squared Euclidean distance."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from fastgan import _core, backends
from fastgan.checks import check_integer
from fastgan.ops._points import Points, check_exclude_self, check_points
from fastgan.ops._registry import array, register
from fastgan.ops.index import Index, choose
from fastgan.ops.shared_neighbors import shared_search
from fastgan.ops.sharing import check_same_arguments
from fastgan.processes import Processes
from fastgan.reference.neighbors import nearest_neighbors as reference_nearest_neighbors

_MOST_NEIGHBORS = 64  # past them thresholds stay loose for long
_LEAST_QUERIES = 512  # fewer do not pay for an index that is not kept


def _native(
    queries: Tensor, data: Tensor, k: int, exclude_self: bool, strategy: str
) -> tuple[Tensor, Tensor]:
    pays = len(queries) >= _LEAST_QUERIES
    return search(Index(data, keep=False), queries, k, exclude_self, strategy, index_pays=pays)


def _empty(
    queries: Tensor, data: Tensor, k: int, exclude_self: bool, strategy: str
) -> tuple[Tensor, Tensor]:
    shape = (queries.shape[0], k)
    return (
        queries.new_empty(shape, dtype=torch.float64),
        queries.new_empty(shape, dtype=torch.int64),
    )


def _triton(
    queries: Tensor, data: Tensor, k: int, exclude_self: bool, strategy: str
) -> tuple[Tensor, Tensor]:
    from fastgan.kernels.neighbors import nearest_neighbors as triton_nearest_neighbors

    found: tuple[Tensor, Tensor] = triton_nearest_neighbors(queries, data, k, exclude_self)
    return found


_SCHEMA = (
    "(Tensor queries, Tensor data, SymInt k, bool exclude_self, str strategy)"
    " -> (Tensor squared_distances, Tensor indices)"
)
_op = register(f"nearest_neighbors{_SCHEMA}", cpu=_native, cuda=_triton, fake=_empty)
_triton_op = register(f"nearest_neighbors_triton{_SCHEMA}", every_device=_triton, fake=_empty)


def search(
    index: Index,
    queries: Tensor,
    k: int,
    exclude_self: bool,
    strategy: str,
    *,
    index_pays: bool = True,
    rows: slice | None = None,
) -> tuple[Tensor, Tensor]:
    """Search an index, or whole blocks of its rows; checked arguments, see nearest_neighbors."""
    rows = slice(0, len(index.rows)) if rows is None else rows
    may_prune = index_pays and k <= _MOST_NEIGHBORS
    if choose("neighbors", strategy, index, may_prune=may_prune) == "pruned":
        found = index.nearest(queries, k, exclude_self, rows)
        return torch.from_numpy(found[0]), torch.from_numpy(found[1])
    squared_distances, indices = _empty(queries, index.rows, k, exclude_self, strategy)
    _core.nearest_neighbors(
        array(queries),
        array(index.rows[rows]),
        exclude_self,
        torch.get_num_threads(),
        array(squared_distances),
        array(indices),
    )
    return squared_distances, indices + rows.start if rows.start else indices


def _search_by_triton(
    index: Index, queries: Tensor, k: int, exclude_self: bool
) -> tuple[Tensor, Tensor]:
    """Search an index by the kernels: what they prepare of its rows is kept with it."""
    from fastgan.kernels.neighbors import nearest_among, prepare

    if index.prepared is None:
        index.prepared = prepare(index.rows)
    found: tuple[Tensor, Tensor] = nearest_among(queries, index.prepared, k, exclude_self)
    return found


def nearest_neighbors(
    queries: Any,
    data: Any,
    k: int = 1,
    *,
    exclude_self: bool = False,
    strategy: str = "auto",
    impl: str = "auto",
    process_group: dist.ProcessGroup | None = None,
) -> tuple[Any, Any]:
    """Return the k rows of ``data`` nearest to each query, exactly.

    Parameters
    ----------
    queries : array or tensor of shape (n_queries, n_features), uint8, float32 or float64
        uint8 means the numbers 0..255, never rescaled.
    data : array or tensor of shape (n_rows, n_features)
        NumPy or torch, dtype and device as ``queries``. (:class:`fastgan.NeighborIndex` keeps what
        is prepared for them between calls.)
    k : int
        How many neighbours, at most the number of rows that can be one.
    exclude_self : bool
        ``queries`` are the rows of ``data``: row i is not counted as a neighbour of query i.
    strategy : str
        ``dense`` multiplies all pairs, ``pruned`` bounds them by sketches first; ``auto`` takes
        what costs less. The answer is the same.
    impl : str
        ``auto``, ``reference``, ``native`` or ``triton``.
    process_group : torch.distributed.ProcessGroup, optional
        The processes that share the work, ``torch.distributed.group.WORLD`` or any group: each
        calls with the same arguments and gets the whole answer. None, also where torch.distributed
        is in use: this process alone.

    Returns
    -------
    squared_distances : float64 array or tensor of shape (n_queries, k)
        Ascending, in squared units of the data: the real number ``sum (x - y)^2`` of the inputs as
        given, rounded once to float64.
    indices : int64 array or tensor of shape (n_queries, k)
        Rows of ``data``; equal distances are ordered by the smaller index.

    Raises
    ------
    TypeError
        For kinds and dtypes that are not taken, or a mixture of them.
    ValueError
        For wrong shapes, NaN or infinity, k larger than the data, or an option that is unknown;
        on every process, if their arguments differ.
    fastgan.processes.ProcessFailedError
        (a RuntimeError) If another process of the group failed, or is gone.

    Notes
    -----
    The answer is unique, so it is the same for any number of threads, any grouping of queries into
    calls, and on a CPU and a GPU. ``impl="reference"`` sums plainly in float64, so its distances
    may differ in the last bits, and its order where two distances agree to ``4 n_features`` units
    of rounding.

    Examples
    --------
    >>> import numpy as np
    >>> nearest_neighbors(np.array([[0.9]]), np.array([[0.0], [1.5], [3.0]]))
    (array([[0.36]]), array([[1]]))
    """
    processes = Processes(process_group)
    with processes.together():
        check_integer("k", k, 1)
        backends.check_strategy(strategy)
        points = check_points(queries, data, "data", "n_rows")
        n_rows = points.others.shape[0]
        if exclude_self:
            check_exclude_self(points, "data")
        most = n_rows - 1 if exclude_self else n_rows
        if k > most:
            raise ValueError(f"k: expected at most {most}, as data has {n_rows} rows, got {k}")
        chosen = backends.resolve_impl("neighbors", impl, points.queries.device)
        backends.check_strategy(strategy, impl=chosen)
    if processes.size == 1:
        found = _ask(points, points.queries, int(k), bool(exclude_self), strategy, chosen)
        return points.answer(found[0]), points.answer(found[1])
    check_same_arguments(
        processes,
        queries=queries,
        data=data if points.index is None else points.index.given,
        k=k,
        exclude_self=exclude_self,
        strategy=strategy,
        impl=impl,
        device=points.queries.device,
    )
    found = shared_search(
        processes,
        points.queries,
        n_rows,
        int(k),
        exclude_self=bool(exclude_self),
        may_share_rows=chosen == "native",
        ask=lambda own, n, rows: _ask(points, own, n, False, strategy, chosen, rows),
    )
    return points.answer(found[0]), points.answer(found[1])


def _ask(
    points: Points,
    queries: Tensor,
    k: int,
    exclude_self: bool,
    strategy: str,
    impl: str,
    rows: slice | None = None,
) -> tuple[Tensor, Tensor]:
    """Search all rows, or with the native implementation some blocks of them; checked arguments."""
    if impl == "reference":
        return reference_nearest_neighbors(queries, points.others, k, exclude_self)
    if impl == "triton" and points.index is not None:
        return _search_by_triton(points.index, queries, k, exclude_self)
    found: tuple[Tensor, Tensor]
    if impl == "triton":
        found = _triton_op(queries, points.others, k, exclude_self, strategy)
    elif points.index is not None:
        found = search(points.index, queries, k, exclude_self, strategy, rows=rows)
    elif rows is None:
        found = _op(queries, points.others, k, exclude_self, strategy)
    else:
        squared_distances, indices = _op(queries, points.others[rows], k, exclude_self, strategy)
        found = squared_distances, indices + rows.start
    return found
