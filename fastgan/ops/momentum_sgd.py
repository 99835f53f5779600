"""Gradient descent with classical momentum and max-norm, in one pass over memory."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from fastgan import _core, backends
from fastgan.checks import (
    check_contiguous,
    check_floating,
    check_number,
    check_positive,
    check_same_device,
    check_same_dtype,
    check_scalar,
    check_shape,
)
from fastgan.ops._autocast import as_single
from fastgan.ops._registry import array, register
from fastgan.reference.momentum_sgd import momentum_sgd as reference_momentum_sgd


def momentum_sgd(
    weight: Tensor,
    velocity: Tensor,
    gradient: Tensor,
    lr: float | Tensor,
    momentum: float | Tensor,
    max_norm: float | None = None,
    *,
    impl: str = "auto",
) -> None:
    """Update a weight and its velocity in place.

    ``velocity = momentum * velocity - lr * gradient``, ``weight += velocity``, then, with a
    ``max_norm`` c, each row w of the weight becomes ``w * min(|w|, c) / (1e-7 + |w|)``. No
    gradient is recorded, as in an optimizer.

    Parameters
    ----------
    weight, velocity : Tensor, float32 or float64, contiguous
        Any shape, both the same; two dimensions where ``max_norm`` is given.
    gradient : Tensor
        Of the shape and dtype of ``weight``; under ``torch.autocast`` also of half precision.
    lr, momentum : float or float64 tensor of no dimension
        Finite. Tensors keep a compiled graph from being compiled anew for each value.
    max_norm : float, optional
        The largest Euclidean norm of a row (of a linear piece's incoming weights), above 0.
    impl : str
        ``auto``, ``reference``, ``native`` or ``triton``.

    Raises
    ------
    TypeError
        If a tensor is not of float32 or float64, or not all are of one dtype.
    ValueError
        If shapes differ, a tensor written in place is not contiguous, or a number is not finite.

    Notes
    -----
    Sources: pylearn2's SGD with momentum and its layers' ``max_col_norm``, as the paper's released
    recipes use them.
    """
    (gradient,) = as_single(gradient)  # what is written in place cannot be taken as another
    check_floating("weight", weight)
    for name, value in (("velocity", velocity), ("gradient", gradient)):
        check_floating(name, value)
        check_same_dtype(name, value, "weight", weight)
        check_same_device(name, value, "weight", weight)
        if value.shape != weight.shape:
            check_shape(name, value, tuple(weight.shape), "that of weight")
    check_contiguous("weight", weight)
    check_contiguous("velocity", velocity)
    for name, number in (("lr", lr), ("momentum", momentum)):
        if isinstance(number, Tensor):
            check_scalar(name, number, torch.float64)
            check_same_device(name, number, "weight", weight)
        else:
            check_number(name, number)
    if max_norm is not None:
        check_positive("max_norm", max_norm)
        if weight.ndim != 2:
            raise ValueError(
                "weight: expected 2 dimensions (n_rows, n_features) with max_norm, "
                f"got shape {tuple(weight.shape)}"
            )
    chosen = backends.resolve_impl("momentum_sgd", impl, weight.device)
    if chosen == "reference":
        reference_momentum_sgd(weight, velocity, gradient, lr, momentum, max_norm)
        return
    op = momentum_sgd_op if chosen == "native" or weight.is_cuda else momentum_sgd_triton_op
    lr, momentum = _tensor(lr, weight.device), _tensor(momentum, weight.device)
    with torch.no_grad():
        op(weight, velocity, gradient, lr, momentum, max_norm)


def _tensor(number: float | Tensor, device: torch.device) -> Tensor:
    if isinstance(number, Tensor):
        return number
    return torch.tensor(float(number), dtype=torch.float64, device=device)


def _cpu(
    weight: Tensor,
    velocity: Tensor,
    gradient: Tensor,
    lr: Tensor,
    momentum: Tensor,
    max_norm: float | None,
) -> None:
    # a vector (biases) is one row
    n_rows = weight.shape[0] if weight.ndim == 2 else 1
    shape = (n_rows, weight.numel() // n_rows if n_rows else 0)
    numbers = lr.item(), momentum.item()
    for name, number in zip(("lr", "momentum"), numbers, strict=True):
        check_number(name, number)
    for name, tensor in (("weight", weight), ("velocity", velocity)):
        check_contiguous(name, tensor)  # array() would copy, and the update be lost
    _core.momentum_sgd(
        array(weight).reshape(shape),
        array(velocity).reshape(shape),
        array(gradient).reshape(shape),
        *numbers,
        math.inf if max_norm is None else max_norm,
        torch.get_num_threads(),
    )
    _mark_written(weight, velocity)


def _mark_written(*tensors: Tensor) -> None:
    """Let autograd notice that a tensor it may have saved was overwritten."""
    for tensor in tensors:
        if not tensor.is_inference():
            torch.autograd.graph.increment_version(tensor)


def _triton(weight: Tensor, velocity: Tensor, *others: Any) -> None:
    from fastgan.kernels.momentum_sgd import momentum_sgd as launch  # triton, only when asked for

    launch(weight.detach(), velocity.detach(), *others)
    _mark_written(weight, velocity)


def _fake(*_: object) -> None:
    return None


_ARGUMENTS = (
    "(Tensor(a!) weight, Tensor(b!) velocity, Tensor gradient, Tensor lr, Tensor momentum, "
    "float? max_norm) -> ()"
)
momentum_sgd_op = register("momentum_sgd" + _ARGUMENTS, cpu=_cpu, cuda=_triton, fake=_fake)
# By Triton on every device: for the CPU, where that is Triton's interpreter.
momentum_sgd_triton_op = register(
    "momentum_sgd_triton" + _ARGUMENTS,
    every_device=_triton,
    fake=_fake,
)
