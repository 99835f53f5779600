"""What a fused training step is made of: the few operations that every implementation has.

Everything is written into buffers that the caller made. ``view`` turns a tensor into what the
operations take, over the same memory: a NumPy array for the native core, the tensor itself for
PyTorch and Triton. Shapes are the caller's business; the native core refuses what does not fit.
Numbers that change from step to step (seed, step, learning rate, momentum) are Python's on the CPU,
and tensors of no dimension where a step is captured as a graph.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fastgan.fused.clock import Clock, HostClock
from fastgan.recipes import Cost, Latent, Recipe

View = Any  # a NumPy array or a Tensor: rows of it are slices of either
Number = Any  # a Python number, or a tensor of no dimension


class Draw(NamedTuple):
    """Which Philox numbers: element by element of the batch, from its row ``first_row`` on."""

    seed: Number
    step: Number
    stream: int
    first_row: int = 0


class Mask(NamedTuple):
    """Which elements are kept, each then divided by the include probability."""

    include_probability: float  # 1: all are kept, nothing is drawn
    seed: Number
    step: Number
    stream: int
    first_row: int = 0  # the number of the first row within the batch


# Of the rows of a matrix, which are masked by what: one pass of D, or two, one after the other.
RowMasks = Sequence[tuple[slice, Mask]]


class Behind(NamedTuple):
    """What a gradient passes on its way to the layer behind: row_scale mask(gradient) f'(values).

    ``values`` are those of the activation itself.
    """

    masks: RowMasks = ()
    row_scale: View | None = None
    activation: str = "linear"
    values: View | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the gradient stays as it is."""
        return not self.masks and self.row_scale is None and self.activation == "linear"


class Move(NamedTuple):
    """How a weight moves: see :func:`fastgan.ops.momentum_sgd`.

    ``velocity_only``: the velocity alone is made, and :meth:`Operations.move_weight` moves the
    weight by it later. The weight is not looked at.
    """

    lr: Number
    momentum: Number
    max_norm: float | None
    velocity_only: bool = False


class Operations(ABC):
    """The operations; shapes are those of :mod:`fastgan.fused.buffers`."""

    needs_products = True  # whether maxout_forward needs memory for the products of all pieces
    is_captured = False  # whether a step is nothing but launches on fixed memory, to be replayed
    bits_depend_on_threads = False

    def __init__(self) -> None:
        self.n_threads = 1  # of the native core

    def clock(self, recipe: Recipe, seed: int, device: torch.device, n_processes: int = 1) -> Clock:
        """Return what tells the step's numbers, where the operations want them."""
        return HostClock(recipe, seed, n_processes)

    @abstractmethod
    def view(self, tensor: Tensor) -> View:
        """Return what the operations take for a tensor, over its memory."""

    @abstractmethod
    def latent(self, kind: Latent, draw: Draw, output: View) -> None:
        """Draw z: uniform on (-sqrt 3, sqrt 3), or normal; ``output`` is (n, n_latent)."""

    @abstractmethod
    def dropout(self, input: View, mask: Mask, output: View) -> None:
        """Mask ``input`` into ``output``."""

    @abstractmethod
    def gather(self, images: View, order: View, first: Number, mask: Mask, output: View) -> None:
        """Mask images[order[first + i]] into row i of ``output``."""

    @abstractmethod
    def linear_forward(
        self,
        input: View,
        weight: View,
        bias: View | None,
        activation: str,
        output: View,
        shown: tuple[Mask, View] | None = None,
    ) -> None:
        """Write activation(input weight^T + bias) into ``output``, and masked into ``shown``."""

    @abstractmethod
    def maxout_forward(
        self,
        input: View,
        weight: View,
        bias: View,
        n_pieces: int,
        masks: RowMasks,
        products: View | None,
        values: View,
        winner: View,
    ) -> None:
        """Write each unit's largest piece, masked, and which it was; of equals the lowest.

        ``products``, (n, n_units * n_pieces), is memory to work in.
        """

    @abstractmethod
    def costs(
        self,
        logits: View,
        cost: Cost,
        discriminator_gradient: View,
        generator_gradient: View,
        means: View,
        n_whole: int,
        *,
        generator_only: bool = False,
    ) -> None:
        """Write the costs' derivatives by each logit, and the means of :class:`Costs`.

        The rows are part of a batch of ``n_whole``: costs and means are over that, and ``means``
        gets these rows' part of them. ``generator_only``: of the means, the generator's cost alone
        is written.
        """

    @abstractmethod
    def pass_behind(self, gradient: View, behind: Behind, output: View) -> None:
        """Write a gradient, of one row for all rows or of as many as ``output``, passed behind."""

    @abstractmethod
    def maxout_input_gradient(
        self,
        delta: View,
        winner: View,
        n_pieces: int,
        weight: View,
        behind: Behind,
        gradient: View,
    ) -> None:
        """Do what linear_input_gradient does, by a delta of the winning pieces alone."""

    @abstractmethod
    def linear_input_gradient(
        self, delta: View, weight: View, behind: Behind, gradient: View
    ) -> None:
        """Write delta weight into ``gradient``, passed behind."""

    @abstractmethod
    def maxout_update(
        self,
        delta: View,
        winner: View,
        n_pieces: int,
        row_scale: View | None,
        input: View,
        weight: View,
        velocity: View,
        bias: View,
        bias_velocity: View,
        move: Move,
    ) -> None:
        """Do what linear_update does, by a delta of the winning pieces alone."""

    @abstractmethod
    def linear_update(
        self,
        delta: View,
        row_scale: View | None,
        input: View,
        weight: View,
        velocity: View,
        bias: View,
        bias_velocity: View,
        move: Move,
    ) -> None:
        """Move weight and bias against sum_i row_scale[i] delta[i, unit] input[i, :]."""

    @abstractmethod
    def move_weight(self, weight: View, velocity: View, max_norm: float | None) -> None:
        """Add the velocity, as it is, and limit the norm of each row of a matrix."""
