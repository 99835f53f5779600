"""Specification of what a fused training step does to a dense layer: plain PyTorch, in place."""

from __future__ import annotations

import torch
from torch import Tensor

from fastgan.reference.momentum_sgd import momentum_sgd


def activate(values: Tensor, activation: str) -> Tensor:
    """Return relu, sigmoid or the values themselves (linear)."""
    if activation == "relu":
        return torch.relu(values)
    return torch.sigmoid(values) if activation == "sigmoid" else values


def linear_forward(
    input: Tensor, weight: Tensor, bias: Tensor | None, activation: str, output: Tensor
) -> None:
    """Write activation(input weight^T + bias), of shape (n, n_units), into ``output``."""
    products = input @ weight.t()
    output.copy_(activate(products if bias is None else products + bias, activation))


def linear_input_gradient(delta: Tensor, weight: Tensor, gradient: Tensor) -> None:
    """Write delta weight, of shape (n, n_features), into ``gradient``."""
    gradient.copy_(delta @ weight)


def linear_update(
    delta: Tensor,
    row_scale: Tensor | None,
    input: Tensor,
    weight: Tensor,
    velocity: Tensor,
    bias: Tensor | None,
    bias_velocity: Tensor | None,
    lr: float,
    momentum: float,
    max_norm: float | None,
) -> None:
    """Move weight and bias against sum_i row_scale[i] delta[i, unit] input[i, :], in place."""
    scaled = delta if row_scale is None else row_scale.unsqueeze(1) * delta
    momentum_sgd(weight, velocity, scaled.t() @ input, lr, momentum, max_norm)
    if bias is not None and bias_velocity is not None:
        momentum_sgd(bias, bias_velocity, scaled.sum(dim=0), lr, momentum, None)


def activation_delta(
    gradient: Tensor, row_scale: Tensor | None, activation: str, values: Tensor, delta: Tensor
) -> None:
    """Write row_scale gradient activation' into ``delta``, with the activation's own values."""
    scaled = gradient if row_scale is None else row_scale.unsqueeze(1) * gradient
    if activation == "relu":
        scaled = torch.where(values <= 0, torch.zeros_like(scaled), scaled)
    elif activation == "sigmoid":
        scaled = scaled * ((1.0 - values) * values)
    delta.copy_(scaled)
