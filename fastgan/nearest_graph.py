"""Who is nearest to whom in a set: the graph that a nearest-neighbour test reads, ties and all."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fastgan.ops.count_within import count_within
from fastgan.ops.neighbors import nearest_neighbors

_PAIRS_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class NearestGraph:
    """The nearest neighbours of every point among the others, all of them where several tie.

    Identical points form a group, and a point without its like is a group of its own. In a group of
    several each is nearest to every other, which need not be listed: a collapsed generator's
    10,000 copies of one image would be 10^8 pairs. The edges go from single points to the groups of
    their nearest neighbours.

    Attributes
    ----------
    groups : int64 Tensor of shape (n_points,)
        The group of each point.
    group_sizes : int64 Tensor of shape (n_groups,)
        The number of points of each group.
    sources, targets : int64 Tensors of shape (n_edges,)
        Groups of one point, and groups of its nearest neighbours.
    weights : float64 Tensor of shape (n_edges,)
        What each point of the target weighs among the source's nearest neighbours: 1 over their
        number.
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
        n_true = torch.zeros_like(self.group_sizes).index_add_(0, self.groups, labels.long())
        share_true = torch.zeros_like(n_true, dtype=torch.float64)
        share_true.index_add_(0, self.sources, self.weights * n_true[self.targets])
        share_false = torch.zeros_like(share_true)
        n_false = self.group_sizes - n_true
        share_false.index_add_(0, self.sources, self.weights * n_false[self.targets])
        is_crowd = self.group_sizes > 1
        n_others = (self.group_sizes - 1).clamp(min=1)
        share_true = torch.where(is_crowd, (n_true - 1) / n_others.double(), share_true)
        share_false = torch.where(is_crowd, (n_false - 1) / n_others.double(), share_false)
        return torch.where(labels, share_true[self.groups], share_false[self.groups])

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
        received = (self.group_sizes > 1).double()  # from the others of its group
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
        Finite; at least 2 rows.
    """
    # Sorting takes a few per cent of the neighbours' time (10,000 x 784: .07 of 1.3 s). Identical
    # points would multiply that time, as no bound tells them apart.
    data, groups, group_sizes = torch.unique(points, dim=0, return_inverse=True, return_counts=True)
    single = group_sizes == 1
    if not single.any():
        none = groups.new_empty(0)
        no_weight = none.double()
        return NearestGraph(groups, group_sizes, none, none, no_weight, no_weight)
    # A third and further ones count only where the first two are at one distance.
    nearest, columns = nearest_neighbors(data, data, min(2, len(data) - 1), exclude_self=True)
    distances = nearest[:, 0].contiguous()
    tied = single & (distances == nearest[:, 1]) if len(data) > 2 else torch.zeros_like(single)
    alone = torch.nonzero(single & ~tied)[:, 0]
    tied_sources, tied_targets = _tied_edges(data, distances, torch.nonzero(tied)[:, 0])
    sources = torch.cat((alone, tied_sources))
    targets = torch.cat((columns[alone, 0], tied_targets))
    n_nearest = torch.zeros_like(group_sizes).index_add_(0, sources, group_sizes[targets])
    weights = 1 / n_nearest.double()  # infinite for groups of several, which have no edges
    mutual = single[targets] & (distances[targets] == distances[sources])
    return NearestGraph(
        groups=groups,
        group_sizes=group_sizes,
        sources=sources,
        targets=targets,
        weights=weights[sources],
        reverse_weights=torch.where(mutual, weights[targets], 0.0),
    )


def _tied_edges(data: Tensor, distances: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the edges from those rows of data that have several rows at their least distance."""
    sources, targets = [rows[:0]], [rows[:0]]
    counts, _ = count_within(data[rows], data, distances[rows], exclude_self=False)
    order = torch.argsort(counts, stable=True)  # so that calls with one k waste little
    rows, counts = rows[order], counts[order]
    last = len(rows)
    while last > 0:
        k = int(counts[last - 1])  # the row itself is among them
        first = max(0, last - max(1, _PAIRS_AT_ONCE // k))
        part = rows[first:last]
        found, columns = nearest_neighbors(data[part], data, k)
        is_nearest = (found == distances[part, None]) & (columns != part[:, None])
        place, position = torch.nonzero(is_nearest, as_tuple=True)
        sources.append(part[place])
        targets.append(columns[place, position])
        last = first
    return torch.cat(sources), torch.cat(targets)
