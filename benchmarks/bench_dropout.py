"""Dropout whose mask is a function of seed, step and position, against torch's stateful ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import harness
from benchmarks.devices import Demand
from fastgan import ops
from fastgan.reference.dropout import dropout as reference

SEED, STEP, STREAM = 0, 0, 0


def by_rand(input: Tensor, include_probability: float) -> Tensor:
    kept = torch.rand_like(input) < include_probability
    return input * kept * (1.0 / include_probability)


def comparisons(options: harness.Options) -> Iterator[harness.Comparison]:
    sizes = (
        [(10, 240, 0.5)] if options.quick else [(200, 784, 0.8), (200, 240, 0.5), (4096, 4096, 0.5)]
    )
    for n_rows, n_columns, include in sizes:
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randn(n_rows, n_columns, generator=generator)
        right = reference(drawn.double(), include, SEED, STEP, STREAM)
        input, expected = options.device.put(drawn, right)
        draw = (*options.device.numbers(SEED, STEP), STREAM)

        def ours(x: Tensor = input, p: float = include, draw: Any = draw) -> Tensor:
            return ops.dropout(x, p, *draw)

        def error(found: Tensor, expected: Tensor = expected) -> float:
            return float((found.double() - expected).abs().max() / expected.abs().max())

        contenders = [
            harness.Contender("fastgan", ours, error),
            harness.Contender("eager", lambda x=input, p=include: F.dropout(x, 1 - p)),
            harness.Contender("eager, rand < p", lambda x=input, p=include: by_rand(x, p)),
        ]
        if options.compile:
            compiled = torch.compile(by_rand)
            call = lambda x=input, p=include, c=compiled: c(x, p)  # noqa: E731
            contenders.append(harness.Contender("torch.compile", call))
        yield harness.Comparison(
            operation="dropout",
            size=f"{n_rows} x {n_columns}, include {include}",
            contenders=contenders,
            bound=2 * torch.finfo(torch.float32).eps,  # one product and the rounding of 1 / p
            error_unit="of the maximum",
            device=options.device,
            demand=Demand(vector_flops=input.numel(), n_bytes=2 * input.nbytes),
        )


@pytest.mark.parametrize("name", ["fastgan", "eager"])
@harness.on_each_device
def test_dropout(benchmark: Any, name: str, device: str) -> None:
    harness.time_with_pytest(benchmark, comparisons(harness.tiny(device)), name)
