"""Layers as ordinary ``nn.Module``s, whose initial weights come from Philox alone.

Source: the maxout layers of the paper's discriminators (section 5) and pylearn2's ``Maxout``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fastgan import ops
from fastgan.ops import philox
from fastgan.streams import Draw, Kind, stream

# The two fields of an INITIAL_WEIGHTS stream that say whose weights they are.
GENERATOR_WEIGHTS = 0
DISCRIMINATOR_WEIGHTS = 1


@torch.no_grad()
def fill_uniform(weight: Tensor, initial_range: float, seed: int, stream_number: int) -> None:
    """Fill a weight (n_rows, n_columns) with U(-range, range) drawn by Philox, in place.

    (2u - 1) is exact in float32, so a float64 weight starts from the same draw.
    """
    uniform = philox.uniform(tuple(weight.shape), seed, 0, stream_number, dtype=torch.float32)
    uniform = uniform.to(device=weight.device, dtype=weight.dtype)
    weight.copy_(uniform.mul_(2.0).sub_(1.0).mul_(initial_range))


@torch.no_grad()
def fill_sparse(weight: Tensor, n_weights: int, seed: int, stream_number: int) -> None:
    """Fill a weight (n_units, n_inputs) with n_weights N(0, 1) a unit, the rest 0, in place.

    The places are a unit's ``n_weights`` smallest of ``n_inputs`` uniform numbers (step 0 of the
    stream), so each choice is equally likely; the values are drawn at step 1. Source: pylearn2's
    ``sparse_init``, with ``sparse_stdev`` at its 1.

    Raises ValueError if there are not that many inputs.
    """
    n_units, n_inputs = weight.shape
    if n_weights > n_inputs:
        raise ValueError(
            f"n_sparse_weights: expected at most the layer's {n_inputs} inputs, got {n_weights}"
        )
    keys = philox.uniform((n_units, n_inputs), seed, 0, stream_number, dtype=torch.float32)
    places = keys.argsort(dim=1, stable=True)[:, :n_weights]
    values = philox.normal((n_units, n_weights), seed, 1, stream_number, dtype=torch.float32)
    weight.zero_().scatter_(
        1, places.to(weight.device), values.to(device=weight.device, dtype=weight.dtype)
    )


def dense_linear(n_features: int, n_units: int) -> nn.Linear:
    """Return an ``nn.Linear`` whose values are unset: torch's own generator is not touched."""
    linear: nn.Linear = nn.utils.skip_init(nn.Linear, n_features, n_units)
    return linear


class MaxoutLinear(nn.Module):
    """Maxout: unit u is the maximum of ``n_pieces`` linear pieces of the input.

    ``values[i, u] = max_j (weight[u n_pieces + j] . input[i] + bias[u n_pieces + j])``, pieces
    contiguous, ties to the lowest piece; there is no implicit zero piece. Optionally the dropout
    of the OUTPUT is fused in, which is the input dropout of the layer that follows.

    Parameters
    ----------
    n_features, n_units, n_pieces : int
        Width of the input, of the output, and linear pieces a unit (1 to 256).
    include_probability : float
        Each output is kept with this probability and then divided by it, in training mode only.
        1 leaves the output untouched.
    layer : int
        This layer's number in its network, from 0. Its initial weights use it, and its output
        dropout draws from layer + 1, the layer whose input is masked.
    initial_range : float
        Weights start as U(-range, range) from Philox, biases at 0.
    seed : int
        Philox key of the initial weights.
    impl : str
        ``auto``, ``reference``, ``native`` or ``triton``.

    Attributes
    ----------
    weight : Parameter of shape (n_units * n_pieces, n_features)
    bias : Parameter of shape (n_units * n_pieces,)

    Raises
    ------
    ValueError
        If a size is below 1, or the probability is outside (0, 1].
    """

    def __init__(
        self,
        n_features: int,
        n_units: int,
        n_pieces: int,
        *,
        include_probability: float = 1.0,
        layer: int = 0,
        initial_range: float = 0.005,
        seed: int = 0,
        impl: str = "auto",
    ) -> None:
        super().__init__()
        sizes = {"n_features": n_features, "n_units": n_units, "n_pieces": n_pieces}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name}: expected a whole number of at least 1, got {size}")
        if n_pieces > 256:
            raise ValueError(f"n_pieces: expected at most 256 (a byte says which), got {n_pieces}")
        if not 0.0 < include_probability <= 1.0:
            raise ValueError(
                f"include_probability: expected a number in (0, 1], got {include_probability}"
            )
        self.n_features = n_features
        self.n_units = n_units
        self.n_pieces = n_pieces
        self.include_probability = include_probability
        self.layer = layer
        self.impl = impl
        self.weight = nn.Parameter(torch.empty(n_units * n_pieces, n_features))
        self.bias = nn.Parameter(torch.empty(n_units * n_pieces))
        self.reset_parameters(initial_range, seed)

    def reset_parameters(self, initial_range: float, seed: int) -> None:
        """Draw the weights anew as U(-range, range) from Philox; biases become 0."""
        number = stream(Kind.INITIAL_WEIGHTS, DISCRIMINATOR_WEIGHTS, self.layer)
        fill_uniform(self.weight, initial_range, seed, number)
        with torch.no_grad():
            self.bias.zero_()

    def forward(self, input: Tensor, draw: Draw | None = None) -> Tensor:
        """Return the values, of shape (n, n_units), for an input of shape (n, n_features).

        ``draw`` says which masks to use; it is needed in training mode where
        ``include_probability`` is below 1 (else ValueError), and otherwise not looked at.
        """
        if not self.training or self.include_probability == 1.0:
            values, _ = ops.maxout_linear(
                input, self.weight, self.bias, self.n_pieces, impl=self.impl
            )
            return values
        if draw is None:
            raise ValueError(
                f"draw: include_probability {self.include_probability} needs a "
                "fastgan.streams.Draw in training mode, got None"
            )
        values, _ = ops.maxout_linear(
            input,
            self.weight,
            self.bias,
            self.n_pieces,
            include_probability=self.include_probability,
            seed=draw.seed,
            step=draw.step,
            stream=stream(Kind.DROPOUT, draw.passage, self.layer + 1),
            first_row=draw.first_row,
            impl=self.impl,
        )
        return values

    def extra_repr(self) -> str:
        """Return the sizes for ``repr``."""
        return (
            f"n_features={self.n_features}, n_units={self.n_units}, n_pieces={self.n_pieces}, "
            f"include_probability={self.include_probability}"
        )
