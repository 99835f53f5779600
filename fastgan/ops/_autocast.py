"""What ``torch.autocast`` means here: half precision may come in, float32 is computed and goes out.

A maximum over pieces, a mask and an update are no matter of half precision: an operation under
autocast takes float16 and bfloat16 tensors as float32, and nothing inside it is cast again. float64
stays float64.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor

HALF = (torch.float16, torch.bfloat16)


def is_on(device: torch.device) -> bool:
    """Say whether autocast is in force for tensors on a device."""
    kind = device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def as_single(*values: Any) -> tuple[Any, ...]:
    """Return the values; under autocast, float32 in place of each tensor of half precision.

    Gradients flow back in half precision. What is no tensor is returned as it is.
    """
    return tuple(
        value.float()
        if isinstance(value, Tensor) and value.dtype in HALF and is_on(value.device)
        else value
        for value in values
    )


def switched_off(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Return a context without autocast on a device: products of float32 stay float32."""
    if is_on(device):
        return torch.autocast(device.type, enabled=False)
    return contextlib.nullcontext()
