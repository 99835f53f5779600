"""The one table of random streams, and what a module needs to draw from them.

Every random number of fastgan is a function of (seed, step, stream, position); nothing is a hidden
state. A stream is a 32-bit number made of three fields, so that no two uses can meet::

    stream = kind << 16 | passage << 8 | layer
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from torch import Tensor


class Kind(IntEnum):
    """What the numbers are for."""

    SHUFFLE = 1  # the order of the training images; step = epoch
    NOISE = 2  # z of a training step; passage says which pass
    INITIAL_WEIGHTS = 3  # passage: 0 generator, 1 discriminator; layer: which one
    DROPOUT = 4  # masks; passage and the layer whose INPUT is masked
    EVALUATION = 5  # z of the samples that are judged
    FIGURES = 6  # z of the pictures
    SPLIT = 7  # splits of data sets and choices of validation images
    TORCH = 8  # seeds of torch's own generators in a batch that processes share


class Passage(IntEnum):
    """Which pass of a training step a number belongs to."""

    REAL = 0  # D on training images
    FAKE = 1  # D on samples; shared by D's fake term and, in the simultaneous schedule, G's cost
    GENERATOR = 2  # the fresh pass that updates G in the alternating schedule


def stream(kind: Kind, passage: int = 0, layer: int = 0) -> int:
    """Return the stream's number, a uint32, for a kind, a passage and a layer (each below 256)."""
    if not 0 <= passage < 256:
        raise ValueError(f"passage: expected a number from 0 to 255, got {passage}")
    if not 0 <= layer < 256:
        raise ValueError(f"layer: expected a number from 0 to 255, got {layer}")
    return int(kind) << 16 | int(passage) << 8 | layer


@dataclass(frozen=True)
class Draw:
    """What a module needs to draw its masks: seed and step (int64, 0-d), passage, first row.

    ``first_row`` is the number of this batch's first row within the whole batch, so that a shard
    draws what the whole would have drawn.
    """

    seed: Tensor
    step: Tensor
    passage: Passage
    first_row: int = 0
