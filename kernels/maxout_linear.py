"""A maxout layer, forward: product, bias, maximum, winner and dropout in one kernel."""

from __future__ import annotations

import triton
import triton.language as tl
from fastgan.kernels import product_configurations
from fastgan.kernels.launch import Kernel
from fastgan.kernels.masks import MASK_NUMBERS, Mask, mask_arguments, masked_tile
from fastgan.kernels.tiles import add_product, span
from torch import Tensor


@triton.jit(do_not_specialize=MASK_NUMBERS)
def maxout_forward_kernel(
    input_pointer,
    weight_pointer,
    bias_pointer,
    values_pointer,
    winner_pointer,
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
    N_PIECES: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
    BLOCK_INNER: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """One tile of units: a product for each piece in turn, and the maximum so far.

    Of equal pieces the lowest wins; a NaN wins over numbers, and the first NaN wins.
    """
    rows = span(tl.program_id(0), BLOCK_ROWS)
    units = span(tl.program_id(1), BLOCK_COLUMNS)
    zeros = tl.zeros([BLOCK_ROWS, BLOCK_COLUMNS], dtype=values_pointer.dtype.element_ty)
    values = zeros - float("inf")
    winner = tl.zeros([BLOCK_ROWS, BLOCK_COLUMNS], dtype=tl.int32)
    input_at = tl.minimum(rows, n_rows - 1) * n_features  # rows that do not exist are not stored
    first_piece = tl.minimum(units, n_units - 1) * N_PIECES
    for piece in tl.range(N_PIECES, flatten=True):
        sums = add_product(
            zeros,
            input_pointer,
            input_at,
            None,
            1,
            weight_pointer,
            (first_piece + piece) * n_features,
            None,
            1,
            n_features,
            None,
            0,
            None,
            BLOCK_INNER,
            PRECISION,
        )
        sums += tl.load(bias_pointer + first_piece + piece)[None, :]
        wins = (sums > values) | ((sums != sums) & (values == values))
        values = tl.where(wins, sums, values)
        winner = tl.where(wins, piece, winner)
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
    at = rows[:, None] * n_units + units[None, :]
    inside = (rows < n_rows)[:, None] & (units < n_units)[None, :]
    tl.store(values_pointer + at, values, mask=inside)
    tl.store(winner_pointer + at, winner.to(tl.uint8), mask=inside)


MAXOUT_FORWARD = Kernel(
    maxout_forward_kernel,
    product_configurations.MAXOUT_FORWARD,
    key=["n_rows", "n_features", "n_units", "N_PIECES"],
    options={"enable_fp_fusion": False},
)


def maxout_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    n_pieces: int,
    mask: Mask | None,
    values: Tensor,
    winner: Tensor,
) -> None:
    """Write the maximum over j of input . weight[u n_pieces + j] + bias[u n_pieces + j], and its j.

    Source: Goodfellow et al., *Maxout Networks*, ICML 2013, section 3.

    Parameters
    ----------
    input : Tensor of shape (n, n_features), float32 or float64
    weight : Tensor of shape (n_units * n_pieces, n_features)
    bias : Tensor of shape (n_units * n_pieces,)
    n_pieces : int from 1 to 256
    mask : Mask, optional
        Of a matrix of n_units columns: dropout of the values.
    values : Tensor of shape (n, n_units)
        Written.
    winner : Tensor of shape (n, n_units), uint8
        Written: of equal pieces the lowest wins, and so does the lowest NaN.
    """
    n_rows, n_features = input.shape
    n_units = len(weight) // n_pieces
    if n_rows == 0:
        return
    MAXOUT_FORWARD(
        product_configurations.blocks(n_rows, n_units),
        input_pointer=input,
        weight_pointer=weight,
        bias_pointer=bias,
        values_pointer=values,
        winner_pointer=winner,
        n_rows=n_rows,
        n_features=n_features,
        n_units=n_units,
        **mask_arguments(mask, n_units),
        N_PIECES=n_pieces,
    )
