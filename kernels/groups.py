"""Which pairs (query, chunk) are scored again, and how many queries go together."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def flagged_pairs(flags: Tensor) -> Tensor:
    """Return the pairs (query, chunk) that are flagged, by query, then by chunk.

    Parameters
    ----------
    flags : Tensor of shape (n_queries, n_chunks)

    Returns
    -------
    int64 Tensor of shape (n_pairs, 2), contiguous
    """
    return torch.nonzero(flags).contiguous()


def query_ranges(bounds: Tensor, most: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (first query, end, first item, end) of consecutive queries with ``most`` items at most.

    Parameters
    ----------
    bounds : int64 Tensor of shape (n_queries + 1,)
        Items bounds[q] to bounds[q + 1] are those of query q; a query with more goes alone.
    """
    numbers = bounds.tolist()
    n_queries = len(numbers) - 1
    first = 0
    while first < n_queries:
        end = first + 1
        while end < n_queries and numbers[end + 1] - numbers[first] <= most:
            end += 1
        yield first, end, numbers[first], numbers[end]
        first = end
