"""Tiles of matrix products: the one loop that every dense layer, forward and backward, runs.

A product is out[i, j] = sum over k of left[i, k] right[k, j]. Which of the three indices a matrix
in memory calls its rows differs from kernel to kernel, so a side is given by the offsets of its
elements at k = 0 and by the step from one k to the next.
"""

import triton
import triton.language as tl


@triton.jit
def span(block, BLOCK: tl.constexpr):
    """Return the int64 indices of a block: block * BLOCK ... block * BLOCK + BLOCK - 1."""
    return block.to(tl.int64) * BLOCK + tl.arange(0, BLOCK)


@triton.jit
def left_tile(pointer, winner_pointer, row_scale_pointer, at, inner, inside, piece):
    """Return a tile of left, the winner-sparse and scaled matrix of gradients where it is one.

    With winners, an element counts only if its unit's winner is the piece: the gradient of a
    maxout's pieces, which is zero for all pieces of a unit but one, is made here and never stored.
    With scales, element k has that of row k.
    """
    values = tl.load(pointer + at, mask=inside, other=0.0)
    if winner_pointer is not None:
        winner = tl.load(winner_pointer + at, mask=inside, other=0)
        values = tl.where(winner.to(tl.int32) == piece, values, 0.0)
    if row_scale_pointer is not None:
        scale = tl.load(row_scale_pointer + inner, mask=inner >= 0, other=0.0)
        values = values * scale[None, :]
    return values


@triton.jit
def add_product(
    sums,
    left_pointer,
    left_at,
    left_inside,
    left_step,
    right_pointer,
    right_at,
    right_inside,
    right_step,
    n_inner,
    winner_pointer,
    piece,
    row_scale_pointer,
    BLOCK_INNER: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Return sums [I, J] + left [I, n_inner] right [n_inner, J], in blocks of BLOCK_INNER.

    left_at and left_inside, of I elements: where row i begins, int64, and whether it exists (None:
    all do); left_step: from k to k + 1. right_*: the same of J columns. winner_pointer, piece and
    row_scale_pointer: see ``left_tile``; None where there are none.
    """
    # tl.dot of float64 does not compile for every architecture; one product after another does
    HAS_DOT: tl.constexpr = sums.dtype != tl.float64 or PRECISION == "ieee"  # noqa: N806
    N_INNER: tl.constexpr = BLOCK_INNER if HAS_DOT else 1  # noqa: N806
    inner = tl.arange(0, N_INNER)
    left_at = left_at[:, None] + inner[None, :].to(tl.int64) * left_step
    right_at = right_at[None, :] + inner[:, None].to(tl.int64) * right_step
    for start in range(0, n_inner, N_INNER):
        is_inner = start + inner < n_inner
        left_mask = is_inner[None, :]
        if left_inside is not None:
            left_mask = left_mask & left_inside[:, None]
        right_mask = is_inner[:, None]
        if right_inside is not None:
            right_mask = right_mask & right_inside[None, :]
        left = left_tile(
            left_pointer,
            winner_pointer,
            row_scale_pointer,
            left_at,
            tl.where(is_inner, start + inner, -1),
            left_mask,
            piece,
        )
        right = tl.load(right_pointer + right_at, mask=right_mask, other=0.0)
        if HAS_DOT:
            sums = tl.dot(left, right, sums, input_precision=PRECISION, out_dtype=sums.dtype)
        else:
            sums += left * right
        left_at += left_step * N_INNER
        right_at += right_step * N_INNER
    return sums
