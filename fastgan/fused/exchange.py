"""What processes that share a batch exchange in a fused step: velocities, and a few numbers.

Each process makes v_own = (momentum / n_processes) v - lr g_own of its own rows, and the sum over
processes is the velocity that one process would have had. So nothing but the velocities is sent,
in place, and every process moves its weights by the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from fastgan.processes import Processes

# Numbers: the four means of the costs, and how many processes want to stop.
_N_MEANS = 4
_LINE = 64  # bytes: each velocity begins where a line of the cache does


class Exchange(NamedTuple):
    """Memory to be added up over processes; with ``waits``, all that was begun is waited for."""

    memory: Tensor
    waits: bool


class SharedVelocities:
    """The velocities of both networks, and the numbers, side by side in one memory.

    The numbers lie between the two, so that they can go with either: ``of_generator`` (and the
    numbers), ``of_discriminator``, ``of_discriminator_and_numbers`` are one piece of memory each.

    Parameters
    ----------
    generator, discriminator : mapping of str to Tensor
        The parameters, all of one dtype and on one device.

    Attributes
    ----------
    generator, discriminator : dict of str to Tensor
        The velocities, all 0: views of that memory.
    means : Tensor of shape (4,)
        Of the costs.
    n_stopping : Tensor of no dimension
        How many processes want to stop.
    """

    def __init__(
        self, generator: Mapping[str, Tensor], discriminator: Mapping[str, Tensor]
    ) -> None:
        like = next(iter(generator.values()))
        line = _LINE // like.element_size()
        sizes = [
            sum(_rounded(parameter.numel(), line) for parameter in of.values())
            for of in (generator, discriminator)
        ]
        n_numbers = _rounded(_N_MEANS + 1, line)
        memory = torch.zeros(sum(sizes) + n_numbers, dtype=like.dtype, device=like.device)
        begin = sizes[0] + n_numbers
        self.of_generator = memory[:begin]
        self.of_discriminator = memory[begin:]
        self.of_discriminator_and_numbers = memory[sizes[0] :]
        self.generator = _views(memory, generator, line)
        self.discriminator = _views(self.of_discriminator, discriminator, line)
        numbers = memory[sizes[0] : begin]
        self.means, self.n_stopping = numbers[:_N_MEANS], numbers[_N_MEANS]


class Sums:
    """Sums over processes that are under way while a step goes on."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._under_way: list[Callable[[], None]] = []

    def exchange(self, what: Exchange) -> None:
        """Begin a sum, and wait for all that were begun if ``what`` says so."""
        self._under_way.append(self._processes.begin_sum(what.memory))
        if what.waits:
            for wait in self._under_way:
                wait()
            self._under_way.clear()


def _rounded(n: int, multiple: int) -> int:
    return math.ceil(n / multiple) * multiple


def _views(memory: Tensor, like: Mapping[str, Tensor], line: int) -> dict[str, Tensor]:
    views, at = {}, 0
    for name, tensor in like.items():
        views[name] = memory[at : at + tensor.numel()].view(tensor.shape)
        at += _rounded(tensor.numel(), line)
    return views
