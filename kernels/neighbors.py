"""Exact nearest neighbours: tensor-core products bound all pairs, finalists are scored exactly.

Three steps for a group of queries: (1) tiles of approximate squared distances leave the least of
each (query, chunk of rows); (2) chunks that may hold one of the k nearest are scored in float64;
(3) the rows that may be among them still are scored once more, each distance rounded once.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from fastgan.kernels.distances import (
    CHUNK,
    TABLE_BYTES,
    Chunks,
    Packed,
    allowance,
    largest_norms,
    pack_queries,
    sample_of_row,
    squared_distance_tile,
)
from fastgan.kernels.groups import flagged_pairs, query_ranges
from fastgan.kernels.launch import Kernel
from fastgan.kernels.rescoring import (
    PAIRS_AT_ONCE,
    relative_error,
    score_chunks,
    score_pairs,
    underflow,
)
from fastgan.kernels.tile_configurations import product_tiles
from torch import Tensor


@triton.jit(do_not_specialize=["own_offset", "first_chunk"])
def nearest_chunks_kernel(
    queries_pointer,
    rows_pointer,
    query_squares_pointer,
    row_squares_pointer,
    least_pointer,
    own_offset,
    first_chunk,
    n_queries,
    n_chunks,
    n_all_chunks,
    n_rows,
    n_packed_features,
    chunks_in_block,
    HAS_OWN: tl.constexpr,
    CHUNK: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_QUERIES: tl.constexpr,
    BLOCK_SAMPLES: tl.constexpr,
    BLOCK_FEATURES: tl.constexpr,
):
    """Write the least d2 of each query and chunk, in scaled units: (n_queries, n_all_chunks)."""
    n_tiles = tl.cdiv(n_queries, BLOCK_QUERIES)
    query_tile = tl.program_id(0) % n_tiles
    row_tile = tl.program_id(0) // n_tiles
    query = query_tile.to(tl.int64) * BLOCK_QUERIES + tl.arange(0, BLOCK_QUERIES).to(tl.int64)
    row = row_tile.to(tl.int64) * BLOCK_SAMPLES + tl.arange(0, BLOCK_SAMPLES).to(tl.int64)
    distances = squared_distance_tile(
        queries_pointer,
        rows_pointer,
        query_squares_pointer,
        row_squares_pointer,
        query,
        row,
        n_packed_features,
        PRECISION,
        BLOCK_QUERIES,
        BLOCK_SAMPLES,
        BLOCK_FEATURES,
    )
    if HAS_OWN:
        number, _ = sample_of_row(
            row + first_chunk.to(tl.int64) * CHUNK, n_rows, n_rows, chunks_in_block, CHUNK
        )
        own = query + own_offset
        distances = tl.where(number[None, :] == own[:, None], float("inf"), distances)
    n_here: tl.constexpr = BLOCK_SAMPLES // CHUNK
    least = tl.min(tl.reshape(distances, [BLOCK_QUERIES, n_here, CHUNK]), axis=2)
    chunk = row_tile * n_here + tl.arange(0, n_here)
    tl.store(
        least_pointer + query[:, None] * n_all_chunks + (first_chunk + chunk)[None, :],
        least,
        mask=(query < n_queries)[:, None] & (chunk < n_chunks)[None, :],
    )


NEAREST_CHUNKS = Kernel(
    nearest_chunks_kernel, product_tiles(), key=["n_queries", "n_chunks", "n_packed_features"]
)


def nearest_neighbors(
    queries: Tensor, data: Tensor, k: int, exclude_self: bool
) -> tuple[Tensor, Tensor]:
    """Return the k nearest rows of ``data`` of each query, exactly.

    Parameters
    ----------
    queries : Tensor of shape (n_queries, n_features), uint8, float32 or float64
    data : Tensor of shape (n_rows, n_features)
        Of the same dtype and device.
    k : int
        From 1 to n_rows, or to n_rows - 1 with ``exclude_self``.
    exclude_self : bool
        Row q of the data is none of query q's neighbours.

    Returns
    -------
    squared_distances : float64 Tensor of shape (n_queries, k)
        Ascending; the real number sum (x - y)^2, rounded once.
    indices : int64 Tensor of shape (n_queries, k)
        Rows; equal distances are ordered by the smaller one.
    """
    return nearest_among(queries, prepare(data), k, exclude_self)


def prepare(data: Tensor) -> Chunks:
    """Return data as :func:`nearest_among` takes it: what is made of it serves many questions."""
    return Chunks(data.contiguous(), len(data))


def nearest_among(
    queries: Tensor, chunks: Chunks, k: int, exclude_self: bool
) -> tuple[Tensor, Tensor]:
    """Do what :func:`nearest_neighbors` does with prepared data."""
    queries = queries.contiguous()
    n_queries = len(queries)
    squared_distances = queries.new_empty((n_queries, k), dtype=torch.float64)
    indices = queries.new_empty((n_queries, k), dtype=torch.int64)
    n_at_once = max(1, TABLE_BYTES // (32 * chunks.n_chunks))
    for first in range(0, n_queries, n_at_once):
        group = slice(first, min(first + n_at_once, n_queries))
        own_offset = first if exclude_self else None
        flags = _flag(queries[group], chunks, k, own_offset)
        pairs = flagged_pairs(flags)
        bounds = torch.searchsorted(
            pairs[:, 0].contiguous(), torch.arange(len(flags) + 1, device=pairs.device)
        )
        for begin, end, first_pair, end_pair in query_ranges(bounds, PAIRS_AT_ONCE):
            found = _nearest_of(
                queries[group], chunks, pairs[first_pair:end_pair], begin, end, k, own_offset
            )
            part = slice(first + begin, first + end)
            squared_distances[part], indices[part] = found
    return squared_distances, indices


def _flag(queries: Tensor, chunks: Chunks, k: int, own_offset: int | None) -> Tensor:
    """Return which chunks may hold one of the k nearest rows, bool (n_queries, n_chunks).

    The k-th smallest true distance is at most the k-th smallest upper bound of the chunks' least.
    """
    n_queries, n_features = queries.shape
    packed = pack_queries(queries, chunks.frame)
    least = queries.new_empty((n_queries, chunks.n_chunks), dtype=torch.float32)
    norms = queries.new_empty(chunks.n_chunks, dtype=torch.float64)
    for first, end, part in chunks.spans():
        norms[first:end] = largest_norms(part, end - first)
        fill_table(packed, part, chunks, n_queries, first, end, own_offset, least)
    if k > chunks.n_chunks:
        return torch.ones_like(least, dtype=torch.bool)
    wide = least.double()
    bound = allowance(packed.norms[:n_queries, None], norms, n_features)
    limit = torch.topk(wide + bound, k, dim=1, largest=False, sorted=True).values[:, -1:]
    # Rounded to few bits, near float64's least number, a larger distance may be as small.
    few_bits = 4.0 * underflow(n_features) / chunks.frame.unit / chunks.frame.unit
    return wide - bound <= limit + few_bits


def fill_table(
    queries: Packed,
    rows: Packed,
    chunks: Chunks,
    n_queries: int,
    first_chunk: int,
    end_chunk: int,
    own_offset: int | None,
    least: Tensor,
) -> None:
    """Write the columns first_chunk and on of least (n_queries, n_chunks), from packed rows."""
    NEAREST_CHUNKS(
        lambda meta: (
            triton.cdiv(n_queries, meta["BLOCK_QUERIES"])
            * triton.cdiv((end_chunk - first_chunk) * CHUNK, meta["BLOCK_SAMPLES"]),
        ),
        queries_pointer=queries.values,
        rows_pointer=rows.values,
        query_squares_pointer=queries.squared_norms,
        row_squares_pointer=rows.squared_norms,
        least_pointer=least,
        own_offset=own_offset or 0,
        first_chunk=first_chunk,
        n_queries=n_queries,
        n_chunks=end_chunk - first_chunk,
        n_all_chunks=least.shape[1],
        n_rows=len(chunks.samples),
        n_packed_features=rows.values.shape[1],
        chunks_in_block=chunks.chunks_in_block,
        HAS_OWN=own_offset is not None,
        CHUNK=CHUNK,
    )


def _nearest_of(
    queries: Tensor,
    chunks: Chunks,
    pairs: Tensor,
    begin: int,
    end: int,
    k: int,
    own_offset: int | None,
) -> tuple[Tensor, Tensor]:
    """Return distances and rows of queries begin to end, from their flagged pairs, in order."""
    n_features = queries.shape[1]
    distances = score_chunks(queries, chunks, pairs, own_offset)
    lane = torch.arange(CHUNK, device=pairs.device)
    query = pairs[:, :1].expand(-1, CHUNK)
    row = pairs[:, 1:] * CHUNK + lane
    is_row = ~torch.isnan(distances)
    distances, query, row = distances[is_row], query[is_row] - begin, row[is_row]
    if queries.dtype != torch.uint8:  # whose plain distances are exact
        kth = _smallest(distances, query, end - begin, k)[:, -1]
        # The k-th rounded distance is at most this; 2^-51 for two roundings to float64.
        error, lost = relative_error(n_features), underflow(n_features)
        limit = distances[kth] * (1.0 + 2.0 * error + 2.0**-51) + 2.0 * lost
        stays = distances * (1.0 - 2.0 * error) - 2.0 * lost <= limit[query]
        query, row = query[stays], row[stays]
        distances = score_pairs(queries, chunks.samples, torch.stack((query + begin, row), 1))
    nearest = _smallest(distances, query, end - begin, k)
    return distances[nearest], row[nearest]


def _smallest(distances: Tensor, query: Tensor, n_queries: int, k: int) -> Tensor:
    """Return where the k smallest distances of each query stand, ascending, ties in their order.

    ``query`` ascends, and each has at least k distances.
    """
    by_distance = torch.argsort(distances, stable=True)
    order = by_distance[torch.argsort(query[by_distance], stable=True)]
    first = torch.searchsorted(query, torch.arange(n_queries, device=query.device))
    return order[first[:, None] + torch.arange(k, device=query.device)]
