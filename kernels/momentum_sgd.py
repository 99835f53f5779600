"""Momentum and max-norm in one launch: a program updates whole rows."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from fastgan.kernels.launch import ARCHITECTURES, INTERPRETER, Configuration, Kernel

ROW = 1024  # elements of a row where rows do not matter


@triton.jit
def limited(weight_pointer, row, n_columns, squares, max_norm, NORM_EPSILON, BLOCK_COLUMNS):
    """Multiply the row of n_columns elements from ``row`` on by min(|w|, c) / (epsilon + |w|).

    squares, float64 of any shape [BLOCK_COLUMNS]: sums of the squares of parts of the row.
    """
    norm = tl.sqrt(tl.sum(squares, axis=0))
    limit = tl.full([], max_norm, tl.float64)  # as it is, minimum() would round it to float32
    factor = tl.minimum(norm, limit) / (NORM_EPSILON + norm)
    for start in range(0, n_columns, BLOCK_COLUMNS):
        column = start + tl.arange(0, BLOCK_COLUMNS)
        inside = column < n_columns
        weight = tl.load(weight_pointer + row + column, mask=inside, other=0.0)
        tl.store(weight_pointer + row + column, weight * factor.to(weight.dtype), mask=inside)


@triton.jit
def momentum_sgd_kernel(
    weight_pointer,
    velocity_pointer,
    gradient_pointer,
    lr_pointer,
    momentum_pointer,
    n_columns,
    MAX_NORM: tl.constexpr,
    NORM_EPSILON: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
):
    """Update one row: v = momentum v - lr g, w += v, w * min(|w|, c) / (NORM_EPSILON + |w|).

    lr and momentum are float64 numbers on the device: a captured graph does not freeze them. The
    norm's squares are summed in float64.
    """
    dtype = weight_pointer.dtype.element_ty
    lr = tl.load(lr_pointer).to(dtype)
    momentum = tl.load(momentum_pointer).to(dtype)
    row = tl.program_id(0).to(tl.int64) * n_columns
    squares = tl.zeros([BLOCK_COLUMNS], dtype=tl.float64)
    for start in range(0, n_columns, BLOCK_COLUMNS):
        column = start + tl.arange(0, BLOCK_COLUMNS)
        inside = column < n_columns
        at = row + column
        velocity = tl.load(velocity_pointer + at, mask=inside, other=0.0)
        gradient = tl.load(gradient_pointer + at, mask=inside, other=0.0)
        velocity = momentum * velocity - lr * gradient
        weight = tl.load(weight_pointer + at, mask=inside, other=0.0) + velocity
        tl.store(velocity_pointer + at, velocity, mask=inside)
        tl.store(weight_pointer + at, weight, mask=inside)
        if MAX_NORM is not None:
            wide = tl.where(inside, weight, 0.0).to(tl.float64)
            squares += wide * wide
    if MAX_NORM is not None:
        tl.debug_barrier()  # the row was stored by all threads of the program
        limited(weight_pointer, row, n_columns, squares, MAX_NORM, NORM_EPSILON, BLOCK_COLUMNS)


@triton.jit
def move_weight_kernel(
    weight_pointer,
    velocity_pointer,
    n_columns,
    MAX_NORM: tl.constexpr,
    NORM_EPSILON: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
):
    """Move one row by its velocity, as it is, and limit its norm: w += v, w *= ..."""
    row = tl.program_id(0).to(tl.int64) * n_columns
    squares = tl.zeros([BLOCK_COLUMNS], dtype=tl.float64)
    for start in range(0, n_columns, BLOCK_COLUMNS):
        column = start + tl.arange(0, BLOCK_COLUMNS)
        inside = column < n_columns
        weight = tl.load(weight_pointer + row + column, mask=inside, other=0.0)
        weight += tl.load(velocity_pointer + row + column, mask=inside, other=0.0)
        tl.store(weight_pointer + row + column, weight, mask=inside)
        if MAX_NORM is not None:
            wide = tl.where(inside, weight, 0.0).to(tl.float64)
            squares += wide * wide
    if MAX_NORM is not None:
        tl.debug_barrier()  # the row was stored by all threads of the program
        limited(weight_pointer, row, n_columns, squares, MAX_NORM, NORM_EPSILON, BLOCK_COLUMNS)


@triton.jit
def limit_norms_kernel(
    weight_pointer,
    n_columns,
    MAX_NORM: tl.constexpr,
    NORM_EPSILON: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
):
    """Limit the norm of one row; its squares are summed in float64."""
    row = tl.program_id(0).to(tl.int64) * n_columns
    squares = tl.zeros([BLOCK_COLUMNS], dtype=tl.float64)
    for start in range(0, n_columns, BLOCK_COLUMNS):
        column = start + tl.arange(0, BLOCK_COLUMNS)
        weight = tl.load(weight_pointer + row + column, mask=column < n_columns, other=0.0)
        squares += weight.to(tl.float64) * weight.to(tl.float64)
    limited(weight_pointer, row, n_columns, squares, MAX_NORM, NORM_EPSILON, BLOCK_COLUMNS)


CONFIGURATIONS = {
    **{name: [Configuration("1024", {"BLOCK_COLUMNS": 1024})] for name in ARCHITECTURES},
    INTERPRETER: [Configuration("256", {"BLOCK_COLUMNS": 256})],
}
MOMENTUM_SGD = Kernel(
    momentum_sgd_kernel,
    CONFIGURATIONS,
    key=["n_columns"],
    restored=["weight_pointer", "velocity_pointer"],
    options={"enable_fp_fusion": False},  # each operation is rounded, as on the CPU
)
MOVE_WEIGHT = Kernel(
    move_weight_kernel,
    CONFIGURATIONS,
    key=["n_columns"],
    restored=["weight_pointer"],
    options={"enable_fp_fusion": False},
)
LIMIT_NORMS = Kernel(
    limit_norms_kernel,
    CONFIGURATIONS,
    key=["n_columns"],
    restored=["weight_pointer"],
    options={"enable_fp_fusion": False},
)
NORM_EPSILON = 1e-7


def momentum_sgd(
    weight: torch.Tensor,
    velocity: torch.Tensor,
    gradient: torch.Tensor,
    lr: torch.Tensor,
    momentum: torch.Tensor,
    max_norm: float | None = None,
) -> None:
    """Update in place; arguments as in fastgan.ops.momentum_sgd, lr and momentum as tensors."""
    gradient = gradient.contiguous()
    for begin, n_programs, width in _rows(weight, max_norm):
        MOMENTUM_SGD(
            (n_programs,),
            weight_pointer=weight.view(-1)[begin:],
            velocity_pointer=velocity.view(-1)[begin:],
            gradient_pointer=gradient.view(-1)[begin:],
            lr_pointer=lr,
            momentum_pointer=momentum,
            n_columns=width,
            MAX_NORM=max_norm,
            NORM_EPSILON=NORM_EPSILON,
        )


def move_weight(
    weight: torch.Tensor, velocity: torch.Tensor, max_norm: float | None = None
) -> None:
    """Do the second half of :func:`momentum_sgd`, in place, by the velocity as it is."""
    for begin, n_programs, width in _rows(weight, max_norm):
        MOVE_WEIGHT(
            (n_programs,),
            weight_pointer=weight.view(-1)[begin:],
            velocity_pointer=velocity.view(-1)[begin:],
            n_columns=width,
            MAX_NORM=max_norm,
            NORM_EPSILON=NORM_EPSILON,
        )


def _rows(weight: torch.Tensor, max_norm: float | None) -> list[tuple[int, int, int]]:
    """Return where rows begin, how many there are, how wide: any, where their norms do not matter.

    First the rows of one width, and then what may be left over.
    """
    n = weight.numel()
    if n == 0:
        return []
    n_columns = min(n, ROW) if max_norm is None else weight.shape[1]
    whole, rest = divmod(n, n_columns)
    return [
        piece for piece in ((0, whole, n_columns), (n - rest, int(rest > 0), rest)) if piece[1] > 0
    ]


def limit_norms(weight: torch.Tensor, max_norm: float) -> None:
    """Limit the norm of every row, in place: w becomes w min(|w|, c) / (1e-7 + |w|).

    weight: (n_rows, n_columns), float32 or float64; max_norm: c, positive.
    """
    n_rows, n_columns = weight.shape
    if weight.numel() == 0:
        return
    LIMIT_NORMS(
        (n_rows,),
        weight_pointer=weight,
        n_columns=n_columns,
        MAX_NORM=float(max_norm),
        NORM_EPSILON=NORM_EPSILON,
    )
