"""Who is nearest to whom in a set: the graph that a nearest-neighbour test reads, ties and all."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fastgan.ops.neighbors import nearest_neighbors
from fastgan.reference.count_within import count_within

_PAIRS_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class NearestGraph:
    """The nearest neighbours of every point among the others, all of them where several tie.

    Three or more identical points are one group: each is nearest to every other of it, so that
    these pairs need not be listed. All else is in edges from a point to a group or a single point.

    Attributes
    ----------
    groups : int64 Tensor of shape (n_points,)
        The group of each point; a point that is not one of three is a group of its own.
    group_sizes : int64 Tensor of shape (n_groups,)
        The number of points of each group.
    sources, targets : int64 Tensors of shape (n_edges,)
        Points that are in no group of three or more, and groups of their nearest neighbours.
    weights : float64 Tensor of shape (n_edges,)
        What each single point of the target weighs among the source's nearest neighbours: 1 over
        their number.
    reverse_weights : float64 Tensor of shape (n_edges,)
        What the source weighs among the nearest neighbours of the target, 0 if it is none.
    """

    groups: Tensor
    group_sizes: Tensor
    sources: Tensor
    targets: Tensor
    weights: Tensor
    reverse_weights: Tensor

    def shares_of_own_label(self, labels: Tensor) -> Tensor:
        """Return the share of each point's nearest neighbours that have its label.

        ``labels`` is bool of shape (n_points,); the answer float64 of the same shape.
        """
        n_true = self.group_sizes.new_zeros(self.group_sizes.shape).index_add_(
            0, self.groups, labels.long()
        )
        n_own = torch.where(
            labels[self.sources], n_true[self.targets], (self.group_sizes - n_true)[self.targets]
        )
        sizes = self.group_sizes[self.groups]
        n_own_in_group = torch.where(labels, n_true[self.groups], sizes - n_true[self.groups])
        within_group = (n_own_in_group - 1).double() / (sizes - 1).clamp(min=1)
        shares = torch.where(sizes > 1, within_group, 0.0)
        return shares.index_add_(0, self.sources, self.weights * n_own)

    @property
    def sum_of_squared_pairs(self) -> float:
        """Sum over unordered pairs of ``(w_ij + w_ji)^2``, w_ij the weight of j for i."""
        sizes = self.group_sizes[self.group_sizes > 1].double()
        edges = self.weights.square() * self.group_sizes[self.targets]
        mutual = self.weights * self.reverse_weights
        return exact_sum(torch.cat((edges, mutual, 2 * sizes / (sizes - 1))))

    @property
    def sum_of_squared_strengths(self) -> float:
        """Sum over points of ``(sum_j w_ij + w_ji)^2``; all a point's own weights sum to 1."""
        received = (self.group_sizes > 1).double()  # of the others in its group
        received.index_add_(0, self.targets, self.weights)
        return exact_sum(self.group_sizes * (1 + received).square())


def exact_sum(values: Tensor) -> float:
    """Return the sum of a vector, rounded once: the same for any number of threads."""
    return math.fsum(values.tolist())


def nearest_graph(points: Tensor) -> NearestGraph:
    """Return who is nearest to whom among the rows of a matrix.

    Parameters
    ----------
    points : Tensor of shape (n_points, n_features), uint8, float32 or float64
        Finite; at least 3 rows.
    """
    n_points = len(points)
    nearest, rows = nearest_neighbors(points, points, 2, exclude_self=True)
    distances = nearest[:, 0]
    tied = distances == nearest[:, 1]
    groups, group_sizes, representatives = _group_identical(points, tied & (distances == 0))
    grouped = group_sizes[groups] > 1
    alone = torch.nonzero(~tied)[:, 0]
    sources, targets = [alone], [groups[rows[alone, 0]]]
    several = torch.nonzero(tied & ~grouped)[:, 0]
    if len(several):
        found = _tied_edges(points, distances, several, groups, representatives)
        sources.append(found[0])
        targets.append(found[1])
    source, target = torch.cat(sources), torch.cat(targets)
    n_nearest = group_sizes.new_zeros(n_points).index_add_(0, source, group_sizes[target])
    weight_of_one = 1 / n_nearest.double()  # infinite for the points of groups, which have no edge
    row = representatives[target]
    mutual = (distances[row] == distances[source]) & ~grouped[row]
    return NearestGraph(
        groups=groups,
        group_sizes=group_sizes,
        sources=source,
        targets=target,
        weights=weight_of_one[source],
        reverse_weights=torch.where(mutual, weight_of_one[row], 0.0),
    )


def _group_identical(points: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return each point's group, the groups' sizes and a row of each.

    Only candidates are compared. At a distance of 0 they are identical, unless squares underflow:
    so they are compared by their numbers, and what has no two equals stays alone.
    """
    n_points = len(points)
    leaders = torch.arange(n_points, device=points.device)
    rows = torch.nonzero(candidates)[:, 0]
    if len(rows):
        _, inverse, counts = torch.unique(
            points[rows], dim=0, return_inverse=True, return_counts=True
        )
        first = leaders.new_full((len(counts),), n_points)
        first.scatter_reduce_(0, inverse, rows, "amin")
        leaders[rows] = torch.where(counts[inverse] > 2, first[inverse], rows)
    representatives, groups, group_sizes = torch.unique(
        leaders, return_inverse=True, return_counts=True
    )
    return groups, group_sizes, representatives


def _tied_edges(
    points: Tensor,
    distances: Tensor,
    rows: Tensor,
    groups: Tensor,
    representatives: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return the edges of points with several nearest neighbours: sources, and target groups."""
    data = points[representatives]
    counts, _ = count_within(points[rows], data, distances[rows], exclude_self=False)
    order = torch.argsort(counts, stable=True)  # so that calls of one k waste little
    rows, counts = rows[order], counts[order]
    sources, targets = [], []
    last = len(rows)
    while last > 0:
        k = int(counts[last - 1])  # the point itself is among them
        first = max(0, last - max(1, _PAIRS_AT_ONCE // k))
        part = rows[first:last]
        found, columns = nearest_neighbors(points[part], data, k)
        is_nearest = (found == distances[part, None]) & (columns != groups[part, None])
        place, column = torch.nonzero(is_nearest, as_tuple=True)
        sources.append(part[place])
        targets.append(columns[place, column])
        last = first
    return torch.cat(sources), torch.cat(targets)
