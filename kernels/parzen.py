"""Gaussian Parzen sums for a grid of sigmas: tensor-core products, and float64 where it matters.

Four steps for a group of queries: (1) tiles of approximate squared distances leave, for each
(query, chunk of samples), the least of them and for each sigma the sum of exponentials relative to
it; (2) chunks whose rounding could move a result are flagged; (3) these are scored again in float64
(rescoring.py); (4) all is merged in float64.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from fastgan.kernels.distances import (
    CHUNK,
    TABLE_BYTES,
    Chunks,
    Packed,
    allowance_factors,
    allowance_of_tile,
    largest_norms,
    pack_queries,
    sample_of_row,
    squared_distance_tile,
)
from fastgan.kernels.groups import flagged_pairs, query_ranges
from fastgan.kernels.launch import ARCHITECTURES, INTERPRETER, Configuration, Kernel
from fastgan.kernels.rescoring import PAIRS_AT_ONCE, score_chunks
from fastgan.kernels.tile_configurations import product_tiles
from torch import Tensor

# The most, in nats, that what is not scored again may move a result by. The rest of 1e-4 is for
# float32's exponentials: 2^-19 from sums in units of 2^-23, 2^-21 from the exponents and exp2.
BUDGET_NATS = 5e-5
_N_LEVELS = 8
_LEAST_INVERSE, _MOST_INVERSE = 2.0**-126, 2.0**127


@triton.jit(do_not_specialize=["own_offset", "first_chunk"])
def parzen_chunks_kernel(
    queries_pointer,
    samples_pointer,
    query_squares_pointer,
    sample_squares_pointer,
    inverses_pointer,
    least_pointer,
    sums_pointer,
    own_offset,
    first_chunk,
    n_queries,
    n_chunks,
    n_all_chunks,
    n_sigmas,
    n_samples,
    n_packed_features,
    block_size,
    chunks_in_block,
    HAS_OWN: tl.constexpr,
    CHUNK: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_QUERIES: tl.constexpr,
    BLOCK_SAMPLES: tl.constexpr,
    BLOCK_FEATURES: tl.constexpr,
):
    """Write each chunk's least d2, and for each sigma its sum of 2^((least - d2) inverse).

    The sums are int32 in units of 2^-23: each term is rounded to the unit, so that they do not
    depend on the order of summation, nor on the shape of the tile. least is float32 of shape
    (n_queries, n_all_chunks), sums (n_queries, n_sigmas, n_all_chunks); inverses, float32, are
    log2(e) / (2 sigma^2) in scaled units.
    """
    n_tiles = tl.cdiv(n_queries, BLOCK_QUERIES)
    query_tile = tl.program_id(0) % n_tiles
    sample_tile = tl.program_id(0) // n_tiles
    query = query_tile.to(tl.int64) * BLOCK_QUERIES + tl.arange(0, BLOCK_QUERIES).to(tl.int64)
    row = sample_tile.to(tl.int64) * BLOCK_SAMPLES + tl.arange(0, BLOCK_SAMPLES).to(tl.int64)
    distances = squared_distance_tile(
        queries_pointer,
        samples_pointer,
        query_squares_pointer,
        sample_squares_pointer,
        query,
        row,
        n_packed_features,
        PRECISION,
        BLOCK_QUERIES,
        BLOCK_SAMPLES,
        BLOCK_FEATURES,
    )
    if HAS_OWN:
        sample, _ = sample_of_row(
            row + first_chunk.to(tl.int64) * CHUNK, n_samples, block_size, chunks_in_block, CHUNK
        )
        own = query + own_offset
        distances = tl.where(sample[None, :] == own[:, None], float("inf"), distances)
    n_here: tl.constexpr = BLOCK_SAMPLES // CHUNK
    distances = tl.reshape(distances, [BLOCK_QUERIES, n_here, CHUNK])
    least = tl.min(distances, axis=2)
    chunk = sample_tile * n_here + tl.arange(0, n_here)
    inside = (query < n_queries)[:, None] & (chunk < n_chunks)[None, :]
    at = (first_chunk + chunk)[None, :]
    tl.store(least_pointer + query[:, None] * n_all_chunks + at, least, mask=inside)
    is_empty = least == float("inf")
    gaps = tl.where(is_empty, 0.0, least)[:, :, None] - distances
    for j in range(n_sigmas):
        inverse = tl.load(inverses_pointer + j)
        # 1 + term has its unit at 2^-23: the bits past those of 1 count units
        term = (tl.exp2(gaps * inverse) + 1.0).to(tl.int32, bitcast=True) - 0x3F800000
        tl.store(
            sums_pointer + (query[:, None] * n_sigmas + j) * n_all_chunks + at,
            tl.where(is_empty, 0, tl.sum(term, axis=2)),
            mask=inside,
        )


@triton.jit
def told_chunks(least_pointer, norms_pointer, inside, unit, query_norm, a, b, c):
    """Return least d2, allowance (in the inputs' units), and which chunks they tell, and are empty.

    What float32 or float64 cannot hold is not told; an empty chunk is told, its least d2 infinite.
    """
    scaled = tl.load(least_pointer, mask=inside, other=float("inf"))
    norm = tl.load(norms_pointer, mask=inside, other=0.0)
    is_empty = scaled == float("inf")
    allowance = allowance_of_tile(query_norm, norm, a, b, c) * unit * unit
    least = scaled.to(tl.float64) * unit * unit
    is_told = is_empty | ((allowance < float("inf")) & (least < float("inf")))
    return least, allowance, is_told, is_empty


@triton.jit
def shares_of_chunks(sums_pointer, inside, gap, width):
    """Return sum 2^-23 exp(-gap / width) of chunks, float64; what is below e^-700 is 0.

    width is 2 sigma^2, one number.
    """
    sums = tl.load(sums_pointer, mask=inside, other=0).to(tl.float64) * 1.1920928955078125e-07
    is_near = inside & (gap < 700.0 * width)
    return tl.where(is_near, sums * tl.exp(-tl.where(is_near, gap, 0.0) / width), 0.0)


@triton.jit
def errors_of_chunks(sums_pointer, counts, gap, allowance, width):
    """Return sum 2^-23 exp(-gap / width) (exp(allowance / width) - 1) or more, float64.

    0 for chunks that do not count; past e^50 it is e^50. gap already has the allowance taken off:
    exp(x) - 1 <= x exp(x).
    """
    sums = tl.load(sums_pointer, mask=counts, other=0)
    counts = counts & (sums > 0)
    sums = tl.where(counts, sums, 1).to(tl.float64) * 1.1920928955078125e-07
    gap = tl.where(counts, gap, 0.0)
    # Where a gap is cut its sign decides: past 800 widths no factor allowance / width makes up for
    # it, as the allowance, a hundredth larger than need be, was taken off the gap.
    limit = 800.0 * width
    exponent = -tl.minimum(tl.maximum(gap, -limit), limit) / width
    exponent += tl.log(sums) + tl.log(tl.where(counts, allowance, 1.0)) - tl.log(width)
    error = tl.exp(tl.minimum(exponent, 50.0))
    error = tl.where(gap > limit, 0.0, tl.where(gap < -limit, 5.0e21, error))
    return tl.where(counts, error, 0.0)


@triton.jit(do_not_specialize=["n_blocks", "n_sigmas"])
def parzen_flags_kernel(
    least_pointer,
    sums_pointer,
    query_norms_pointer,
    chunk_norms_pointer,
    widths_pointer,
    factors_pointer,
    unit_pointer,
    flags_pointer,
    n_queries,
    n_blocks,
    n_chunks,
    n_sigmas,
    chunks_in_block,
    BUDGET: tl.constexpr,
    N_LEVELS: tl.constexpr,
    BLOCK_QUERIES: tl.constexpr,
    BLOCK_CHUNKS: tl.constexpr,
):
    """Flag the chunks of a block that are to be scored again for a sigma; flags start as 0.

    With m a chunk's least d2, E its sum relative to m, A its allowance and w = 2 sigma^2, what
    the chunk adds is E exp(-m / w) within a factor exp(A / w): off by at most
    D = E exp(-m / w) (exp(A / w) - 1). All D that stay must not exceed BUDGET times a lower limit L
    of the query's whole sum. Those above a level are flagged: the highest of N_LEVELS levels, from
    BUDGET L down to BUDGET L / n_chunks (where it always holds), for which it does.
    """
    sigma = tl.program_id(0) % n_sigmas
    block = tl.program_id(0) // n_sigmas % n_blocks
    query = (tl.program_id(0) // n_sigmas // n_blocks).to(tl.int64) * BLOCK_QUERIES
    query += tl.arange(0, BLOCK_QUERIES).to(tl.int64)
    is_query = query < n_queries
    first = block * chunks_in_block
    end = tl.minimum(first + chunks_in_block, n_chunks)
    width = tl.load(widths_pointer + sigma)
    unit = tl.load(unit_pointer)
    norm = tl.load(query_norms_pointer + query, mask=is_query, other=0.0)[:, None]
    a = tl.load(factors_pointer)
    b = tl.load(factors_pointer + 1)
    c = tl.load(factors_pointer + 2)
    infinity = float("inf")
    least_rows = least_pointer + query[:, None] * n_chunks
    flag_rows = flags_pointer + query[:, None] * n_chunks
    sum_rows = sums_pointer + (query[:, None] * n_sigmas + sigma) * n_chunks
    lanes = tl.arange(0, BLOCK_CHUNKS)
    lowest_seen = tl.full([BLOCK_QUERIES, BLOCK_CHUNKS], infinity, dtype=tl.float64)
    upper_seen = tl.full([BLOCK_QUERIES, BLOCK_CHUNKS], infinity, dtype=tl.float64)
    for start in range(first, end, BLOCK_CHUNKS):
        chunk = (start + lanes)[None, :]
        inside = is_query[:, None] & (chunk < end)
        least, allowance, is_told, _ = told_chunks(
            least_rows + chunk, chunk_norms_pointer + chunk, inside, unit, norm, a, b, c
        )
        lowest_seen = tl.minimum(lowest_seen, tl.where(is_told, least, infinity))
        upper_seen = tl.minimum(upper_seen, tl.where(is_told, least + allowance, infinity))
        tl.store(flag_rows + chunk, 1, mask=inside & (is_told == 0))
    lowest = tl.min(lowest_seen, axis=1)
    upper = tl.min(upper_seen, axis=1)
    upper = tl.where(lowest < infinity, upper, 0.0)  # infinite: nothing counts below
    lowest = tl.where(lowest < infinity, lowest, 0.0)
    total = tl.zeros([BLOCK_QUERIES, BLOCK_CHUNKS], dtype=tl.float64)
    for start in range(first, end, BLOCK_CHUNKS):
        chunk = (start + lanes)[None, :]
        inside = is_query[:, None] & (chunk < end)
        least, allowance, is_told, is_empty = told_chunks(
            least_rows + chunk, chunk_norms_pointer + chunk, inside, unit, norm, a, b, c
        )
        counts = inside & is_told & (is_empty == 0)
        gap = tl.where(counts, least + allowance, 0.0) - lowest[:, None]
        total += shares_of_chunks(sum_rows + chunk, counts, gap, width)
    # w log L, relative to exp(-lowest / w): of the sum, or of its one surest term
    low = tl.sum(total, axis=1)
    low = tl.where(low > 0.0, tl.log(tl.where(low > 0.0, low, 1.0)) * width, -infinity)
    zero_point = (lowest - tl.maximum(low, lowest - upper))[:, None]
    log_n = tl.log((end - first).to(tl.float64))
    threshold = BUDGET * tl.exp(-log_n) + tl.zeros([BLOCK_QUERIES], dtype=tl.float64)
    for step in tl.static_range(N_LEVELS - 1):  # from the lowest but one up
        level = BUDGET * tl.exp(log_n * ((step + 1.0) / (N_LEVELS - 1) - 1.0))
        stays = tl.zeros([BLOCK_QUERIES, BLOCK_CHUNKS], dtype=tl.float64)
        for start in range(first, end, BLOCK_CHUNKS):
            chunk = (start + lanes)[None, :]
            inside = is_query[:, None] & (chunk < end)
            least, allowance, is_told, is_empty = told_chunks(
                least_rows + chunk, chunk_norms_pointer + chunk, inside, unit, norm, a, b, c
            )
            counts = inside & is_told & (is_empty == 0)
            gap = tl.where(counts, least - allowance, 0.0) - zero_point
            error = errors_of_chunks(sum_rows + chunk, counts, gap, allowance, width)
            stays += tl.where(error <= level, error, 0.0)
        threshold = tl.where(tl.sum(stays, axis=1) <= BUDGET, level, threshold)
    for start in range(first, end, BLOCK_CHUNKS):
        chunk = (start + lanes)[None, :]
        inside = is_query[:, None] & (chunk < end)
        least, allowance, is_told, is_empty = told_chunks(
            least_rows + chunk, chunk_norms_pointer + chunk, inside, unit, norm, a, b, c
        )
        counts = inside & is_told & (is_empty == 0)
        gap = tl.where(counts, least - allowance, 0.0) - zero_point
        error = errors_of_chunks(sum_rows + chunk, counts, gap, allowance, width)
        # programs of other sigmas may write the same 1
        tl.store(flag_rows + chunk, 1, mask=error > threshold[:, None])


@triton.jit(do_not_specialize=["first_query", "first_pair", "n_blocks", "n_sigmas"])
def parzen_merge_kernel(
    least_pointer,
    sums_pointer,
    flags_pointer,
    distances_pointer,
    bounds_pointer,
    widths_pointer,
    unit_pointer,
    log_sums_pointer,
    first_query,
    end_query,
    first_pair,
    n_blocks,
    n_chunks,
    n_sigmas,
    n_all_queries,
    chunks_in_block,
    CHUNK: tl.constexpr,
    BLOCK_QUERIES: tl.constexpr,
    BLOCK_CHUNKS: tl.constexpr,
):
    """Write queries' log sums over a block: of chunks that stayed, and of scored distances.

    Both relative to the least distance, in float64. Of the pairs, whose distances start with
    those of first_pair, those of query q and block b are numbers bounds[q n_blocks + b] and on.
    log_sums (n_blocks, n_sigmas, n_all_queries) points to the tables' first query.
    """
    sigma = tl.program_id(0) % n_sigmas
    block = tl.program_id(0) // n_sigmas % n_blocks
    query = (tl.program_id(0) // n_sigmas // n_blocks).to(tl.int64) * BLOCK_QUERIES + first_query
    query += tl.arange(0, BLOCK_QUERIES).to(tl.int64)
    is_query = query < end_query
    first = block * chunks_in_block
    end = tl.minimum(first + chunks_in_block, n_chunks)
    width = tl.load(widths_pointer + sigma)
    unit = tl.load(unit_pointer)
    bounds = bounds_pointer + query * n_blocks + block
    first_scored = tl.load(bounds, mask=is_query, other=0)
    count = (tl.load(bounds + 1, mask=is_query, other=0) - first_scored) * CHUNK
    most = tl.max(count)
    distance_rows = distances_pointer + ((first_scored - first_pair) * CHUNK)[:, None]
    least_rows = least_pointer + query[:, None] * n_chunks
    flag_rows = flags_pointer + query[:, None] * n_chunks
    sum_rows = sums_pointer + (query[:, None] * n_sigmas + sigma) * n_chunks
    infinity = float("inf")
    lanes = tl.arange(0, BLOCK_CHUNKS)
    lowest_seen = tl.full([BLOCK_QUERIES, BLOCK_CHUNKS], infinity, dtype=tl.float64)
    for start in range(first, end, BLOCK_CHUNKS):
        chunk = (start + lanes)[None, :]
        stays = is_query[:, None] & (chunk < end)
        stays = stays & (tl.load(flag_rows + chunk, mask=stays, other=1) == 0)
        least = tl.load(least_rows + chunk, mask=stays, other=infinity).to(tl.float64)
        lowest_seen = tl.minimum(lowest_seen, least * unit * unit)
    for start in range(0, most, BLOCK_CHUNKS):
        at = (start + lanes)[None, :]
        distance = tl.load(distance_rows + at, mask=at < count[:, None], other=infinity)
        distance = tl.where(distance == distance, distance, infinity)  # NaN: no sample
        lowest_seen = tl.minimum(lowest_seen, distance)
    lowest = tl.min(lowest_seen, axis=1)
    lowest = tl.where(lowest < infinity, lowest, 0.0)  # infinite: nothing is near
    total = tl.zeros([BLOCK_QUERIES, BLOCK_CHUNKS], dtype=tl.float64)
    for start in range(first, end, BLOCK_CHUNKS):
        chunk = (start + lanes)[None, :]
        stays = is_query[:, None] & (chunk < end)
        stays = stays & (tl.load(flag_rows + chunk, mask=stays, other=1) == 0)
        least = tl.load(least_rows + chunk, mask=stays, other=infinity).to(tl.float64)
        gap = least * unit * unit - lowest[:, None]
        total += shares_of_chunks(sum_rows + chunk, stays, gap, width)
    for start in range(0, most, BLOCK_CHUNKS):
        at = (start + lanes)[None, :]
        distance = tl.load(distance_rows + at, mask=at < count[:, None], other=infinity)
        gap = distance - lowest[:, None]
        is_near = gap < 700.0 * width  # not of NaN
        total += tl.where(is_near, tl.exp(-tl.where(is_near, gap, 0.0) / width), 0.0)
    sum = tl.sum(total, axis=1)
    is_some = sum > 0.0  # else no finite distance at all: every term is exp(-infinity)
    log_sum = tl.where(is_some, tl.log(tl.where(is_some, sum, 1.0)) - lowest / width, -infinity)
    to = (block.to(tl.int64) * n_sigmas + sigma) * n_all_queries + query
    tl.store(log_sums_pointer + to, log_sum, mask=is_query)


PARZEN_CHUNKS = Kernel(
    parzen_chunks_kernel,
    product_tiles(),
    key=["n_queries", "n_chunks", "n_sigmas", "n_packed_features"],
)


def _table_tile(n_queries: int, n_chunks: int, **options: int) -> Configuration:
    constants = {"BLOCK_QUERIES": n_queries, "BLOCK_CHUNKS": n_chunks}
    return Configuration(f"{n_queries}x{n_chunks}", constants, 4, 1, options)


# One for all: another would sum in another order.
TABLE_TILES = {
    # maxnreg: ptxas would stop at 96 registers, for the sake of occupancy, and spill
    **{
        name: [_table_tile(4, 64, **({} if name == "gfx942" else {"maxnreg": 128}))]
        for name in ARCHITECTURES
    },
    INTERPRETER: [_table_tile(32, 64)],
}


PARZEN_FLAGS = Kernel(parzen_flags_kernel, TABLE_TILES)
PARZEN_MERGE = Kernel(parzen_merge_kernel, TABLE_TILES)


def parzen_log_sums(
    queries: Tensor,
    samples: Tensor,
    sigmas: Tensor,
    block_size: int,
    own_offset: int | None = None,
) -> Tensor:
    """Return log sum_{i in block} exp(-d2 / (2 sigma^2)), (n_blocks, n_sigmas, n_queries).

    Parameters
    ----------
    queries : Tensor of shape (n_queries, n_features), uint8, float32 or float64
    samples : Tensor of shape (n_samples, n_features)
        Of the same dtype and device.
    sigmas : float64 Tensor of shape (n_sigmas,)
        From 1e-150 to 1e150, in the units of the data.
    block_size : int
        Samples in a block; the last block may be short.
    own_offset : int, optional
        Sample ``q + own_offset``, where there is one, is left out for query q.

    Returns
    -------
    float64 Tensor of shape (n_blocks, n_sigmas, n_queries)
        In nats, right to 1e-4 or, where that is more, to 1e-12 of the value; -infinity where a
        block holds no sample but the query's own, or none at a distance that float64 holds. The
        bits of a query do not depend on which others come with it.
    """
    queries, samples = queries.contiguous(), samples.contiguous()
    n_queries = len(queries)
    chunks = Chunks(samples, block_size)
    n_sigmas = len(sigmas)
    shape = (chunks.n_blocks, n_sigmas, n_queries)
    log_sums = queries.new_empty(shape, dtype=torch.float64)
    row_bytes = chunks.n_chunks * (4 * n_sigmas + 5) + 12 * chunks.n_blocks
    n_at_once = max(1, TABLE_BYTES // row_bytes)
    for first in range(0, n_queries, n_at_once):
        part = queries[first : first + n_at_once]
        offset = None if own_offset is None else own_offset + first
        _add_queries(part, chunks, sigmas, offset, log_sums[:, :, first:])
    return log_sums


def _add_queries(
    queries: Tensor, chunks: Chunks, sigmas: Tensor, own_offset: int | None, log_sums: Tensor
) -> None:
    """Fill the first columns of log_sums (n_blocks, n_sigmas, ...) for a group of queries."""
    n_queries, n_features = queries.shape
    n_chunks, n_sigmas, frame = chunks.n_chunks, len(sigmas), chunks.frame
    packed = pack_queries(queries, frame)
    widths = 2.0 * sigmas.square()
    least = queries.new_empty((n_queries, n_chunks), dtype=torch.float32)
    sums = queries.new_empty((n_queries, n_sigmas, n_chunks), dtype=torch.int32)
    chunk_norms = queries.new_empty(n_chunks, dtype=torch.float64)
    for first_chunk, end_chunk, part in chunks.spans():
        chunk_norms[first_chunk:end_chunk] = largest_norms(part, end_chunk - first_chunk)
        fill_tables(
            packed, part, chunks, n_queries, first_chunk, end_chunk, widths, own_offset, least, sums
        )
    flags = queries.new_zeros((n_queries, n_chunks), dtype=torch.uint8)
    factors = widths.new_tensor(allowance_factors(n_features))
    PARZEN_FLAGS(
        lambda meta: (triton.cdiv(n_queries, meta["BLOCK_QUERIES"]) * chunks.n_blocks * n_sigmas,),
        least_pointer=least,
        sums_pointer=sums,
        query_norms_pointer=packed.norms,
        chunk_norms_pointer=chunk_norms,
        widths_pointer=widths,
        factors_pointer=factors,
        unit_pointer=frame.unit,
        flags_pointer=flags,
        n_queries=n_queries,
        n_blocks=chunks.n_blocks,
        n_chunks=n_chunks,
        n_sigmas=n_sigmas,
        chunks_in_block=chunks.chunks_in_block,
        BUDGET=BUDGET_NATS,
        N_LEVELS=_N_LEVELS,
    )
    pairs = flagged_pairs(flags)
    # where the pairs of each query and block begin, and the last ones end
    parts = pairs[:, 0] * chunks.n_blocks + pairs[:, 1] // chunks.chunks_in_block
    bounds = torch.searchsorted(
        parts.contiguous(), torch.arange(n_queries * chunks.n_blocks + 1, device=parts.device)
    )
    for first, end, first_pair, end_pair in query_ranges(bounds[:: chunks.n_blocks], PAIRS_AT_ONCE):
        distances = score_chunks(queries, chunks, pairs[first_pair:end_pair], own_offset)
        PARZEN_MERGE(
            lambda meta, n=end - first: (
                triton.cdiv(n, meta["BLOCK_QUERIES"]) * chunks.n_blocks * n_sigmas,
            ),
            least_pointer=least,
            sums_pointer=sums,
            flags_pointer=flags,
            distances_pointer=distances,
            bounds_pointer=bounds,
            widths_pointer=widths,
            unit_pointer=frame.unit,
            log_sums_pointer=log_sums,
            first_query=first,
            end_query=end,
            first_pair=first_pair,
            n_blocks=chunks.n_blocks,
            n_chunks=n_chunks,
            n_sigmas=n_sigmas,
            n_all_queries=log_sums.stride(1),
            chunks_in_block=chunks.chunks_in_block,
            CHUNK=CHUNK,
        )


def fill_tables(
    queries: Packed,
    samples: Packed,
    chunks: Chunks,
    n_queries: int,
    first_chunk: int,
    end_chunk: int,
    widths: Tensor,
    own_offset: int | None,
    least: Tensor,
    sums: Tensor,
) -> None:
    """Write the columns first_chunk and on of least (n_queries, n_chunks) and of
    sums (n_queries, n_sigmas, n_chunks), from packed queries and samples.

    widths : float64 Tensor of shape (n_sigmas,), 2 sigma^2 in the units of the data
    """  # noqa: D205
    unit = chunks.frame.unit
    # Where a width leaves float32, all terms are 1 or all but the first are 0.
    inverses = (unit * (math.log2(math.e) / widths * unit)).clamp(_LEAST_INVERSE, _MOST_INVERSE)
    PARZEN_CHUNKS(
        lambda meta: (
            triton.cdiv(n_queries, meta["BLOCK_QUERIES"])
            * triton.cdiv((end_chunk - first_chunk) * CHUNK, meta["BLOCK_SAMPLES"]),
        ),
        queries_pointer=queries.values,
        samples_pointer=samples.values,
        query_squares_pointer=queries.squared_norms,
        sample_squares_pointer=samples.squared_norms,
        inverses_pointer=inverses.to(torch.float32),
        least_pointer=least,
        sums_pointer=sums,
        own_offset=own_offset or 0,
        first_chunk=first_chunk,
        n_queries=n_queries,
        n_chunks=end_chunk - first_chunk,
        n_all_chunks=least.shape[1],
        n_sigmas=len(widths),
        n_samples=len(chunks.samples),
        n_packed_features=samples.values.shape[1],
        block_size=chunks.block_size,
        chunks_in_block=chunks.chunks_in_block,
        HAS_OWN=own_offset is not None,
        CHUNK=CHUNK,
    )
