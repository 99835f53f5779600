"""A training step in PyTorch without autograd: the fastest that can be written by hand there.

One forward pass for real and fake together, one way back for both costs, gradients straight into
the velocities (``addmm_``): the design of fastgan's fused step, made of PyTorch's own operations.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.training_steps.plain_step import check_k, latent, limit_norms
from fastgan.models import Discriminator, Generator
from fastgan.recipes import Recipe

Layer = tuple[Tensor, Tensor, Tensor, Tensor]  # weight, bias, and their velocities


class Seen(NamedTuple):
    """What a maxout layer's way back needs of its way forward."""

    input: Tensor  # after dropout
    mask: Tensor | None  # of the input: 0 or 1 / include_probability
    winner: Tensor


def mask(like: Tensor, include_probability: float) -> Tensor | None:
    """Draw what the input of a layer is multiplied by; None where all is kept."""
    if include_probability == 1.0:
        return None
    kept = torch.rand_like(like).lt_(include_probability)
    return kept.mul_(1.0 / include_probability)


class ManualStep:
    """A step on the parameters of two networks, with velocities of its own.

    Parameters
    ----------
    recipe : Recipe
        Schedule (k = 1), cost, noise, dropout and max-norm.
    generator : Generator
    discriminator : Discriminator
    batches : iterator of Tensor of shape (batch_size, n_features)
    rates : (float, float)
        Learning rate and momentum.
    """

    def __init__(
        self,
        recipe: Recipe,
        generator: Generator,
        discriminator: Discriminator,
        batches: Iterator[Tensor],
        rates: tuple[float, float],
    ) -> None:
        check_k(recipe)
        self.recipe = recipe
        self.batches = batches
        self.learning_rate, self.momentum = rates
        self.generator = [_layer(layer) for layer in generator.layers]
        self.discriminator = [_layer(layer) for layer in discriminator.layers]
        self.output = _layer(discriminator.output)

    def __call__(self) -> None:
        """Train on the next batch."""
        self.train(next(self.batches))

    @torch.no_grad()
    def train(self, batch: Tensor) -> None:
        """Train on a batch of images, of shape (n, n_features)."""
        n = len(batch)
        values = self._generate(batch)
        logits, seen, last = self._judge(torch.cat([batch, values[-1]]))
        real, fake = logits[:n], logits[n:]
        slope = torch.cat([-torch.sigmoid(-real), torch.sigmoid(fake)]).div_(2 * n)
        simultaneous = self.recipe.schedule == "simultaneous"
        images = self._back(slope, seen, last, moves=True, first=n if simultaneous else None)
        if not simultaneous:
            values = self._generate(batch)
            fake, seen, last = self._judge(values[-1])
            images = self._back(torch.sigmoid(fake).div_(2 * n), seen, last, moves=False, first=0)
        if images is not None:
            saturating = self.recipe.cost == "saturating"
            # d(G's cost) / d(D's fake term) at each logit
            ratio = torch.full_like(fake, -2.0) if saturating else torch.exp(-fake).mul_(-2.0)
            self._back_through_generator(images.mul_(ratio), values)

    def _generate(self, batch: Tensor) -> list[Tensor]:
        """Return z and the values of each layer; the last are the images."""
        values = [latent(self.recipe, len(batch), batch)]
        for (weight, bias, _, _), layer in zip(
            self.generator, self.recipe.dense_layers, strict=True
        ):
            made = torch.addmm(bias, values[-1], weight.t())
            if layer.activation == "relu":
                made.relu_()
            elif layer.activation == "sigmoid":
                made.sigmoid_()
            values.append(made)
        return values

    def _judge(self, images: Tensor) -> tuple[Tensor, list[Seen], tuple[Tensor, Tensor | None]]:
        """Return logits of shape (n, 1), what each layer saw, and the output unit's input."""
        values, seen = images, []
        layers = zip(self.discriminator, self.recipe.maxout_layers, strict=True)
        for (weight, bias, _, _), layer in layers:
            kept = mask(values, layer.include_probability)
            input = values if kept is None else values * kept
            pieces = torch.addmm(bias, input, weight.t()).unflatten(1, (-1, layer.n_pieces))
            values, winner = pieces.max(dim=2)
            seen.append(Seen(input, kept, winner))
        kept = mask(values, self.recipe.output_include_probability)
        input = values if kept is None else values * kept
        weight, bias, _, _ = self.output
        return torch.addmm(bias, input, weight.t()), seen, (input, kept)

    def _back(
        self,
        slope: Tensor,
        seen: list[Seen],
        last: tuple[Tensor, Tensor | None],
        *,
        moves: bool,
        first: int | None,
    ) -> Tensor | None:
        """Go back from the logits; return the gradient at the images from row ``first`` on."""
        input, kept = last
        gradient = slope @ self.output[0]
        if kept is not None:
            gradient *= kept
        if moves:
            self._move(self.output, slope, input)
        for index in reversed(range(len(seen))):
            layer, (input, kept, winner) = self.discriminator[index], seen[index]
            n_pieces = self.recipe.maxout_layers[index].n_pieces
            delta = gradient.new_zeros(*winner.shape, n_pieces)
            delta.scatter_(2, winner.unsqueeze(2), gradient.unsqueeze(2))
            delta = delta.flatten(1)
            if index > 0:
                gradient = delta @ layer[0]
                if kept is not None:
                    gradient *= kept
            elif first is not None:
                gradient = delta[first:] @ layer[0]
                if kept is not None:
                    gradient *= kept[first:]
            if moves:
                self._move(layer, delta, input)
        return None if first is None else gradient

    def _back_through_generator(self, gradient: Tensor, values: list[Tensor]) -> None:
        for index in reversed(range(len(self.generator))):
            activation = self.recipe.dense_layers[index].activation
            made = values[index + 1]
            if activation == "relu":
                gradient *= made > 0
            elif activation == "sigmoid":
                gradient *= made * (1.0 - made)
            delta = gradient
            if index > 0:
                gradient = delta @ self.generator[index][0]
            self._move(self.generator[index], delta, values[index])

    def _move(self, layer: Layer, delta: Tensor, input: Tensor) -> None:
        weight, bias, velocity, bias_velocity = layer
        velocity.addmm_(delta.t(), input, beta=self.momentum, alpha=-self.learning_rate)
        bias_velocity.mul_(self.momentum).sub_(delta.sum(dim=0), alpha=self.learning_rate)
        weight.add_(velocity)
        bias.add_(bias_velocity)
        limit_norms(self.recipe, [weight])


def _layer(module: nn.Module) -> Layer:
    weight, bias = module.weight.detach(), module.bias.detach()
    return weight, bias, torch.zeros_like(weight), torch.zeros_like(bias)
