"""The operations of a fused step by plain PyTorch, on any device: what the others must equal."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fastgan.costs import discriminator_cost, generator_cost, logit_gradients
from fastgan.fused.operations import Behind, Draw, Mask, Move, Number, Operations, RowMasks, View
from fastgan.recipes import Cost, Latent
from fastgan.reference import linear, philox
from fastgan.reference.momentum_sgd import momentum_sgd


class ReferenceOperations(Operations):
    """The operations by plain PyTorch; views are the tensors themselves."""

    needs_products = False
    bits_depend_on_threads = True  # torch's products may round otherwise on more threads

    def view(self, tensor: Tensor) -> View:
        return tensor.detach()

    def latent(self, kind: Latent, draw: Draw, output: View) -> None:
        *key, first_row = draw
        numbers = philox.normal if kind == "normal" else philox.uniform
        drawn = numbers(
            tuple(output.shape), *_on(output, *key), first_row=first_row, dtype=output.dtype
        )
        if kind == "uniform":
            drawn.mul_(2.0).sub_(1.0).mul_(math.sqrt(3.0))
        output.copy_(drawn)

    def dropout(self, input: View, mask: Mask, output: View) -> None:
        output.copy_(_masked(input, mask))

    def gather(self, images: View, order: View, first: Number, mask: Mask, output: View) -> None:
        self.dropout(images[order[first : first + len(output)]], mask, output)

    def linear_forward(
        self,
        input: View,
        weight: View,
        bias: View | None,
        activation: str,
        output: View,
        shown: tuple[Mask, View] | None = None,
    ) -> None:
        linear.linear_forward(input, weight, bias, activation, output)
        if shown is not None:
            self.dropout(output, *shown)

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
        pieces = (input @ weight.t() + bias).reshape(*values.shape, n_pieces)
        best, which = pieces.max(dim=2)
        values.copy_(best)
        winner.copy_(which)
        for rows, mask in masks:
            values[rows] = _masked(values[rows], mask)

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
        n = len(generator_gradient)
        part = n / n_whole
        real, fake = logits[:n, 0], logits[n:, 0]
        of_discriminator, of_generator = logit_gradients(real, fake, cost)
        discriminator_gradient.copy_(of_discriminator * part)
        generator_gradient.copy_(of_generator * part)
        means[1] = generator_cost(fake, cost) * part
        if not generator_only:
            means[0] = discriminator_cost(real, fake) * part
            means[2] = torch.sigmoid(real).mean() * part
            means[3] = torch.sigmoid(fake).mean() * part

    def pass_behind(self, gradient: View, behind: Behind, output: View) -> None:
        masks, row_scale, activation, values = behind
        output.copy_(gradient.expand(output.shape))
        for rows, mask in masks:
            output[rows] = _masked(output[rows], mask)
        linear.activation_delta(
            output, row_scale, activation, output if values is None else values, output
        )

    def maxout_input_gradient(
        self,
        delta: View,
        winner: View,
        n_pieces: int,
        weight: View,
        behind: Behind,
        gradient: View,
    ) -> None:
        pieces = _of_pieces(delta, winner, n_pieces)
        self.linear_input_gradient(pieces, weight, behind, gradient)

    def linear_input_gradient(
        self, delta: View, weight: View, behind: Behind, gradient: View
    ) -> None:
        linear.linear_input_gradient(delta, weight, gradient)
        self.pass_behind(gradient, behind, gradient)

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
        pieces = _of_pieces(delta, winner, n_pieces)
        self.linear_update(pieces, row_scale, input, weight, velocity, bias, bias_velocity, move)

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
        lr, momentum, max_norm, velocity_only = move
        if velocity_only:  # weights of our own move instead
            weight, bias = torch.zeros_like(weight), torch.zeros_like(bias)
            max_norm = None
        linear.linear_update(
            delta,
            row_scale,
            input,
            weight,
            velocity,
            bias,
            bias_velocity,
            lr,
            momentum,
            max_norm,
        )

    def move_weight(self, weight: View, velocity: View, max_norm: float | None) -> None:
        limit = max_norm if weight.ndim == 2 else None
        # by no gradient, and all of the velocity kept
        momentum_sgd(weight, velocity, torch.zeros_like(weight), 0.0, 1.0, limit)


def _of_pieces(delta: Tensor, winner: Tensor, n_pieces: int) -> Tensor:
    """Spread the winners' deltas, (n, n_units), over all pieces: zero but at the winner."""
    pieces = delta.new_zeros((*delta.shape, n_pieces))
    pieces.scatter_(2, winner.long().unsqueeze(2), delta.unsqueeze(2))
    return pieces.reshape(len(delta), -1)


def _on(values: Tensor, seed: int, step: int, stream: int) -> tuple[Tensor, int, int]:
    """Return a draw with its seed as a tensor: Philox's numbers are made where that is."""
    return torch.tensor(seed, dtype=torch.int64, device=values.device), step, stream


def _masked(values: Tensor, mask: Mask) -> Tensor:
    include, *key, first_row = mask
    if include == 1.0:
        return values
    first = first_row * values.shape[1]
    words = philox.keep(first, values.numel(), include, *_on(values, *key))
    return torch.where(words.reshape(values.shape), values * (1.0 / include), 0.0)
