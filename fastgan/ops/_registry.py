"""How an operation becomes a torch op: schema, fake, autograd and kernels, registered once.

``torch.library.Library`` is used directly: a call through it costs 1 us over its kernel, where
``torch.library.custom_op`` costs 7 (one core of a 2.6 GHz Xeon). Tensors go to the native core as
NumPy arrays over the same memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

LIBRARY = torch.library.Library("fastgan", "DEF")
AUTOCAST_DEVICES = ("cpu", "cuda")


def register(
    schema: str,
    *,
    fake: Callable[..., Any],
    cpu: Callable[..., Any] | None = None,
    cuda: Callable[..., Any] | None = None,
    every_device: Callable[..., Any] | None = None,
    backward: Callable[..., Any] | None = None,
    setup_context: Callable[..., None] | None = None,
    in_single_precision: bool = False,
) -> Callable[..., Any]:
    """Register ``fastgan::<schema>`` and return the function that calls it.

    ``backward`` and ``setup_context`` are those of :func:`torch.library.register_autograd`; an
    operation without them has no gradient. Its kernels are ``cpu`` and ``cuda`` (ROCm too), or
    ``every_device``. With ``in_single_precision``, ``torch.autocast`` hands it float32 for every
    tensor of floating point but float64; no tensor may then be written in place.
    """
    name = schema.partition("(")[0]
    LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    kernels = ((cpu, "CPU"), (cuda, "CUDA"), (every_device, "CompositeExplicitAutograd"))
    for function, key in kernels:
        if function is not None:
            LIBRARY.impl(name, function, key)
    torch.library.register_fake(f"fastgan::{name}", fake, lib=LIBRARY)
    if backward is not None:
        torch.library.register_autograd(
            f"fastgan::{name}", backward, setup_context=setup_context, lib=LIBRARY
        )
    if in_single_precision:
        for device in AUTOCAST_DEVICES:
            torch.library.register_autocast(f"fastgan::{name}", device, torch.float32, lib=LIBRARY)
    overload: Callable[..., Any] = getattr(torch.ops.fastgan, name).default
    return overload


def array(tensor: Tensor) -> Any:
    """Return the tensor's memory as a C-contiguous NumPy array; a copy if it is not contiguous."""
    return tensor.detach().contiguous().numpy()
