"""Real images of any width, samples near them made block by block, and what is right of both."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import fastgan
from benchmarks import points, reference
from fastgan.evaluation import choose_sigma
from fastgan.ops import philox

NOISE = 0.1  # standard deviation of what is added to an image
N_CHECKED = 16  # queries compared with float64
N_FOR_SIGMA = 10_000  # samples, as published
SIGMAS = tuple(np.logspace(-2, 0, 21).tolist())
MNIST_SIDES = {16: 4, 64: 8, 256: 16, 784: 28}


@dataclass(frozen=True)
class Images:
    """Images of one width: float32 in [0, 1], of shape (n, n_features), and what they are."""

    queries: Tensor
    validation: Tensor
    train: Tensor
    words: str

    def samples(self, first: int, out: Tensor) -> Tensor:
        """Write samples number ``first`` and on: training images in turn, each with new noise.

        They depend on their number alone, so that blocks of any size hold the same.
        """
        for start in range(0, len(out), points.NOISE_ROWS):
            part = out[start : start + points.NOISE_ROWS]
            number = first + start
            noise = philox.normal(tuple(part.shape), seed=0, step=0, stream=0, first_row=number)
            rows = (torch.arange(len(part)) + number) % len(self.train)
            torch.add(self.train[rows], noise, alpha=NOISE, out=part).clamp_(0.0, 1.0)
        return out

    def held(self, n_samples: int) -> Tensor:
        """Return the first samples."""
        return self.samples(0, torch.empty(n_samples, self.train.shape[1]))

    def blocks(self, n_samples: int, n_rows: int) -> Iterator[Tensor]:
        """Yield the samples block by block, all in the same memory."""
        room = torch.empty(min(n_rows, n_samples), self.train.shape[1])
        for first in range(0, n_samples, n_rows):
            yield self.samples(first, room[: min(n_rows, n_samples - first)])

    def sigma(self) -> float:
        """Return the sigma that other test images choose at 10,000 samples, as published."""
        return float(choose_sigma(self.validation, self.held(N_FOR_SIGMA), SIGMAS).sigma)


def images(n_features: int, n_queries: int, *, quick: bool = False) -> Images:
    """Return images of a width: MNIST averaged down to a square of so many pixels, or CIFAR-10.

    Raises
    ------
    FileNotFoundError
        If the data set is not at hand.
    ValueError
        If images of this width are not made here.
    """
    if quick:
        dataset = fastgan.load_dataset("digits")
        train, test, name, side = dataset.train, dataset.test, "digits", math.isqrt(n_features)
    elif n_features == 3_072:
        pixels = points.cifar10_pixels()
        test, train = (part.float() / 255 for part in pixels)
        name, side = "CIFAR-10", 0
    elif n_features in MNIST_SIDES:
        dataset = fastgan.load_dataset("mnist", download=False)
        train, test, name, side = dataset.train, dataset.test, "MNIST", MNIST_SIDES[n_features]
    else:
        known = ", ".join(map(str, [*MNIST_SIDES, 3_072]))
        raise ValueError(f"n_features: expected one of {known}, got {n_features}")
    if side and side**2 != train.shape[1]:
        train, test = (averaged(part, side) for part in (train, test))
        name += f" averaged down to {side} x {side} pixels"
    return Images(
        test[:n_queries].contiguous(), test[n_queries : 2 * n_queries].contiguous(), train, name
    )


def averaged(rows: Tensor, side: int) -> Tensor:
    """Return square images averaged down to ``side`` x ``side`` pixels (adaptive windows)."""
    whole = math.isqrt(rows.shape[1])
    squares = rows.unflatten(1, (1, whole, whole))
    return F.adaptive_avg_pool2d(squares, side).flatten(1).contiguous()


class ParzenTruth:
    """Log-likelihoods of the first queries in float64, block by block, and a result's error."""

    bound, unit = 1e-4, "nats"  # the contract of parzen_log_likelihood

    def __init__(self, queries: Tensor, sigma: float) -> None:
        self.queries, self.sigma = queries[:N_CHECKED], sigma
        self.log_sum = torch.full((len(self.queries),), -math.inf, dtype=torch.float64)
        self.n = 0

    def add(self, samples: Tensor) -> None:
        """Take a block."""
        found = reference.parzen(self.queries, samples, [self.sigma])[0] + math.log(len(samples))
        self.log_sum = torch.logaddexp(self.log_sum, found)
        self.n += len(samples)

    def error(self, found: Tensor) -> float:
        """Return the largest error, in nats."""
        right = self.log_sum - math.log(self.n)
        return float((found[: len(right)] - right).abs().max())


class NearestTruth:
    """The nearest samples of the first queries in float64, block by block, and a result's error."""

    unit = "of the distance"

    def __init__(self, queries: Tensor, sigma: float) -> None:
        self.queries = queries[:N_CHECKED]
        self.bound = 4 * queries.shape[1] * torch.finfo(torch.float64).eps
        self.squared = torch.full((len(self.queries), 1), math.inf, dtype=torch.float64)
        self.indices = torch.zeros(len(self.queries), 1, dtype=torch.int64)
        self.n = 0

    def add(self, samples: Tensor) -> None:
        """Take a block."""
        squared, indices = reference.nearest(self.queries, samples, 1)
        self.squared, self.indices = nearer(
            (self.squared, self.indices), (squared, indices), self.n
        )
        self.n += len(samples)

    def error(self, found: tuple[Tensor, Tensor]) -> float:
        """Return the largest relative error of a distance; infinity if an index is wrong."""
        squared, indices = (part[: len(self.queries)] for part in found)
        if not torch.equal(indices, self.indices):
            return math.inf
        least = torch.finfo(torch.float32).tiny
        return float(((squared - self.squared).abs() / self.squared.clamp(min=least)).max())


def nearer(
    best: tuple[Tensor, Tensor], found: tuple[Tensor, Tensor], first: int
) -> tuple[Tensor, Tensor]:
    """Return the nearer of two, the earlier where they are as near; ``found`` begins at a row."""
    is_nearer = found[0] < best[0]
    return (
        torch.where(is_nearer, found[0], best[0]),
        torch.where(is_nearer, found[1] + first, best[1]),
    )
