"""What a step's numbers are: seed, step, learning rate, momentum; on the CPU, as Python's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from fastgan.recipes import Recipe


class Clock(ABC):
    """Numbers that change from step to step.

    Attributes
    ----------
    seed, step, lr, momentum, first : number, or tensor of no dimension
        Of the update that :meth:`tick` began; ``first`` is the epoch's first row in it. Where
        processes share the batch, ``momentum`` is this process's part: theirs add up to it.
    """

    seed: Any
    step: Any
    lr: Any
    momentum: Any
    first: Any

    @abstractmethod
    def set(self, seed: int, update: int, epoch: int, first: int) -> None:
        """Say what the next :meth:`tick` begins."""

    @abstractmethod
    def tick(self, n_rows: int) -> None:
        """Begin an update that takes so many rows of the epoch: the first thing in a step."""

    @abstractmethod
    def passed(self, n_rows: int) -> None:
        """Hear that the update is done, or will be: a graph's replay says nothing of itself."""


class HostClock(Clock):
    """The clock of a step whose numbers Python hands to each operation."""

    def __init__(self, recipe: Recipe, seed: int, n_processes: int = 1) -> None:
        self._recipe = recipe
        self._n_processes = n_processes
        self.seed = seed

    def set(self, seed: int, update: int, epoch: int, first: int) -> None:
        """Take the numbers of the update that begins."""
        self.seed, self.step, self.first = seed, update, first
        self.lr = self._recipe.learning_rate_at(update)
        self.momentum = self._recipe.momentum_at(epoch) / self._n_processes

    def tick(self, n_rows: int) -> None:
        """Do nothing: all is set."""

    def passed(self, n_rows: int) -> None:
        """Do nothing: the next update is set like this one."""
