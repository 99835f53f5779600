"""What the tests of evaluations share: a small data set, samples, and the sums by brute force."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from torch import Tensor

from fastgan.data import Dataset

sys.path.insert(0, str(Path(__file__).parent))  # streaming.py, a module beside the tests


def _uniform(n_rows: int, n_features: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n_rows, n_features, generator=generator)


def _brute_force(queries: object, centres: object, sigma: float) -> np.ndarray:
    queries, centres = (np.asarray(rows, dtype=np.float64) for rows in (queries, centres))
    n_features = queries.shape[1]
    peak = multivariate_normal(np.zeros(n_features), sigma**2 * np.eye(n_features))
    squared = ((queries[:, None, :] - centres[None, :, :]) ** 2).sum(axis=2)
    exponents = -squared / (2 * sigma**2)
    return logsumexp(exponents, axis=1) - math.log(len(centres)) + peak.logpdf(np.zeros(n_features))


@pytest.fixture
def uniform() -> Callable[[int, int, int], Tensor]:
    """Return a function of (n_rows, n_features, seed): float32 numbers in [0, 1)."""
    return _uniform


@pytest.fixture
def brute_force() -> Callable[[object, object, float], np.ndarray]:
    """Return log p of each query, by differences in float64, SciPy's Gaussian as normaliser."""
    return _brute_force


@pytest.fixture
def dataset() -> Dataset:
    """Return noise of 12 numbers a row: 40 training, 60 validation and 1,003 test rows."""
    return Dataset(
        name="noise",
        train=_uniform(40, 12, 1),
        validation=_uniform(60, 12, 2),
        test=_uniform(1003, 12, 3),
        image_shape=(3, 4, 1),
        sigma_images=50,
    )


@pytest.fixture
def drawn() -> Tensor:
    """Return 211 samples in the scale of the data set."""
    return _uniform(211, 12, 4)


@pytest.fixture
def queries(uniform):
    """The queries of the tests of streams."""
    return uniform(37, 12, 3)


@pytest.fixture(params=["dense", "pruned"])
def strategy(request):
    """Each engine in turn, however small the data."""
    return request.param


@pytest.fixture
def small(uniform):
    """A data set of few images, as the samples are many."""
    return Dataset(
        name="noise",
        train=uniform(40, 5, 1),
        validation=uniform(30, 5, 2),
        test=uniform(41, 5, 3),
        image_shape=(1, 5, 1),
    )


@pytest.fixture
def many(uniform):
    """More samples than the protocol prescribes."""
    return uniform(12_345, 5, 4)
