"""Checks of arguments, and the one form of sentence they raise.

Every message reads ``name: expected what, got what``. A wrong kind of thing is a ``TypeError``, a
wrong value a ``ValueError``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

FLOATING = (torch.float32, torch.float64)


def check_tensor(name: str, value: Any) -> None:
    """Raise ``TypeError`` unless ``value`` is a torch tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a torch.Tensor, got {type(value).__name__}")


def check_dimensions(name: str, value: Any, axes: tuple[str, ...]) -> None:
    """Raise ``ValueError`` unless ``value`` (a tensor or an array) has one dimension per axis name.

    ``axes`` names them, as in ``("n_samples", "n_features")``.
    """
    if value.ndim != len(axes):
        plural = "dimension" if len(axes) == 1 else "dimensions"
        named = f"({axes[0]},)" if len(axes) == 1 else f"({', '.join(axes)})"
        raise ValueError(
            f"{name}: expected {len(axes)} {plural} {named}, got shape {tuple(value.shape)}"
        )


def check_matrix(name: str, value: Any, rows: str, columns: str) -> None:
    """Raise ``ValueError`` unless ``value`` is a matrix of shape (``rows``, ``columns``)."""
    check_dimensions(name, value, (rows, columns))


def check_shape(name: str, value: Any, expected: tuple[int, ...], named: str) -> None:
    """Raise ``ValueError`` unless ``value`` has the ``expected`` shape, ``named`` in words."""
    if tuple(value.shape) != expected:
        raise ValueError(
            f"{name}: expected shape {named} = {expected}, got shape {tuple(value.shape)}"
        )


def check_floating(name: str, value: Any) -> None:
    """Raise ``TypeError`` unless ``value`` is a torch tensor of dtype float32 or float64."""
    check_tensor(name, value)
    if value.dtype not in FLOATING:
        raise TypeError(f"{name}: expected dtype float32 or float64, got {dtype_name(value)}")


def check_same_dtype(name: str, value: Any, other_name: str, other: Any) -> None:
    """Raise ``TypeError`` unless ``value`` has the dtype of ``other``."""
    if value.dtype != other.dtype:
        raise TypeError(
            f"{name}: expected dtype {dtype_name(other)} like {other_name}, got {dtype_name(value)}"
        )


def check_same_device(name: str, value: Tensor, other_name: str, other: Tensor) -> None:
    """Raise ``ValueError`` unless ``value`` is on the device of ``other``."""
    if value.device != other.device:
        raise ValueError(
            f"{name}: expected device {other.device} like {other_name}, got {value.device}"
        )


def check_contiguous(name: str, value: Tensor) -> None:
    """Raise ``ValueError`` unless ``value``, which is written in place, is contiguous."""
    if not value.is_contiguous():
        raise ValueError(
            f"{name}: expected a contiguous tensor, as it is written in place, "
            f"got strides {value.stride()} for shape {tuple(value.shape)}"
        )


def check_integer(
    name: str, value: Any, minimum: int | None = None, maximum: int | None = None
) -> None:
    """Raise unless ``value`` is an integer (not a bool) from ``minimum`` to ``maximum``."""
    if not isinstance(value, int | torch.SymInt) or isinstance(value, bool):
        # NumPy's integers answer to __index__, and so does a bool
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise TypeError(f"{name}: expected an integer, got {value!r}")
        value = value.__index__()
    if minimum is not None and maximum is not None:
        if not minimum <= value <= maximum:
            raise ValueError(
                f"{name}: expected an integer from {minimum} to {maximum}, got {value}"
            )
    elif minimum is not None and value < minimum:
        raise ValueError(f"{name}: expected an integer of at least {minimum}, got {value}")


def check_number(name: str, value: Any) -> None:
    """Raise unless ``value`` is a finite real number (not a bool)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        # NumPy's scalars answer to __float__; strings and tensors are not numbers here
        if isinstance(value, bool | Tensor) or not hasattr(value, "__float__"):
            raise TypeError(f"{name}: expected a number, got {value!r}")
        value = float(value)
    if not math.isfinite(value):
        raise ValueError(f"{name}: expected a finite number, got {value}")


def check_positive(name: str, value: Any) -> None:
    """Raise unless ``value`` is a finite number above zero."""
    check_number(name, value)
    if not value > 0:
        raise ValueError(f"{name}: expected a number above 0, got {value}")


def check_probability(name: str, value: Any) -> None:
    """Raise unless ``value`` is a number above 0 and at most 1."""
    check_number(name, value)
    if not 0 < value <= 1:
        raise ValueError(f"{name}: expected a probability above 0 and at most 1, got {value}")


def check_scalar(name: str, value: Tensor, dtype: torch.dtype) -> None:
    """Raise unless ``value`` is a tensor of no dimension and of the given dtype."""
    if value.ndim != 0:
        raise ValueError(f"{name}: expected 0 dimensions, got shape {tuple(value.shape)}")
    if value.dtype != dtype:
        expected = str(dtype).removeprefix("torch.")
        raise TypeError(f"{name}: expected dtype {expected}, got {dtype_name(value)}")


def check_batch(
    batch: Any,
    n_features: int,
    dtype: torch.dtype,
    device: torch.device,
    name: str = "batch",
) -> None:
    """Raise unless ``batch`` is a tensor of one or more images, of the networks' dtype and device.

    ``TypeError`` of its kind and dtype, ``ValueError`` of its shape (n, ``n_features``) and device.
    """
    check_tensor(name, batch)
    if batch.ndim != 2 or batch.shape[1] != n_features:
        raise ValueError(f"{name}: expected shape (n, {n_features}), got {tuple(batch.shape)}")
    if batch.shape[0] == 0:
        raise ValueError(f"{name}: expected at least one image, got shape {tuple(batch.shape)}")
    if batch.dtype != dtype:
        expected = str(dtype).removeprefix("torch.")
        raise TypeError(
            f"{name}: expected dtype {expected} like the networks, got {dtype_name(batch)}"
        )
    if batch.device != device:
        raise ValueError(f"{name}: expected device {device} like the networks, got {batch.device}")
    if batch.layout != torch.strided:
        raise TypeError(f"{name}: expected a dense tensor, got layout {batch.layout}")


def check_order(order: Any, n_images: int) -> None:
    """Raise unless ``order`` is a tensor of one or more image numbers, int64, of one dimension."""
    check_tensor("order", order)
    if order.dtype != torch.int64:
        raise TypeError(f"order: expected dtype int64, got {dtype_name(order)}")
    if order.ndim != 1 or len(order) == 0:
        raise ValueError(f"order: expected shape (n_rows,), got {tuple(order.shape)}")
    least, most = (int(value) for value in torch.aminmax(order))
    if least < 0 or most >= n_images:
        raise ValueError(
            f"order: expected numbers of images from 0 to {n_images - 1}, got {least} to {most}"
        )


def dtype_name(value: Any) -> str:
    """Return the name of a tensor's or an array's dtype, as both libraries write it."""
    return str(value.dtype).removeprefix("torch.")


def check_state(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise ``ValueError`` unless a state has the expected names, dtypes and shapes, no more."""
    for name in sorted(expected.keys() - state.keys()):
        raise ValueError(f"state: the tensor {name!r} is missing")
    for name in sorted(state.keys() - expected.keys()):
        raise ValueError(f"state: unknown tensor {name!r}")
    for name, value in expected.items():
        given = state[name]
        if given.shape != value.shape or given.dtype != value.dtype:
            raise ValueError(
                f"state: {name!r}: expected {value.dtype} of shape {tuple(value.shape)}, "
                f"got {given.dtype} of shape {tuple(given.shape)}"
            )
