"""What distances are taken between: two matrices of one kind, one dtype and one number of features.

NumPy arrays and torch tensors are both welcome, not mixed; an answer is of the kind that came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastgan.checks import check_matrix, check_same_device, check_same_dtype, dtype_name
from fastgan.ops.index import Index

DTYPES = (torch.uint8, torch.float32, torch.float64)
_NUMPY_DTYPES = (np.dtype(np.uint8), np.dtype(np.float32), np.dtype(np.float64))
_ELEMENTS_IN_CHECK = 1 << 22


@dataclass(frozen=True)
class Points:
    """Two checked matrices, contiguous, as tensors; ``is_numpy`` says what the caller gave."""

    queries: Tensor  # (n_queries, n_features)
    others: Tensor  # (n_samples, n_features)
    is_numpy: bool
    index: Index | None = None  # of the other rows, where the caller keeps one

    def answer(self, value: Tensor) -> Any:
        """Return a result as the kind of array that the caller gave."""
        return value.numpy() if self.is_numpy else value


def check_points(
    queries: Any,
    others: Any,
    name: str,
    rows: str,
    queries_name: str = "queries",
    query_rows: str = "n_queries",
) -> Points:
    """Check two matrices of points and return them as contiguous tensors.

    Parameters
    ----------
    queries : array or tensor of shape (n_queries, n_features)
        uint8, float32 or float64. No query at all is fine.
    others : array, tensor of shape (rows, n_features), or an Index of one
        Of the same kind, dtype and device; at least one row and one feature. An index's rows were
        looked through for NaN when it was made.
    name : str
        What the second matrix is called in messages.
    rows : str
        What its rows are counted by in messages, as in ``n_samples``.
    queries_name, query_rows : str
        The same for the first matrix.

    Raises
    ------
    TypeError
        For anything but NumPy arrays or torch tensors of one of the dtypes, or a mixture.
    ValueError
        For wrong shapes, NaN or infinity, or a tensor that requires a gradient.
    """
    index = others if isinstance(others, Index) else None
    others = others if index is None else index.given
    is_numpy = isinstance(queries, np.ndarray)
    for label, value in ((queries_name, queries), (name, others)):
        if not isinstance(value, np.ndarray | Tensor):
            raise TypeError(
                f"{label}: expected a NumPy array or a torch.Tensor, got {type(value).__name__}"
            )
        if isinstance(value, np.ndarray) != is_numpy:
            expected = "NumPy array" if is_numpy else "torch.Tensor"
            raise TypeError(
                f"{label}: expected a {expected} like {queries_name}, got {_kind(value)}"
            )
        if value.dtype not in (_NUMPY_DTYPES if is_numpy else DTYPES):
            raise TypeError(
                f"{label}: expected dtype uint8, float32 or float64, got {dtype_name(value)}"
            )
    check_same_dtype(name, others, queries_name, queries)
    check_matrix(queries_name, queries, query_rows, "n_features")
    check_matrix(name, others, rows, "n_features")
    if others.shape[0] == 0 or others.shape[1] == 0:
        raise ValueError(
            f"{name}: expected at least 1 row and 1 feature, got shape {tuple(others.shape)}"
        )
    if queries.shape[1] != others.shape[1]:
        raise ValueError(
            f"{queries_name}: expected {others.shape[1]} features like {name}, "
            f"got shape {tuple(queries.shape)}"
        )
    if not is_numpy:
        check_same_device(name, others, queries_name, queries)
        for label, value in ((queries_name, queries), (name, others)):
            if value.requires_grad:
                raise ValueError(
                    f"{label}: expected a tensor without gradient, as distances have none here; "
                    "got one that requires it (pass it detached)"
                )
    rows_of_others = as_tensor(others) if index is None else index.rows
    points = Points(as_tensor(queries), rows_of_others, is_numpy, index)
    check_finite(queries_name, points.queries)
    if index is None:
        check_finite(name, points.others)
    return points


def check_exclude_self(points: Points, name: str = "samples", n_rows: int | None = None) -> None:
    """Raise ``ValueError`` where the queries cannot be the other rows themselves."""
    n_rows = points.others.shape[0] if n_rows is None else n_rows
    if points.queries.shape[0] != n_rows:
        raise ValueError(
            f"exclude_self: expected queries to be the {n_rows} rows of {name}, "
            f"got {points.queries.shape[0]} queries"
        )


def check_finite(name: str, value: Tensor) -> None:
    """Raise ``ValueError`` where a contiguous matrix of floats holds NaN or infinity."""
    if not value.dtype.is_floating_point or value.numel() == 0:
        return
    n_rows = max(1, _ELEMENTS_IN_CHECK // value.shape[1])
    for first in range(0, value.shape[0], n_rows):
        rows = value[first : first + n_rows]
        least, most = torch.aminmax(rows)  # both are NaN where any element is
        if bool(torch.isfinite(least)) and bool(torch.isfinite(most)):
            continue
        row, column = (int(i) for i in torch.nonzero(~torch.isfinite(rows))[0])
        raise ValueError(
            f"{name}: expected finite numbers, "
            f"got {rows[row, column].item()} in row {first + row}, column {column}"
        )


def _kind(value: Any) -> str:
    return "a NumPy array" if isinstance(value, np.ndarray) else "a torch.Tensor"


class _WritableView:
    """The memory of a read-only array, presented as writable: torch takes no other, and no one
    here writes to it.
    """  # noqa: D205

    def __init__(self, array: np.ndarray) -> None:
        address, _ = array.__array_interface__["data"]
        self.__array_interface__ = {**array.__array_interface__, "data": (address, False)}
        self.owner = array  # keeps the memory alive


def as_tensor(value: Any) -> Tensor:
    """Return an array or tensor as a contiguous tensor, on the same memory where it can be."""
    if isinstance(value, Tensor):
        return value.contiguous()
    array = np.ascontiguousarray(value)
    if not array.flags.writeable and array.size:
        array = np.asarray(_WritableView(array))
    return torch.from_numpy(np.empty(array.shape, array.dtype) if array.size == 0 else array)
