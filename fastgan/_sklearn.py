"""What fastgan's estimators take from scikit-learn: its checks of data, and its sentences.

Imported by them alone, so that ``import fastgan`` does not import scikit-learn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Kept as they are. Any other dtype of real numbers becomes the first.
_DTYPES = (np.float64, np.float32, np.uint8)
_TORCH_DTYPES = (torch.float64, torch.float32, torch.uint8)


def validate_rows(estimator: Any, rows: Any, *, reset: bool) -> NDArray[Any] | Tensor:
    """Return rows of numbers as scikit-learn's ``validate_data`` passes them, in C order.

    Parameters
    ----------
    estimator : BaseEstimator
        Its ``n_features_in_`` (and ``feature_names_in_``, of a data frame) are set or held against.
    rows : array-like or Tensor of shape (n_rows, n_features)
        Lists, data frames, arrays, tensors on any device. float64, float32 and uint8 are kept and,
        in C order, not copied; float16, bfloat16, other integers and bool become float64.
    reset : bool
        Set what the estimator knows of its input (fit), or hold the rows against it.

    Returns
    -------
    ndarray or Tensor of shape (n_rows, n_features), float64, float32 or uint8
        A Tensor for a Tensor, on its device; an ndarray for anything else.

    Raises
    ------
    TypeError
        For sparse data.
    ValueError
        For anything else that ``validate_data`` refuses, in its words: not two dimensions, no row
        or column, NaN or infinity, another number of features. For a tensor that requires a
        gradient.
    """
    if isinstance(rows, Tensor):
        return _validate_tensor(estimator, rows, reset)
    checked: NDArray[Any] = _validate_data(estimator, rows, reset, dtype=list(_DTYPES), order="C")
    return checked


def _validate_data(estimator: Any, rows: Any, reset: bool, **options: Any) -> Any:
    """Call ``validate_data``, which was a method before scikit-learn 1.6."""
    try:
        from sklearn.utils.validation import validate_data
    except ImportError:
        return estimator._validate_data(rows, reset=reset, **options)
    return validate_data(estimator, rows, reset=reset, **options)


def _validate_tensor(estimator: Any, tensor: Tensor, reset: bool) -> Tensor:
    """Show scikit-learn one row that stands for all, so that no tensor leaves its device."""
    if tensor.layout != torch.strided:
        raise TypeError(f"X: expected a dense tensor, got layout {tensor.layout}")
    if tensor.requires_grad:
        raise ValueError(
            "X: expected a tensor without gradient, as densities have none here; "
            "got one that requires it (pass it detached)"
        )
    if tensor.dtype not in _TORCH_DTYPES and not tensor.is_complex():
        tensor = tensor.to(torch.float64)
    shown = tensor[_telling_row(tensor)] if tensor.ndim == 2 else tensor
    _validate_data(estimator, shown.cpu().numpy(), reset, dtype=None)
    return tensor.contiguous()


def _telling_row(matrix: Tensor) -> slice:
    """Return which row to show: the first that is not finite, else the first, else all (none)."""
    if 0 in matrix.shape:
        return slice(None)
    first = 0
    # one number says that all are finite; if it overflows, the rows are looked at
    if not bool(torch.isfinite(matrix.sum())):
        first = int((~torch.isfinite(matrix)).any(1).to(torch.uint8).argmax())
    return slice(first, first + 1)
