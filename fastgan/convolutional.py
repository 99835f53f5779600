"""Convolutional layers as ordinary ``nn.Module``s, whose initial weights come from Philox alone.

Rows hold images as (height, width, channels), like every data set's; torch calls that order of the
memory ``channels_last``, so no layer copies its input. Source: the released code's
``cifar10_convolutional.yaml`` and pylearn2's ``MaxoutConvC01B`` and ``Deconv``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastgan import ops
from fastgan.layers import DISCRIMINATOR_WEIGHTS, GENERATOR_WEIGHTS, fill_uniform
from fastgan.recipes import ConvolutionalMaxoutLayer, TransposedConvolutionLayer
from fastgan.streams import Draw, Kind, stream


class TransposedConvolution(nn.Module):
    """A transposed convolution with an untied bias: one for each number of the output.

    Its values come without the layer's activation.

    Parameters
    ----------
    layer : TransposedConvolutionLayer
        Sizes and initial range.
    index : int
        This layer's number in the generator, from 0: its initial weights use it.
    seed : int
        Philox key of the initial weights.

    Attributes
    ----------
    weight : Parameter of shape (input_channels, n_channels, kernel_size, kernel_size)
    bias : Parameter of shape (n_units,), in the order (height, width, channels)
    """

    def __init__(self, layer: TransposedConvolutionLayer, *, index: int, seed: int) -> None:
        super().__init__()
        self.layer = layer
        shape = (layer.input_channels, layer.n_channels, layer.kernel_size, layer.kernel_size)
        self.weight = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.zeros(layer.n_units))
        number = stream(Kind.INITIAL_WEIGHTS, GENERATOR_WEIGHTS, index)
        fill_uniform(self.weight.detach().flatten(1), layer.initial_range, seed, number)

    def forward(self, input: Tensor) -> Tensor:
        """Return the values, of shape (n, n_units), for an input of shape (n, n_inputs)."""
        layer = self.layer
        images = _as_images(input, layer.input_size, layer.input_channels)
        spread = F.conv_transpose2d(images, self.weight, stride=layer.stride)
        return _as_rows(spread) + self.bias

    def extra_repr(self) -> str:
        """Return the sizes for ``repr``."""
        return _sizes(self.layer)


class ConvolutionalMaxout(nn.Module):
    """Convolution, the maximum over pieces, the maximum over windows, then dropout.

    ``conv[c, y, x] = max_j (weight[c n_pieces + j] * input + bias[c n_pieces + j])[y, x]``, the
    bias tied over places; pooling keeps the windows that the border cuts off (ceil mode). Each
    output's gradient goes to one piece at one place; of equal ones to the lowest piece, and there
    to the first place. A NaN wins. The dropout of the OUTPUT is the input dropout of the layer that
    follows, a mask for each element.

    Parameters
    ----------
    layer : ConvolutionalMaxoutLayer
        Sizes and initial range.
    include_probability : float
        Each output is kept with this probability and then divided by it, in training mode only.
    index : int
        This layer's number in the discriminator, from 0: its initial weights use it, and its output
        dropout draws from index + 1, the layer whose input is masked.
    seed : int
        Philox key of the initial weights.
    impl : str
        ``auto``, ``reference``, ``native`` or ``triton``: for the dropout.

    Attributes
    ----------
    weight : Parameter of shape (n_channels * n_pieces, input_channels, kernel_size, kernel_size)
    bias : Parameter of shape (n_channels * n_pieces,)
    """

    def __init__(
        self,
        layer: ConvolutionalMaxoutLayer,
        *,
        include_probability: float,
        index: int,
        seed: int,
        impl: str = "auto",
    ) -> None:
        super().__init__()
        self.layer = layer
        self.include_probability = include_probability
        self.index = index
        self.impl = impl
        n_filters = layer.n_channels * layer.n_pieces
        shape = (n_filters, layer.input_channels, layer.kernel_size, layer.kernel_size)
        self.weight = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.zeros(n_filters))
        number = stream(Kind.INITIAL_WEIGHTS, DISCRIMINATOR_WEIGHTS, index)
        fill_uniform(self.weight.detach().flatten(1), layer.initial_range, seed, number)

    def forward(self, input: Tensor, draw: Draw | None = None) -> Tensor:
        """Return the values, of shape (n, n_units), for an input of shape (n, n_inputs).

        ``draw`` says which masks to use; it is needed in training mode where
        ``include_probability`` is below 1 (else ValueError), and otherwise not looked at.
        """
        layer = self.layer
        images = _as_images(input, layer.input_size, layer.input_channels)
        convolved = F.conv2d(images, self.weight, self.bias, padding=layer.padding)
        # A maximum of maxima is the same in any order. Windows first leave the pieces a quarter of
        # the numbers, and as rows these are neighbours: layer 1 of cifar10-conv takes 0.63 of the
        # time, forward and back.
        pooled = F.max_pool2d(convolved, layer.pool_size, layer.pool_stride, ceil_mode=True)
        pieces = _as_rows(pooled).unflatten(1, (layer.n_units, layer.n_pieces))
        values: Tensor = pieces.max(dim=2).values
        if not self.training or self.include_probability == 1.0:
            return values
        if draw is None:
            raise ValueError(
                f"draw: include_probability {self.include_probability} needs a "
                "fastgan.streams.Draw in training mode, got None"
            )
        return ops.dropout(
            values,
            self.include_probability,
            draw.seed,
            draw.step,
            stream(Kind.DROPOUT, draw.passage, self.index + 1),
            first_row=draw.first_row,
            impl=self.impl,
        )

    def extra_repr(self) -> str:
        """Return the sizes for ``repr``."""
        return f"{_sizes(self.layer)}, include_probability={self.include_probability}"


def _as_images(rows: Tensor, size: int, n_channels: int) -> Tensor:
    """Return rows as (n, channels, height, width), the same memory."""
    return rows.reshape(-1, size, size, n_channels).permute(0, 3, 1, 2)


def _as_rows(images: Tensor) -> Tensor:
    """Return images of shape (n, channels, height, width) as rows; copied if they must be."""
    return images.permute(0, 2, 3, 1).flatten(1)


def _sizes(layer: ConvolutionalMaxoutLayer | TransposedConvolutionLayer) -> str:
    before = f"{layer.input_size}x{layer.input_size}x{layer.input_channels}"
    after = f"{layer.output_size}x{layer.output_size}x{layer.n_channels}"
    return f"{before} to {after}, kernel_size={layer.kernel_size}"
