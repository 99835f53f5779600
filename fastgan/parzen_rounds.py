"""A Parzen stream whose blocks several processes work out, as many at a time as there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fastgan.parzen_blocks import BlockSums
from fastgan.parzen_stream import ParzenStream
from fastgan.processes import Processes


def work_in_rounds(
    stream: ParzenStream,
    processes: Processes,
    read: Callable[[int, int], Any],
    n_samples: int,
    after_round: Callable[[int], None],
) -> None:
    """Work through all samples from where the first process's stream is.

    In a round each process reads and works out one block, and the first process's stream takes
    their sums in the order of the blocks: what it comes to, and what it writes down, is the same
    for any number of processes. The others' streams stay empty.

    Parameters
    ----------
    stream : ParzenStream
        With ``each_block``; made of the same arguments on every process.
    processes : Processes
    read : callable (first, last)
        Returns samples first to last (excluded), this process's block.
    n_samples : int
        How many there are in all.
    after_round : callable (n_done)
        Called on every process, and may exchange something.

    Raises
    ------
    ValueError
        If the stream has not ``each_block``: other blocks would have to wait for the first one.
    ProcessFailedError
        If another process failed, or is gone.
    """
    if not stream.each_block:
        raise ValueError("stream: expected one with each_block, got one without")
    size = stream.block_size
    n_blocks = -(-n_samples // size)
    n_done = _begin(stream, processes)
    while n_done < n_blocks:
        number = n_done + processes.rank
        first, last = number * size, min((number + 1) * size, n_samples)
        rows: Tensor | None = None
        with processes.together():
            if number < n_blocks:
                rows = stream.checked_rows(read(first, last), first)
                if number == 0 and n_blocks > 1:
                    stream.work.settle(rows)
        if n_done == 0:
            _begin(stream, processes)
        block: BlockSums | None = None
        with processes.together():
            if rows is not None:
                block = stream.work.of(number, rows)
        rows = None  # before the next are read
        n_taken = min(processes.size, n_blocks - n_done)
        _take(stream, processes, block, range(n_done, n_done + n_taken), n_samples)
        n_done += n_taken
        after_round(min(n_done * size, n_samples))


def _begin(stream: ParzenStream, processes: Processes) -> int:
    """Tell all what the first process's stream has settled, and how many blocks it has."""
    settled = stream.work.settled
    if processes.size == 1:
        return stream.n_blocks
    state = torch.tensor([stream.n_blocks, settled is not None, 0, 0])
    if settled is not None:
        state[2:] = torch.stack([settled["strategy"], settled["precision"]])
    n_blocks, is_settled, strategy, precision = processes.broadcast_(state)
    if is_settled:
        stream.work.settled = {"strategy": strategy, "precision": precision}
    return int(n_blocks)


def _take(
    stream: ParzenStream,
    processes: Processes,
    block: BlockSums | None,
    numbers: range,
    n_samples: int,
) -> None:
    """Give the first process's stream the sums of a round's blocks, in order."""
    if processes.size == 1:
        assert block is not None  # one process works on every block
        stream.take_block(block)
        return
    size = stream.block_size
    lasts = [min((number + 1) * size, n_samples) for number in numbers]
    within = [
        [count for count in stream.counts if number * size < count < last]
        for number, last in zip(numbers, lasts, strict=True)
    ]
    shape = stream.work.shape
    sent = torch.zeros(1 + max(map(len, within)), 2, *shape, dtype=torch.float64)
    if block is not None:
        cuts = (block.until[count] for count in within[processes.rank])
        for at, both in enumerate((block.sums, *cuts)):
            sent[at] = torch.stack(both)
    gathered = processes.gather(sent)
    if not processes.is_first:
        return
    device = stream.work.device
    for part, number, last, counts in zip(gathered, numbers, lasts, within, strict=False):
        pairs = [(both[0], both[1]) for both in part.to(device)]
        until = dict(zip(counts, pairs[1:], strict=False))
        if last in stream.counts:
            until[last] = pairs[0]
        stream.take_block(BlockSums(last - number * size, pairs[0], until))
