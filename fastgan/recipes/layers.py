"""The layers that a recipe is made of, as plain values: sizes, initial weights, dropout.

A layer of the generator is a :class:`DenseLayer` or a :class:`TransposedConvolutionLayer`, one of
the discriminator a :class:`MaxoutLayer` or a :class:`ConvolutionalMaxoutLayer`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fastgan.checks import check_integer, check_number, check_probability

Activation = Literal["relu", "sigmoid", "linear"]


def one_of(field: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise ValueError, naming the field, if a word is not one of those allowed."""
    if value not in allowed:
        choices = ", ".join(repr(choice) for choice in allowed)
        raise ValueError(f"{field}: expected one of {choices}, got {value!r}")


def at_least(field: str, value: float, minimum: float) -> None:
    """Raise TypeError or ValueError, naming the field, if it is no number from ``minimum`` on."""
    check_number(field, value)
    if value < minimum:
        raise ValueError(f"{field}: expected a number of at least {minimum}, got {value}")


@dataclass(frozen=True)
class DenseLayer:
    """A layer of the generator: activation(weight x + bias)."""

    n_units: int
    activation: Activation
    initial_range: float  # weights start as U(-range, range), unless they start sparse
    bias_from_data: bool = False  # the bias starts at the logit of the mean training pixel
    initial_bias: float = 0.0  # and else at this
    # Each unit starts with so many weights N(0, 1) at random places and the rest 0 (pylearn2's
    # sparse_init; Martens, *Deep learning via Hessian-free optimization*, 2010). 0: as above.
    n_sparse_weights: int = 0

    def __post_init__(self) -> None:
        check_integer("n_units", self.n_units, 1)
        one_of("activation", self.activation, ("relu", "sigmoid", "linear"))
        at_least("initial_range", self.initial_range, 0.0)
        check_number("initial_bias", self.initial_bias)
        check_integer("n_sparse_weights", self.n_sparse_weights, 0)
        if self.bias_from_data and self.activation != "sigmoid":
            raise ValueError(
                "bias_from_data: a logit is the bias of a sigmoid, "
                f"got activation {self.activation!r}"
            )
        if self.bias_from_data and self.initial_bias != 0.0:
            raise ValueError(
                f"initial_bias: expected 0 where the data sets the bias, got {self.initial_bias}"
            )
        if self.n_sparse_weights and self.initial_range != 0.0:
            raise ValueError(
                "initial_range: expected 0 where n_sparse_weights sets the weights, "
                f"got {self.initial_range}"
            )

    @property
    def n_inputs(self) -> int | None:
        """Numbers that it takes: as many as come."""
        return None


@dataclass(frozen=True)
class TransposedConvolutionLayer:
    """A layer of the generator that spreads channels over a larger square image.

    ``activation(convolution^T(x) + bias)``, the bias untied: one for each number of the output. The
    input is the row before, taken as (size, size, channels); so is the output.
    """

    input_size: int  # height and width
    input_channels: int
    n_channels: int  # of the output
    kernel_size: int
    stride: int
    activation: Activation
    initial_range: float  # weights start as U(-range, range), biases at 0

    def __post_init__(self) -> None:
        for field in ("input_size", "input_channels", "n_channels", "kernel_size", "stride"):
            check_integer(field, getattr(self, field), 1)
        one_of("activation", self.activation, ("relu", "sigmoid", "linear"))
        at_least("initial_range", self.initial_range, 0.0)

    @property
    def n_inputs(self) -> int:
        """Numbers that it takes."""
        return self.input_size**2 * self.input_channels

    @property
    def output_size(self) -> int:
        """Height and width of the output: (input_size - 1) stride + kernel_size."""
        return (self.input_size - 1) * self.stride + self.kernel_size

    @property
    def n_units(self) -> int:
        """Numbers that it gives."""
        return self.output_size**2 * self.n_channels


@dataclass(frozen=True)
class MaxoutLayer:
    """A hidden layer of the discriminator: the maximum of ``n_pieces`` linear pieces a unit."""

    n_units: int
    n_pieces: int
    include_probability: float  # dropout on the layer's INPUT: kept with this probability
    initial_range: float  # weights start as U(-range, range), biases at 0

    def __post_init__(self) -> None:
        check_integer("n_units", self.n_units, 1)
        check_integer("n_pieces", self.n_pieces, 1, 256)
        check_probability("include_probability", self.include_probability)
        at_least("initial_range", self.initial_range, 0.0)

    @property
    def n_inputs(self) -> int | None:
        """Numbers that it takes: as many as come."""
        return None


@dataclass(frozen=True)
class ConvolutionalMaxoutLayer:
    """A hidden layer of the discriminator: convolution, maximum over pieces, maximum over places.

    Each of ``n_channels`` channels is the maximum of ``n_pieces`` convolutions, whose biases are
    tied over places; then the maximum over ``pool_size`` x ``pool_size`` windows a ``pool_stride``
    apart, the last window cut off at the border (ceil mode). The input is the row before, taken as
    (size, size, channels), and so is the output.
    """

    input_size: int  # height and width
    input_channels: int
    n_channels: int  # of the output
    n_pieces: int
    kernel_size: int
    padding: int  # zeros at each border
    pool_size: int
    pool_stride: int
    include_probability: float  # dropout on the layer's INPUT, each element: kept with this prob.
    initial_range: float  # weights start as U(-range, range), biases at 0

    def __post_init__(self) -> None:
        sizes = ("input_size", "input_channels", "n_channels", "kernel_size")
        for field in (*sizes, "pool_size", "pool_stride"):
            check_integer(field, getattr(self, field), 1)
        check_integer("n_pieces", self.n_pieces, 1, 256)
        check_integer("padding", self.padding, 0)
        check_probability("include_probability", self.include_probability)
        at_least("initial_range", self.initial_range, 0.0)
        if self.kernel_size > self.input_size + 2 * self.padding:
            raise ValueError(
                f"kernel_size: expected at most {self.input_size + 2 * self.padding}, the input "
                f"with its padding, got {self.kernel_size}"
            )
        if self.pool_size > self.convolved_size:
            raise ValueError(
                f"pool_size: expected at most {self.convolved_size}, what the convolution leaves, "
                f"got {self.pool_size}"
            )
        if self.pool_stride > self.pool_size:
            raise ValueError(
                f"pool_stride: expected at most pool_size, {self.pool_size}, so that no place is "
                f"left out, got {self.pool_stride}"
            )

    @property
    def n_inputs(self) -> int:
        """Numbers that it takes."""
        return self.input_size**2 * self.input_channels

    @property
    def convolved_size(self) -> int:
        """Height and width after the convolution: input_size + 2 padding - kernel_size + 1."""
        return self.input_size + 2 * self.padding - self.kernel_size + 1

    @property
    def output_size(self) -> int:
        """Height and width after pooling: ceil((convolved_size - pool_size) / stride) + 1."""
        return -(-(self.convolved_size - self.pool_size) // self.pool_stride) + 1

    @property
    def n_units(self) -> int:
        """Numbers that it gives."""
        return self.output_size**2 * self.n_channels


GeneratorLayer = DenseLayer | TransposedConvolutionLayer
DiscriminatorLayer = MaxoutLayer | ConvolutionalMaxoutLayer
