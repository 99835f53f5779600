"""Gaussian Parzen sums for a grid of sigmas: tensor-core products, and float64 where it matters.

Four steps for a group of queries: (1) tiles of approximate squared distances leave, for each
(query, chunk of samples), the least of them and for each sigma the sum of exponentials relative to
it (parzen_chunks.py); (2) chunks whose rounding could move a result are flagged
(parzen_tables.py); (3) these are scored again in float64 (rescoring.py); (4) all is merged in
float64 (parzen_tables.py).
"""

from __future__ import annotations

import torch
import triton
from fastgan.kernels.distances import (
    CHUNK,
    TABLE_BYTES,
    Chunks,
    allowance_factors,
    largest_norms,
    pack_queries,
)
from fastgan.kernels.groups import flagged_pairs, query_ranges
from fastgan.kernels.parzen_chunks import fill_tables
from fastgan.kernels.parzen_tables import BUDGET_NATS, N_LEVELS, PARZEN_FLAGS, PARZEN_MERGE
from fastgan.kernels.rescoring import PAIRS_AT_ONCE, score_chunks
from torch import Tensor


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
        N_LEVELS=N_LEVELS,
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
