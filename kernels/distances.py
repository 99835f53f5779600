"""Approximate squared distances as tiles, with a bound of their error: what the kernels of Parzen
sums and of nearest neighbours share.

Rows are centred and scaled by a power of two (both in float64; any centre and scale are right),
rounded to float32 and padded, so that tiles need no masks:

    d2 = (|x|^2 + |s|^2) - 2 x.s

Samples go in chunks of ``CHUNK``: what a tile finds out is kept for each (query, chunk), and
chunks that could matter within the bound are scored again on the inputs as given (rescoring.py).
"""  # noqa: D205

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from fastgan.kernels.launch import ARCHITECTURES, INTERPRETER, Configuration, Kernel
from torch import Tensor

CHUNK = 32  # samples that are kept together
TABLE_BYTES = 1 << 28  # of what is kept for a group of queries
PACKED_BYTES = 1 << 29  # of packed samples at a time
_PADDED_ROWS = 256  # every tile's rows divide it
_PADDED_FEATURES = 32  # BLOCK_FEATURES of a product
_ELEMENTS_AT_ONCE = 1 << 24  # of inputs, in float64
_HELD = 40  # scaled numbers up to 2^40 are held: products stay far below float32's limit

_UNIT = 2.0**-24  # float32's unit roundoff
# A product of 32 features, in units of |x||s|. Splitting: tf32x3 keeps at least 10 + 10 bits of
# each factor and leaves out the product of the low parts, 2^-20 + 2 2^-21 = 32 units if tensor
# cores cut their inputs (12 units rounded); bf16x6 (3 x 8 bits) and fp32 lose less. Summing: 32
# products and as many additions, in whatever groups, each cut (2 units) and not rounded.
_PRODUCT_UNITS = 32 + 2 * 64


def _allowance(query_norm, largest_norm, of_product, of_rounding, of_underflow):  # type: ignore[no-untyped-def]
    total = query_norm + largest_norm
    return (
        of_product * query_norm * largest_norm
        + of_rounding * total * total
        + of_underflow * (1.0 + total)
    )


allowance_of_tile = triton.jit(_allowance)


def allowance_factors(n_features: int) -> tuple[float, float, float]:
    """Return what :func:`allowance` multiplies |x| S, (|x| + S)^2 and 1 + |x| + S by.

    With u = 2^-24, |x| the norm of a packed query, S the largest of the packed samples of a chunk
    and n_blocks = ceil(n_features / 32), the first is 2 (160 + n_blocks) u: the error of the
    products of 32 features (their absolute values sum up to |x||s| at most over all blocks), and of
    their sum, one rounding a block; it is doubled as 2 x.s is. The second is 8 u: rounding what is
    packed moves x - s by at most u (|x| + S), its square by 2 u (|x| + S)^2; |x|^2 and |s|^2 are
    rounded (1), added (1) and joined with the product (1); the rest is for float64, terms of
    second order, and one more rounding. The third is for what float32, or a part of a split
    number, flushes to zero: less than 2^-126 an element or product.
    """
    n_blocks = -(-n_features // _PADDED_FEATURES)
    of_product = 1.01 * 2.0 * (_PRODUCT_UNITS + n_blocks) * _UNIT
    return of_product, 1.01 * 8.0 * _UNIT, n_features * 2.0**-122


def allowance(query_norms: Tensor, largest_norms: Tensor, n_features: int) -> Tensor:
    """Bound the error of approximate squared distances, in scaled units.

    Parameters
    ----------
    query_norms, largest_norms : float64 Tensors that broadcast
        Norms of packed queries, and the largest of the packed samples of a chunk. Where float32
        does not hold a row the bound is infinite.
    n_features : int
    """
    bound: Tensor = _allowance(query_norms, largest_norms, *allowance_factors(n_features))
    return bound


@triton.jit
def sample_of_row(row, n_samples, block_size, chunks_in_block, CHUNK: tl.constexpr):
    """Return (number of the sample, is it one) of packed rows: int64 tensors, any shape.

    Each block of samples starts a chunk; rows past a block's end are padding.
    """
    chunk = row // CHUNK
    block = chunk // chunks_in_block
    within = (chunk - block * chunks_in_block) * CHUNK + row % CHUNK
    sample = block * block_size + within
    return sample, (within < block_size) & (sample < n_samples)


@triton.jit(do_not_specialize=["first_row"])
def pack_rows_kernel(
    rows_pointer,
    half_centre_pointer,
    scales_pointer,
    packed_pointer,
    squared_norms_pointer,
    norms_pointer,
    first_row,
    n_rows,
    n_features,
    n_packed_features,
    block_size,
    chunks_in_block,
    CHUNK: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
):
    """Write packed rows first_row and on, their squared norms (float32) and norms (float64).

    Padding rows are zero, of squared norm infinity and norm 0. A row with a number that float32
    does not hold gets zero for it, and the norm 2^700: its allowance is infinite, as that squared
    is (infinity itself would make NaN of a norm that is 0).
    """
    scale = tl.load(scales_pointer)
    second_scale = tl.load(scales_pointer + 1)
    limit = tl.load(scales_pointer + 2)
    at = tl.program_id(0).to(tl.int64) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS).to(tl.int64)
    sample, is_sample = sample_of_row(first_row + at, n_rows, block_size, chunks_in_block, CHUNK)
    squares = tl.zeros([BLOCK_ROWS], dtype=tl.float64)
    n_lost = tl.zeros([BLOCK_ROWS], dtype=tl.int32)
    for start in range(0, n_packed_features, BLOCK_COLUMNS):
        column = start + tl.arange(0, BLOCK_COLUMNS)
        inside = is_sample[:, None] & (column < n_features)[None, :]
        number = tl.load(
            rows_pointer + sample[:, None] * n_features + column[None, :], mask=inside, other=0
        ).to(tl.float64)
        centre = tl.load(half_centre_pointer + column, mask=column < n_features, other=0.0)
        value = tl.where(inside, number * 0.5 - centre[None, :], 0.0)  # halves do not overflow
        is_held = tl.abs(value) <= limit
        value = (tl.where(is_held, value, 0.0) * scale * second_scale).to(tl.float32)
        tl.store(
            packed_pointer + at[:, None] * n_packed_features + column[None, :],
            value,
            mask=(column < n_packed_features)[None, :],
        )
        wide = value.to(tl.float64)
        squares += tl.sum(wide * wide, axis=1)
        n_lost += tl.sum((~is_held).to(tl.int32), axis=1)
    infinity = float("inf")
    tl.store(squared_norms_pointer + at, tl.where(is_sample, squares, infinity).to(tl.float32))
    norm = tl.where(n_lost > 0, 5.260135901548374e210, tl.sqrt(squares))  # 2^700
    tl.store(norms_pointer + at, tl.where(is_sample, norm, 0.0))


def _packing() -> dict[str, list[Configuration]]:
    small = Configuration("16x64", {"BLOCK_ROWS": 16, "BLOCK_COLUMNS": 64}, n_warps=4, n_stages=1)
    large = Configuration("32x256", {"BLOCK_ROWS": 32, "BLOCK_COLUMNS": 256}, n_stages=1)
    return {**{name: [small] for name in ARCHITECTURES}, INTERPRETER: [large]}


PACK_ROWS = Kernel(pack_rows_kernel, _packing(), options={"enable_fp_fusion": False})


@triton.jit
def squared_distance_tile(
    queries_pointer,
    samples_pointer,
    query_squares_pointer,
    sample_squares_pointer,
    query_rows,
    sample_rows,
    n_packed_features,
    PRECISION: tl.constexpr,
    BLOCK_QUERIES: tl.constexpr,
    BLOCK_SAMPLES: tl.constexpr,
    BLOCK_FEATURES: tl.constexpr,
):
    """Return squared distances [BLOCK_QUERIES, BLOCK_SAMPLES] of packed rows, in scaled units.

    query_rows and sample_rows are int64 rows of the packed matrices; padding is at infinity.
    """
    feature = tl.arange(0, BLOCK_FEATURES)
    query = queries_pointer + query_rows[:, None] * n_packed_features + feature[None, :]
    sample = samples_pointer + sample_rows[:, None] * n_packed_features + feature[None, :]
    products = tl.zeros([BLOCK_QUERIES, BLOCK_SAMPLES], dtype=tl.float32)
    for _ in range(0, n_packed_features, BLOCK_FEATURES):
        x = tl.load(query)
        s = tl.load(sample)
        # Not the accumulator of the dot: the error would grow with n_features, and not with
        # n_features / BLOCK_FEATURES. As fma, or Triton would make it the accumulator.
        part = tl.dot(x, tl.trans(s), input_precision=PRECISION)
        products = tl.fma(part, 1.0, products)
        query += BLOCK_FEATURES
        sample += BLOCK_FEATURES
    squares = tl.load(query_squares_pointer + query_rows)[:, None]
    squares = squares + tl.load(sample_squares_pointer + sample_rows)[None, :]
    return tl.maximum(squares - 2.0 * products, 0.0)


class Frame(NamedTuple):
    """A centre and a scale, of some samples alone.

    half_centre : float64 Tensor of shape (n_features,), half the centre
    scales : float64 Tensor of shape (4,): two factors that halves of centred numbers are multiplied
        by, the largest half that is held, and the unit of scaled numbers (a power of two)
    """

    half_centre: Tensor
    scales: Tensor

    @property
    def unit(self) -> Tensor:
        """The unit of scaled distances; squared ones are multiplied by it twice."""
        return self.scales[3:]


def frame_of(samples: Tensor) -> Frame:
    """Return the frame of samples of shape (n_samples, n_features): their mean, and a power of two
    that brings the largest number below 2.
    """  # noqa: D205
    n_samples, n_features = samples.shape
    half_centre = torch.zeros(n_features, dtype=torch.float64, device=samples.device)
    n_at_once = max(1, _ELEMENTS_AT_ONCE // n_features)
    parts = [samples[i : i + n_at_once] for i in range(0, n_samples, n_at_once)]
    for part in parts:
        half_centre += (part.double() * (0.5 / n_samples)).sum(0)
    largest = torch.zeros((), dtype=torch.float64, device=samples.device)
    for part in parts:
        largest = torch.maximum(largest, (part.double() * 0.5 - half_centre).abs().amax())
    _, exponent = torch.frexp(largest)  # largest < 2^exponent, so the numbers < 2^(exponent + 1)
    exponent = exponent.to(torch.int64).clamp(-1000, 1022)
    first = torch.div(-exponent, 2, rounding_mode="floor")
    limit = (exponent + _HELD).clamp(max=1023)
    powers = torch.stack((first, 1 - exponent - first, limit, exponent))
    # 2^k exactly, by its bits: k lies within -1022 and 1023
    return Frame(half_centre, ((powers + 1023) << 52).view(torch.float64))


class Packed(NamedTuple):
    """Packed rows: float32, padded with zero rows and columns.

    values : float32 Tensor of shape (n_packed_rows, n_packed_features)
    squared_norms : float32 Tensor of shape (n_packed_rows,), infinity for padding
    norms : float64 Tensor of shape (n_packed_rows,), 0 for padding, 2^700 where not held
    """

    values: Tensor
    squared_norms: Tensor
    norms: Tensor


def pack(
    rows: Tensor, frame: Frame, first_row: int, n_packed: int, block_size: int, chunks_in_block: int
) -> Packed:
    """Pack rows of shape (n_rows, n_features) from packed row ``first_row`` on, ``n_packed``."""
    n_rows, n_features = rows.shape
    n_packed = triton.cdiv(n_packed, _PADDED_ROWS) * _PADDED_ROWS
    n_packed_features = triton.cdiv(n_features, _PADDED_FEATURES) * _PADDED_FEATURES
    values = rows.new_empty((n_packed, n_packed_features), dtype=torch.float32)
    packed = Packed(
        values,
        rows.new_empty(n_packed, dtype=torch.float32),
        rows.new_empty(n_packed, dtype=torch.float64),
    )
    PACK_ROWS(
        lambda meta: (n_packed // meta["BLOCK_ROWS"],),
        rows_pointer=rows,
        half_centre_pointer=frame.half_centre,
        scales_pointer=frame.scales,
        packed_pointer=packed.values,
        squared_norms_pointer=packed.squared_norms,
        norms_pointer=packed.norms,
        first_row=first_row,
        n_rows=n_rows,
        n_features=n_features,
        n_packed_features=n_packed_features,
        block_size=block_size,
        chunks_in_block=chunks_in_block,
        CHUNK=CHUNK,
    )
    return packed


def pack_queries(queries: Tensor, frame: Frame) -> Packed:
    """Pack queries of shape (n_queries, n_features), in their order."""
    n_queries = len(queries)
    return pack(queries, frame, 0, n_queries, n_queries, triton.cdiv(n_queries, CHUNK))


@dataclass(frozen=True)
class Chunks:
    """Samples in chunks: ``chunks_in_block`` for each block of ``block_size`` samples.

    samples : Tensor of shape (n_samples, n_features), contiguous
    """

    samples: Tensor
    block_size: int

    @cached_property
    def frame(self) -> Frame:
        """The frame of all samples."""
        return frame_of(self.samples)

    @property
    def chunks_in_block(self) -> int:
        """Chunks in a whole block."""
        return triton.cdiv(min(self.block_size, len(self.samples)), CHUNK)

    @property
    def n_blocks(self) -> int:
        """Blocks, of which the last may be short."""
        return triton.cdiv(len(self.samples), self.block_size)

    @property
    def n_chunks(self) -> int:
        """Chunks of all blocks."""
        rest = len(self.samples) - (self.n_blocks - 1) * self.block_size
        return (self.n_blocks - 1) * self.chunks_in_block + triton.cdiv(rest, CHUNK)

    def spans(self) -> Iterator[tuple[int, int, Packed]]:
        """Yield (first chunk, end, packed rows) of all chunks, PACKED_BYTES at a time."""
        row_bytes = 4 * triton.cdiv(self.samples.shape[1], _PADDED_FEATURES) * _PADDED_FEATURES
        n_at_once = max(_PADDED_ROWS // CHUNK, PACKED_BYTES // (row_bytes * CHUNK))
        if self.n_chunks <= n_at_once:
            yield 0, self.n_chunks, self._whole
            return
        for first in range(0, self.n_chunks, n_at_once):
            end = min(first + n_at_once, self.n_chunks)
            yield first, end, self._pack(first, end)

    @cached_property
    def _whole(self) -> Packed:
        return self._pack(0, self.n_chunks)

    def _pack(self, first: int, end: int) -> Packed:
        return pack(
            self.samples,
            self.frame,
            first * CHUNK,
            (end - first) * CHUNK,
            self.block_size,
            self.chunks_in_block,
        )


def largest_norms(packed: Packed, n_chunks: int) -> Tensor:
    """Return the largest norm of each chunk, float64 of shape (n_chunks,)."""
    return packed.norms[: n_chunks * CHUNK].view(n_chunks, CHUNK).amax(1)
