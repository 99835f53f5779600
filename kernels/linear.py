"""A dense layer, forward: product, bias, activation and the next layer's dropout in one kernel."""

from __future__ import annotations

import triton
import triton.language as tl
from fastgan.kernels.launch import Kernel
from fastgan.kernels.masks import MASK_NUMBERS, Mask, mask_arguments, masked_tile
from fastgan.kernels.product_configurations import FORWARD, blocks
from fastgan.kernels.tiles import add_product, span
from torch import Tensor


@triton.jit
def activated(values, ACTIVATION: tl.constexpr):
    """Return relu, sigmoid or the values themselves; a NaN passes through each."""
    if ACTIVATION == "relu":
        return tl.where(values <= 0, 0.0, values)
    if ACTIVATION == "sigmoid":
        return 1.0 / (1.0 + tl.exp(-values))
    return values


@triton.jit(do_not_specialize=MASK_NUMBERS)
def linear_forward_kernel(
    input_pointer,
    weight_pointer,
    bias_pointer,
    output_pointer,
    masked_pointer,
    n_rows,
    n_features,
    n_units,
    seed_pointer,
    step_pointer,
    stream,
    second_stream,
    n_first_rows,
    first_row,
    THRESHOLD: tl.constexpr,
    SCALE: tl.constexpr,
    WHOLE_BLOCKS: tl.constexpr,
    ACTIVATION: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
    BLOCK_INNER: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """One tile of output = activation(input weight^T + bias), and of masked = mask(output)."""
    rows = span(tl.program_id(0), BLOCK_ROWS)
    units = span(tl.program_id(1), BLOCK_COLUMNS)
    sums = add_product(
        tl.zeros([BLOCK_ROWS, BLOCK_COLUMNS], dtype=output_pointer.dtype.element_ty),
        input_pointer,
        tl.minimum(rows, n_rows - 1) * n_features,  # rows that do not exist are not stored
        None,
        1,
        weight_pointer,
        tl.minimum(units, n_units - 1) * n_features,
        None,
        1,
        n_features,
        None,
        0,
        None,
        BLOCK_INNER,
        PRECISION,
    )
    if bias_pointer is not None:
        sums += tl.load(bias_pointer + units, mask=units < n_units, other=0.0)[None, :]
    values = activated(sums, ACTIVATION)
    at = rows[:, None] * n_units + units[None, :]
    inside = (rows < n_rows)[:, None] & (units < n_units)[None, :]
    tl.store(output_pointer + at, values, mask=inside)
    if masked_pointer is not None:
        values = masked_tile(
            values,
            rows,
            units,
            n_units,
            seed_pointer,
            step_pointer,
            stream,
            second_stream,
            n_first_rows,
            first_row,
            THRESHOLD,
            SCALE,
            WHOLE_BLOCKS,
        )
        tl.store(masked_pointer + at, values, mask=inside)


LINEAR_FORWARD = Kernel(
    linear_forward_kernel,
    FORWARD,
    key=["n_rows", "n_features", "n_units"],
    options={"enable_fp_fusion": False},
)


def linear_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    activation: str,
    output: Tensor,
    mask: Mask | None = None,
    masked: Tensor | None = None,
) -> None:
    """Write activation(input weight^T + bias), and what its mask leaves of it.

    Parameters
    ----------
    input : Tensor of shape (n, n_features), float32 or float64
    weight : Tensor of shape (n_units, n_features)
    bias : Tensor of shape (n_units,), optional
    activation : {"linear", "relu", "sigmoid"}
    output : Tensor of shape (n, n_units)
        Written.
    mask : Mask, optional
        Of a matrix of n_units columns.
    masked : Tensor of shape (n, n_units), optional
        Written: the masked output.
    """
    n_rows, n_features = input.shape
    n_units = len(weight)
    if n_rows == 0:
        return
    LINEAR_FORWARD(
        blocks(n_rows, n_units),
        input_pointer=input,
        weight_pointer=weight,
        bias_pointer=bias,
        output_pointer=output,
        masked_pointer=masked,
        n_rows=n_rows,
        n_features=n_features,
        n_units=n_units,
        **mask_arguments(mask, n_units),
        ACTIVATION=activation,
    )
