"""What section 4 of the paper proves, as closed forms on a grid: V(D, G), D*, C(G), and the JSD.

A distribution is given by its probabilities on the points of a common finite set, or by its density
on the points of a grid with the weights of a quadrature: every sum below is
``sum_i weight_i f(p_data_i, p_g_i)``. All is computed in float64, in nats, with 0 log 0 = 0.

Source: Goodfellow et al. 2014, section 4: equation 1, Proposition 1 (D*), Theorem 1 (C(G)).
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Vector: TypeAlias = "NDArray[np.float64]"

LEAST_CRITERION = -math.log(4.0)  # of C(G), reached where p_g = p_data (Theorem 1)

# Sums of probability further from 1 than this are taken for forgotten weights. A quadrature that
# loses more is too coarse, or its grid too narrow, to say anything of C(G).
TOTAL_TOLERANCE = 1e-3


def optimal_discriminator(
    p_data: ArrayLike, p_g: ArrayLike, weights: ArrayLike | None = None
) -> Vector:
    """Return D*(x) = p_data(x) / (p_data(x) + p_g(x)), the best D for a fixed G (Proposition 1).

    Parameters
    ----------
    p_data, p_g : array-like of shape (n,)
        Probabilities, or densities on a grid; none negative.
    weights : array-like of shape (n,), optional
        Of the quadrature; D* does not depend on them, they only say what adds up to 1.

    Returns
    -------
    ndarray of shape (n,), float64
        In [0, 1]; 1/2 where both are 0, as no D is better than another there.

    Raises
    ------
    ValueError
        If shapes disagree, a number is negative or not finite, or a distribution adds up to
        anything but 1 (within 1e-3).
    """
    data, model, _ = _checked(p_data, p_g, weights)
    return _optimal(data, model)


def value(
    p_data: ArrayLike, p_g: ArrayLike, discriminator: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """Return V(D, G) = E over p_data of log D(x) + E over p_g of log(1 - D(x)) (equation 1), nats.

    Parameters
    ----------
    p_data, p_g : array-like of shape (n,)
        As in :func:`optimal_discriminator`.
    discriminator : array-like of shape (n,)
        D on the points, in [0, 1].
    weights : array-like of shape (n,), optional

    Returns
    -------
    float
        At most 0. Minus infinity where D is 0 on data, or 1 on samples.

    Raises
    ------
    ValueError
        As :func:`optimal_discriminator`, and if D is not of that shape or leaves [0, 1].
    """
    data, model, weight = _checked(p_data, p_g, weights)
    answer = np.asarray(discriminator, dtype=np.float64)
    if answer.shape != data.shape:
        raise ValueError(
            f"discriminator: expected shape {data.shape} like p_data, got shape {answer.shape}"
        )
    if not bool(((answer >= 0.0) & (answer <= 1.0)).all()):
        raise ValueError("discriminator: expected probabilities in [0, 1], got others")
    with np.errstate(divide="ignore"):
        return float(
            np.sum(weight * _times(data, np.log(answer)))
            + np.sum(weight * _times(model, np.log1p(-answer)))
        )


def criterion(p_data: ArrayLike, p_g: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return C(G) = max over D of V(D, G) = V(D*, G), in nats (Theorem 1's virtual criterion).

    It is -log 4 + 2 JSD(p_data || p_g): -log 4 at least, which only p_g = p_data reaches, and 0 at
    most, where the two share no point. Arguments and errors are :func:`optimal_discriminator`'s.
    """
    data, model, weight = _checked(p_data, p_g, weights)
    # log D* and log(1 - D*) each from its own ratio: 1 - D* would lose what is small in it
    with np.errstate(divide="ignore"):
        return float(
            np.sum(weight * _times(data, np.log(_optimal(data, model))))
            + np.sum(weight * _times(model, np.log(_optimal(model, data))))
        )


def jensen_shannon(p_data: ArrayLike, p_g: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the Jensen-Shannon divergence of two distributions, in nats, from 0 to log 2.

    JSD = 1/2 KL(p_data || m) + 1/2 KL(p_g || m) with m = (p_data + p_g) / 2, written as
    ``1/2 sum weight [p log(1 + t) + q log(1 - t)]``, t = (p - q) / (p + q): where the two are
    nearly equal, the logarithm of a ratio near 1 would leave its rounding only.

    Arguments and errors are :func:`optimal_discriminator`'s.
    """
    data, model, weight = _checked(p_data, p_g, weights)
    total = data + model
    contrast = np.divide(data - model, total, out=np.zeros_like(total), where=total > 0.0)
    with np.errstate(divide="ignore"):
        terms = _times(data, np.log1p(contrast)) + _times(model, np.log1p(-contrast))
    return min(max(0.5 * float(np.sum(weight * terms)), 0.0), math.log(2.0))


def total_variation(p_data: ArrayLike, p_g: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the total variation distance, 1/2 sum weight |p_data - p_g|, from 0 to 1.

    TV^2 / 2 <= JSD <= TV log 2 (Pinsker's inequality on both halves; Lin 1991), so that C(G)
    leaves -log 4 by at least TV^2: the "only if" of Theorem 1 with a number to it.

    Arguments and errors are :func:`optimal_discriminator`'s.
    """
    data, model, weight = _checked(p_data, p_g, weights)
    return min(0.5 * float(np.sum(weight * np.abs(data - model))), 1.0)


def _optimal(data: Vector, model: Vector) -> Vector:
    total = data + model
    return np.divide(data, total, out=np.full_like(total, 0.5), where=total > 0.0)


def _times(probability: Vector, logarithm: Vector) -> Vector:
    """Return p log(.), with 0 where p is 0, whatever the logarithm."""
    return np.multiply(
        probability, logarithm, out=np.zeros_like(probability), where=probability > 0.0
    )


def _checked(
    p_data: ArrayLike, p_g: ArrayLike, weights: ArrayLike | None
) -> tuple[Vector, Vector, Vector]:
    data = _vector("p_data", p_data)
    model = _vector("p_g", p_g)
    weight = np.ones_like(data) if weights is None else _vector("weights", weights)
    for name, vector in (("p_g", model), ("weights", weight)):
        if vector.shape != data.shape:
            raise ValueError(
                f"{name}: expected shape {data.shape} like p_data, got shape {vector.shape}"
            )
    for name, vector in (("p_data", data), ("p_g", model)):
        total = float(np.sum(weight * vector))
        if not abs(total - 1.0) <= TOTAL_TOLERANCE:
            raise ValueError(
                f"{name}: expected numbers that add up to 1 (with their weights; within "
                f"{TOTAL_TOLERANCE:g}), got {total:.6g}"
            )
    return data, model, weight


def _vector(name: str, values: ArrayLike) -> Vector:
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1 or len(vector) == 0:
        raise ValueError(
            f"{name}: expected 1 dimension (n,), n at least 1, got shape {vector.shape}"
        )
    if not bool(np.isfinite(vector).all()) or float(vector.min()) < 0.0:
        raise ValueError(f"{name}: expected finite numbers of at least 0, got others")
    return vector
