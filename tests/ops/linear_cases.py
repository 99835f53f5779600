"""A dense layer of random or exact numbers in guarded memory, and the ways to make it sparse."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from fastgan import _core
from fastgan.reference import linear as reference

DTYPES = [np.float32, np.float64]
U = {np.float32: 2.0**-24, np.float64: 2.0**-53}
TINY = {np.float32: 2.0**-126, np.float64: 2.0**-1022}
ACTIVATIONS = ["linear", "relu", "sigmoid"]

# (n_rows, n_features, n_units): every height and width of a tile and what is left over of it, the
# end of a register, the blocks of 1,024 features and of 256 units, more than a task's share of
# units, and enough products for the threads.
SHAPES = [
    (1, 1, 1),
    (1, 17, 83),
    (2, 3, 5),
    (3, 15, 2),
    (4, 16, 4),
    (4, 49, 40),
    (5, 47, 7),
    (5, 100, 41),
    (6, 33, 10),
    (7, 48, 8),
    (7, 31, 39),
    (8, 1023, 3),
    (8, 49, 16),
    (9, 1024, 6),
    (12, 1025, 9),
    (13, 17, 257),
    (16, 24, 255),
    (17, 8, 256),
    (23, 129, 24),
    (100, 100, 83),
    (100, 784, 80),
    (200, 5, 1200),
    (200, 240, 100),
    (50, 1200, 81),
    (3, 1200, 1),
]


class Move(NamedTuple):
    """How a weight moves."""

    lr: float = 0.1
    momentum: float = 0.6
    max_norm: float | None = None


@dataclass
class Layer:
    """Arrays of a layer: a delta is a gradient of its products."""

    input: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    delta: np.ndarray
    row_scale: np.ndarray
    velocity: np.ndarray
    bias_velocity: np.ndarray

    @property
    def shape(self):
        """Return (n_rows, n_features, n_units)."""
        return (*self.input.shape, len(self.weight))

    def exact(self):
        """Return the same numbers in float64."""
        return Layer(**{name: array.astype(np.float64) for name, array in vars(self).items()})

    def forward(self, activation="linear", n_threads=1, bias=True):
        """Return the native core's output."""
        output = guarded((len(self.input), len(self.weight)), self.input.dtype)
        _core.linear_forward(
            self.input, self.weight, self.bias if bias else None, activation, output, n_threads
        )
        return untouched_around(output)

    def input_gradient(self, n_threads=1):
        """Return the native core's gradient of the input."""
        gradient = guarded(self.input.shape, self.input.dtype)
        _core.linear_input_gradient(self.delta, self.weight, gradient, n_threads)
        return untouched_around(gradient)

    def update(self, move, n_threads=1, scaled=True, bias=True):
        """Return the native core's moved weight, velocity, bias and velocity of the bias."""
        moved = [
            guarded(array.shape, array.dtype, array)
            for array in (self.weight, self.velocity, self.bias, self.bias_velocity)
        ]
        weight, velocity, *biases = moved
        _core.linear_update(
            self.delta,
            self.row_scale if scaled else None,
            self.input,
            weight,
            velocity,
            *(biases if bias else (None, None)),
            move.lr,
            move.momentum,
            np.inf if move.max_norm is None else move.max_norm,
            n_threads,
        )
        return [untouched_around(array) for array in moved]

    def reference_forward(self, activation="linear", bias=True):
        """Return the specification's output."""
        output = torch.empty(len(self.input), len(self.weight), dtype=of(self.input).dtype)
        reference.linear_forward(
            of(self.input), of(self.weight), of(self.bias) if bias else None, activation, output
        )
        return output.numpy()

    def reference_update(self, move, scaled=True, bias=True):
        """Return the specification's moved weight, velocity, bias and velocity of the bias."""
        moved = [
            of(array.copy())
            for array in (self.weight, self.velocity, self.bias, self.bias_velocity)
        ]
        weight, velocity, *biases = moved
        reference.linear_update(
            of(self.delta),
            of(self.row_scale) if scaled else None,
            of(self.input),
            weight,
            velocity,
            *(biases if bias else (None, None)),
            *move,
        )
        return [tensor.numpy() for tensor in moved]


def of(array):
    """Return the tensor over an array."""
    return torch.from_numpy(array)


def layer(shape, dtype=np.float32, density=1.0, seed=0):
    """Return a layer of normal numbers of which a share of the delta's is not zero."""
    n_rows, n_features, n_units = shape
    random = np.random.default_rng([seed, *shape])

    def normal(*size, scale=1.0):
        return (random.standard_normal(size) * scale).astype(dtype)

    delta = normal(n_rows, n_units)
    delta[random.random(delta.shape) >= density] = 0
    return Layer(
        input=normal(n_rows, n_features),
        weight=normal(n_units, n_features, scale=n_features**-0.5),
        bias=normal(n_units),
        delta=delta,
        row_scale=random.uniform(0.5, 2.0, n_rows).astype(dtype),
        velocity=normal(n_units, n_features, scale=0.1),
        bias_velocity=normal(n_units, scale=0.1),
    )


def whole_numbers(shape, dtype=np.float32, density=1.0):
    """Return a layer of small whole numbers: every sum is exact, in any order."""
    made = layer(shape, np.float64, density)
    rounded = {
        name: np.where(array != 0, np.clip(np.rint(2 * array), -4, 4), 0).astype(dtype)
        for name, array in vars(made).items()
    }
    return Layer(**rounded)


GUARD = 97  # numbers on each side, and an odd offset: no register's alignment
MARK = -12345.0


def guarded(shape, dtype, values=None):
    """Return an array within a larger one that is filled with a mark; NaN where no values came."""
    size = int(np.prod(shape))
    whole = np.full(size + 2 * GUARD, MARK, dtype)
    view = whole[GUARD : GUARD + size].reshape(shape)
    view[...] = np.nan if values is None else values
    return view


def untouched_around(view):
    """Return a guarded array; fail if a number before or after it was written."""
    whole = view
    while whole.base is not None:
        whole = whole.base
    assert whole.size == view.size + 2 * GUARD
    assert (whole[:GUARD] == MARK).all(), "written before the output"
    assert (whole[-GUARD:] == MARK).all(), "written after the output"
    return view


def interleaved(array, n_between, fill, axis):
    """Return the array with n_between slices after each slice: of its own numbers, or of fill."""
    own = np.moveaxis(array, axis, 0)
    wide = np.empty((len(own) * (1 + n_between), *own.shape[1:]), array.dtype)
    wide[...] = fill
    wide[:: 1 + n_between] = own
    return np.ascontiguousarray(np.moveaxis(wide, 0, axis))
