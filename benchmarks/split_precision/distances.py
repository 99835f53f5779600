"""What a product's rounding does to distances, Parzen likelihoods and neighbours, unmended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.split_precision.products import TensorCore, product

Doubles = NDArray[np.float64]
QUERIES = 8  # at once, where differences are formed: 8 x 2,000 x 3,072 float64 are 0.4 GB
N_NEAREST = 10


@dataclass(frozen=True)
class Truth:
    """Squared distances by differences, float64 of shape (n_queries, n_rows), and what follows."""

    queries: NDArray[np.float32]
    rows: NDArray[np.float32]
    squared: Doubles

    @classmethod
    def of(cls, queries: NDArray[np.float32], rows: NDArray[np.float32]) -> Truth:
        """Form all differences."""
        squared = np.empty((len(queries), len(rows)))
        wide = rows.astype(np.float64)
        for first in range(0, len(queries), QUERIES):
            apart = queries[first : first + QUERIES, None].astype(np.float64) - wide
            squared[first : first + QUERIES] = np.einsum("qrf,qrf->qr", apart, apart)
        return cls(queries, rows, squared)


@dataclass(frozen=True)
class Damage:
    """How far a product's distances lead astray, before anything is rescored.

    ``of_length`` is the largest error of a squared distance, in parts of the square of the centred
    points' summed lengths; ``nats`` the largest error of a query's log-likelihood at each sigma;
    ``n_wrong`` the queries whose ``N_NEAREST`` nearest rows, in their order, are others.
    """

    of_length: float
    nats: tuple[float, ...]
    n_wrong: int


def damage(truth: Truth, sigmas: Sequence[float], precision: str, chip: TensorCore) -> Damage:
    """Put distances together of a product, as the kernels do, and look at what comes out.

    The points are centred on the rows' mean and rounded to float32, as in the kernels; norms and
    the two sums around the product are float64 here, so that little but the product is judged.
    """
    centre = truth.rows.mean(axis=0, dtype=np.float64)
    asked, rows = ((part - centre).astype(np.float32) for part in (truth.queries, truth.rows))
    norms = [np.square(part, dtype=np.float64).sum(axis=1) for part in (asked, rows)]
    products = product(asked, rows, precision, chip).astype(np.float64)
    found = np.maximum(norms[0][:, None] + norms[1] - 2.0 * products, 0.0)
    lengths = np.square(np.sqrt(norms[0])[:, None] + np.sqrt(norms[1]))
    return Damage(
        float((np.abs(found - truth.squared) / lengths).max()),
        tuple(
            float(np.abs(log_sums(found, sigma) - log_sums(truth.squared, sigma)).max())
            for sigma in sigmas
        ),
        int((nearest(found) != nearest(truth.squared)).any(axis=1).sum()),
    )


def nearest(squared: Doubles) -> NDArray[np.intp]:
    """Return the places of the ``N_NEAREST`` nearest rows of each query, ties by place."""
    return np.argsort(squared, axis=1, kind="stable")[:, :N_NEAREST]


def log_sums(squared: Doubles, sigma: float) -> Doubles:
    """Return log sum exp(-d2 / (2 sigma^2)) of each row."""
    exponents = squared / (-2.0 * sigma**2)
    largest = exponents.max(axis=1, keepdims=True)
    sums: Doubles = np.log(np.exp(exponents - largest).sum(axis=1)) + largest[:, 0]
    return sums
