"""The products of a fused training step, each with what it does around them, beside torch.mm.

They skip what is zero: the pieces that did not win, the ReLUs that were silent. The shares here are
those of the mnist recipe: a fifth behind maxout; behind G's two ReLU layers half at the start, .53
and .12 after 40 epochs. The floor is the dense product alone, which skips nothing: what a step that
does not look for zeros cannot pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import harness
from benchmarks.devices import Demand, Device
from benchmarks.tf32 import also_in_tf32
from fastgan.fused.native import NativeOperations
from fastgan.fused.operations import Behind, Move, Operations

LR, MOMENTUM = 1e-6, 0.5  # the weights stay where they are
Arrays = tuple[Tensor, ...]


@dataclass(frozen=True)
class Layer:
    """A layer at work: ``n_pieces`` above 1 leaves one delta of so many, a density the others."""

    n_rows: int
    n_features: int
    n_units: int
    activation: str = "linear"
    n_pieces: int = 1
    delta_density: float = 1.0
    input_density: float = 1.0

    def tensors(self) -> Arrays:
        """Return input, delta, weight, bias: float32."""
        generator = torch.Generator().manual_seed(0)

        def draw(n: int, m: int, density: float = 1.0) -> Tensor:
            values = torch.randn(n, m, generator=generator)
            return values * (torch.rand(n, m, generator=generator) < density)

        input = draw(self.n_rows, self.n_features, self.input_density)
        delta = draw(self.n_rows, self.n_units, self.delta_density)
        if self.n_pieces > 1:
            winner = torch.rand(delta.shape, generator=generator).unflatten(1, (-1, self.n_pieces))
            won = torch.zeros_like(winner).scatter_(2, winner.argmax(2, keepdim=True), 1.0)
            delta *= won.flatten(1)
        weight = draw(self.n_units, self.n_features) * self.n_features**-0.5
        bias = torch.randn(self.n_units, generator=generator)
        return input, delta, weight, bias

    def words(self, *, with_input: bool) -> str:
        """Say the size, and how much of it is not zero."""
        share = self.delta_density / self.n_pieces
        parts = [f"{self.n_rows} x {self.n_features} x {self.n_units}"]
        parts += [f"{share:.0%} of delta"] if share < 1 else []
        parts += [f"{self.input_density:.0%} of the input"] if self.input_density < 1 else []
        return ", ".join(parts if with_input else parts[: 1 + (share < 1)])


# The mnist recipe's.
FORWARD = [
    Layer(100, 100, 1200, "relu"),
    Layer(100, 1200, 1200, "relu"),
    Layer(100, 1200, 784, "sigmoid"),
    Layer(200, 784, 1200),
]
INPUT_GRADIENT = [
    Layer(200, 240, 1200, n_pieces=5),
    Layer(100, 784, 1200, n_pieces=5),  # of the images: the fake half alone
    Layer(100, 1200, 784),
    Layer(100, 1200, 1200, delta_density=0.5),
    Layer(100, 1200, 1200, delta_density=0.12),
]
UPDATE = [
    Layer(200, 240, 1200, n_pieces=5, input_density=0.5),  # dropout
    Layer(200, 784, 1200, n_pieces=5, input_density=0.15),  # MNIST's images, dropout of .8
    Layer(100, 1200, 784, input_density=0.5),
    Layer(100, 1200, 784, input_density=0.12),
    Layer(100, 1200, 1200, delta_density=0.5, input_density=0.5),
    Layer(100, 1200, 1200, delta_density=0.12, input_density=0.53),
    Layer(100, 100, 1200, delta_density=0.5),
]
QUICK = [Layer(9, 13, 20, "relu", n_pieces=5, input_density=0.5)]


def forward(layer: Layer, options: harness.Options) -> harness.Comparison:
    """activation(input weight^T + bias)."""
    input, _, weight, bias = options.device.put(*layer.tensors())
    output = input.new_empty(layer.n_rows, layer.n_units)
    activate = {"relu": F.relu, "sigmoid": torch.sigmoid, "linear": lambda values: values}
    functions = {
        "eager": lambda x, w, b: activate[layer.activation](F.linear(x, w, b)),
    }
    if options.compile:
        functions["torch.compile"] = torch.compile(functions["eager"], dynamic=False)
    expected = functions["eager"](input.double(), weight.double(), bias.double())
    operations = _operations(options.device)
    views = [operations.view(t) for t in (input, weight, bias)]
    out = operations.view(output)

    def ours() -> Tensor:
        operations.linear_forward(*views, layer.activation, out)
        return output

    def error(found: Tensor) -> float:
        return _error((found,), (expected,))

    others = [
        harness.Contender(name, partial(function, input, weight, bias), error)
        for name, function in functions.items()
    ]
    return harness.Comparison(
        operation="linear_forward" + f", {layer.activation}" * (layer.activation != "linear"),
        size=f"{layer.n_rows} x {layer.n_features} x {layer.n_units}",
        contenders=also_in_tf32(
            [harness.Contender("fastgan", ours, error), *others, _floor(input, weight.t())],
            options.device,
        ),
        bound=_bound_on(
            options.device,
            2 * error(functions["eager"](input, weight, bias)),
            (input, weight.t()),
            expected,
        ),
        error_unit="of the maximum",
        device=options.device,
        demand=_demand(layer, input, weight, output),
    )


def input_gradient(layer: Layer, options: harness.Options) -> harness.Comparison:
    """Delta times weight."""
    _, delta, weight, _ = options.device.put(*layer.tensors())
    expected = delta.double() @ weight.double()
    gradient = delta.new_empty(layer.n_rows, layer.n_features)
    operations = _operations(options.device)
    of_delta, of_weight, out = (operations.view(t) for t in (delta, weight, gradient))

    def ours() -> Tensor:
        operations.linear_input_gradient(of_delta, of_weight, Behind(), out)
        return gradient

    def error(found: Tensor) -> float:
        return _error((found,), (expected,))

    # fastgan adds in one fixed order, which shows in the error; the bound is that of such a sum.
    n_terms = int((delta != 0).sum(dim=1).max())
    return harness.Comparison(
        operation="linear_input_gradient",
        size=layer.words(with_input=False),
        contenders=also_in_tf32(
            [
                harness.Contender("fastgan", ours, error),
                harness.Contender("eager", lambda: delta @ weight, error),
                _floor(delta, weight),
            ],
            options.device,
        ),
        bound=bound_of_sum(n_terms) * _cancellation((delta, weight), expected),
        error_unit="of the maximum",
        device=options.device,
        demand=_demand(layer, delta, weight, gradient),
    )


def eager_update(
    delta: Tensor, input: Tensor, weight: Tensor, velocity: Tensor, bias: Tensor, slope: Tensor
) -> None:
    """Write gradients straight into velocities: the fewest passes that eager PyTorch can make."""
    velocity.addmm_(delta.t(), input, beta=MOMENTUM, alpha=-LR)
    slope.mul_(MOMENTUM).sub_(delta.sum(dim=0), alpha=LR)
    weight.add_(velocity)
    bias.add_(slope)


def update(layer: Layer, options: harness.Options) -> harness.Comparison:
    """Gradient, velocity and weight in one."""
    input, delta, weight, bias = options.device.put(*layer.tensors())
    start = (weight, torch.zeros_like(weight), bias, torch.zeros_like(bias))
    wide = tuple(t.double() for t in start)
    eager_update(delta.double(), input.double(), *wide)
    operations = _operations(options.device)
    move = Move(*options.device.numbers(LR, MOMENTUM), None)

    def make(run: Callable[..., Any], state: Arrays) -> Callable[[], Any]:
        return lambda: run(delta, input, *state)

    def ours(delta: Tensor, input: Tensor, *state: Tensor) -> None:
        views = [operations.view(t) for t in (input, *state)]
        operations.linear_update(operations.view(delta), None, *views, move)

    def error_of(run: Callable[..., Any]) -> float:
        """Look at the velocities after one update of fresh copies."""
        state = tuple(t.clone() for t in start)
        run(delta, input, *state)
        return _error(state[1::2], wide[1::2])

    functions = {"fastgan": ours, "eager, addmm_": eager_update}
    if options.compile:
        functions["torch.compile"] = torch.compile(eager_update, dynamic=False)
    contenders = [
        harness.Contender(
            name,
            make(function, tuple(t.clone() for t in start)),
            lambda _, f=function: error_of(f),
        )
        for name, function in functions.items()
    ]
    return harness.Comparison(
        operation="linear_update",
        size=layer.words(with_input=True),
        contenders=also_in_tf32([*contenders, _floor(delta.t(), input)], options.device),
        bound=_bound_on(
            options.device, 2 * error_of(eager_update), (delta.t(), input), wide[1] / LR
        ),
        error_unit="of the largest velocity",
        device=options.device,
        demand=_demand(layer, delta, input, *start[:2], *start[:2]),
    )


CASES: dict[str, tuple[Callable[[Layer, harness.Options], harness.Comparison], list[Layer]]] = {
    "forward": (forward, FORWARD),
    "input_gradient": (input_gradient, INPUT_GRADIENT),
    "update": (update, UPDATE),
}


def comparisons(options: harness.Options) -> Iterator[harness.Comparison]:
    for case in options.cases or CASES:
        make, layers = CASES[case]
        for layer in QUICK if options.quick else layers:
            yield make(layer, options)


def bound_of_sum(n_terms: int) -> float:
    """Return what a float32 sum of so many products, one after the other, is off at most.

    Relative to the sum of their magnitudes: 7 sqrt(n) 2^-24, each of the n roundings being as
    likely up as down. One number in 2e10 is off by more (Higham and Mary, *A new approach to
    probabilistic rounding error analysis*, 2019: 2 exp(-7^2 / 2)).
    """
    return 7.0 * math.sqrt(n_terms) * 2.0**-24


def _operations(device: Device) -> Operations:
    """Return the operations of a fused step: those of the native core, or the kernels."""
    if device.is_gpu:
        from fastgan.fused.triton import TritonOperations

        return TritonOperations()
    operations = NativeOperations()
    operations.n_threads = torch.get_num_threads()
    return operations


def _cancellation(factors: tuple[Tensor, Tensor], expected: Tensor) -> float:
    """Return the largest sum of a product's magnitudes, beside its largest result."""
    left, right = (factor.double().abs() for factor in factors)
    return float((left @ right).max() / expected.abs().max())


def _bound_on(
    device: Device, twice_eager: float, factors: tuple[Tensor, Tensor], expected: Tensor
) -> float:
    """Return twice eager PyTorch's error; on a GPU at least that of one float32 sum.

    There PyTorch adds in many short sums and the kernels in one, of split products.
    """
    if not device.is_gpu:
        return twice_eager
    n_terms = factors[0].shape[1]
    return max(twice_eager, bound_of_sum(n_terms) * _cancellation(factors, expected))


def _demand(layer: Layer, *moved: Tensor) -> Demand:
    """Return what a layer's product takes: dense, each of the tensors read or written once."""
    flops = 2.0 * layer.n_rows * layer.n_features * layer.n_units
    return Demand(product_flops=flops, n_bytes=sum(tensor.nbytes for tensor in moved))


def _floor(left: Tensor, right: Tensor) -> harness.Contender:
    out = left.new_empty(len(left), right.shape[1])
    return harness.Contender("torch.mm", lambda: torch.mm(left, right, out=out), is_floor=True)


def _error(found: Arrays, expected: Arrays) -> float:
    return max(
        float((got.double() - right).abs().max() / right.abs().max())
        for got, right in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize("name", ["fastgan", "eager"])
@harness.on_each_device
def test_linear(benchmark: Any, name: str, device: str) -> None:
    harness.time_with_pytest(benchmark, comparisons(harness.tiny(device)), name)
