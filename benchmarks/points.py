"""Images to measure distances between: real queries, and samples as a trained model draws them."""

from __future__ import annotations

import torch
from torch import Tensor

import fastgan
from fastgan.ops import philox

REFERENCE_QUERIES = 64  # a float64 brute force by differences of more would outlast the benchmark


def points(n_queries: int, n_samples: int) -> tuple[str, Tensor, Tensor]:
    """Return a name, queries and samples, float32: MNIST where it is at hand, else the digits.

    Queries are test images; samples are training images with a little noise, clipped to [0, 1]:
    near the data, as a trained generator's are, but no copies of it.
    """
    try:
        dataset = fastgan.load_dataset("mnist", download=False)
    except FileNotFoundError:
        dataset = fastgan.load_dataset("digits")
    queries = dataset.test.repeat(-(-n_queries // len(dataset.test)), 1)[:n_queries].contiguous()
    samples = dataset.train.repeat(-(-n_samples // len(dataset.train)), 1)[:n_samples]
    noise = philox.normal(tuple(samples.shape), seed=0, step=0, stream=0)
    return dataset.name, queries, (samples + 0.1 * noise).clamp(0.0, 1.0).contiguous()


def squared_distances(queries: Tensor, others: Tensor) -> Tensor:
    """Return all squared distances in float64, by differences: the reference, and slow."""
    wide = others.double()
    return torch.stack([(query.double() - wide).square().sum(dim=1) for query in queries])
