"""Nearest neighbours against chunked products, torch.compile and scikit-learn's brute force."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

import fastgan
from benchmarks import harness
from benchmarks.points import REFERENCE_QUERIES, points, squared_distances

CHUNK = 1_000
Pair = tuple[Any, Any]


def chunk_by_product(queries: Tensor, data: Tensor, k: int) -> tuple[Tensor, Tensor]:
    squared = queries.square().sum(1, keepdim=True) - 2 * (queries @ data.T) + data.square().sum(1)
    found = torch.topk(squared, k, dim=1, largest=False)
    return found.values, found.indices


def search(
    chunk: Callable[..., tuple[Tensor, Tensor]], queries: Tensor, data: Tensor, k: int
) -> Pair:
    parts = [chunk(part, data, k) for part in queries.split(CHUNK)]
    return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])


def comparisons(*, quick: bool, compile: bool = True) -> Iterator[harness.Comparison]:
    sizes = (
        [(200, 500, 1)] if quick else [(1_000, 50_000, 1), (10_000, 50_000, 1), (1_000, 50_000, 5)]
    )
    for n_queries, n_data, k in sizes:
        name, data, queries = points(n_data, n_queries)  # the samples ask, real images answer
        n_features = data.shape[1]
        distances = squared_distances(queries[:REFERENCE_QUERIES], data)
        expected, places = torch.sort(distances, dim=1, stable=True)
        expected, places = expected[:, :k], places[:, :k]

        def against(
            call: Callable[[], Pair],
            exact: bool,
            expected: Tensor = expected,
            places: Tensor = places,
        ) -> Callable[[], float]:
            def error() -> float:
                squared, indices = (torch.as_tensor(a)[: len(expected)] for a in call())
                if exact and not torch.equal(indices, places):
                    return float("inf")
                return float(
                    ((squared.double() - expected).abs() / expected.clamp(min=1e-30)).max()
                )

            return error

        calls: dict[str, Callable[[], Pair]] = {
            "fastgan": lambda q=queries, d=data, k=k: fastgan.nearest_neighbors(q, d, k),
            "eager": lambda q=queries, d=data, k=k: search(chunk_by_product, q, d, k),
        }
        if compile:
            compiled = torch.compile(chunk_by_product)
            calls["torch.compile"] = lambda q=queries, d=data, k=k, c=compiled: search(c, q, d, k)
        index = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(data.numpy())

        def sklearn(q: Tensor = queries, index: NearestNeighbors = index) -> Pair:
            found, indices = index.kneighbors(q.numpy())
            return found**2, indices

        calls["scikit-learn brute"] = sklearn
        contenders = [
            harness.Contender(name, call, against(call, exact=name == "fastgan"))
            for name, call in calls.items()
        ]
        floor = lambda q=queries, d=data: [part @ d.T for part in q.split(CHUNK)]  # noqa: E731
        contenders.append(harness.Contender("torch.mm", floor, is_floor=True))
        yield harness.Comparison(
            operation="neighbors",
            size=f"{name}: {n_queries:,} queries, {n_data:,} images, k = {k}",
            contenders=contenders,
            # indices equal, and distances as near as two float64 sums of n_features terms can be
            bound=4 * n_features * torch.finfo(torch.float64).eps,
            error_unit="of the distance",
        )


@pytest.mark.parametrize("name", ["fastgan", "eager", "scikit-learn brute"])
def test_neighbors(benchmark: Any, name: str) -> None:
    harness.time_with_pytest(benchmark, next(comparisons(quick=True, compile=False)), name)
