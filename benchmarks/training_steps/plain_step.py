"""The same training step in plain PyTorch: what people write today, and all of it compiled.

The networks share their parameters with fastgan's, so all contenders step from one state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fastgan.models import Discriminator, Generator
from fastgan.recipes import Recipe

Gradients = list[Tensor]
ROWS_APART = {"cpp.max_horizontal_fusion_size": 0}


class Maxout(nn.Module):
    def __init__(self, weight: nn.Parameter, bias: nn.Parameter, n_pieces: int) -> None:
        super().__init__()
        self.linear = _linear(weight, bias)
        self.n_pieces = n_pieces

    def forward(self, input: Tensor) -> Tensor:
        return self.linear(input).unflatten(1, (-1, self.n_pieces)).max(dim=2).values


def networks(
    recipe: Recipe, generator: Generator, discriminator: Discriminator
) -> tuple[nn.Sequential, nn.Sequential]:
    """Build a recipe's networks as anybody would in PyTorch, around fastgan's own parameters."""
    activations: dict[str, Callable[[], nn.Module]] = {
        "relu": nn.ReLU, "sigmoid": nn.Sigmoid, "linear": nn.Identity,
    }  # fmt: skip
    of_generator: list[nn.Module] = []
    for layer, dense in zip(recipe.dense_layers, generator.layers, strict=True):
        of_generator += [_linear(dense.weight, dense.bias), activations[layer.activation]()]
    of_discriminator: list[nn.Module] = []
    for layer, maxout in zip(recipe.maxout_layers, discriminator.layers, strict=True):
        of_discriminator += [
            nn.Dropout(1.0 - layer.include_probability),
            Maxout(maxout.weight, maxout.bias, layer.n_pieces),
        ]
    of_discriminator += [
        nn.Dropout(1.0 - recipe.output_include_probability),
        _linear(discriminator.output.weight, discriminator.output.bias),
    ]
    return nn.Sequential(*of_generator), nn.Sequential(*of_discriminator)


def eager_step(
    recipe: Recipe,
    pair: tuple[nn.Sequential, nn.Sequential],
    batches: Iterator[Tensor],
    rates: tuple[float, float],
    *,
    compile: bool = False,
) -> Callable[[], None]:
    """Return a step of modules, ``autograd.grad`` and ``SGD(fused=True)``.

    Parameters
    ----------
    recipe : Recipe
        Schedule (k = 1), cost, noise and max-norm.
    pair : (nn.Sequential, nn.Sequential)
        Of :func:`networks`.
    batches : iterator of Tensor of shape (batch_size, n_features)
    rates : (float, float)
        Learning rate and momentum.
    compile : bool
        Run the two modules through ``torch.compile``.
    """
    check_k(recipe)
    parameters = [list(net.parameters()) for net in pair]
    optimizers = [
        torch.optim.SGD(some, lr=rates[0], momentum=rates[1], fused=True) for some in parameters
    ]
    make_fake, judge = (_compiled(net) if compile else net for net in pair)
    gradients = _schedule(recipe, make_fake, judge, parameters)

    def move(which: int, found: Gradients) -> None:
        for parameter, gradient in zip(parameters[which], found, strict=True):
            parameter.grad = gradient
        optimizers[which].step()
        optimizers[which].zero_grad(set_to_none=True)  # the others move the same parameters
        limit_norms(recipe, parameters[which])

    return lambda: gradients(next(batches), move)


def compiled_step(
    recipe: Recipe,
    pair: tuple[nn.Sequential, nn.Sequential],
    batches: Iterator[Tensor],
    rates: tuple[float, float],
    *,
    compile: bool = True,
) -> Callable[[], None]:
    """Return a step that ``torch.compile`` sees as one graph: noise, both ways, both updates.

    Parameters are those of :func:`eager_step`; ``compile=False`` runs the same function as it is.
    A torch that cannot trace ``autograd.grad`` (before 2.10) breaks the graph there.
    """
    check_k(recipe)
    learning_rate, momentum = rates
    parameters = [list(net.parameters()) for net in pair]
    velocities = [[torch.zeros_like(p) for p in some] for some in parameters]
    gradients = _schedule(recipe, *pair, parameters)

    def move(which: int, found: Gradients) -> None:
        with torch.no_grad():
            for parameter, velocity, gradient in zip(
                parameters[which], velocities[which], found, strict=True
            ):
                velocity.mul_(momentum).sub_(gradient, alpha=learning_rate)
                parameter.add_(velocity)
        limit_norms(recipe, parameters[which])

    def step(batch: Tensor) -> None:
        gradients(batch, move)

    whole = compile_whole(recipe, step) if compile else step
    return lambda: whole(next(batches))


def compile_whole(recipe: Recipe, step: Callable[[Tensor], None]) -> Callable[[Tensor], None]:
    """Compile a step of a batch as one graph."""
    # torch 2.13 fails (KeyError: 'buf84') where it fuses the norms of rows with what uses them.
    options = None if recipe.max_norm is None else ROWS_APART
    whole: Callable[[Tensor], None] = _compiled(
        step, fullgraph=_traces_gradients(), options=options
    )
    return whole


def limit_norms(recipe: Recipe, parameters: Sequence[Tensor]) -> None:
    """Bring the rows of the weights within the recipe's limit, if it has one."""
    if recipe.max_norm is None:
        return
    with torch.no_grad():
        for parameter in parameters:
            if parameter.ndim == 2:
                norm = torch.linalg.vector_norm(parameter, dim=1, keepdim=True)
                parameter.mul_(norm.clamp(max=recipe.max_norm) / (1e-7 + norm))


def latent(recipe: Recipe, n_rows: int, like: Tensor) -> Tensor:
    """Draw z from torch's own generator."""
    shape = (n_rows, recipe.n_latent)
    if recipe.latent == "normal":
        return torch.randn(shape, dtype=like.dtype, device=like.device)
    return (2 * torch.rand(shape, dtype=like.dtype, device=like.device) - 1) * math.sqrt(3)


def _schedule(
    recipe: Recipe, make_fake: Any, judge: Any, parameters: list[list[nn.Parameter]]
) -> Callable[[Tensor, Callable[[int, Gradients], None]], None]:
    """Return what computes the gradients of a batch and hands them on: 0 is G, 1 is D."""

    def cost_of_d(batch: Tensor, fake_logits: Tensor) -> Tensor:
        return 0.5 * (F.softplus(-judge(batch)).mean() + F.softplus(fake_logits).mean())

    def cost_of_g(fake_logits: Tensor) -> Tensor:
        if recipe.cost == "non_saturating":
            return F.softplus(-fake_logits).mean()
        return -F.softplus(fake_logits).mean()

    def simultaneous(batch: Tensor, move: Callable[[int, Gradients], None]) -> None:
        fake_logits = judge(make_fake(latent(recipe, len(batch), batch)))
        of_d, of_g = cost_of_d(batch, fake_logits), cost_of_g(fake_logits)
        for_d = torch.autograd.grad(of_d, parameters[1], retain_graph=True)
        for_g = torch.autograd.grad(of_g, parameters[0])
        move(1, list(for_d))
        move(0, list(for_g))

    def alternating(batch: Tensor, move: Callable[[int, Gradients], None]) -> None:
        with torch.no_grad():
            fake = make_fake(latent(recipe, len(batch), batch))
        of_d = cost_of_d(batch, judge(fake))
        move(1, list(torch.autograd.grad(of_d, parameters[1])))
        of_g = cost_of_g(judge(make_fake(latent(recipe, len(batch), batch))))
        move(0, list(torch.autograd.grad(of_g, parameters[0])))

    return simultaneous if recipe.schedule == "simultaneous" else alternating


def _compiled(
    function: Any, *, fullgraph: bool = False, options: dict[str, Any] | None = None
) -> Any:
    # Both costs go back through one graph of modules: compiled buffers must outlive the first.
    torch._functorch.config.donated_buffer = False
    return torch.compile(function, fullgraph=fullgraph, dynamic=False, options=options)


def _traces_gradients() -> bool:
    """Let torch.compile trace ``autograd.grad``; False where it cannot."""
    can = hasattr(torch._dynamo.config, "trace_autograd_ops")
    if can:
        torch._dynamo.config.trace_autograd_ops = True
    return can


def check_k(recipe: Recipe) -> None:
    """Raise ValueError unless every batch moves both networks."""
    if recipe.k != 1:
        raise ValueError(f"k: the plain step knows only k = 1, got {recipe.k}")


def _linear(weight: nn.Parameter, bias: nn.Parameter) -> nn.Linear:
    linear: nn.Linear = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0])
    linear.weight, linear.bias = weight, bias
    return linear
