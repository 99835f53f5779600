"""What tiles of squared distances leave of a chunk of samples: the least, sums of exponentials.

On tensor cores, and in float32: what that may be off by is parzen_tables.py's business.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from fastgan.kernels.distances import (
    CHUNK,
    Chunks,
    Packed,
    sample_of_row,
    squared_distance_tile,
)
from fastgan.kernels.launch import Kernel
from fastgan.kernels.tile_configurations import product_tiles
from torch import Tensor

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


PARZEN_CHUNKS = Kernel(
    parzen_chunks_kernel,
    product_tiles(),
    key=["n_queries", "n_chunks", "n_sigmas", "n_packed_features"],
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
