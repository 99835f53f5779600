"""How varied are draws from many kinds: different kinds, equal pairs, balance, with their errors.

A kind is a training image, or a class of them; a draw is a sample whose nearest image it is.
Everything is a closed form of how often each kind came: nothing is drawn again.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray


def expected_hits(counts: NDArray[np.int64], n_drawn: int) -> float:
    """Return how many different kinds a random subset of ``n_drawn`` has, on average.

    ``sum_j 1 - C(n - c_j, n_drawn) / C(n, n_drawn)`` over kinds j that come c_j times among n:
    Hurlbert, *The Nonconcept of Species Diversity* (Ecology 52, 1971).

    Parameters
    ----------
    counts : ndarray of shape (n_kinds,), int64
        How often each kind comes; zeros are allowed.
    n_drawn : int, from 1 to the sum of counts
    """
    n = int(counts.sum())
    if n_drawn == n:
        return float((counts > 0).sum())
    sizes, n_kinds = np.unique(counts[counts > 0], return_counts=True)
    log_missed = _log_choose(n - sizes, n_drawn) - _log_choose(np.array(n), n_drawn)
    return float(-np.expm1(log_missed) @ n_kinds)


def expected_hits_error(counts: NDArray[np.int64], n_drawn: int) -> float:
    """Return the standard error of :func:`expected_hits`, over other draws of as many.

    The jackknife that leaves out one draw at a time: without a draw whose kind comes c times,
    subsets have ``C(n - 1 - c, n_drawn - 1) / C(n - 1, n_drawn)`` kinds fewer, on average. Its
    variance is too large rather than too small (Efron and Stein, *The Jackknife Estimate of
    Variance*, Annals of Statistics 9, 1981): for 10,000 draws from 50,000 equal kinds the error
    comes out 1.4 times the true one.

    Parameters
    ----------
    counts : ndarray of shape (n_kinds,), int64
    n_drawn : int, from 1 to the sum of counts
        That sum itself is taken as one less, as subsets without a draw cannot be larger.
    """
    n = int(counts.sum())
    n_drawn = min(n_drawn, n - 1)
    if n_drawn < 1:
        return 0.0
    sizes, n_kinds = np.unique(counts[counts > 0], return_counts=True)
    fewer = np.exp(_log_choose(n - 1 - sizes, n_drawn - 1) - _log_choose(np.array(n - 1), n_drawn))
    n_draws = sizes * n_kinds
    mean = float(fewer @ n_draws) / n
    return math.sqrt((n - 1) / n * float((fewer - mean) ** 2 @ n_draws))


def same_kind(counts: NDArray[np.int64]) -> tuple[float, float]:
    """Return the probability that two draws are of one kind, and its standard error.

    ``sum_j c_j (c_j - 1) / (n (n - 1))`` (Simpson, *Measurement of Diversity*, Nature 163, 1949):
    the share of pairs of draws, so that it does not depend on how many were drawn. One over it is
    how many equally likely kinds would give as many equal pairs. The error is a delete-one
    jackknife's.

    Parameters
    ----------
    counts : ndarray of shape (n_kinds,), int64
        With a sum of at least 3.
    """
    values = counts[counts > 0].astype(np.float64)
    n = float(values.sum())
    probability = float(values @ (values - 1)) / (n * (n - 1))
    mean = float(values @ values) / n  # kinds' counts, a draw at a time
    spread = float(values @ (values - mean) ** 2)
    return probability, 2 * math.sqrt((n - 1) / n * spread) / ((n - 1) * (n - 2))


def total_variation(counts: NDArray[np.int64], others: NDArray[np.int64]) -> float:
    """Return the total variation distance of two sets of shares, 0 (equal) to 1 (nothing shared).

    Half the sum of ``|p_j - q_j|``: the share of draws that would have to change their kind. Both
    of shape (n_kinds,), int64, with sums above 0.
    """
    return float(np.abs(counts / counts.sum() - others / others.sum()).sum()) / 2


def effective_kinds(counts: NDArray[np.int64]) -> float:
    """Return how many equally frequent kinds have the same entropy: ``exp(-sum_j p_j log p_j)``.

    Hill, *Diversity and Evenness* (Ecology 54, 1973). ``counts`` has shape (n_kinds,), int64, and
    a sum above 0.
    """
    shares = counts[counts > 0] / counts.sum()
    return math.exp(-float(shares @ np.log(shares)))


def expected_balance(counts: NDArray[np.int64], n_drawn: int) -> tuple[float, float]:
    """Return what independent draws would show, drawn with the shares of ``counts``.

    Parameters
    ----------
    counts : ndarray of shape (n_kinds,), int64
        With a sum above 0.
    n_drawn : int

    Returns
    -------
    total_variation : float
        The expected total variation distance of ``n_drawn`` draws from these shares, which it
        exceeds by chance alone: sums over the binomial distribution of each kind's count.
    effective_kinds : float
        exp of the expected entropy of the draws.
    """
    probabilities, n_kinds = np.unique(counts[counts > 0] / counts.sum(), return_counts=True)
    drawn = np.arange(n_drawn + 1)
    shares = drawn / n_drawn
    log_ways = _log_choose(np.array(n_drawn), drawn)
    surprise = np.zeros(n_drawn + 1)
    surprise[1:] = -shares[1:] * np.log(shares[1:])
    difference = entropy = 0.0
    for probability, n_equal in zip(probabilities.tolist(), n_kinds.tolist(), strict=True):
        if probability == 1.0:
            break  # one kind alone: always all the draws
        log_mass = drawn * math.log(probability) + (n_drawn - drawn) * math.log1p(-probability)
        mass = np.exp(log_ways + log_mass)
        difference += n_equal * float(mass @ np.abs(shares - probability))
        entropy += n_equal * float(mass @ surprise)
    return difference / 2, math.exp(entropy)


def _log_choose(n: NDArray[np.int64], k: int | NDArray[np.int64]) -> NDArray[np.float64]:
    """Return log C(n, k) by element; -inf where k is above n."""
    above, below = (torch.as_tensor(np.asarray(value), dtype=torch.float64) for value in (n, k))
    left = (above - below).clamp(min=0)
    logs = torch.lgamma(above + 1) - torch.lgamma(below + 1) - torch.lgamma(left + 1)
    return torch.where(above >= below, logs, -math.inf).numpy()
