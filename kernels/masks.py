"""Masks as kernels take them: which elements of a matrix dropout keeps, drawn where they are made.

A mask is never stored. Whoever makes an element draws for it, in its epilogue, and the way back
draws the same again.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl
from fastgan.kernels.philox import four_words
from torch import Tensor


class Mask(NamedTuple):
    """The mask of a matrix of rows: those of one pass and, after them, those of another.

    Element (row, column) of ``n_columns`` takes word (first_row + row) * n_columns + column of its
    pass's stream; the second pass numbers its rows anew, from ``first_row`` on. It is kept if the
    word is below round(include_probability * 2^32), and then divided by that probability.
    """

    include_probability: float  # 1: all are kept, nothing is drawn
    seed: Tensor  # int64, 0-d, on the device
    step: Tensor  # int64, 0-d
    stream: int
    second_stream: int = 0
    n_first_rows: int = 2**31 - 1  # rows of the first pass
    first_row: int = 0

    @property
    def threshold(self) -> int:
        """Words below it keep their element; 2^32: every one."""
        return round(self.include_probability * 2.0**32)

    @property
    def scale(self) -> float:
        """Return what a kept element is multiplied by."""
        return 1.0 / self.include_probability


def mask_arguments(mask: Mask | None, n_columns: int) -> dict[str, Any]:
    """Return the arguments that a kernel which calls ``masked_tile`` takes, by name.

    n_columns: of the matrix whose mask it is.
    """
    if mask is None:
        mask = Mask(1.0, seed=None, step=None, stream=0)  # type: ignore[arg-type]
    return {
        "seed_pointer": mask.seed,
        "step_pointer": mask.step,
        "stream": mask.stream,
        "second_stream": mask.second_stream,
        "n_first_rows": mask.n_first_rows,
        "first_row": mask.first_row,
        "THRESHOLD": mask.threshold,
        "SCALE": mask.scale,
        "WHOLE_BLOCKS": n_columns % 4 == 0,
    }


# Numbers of a mask: 1 would become a constant, and multiples of 16 would get a kernel of their own.
MASK_NUMBERS = ["stream", "second_stream", "n_first_rows", "first_row"]


@triton.jit
def masked_tile(
    values,
    rows,
    columns,
    n_columns,
    seed_pointer,
    step_pointer,
    stream,
    second_stream,
    n_first_rows,
    first_row,
    THRESHOLD: tl.constexpr,
    SCALE: tl.constexpr,
    WHOLE_BLOCKS: tl.constexpr = False,
):
    """Return a tile after its mask: values [R, C] of rows [R] and columns [C] of the matrix.

    THRESHOLD 2^32 keeps everything and draws nothing. Each element's block of four words is made
    for it alone; with WHOLE_BLOCKS it is made once for its four elements: n_columns and the first
    of the columns, which follow each other, are then multiples of four.
    """
    if THRESHOLD < 4294967296:
        seed = tl.load(seed_pointer)
        step = tl.load(step_pointer)
        is_second = rows >= n_first_rows
        row = rows.to(tl.int64) - tl.where(is_second, n_first_rows, 0).to(tl.int64) + first_row
        streams = tl.where(is_second, second_stream, stream)[:, None]
        columns = columns.to(tl.int64)
        if WHOLE_BLOCKS:
            blocks = tl.min(tl.reshape(columns, [values.shape[1] // 4, 4]), axis=1) // 4
            block = row[:, None] * (n_columns // 4) + blocks[None, :]
            w0, w1, w2, w3 = four_words(block, seed, step, streams)
            words = tl.reshape(tl.join(tl.join(w0, w2), tl.join(w1, w3)), values.shape)
        else:
            element = row[:, None] * n_columns + columns[None, :]
            w0, w1, w2, w3 = four_words(element >> 2, seed, step, streams)
            lane = (element & 3).to(tl.int32)
            words = tl.where(lane < 2, tl.where(lane == 0, w0, w1), tl.where(lane == 2, w2, w3))
        values = tl.where(words.to(tl.int64) < THRESHOLD, values * SCALE, 0.0)
    return values
