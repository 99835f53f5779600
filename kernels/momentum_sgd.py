"""Momentum and max-norm in one launch: a program updates whole rows."""

import torch
import triton
import triton.language as tl

BLOCK_COLUMNS = 1024


@triton.jit
def momentum_sgd_kernel(
    weight_pointer,
    velocity_pointer,
    gradient_pointer,
    lr_pointer,
    momentum_pointer,
    max_norm_pointer,
    n_columns,
    HAS_MAX_NORM: tl.constexpr,
    NORM_EPSILON: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
):
    """Update one row: v = momentum v - lr g, w += v, w * min(|w|, c) / (NORM_EPSILON + |w|).

    lr, momentum and max_norm are float64 numbers on the device: a captured graph does not freeze
    them. The norm's squares are summed in float64.
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
        if HAS_MAX_NORM:
            wide = tl.where(inside, weight, 0.0).to(tl.float64)
            squares += wide * wide
    if HAS_MAX_NORM:
        max_norm = tl.load(max_norm_pointer)
        norm = tl.sqrt(tl.sum(squares, axis=0))
        # not minimum(): a NaN norm stays NaN
        factor = (tl.where(norm > max_norm, max_norm, norm) / (NORM_EPSILON + norm)).to(dtype)
        tl.debug_barrier()  # the row was stored by all threads of the program
        for start in range(0, n_columns, BLOCK_COLUMNS):
            column = start + tl.arange(0, BLOCK_COLUMNS)
            inside = column < n_columns
            at = row + column
            weight = tl.load(weight_pointer + at, mask=inside, other=0.0)
            tl.store(weight_pointer + at, weight * factor, mask=inside)


def momentum_sgd(
    weight: torch.Tensor,
    velocity: torch.Tensor,
    gradient: torch.Tensor,
    lr: torch.Tensor,
    momentum: torch.Tensor,
    max_norm: float | None = None,
) -> None:
    """Update in place; arguments as in fastgan.ops.momentum_sgd, lr and momentum as tensors."""
    n = weight.numel()
    if n == 0:
        return
    if max_norm is None:  # rows do not matter: equal parts
        n_columns, limit = min(n, BLOCK_COLUMNS), lr
    else:
        n_columns = weight.shape[1]
        limit = torch.full((), max_norm, dtype=torch.float64, device=weight.device)
    whole, rest = divmod(n, n_columns)
    gradient = gradient.contiguous()
    for begin, n_programs, width in ((0, whole, n_columns), (n - rest, int(rest > 0), rest)):
        if n_programs == 0:
            continue
        momentum_sgd_kernel[(n_programs,)](
            weight.view(-1)[begin:],
            velocity.view(-1)[begin:],
            gradient.view(-1)[begin:],
            lr,
            momentum,
            limit,
            width,
            HAS_MAX_NORM=max_norm is not None,
            NORM_EPSILON=1e-7,
            BLOCK_COLUMNS=BLOCK_COLUMNS,
            enable_fp_fusion=False,  # each operation is rounded, as on the CPU
        )
