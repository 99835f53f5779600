"""Weight gradients of dense and maxout layers, written or applied where they are made."""

from __future__ import annotations

import triton
import triton.language as tl
from fastgan.kernels.launch import Kernel
from fastgan.kernels.product_configurations import UPDATE, blocks
from fastgan.kernels.tiles import add_product, left_tile, span
from torch import Tensor


@triton.jit
def apply_gradient(pointer, velocity_pointer, lr_pointer, momentum_pointer, at, inside, gradient):
    """Apply v = momentum v - lr gradient, w += v at ``at``; without a velocity write the gradient.

    Without a weight, ``pointer``, the velocity alone is made. lr and momentum are float64 numbers
    on the device: a captured graph does not freeze them.
    """
    if velocity_pointer is None:
        tl.store(pointer + at, gradient, mask=inside)
    else:
        lr = tl.load(lr_pointer).to(gradient.dtype)
        momentum = tl.load(momentum_pointer).to(gradient.dtype)
        velocity = tl.load(velocity_pointer + at, mask=inside, other=0.0)
        velocity = momentum * velocity - lr * gradient
        tl.store(velocity_pointer + at, velocity, mask=inside)
        if pointer is not None:
            weight = tl.load(pointer + at, mask=inside, other=0.0)
            tl.store(pointer + at, weight + velocity, mask=inside)


@triton.jit
def apply_bias_gradient(
    delta_pointer,
    winner_pointer,
    row_scale_pointer,
    bias_pointer,
    velocity_pointer,
    lr_pointer,
    momentum_pointer,
    n_rows,
    n_units,
    units,
    piece,
    N_PIECES: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_INNER: tl.constexpr,
):
    """Sum the left side of the product over the rows, in the programs of the first features.

    Tile by tile in float64: in float32, the sum of 20,000 rows of .1 would be off by 1e-5 of it.
    """
    if tl.program_id(1) == 0:
        is_unit = units < n_units
        sums = tl.zeros([BLOCK_ROWS], dtype=tl.float64)
        for start in range(0, n_rows, BLOCK_INNER):
            inner = start + tl.arange(0, BLOCK_INNER)
            left = left_tile(
                delta_pointer,
                winner_pointer,
                row_scale_pointer,
                units[:, None] + inner[None, :].to(tl.int64) * n_units,
                tl.where(inner < n_rows, inner, -1),
                is_unit[:, None] & (inner < n_rows)[None, :],
                piece,
            )
            sums += tl.sum(left, axis=1).to(tl.float64)
        at = units * N_PIECES + piece
        sums = sums.to(delta_pointer.dtype.element_ty)
        apply_gradient(
            bias_pointer, velocity_pointer, lr_pointer, momentum_pointer, at, is_unit, sums
        )


@triton.jit
def update_kernel(
    delta_pointer,
    winner_pointer,
    row_scale_pointer,
    input_pointer,
    weight_pointer,
    velocity_pointer,
    bias_pointer,
    bias_velocity_pointer,
    lr_pointer,
    momentum_pointer,
    n_rows,
    n_features,
    n_units,
    N_PIECES: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
    BLOCK_INNER: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """One tile, BLOCK_ROWS units by BLOCK_COLUMNS features, of one piece of a layer's weight.

    Its gradient is sum_r row_scale[r] delta[r, unit] input[r, feature] over the rows r whose winner
    is the piece. It moves weight and velocity, or the velocity alone where there is no weight, or
    is written to weight where there is no velocity; the programs of the first features do the same
    with the bias.
    """
    units = span(tl.program_id(0), BLOCK_ROWS)
    features = span(tl.program_id(1), BLOCK_COLUMNS)
    piece = tl.program_id(2)
    dtype = delta_pointer.dtype.element_ty
    gradient = add_product(
        tl.zeros([BLOCK_ROWS, BLOCK_COLUMNS], dtype=dtype),
        delta_pointer,
        units,
        units < n_units,
        tl.full([], n_units, tl.int64),
        input_pointer,
        features,
        features < n_features,
        tl.full([], n_features, tl.int64),
        n_rows,
        winner_pointer,
        piece,
        row_scale_pointer,
        BLOCK_INNER,
        PRECISION,
    )
    pieces = units * N_PIECES + piece
    apply_gradient(
        weight_pointer,
        velocity_pointer,
        lr_pointer,
        momentum_pointer,
        pieces[:, None] * n_features + features[None, :],
        (units < n_units)[:, None] & (features < n_features)[None, :],
        gradient,
    )
    if bias_pointer is not None or bias_velocity_pointer is not None:
        apply_bias_gradient(
            delta_pointer,
            winner_pointer,
            row_scale_pointer,
            bias_pointer,
            bias_velocity_pointer,
            lr_pointer,
            momentum_pointer,
            n_rows,
            n_units,
            units,
            piece,
            N_PIECES,
            BLOCK_ROWS,
            BLOCK_INNER,
        )


UPDATE_KERNEL = Kernel(
    update_kernel,
    UPDATE,
    key=["n_rows", "n_features", "n_units", "N_PIECES"],
    restored=["weight_pointer", "velocity_pointer", "bias_pointer", "bias_velocity_pointer"],
    options={"enable_fp_fusion": False},
)


def maxout_update(
    delta: Tensor,
    winner: Tensor | None,
    n_pieces: int,
    row_scale: Tensor | None,
    input: Tensor,
    weight: Tensor | None,
    velocity: Tensor,
    bias: Tensor | None,
    bias_velocity: Tensor | None,
    lr: Tensor,
    momentum: Tensor,
) -> None:
    """Move a maxout layer against its gradient, in place, without storing the gradient.

    velocity = momentum velocity - lr gradient, weight += velocity; the same of the bias. The
    gradient of piece j of unit u is the sum of row_scale[r] delta[r, u] input[r] over the rows r
    that it won.

    Parameters
    ----------
    delta : Tensor of shape (n, n_units), float32 or float64
        The gradient by the layer's values.
    winner : Tensor of shape (n, n_units), uint8
    n_pieces : int from 1 to 256
    row_scale : Tensor of shape (n,), optional
    input : Tensor of shape (n, n_features)
    weight, velocity : Tensor of shape (n_units * n_pieces, n_features)
        Updated.
    bias, bias_velocity : Tensor of shape (n_units * n_pieces,), or None
        Updated. Without weight and bias the velocities alone are made.
    lr, momentum : Tensor of shape (), float64
        On the device.
    """
    _launch(
        delta,
        winner,
        n_pieces,
        row_scale,
        input,
        weight,
        velocity,
        bias,
        bias_velocity,
        lr,
        momentum,
    )


def linear_update(
    delta: Tensor,
    row_scale: Tensor | None,
    input: Tensor,
    weight: Tensor | None,
    velocity: Tensor,
    bias: Tensor | None,
    bias_velocity: Tensor | None,
    lr: Tensor,
    momentum: Tensor,
) -> None:
    """Move a dense layer against its gradient: :func:`maxout_update` of one piece, always won."""
    _launch(delta, None, 1, row_scale, input, weight, velocity, bias, bias_velocity, lr, momentum)


def maxout_weight_gradient(
    delta: Tensor,
    winner: Tensor | None,
    n_pieces: int,
    input: Tensor,
    weight_gradient: Tensor,
    bias_gradient: Tensor | None,
) -> None:
    """Write the gradient by a maxout layer's weight and bias: see :func:`maxout_update`.

    weight_gradient: (n_units * n_pieces, n_features); bias_gradient: (n_units * n_pieces,) or None.
    """
    _launch(
        delta, winner, n_pieces, None, input, weight_gradient, None, bias_gradient, None, None, None
    )


def _launch(
    delta: Tensor,
    winner: Tensor | None,
    n_pieces: int,
    row_scale: Tensor | None,
    input: Tensor,
    weight: Tensor | None,
    velocity: Tensor | None,
    bias: Tensor | None,
    bias_velocity: Tensor | None,
    lr: Tensor | None,
    momentum: Tensor | None,
) -> None:
    """Launch one program for each tile of each piece; no velocity: ``weight`` is the gradient."""
    n_rows, n_units = delta.shape
    n_features = input.shape[1]
    UPDATE_KERNEL(
        blocks(n_units, n_features, n_pieces),
        delta_pointer=delta,
        winner_pointer=winner,
        row_scale_pointer=row_scale,
        input_pointer=input,
        weight_pointer=weight,
        velocity_pointer=velocity,
        bias_pointer=bias,
        bias_velocity_pointer=bias_velocity,
        lr_pointer=lr,
        momentum_pointer=momentum,
        n_rows=n_rows,
        n_features=n_features,
        n_units=n_units,
        N_PIECES=n_pieces,
    )
