"""Noting launches down: tensors without memory, and what a call on them would launch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from fastgan.kernels.launch import Launch, recording


class Case(NamedTuple):
    """What a call of a launcher launches, by a name that says which size it is."""

    name: str
    launches: list[Launch]


def case(name: str, launcher: Callable[..., Any], *arguments: Any) -> Case:
    """Note down what a call launches."""
    with recording() as launches:
        launcher(*arguments)
    return Case(name, launches)


def tensor(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return a tensor without memory."""
    return torch.empty(shape, dtype=dtype, device="meta")


INTEGER = tensor(dtype=torch.int64)  # such as a seed or a step
NUMBER = tensor(dtype=torch.float64)  # such as a learning rate
