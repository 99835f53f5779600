"""The Parzen sums of a stream's blocks: worked out in any order, kept one by one, merged in order.

Which process works a block out, and what it does between two of them, changes no bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fastgan.batches import RowBuffer
from fastgan.ops.parzen_sums import ParzenSums, merge_blocks

Both = tuple[Tensor, Tensor]  # log sums, and the log of what was left out: (n_sigmas, n_queries)


@dataclass(frozen=True)
class BlockSums:
    """What one block of samples comes to.

    Attributes
    ----------
    n_rows : int
        Samples in the block.
    sums : Both
    until : dict
        For some counts of samples that end within the block, both of its first samples until there.
    """

    n_rows: int
    sums: Both
    until: dict[int, Both] = field(default_factory=dict)


class BlockWork:
    """Works out what blocks of samples come to, and remembers what the first of them settles.

    Parameters
    ----------
    queries : Tensor of shape (n_queries, n_features)
    sigmas : float64 Tensor of shape (n_sigmas,)
    block_size : int
    n_samples : int, optional
        How many samples there are in all.
    counts : sequence of int
    options
        Those of :class:`fastgan.ops.parzen_sums.ParzenSums`.

    Attributes
    ----------
    engine : str or None
        Of the block worked on last, "pruned" or "dense".
    """

    def __init__(
        self,
        queries: Tensor,
        sigmas: Tensor,
        *,
        block_size: int,
        n_samples: int | None,
        counts: Sequence[int],
        **options: Any,
    ) -> None:
        self._queries, self._sigmas, self._options = queries, sigmas, options
        self._block_size, self._n_samples, self._counts = block_size, n_samples, counts
        self._sums = self._fresh(n_samples)
        self.engine: str | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Of a block's sums: n_sigmas, n_queries."""
        return len(self._sigmas), len(self._queries)

    @property
    def device(self) -> torch.device:
        """Where sums are."""
        return self._queries.device

    @property
    def settled(self) -> dict[str, Tensor] | None:
        """What the first block settles for all others; None before it."""
        return None if self._sums.strategy is None else self._sums.state_dict()

    @settled.setter
    def settled(self, state: dict[str, Tensor]) -> None:
        self._sums.load_state_dict(state)
        self.engine = self._sums.strategy

    def settle(self, rows: Tensor) -> None:
        """Settle by the first block's samples what ``each_block`` asks of them: which is little."""
        self._sums.settle(rows)

    def of(self, number: int, rows: Tensor) -> BlockSums:
        """Return what a block comes to.

        Parameters
        ----------
        number : int
            Of the block, from 0. Before any other comes block 0, or what it settles.
        rows : Tensor of shape (n, n_features)
            ``block_size`` of them, or fewer in the last block.
        """
        first = number * self._block_size
        last = first + len(rows)
        sums = self.sums(number, rows, self._n_samples)
        until = {
            count: self.sums(number, rows[: count - first], count)
            for count in self._counts
            if first < count < last
        }
        if last in self._counts:
            until[last] = sums
        return BlockSums(len(rows), sums, until)

    def sums(self, number: int, rows: Tensor, n_whole: int | None) -> Both:
        """Return the sums of a block, or of its first rows, and what was left out of them.

        ``n_whole`` is how many samples there are in all where the rows are all of them.
        """
        is_cut_short = number == 0 and len(rows) < self._block_size  # and settles nothing
        sums = self._fresh(n_whole) if is_cut_short else self._sums
        log_sums, log_dropped = sums.add(rows, number * self._block_size, self._block_size)
        self.engine = sums.strategy
        return log_sums[0], log_dropped[0]

    def _fresh(self, n_samples: int | None) -> ParzenSums:
        if self._options["each_block"]:
            n_samples = self._block_size
        return ParzenSums(self._queries, self._sigmas, n_samples=n_samples, **self._options)


class SumsOfBlocks:
    """The sums of whole blocks, and of all samples until some counts.

    In one piece of memory each: small pieces that stay would break up the memory that blocks of
    samples come and go in.

    Parameters
    ----------
    like : float64 Tensor of shape (any, n_sigmas, n_queries)
    n_expected : int
        Blocks that room is set aside for at once.

    Attributes
    ----------
    kept : dict
        For each count reached, both of all samples until there.
    """

    def __init__(self, like: Tensor, n_expected: int) -> None:
        self._log_sums = RowBuffer(like, n_expected=n_expected)
        self._log_dropped = RowBuffer(like, n_expected=n_expected)
        self.kept: dict[int, Both] = {}

    def __len__(self) -> int:
        return len(self._log_dropped)  # which comes last

    @property
    def log_sums(self) -> Tensor:
        """Of shape (n_blocks, n_sigmas, n_queries)."""
        return self._log_sums.rows[: len(self)]

    @property
    def log_dropped(self) -> Tensor:
        """Of shape (n_blocks, n_sigmas, n_queries)."""
        return self._log_dropped.rows

    def take(self, block: BlockSums, last: int) -> None:
        """Take the next whole block, whose last sample is number ``last - 1``."""
        self.keep(block)
        if last in block.until:
            self.kept[last] = self.joined(*block.sums)
        self._log_sums.keep(len(self))
        self._log_sums.fill(block.sums[0][None])
        self._log_dropped.fill(block.sums[1][None])

    def keep(self, block: BlockSums) -> None:
        """Keep what all samples come to until the counts within the block that is next."""
        for count, both in block.until.items():
            self.kept[count] = self.joined(*both)

    def joined(self, log_sums: Tensor, log_dropped: Tensor) -> Both:
        """Merge the blocks so far with one more."""
        return (
            merge_blocks(torch.cat([self.log_sums, log_sums[None]])),
            merge_blocks(torch.cat([self.log_dropped, log_dropped[None]])),
        )

    def merged(self) -> Both:
        """Merge the blocks so far."""
        return merge_blocks(self.log_sums), merge_blocks(self.log_dropped)

    def digest(self) -> str:
        """Return a digest of all that is kept."""
        digest = hashlib.blake2b(digest_size=16)
        kept = (torch.stack(self.kept[count]) for count in sorted(self.kept))
        for values in (self.log_sums, self.log_dropped, *kept):
            digest.update(values.cpu().contiguous().numpy().data)
        return digest.hexdigest()

    def restore(self, log_sums: Tensor, log_dropped: Tensor, kept: dict[int, Both]) -> None:
        """Take back what was written down."""
        self._log_sums.fill(log_sums)
        self._log_dropped.fill(log_dropped)
        self.kept = kept
