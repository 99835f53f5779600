"""What a set of queries gathers from samples that come block by block."""

from __future__ import annotations

import torch
from torch import Tensor

from fastgan import _core, backends
from fastgan.ops._registry import array
from fastgan.reference.parzen import parzen_log_sums as reference_log_sums


class ParzenSums:
    """The Parzen sums of some queries over blocks of samples, in one pass for a grid of sigmas.

    Parameters
    ----------
    queries : Tensor of shape (n_queries, n_features), uint8, float32 or float64
        Checked and contiguous.
    sigmas : float64 Tensor of shape (n_sigmas,)
    tolerance : float
        The most, in nats, that a sum over all samples may be too low for what was left out.
    n_samples : int, optional
        How many samples there are in all; where it is not known, thresholds hold for 2^32.
    exclude_self : bool
        The queries are the samples: sample i is left out of the sum of query i.
    strategy, impl : str
        As in :func:`fastgan.parzen_log_likelihood`.

    Attributes
    ----------
    strategy : str or None
        The engine, "pruned" or "dense"; None before the first block, which settles it.
    """

    def __init__(
        self,
        queries: Tensor,
        sigmas: Tensor,
        *,
        tolerance: float = 1e-6,
        n_samples: int | None = None,
        exclude_self: bool = False,
        strategy: str = "auto",
        impl: str = "auto",
    ) -> None:
        self.queries = queries
        self.sigmas = sigmas.to(queries.device)
        self.tolerance = tolerance
        self.n_samples = n_samples
        self.exclude_self = exclude_self
        self.impl = backends.resolve_impl("parzen", impl, queries.device)
        self.strategy: str | None = None
        self._precision = "auto"
        backends.resolve_strategy("parzen", strategy)

    def add(self, samples: Tensor, first_sample: int, block_size: int) -> tuple[Tensor, Tensor]:
        """Return the sums over each block of some samples, and what was left out of them.

        Parameters
        ----------
        samples : Tensor of shape (n, n_features)
            Of the queries' dtype and device. The first call settles the engine and its thresholds.
        first_sample : int
            The number of the first of them among all samples.
        block_size : int
            Samples in a block, counted from the first of these; the last block may be short.

        Returns
        -------
        log_sums : float64 Tensor of shape (n_blocks, n_sigmas, n_queries)
            ``log sum_{i in block} exp(-|x - s_i|^2 / (2 sigma^2))``.
        log_dropped : float64 Tensor of the same shape
            The log of an upper limit of what was left out of the sum; -inf where nothing was.
        """
        shape = (-(-len(samples) // block_size), len(self.sigmas), len(self.queries))
        log_dropped = self.queries.new_full(shape, -torch.inf, dtype=torch.float64)
        own_offset = -first_sample if self.exclude_self else None
        self.strategy = "dense"
        if self.impl == "reference":
            return (
                reference_log_sums(self.queries, samples, self.sigmas, block_size, own_offset),
                log_dropped,
            )
        log_sums = torch.empty_like(log_dropped)
        self._precision = _core.parzen_log_sums(
            array(self.queries),
            array(samples),
            array(self.sigmas),
            block_size,
            own_offset,
            self._precision,
            torch.get_num_threads(),
            array(log_sums),
        )
        level = _core.simd_level()
        backends.log_once(f"parzen: dense sum with {self._precision} products, {level}")
        return log_sums, log_dropped

    def state_dict(self) -> dict[str, Tensor]:
        """Return what the first block settled, for a run that goes on with a later one."""
        strategies = ("none", "dense", "pruned")
        precisions = ("auto", "float32", "float64")
        return {
            "strategy": torch.tensor(strategies.index(self.strategy or "none")),
            "precision": torch.tensor(precisions.index(self._precision)),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take back what :meth:`state_dict` returned."""
        self.strategy = (None, "dense", "pruned")[int(state["strategy"])]
        self._precision = ("auto", "float32", "float64")[int(state["precision"])]


def merge_blocks(log_sums: Tensor) -> Tensor:
    """Return the log-sum-exp over blocks, taken in their order, (n_sigmas, n_queries).

    Its bits do not depend on how many queries or sigmas come together.
    """
    if log_sums.device.type != "cpu":
        return torch.logsumexp(log_sums, 0)
    merged = torch.empty_like(log_sums[0])
    _core.merge_log_sums(array(log_sums), array(merged))
    return merged
