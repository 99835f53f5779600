"""Data whose nearest rows are asked for again and again."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from fastgan import backends
from fastgan.checks import check_matrix, dtype_name
from fastgan.ops._points import DTYPES, as_tensor, check_finite
from fastgan.ops.index import Index
from fastgan.ops.neighbors import nearest_neighbors

Array = NDArray[Any] | Tensor


class NeighborIndex:
    """Data whose nearest rows are asked for again and again.

    Exact: squared Euclidean distances, ascending, ties by the smaller index. Copies and pickles;
    whatever was prepared for answering is then left behind and made again.

    Parameters
    ----------
    data : array or tensor of shape (n_data, n_features), uint8, float32 or float64
        uint8 means the numbers 0..255. Checked once; kept, and not copied where it is in C order
        already: do not change it afterwards.
    strategy : {"auto", "pruned", "dense"}
    impl : {"auto", "reference", "native", "triton"}

    Attributes
    ----------
    data : ndarray or Tensor of shape (n_data, n_features)

    Raises
    ------
    TypeError
        If ``data`` is no array or tensor, or of another dtype.
    ValueError
        If it has not two dimensions, no rows or no columns, a number that is not finite, or
        requires a gradient; if an option is unknown or cannot run.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgan import NeighborIndex
    >>> distances, indices = NeighborIndex(np.array([[0.0], [3.0]])).query(np.array([[2.0]]))
    >>> float(distances[0, 0]), int(indices[0, 0])
    (1.0, 1)
    """

    def __init__(self, data: Array, *, strategy: str = "auto", impl: str = "auto") -> None:
        rows = _checked(data)
        resolved = backends.resolve_impl("neighbors", impl, rows.device)
        backends.check_strategy(strategy, impl=resolved)
        self.data: Array = rows if isinstance(data, Tensor) else np.ascontiguousarray(data)
        self.strategy = strategy
        self.impl = impl
        self._kept: Index | None = None

    def query(
        self,
        queries: Array,
        k: int = 1,
        *,
        exclude_self: bool = False,
        process_group: dist.ProcessGroup | None = None,
    ) -> tuple[Any, Any]:
        """Return the ``k`` nearest rows of each query.

        Parameters
        ----------
        queries : array or tensor of shape (n_queries, n_features)
            Of the kind and dtype of the data.
        k : int
            From 1 to n_data; to n_data - 1 with ``exclude_self``.
        exclude_self : bool
            The queries are the data: row i is no neighbor of itself.
        process_group : torch.distributed.ProcessGroup, optional
            The processes that share the work, each with an index of the same data; None: this
            process alone. See :func:`fastgan.nearest_neighbors`.

        Returns
        -------
        squared_distances : float64 array or tensor of shape (n_queries, k)
            In squared units of the data.
        indices : int64 array or tensor of shape (n_queries, k)
            Tensors for tensors, arrays for arrays.

        Raises
        ------
        TypeError, ValueError
            As :func:`fastgan.nearest_neighbors`.
        """
        return nearest_neighbors(
            queries,
            self._index(),
            k,
            exclude_self=exclude_self,
            strategy=self.strategy,
            impl=self.impl,
            process_group=process_group,
        )

    def _index(self) -> Index:
        """Return what queries are put to: made when first asked for, never pickled."""
        if self._kept is None:
            self._kept = Index(as_tensor(self.data), given=self.data)
        return self._kept

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None}

    def __len__(self) -> int:
        return int(self.data.shape[0])

    def __repr__(self) -> str:
        n_data, n_features = self.data.shape
        dtype = dtype_name(self.data)
        return f"NeighborIndex(n_data={n_data}, n_features={n_features}, dtype={dtype})"


def _checked(data: Any) -> Tensor:
    """Return the data as a contiguous tensor, on their own memory where that is contiguous."""
    if not isinstance(data, np.ndarray | Tensor):
        raise TypeError(
            f"data: expected a NumPy array or a torch.Tensor, got {type(data).__name__}"
        )
    if dtype_name(data) not in [str(dtype).removeprefix("torch.") for dtype in DTYPES]:
        raise TypeError(f"data: expected dtype uint8, float32 or float64, got {dtype_name(data)}")
    check_matrix("data", data, "n_data", "n_features")
    if 0 in data.shape:
        raise ValueError(
            f"data: expected at least 1 row and 1 feature, got shape {tuple(data.shape)}"
        )
    if isinstance(data, Tensor) and data.requires_grad:
        raise ValueError(
            "data: expected a tensor without gradient, as distances have none here; "
            "got one that requires it (pass it detached)"
        )
    rows: Tensor = as_tensor(data)
    check_finite("data", rows)
    return rows
