"""Squared distances by differences, on the inputs as given: what settles what tiles leave open.

Plain float64 for whole chunks: differences are taken and squared in float64, a relative error of at
most ``relative_error(n_features)``, and none for uint8, whose sums are whole numbers. Rounded once
for single pairs: a sum kept as high + low (double-double, no fused operation needed), rounded where
it is complete; csrc/distances/exact.h does the same.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from fastgan.kernels.distances import CHUNK, Chunks, sample_of_row
from fastgan.kernels.launch import ARCHITECTURES, INTERPRETER, Configuration, Kernel
from torch import Tensor

PAIRS_AT_ONCE = 1 << 20  # (query, chunk): 256 MiB of distances


def relative_error(n_features: int) -> float:
    """Bound the relative error of a plain float64 squared distance, in whatever order it sums.

    A term (x - y)^2 has at most 3 units of roundoff and the sum at most n_features more.
    """
    return (n_features + 32.0) * 2.0**-53


def underflow(n_features: int) -> float:
    """Bound what the underflow of squares may take from a plain squared distance."""
    return (n_features + 2.0) * 2.0**-1074


@triton.jit(do_not_specialize=["own_offset"])
def score_chunks_kernel(
    queries_pointer,
    samples_pointer,
    pairs_pointer,
    squared_distances_pointer,
    own_offset,
    n_pairs,
    n_samples,
    n_features,
    block_size,
    chunks_in_block,
    HAS_OWN: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_PAIRS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
):
    """Write the CHUNK squared distances, float64, of pairs (query, chunk); NaN: no sample."""
    pair = tl.program_id(0).to(tl.int64) * BLOCK_PAIRS + tl.arange(0, BLOCK_PAIRS).to(tl.int64)
    is_pair = pair < n_pairs
    query = tl.load(pairs_pointer + 2 * pair, mask=is_pair, other=0)
    chunk = tl.load(pairs_pointer + 2 * pair + 1, mask=is_pair, other=0)
    lane = tl.arange(0, CHUNK).to(tl.int64)[None, :]
    sample, is_sample = sample_of_row(
        chunk[:, None] * CHUNK + lane, n_samples, block_size, chunks_in_block, CHUNK
    )
    if HAS_OWN:
        is_sample = is_sample & (sample != query[:, None] + own_offset)
    squares = tl.zeros([BLOCK_PAIRS, CHUNK, BLOCK_COLUMNS], dtype=tl.float64)
    for start in range(0, n_features, BLOCK_COLUMNS):
        column = start + tl.arange(0, BLOCK_COLUMNS)
        is_column = (column < n_features)[None, None, :]
        inside = is_sample[:, :, None] & is_column
        x = queries_pointer + query[:, None, None] * n_features + column[None, None, :]
        s = samples_pointer + sample[:, :, None] * n_features + column[None, None, :]
        x = tl.load(x, mask=is_column, other=0).to(tl.float64)
        difference = x - tl.load(s, mask=inside, other=0).to(tl.float64)
        squares += tl.where(inside, difference * difference, 0.0)
    total = tl.where(is_sample, tl.sum(squares, axis=2), float("nan"))
    tl.store(squared_distances_pointer + pair[:, None] * CHUNK + lane, total, mask=is_pair[:, None])


def _chunk_tile(n_pairs: int, n_columns: int) -> Configuration:
    constants = {"BLOCK_PAIRS": n_pairs, "BLOCK_COLUMNS": n_columns}
    return Configuration(f"{n_pairs}x{CHUNK}x{n_columns}", constants, n_warps=4, n_stages=2)


# One for all: another would sum in another order.
SCORE_CHUNKS = Kernel(
    score_chunks_kernel,
    {**{name: [_chunk_tile(1, 64)] for name in ARCHITECTURES}, INTERPRETER: [_chunk_tile(16, 128)]},
)


def score_chunks(queries: Tensor, chunks: Chunks, pairs: Tensor, own_offset: int | None) -> Tensor:
    """Return the squared distances of pairs (query, chunk), in plain float64.

    Parameters
    ----------
    queries : Tensor of shape (n_queries, n_features), contiguous
    chunks : Chunks
    pairs : int64 Tensor of shape (n_pairs, 2), contiguous
    own_offset : int, optional
        Sample ``query + own_offset`` is no sample.

    Returns
    -------
    float64 Tensor of shape (n_pairs, CHUNK)
        NaN where a chunk holds no sample.
    """
    squared_distances = queries.new_empty((len(pairs), CHUNK), dtype=torch.float64)
    if len(pairs) > 0:
        SCORE_CHUNKS(
            lambda meta: (triton.cdiv(len(pairs), meta["BLOCK_PAIRS"]),),
            queries_pointer=queries,
            samples_pointer=chunks.samples,
            pairs_pointer=pairs,
            squared_distances_pointer=squared_distances,
            own_offset=own_offset or 0,
            n_pairs=len(pairs),
            n_samples=len(chunks.samples),
            n_features=queries.shape[1],
            block_size=chunks.block_size,
            chunks_in_block=chunks.chunks_in_block,
            HAS_OWN=own_offset is not None,
            CHUNK=CHUNK,
        )
    return squared_distances


@triton.jit
def two_sum(a, b):
    """Return a + b as rounded, and what rounding left (Knuth): together they are exact."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


@triton.jit
def square_error(a, square):
    """Return a^2 - square exactly, where square is a^2 as rounded (Dekker; |a| below 2^511)."""
    wide = a * 134217729.0  # 2^27 + 1
    high = wide - (wide - a)
    low = a - high
    return ((high * high - square) + 2.0 * high * low) + low * low


@triton.jit
def halves(values, N_ROWS: tl.constexpr, N_COLUMNS: tl.constexpr):
    """Return the even and the odd columns of [N_ROWS, 2 N_COLUMNS]."""
    return tl.split(tl.reshape(values, [N_ROWS, N_COLUMNS, 2]))


@triton.jit
def score_pairs_kernel(
    queries_pointer,
    samples_pointer,
    pairs_pointer,
    sums_pointer,
    n_pairs,
    n_features,
    IS_SCALED: tl.constexpr,
    BLOCK_PAIRS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
    N_HALVINGS: tl.constexpr,
):
    """Write sum (x - s)^2 of pairs (query, sample) as two float64 numbers, in double-double.

    IS_SCALED multiplies differences by 2^500, where squares would underflow.
    """
    pair = tl.program_id(0).to(tl.int64) * BLOCK_PAIRS + tl.arange(0, BLOCK_PAIRS).to(tl.int64)
    is_pair = pair < n_pairs
    query = tl.load(pairs_pointer + 2 * pair, mask=is_pair, other=0)
    sample = tl.load(pairs_pointer + 2 * pair + 1, mask=is_pair, other=0)
    high = tl.zeros([BLOCK_PAIRS, BLOCK_COLUMNS], dtype=tl.float64)
    low = tl.zeros([BLOCK_PAIRS, BLOCK_COLUMNS], dtype=tl.float64)
    for start in range(0, n_features, BLOCK_COLUMNS):
        column = start + tl.arange(0, BLOCK_COLUMNS)
        inside = is_pair[:, None] & (column < n_features)[None, :]
        x = tl.load(
            queries_pointer + query[:, None] * n_features + column[None, :], mask=inside, other=0
        ).to(tl.float64)
        s = tl.load(
            samples_pointer + sample[:, None] * n_features + column[None, :], mask=inside, other=0
        ).to(tl.float64)
        difference, left = two_sum(x, -s)
        if IS_SCALED:
            difference = difference * 3.273390607896142e150  # 2^500
            left = left * 3.273390607896142e150
        square = difference * difference
        # left^2 is below 2^-106 of the square
        left = square_error(difference, square) + 2.0 * difference * left
        high, error = two_sum(high, square)
        low = low + (error + left)
    for halving in tl.static_range(N_HALVINGS):
        first_high, second_high = halves(high, BLOCK_PAIRS, BLOCK_COLUMNS >> (halving + 1))
        first_low, second_low = halves(low, BLOCK_PAIRS, BLOCK_COLUMNS >> (halving + 1))
        high, error = two_sum(first_high, second_high)
        low = (first_low + second_low) + error
    high = tl.reshape(high, [BLOCK_PAIRS])
    low = tl.reshape(low, [BLOCK_PAIRS])
    tl.store(sums_pointer + 2 * pair, high, mask=is_pair)
    tl.store(sums_pointer + 2 * pair + 1, low, mask=is_pair)


def _pairs(n_pairs: int, n_columns: int) -> Configuration:
    constants = {"BLOCK_PAIRS": n_pairs, "BLOCK_COLUMNS": n_columns}
    constants["N_HALVINGS"] = n_columns.bit_length() - 1
    return Configuration(f"{n_pairs}x{n_columns}", constants, n_warps=4, n_stages=1)


SCORE_PAIRS = Kernel(
    score_pairs_kernel,
    {**{name: [_pairs(4, 64)] for name in ARCHITECTURES}, INTERPRETER: [_pairs(64, 64)]},
    options={"enable_fp_fusion": False},
)


def _sums(queries: Tensor, samples: Tensor, pairs: Tensor, *, is_scaled: bool) -> Tensor:
    sums = queries.new_empty((len(pairs), 2), dtype=torch.float64)
    if len(pairs) > 0:
        SCORE_PAIRS(
            lambda meta: (triton.cdiv(len(pairs), meta["BLOCK_PAIRS"]),),
            queries_pointer=queries,
            samples_pointer=samples,
            pairs_pointer=pairs,
            sums_pointer=sums,
            n_pairs=len(pairs),
            n_features=queries.shape[1],
            IS_SCALED=is_scaled,
        )
    return sums


def score_pairs(queries: Tensor, samples: Tensor, pairs: Tensor) -> Tensor:
    """Return the squared distances of pairs (query, sample), each rounded once to float64.

    Parameters
    ----------
    queries, samples : Tensors of shapes (n_queries, n_features) and (n_samples, n_features)
        Contiguous, of one dtype.
    pairs : int64 Tensor of shape (n_pairs, 2), contiguous

    Returns
    -------
    float64 Tensor of shape (n_pairs,)
    """
    sums = _sums(queries, samples, pairs, is_scaled=False)
    rounded = sums.sum(1)
    rounded = torch.where(torch.isnan(rounded), torch.inf, rounded)  # inf - inf, past float64
    small = torch.nonzero(rounded < 2.0**-900).view(-1)
    if len(small) > 0:
        scaled = _sums(queries, samples, pairs[small].contiguous(), is_scaled=True)
        rounded[small] = _rounded_down_by_1000_bits(scaled[:, 0], scaled[:, 1])
    return rounded


def _rounded_down_by_1000_bits(total: Tensor, rest: Tensor) -> Tensor:
    """Return (total + rest) / 2^1000, rounded once, also where that has fewer bits than 53."""
    least_normal, last_bit = 2.0**-22, 2.0**-74  # of the result, times 2^1000
    high = total + rest
    low = rest - (high - total)
    rounded = (least_normal + high) - least_normal
    left = high - rounded  # a tie of `high` is none of the sum if anything is below
    rounded = torch.where((left == last_bit / 2) & (low > 0), rounded + last_bit, rounded)
    rounded = torch.where((left == -last_bit / 2) & (low < 0), rounded - last_bit, rounded)
    return torch.where(high < least_normal, rounded, high) * 2.0**-1000
