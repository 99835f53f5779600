"""Launches of training steps of the recipes, layer by layer, and of the operations on their own."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from fastgan.kernels import philox, step
from fastgan.kernels.aot.noting import INTEGER, NUMBER, Case, case, tensor
from fastgan.kernels.dropout import dropout
from fastgan.kernels.gradients import (
    Behind,
    linear_input_gradient,
    maxout_input_gradient,
    pass_behind,
)
from fastgan.kernels.linear import linear_forward
from fastgan.kernels.masks import Mask
from fastgan.kernels.maxout_linear import maxout_forward
from fastgan.kernels.momentum_sgd import limit_norms, momentum_sgd, move_weight
from fastgan.kernels.update import linear_update, maxout_update, maxout_weight_gradient

_RATES = tensor(2, dtype=torch.float64)  # learning rate and momentum, as the clock leaves them


def layer_cases() -> Iterator[Case]:
    """Yield every case, the smallest recipe's first among equals."""
    yield from _draws()
    yield from _elementwise()
    yield from _steps()


def _draws() -> Iterator[Case]:
    """Yield what is drawn outside masks: latents, numbers of a user, permutations."""
    drawn = (INTEGER, INTEGER, 3)  # seed, step, stream
    for kind in ("uniform", "normal"):
        yield case(f"mnist z {kind}", philox.latent, kind, tensor(100, 100), *drawn)
    for dtype in (torch.float32, torch.float64):
        output = tensor(10_000, 100, dtype=dtype)
        for draw in (philox.uniform, philox.normal):
            yield case(f"{draw.__name__} {_name_of(dtype)}", draw, output, *drawn, 2**33)
    indices = tensor(50_000, dtype=torch.int64)
    yield case("words", philox.words, indices, *drawn)
    yield case("mnist permutation", philox.sort_keys, indices, *drawn)


def _elementwise() -> Iterator[Case]:
    """Yield the operations that a user of fastgan.ops calls on their own."""
    for dtype in (torch.float32, torch.float64):
        size = f"1200x784 {_name_of(dtype)}"
        weight, velocity, gradient = tensor(3, 1200, 784, dtype=dtype)
        state = (weight, velocity, gradient, NUMBER, NUMBER)
        yield case(f"dropout {size}", dropout, weight, 0.8, INTEGER, INTEGER, 3)
        yield case(f"momentum {size}", momentum_sgd, *state)
        yield case(f"momentum and max-norm {size}", momentum_sgd, *state, 1.9365)
        yield case(f"max-norm {size}", limit_norms, weight, 1.9365)
        yield case(f"move {size}", move_weight, weight, velocity)
        yield case(f"move and max-norm {size}", move_weight, weight, velocity, 1.9365)


@dataclass(frozen=True)
class Network:
    """The sizes of a recipe: units of G's layers, units and pieces of D's."""

    name: str
    n_latent: int
    generator: tuple[tuple[int, str], ...]  # units, activation
    discriminator: tuple[tuple[int, int, float], ...]  # units, pieces, include probability
    batch_size: int = 100
    dtype: torch.dtype = torch.float32
    is_shared: bool = False  # its updates of velocities alone, of several processes, are listed too


#: The paper's networks, as the released code's recipes have them, and our digits.
NETWORKS = (
    Network(
        "mnist",
        100,
        ((1200, "relu"), (1200, "relu"), (784, "sigmoid")),
        ((240, 5, 0.8), (240, 5, 0.5)),
        is_shared=True,
    ),
    Network(
        "digits",
        20,
        ((256, "relu"), (256, "relu"), (64, "sigmoid")),
        ((64, 5, 0.8), (64, 5, 0.8)),
        batch_size=50,
    ),
    Network("tfd", 100, ((8000, "sigmoid"), (2304, "sigmoid")), ((1200, 5, 0.8), (1200, 5, 0.5))),
    Network(
        "cifar10-mlp",
        100,
        ((8000, "relu"), (8000, "sigmoid"), (3072, "linear")),
        ((1600, 5, 0.8), (1600, 5, 0.5)),
    ),
)


def _steps() -> Iterator[Case]:
    """Yield a training step of every network, layer by layer, as the fused step launches them."""
    for network in NETWORKS:
        yield from _generator(network)
        yield from _discriminator(network)
        yield from _between(network)
    small = replace(NETWORKS[1], name="digits float64", dtype=torch.float64, is_shared=True)
    yield from _generator(small)
    yield from _discriminator(small)
    yield from _between(small)


def _mask(include_probability: float, network: Network) -> Mask:
    """Return a mask of real images' pass and, after it, of fake images'."""
    return Mask(include_probability, INTEGER, INTEGER, 3, 4, network.batch_size)


def _generator(network: Network) -> Iterator[Case]:
    """Yield G's layers: forward, gradient by the layer behind, update."""
    n, dtype = network.batch_size, network.dtype
    n_features = network.n_latent
    behind = Behind()
    for number, (n_units, activation) in enumerate(network.generator, 1):
        name = f"{network.name} G{number} {n}x{n_features} to {n_units}"
        input = tensor(n, n_features, dtype=dtype)
        output, masked = tensor(2, n, n_units, dtype=dtype)
        weight, velocity = tensor(2, n_units, n_features, dtype=dtype)
        bias, bias_velocity = tensor(2, n_units, dtype=dtype)
        layer = (weight, velocity, bias, bias_velocity, *_RATES)
        given = (input, weight, bias, activation, output)
        if number == len(network.generator):
            given += (_mask(network.discriminator[0][2], network), masked)
        yield case(f"{name} forward", linear_forward, *given)
        yield case(f"{name} update", linear_update, output, None, input, *layer)
        if network.is_shared:
            alone = (None, velocity, None, bias_velocity, *_RATES)
            yield case(f"{name} velocity", linear_update, output, None, input, *alone)
        if number > 1:
            yield case(f"{name} gradient", linear_input_gradient, output, weight, behind, input)
        behind = Behind(None, None, activation, output)
        n_features = n_units


def _discriminator(network: Network) -> Iterator[Case]:
    """Yield D's layers: forward on real and fake images, gradients, update; then the op's own."""
    half, dtype = network.batch_size, network.dtype
    n_features = network.generator[-1][0]
    row_scale = tensor(2 * half, dtype=dtype)
    includes = [*(include for _, _, include in network.discriminator), 0.5]
    # the gradient by G's images, the second half of D's batch, is passed on to G's output
    behind = Behind(
        _mask(includes[0], network),
        row_scale[half:],
        network.generator[-1][1],
        tensor(half, n_features, dtype=dtype),
    )
    rows = slice(half, None)
    for number, (n_units, n_pieces, _) in enumerate(network.discriminator, 1):
        name = f"{network.name} D{number} {2 * half}x{n_features} to {n_units}x{n_pieces}"
        input = tensor(2 * half, n_features, dtype=dtype)
        values = tensor(2 * half, n_units, dtype=dtype)
        winner = tensor(2 * half, n_units, dtype=torch.uint8)
        weight, velocity = tensor(2, n_units * n_pieces, n_features, dtype=dtype)
        bias, bias_velocity = tensor(2, n_units * n_pieces, dtype=dtype)
        layer = (weight, velocity, bias, bias_velocity, *_RATES)
        mask = _mask(includes[number], network)
        given = (input, weight, bias, n_pieces)
        yield case(f"{name} forward", maxout_forward, *given, mask, values, winner)
        yield case(f"{name} forward without dropout", maxout_forward, *given, None, values, winner)
        routed = (values, winner, n_pieces)
        yield case(f"{name} update", maxout_update, *routed, row_scale, input, *layer)
        if network.is_shared:
            alone = (None, velocity, None, bias_velocity, *_RATES)
            yield case(f"{name} velocity", maxout_update, *routed, row_scale, input, *alone)
        yield case(
            f"{name} gradient",
            maxout_input_gradient,
            values[rows], winner[rows], n_pieces, weight, behind, input[rows],
        )  # fmt: skip
        yield case(f"{name} op's gradient", maxout_input_gradient, *routed, weight, Behind(), input)
        yield case(
            f"{name} op's weight gradient", maxout_weight_gradient, *routed, input, weight, bias
        )
        behind, rows = Behind(mask), slice(None)
        n_features = n_units
    unit = tensor(1, n_features, dtype=dtype)
    yield case(f"{network.name} output unit's gradient", pass_behind, unit, behind, values)


def _between(network: Network) -> Iterator[Case]:
    """Yield what lies between layers: the clock, the batch, D's output unit, both costs."""
    n, dtype = network.batch_size, network.dtype
    name = network.name
    n_units, n_features = network.discriminator[-1][0], network.generator[-1][0]
    schedule = tensor(6, dtype=torch.float64)
    counters = tensor(6, dtype=torch.int64)
    yield case(f"{name} clock", step.tick, counters, _RATES, schedule, n)
    images, order = tensor(50_000, n_features, dtype=dtype), tensor(50_000, dtype=torch.int64)
    mask = Mask(network.discriminator[0][2], counters[0], counters[2], 3)
    batch = tensor(2 * n, n_features, dtype=dtype)
    yield case(f"{name} batch", step.gather, images, order, counters[4], mask, batch[:n])
    shown = tensor(2 * n, n_units, dtype=dtype)
    logits, weight, velocity = (tensor(*s, dtype=dtype) for s in ((2 * n, 1), *[(1, n_units)] * 2))
    bias, bias_velocity = tensor(1, dtype=dtype), tensor(1, dtype=dtype)
    layer = (weight, velocity, bias, bias_velocity, *_RATES)
    yield case(f"{name} logits", linear_forward, shown, weight, bias, "linear", logits)
    scale = tensor(2 * n, dtype=dtype)
    yield case(f"{name} output unit's update", linear_update, logits, scale, shown, *layer)
    gradients = (scale, tensor(n, dtype=dtype), tensor(4, dtype=dtype))
    for is_saturating in (False, True):
        for generator_only in (False, True):
            judge = functools.partial(step.costs, generator_only=generator_only)
            yield case(f"{name} costs", judge, logits, is_saturating, *gradients)


def _name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
