"""Pairs within a radius by differences, in float64."""

from __future__ import annotations

import torch
from torch import Tensor


def count_within(
    queries: Tensor, data: Tensor, squared_radii: Tensor, exclude_self: bool
) -> tuple[Tensor, Tensor]:
    """Count the pairs with ``d2(query q, row i) <= squared_radii[q]``, by query and by row.

    The ball is closed: a row at the radius is within, so an identical row is within radius 0.
    A negative squared radius holds nothing (the strict comparison ``d2 < r`` is the closed one with
    the next number below r), infinity everything. With ``exclude_self`` row q does not count for
    query q, on either side.

    Returns int64 of shape (n_queries,), each query's rows, and (n_rows,), each row's queries.
    """
    data = data.double()
    per_query = torch.zeros(queries.shape[0], dtype=torch.int64, device=data.device)
    per_row = torch.zeros(data.shape[0], dtype=torch.int64, device=data.device)
    for q, x in enumerate(queries.double()):
        within = ((x - data) ** 2).sum(1) <= squared_radii[q]
        if exclude_self:
            within[q] = False
        per_query[q] = within.sum()
        per_row += within
    return per_query, per_row
