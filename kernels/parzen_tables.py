"""What is made of the tables of chunks, in float64: which are scored again, and the sums at last.

A table has a row for each query, and in it a column for each chunk of samples.
"""

from __future__ import annotations

import triton
import triton.language as tl
from fastgan.kernels.distances import allowance_of_tile
from fastgan.kernels.launch import ARCHITECTURES, INTERPRETER, Configuration, Kernel

# The most, in nats, that what is not scored again may move a result by. The rest of 1e-4 is for
# float32's exponentials: 2^-19 from sums in units of 2^-23, 2^-21 from the exponents and exp2.
BUDGET_NATS = 5e-5
N_LEVELS = 8


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
