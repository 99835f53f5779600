"""A dense layer whose units are maxima of linear pieces.

Source: Goodfellow, Warde-Farley, Mirza, Courville, Bengio, *Maxout Networks*, ICML 2013, section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fastgan.reference.dropout import dropout


def maxout_linear(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    n_pieces: int,
    *,
    include_probability: float = 1.0,
    seed: int | Tensor | None = None,
    step: int | Tensor | None = None,
    stream: int | None = None,
    first_row: int = 0,
) -> tuple[Tensor, Tensor]:
    """Return ``max over j of input @ weight[u * n_pieces + j] + bias[u * n_pieces + j]`` and its j.

    Dropout of the values follows where ``include_probability`` is below 1. Of equal pieces the
    lowest wins, and so does the lowest NaN.
    """
    pieces = torch.nn.functional.linear(input, weight, bias)
    n_units = len(bias) // n_pieces
    values, winner = pieces.reshape(len(input), n_units, n_pieces).max(dim=2)
    if include_probability < 1:
        if seed is None or step is None or stream is None:
            raise ValueError("seed, step, stream: expected all three where units are dropped")
        values = dropout(values, include_probability, seed, step, stream, first_row)
    return values, winner.to(torch.uint8)
