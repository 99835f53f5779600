"""What is right, for all queries, in float64: plain PyTorch that shares no code with fastgan's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import torch
from torch import Tensor

QUERIES, ROWS = 500, 10_000  # a tile of float64 distances: 40 MB


def parzen(queries: Tensor, samples: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Return the log-likelihood of each query, float64 of shape (n_sigmas, n_queries), in nats.

    Squared distances by a float64 product, right to ``4 n_features`` units of rounding of the
    squared lengths: 1e-9 nats for images in [0, 1] and sigma of .1, where 1e-4 is asked for.
    """
    n_samples, n_features = samples.shape
    total = queries.new_full((len(sigmas), len(queries)), -math.inf, dtype=torch.float64)
    for rows in samples.split(ROWS):
        wide = rows.double()
        for start in range(0, len(queries), QUERIES):
            squared = _squared(queries[start : start + QUERIES].double(), wide)
            for i, sigma in enumerate(sigmas):
                part = total[i, start : start + QUERIES]
                sums = torch.logsumexp(squared / (-2.0 * sigma**2), dim=1)
                torch.logaddexp(part, sums, out=part)
    normalisers = [
        math.log(n_samples) + n_features * math.log(sigma * math.sqrt(2 * math.pi))
        for sigma in sigmas
    ]
    return total - total.new_tensor(normalisers)[:, None]


def nearest(queries: Tensor, data: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return squared distances, float64, and indices of the k nearest rows, of shape (n, k).

    By a float64 product. Where its rounding, or a tie, leaves a place open, the rows that may take
    it are compared as fractions, and equal ones go by index: the indices are exact.
    """
    longest = max(float(rows.double().square().sum(dim=1).max()) for rows in data.split(ROWS))
    n_features, n_rows = data.shape[1], len(data)
    indices = []
    for part in queries.split(QUERIES):
        rows = part.double()
        squared = torch.cat([_squared(rows, some.double()) for some in data.split(ROWS)], dim=1)
        slack = 4 * n_features * torch.finfo(torch.float64).eps
        slack = slack * (rows.square().sum(dim=1) + longest)  # of each distance in the product
        near = torch.topk(squared, min(k + 1, n_rows), dim=1, largest=False, sorted=True)
        is_open = (near.values.diff(dim=1) <= 2 * slack[:, None]).any(dim=1)
        places = near.indices[:, :k].clone()
        for query in is_open.nonzero()[:, 0].tolist():
            limit = near.values[query, k - 1] + 2 * slack[query]
            rivals = (squared[query] <= limit).nonzero()[:, 0].tolist()
            distance = _as_fractions(part[query], data)
            chosen = sorted(rivals, key=lambda j, d=distance: (d(j), j))[:k]
            places[query] = places.new_tensor(chosen)
        indices.append(places)
    found = torch.cat(indices)
    distances = [
        (rows.double()[:, None] - data[places].double()).square().sum(dim=2)
        for rows, places in zip(queries.split(QUERIES), found.split(QUERIES), strict=True)
    ]
    return torch.cat(distances), found


def _squared(queries: Tensor, rows: Tensor) -> Tensor:
    squared = (queries @ rows.T).mul_(-2.0)
    squared += queries.square().sum(dim=1, keepdim=True)
    squared += rows.square().sum(dim=1)
    return squared.clamp_(min=0.0)


def _as_fractions(query: Tensor, data: Tensor) -> Callable[[int], Fraction]:
    asked = [Fraction(value) for value in query.tolist()]

    def distance(index: int) -> Fraction:
        return sum(
            ((a - Fraction(b)) ** 2 for a, b in zip(asked, data[index].tolist(), strict=True)),
            start=Fraction(0),
        )

    return distance
