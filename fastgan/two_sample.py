"""The 1-nearest-neighbour two-sample test: can reals and fakes be told apart by who is nearest.

Each point of the pooled set takes the label of its nearest neighbour among all the others. The
share of right labels is near 1/2 where both sets come from one distribution, near 1 where they lie
apart, and near 0 where the fakes are copies of the reals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch

from fastgan.nearest_graph import NearestGraph, exact_sum, nearest_graph
from fastgan.ops._points import check_points

_ROUNDING = 1e-12  # of the variance of a sum of n_points shares, relative to n_points


@dataclass(frozen=True)
class TwoSampleTest:
    """What :func:`nearest_neighbor_two_sample_test` found, and from what.

    ``expected_accuracy`` and ``standard_error`` are the mean and the standard deviation of
    ``accuracy`` over all ways to call ``n_real`` of the pooled points real: what it would be if the
    two sets came from one distribution.
    """

    accuracy: float  # share of all points with the label of their nearest neighbour, 0 to 1
    accuracy_real: float  # the same among the reals: low where fakes crowd around each of them
    accuracy_fake: float  # and among the fakes: high where they resemble each other, not the reals
    expected_accuracy: float
    standard_error: float
    n_real: int
    n_fake: int

    @property
    def z_score(self) -> float:
        """How many standard errors the accuracy lies above what is expected; below: negative.

        Well above 0 the sets can be told apart; well below, fakes lie nearer to single reals than
        an independent sample does. 0 where every labelling gives the same accuracy.
        """
        if self.standard_error == 0:
            return 0.0
        return (self.accuracy - self.expected_accuracy) / self.standard_error

    @property
    def p_value(self) -> float:
        """Probability of such an accuracy or a larger one if the distributions were the same.

        By the normal limit of its distribution (Henze 1988), from the exact mean and standard
        deviation; 1 where every labelling gives the same accuracy.
        """
        if self.standard_error == 0:
            return 1.0
        return 0.5 * math.erfc(self.z_score / math.sqrt(2))


def nearest_neighbor_two_sample_test(real: Any, fake: Any) -> TwoSampleTest:
    """Return how well each point's nearest neighbour among the others tells real from fake.

    The leave-one-out accuracy of a 1-nearest-neighbour classifier of the pooled points. A point
    with several nearest neighbours at one distance counts as right by the share of them that have
    its label, so that the order of the rows does not matter.

    The mean and standard deviation under the hypothesis of one distribution are those over all
    labellings of these very points, in closed form: nothing is drawn.

    Parameters
    ----------
    real : array or tensor of shape (n_real, n_features), uint8, float32 or float64
        Features of the data: those of a network, or pixels. At least 2 rows.
    fake : array or tensor of shape (n_fake, n_features)
        Features of the samples; NumPy or torch, dtype and device as ``real``. At least 2 rows. The
        papers take as many as of the data; with other counts an accuracy of 1/2 is no longer what
        is expected, ``expected_accuracy`` is.

    Returns
    -------
    TwoSampleTest
        ``accuracy``, ``accuracy_real``, ``accuracy_fake``, ``expected_accuracy``,
        ``standard_error``, ``z_score``, ``p_value``, ``n_real`` and ``n_fake``.

    Raises
    ------
    TypeError
        For kinds and dtypes that are not taken, or a mixture of them.
    ValueError
        For wrong shapes, fewer than 2 rows, NaN or infinity.

    Notes
    -----
    The pooled points are copied twice. Beyond that and what nearest neighbours need, memory grows
    by about 50 bytes for each pair of nearest neighbours that are not identical.

    References
    ----------
    Lopez-Paz, Oquab, *Revisiting Classifier Two-Sample Tests*, ICLR 2017. Xu, Huang, Yuan, Guo,
    Sun, Wu, Weinberger, *An empirical study on evaluation metrics of generative adversarial
    networks*, arXiv:1806.07755, 2018 (the leave-one-out accuracy, and its two halves). Schilling,
    *Multivariate Two-Sample Tests Based on Nearest Neighbors*, JASA 1986, and Henze, *A
    Multivariate Two-Sample Test Based on the Number of Nearest Neighbor Type Coincidences*, Annals
    of Statistics 1988 (its distribution).

    Examples
    --------
    >>> import numpy as np
    >>> real = np.array([[0.0], [1.0], [2.5]])
    >>> found = nearest_neighbor_two_sample_test(real, real + 100)
    >>> found.accuracy, found.expected_accuracy
    (1.0, 0.4)
    """
    points = check_points(real, fake, "fake", "n_fake", "real", "n_real")
    n_real, n_fake = len(points.queries), len(points.others)
    for name, n_rows in (("real", n_real), ("fake", n_fake)):
        if n_rows < 2:
            raise ValueError(f"{name}: expected at least 2 rows, got {n_rows}")
    graph = nearest_graph(torch.cat((points.queries, points.others)))
    is_real = torch.arange(n_real + n_fake, device=points.queries.device) < n_real
    shares = graph.shares_of_own_label(is_real)
    expected, variance = _moments(graph, n_real, n_fake)
    n_points = n_real + n_fake
    right_real, right_fake = exact_sum(shares[:n_real]), exact_sum(shares[n_real:])
    return TwoSampleTest(
        accuracy=(right_real + right_fake) / n_points,
        accuracy_real=right_real / n_real,
        accuracy_fake=right_fake / n_fake,
        expected_accuracy=expected,
        standard_error=math.sqrt(variance) / n_points,
        n_real=n_real,
        n_fake=n_fake,
    )


def _moments(graph: NearestGraph, n_real: int, n_fake: int) -> tuple[float, float]:
    """Return the mean share, and the variance of the sum of all points' shares, by labelling.

    The sum is over unordered pairs of v_ij = w_ij + w_ji where the labels agree, w_ij the weight of
    j among i's nearest neighbours. Its square is over pairs of pairs, which have both, one or no
    point in common; sums of v v of these three kinds times the probability that both agree.
    """
    n_points = n_real + n_fake

    def ways(n_of_real: int, n_of_fake: int) -> Fraction:
        """Probability that given points get these labels."""
        return Fraction(
            math.perm(n_real, n_of_real) * math.perm(n_fake, n_of_fake),
            math.perm(n_points, n_of_real + n_of_fake),
        )

    two = ways(2, 0) + ways(0, 2)
    three = ways(3, 0) + ways(0, 3)
    four = ways(4, 0) + 2 * ways(2, 2) + ways(0, 4)
    both = graph.sum_of_squared_pairs
    one = graph.sum_of_squared_strengths - 2 * both
    # The total weight is n_points; none in common is n_points^2 - both - one. Differences of the
    # probabilities are taken exactly, so that terms in n_points^2 leave no rounding behind.
    variance = (
        both * float(two - four) + one * float(three - four) + float(n_points**2 * (four - two**2))
    )
    if variance <= _ROUNDING * n_points:
        variance = 0.0
    return float(two), variance
