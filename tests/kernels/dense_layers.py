"""Dense and maxout layers of whole numbers and of random ones, in guarded memory, and the bounds.

Sums of products of small whole numbers are exact in any order and precision: with them a kernel
must give the specification's bits. With random numbers it must stay within a bound of what
float64 gives.
"""

from dataclasses import dataclass

import torch
from fastgan.kernels.launch import ARCHITECTURES, Kernel
from torch import Tensor

U = {torch.float32: 2.0**-24, torch.float64: 2.0**-53}
TINY = {torch.float32: 2.0**-126, torch.float64: 2.0**-1022}
DTYPES = [torch.float32, torch.float64]

# (n_rows, n_features, n_units): one of each, less and more than a tile, whole tiles, and the depths
# of the recipes.
SHAPES = [
    (1, 1, 1),
    (2, 3, 5),
    (7, 31, 16),
    (32, 8, 16),
    (33, 9, 17),
    (100, 784, 20),
    (257, 33, 18),
    (3, 3072, 5),
    (64, 17, 40),
]


@dataclass(frozen=True)
class Layer:
    """What a layer of n_units maxima of n_pieces reads; the pieces of a unit lie together."""

    input: Tensor  # (n_rows, n_features)
    weight: Tensor  # (n_units * n_pieces, n_features)
    bias: Tensor  # (n_units * n_pieces,)
    delta: Tensor  # (n_rows, n_units)
    winner: Tensor  # (n_rows, n_units), uint8
    row_scale: Tensor  # (n_rows,)
    velocity: Tensor  # as weight
    bias_velocity: Tensor  # as bias
    values: Tensor  # (n_rows, n_features): the activation of the layer behind
    n_pieces: int

    @property
    def sparse_delta(self) -> Tensor:
        """Return the gradient by all pieces (n_rows, n_units * n_pieces): 0 but for the winners."""
        n_rows, n_units = self.delta.shape
        pieces = self.delta.new_zeros(n_rows, n_units, self.n_pieces)
        pieces.scatter_(2, self.winner.long().unsqueeze(2), self.delta.unsqueeze(2))
        return pieces.reshape(n_rows, -1)


def layer(
    shape: tuple[int, int, int],
    n_pieces: int = 1,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device,
    whole: bool,
    seed: int = 0,
) -> Layer:
    """Return a layer of whole numbers from -3 to 3, or of normal ones."""
    n_rows, n_features, n_units = shape
    generator = torch.Generator().manual_seed(seed)

    def numbers(*shape: int) -> Tensor:
        if whole:
            drawn = torch.randint(-3, 4, shape, generator=generator).to(dtype)
        else:
            drawn = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
        return drawn.to(device)

    winner = torch.randint(0, n_pieces, (n_rows, n_units), generator=generator)
    values = torch.sigmoid(numbers(n_rows, n_features))
    return Layer(
        numbers(n_rows, n_features),
        numbers(n_units * n_pieces, n_features),
        numbers(n_units * n_pieces),
        numbers(n_rows, n_units),
        winner.to(torch.uint8).to(device),
        numbers(n_rows),
        numbers(n_units * n_pieces, n_features),
        numbers(n_units * n_pieces),
        torch.round(2 * values) - 1 if whole else values,
        n_pieces,
    )


class Guarded:
    """A contiguous tensor to write into, between margins that must stay as they were."""

    def __init__(self, like: Tensor, shape: tuple[int, ...] | None = None) -> None:
        shape = tuple(like.shape) if shape is None else shape
        n = torch.Size(shape).numel()
        self._fill = torch.nan if like.dtype.is_floating_point else 201
        self._all = torch.full((n + 512,), self._fill, dtype=like.dtype, device=like.device)
        self._n = n
        self.inside = self._all[256 : 256 + n].view(shape)

    @classmethod
    def copy_of(cls, tensor: Tensor) -> "Guarded":
        """Return one that holds a copy."""
        guarded = cls(tensor)
        guarded.inside.copy_(tensor)
        return guarded

    def result(self) -> Tensor:
        """Return what was written, once the margins are seen to be untouched."""
        margins = torch.cat([self._all[:256], self._all[256 + self._n :]])
        expected = torch.full_like(margins, self._fill)
        torch.testing.assert_close(margins, expected, rtol=0, atol=0, equal_nan=True)
        return self.inside


def gamma(n: float, dtype: torch.dtype) -> float:
    """Bound the relative error of n roundings (Higham, Accuracy and Stability, lemma 3.1)."""
    return n * U[dtype] / (1 - n * U[dtype])


def product_bound(left: Tensor, right: Tensor, n_more: int = 0) -> Tensor:
    """Bound the error of left @ right in any order, after n_more further roundings, in float64.

    On a device the product of two float32 numbers is a sum of three of TF32: each number leaves
    2^-22 of itself behind, the product of the two small parts another 2^-22 (together 12 units of
    2^-24); a tensor core may cut a sum off, which is two roundings. In float64 the truth that it is
    compared with is rounded as well: twice the bound.
    """
    n_terms, dtype = left.shape[1], left.dtype
    n_roundings = n_terms + n_more
    if left.is_cuda and dtype == torch.float32:
        n_roundings = 2 * n_terms + 12 + n_more
    n_times = 2 if dtype == torch.float64 else 1
    magnitudes = left.double().abs() @ right.double().abs()
    return n_times * gamma(n_roundings, dtype) * magnitudes + n_terms * TINY[dtype]


def assert_within(got: Tensor, exact: Tensor, bound: Tensor) -> None:
    """Hold every element to its own bound."""
    assert got.shape == exact.shape
    assert got.isfinite().all()
    excess = (got.double() - exact).abs() - bound
    assert excess.max() <= 0, f"{excess.max():g} beyond the bound, at {excess.argmax()}"


def assert_same(got: Tensor, expected: Tensor) -> None:
    """Hold two tensors to the same numbers; NaN equals NaN, and -0 equals 0."""
    torch.testing.assert_close(got, expected, rtol=0, atol=0, equal_nan=True)


def shipped(*kernels: Kernel) -> list[tuple[str, int]]:
    """Return (architecture, number) of every configuration that one of the kernels ships with."""
    return [
        (architecture, number)
        for architecture in ARCHITECTURES
        for number in range(max(len(kernel.configurations[architecture]) for kernel in kernels))
    ]
