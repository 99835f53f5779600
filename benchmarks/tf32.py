"""PyTorch's products in TF32, on NVIDIA GPUs: faster, less exact, and a row of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import torch

from benchmarks.devices import Device
from benchmarks.harness import Contender


def also_in_tf32(contenders: Iterable[Contender], device: Device) -> list[Contender]:
    """Return contenders, each that is not fastgan's followed by itself in TF32 (NVIDIA GPUs).

    Not those that replay a graph: its products are what they were when it was captured.
    """
    found = []
    for one in contenders:
        found.append(one)
        if has_tf32(device) and not (one.name.startswith("fastgan") or is_replayed(one)):
            found.append(
                dataclasses.replace(
                    one, name=f"{one.name}, TF32", call=in_tf32(one.call), part=None
                )
            )
    return found


def has_tf32(device: Device) -> bool:
    """Say whether PyTorch may make products in TF32 there."""
    return device.is_gpu and torch.version.hip is None


def is_replayed(contender: Contender) -> bool:
    """Say whether a contender replays a captured graph."""
    return "CUDA graph" in contender.name


def in_tf32(call: Callable[[], Any]) -> Callable[[], Any]:
    """Return a call whose float32 products PyTorch may make in TF32."""

    def run() -> Any:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high")
        try:
            return call()
        finally:
            torch.set_float32_matmul_precision(before)

    return run
