"""How an operation becomes a torch op: schema, fake, autograd, CPU kernel, registered once.

``torch.library.Library`` is used directly: a call through it costs 2 us over the kernel, where
``torch.library.custom_op`` costs 10. Tensors go to the native core as NumPy arrays over the same
memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

LIBRARY = torch.library.Library("fastgan", "DEF")


def register(
    schema: str,
    *,
    cpu: Callable[..., Any],
    fake: Callable[..., Any],
    backward: Callable[..., Any] | None = None,
    setup_context: Callable[..., None] | None = None,
) -> Callable[..., Any]:
    """Register ``fastgan::<schema>`` and return the function that calls it.

    ``backward`` and ``setup_context`` are those of :func:`torch.library.register_autograd`; an
    operation without them refuses to be differentiated.
    """
    name = schema.partition("(")[0]
    LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    LIBRARY.impl(name, cpu, "CPU")
    torch.library.register_fake(f"fastgan::{name}", fake, lib=LIBRARY)
    if backward is not None:
        torch.library.register_autograd(
            f"fastgan::{name}", backward, setup_context=setup_context, lib=LIBRARY
        )
    overload: Callable[..., Any] = getattr(torch.ops.fastgan, name).default
    return overload


def array(tensor: Tensor) -> Any:
    """Return the tensor's memory as a C-contiguous NumPy array; a copy if it is not contiguous."""
    return tensor.detach().contiguous().numpy()
