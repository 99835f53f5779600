"""Gradient descent with classical momentum and a limit on the norm of each row.

Sources: the paper's released recipes (momentum and learning rate as in pylearn2's SGD), and
Srivastava et al., *Dropout*, JMLR 2014, section 5.1 for the max-norm constraint.
"""

from __future__ import annotations

import torch
from torch import Tensor

NORM_EPSILON = 1e-7  # pylearn2's MLP layers, max_col_norm: w * min(|w|, c) / (1e-7 + |w|)


def momentum_sgd(
    weight: Tensor,
    velocity: Tensor,
    gradient: Tensor,
    lr: float | Tensor,
    momentum: float | Tensor,
    max_norm: float | None = None,
) -> None:
    """Update in place: ``v = momentum v - lr g``, ``w += v``, then each row's norm is limited."""
    with torch.no_grad():
        velocity.copy_(momentum * velocity - lr * gradient)
        weight += velocity
        if max_norm is not None:
            norm = weight.double().square().sum(dim=1, keepdim=True).sqrt()
            weight *= (norm.clamp(max=max_norm) / (NORM_EPSILON + norm)).to(weight.dtype)
