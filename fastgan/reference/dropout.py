"""Dropout whose mask is a function of seed, step, stream and position."""

from __future__ import annotations

import torch
from torch import Tensor

from fastgan.reference import philox


def dropout(
    input: Tensor,
    include_probability: float,
    seed: int | Tensor,
    step: int | Tensor,
    stream: int,
    first_row: int = 0,
) -> Tensor:
    """Return ``input / include_probability`` where the mask keeps, 0 elsewhere."""
    n_columns = input[:1].numel() if input.shape[0] else 0
    seed = philox.as_scalar(seed).to(input.device)  # the mask is drawn there
    mask = philox.keep(
        first_row * n_columns, input.numel(), include_probability, seed, step, stream
    ).reshape(input.shape)
    scale = 1.0 / include_probability
    return torch.where(mask, input * scale, 0.0)
