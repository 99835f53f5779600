"""Nearest neighbours by differences, in float64."""

from __future__ import annotations

import torch
from torch import Tensor


def nearest_neighbors(
    queries: Tensor, data: Tensor, k: int, exclude_self: bool
) -> tuple[Tensor, Tensor]:
    """Return the k smallest squared distances and their rows; ties go to the smaller row."""
    data = data.double()
    squared_distances = data.new_empty((queries.shape[0], k))
    indices = squared_distances.new_empty((queries.shape[0], k), dtype=torch.int64)
    for q, x in enumerate(queries.double()):
        distances = ((x - data) ** 2).sum(1)
        if exclude_self:
            distances[q] = torch.inf
        ordered, rows = torch.sort(distances, stable=True)
        squared_distances[q], indices[q] = ordered[:k], rows[:k]
    return squared_distances, indices
