"""Do samples look real, and is all that is real among them? Asked of any features, exactly.

A set is taken for the union of balls, one around each of its points, that reach to the point's k-th
nearest neighbour within the set. Distances are Euclidean; every comparison is made on the real
number ``sum (x - y)^2`` rounded once to float64, so identical points are at distance 0 and the
answer depends neither on threads nor on how a product would round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fastgan.checks import check_integer
from fastgan.ops._points import Points, check_points
from fastgan.ops.count_within import count_within
from fastgan.ops.neighbors import nearest_neighbors


@dataclass(frozen=True)
class PrecisionRecall:
    """What :func:`precision_recall` found, and from what."""

    precision: float  # share of the fakes within the balls of the reals, 0 to 1
    recall: float  # share of the reals within the balls of the fakes, 0 to 1
    k: int
    n_real: int
    n_fake: int


@dataclass(frozen=True)
class DensityCoverage:
    """What :func:`density_coverage` found, and from what."""

    density: float  # balls of reals that a fake lies in, over k; 0 and up, not limited to 1
    coverage: float  # share of the reals with a fake in their ball, 0 to 1
    k: int
    n_real: int
    n_fake: int


def precision_recall(real: Any, fake: Any, k: int = 3, *, closed: bool = True) -> PrecisionRecall:
    """Return improved precision and recall.

    Precision is the share of the fakes that lie in the ball of at least one real, recall the share
    of the reals that lie in the ball of at least one fake. A ball reaches from a point to its k-th
    nearest neighbour in its own set, itself not counted.

    Parameters
    ----------
    real : array or tensor of shape (n_real, n_features), uint8, float32 or float64
        Features of the data: those of a network, or pixels.
    fake : array or tensor of shape (n_fake, n_features)
        Features of the samples; NumPy or torch, dtype and device as ``real``. The paper takes as
        many as of the data, since either value depends on both counts.
    k : int
        1 to one less than the smaller count. The paper takes 3.
    closed : bool
        Whether a point at the very radius is inside. It is in the authors' code. It matters where
        distances are equal, as among duplicates: a real with k duplicates has a ball of radius 0,
        which holds a copy of it if closed, and nothing if not.

    Returns
    -------
    PrecisionRecall
        ``precision`` and ``recall`` from 0 to 1, with ``k``, ``n_real`` and ``n_fake``.

    Raises
    ------
    TypeError
        For kinds and dtypes that are not taken, or a mixture of them.
    ValueError
        For wrong shapes, NaN or infinity, or k larger than the smaller set allows.

    References
    ----------
    Kynkäänniemi, Karras, Laine, Lehtinen, Aila, *Improved Precision and Recall Metric for Assessing
    Generative Models*, NeurIPS 2019, equations 1 and 2; ``precision_recall.py`` of its code.

    Examples
    --------
    >>> import numpy as np
    >>> real = np.array([[0.0], [1.0], [2.0], [10.0]])
    >>> fake = np.array([[0.5], [1.5], [20.0]])
    >>> precision_recall(real, fake, k=1)
    PrecisionRecall(precision=0.6666666666666666, recall=1.0, k=1, n_real=4, n_fake=3)
    """
    points = _check(real, fake)
    _check_k(k, "real", points.queries)
    _check_k(k, "fake", points.others)
    _, fakes_within = _count_in_balls(points.queries, points.others, int(k), closed)
    _, reals_within = _count_in_balls(points.others, points.queries, int(k), closed)
    return PrecisionRecall(
        precision=_share(fakes_within > 0),
        recall=_share(reals_within > 0),
        k=int(k),
        n_real=len(points.queries),
        n_fake=len(points.others),
    )


def density_coverage(real: Any, fake: Any, k: int = 5, *, closed: bool = False) -> DensityCoverage:
    """Return density and coverage.

    Density counts the balls of the reals that each fake lies in and divides the mean by k; coverage
    is the share of the reals that have at least one fake in their ball. A ball reaches from a real
    to its k-th nearest neighbour among the reals, itself not counted.

    For two samples of one distribution the expected density is 1, and the expected coverage
    ``1 - (n_real - 1)...(n_real - k) / ((n_real + n_fake - 1)...(n_real + n_fake - k))``, which is
    about ``1 - 2^-k`` for large samples of equal size.

    Parameters
    ----------
    real : array or tensor of shape (n_real, n_features), uint8, float32 or float64
        Features of the data: those of a network, or pixels.
    fake : array or tensor of shape (n_fake, n_features)
        Features of the samples; NumPy or torch, dtype and device as ``real``. Any number of them
        from 1 on.
    k : int
        1 to ``n_real - 1``. The paper takes 5.
    closed : bool
        Whether a point at the very radius is inside. It is not in the authors' code. It matters
        where distances are equal, as among duplicates; see :func:`precision_recall`.

    Returns
    -------
    DensityCoverage
        ``density`` (0 and up) and ``coverage`` (0 to 1), with ``k``, ``n_real`` and ``n_fake``.

    Raises
    ------
    TypeError
        For kinds and dtypes that are not taken, or a mixture of them.
    ValueError
        For wrong shapes, NaN or infinity, or k larger than the reals allow.

    References
    ----------
    Naeem, Oh, Uh, Choi, Yoo, *Reliable Fidelity and Diversity Metrics for Generative Models*, ICML
    2020; ``prdc.py`` of its code.

    Examples
    --------
    >>> import numpy as np
    >>> real = np.array([[0.0], [1.0], [2.0], [10.0]])
    >>> fake = np.array([[0.5], [1.5], [20.0]])
    >>> density_coverage(real, fake, k=1)
    DensityCoverage(density=1.3333333333333333, coverage=0.75, k=1, n_real=4, n_fake=3)
    """
    points = _check(real, fake)
    _check_k(k, "real", points.queries)
    fakes_of_real, reals_of_fake = _count_in_balls(points.queries, points.others, int(k), closed)
    return DensityCoverage(
        density=int(reals_of_fake.sum()) / (int(k) * len(points.others)),
        coverage=_share(fakes_of_real > 0),
        k=int(k),
        n_real=len(points.queries),
        n_fake=len(points.others),
    )


def _count_in_balls(centres: Tensor, points: Tensor, k: int, closed: bool) -> tuple[Tensor, Tensor]:
    """Return how many points each ball holds, and how many balls hold each point."""
    squared_distances, _ = nearest_neighbors(centres, centres, k, exclude_self=True)
    squared_radii = squared_distances[:, k - 1].contiguous()
    if closed:
        return count_within(centres, points, squared_radii, exclude_self=False)
    # Below r is at most the next number below it; nothing is below 0.
    wide = torch.nonzero(squared_radii > 0)[:, 0]
    if len(wide) < len(centres):
        centres, squared_radii = centres[wide], squared_radii[wide]
    next_below = squared_radii.nextafter(torch.zeros_like(squared_radii))
    of_wide, balls_of_point = count_within(centres, points, next_below, exclude_self=False)
    points_of_ball = of_wide.new_zeros(len(squared_distances))
    points_of_ball[wide] = of_wide
    return points_of_ball, balls_of_point


def _share(flags: Tensor) -> float:
    return int(flags.sum()) / len(flags)


def _check(real: Any, fake: Any) -> Points:
    return check_points(real, fake, "fake", "n_fake", "real", "n_real")


def _check_k(k: Any, name: str, rows: Tensor) -> None:
    check_integer("k", k, 1)
    if k > len(rows) - 1:
        raise ValueError(
            f"k: expected at most {len(rows) - 1}, as {name} has {len(rows)} rows, got {k}"
        )
