"""How many rows lie within each query's own radius: what manifold metrics count."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastgan import _core, backends
from fastgan.ops._points import check_exclude_self, check_points
from fastgan.ops._registry import array, register
from fastgan.ops.index import Index, choose
from fastgan.reference.count_within import count_within as reference_count_within


def _native(
    queries: Tensor, data: Tensor, squared_radii: Tensor, exclude_self: bool, strategy: str
) -> tuple[Tensor, Tensor]:
    return count(Index(data, keep=False), queries, squared_radii, exclude_self, strategy)


def _empty(
    queries: Tensor, data: Tensor, squared_radii: Tensor, exclude_self: bool, strategy: str
) -> tuple[Tensor, Tensor]:
    return (
        queries.new_empty(queries.shape[0], dtype=torch.int64),
        queries.new_empty(data.shape[0], dtype=torch.int64),
    )


_op = register(
    "count_within(Tensor queries, Tensor data, Tensor squared_radii, bool exclude_self, "
    "str strategy) -> (Tensor per_query, Tensor per_row)",
    cpu=_native,
    fake=_empty,
)


def count(
    index: Index, queries: Tensor, squared_radii: Tensor, exclude_self: bool, strategy: str
) -> tuple[Tensor, Tensor]:
    """Count through an index; see :func:`count_within`."""
    if choose("count_within", strategy, index) == "pruned":
        found = index.count_within(queries, array(squared_radii), exclude_self)
        return torch.from_numpy(found[0]), torch.from_numpy(found[1])
    per_query = np.zeros(len(queries), dtype=np.int64)
    per_row = np.zeros(len(index.rows), dtype=np.int64)
    _core.count_within(
        array(queries),
        array(index.rows),
        array(squared_radii),
        0 if exclude_self else None,
        torch.get_num_threads(),
        per_query,
        per_row,
    )
    return torch.from_numpy(per_query), torch.from_numpy(per_row)


def count_within(
    queries: Any,
    data: Any,
    squared_radii: Any,
    *,
    exclude_self: bool = False,
    strategy: str = "auto",
    impl: str = "auto",
) -> tuple[Any, Any]:
    """Count the pairs (query, row) whose squared distance is at most the query's squared radius.

    Parameters
    ----------
    queries : array or tensor of shape (n_queries, n_features), uint8, float32 or float64
    data : array or tensor of shape (n_rows, n_features)
        NumPy or torch, dtype and device as ``queries``.
    squared_radii : float64 array or tensor of shape (n_queries,)
        In squared units of the data. Below 0: nothing is within; infinity: everything.
    exclude_self : bool
        ``queries`` are the rows of ``data``: pairs (i, i) do not count.
    strategy : str
        ``auto``, ``pruned`` or ``dense``.
    impl : str
        ``auto``, ``reference`` or ``native``.

    Returns
    -------
    per_query : int64 array or tensor of shape (n_queries,)
        Rows within the query's radius.
    per_row : int64 array or tensor of shape (n_rows,)
        Queries within whose radius the row lies.

    Raises
    ------
    TypeError
        For kinds and dtypes that are not taken, or a mixture of them.
    ValueError
        For wrong shapes, NaN or infinity, a radius that is NaN, or an option that is unknown.

    Notes
    -----
    A distance is the real number ``sum (x - y)^2`` of the inputs as given, rounded once to float64,
    as :func:`fastgan.nearest_neighbors` returns it; a pair at exactly the radius counts.

    Examples
    --------
    >>> import numpy as np
    >>> count_within(np.array([[0.0], [5.0]]), np.array([[1.0], [2.0]]), np.array([1.0, 9.0]))
    (array([1, 1]), array([1, 1]))
    """
    backends.check_strategy(strategy)
    points = check_points(queries, data, "data", "n_rows")
    if exclude_self:
        check_exclude_self(points, "data")
    radii = torch.as_tensor(squared_radii)
    n_queries = points.queries.shape[0]
    if radii.dtype != torch.float64:
        raise TypeError(f"squared_radii: expected dtype float64, got {radii.dtype}")
    if tuple(radii.shape) != (n_queries,):
        raise ValueError(
            f"squared_radii: expected shape ({n_queries},), one for each query, "
            f"got {tuple(radii.shape)}"
        )
    if bool(radii.isnan().any()):
        raise ValueError("squared_radii: expected numbers, got NaN")
    radii = radii.to(points.queries.device)
    if backends.resolve_impl("count_within", impl, points.queries.device) == "reference":
        backends.check_strategy(strategy, impl="reference")
        found = reference_count_within(points.queries, points.others, radii, exclude_self)
    else:
        found = _op(points.queries, points.others, radii, bool(exclude_self), strategy)
    return points.answer(found[0]), points.answer(found[1])
