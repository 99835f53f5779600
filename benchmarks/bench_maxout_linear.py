"""A maxout layer, forward and backward, against eager PyTorch and torch.compile.

The floor is the layer's dense products: bias, maximum and winner come on top of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import harness
from benchmarks.bench_linear import bound_of_sum
from benchmarks.devices import Demand
from benchmarks.tf32 import also_in_tf32
from fastgan import ops


def eager(input: Tensor, weight: Tensor, bias: Tensor, n_pieces: int) -> Tensor:
    return F.linear(input, weight, bias).unflatten(1, (-1, n_pieces)).max(dim=2).values


def ours(input: Tensor, weight: Tensor, bias: Tensor, n_pieces: int) -> Tensor:
    return ops.maxout_linear(input, weight, bias, n_pieces)[0]


def forward_and_backward(
    function: Callable[..., Tensor], tensors: tuple[Tensor, ...], upstream: Tensor, n_pieces: int
) -> tuple[Tensor, ...]:
    values = function(*tensors, n_pieces)
    return (values.detach(), *torch.autograd.grad(values, tensors, upstream))


def comparisons(options: harness.Options) -> Iterator[harness.Comparison]:
    sizes = [(20, 64, 16, 5)] if options.quick else [(200, 784, 240, 5), (200, 240, 240, 5)]
    for n, n_features, n_units, n_pieces in sizes:
        generator = torch.Generator().manual_seed(0)
        shapes = [(n, n_features), (n_units * n_pieces, n_features), (n_units * n_pieces,)]
        tensors = options.device.put(*(torch.randn(s, generator=generator) for s in shapes))
        upstream = options.device.put(torch.randn(n, n_units, generator=generator))
        size = f"{n} x {n_features} to {n_units} units of {n_pieces} pieces"
        yield _forward(size, tensors, n_pieces, options)
        yield _forward_and_backward(size, tensors, upstream, n_pieces, options)


def _forward(
    size: str, tensors: tuple[Tensor, ...], n_pieces: int, options: harness.Options
) -> harness.Comparison:
    expected = eager(*(t.double() for t in tensors), n_pieces)

    def error(found: Tensor) -> float:
        return largest_error((found,), (expected,))

    functions = {"fastgan": ours, "eager": eager}
    if options.compile:
        functions["torch.compile"] = torch.compile(eager, dynamic=False)
    contenders = [
        harness.Contender(name, lambda f=function: f(*tensors, n_pieces), error)
        for name, function in functions.items()
    ]
    return harness.Comparison(
        operation="maxout_linear, forward",
        size=size,
        contenders=also_in_tf32([*contenders, _products(tensors, backward=False)], options.device),
        # at most twice eager PyTorch's own error
        bound=bound_on(options, 2 * error(eager(*tensors, n_pieces)), tensors, expected),
        error_unit="of the maximum",
        device=options.device,
        demand=demand(tensors, n_pieces, backward=False),
    )


def _forward_and_backward(
    size: str,
    tensors: tuple[Tensor, ...],
    upstream: Tensor,
    n_pieces: int,
    options: harness.Options,
) -> harness.Comparison:
    wide = tuple(t.double().requires_grad_() for t in tensors)
    expected = forward_and_backward(eager, wide, upstream.double(), n_pieces)
    narrow = tuple(t.clone().requires_grad_() for t in tensors)

    def error(found: tuple[Tensor, ...]) -> float:
        return largest_error(found, expected)

    functions = {"fastgan": ours, "eager": eager}
    if options.compile:
        functions["torch.compile"] = torch.compile(eager, dynamic=False)
    contenders = [
        harness.Contender(
            name, lambda f=function: forward_and_backward(f, narrow, upstream, n_pieces), error
        )
        for name, function in functions.items()
    ]
    return harness.Comparison(
        operation="maxout_linear, forward and backward",
        size=size,
        contenders=also_in_tf32([*contenders, _products(tensors, backward=True)], options.device),
        bound=bound_on(
            options,
            2 * error(forward_and_backward(eager, narrow, upstream, n_pieces)),
            tensors,
            expected[0],
        ),
        error_unit="of the maximum",
        device=options.device,
        demand=demand(tensors, n_pieces, backward=True),
    )


def largest_error(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> float:
    return max(
        float((got.double() - right).abs().max() / right.abs().max())
        for got, right in zip(found, expected, strict=True)
    )


def bound_on(
    options: harness.Options, twice_eager: float, tensors: tuple[Tensor, ...], expected: Tensor
) -> float:
    """Return twice eager PyTorch's error; on a GPU at least that of one float32 sum.

    There PyTorch adds in many short sums and the kernels in one, of split products. Of the three
    products of a layer the forward one has the longest sums.
    """
    if not options.device.is_gpu:
        return twice_eager
    input, weight, _ = (tensor.double().abs() for tensor in tensors)
    cancellation = float((input @ weight.t()).max() / expected.abs().max())
    return max(twice_eager, bound_of_sum(input.shape[1]) * cancellation)


def demand(tensors: tuple[Tensor, ...], n_pieces: int, *, backward: bool) -> Demand:
    """Return what a maxout layer takes: forward a dense product, back two of the winners alone.

    Every tensor is moved once: input, weight and bias are read, values and winners written; on the
    way back these and the upstream gradient are read, and the three gradients written.
    """
    input, weight, bias = tensors
    n_values = len(input) * len(weight) // n_pieces
    flops = 2.0 * len(weight) * input.numel()
    n_bytes = input.nbytes + weight.nbytes + bias.nbytes + 5 * n_values
    if backward:
        flops += 2 * flops / n_pieces
        n_bytes += 2 * (input.nbytes + weight.nbytes) + bias.nbytes + 5 * n_values
    return Demand(product_flops=flops, n_bytes=n_bytes)


def _products(tensors: tuple[Tensor, ...], *, backward: bool) -> harness.Contender:
    """Return the dense products of the layer into memory that is there: one forward, two back."""
    input, weight, _ = tensors
    delta = torch.randn(len(input), len(weight), generator=torch.Generator().manual_seed(1))
    delta = delta.to(input.device)
    pairs = [(input, weight.t())]
    pairs += [(delta.t(), input), (delta, weight)] if backward else []
    calls = [
        (left, right, torch.empty(len(left), right.shape[1], device=input.device))
        for left, right in pairs
    ]
    n = 2 * len(calls) * delta.numel() * input.shape[1]

    def run() -> None:
        for left, right, out in calls:
            torch.mm(left, right, out=out)

    return harness.Contender(
        f"torch.mm, {len(calls)} of them" if backward else "torch.mm",
        run,
        is_floor=True,
        remark=lambda _: f"{n / 1e9:.3g} GFLOP",
    )


@pytest.mark.parametrize("name", ["fastgan", "eager"])
@harness.on_each_device
def test_maxout_linear(benchmark: Any, name: str, device: str) -> None:
    harness.time_with_pytest(benchmark, comparisons(harness.tiny(device)), name)
