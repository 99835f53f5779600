"""The way back through a dense or maxout layer to its inputs, and on to the layer behind."""

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl
from fastgan.kernels.launch import ARCHITECTURES, INTERPRETER, Configuration, Kernel
from fastgan.kernels.masks import MASK_NUMBERS, Mask, mask_arguments, masked_tile
from fastgan.kernels.product_configurations import INPUT_GRADIENT, blocks
from fastgan.kernels.tiles import add_product, span
from torch import Tensor


class Behind(NamedTuple):
    """What a gradient passes on its way to the layer behind.

    out[i, j] = row_scale[i] mask(gradient)[i, j] activation'(values[i, j]), where ``values`` are
    the activation's own: relu's derivative is 0 where they are not positive, sigmoid's is
    (1 - values) values.
    """

    mask: Mask | None = None
    row_scale: Tensor | None = None  # (n,)
    activation: str = "linear"  # or "relu", "sigmoid"
    values: Tensor | None = None  # (n, n_columns); of relu and sigmoid


def behind_arguments(behind: Behind, n_columns: int) -> dict[str, Any]:
    """Return the arguments that a kernel which calls ``passed_behind`` takes, by name."""
    return {
        "row_scale_pointer": behind.row_scale,
        "values_pointer": None if behind.activation == "linear" else behind.values,
        "ACTIVATION": behind.activation,
        **mask_arguments(behind.mask, n_columns),
    }


@triton.jit
def passed_behind(
    gradient,
    rows,
    columns,
    n_rows,
    n_columns,
    row_scale_pointer,
    values_pointer,
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
):
    """Return a tile of a gradient after its mask, row scale and activation: see ``Behind``."""
    gradient = masked_tile(
        gradient,
        rows,
        columns,
        n_columns,
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
    if row_scale_pointer is not None:
        gradient = tl.load(row_scale_pointer + rows, mask=rows < n_rows)[:, None] * gradient
    if ACTIVATION != "linear":
        inside = (rows < n_rows)[:, None] & (columns < n_columns)[None, :]
        at = rows[:, None] * n_columns + columns[None, :]
        values = tl.load(values_pointer + at, mask=inside)
        if ACTIVATION == "relu":
            gradient = tl.where(values <= 0, 0.0, gradient)
        else:
            gradient = gradient * ((1.0 - values) * values)
    return gradient


@triton.jit(do_not_specialize=MASK_NUMBERS)
def input_gradient_kernel(
    delta_pointer,
    winner_pointer,
    weight_pointer,
    gradient_pointer,
    n_rows,
    n_features,
    n_units,
    row_scale_pointer,
    values_pointer,
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
    N_PIECES: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
    BLOCK_INNER: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """One tile of the inputs' gradient: sum over pieces of (delta where the piece won) weight."""
    rows = span(tl.program_id(0), BLOCK_ROWS)
    features = span(tl.program_id(1), BLOCK_COLUMNS)
    sums = tl.zeros([BLOCK_ROWS, BLOCK_COLUMNS], dtype=gradient_pointer.dtype.element_ty)
    for piece in range(N_PIECES):
        sums = add_product(
            sums,
            delta_pointer,
            tl.minimum(rows, n_rows - 1) * n_units,  # rows that do not exist are not stored
            None,
            1,
            weight_pointer,
            features + tl.full([], piece, tl.int64) * n_features,
            features < n_features,
            tl.full([], N_PIECES, tl.int64) * n_features,
            n_units,
            winner_pointer,
            piece,
            None,
            BLOCK_INNER,
            PRECISION,
        )
    sums = passed_behind(
        sums,
        rows,
        features,
        n_rows,
        n_features,
        row_scale_pointer,
        values_pointer,
        seed_pointer,
        step_pointer,
        stream,
        second_stream,
        n_first_rows,
        first_row,
        THRESHOLD,
        SCALE,
        WHOLE_BLOCKS,
        ACTIVATION,
    )
    at = rows[:, None] * n_features + features[None, :]
    inside = (rows < n_rows)[:, None] & (features < n_features)[None, :]
    tl.store(gradient_pointer + at, sums, mask=inside)


@triton.jit(do_not_specialize=MASK_NUMBERS)
def pass_behind_kernel(
    gradient_pointer,
    output_pointer,
    gradient_row_step,
    n_rows,
    n_columns,
    row_scale_pointer,
    values_pointer,
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
):
    """One tile of a gradient that is already there; a row step of 0 repeats its one row."""
    rows = span(tl.program_id(0), BLOCK_ROWS)
    columns = span(tl.program_id(1), BLOCK_COLUMNS)
    inside = (rows < n_rows)[:, None] & (columns < n_columns)[None, :]
    at = rows[:, None] * gradient_row_step + columns[None, :]
    gradient = passed_behind(
        tl.load(gradient_pointer + at, mask=inside),
        rows,
        columns,
        n_rows,
        n_columns,
        row_scale_pointer,
        values_pointer,
        seed_pointer,
        step_pointer,
        stream,
        second_stream,
        n_first_rows,
        first_row,
        THRESHOLD,
        SCALE,
        WHOLE_BLOCKS,
        ACTIVATION,
    )
    tl.store(output_pointer + rows[:, None] * n_columns + columns[None, :], gradient, mask=inside)


INPUT_GRADIENT_KERNEL = Kernel(
    input_gradient_kernel,
    INPUT_GRADIENT,
    key=["n_rows", "n_features", "n_units", "N_PIECES"],
    options={"enable_fp_fusion": False},
)
PASS_BEHIND = Kernel(
    pass_behind_kernel,
    {
        **{
            name: [Configuration("8x128", {"BLOCK_ROWS": 8, "BLOCK_COLUMNS": 128})]
            for name in ARCHITECTURES
        },
        INTERPRETER: [Configuration("32x64", {"BLOCK_ROWS": 32, "BLOCK_COLUMNS": 64})],
    },
    options={"enable_fp_fusion": False},
)


def maxout_input_gradient(
    delta: Tensor,
    winner: Tensor | None,
    n_pieces: int,
    weight: Tensor,
    behind: Behind,
    gradient: Tensor,
) -> None:
    """Write the gradient by a maxout layer's inputs, and pass it on to the layer behind.

    Only the piece that won has a unit's gradient: the matrix of all pieces, zero but for one in
    n_pieces, is formed tile by tile inside the product.

    Parameters
    ----------
    delta : Tensor of shape (n, n_units), float32 or float64
        The gradient by the layer's values.
    winner : Tensor of shape (n, n_units), uint8
    n_pieces : int from 1 to 256
    weight : Tensor of shape (n_units * n_pieces, n_features)
    behind : Behind
        Of a matrix of shape (n, n_features).
    gradient : Tensor of shape (n, n_features)
        Written.
    """
    n_rows, n_units = delta.shape
    n_features = weight.shape[1]
    if n_rows == 0:
        return
    INPUT_GRADIENT_KERNEL(
        blocks(n_rows, n_features),
        delta_pointer=delta,
        winner_pointer=winner,
        weight_pointer=weight,
        gradient_pointer=gradient,
        n_rows=n_rows,
        n_features=n_features,
        n_units=n_units,
        **behind_arguments(behind, n_features),
        N_PIECES=n_pieces,
    )


def linear_input_gradient(delta: Tensor, weight: Tensor, behind: Behind, gradient: Tensor) -> None:
    """Write delta weight, of shape (n, n_features), passed on to the layer behind.

    As :func:`maxout_input_gradient`, of one piece that always wins.
    """
    maxout_input_gradient(delta, None, 1, weight, behind, gradient)


def pass_behind(gradient: Tensor, behind: Behind, output: Tensor) -> None:
    """Write into ``output`` (n, n_columns) what ``behind`` leaves of a gradient.

    ``gradient`` has the shape (n, n_columns), or (1, n_columns) for the same in every row.
    """
    n_rows, n_columns = output.shape
    if n_rows == 0:
        return
    PASS_BEHIND(
        blocks(n_rows, n_columns),
        gradient_pointer=gradient,
        output_pointer=output,
        gradient_row_step=n_columns if len(gradient) == n_rows else 0,
        n_rows=n_rows,
        n_columns=n_columns,
        **behind_arguments(behind, n_columns),
    )
