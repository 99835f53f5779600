"""The dense products of a training step, and nothing else: a floor under whoever computes them.

The list is that of the fewest dense products that give the step's gradients: real and fake images
go through the discriminator together, and one way back through it serves both costs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from fastgan.ops import philox
from fastgan.recipes import Recipe

Network = Literal["generator", "discriminator"]
Floor = Callable[[], list[Tensor]]


class Product(NamedTuple):
    """One matrix product of a layer whose weight is of shape (n_units, n_features).

    ``forward``: (n_rows, n_features) by the weight, transposed. ``weight gradient``: the units'
    gradients (n_rows, n_units), transposed, by the layer's input. ``input gradient``: the units'
    gradients by the weight.
    """

    network: Network
    layer: int
    kind: Literal["forward", "weight gradient", "input gradient"]
    n_rows: int
    n_features: int
    n_units: int

    @property
    def n_operations(self) -> int:
        """Multiplications and additions."""
        return 2 * self.n_rows * self.n_features * self.n_units


def products_of(recipe: Recipe) -> list[Product]:
    """Return the products of one step, in the order in which a step can make them.

    Simultaneous: G forward; D forward on both halves; D back, weight gradients on both halves and
    the input gradients, at the images of the fake half alone; G back. Alternating (k = 1): G
    forward, D forward and back on both halves but not to the images; then G and D forward on fresh
    rows, D back to the images without its weights, G back.
    """
    n = recipe.batch_size
    generator, discriminator = _layers(recipe)
    found: list[Product] = []

    def forward(network: Network, n_rows: int) -> None:
        layers = generator if network == "generator" else discriminator
        for index, (n_features, n_units) in enumerate(layers):
            found.append(Product(network, index, "forward", n_rows, n_features, n_units))

    def back(
        network: Network, n_rows: int, *, weights: bool = True, first_input_rows: int = 0
    ) -> None:
        layers = generator if network == "generator" else discriminator
        for index, (n_features, n_units) in reversed(list(enumerate(layers))):
            size = (n_features, n_units)
            if weights:
                found.append(Product(network, index, "weight gradient", n_rows, *size))
            if rows := n_rows if index else first_input_rows:
                found.append(Product(network, index, "input gradient", rows, *size))

    forward("generator", n)
    forward("discriminator", 2 * n)
    if recipe.schedule == "simultaneous":
        back("discriminator", 2 * n, first_input_rows=n)
    else:
        back("discriminator", 2 * n)
        forward("generator", n)
        forward("discriminator", n)
        back("discriminator", n, weights=False, first_input_rows=n)
    back("generator", n)
    return found


def n_operations(recipe: Recipe) -> int:
    """Return the multiplications and additions of the products of one step."""
    return sum(product.n_operations for product in products_of(recipe))


def words(recipe: Recipe) -> str:
    """Say how many products a step has, and how much work they are."""
    found = products_of(recipe)
    n = n_operations(recipe)
    size = f"{n / 1e9:.2f} GFLOP" if n >= 1e7 else f"{n / 1e6:.2f} MFLOP"
    return f"{len(found)} products, {size}"


def make_products(recipe: Recipe, generator: list[Tensor], discriminator: list[Tensor]) -> Floor:
    """Prepare the products of a step.

    Parameters
    ----------
    recipe : Recipe
    generator, discriminator : list of Tensor of shape (n_units, n_features), float32
        The layers' weights, D's output unit last; used as they are, not copied.

    Returns
    -------
    callable
        Makes all products, each into memory of its own.
    """
    weights = {"generator": generator, "discriminator": discriminator}
    calls: list[tuple[Tensor, Tensor, Tensor]] = []
    made: dict[tuple[int, int, int], Tensor] = {}

    device = generator[0].device

    def dense(n_rows: int, n_columns: int, stream: int) -> Tensor:
        """Return numbers without zeros: a product that skips them has another floor."""
        key = (n_rows, n_columns, stream)
        if key not in made:
            numbers = philox.normal((n_rows, n_columns), seed=0, step=0, stream=stream)
            made[key] = numbers.to(device)
        return made[key]

    for product in products_of(recipe):
        weight = weights[product.network][product.layer].detach()
        size = (product.n_units, product.n_features)
        if tuple(weight.shape) != size:
            raise ValueError(
                f"{product.network}: expected the weight of layer {product.layer} to be of shape "
                f"{size}, got {tuple(weight.shape)}"
            )
        inputs = dense(product.n_rows, product.n_features, 0)
        deltas = dense(product.n_rows, product.n_units, 1)
        left, right = {
            "forward": (inputs, weight.t()),
            "weight gradient": (deltas.t(), inputs),
            "input gradient": (deltas, weight),
        }[product.kind]
        calls.append((left, right, left.new_empty(left.shape[0], right.shape[1])))

    def run() -> list[Tensor]:
        for left, right, out in calls:
            torch.mm(left, right, out=out)
        return [out for _, _, out in calls]

    return run


def _layers(recipe: Recipe) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return (n_features, n_units) of each layer of G and of D, pieces counted as units."""
    width = recipe.n_latent
    generator, discriminator = [], []
    for dense in recipe.dense_layers:
        generator.append((width, dense.n_units))
        width = dense.n_units
    for maxout in recipe.maxout_layers:
        discriminator.append((width, maxout.n_units * maxout.n_pieces))
        width = maxout.n_units
    discriminator.append((width, 1))
    return generator, discriminator
