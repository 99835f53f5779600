"""Uniform and normal numbers that are functions of (seed, step, stream), against stateful ones.

Two floors: the numbers must be written, and ten rounds of Philox must be multiplied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks import harness, philox_floor
from benchmarks.devices import Demand
from fastgan.ops import philox
from fastgan.reference import philox as reference

DRAW = (1, 2, 3)  # seed, step, stream
CHECKED_AT_ONCE = 1_000_000
LEAST_FOR_THREADS = 1_000_000  # fewer multiplications take less than handing them to threads
# A mask of the mnist recipe's; and as many as stay within memory that malloc keeps: of more, half
# the time goes into new pages (10,000,000: 30 of 47 ms).
SIZES = (200 * 784, 2_000_000)
NORMAL_BOUND = 2.0  # units in the last place: the operation's contract


def largest_difference(found: Tensor, expected: Callable[..., Tensor]) -> float:
    """Compare with the reference, bit for bit."""
    return _largest(found, expected, lambda got, right: got.double().sub_(right.double()).abs_())


def units_apart(found: Tensor, expected: Callable[..., Tensor]) -> float:
    """Compare with the reference, in units of the last place of the reference's float32."""

    def difference(got: Tensor, right: Tensor) -> Tensor:
        unit = torch.from_numpy(np.spacing(right.abs().numpy()).astype(np.float64))
        return got.double().sub_(right.double()).abs_() / unit

    return _largest(found, expected, difference)


def _largest(
    found: Tensor,
    expected: Callable[..., Tensor],
    difference: Callable[[Tensor, Tensor], Tensor],
) -> float:
    largest = 0.0
    found = found.cpu()
    for first in range(0, len(found), CHECKED_AT_ONCE):
        got = found[first : first + CHECKED_AT_ONCE]
        right = expected((len(got),), *DRAW, first_row=first)
        largest = max(largest, float(difference(got, right).max()))
    return largest


def comparisons(options: harness.Options) -> Iterator[harness.Comparison]:
    for n in (2_000,) if options.quick else SIZES:
        yield from (_uniform(n, options), _normal(n, options))


def _uniform(n: int, options: harness.Options) -> harness.Comparison:
    where = options.device.torch_device
    draw = _draw_on(options)

    def ours() -> Tensor:
        return philox.uniform((n,), *draw)

    contenders = [
        harness.Contender(
            "fastgan", ours, lambda found: largest_difference(found, reference.uniform)
        ),
        harness.Contender("torch.rand", lambda: torch.rand(n, device=where)),
    ]
    if not options.device.is_gpu:
        generator = np.random.Generator(np.random.Philox(1))
        contenders.append(
            harness.Contender(
                "NumPy's Philox (4x64, ten rounds)",
                lambda: generator.random(n, dtype=np.float32),
            )
        )
    if options.compile:
        # its own Philox 4x32, ten rounds, a block a number
        contenders.append(harness.Contender("torch.compile", _compiled(torch.rand, n, where)))
    return harness.Comparison(
        operation="philox.uniform",
        size=f"{n:,} numbers",
        contenders=[*contenders, *_floors(n, options)],
        bound=0.0,
        error_unit="apart from the reference",
        device=options.device,
        demand=Demand(n_bytes=4 * n),
    )


def _normal(n: int, options: harness.Options) -> harness.Comparison:
    where = options.device.torch_device
    draw = _draw_on(options)

    def ours() -> Tensor:
        return philox.normal((n,), *draw)

    contenders = [
        harness.Contender("fastgan", ours, lambda found: units_apart(found, reference.normal)),
        harness.Contender("torch.randn", lambda: torch.randn(n, device=where)),
    ]
    if not options.device.is_gpu:
        generator = np.random.Generator(np.random.Philox(1))
        contenders.append(
            harness.Contender(
                "NumPy's Philox and ziggurat",
                lambda: generator.standard_normal(n, dtype=np.float32),
            )
        )
    if options.compile:
        contenders.append(harness.Contender("torch.compile", _compiled(torch.randn, n, where)))
    return harness.Comparison(
        operation="philox.normal",
        size=f"{n:,} numbers",
        contenders=[*contenders, *_floors(n, options)],
        bound=NORMAL_BOUND,
        error_unit="units in the last place",
        device=options.device,
        # logarithm, root and a sine or cosine for each; the words themselves are integers' work
        demand=Demand(special_functions=2 * n, n_bytes=4 * n),
    )


def _draw_on(options: harness.Options) -> tuple[int | Tensor, int | Tensor, int]:
    """Return seed, step and stream; the numbers are made where the seed is."""
    seed, step, stream = DRAW
    return (*options.device.numbers(seed, step), stream)


def _floors(n: int, options: harness.Options) -> list[harness.Contender]:
    where = options.device.torch_device
    floors = [
        # into new memory, as all the others do
        harness.Contender(
            "writing them", lambda: torch.empty(n, device=where).fill_(0.5), is_floor=True
        )
    ]
    if options.compile and n >= LEAST_FOR_THREADS and not options.device.is_gpu:
        floors.append(
            harness.Contender(
                "Philox's multiplications",
                philox_floor.multiplications(n, torch.get_num_threads()),
                is_floor=True,
            )
        )
    return floors


def _compiled(draw: Callable[..., Tensor], n: int, where: torch.device) -> Callable[[], Tensor]:
    compiled: Callable[[], Tensor] = torch.compile(lambda: draw(n, device=where), dynamic=False)
    return compiled


@pytest.mark.parametrize("name", ["fastgan", "torch.rand"])
@harness.on_each_device
def test_philox(benchmark: Any, name: str, device: str) -> None:
    harness.time_with_pytest(benchmark, comparisons(harness.tiny(device)), name)
