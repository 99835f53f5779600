"""The one-dimensional pair of Figure 1: the data's density, the recipe, and p_g without sampling.

Source: Figure 1 of the paper shows such a pair; it gives no numbers, so every number here is ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fastgan.data import Dataset
from fastgan.ops import philox
from fastgan.recipes import DenseLayer, MaxoutLayer, Recipe
from fastgan.streams import Kind, stream

Vector: TypeAlias = "NDArray[np.float64]"

LATENT_END = math.sqrt(3.0)  # z is U(-sqrt 3, sqrt 3)

# Pieces of z between which G is taken for a straight line. Four times as many move the divergence
# of a trained pair by less than 1e-5 (tests/theory).
N_PIECES = 1 << 15


@dataclass(frozen=True)
class CosineBumps:
    """A mixture of bumps ``pi / (4 w) cos(pi (x - m) / (2 w))`` on [m - w, m + w].

    Bell-shaped with ends: a generator of bounded z has a bounded range, and could not reach a tail
    without one. Distribution function and its inverse are elementary.

    Parameters
    ----------
    shares : tuple of float
        Of the bumps; they add up to 1.
    middles, half_widths : tuple of float
        The m and w of each.

    Raises
    ------
    ValueError
        If the tuples are not of one length, a half width is not above 0, or shares are negative or
        do not add up to 1.
    """

    shares: tuple[float, ...]
    middles: tuple[float, ...]
    half_widths: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.shares) == len(self.middles) == len(self.half_widths) > 0:
            raise ValueError(
                "shares, middles, half_widths: expected one number a bump in each, got "
                f"{len(self.shares)}, {len(self.middles)} and {len(self.half_widths)}"
            )
        if not min(self.half_widths) > 0.0:
            raise ValueError(f"half_widths: expected numbers above 0, got {self.half_widths}")
        if min(self.shares) < 0.0 or not math.isclose(sum(self.shares), 1.0, abs_tol=1e-9):
            raise ValueError(
                f"shares: expected numbers of at least 0 that add up to 1, got {self.shares}"
            )

    def density(self, x: Vector) -> Vector:
        """Return p_data at each x, float64."""
        total = np.zeros_like(x)
        for share, middle, width in zip(self.shares, self.middles, self.half_widths, strict=True):
            place = (x - middle) / width
            bump = math.pi / (4.0 * width) * np.cos(0.5 * math.pi * place)
            total += share * np.where(np.abs(place) < 1.0, bump, 0.0)
        return total

    def below(self, x: Vector) -> Vector:
        """Return the probability of a number below x, at each x (infinite ones too), float64."""
        total = np.zeros_like(x)
        for share, middle, width in zip(self.shares, self.middles, self.half_widths, strict=True):
            place = np.clip((x - middle) / width, -1.0, 1.0)
            total += share * 0.5 * (1.0 + np.sin(0.5 * math.pi * place))
        return total

    def draw(self, n_rows: int, seed: int, step: int, *, passage: int = 1) -> Tensor:
        """Draw numbers, float32 of shape (n_rows, 1), by inversion of Philox's uniform ones.

        They come of the stream FIGURES: row i of (seed, step, passage) is always the same.
        """
        uniform = philox.uniform((n_rows, 2), seed, step, stream(Kind.FIGURES, passage))
        ends = torch.tensor(np.cumsum(self.shares)[:-1], dtype=torch.float32)
        bump = torch.bucketize(uniform[:, 0].contiguous(), ends, right=True)
        middle = torch.tensor(self.middles, dtype=torch.float32)[bump]
        width = torch.tensor(self.half_widths, dtype=torch.float32)[bump]
        place = torch.asin(2.0 * uniform[:, 1] - 1.0) * (2.0 / math.pi)
        return torch.addcmul(middle, width, place).unsqueeze(1)

    def dataset(self, n_rows: int, seed: int) -> Dataset:
        """Return drawn rows as a data set of images of one number, a tenth each held out twice."""
        if n_rows < 10:
            raise ValueError(f"n_rows: expected at least 10, got {n_rows}")
        rows = self.draw(n_rows, seed, 0)
        n_held_out = n_rows // 10
        return Dataset(
            name="figure-1",
            train=rows[2 * n_held_out :].contiguous(),
            validation=rows[:n_held_out].contiguous(),
            test=rows[n_held_out : 2 * n_held_out].contiguous(),
            image_shape=(1, 1, 1),
            source="drawn from the one-dimensional density of Figure 1",
            pixel_range=(GRID_ENDS[0], GRID_ENDS[1]),
        )


# Two modes, so that G must learn to cross the valley quickly and to dwell on both sides.
P_DATA = CosineBumps(shares=(0.45, 0.55), middles=(-1.25, 1.1), half_widths=(1.25, 1.7))

GRID_ENDS = (-4.0, 4.0)
N_CELLS = 1600  # of the quadrature, between the ends; two more reach to infinity

RECIPE = Recipe(
    name="figure-1",
    dataset="figure-1",
    n_latent=1,
    latent="uniform",  # as in the paper's figure
    generator=(
        # Sigmoids, for a p_g without steps: under ReLU it is constant between the kinks of G. Less
        # steep ones are slow at the ends of the data; steeper ones (range 16) leave bumps in p_g
        # too narrow for D, which one seed of six kept.
        DenseLayer(128, "sigmoid", initial_range=10.0),
        DenseLayer(1, "linear", initial_range=0.045),
    ),
    discriminator=(
        # No dropout (include probability 1): it would keep D from D*.
        MaxoutLayer(128, 2, include_probability=1.0, initial_range=1.0),
        MaxoutLayer(32, 3, include_probability=1.0, initial_range=0.3),
    ),
    output_include_probability=1.0,
    output_initial_range=0.3,
    batch_size=128,
    learning_rate=0.1,  # .2 diverges on one seed of two
    learning_rate_decay=1.00004,
    momentum_first=0.5,
    momentum_last=0.5,
    n_epochs=1,
    evaluate_every=1,
    cost="saturating",  # Algorithm 1's: with D at D* its gradient is that of C(G)
    schedule="alternating",
    k=40,  # D near its optimum for each G, as Propositions 1 and 2 ask; k = 5 oscillates
)


def prepare(generator: nn.Module, discriminator: nn.Module, seed: int) -> None:
    """Bring the initial weights of a recipe's pair into what one dimension needs, in place.

    The bends of both first layers are spread over the line, by their biases: a unit of one input
    bends at -bias / weight, and recipes start biases at 0, which is one place for all units. Where
    images have many numbers that is still many hyperplanes. The places are drawn by Philox: of G
    in the range of z, of D in that of the data.

    And G is made to rise: each hidden unit's weight takes the sign of the unit's weight in the
    output. A G that runs to and fro leads several z to the same x, and such folds are seldom undone
    in training: of six seeds, one kept some, and ended at a divergence of .027. It is done where G
    has one hidden layer; with ReLU or sigmoid each unit then rises with z, or stays.
    """
    for number, (module, end) in enumerate(((generator, 1.15 * LATENT_END), (discriminator, 3.5))):
        bias = module.get_parameter("layers.0.bias")
        weight = module.get_parameter("layers.0.weight")
        uniform = philox.uniform(tuple(bias.shape), seed, 0, stream(Kind.FIGURES, 3, number))
        with torch.no_grad():
            if module is generator and len(list(module.parameters())) == 4:
                sign = torch.sign(module.get_parameter("layers.1.weight")).T
                weight.copy_(torch.where(sign < 0, -weight.abs(), weight.abs()))
            bias.copy_(-weight[:, 0] * (2.0 * uniform - 1.0) * end)


def grid_edges(n_cells: int = N_CELLS) -> Vector:
    """Return the n_cells + 3 edges of the cells; the first and the last are infinite."""
    inner = np.linspace(GRID_ENDS[0], GRID_ENDS[1], n_cells + 1)
    return np.concatenate(([-np.inf], inner, [np.inf]))


def cell_middles(edges: Vector) -> Vector:
    """Return where D is looked at in each cell: its middle, or its one finite end."""
    inner = edges[1:-1]
    return np.concatenate((inner[:1], 0.5 * (inner[:-1] + inner[1:]), inner[-1:]))


@torch.no_grad()
def images_of_latent(generator: nn.Module, n_pieces: int = N_PIECES) -> Vector:
    """Return G at n_pieces + 1 equally spaced z from -sqrt 3 to sqrt 3, float64."""
    weight = next(generator.parameters())
    latent = torch.linspace(-LATENT_END, LATENT_END, n_pieces + 1, dtype=weight.dtype)
    found: Vector = generator(latent.unsqueeze(1))[:, 0].double().numpy()
    return found


def push_forward(images: Vector, edges: Vector) -> Vector:
    """Return the probability of each cell under p_g, for G straight between equally spaced z.

    The piece from G(z_i) to G(z_i+1) has probability 1 / n_pieces, spread evenly over the interval
    between the two: exact for such a G, folds and flat pieces included, whatever the cells.

    Parameters
    ----------
    images : ndarray of shape (n_pieces + 1,), float64
        G at equally spaced z.
    edges : ndarray of shape (n_cells + 1,), float64
        Ascending, the first minus and the last plus infinity.

    Returns
    -------
    ndarray of shape (n_cells,), float64
        Adds up to 1.

    Raises
    ------
    ValueError
        If there are fewer than two images, or one is not finite: the pair has diverged.
    """
    if len(images) < 2 or not bool(np.isfinite(images).all()):
        raise ValueError("images: expected at least two finite numbers, got others")
    low = np.minimum(images[1:], images[:-1])
    high = np.maximum(images[1:], images[:-1])
    length = high - low
    first = np.searchsorted(edges, low, side="right") - 1
    last = np.maximum(np.searchsorted(edges, high, side="left") - 1, first)
    found = np.zeros(len(edges) - 1)
    for further in range(int((last - first).max()) + 1):
        here = first + further <= last
        cell = first[here] + further
        within = np.minimum(high[here], edges[cell + 1]) - np.maximum(low[here], edges[cell])
        share = np.divide(within, length[here], out=np.ones_like(within), where=length[here] > 0.0)
        found += np.bincount(cell, weights=share, minlength=len(found))
    return found / len(low)


@torch.no_grad()
def logits_at(discriminator: nn.Module, x: Vector) -> Vector:
    """Return the logit of D at each x, float64: of the probability itself, 1 - D may be lost."""
    weight = next(discriminator.parameters())
    places = torch.as_tensor(x, dtype=weight.dtype).unsqueeze(1)
    found: Vector = discriminator(places).double().numpy()
    return found
