"""Parzen-window log-likelihood against chunked products, cdist, torch.compile and scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from sklearn.neighbors import KernelDensity
from torch import Tensor

import fastgan
from benchmarks import harness
from benchmarks.points import REFERENCE_QUERIES, points, squared_distances

SIGMA = 0.2
CHUNK = 1_000  # queries a product: 10,000 x 1,000 float32 distances are 40 MB


def chunk_by_product(queries: Tensor, samples: Tensor) -> Tensor:
    squared = (
        queries.square().sum(1, keepdim=True) - 2 * (queries @ samples.T) + samples.square().sum(1)
    )
    return torch.logsumexp(squared.clamp(min=0) / (-2 * SIGMA**2), dim=1)


def chunk_by_cdist(queries: Tensor, samples: Tensor) -> Tensor:
    return torch.logsumexp(torch.cdist(queries, samples).square() / (-2 * SIGMA**2), dim=1)


def log_likelihood(
    chunk: Callable[[Tensor, Tensor], Tensor], queries: Tensor, samples: Tensor
) -> Tensor:
    n_samples, n_features = samples.shape
    sums = torch.cat([chunk(part, samples) for part in queries.split(CHUNK)])
    return sums - math.log(n_samples) - n_features * math.log(SIGMA * math.sqrt(2 * math.pi))


def comparisons(*, quick: bool, compile: bool = True) -> Iterator[harness.Comparison]:
    sizes = [(200, 500)] if quick else [(1_000, 2_000), (10_000, 10_000)]
    for n_queries, n_samples in sizes:
        name, queries, samples = points(n_queries, n_samples)
        asked = queries[:REFERENCE_QUERIES]
        exponents = squared_distances(asked, samples) / (-2 * SIGMA**2)
        normaliser = math.log(n_samples) + samples.shape[1] * math.log(
            SIGMA * math.sqrt(2 * math.pi)
        )
        expected = torch.logsumexp(exponents, dim=1) - normaliser

        def against(call: Callable[[], Any], expected: Tensor = expected) -> Callable[[], float]:
            return lambda: float(
                (torch.as_tensor(call())[: len(expected)].double() - expected).abs().max()
            )

        calls: dict[str, Callable[[], Any]] = {
            "fastgan": lambda q=queries, s=samples: fastgan.parzen_log_likelihood(q, s, SIGMA),
            "eager": lambda q=queries, s=samples: log_likelihood(chunk_by_product, q, s),
            "torch.cdist": lambda q=queries, s=samples: log_likelihood(chunk_by_cdist, q, s),
        }
        if compile:
            compiled = torch.compile(chunk_by_product)
            calls["torch.compile"] = lambda q=queries, s=samples, c=compiled: log_likelihood(
                c, q, s
            )
        if n_queries <= 1_000:  # a tree in 784 dimensions visits every leaf
            # With its default leaves KernelDensity (1.9) is nats off in these dimensions; one leaf
            # that holds everything is exact.
            for label, leaf_size in (("", 40), (", one leaf", n_samples)):
                density = KernelDensity(bandwidth=SIGMA, leaf_size=leaf_size).fit(samples.numpy())
                calls[f"scikit-learn KernelDensity{label}"] = lambda q=queries, d=density: (
                    d.score_samples(q.numpy())
                )
        contenders = [harness.Contender(name, call, against(call)) for name, call in calls.items()]
        floor = lambda q=queries, s=samples: [part @ s.T for part in q.split(CHUNK)]  # noqa: E731
        contenders.append(harness.Contender("torch.mm", floor, is_floor=True))
        yield harness.Comparison(
            operation="parzen",
            size=f"{name}: {n_queries:,} queries, {n_samples:,} samples",
            contenders=contenders,
            bound=1e-4,  # nats: the contract of parzen_log_likelihood
            error_unit="nats",
        )


@pytest.mark.parametrize("name", ["fastgan", "eager", "torch.cdist"])
def test_parzen(benchmark: Any, name: str) -> None:
    harness.time_with_pytest(benchmark, next(comparisons(quick=True, compile=False)), name)
