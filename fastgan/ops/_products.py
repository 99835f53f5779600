"""The three products of a dense layer on the CPU, by the native core's threads.

Not ``torch.mm``, but for small ones: its threads go on spinning for a while on the cores that the
native pool's need next, and it multiplies by the zeros of a maxout layer's gradient.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fastgan import _core
from fastgan.ops._registry import array

# Native kernels go along the features, by vectors; below so many most of a vector would be idle.
_LEAST_FEATURES = 16
# Below so many multiplications the native threads' waking costs more than it saves.
_LEAST_PRODUCTS = 1 << 22
# The core's forward product is made for a batch: of 1,000 rows it takes twice as long as torch's.
_MOST_ROWS = 400
# The core adds up rows one after the other; more of them would round too often.
_ROWS_IN_A_SUM = 512


def forward_product(input: Tensor, weight: Tensor) -> Tensor:
    """Return input weight^T, of (n, n_features) and (n_units, n_features)."""
    if _is_small(len(input), len(weight), weight.shape[1]) or len(input) > _MOST_ROWS:
        return torch.mm(input, weight.t())
    output = input.new_empty((input.shape[0], weight.shape[0]))
    _core.linear_forward(
        array(input), array(weight), None, "linear", output.numpy(), torch.get_num_threads()
    )
    return output


def input_gradient(delta: Tensor, weight: Tensor) -> Tensor:
    """Return delta weight, of (n, n_units) and (n_units, n_features).

    A zero in delta costs nothing.
    """
    if _is_small(len(delta), delta.shape[1], weight.shape[1]):
        return torch.mm(delta, weight)
    gradient = delta.new_empty((delta.shape[0], weight.shape[1]))
    _core.linear_input_gradient(
        array(delta), array(weight), gradient.numpy(), torch.get_num_threads()
    )
    return gradient


def weight_gradient(delta: Tensor, input: Tensor) -> Tensor:
    """Return delta^T input, of (n, n_units) and (n, n_features).

    A zero in delta costs nothing.
    """
    if _is_small(len(delta), delta.shape[1], input.shape[1]):
        return torch.mm(delta.t(), input)
    # a velocity that nothing slows down, after a step of -1 for each block of rows; the first block
    # does not read it
    velocity = delta.new_empty((delta.shape[1], input.shape[1]))
    for first in range(0, len(delta), _ROWS_IN_A_SUM):
        rows = slice(first, first + _ROWS_IN_A_SUM)
        _core.linear_update(
            delta=array(delta[rows]),
            row_scale=None,
            input=array(input[rows]),
            weight=velocity.numpy(),  # neither read nor written
            velocity=velocity.numpy(),
            bias=None,
            bias_velocity=None,
            lr=-1.0,
            momentum=1.0 if first else 0.0,
            max_norm=math.inf,
            n_threads=torch.get_num_threads(),
            velocity_only=True,
        )
    return velocity


def _is_small(n: int, n_units: int, n_features: int) -> bool:
    """Say whether the product is left to torch."""
    return n_features < _LEAST_FEATURES or n * n_units * n_features < _LEAST_PRODUCTS
