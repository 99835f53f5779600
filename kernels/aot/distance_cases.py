"""Launches of Parzen windows and nearest neighbours, at the sizes of the data sets.

Which chunks are rescored depends on numbers that tensors without memory do not hold: here a tenth
of all pairs of a query and a chunk is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple

import torch
from fastgan.kernels import neighbors, parzen, rescoring
from fastgan.kernels.aot.noting import Case, case, tensor


class _Size(NamedTuple):
    """Sizes of a data set's evaluation."""

    name: str
    n_queries: int
    n_samples: int
    n_features: int
    dtype: torch.dtype = torch.float32


_SIZES = (
    _Size("mnist", 10_000, 10_000, 784),
    _Size("mnist uint8", 10_000, 60_000, 784, torch.uint8),
    _Size("mnist float64", 10_000, 10_000, 784, torch.float64),
    _Size("cifar10", 10_000, 50_000, 3072),
    _Size("digits", 297, 1500, 64),
    _Size("plane", 1000, 1001, 2),  # two features, and sizes that nothing divides
)
_N_SIGMAS = 20
_BLOCK_SIZE = 1000


def distance_cases() -> Iterator[Case]:
    """Yield every case, with each query among the samples and without."""
    for name, n_queries, n_samples, n_features, dtype in _SIZES:
        queries = tensor(n_queries, n_features, dtype=dtype)
        samples = tensor(n_samples, n_features, dtype=dtype)
        sigmas = tensor(_N_SIGMAS, dtype=torch.float64)
        n_pairs = n_queries * -(-n_samples // 64) // 10
        size = f"{name} {n_queries}x{n_samples}x{n_features}"
        for own_offset in (None, 0):
            end = "" if own_offset is None else " but its own"
            given = (queries, samples, sigmas, _BLOCK_SIZE, own_offset)
            with _flagging(parzen, n_pairs):
                yield case(f"parzen {size}{end}", parzen.parzen_log_sums, *given)
            with _flagging(neighbors, 0):
                is_self = own_offset is not None
                nearest = (queries, samples, 5, is_self)
                yield case(f"neighbors {size}{end}", neighbors.nearest_neighbors, *nearest)
        pairs = tensor(n_pairs, 2, dtype=torch.int64)
        yield case(f"neighbors' pairs {size}", _both_sums, queries, samples, pairs)


def _both_sums(queries: torch.Tensor, samples: torch.Tensor, pairs: torch.Tensor) -> None:
    """Sum the squared differences of pairs exactly, as they are and for tiny ones scaled up."""
    for is_scaled in (False, True):
        rescoring._sums(queries, samples, pairs, is_scaled=is_scaled)


@contextlib.contextmanager
def _flagging(module: ModuleType, n_pairs: int) -> Iterator[None]:
    """Decide in the data's place: so many pairs are flagged, and scored at once (0: none is)."""
    pairs = tensor(n_pairs, 2, dtype=torch.int64)

    def flagged_pairs(flags: torch.Tensor) -> torch.Tensor:
        return pairs

    def query_ranges(bounds: torch.Tensor, most: int) -> Iterator[tuple[int, int, int, int]]:
        if n_pairs:
            yield 0, len(bounds) - 1, 0, n_pairs

    kept = module.flagged_pairs, module.query_ranges
    module.flagged_pairs, module.query_ranges = flagged_pairs, query_ranges
    try:
        yield
    finally:
        module.flagged_pairs, module.query_ranges = kept
