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
        tensors = tuple(torch.randn(shape, generator=generator) for shape in shapes)
        upstream = torch.randn(n, n_units, generator=generator)
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
        contenders=[*contenders, _products(tensors, backward=False)],
        bound=2 * error(eager(*tensors, n_pieces)),  # at most twice eager PyTorch's own error
        error_unit="of the maximum",
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
        contenders=[*contenders, _products(tensors, backward=True)],
        bound=2 * error(forward_and_backward(eager, narrow, upstream, n_pieces)),
        error_unit="of the maximum",
    )


def largest_error(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> float:
    return max(
        float((got.double() - right).abs().max() / right.abs().max())
        for got, right in zip(found, expected, strict=True)
    )


def _products(tensors: tuple[Tensor, ...], *, backward: bool) -> harness.Contender:
    """Return the dense products of the layer into memory that is there: one forward, two back."""
    input, weight, _ = tensors
    delta = torch.randn(len(input), len(weight), generator=torch.Generator().manual_seed(1))
    pairs = [(input, weight.t())]
    pairs += [(delta.t(), input), (delta, weight)] if backward else []
    calls = [(left, right, torch.empty(len(left), right.shape[1])) for left, right in pairs]
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
def test_maxout_linear(benchmark: Any, name: str) -> None:
    harness.time_with_pytest(
        benchmark, comparisons(harness.Options(quick=True, compile=False)), name
    )
