"""The update with momentum and max-norm, against eager PyTorch, torch.compile and torch.optim.

The floor is memory: three arrays are read and two written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks import harness
from benchmarks.devices import Demand
from benchmarks.training_steps.plain_step import ROWS_APART
from fastgan import ops

LR, MOMENTUM = 0.05, 0.6
Update = Callable[[Tensor, Tensor, Tensor, float | None], None]


def eager(weight: Tensor, velocity: Tensor, gradient: Tensor, max_norm: float | None) -> None:
    velocity.mul_(MOMENTUM).add_(gradient, alpha=-LR)
    weight.add_(velocity)
    if max_norm is not None:
        norm = torch.linalg.vector_norm(weight, dim=1, keepdim=True)
        weight.mul_(norm.clamp(max=max_norm) / (1e-7 + norm))


def traffic(weight: Tensor, velocity: Tensor, gradient: Tensor) -> None:
    """Move what any update must: weight and velocity read and written in place, gradient read."""
    weight.neg_()
    velocity.neg_()
    gradient.sum()


def ours_at(rates: Sequence[float | Tensor]) -> Update:
    def update(weight: Tensor, velocity: Tensor, gradient: Tensor, max_norm: float | None) -> None:
        ops.momentum_sgd(weight, velocity, gradient, *rates, max_norm)

    return update


def comparisons(options: harness.Options) -> Iterator[harness.Comparison]:
    sizes = [(80, 64)] if options.quick else [(1200, 784), (8000, 2304)]
    rates = options.device.numbers(LR, MOMENTUM)
    for n_rows, n_columns in sizes:
        for max_norm in (None, 1.9365):
            generator = torch.Generator().manual_seed(0)
            start = [
                options.device.put(torch.randn(n_rows, n_columns, generator=generator))
                for _ in range(3)
            ]
            wide = [t.double() for t in start]
            eager(*wide, max_norm)

            def against(
                update: Update,
                start: list[Tensor] = start,
                wide: list[Tensor] = wide,
                max_norm: float | None = max_norm,
            ) -> Callable[[Any], float]:
                def error(_: Any) -> float:  # on fresh copies: what was timed has moved on
                    copies = [t.clone() for t in start]
                    update(*copies, max_norm)
                    return max(
                        float((got.double() - right).abs().max() / right.abs().max())
                        for got, right in zip(copies, wide, strict=True)
                    )

                return error

            updates: dict[str, Update] = {"fastgan": ours_at(rates), "eager": eager}
            if options.compile:
                together = None if max_norm is None else ROWS_APART
                updates["torch.compile"] = torch.compile(eager, dynamic=False, options=together)
            contenders = []
            for name, update in updates.items():
                # A small gradient and momentum below 1: the weights stay finite however often.
                state = [t.clone() for t in start]
                call = lambda u=update, s=state, c=max_norm: u(*s, c)  # noqa: E731
                contenders.append(harness.Contender(name, call, against(update)))
            if max_norm is None:
                weight = torch.nn.Parameter(start[0].clone())
                weight.grad = start[2].clone()
                optimizer = torch.optim.SGD([weight], lr=LR, momentum=MOMENTUM, fused=True)
                contenders.append(harness.Contender("torch.optim.SGD, fused", optimizer.step))
            copies = [t.clone() for t in start]
            bytes_moved = 5 * start[0].numel() * start[0].element_size()
            contenders.append(
                harness.Contender(
                    "its memory traffic",
                    lambda s=copies: traffic(*s),
                    is_floor=True,
                    remark=lambda _, n=bytes_moved: f"{n / 1e6:.3g} MB read or written",
                )
            )
            yield harness.Comparison(
                operation="momentum_sgd",
                size=f"{n_rows} x {n_columns}, "
                + (f"max-norm {max_norm}" if max_norm else "no limit"),
                contenders=contenders,
                # twice eager PyTorch's own error, but never less than one rounding
                bound=max(2 * against(eager)(None), torch.finfo(torch.float32).eps),
                error_unit="of the maximum",
                device=options.device,
                demand=Demand(vector_flops=4 * start[0].numel(), n_bytes=bytes_moved),
            )


@pytest.mark.parametrize("name", ["fastgan", "eager"])
@harness.on_each_device
def test_momentum_sgd(benchmark: Any, name: str, device: str) -> None:
    harness.time_with_pytest(benchmark, comparisons(harness.tiny(device)), name)
