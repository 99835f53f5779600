"""A whole training step of a recipe against the same step in plain PyTorch and torch.compile."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import fastgan
from benchmarks import harness
from fastgan import recipes
from fastgan.models import Discriminator, Generator
from fastgan.ops import philox
from fastgan.recipes import Recipe
from fastgan.steps import AutogradStep


class Maxout(nn.Module):
    def __init__(self, n_features: int, n_units: int, n_pieces: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_features, n_units * n_pieces)
        self.n_pieces = n_pieces

    def forward(self, input: Tensor) -> Tensor:
        return self.linear(input).unflatten(1, (-1, self.n_pieces)).max(dim=2).values


def plain_networks(recipe: Recipe) -> tuple[nn.Module, nn.Module]:
    """Build the recipe's networks as anybody would in PyTorch."""
    activations: dict[str, Callable[[], nn.Module]] = {
        "relu": nn.ReLU, "sigmoid": nn.Sigmoid, "linear": nn.Identity,
    }  # fmt: skip
    generator: list[nn.Module] = []
    width = recipe.n_latent
    for layer in recipe.generator:
        generator += [nn.Linear(width, layer.n_units), activations[layer.activation]()]
        width = layer.n_units
    discriminator: list[nn.Module] = []
    for piece in recipe.discriminator:
        discriminator += [
            nn.Dropout(1.0 - piece.include_probability),
            Maxout(width, piece.n_units, piece.n_pieces),
        ]
        width = piece.n_units
    discriminator += [nn.Dropout(1.0 - recipe.output_include_probability), nn.Linear(width, 1)]
    return nn.Sequential(*generator), nn.Sequential(*discriminator)


def plain_step(recipe: Recipe, batch: Tensor, *, compile: bool) -> Callable[[], None]:
    generator, discriminator = plain_networks(recipe)
    optimizers = [
        torch.optim.SGD(net.parameters(), recipe.learning_rate, recipe.momentum_first, fused=True)
        for net in (generator, discriminator)
    ]
    make_fake: Any = torch.compile(generator) if compile else generator
    judge: Any = torch.compile(discriminator) if compile else discriminator

    def step() -> None:
        z = (2 * torch.rand(len(batch), recipe.n_latent) - 1) * math.sqrt(3)
        real_logits, fake_logits = judge(batch), judge(make_fake(z))
        of_d = 0.5 * (F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean())
        of_g = F.softplus(-fake_logits).mean()
        for cost, net, keep in ((of_d, discriminator, True), (of_g, generator, False)):
            parameters = list(net.parameters())
            found = torch.autograd.grad(cost, parameters, retain_graph=keep)
            for parameter, gradient in zip(parameters, found, strict=True):
                parameter.grad = gradient
        for optimizer in optimizers:
            optimizer.step()

    return step


def our_step(recipe: Recipe, mean: Tensor, impl: str, dtype: torch.dtype) -> AutogradStep:
    generator = Generator(recipe, mean, impl=impl).to(dtype)
    discriminator = Discriminator(recipe, impl=impl).to(dtype)
    return AutogradStep(generator, discriminator, recipe, impl=impl)


def error_of_one_step(recipe: Recipe, mean: Tensor, batch: Tensor, impl: str) -> float:
    """Return how far float32's first velocity is from float64's, masks and z alike.

    Beside the largest velocity of the same network. (The weights themselves would show only how
    coarsely float32 holds them: a first step changes them by a few units in the last place.)
    """
    narrow = our_step(recipe, mean, impl, torch.float32)
    wide = our_step(recipe, mean, "reference", torch.float64)
    narrow(batch)
    wide(batch.double())
    found = narrow.state_dict()
    errors: dict[str, float] = {}
    sizes: dict[str, float] = {}
    for name, value in wide.state_dict().items():
        if name.startswith("velocity."):
            network = name.split(".")[1]
            error = float((found[name].double() - value).abs().max())
            errors[network] = max(error, errors.get(network, 0.0))
            sizes[network] = max(float(value.abs().max()), sizes.get(network, 0.0))
    return max(errors[network] / sizes[network] for network in errors)


def comparisons(options: harness.Options) -> Iterator[harness.Comparison]:
    for name in ("digits",) if options.quick else ("digits", "mnist"):
        recipe = recipes.by_name(name)
        n_features = recipe.n_features
        if name == "digits":
            images = fastgan.load_dataset("digits").train
        else:  # the time does not depend on the images
            images = philox.uniform((1_000, n_features), seed=0, step=0, stream=0)
        batch = images[: recipe.batch_size].contiguous()
        mean = images.double().mean(dim=0)
        ours = our_step(recipe, mean, "auto", torch.float32)
        contenders = [
            harness.Contender(
                "fastgan",
                lambda s=ours, b=batch: s(b),
                lambda _, r=recipe, m=mean, b=batch: error_of_one_step(r, m, b, "auto"),
            ),
            harness.Contender("eager", plain_step(recipe, batch, compile=False)),
        ]
        if options.compile:
            # Both costs go back through one graph, so compiled buffers must outlive the first.
            torch._functorch.config.donated_buffer = False
            contenders.append(
                harness.Contender("torch.compile", plain_step(recipe, batch, compile=True))
            )
        yield harness.Comparison(
            operation="training step",
            size=f"{name}: batch {recipe.batch_size}, {n_features} pixels",
            contenders=contenders,
            # twice the error that plain PyTorch in float32 makes over the same step
            bound=2 * error_of_one_step(recipe, mean, batch, "reference"),
            error_unit="of the largest velocity",
        )


@pytest.mark.parametrize("name", ["fastgan", "eager"])
def test_training_step(benchmark: Any, name: str) -> None:
    harness.time_with_pytest(
        benchmark, comparisons(harness.Options(quick=True, compile=False)), name
    )
