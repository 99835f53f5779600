"""What the fused training step is made of: the same few operations, natively or in plain PyTorch.

Everything is written into buffers that the caller made. ``view`` turns a tensor into what the
operations take, over the same memory: a NumPy array for the native core, the tensor itself for
PyTorch. Shapes are the caller's business; the native core refuses what does not fit.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fastgan import _core
from fastgan.costs import discriminator_cost, generator_cost, logit_gradients
from fastgan.recipes import Cost, Latent
from fastgan.reference import linear, philox

View = Any  # a NumPy array or a Tensor: rows of it are slices of either


class Draw(NamedTuple):
    """Which Philox numbers: element by element of the batch."""

    seed: int
    step: int
    stream: int


class Mask(NamedTuple):
    """Which elements are kept, each then divided by the include probability."""

    include_probability: float  # 1: all are kept, nothing is drawn
    seed: int
    step: int
    stream: int


class Move(NamedTuple):
    """How a weight moves: see :func:`fastgan.ops.momentum_sgd`."""

    lr: float
    momentum: float
    max_norm: float | None


class Operations(ABC):
    """The operations; shapes are those of :mod:`fastgan.fused_buffers`."""

    def __init__(self) -> None:
        self.n_threads = 1  # of the native core

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
    def linear_forward(
        self, input: View, weight: View, bias: View | None, activation: str, output: View
    ) -> None:
        """Write activation(input weight^T + bias) into ``output``."""

    @abstractmethod
    def maxout(
        self, products: View, bias: View, n_pieces: int, mask: Mask, values: View, winner: View
    ) -> None:
        """Write each unit's largest piece, masked, and which it was; of equals the lowest."""

    @abstractmethod
    def mask_gradient(self, gradient: View, mask: Mask, delta: View) -> None:
        """Mask a gradient, of one row for all rows or of as many as ``delta``, into ``delta``."""

    @abstractmethod
    def maxout_input_gradient(
        self, delta: View, winner: View, n_pieces: int, weight: View, gradient: View
    ) -> None:
        """Write into ``gradient`` what the input's is, of a delta of the winning pieces alone."""

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
    def activation_delta(
        self,
        gradient: View,
        row_scale: View | None,
        mask: Mask,
        activation: str,
        values: View,
        delta: View,
    ) -> None:
        """Write row_scale mask(gradient) activation', the derivative by the activation's values."""

    @abstractmethod
    def linear_input_gradient(self, delta: View, weight: View, gradient: View) -> None:
        """Write delta weight into ``gradient``."""

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
    def costs(
        self, logits: View, cost: Cost, discriminator_gradient: View, generator_gradient: View
    ) -> tuple[float, float, float, float]:
        """Return the means of :class:`Costs`; write the costs' derivatives by each logit."""


class NativeOperations(Operations):
    """The operations by the C++ core, on CPU tensors."""

    def view(self, tensor: Tensor) -> View:
        """Return what the operations take for a tensor, over its memory."""
        return tensor.detach().numpy()

    def latent(self, kind: Latent, draw: Draw, output: View) -> None:
        """Draw z: uniform on (-sqrt 3, sqrt 3), or normal; ``output`` is (n, n_latent)."""
        flat = output.reshape(-1)
        if kind == "normal":
            _core.philox_normal(flat, *draw, 0, self.n_threads)
        else:
            _core.philox_uniform(flat, *draw, 0, self.n_threads)
            flat *= 2.0
            flat -= 1.0
            flat *= math.sqrt(3.0)

    def dropout(self, input: View, mask: Mask, output: View) -> None:
        """Mask ``input`` into ``output``."""
        _core.dropout(input.reshape(-1), output.reshape(-1), *mask, 0, self.n_threads)

    def linear_forward(
        self, input: View, weight: View, bias: View | None, activation: str, output: View
    ) -> None:
        """Write activation(input weight^T + bias) into ``output``."""
        _core.linear_forward(input, weight, bias, activation, output, self.n_threads)

    def maxout(
        self, products: View, bias: View, n_pieces: int, mask: Mask, values: View, winner: View
    ) -> None:
        """Write each unit's largest piece, masked, and which it was; of equals the lowest."""
        _core.maxout_forward(products, bias, values, winner, n_pieces, *mask, 0, self.n_threads)

    def mask_gradient(self, gradient: View, mask: Mask, delta: View) -> None:
        """Mask a gradient, of one row for all rows or of as many as ``delta``, into ``delta``."""
        _core.activation_delta(gradient, None, *mask, "linear", delta, delta, self.n_threads)

    def maxout_input_gradient(
        self, delta: View, winner: View, n_pieces: int, weight: View, gradient: View
    ) -> None:
        """Write into ``gradient`` what the input's is, of a delta of the winning pieces alone."""
        _core.maxout_input_gradient(delta, winner, n_pieces, weight, gradient, self.n_threads)

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
        _core.maxout_update(
            delta,
            winner,
            n_pieces,
            row_scale,
            input,
            weight,
            velocity,
            bias,
            bias_velocity,
            *_numbers(move),
            self.n_threads,
        )

    def activation_delta(
        self,
        gradient: View,
        row_scale: View | None,
        mask: Mask,
        activation: str,
        values: View,
        delta: View,
    ) -> None:
        """Write row_scale mask(gradient) activation', the derivative by the activation's values."""
        _core.activation_delta(
            gradient, row_scale, *mask, activation, values, delta, self.n_threads
        )

    def linear_input_gradient(self, delta: View, weight: View, gradient: View) -> None:
        """Write delta weight into ``gradient``."""
        _core.linear_input_gradient(delta, weight, gradient, self.n_threads)

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
        _core.linear_update(
            delta,
            row_scale,
            input,
            weight,
            velocity,
            bias,
            bias_velocity,
            *_numbers(move),
            self.n_threads,
        )

    def costs(
        self, logits: View, cost: Cost, discriminator_gradient: View, generator_gradient: View
    ) -> tuple[float, float, float, float]:
        """Return the means of :class:`Costs`; write the costs' derivatives by each logit."""
        return _core.batch_costs(
            logits, cost == "saturating", discriminator_gradient, generator_gradient
        )


class ReferenceOperations(Operations):
    """The operations by plain PyTorch, on any device."""

    def view(self, tensor: Tensor) -> View:
        """Return what the operations take for a tensor, over its memory."""
        return tensor.detach()

    def latent(self, kind: Latent, draw: Draw, output: View) -> None:
        """Draw z: uniform on (-sqrt 3, sqrt 3), or normal; ``output`` is (n, n_latent)."""
        seed, step, stream = _on(output, draw)
        if kind == "normal":
            output.copy_(philox.normal(tuple(output.shape), seed, step, stream, dtype=output.dtype))
        else:
            uniform = philox.uniform(tuple(output.shape), seed, step, stream, dtype=output.dtype)
            output.copy_(uniform.mul_(2.0).sub_(1.0).mul_(math.sqrt(3.0)))

    def dropout(self, input: View, mask: Mask, output: View) -> None:
        """Mask ``input`` into ``output``."""
        output.copy_(_masked(input, mask))

    def linear_forward(
        self, input: View, weight: View, bias: View | None, activation: str, output: View
    ) -> None:
        """Write activation(input weight^T + bias) into ``output``."""
        linear.linear_forward(input, weight, bias, activation, output)

    def maxout(
        self, products: View, bias: View, n_pieces: int, mask: Mask, values: View, winner: View
    ) -> None:
        """Write each unit's largest piece, masked, and which it was; of equals the lowest."""
        best, which = (products + bias).reshape(*values.shape, n_pieces).max(dim=2)
        values.copy_(_masked(best, mask))
        winner.copy_(which)

    def mask_gradient(self, gradient: View, mask: Mask, delta: View) -> None:
        """Mask a gradient, of one row for all rows or of as many as ``delta``, into ``delta``."""
        delta.copy_(_masked(gradient.expand(delta.shape), mask))

    def maxout_input_gradient(
        self, delta: View, winner: View, n_pieces: int, weight: View, gradient: View
    ) -> None:
        """Write into ``gradient`` what the input's is, of a delta of the winning pieces alone."""
        linear.linear_input_gradient(_of_pieces(delta, winner, n_pieces), weight, gradient)

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
        pieces = _of_pieces(delta, winner, n_pieces)
        linear.linear_update(pieces, row_scale, input, weight, velocity, bias, bias_velocity, *move)

    def activation_delta(
        self,
        gradient: View,
        row_scale: View | None,
        mask: Mask,
        activation: str,
        values: View,
        delta: View,
    ) -> None:
        """Write row_scale mask(gradient) activation', the derivative by the activation's values."""
        linear.activation_delta(_masked(gradient, mask), row_scale, activation, values, delta)

    def linear_input_gradient(self, delta: View, weight: View, gradient: View) -> None:
        """Write delta weight into ``gradient``."""
        linear.linear_input_gradient(delta, weight, gradient)

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
        linear.linear_update(delta, row_scale, input, weight, velocity, bias, bias_velocity, *move)

    def costs(
        self, logits: View, cost: Cost, discriminator_gradient: View, generator_gradient: View
    ) -> tuple[float, float, float, float]:
        """Return the means of :class:`Costs`; write the costs' derivatives by each logit."""
        n = len(generator_gradient)
        real, fake = logits[:n, 0], logits[n:, 0]
        of_discriminator, of_generator = logit_gradients(real, fake, cost)
        discriminator_gradient.copy_(of_discriminator)
        generator_gradient.copy_(of_generator)
        return (
            float(discriminator_cost(real, fake)),
            float(generator_cost(fake, cost)),
            float(torch.sigmoid(real).mean()),
            float(torch.sigmoid(fake).mean()),
        )


def _numbers(move: Move) -> tuple[float, float, float]:
    """Return a move as the native core takes it: no limit is an infinite one."""
    lr, momentum, max_norm = move
    return lr, momentum, math.inf if max_norm is None else max_norm


def _of_pieces(delta: Tensor, winner: Tensor, n_pieces: int) -> Tensor:
    """Spread the winners' deltas, (n, n_units), over all pieces: zero but at the winner."""
    pieces = delta.new_zeros((*delta.shape, n_pieces))
    pieces.scatter_(2, winner.long().unsqueeze(2), delta.unsqueeze(2))
    return pieces.reshape(len(delta), -1)


def _on(values: Tensor, draw: Draw) -> tuple[Tensor, int, int]:
    """Return a draw with its seed as a tensor: Philox's numbers are made where that is."""
    seed, step, stream = draw
    return torch.tensor(seed, dtype=torch.int64, device=values.device), step, stream


def _masked(values: Tensor, mask: Mask) -> Tensor:
    include, *draw = mask
    if include == 1.0:
        return values
    words = philox.keep(0, values.numel(), include, *_on(values, Draw(*draw)))
    return torch.where(words.reshape(values.shape), values * (1.0 / include), 0.0)
