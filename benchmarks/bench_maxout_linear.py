"""A maxout layer, forward and backward, against eager PyTorch and torch.compile."""

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
        wide = tuple(t.double().requires_grad_() for t in tensors)
        for t in tensors:
            t.requires_grad_()
        expected = forward_and_backward(eager, wide, upstream.double(), n_pieces)

        def run(
            function: Callable[..., Tensor],
            t: tuple[Tensor, ...] = tensors,
            u: Tensor = upstream,
            k: int = n_pieces,
        ) -> Callable[[], tuple[Tensor, ...]]:
            return lambda: forward_and_backward(function, t, u, k)

        def error(found: tuple[Tensor, ...], expected: tuple[Tensor, ...] = expected) -> float:
            return max(
                float((got.double() - right).abs().max() / right.abs().max())
                for got, right in zip(found, expected, strict=True)
            )

        calls = {"fastgan": run(ours), "eager": run(eager)}
        if options.compile:
            calls["torch.compile"] = run(torch.compile(eager))
        yield harness.Comparison(
            operation="maxout_linear, forward and backward",
            size=f"{n} x {n_features} to {n_units} units of {n_pieces} pieces",
            contenders=[harness.Contender(k, call, error) for k, call in calls.items()],
            bound=2 * error(calls["eager"]()),  # at most twice eager PyTorch's own error
            error_unit="of the maximum",
        )


@pytest.mark.parametrize("name", ["fastgan", "eager"])
def test_maxout_linear(benchmark: Any, name: str) -> None:
    harness.time_with_pytest(
        benchmark, comparisons(harness.Options(quick=True, compile=False)), name
    )
