"""A step of plain PyTorch captured as one CUDA graph: what a careful user does against launches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

N_WARM_UP = 3  # calls on a side stream before the capture, as PyTorch's documentation asks for


def captured(step: Callable[[Tensor], Any], batches: Iterator[Tensor]) -> Callable[[], None]:
    """Return a call that copies the next batch into fixed memory and replays the step.

    The graph is made in the first call.

    Parameters
    ----------
    step : callable
        Takes a batch; works on memory that stays where it is, and never waits for the device.
    batches : iterator of Tensor of shape (batch_size, n_features), on a GPU
    """
    made: list[tuple[Tensor, Any]] = []

    def run() -> None:
        batch = next(batches)
        if not made:
            made.append(_capture(step, batch))
        own, graph = made[0]
        own.copy_(batch)
        graph.replay()

    return run


def _capture(step: Callable[[Tensor], Any], batch: Tensor) -> tuple[Tensor, Any]:
    own = batch.clone()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(N_WARM_UP):
            step(own)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(own)
    return own, graph
