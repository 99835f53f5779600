"""The memory that a fused training step works in: made once for each size of a batch.

Workspaces serve every layer in turn, so they stay in the cache: ``products`` on the way forward,
and on the way back ``delta``, the gradient of a layer's products, and ``gradient``, that of its
input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fastgan.recipes import Recipe

View = Any  # what the operations take: a NumPy array or a Tensor


class _Workspace:
    def __init__(self, size: int, dtype: torch.dtype, device: torch.device) -> None:
        self.memory = torch.empty(size, dtype=dtype, device=device)

    def matrix(self, n_rows: int, n_columns: int) -> Tensor:
        return self.memory[: n_rows * n_columns].view(n_rows, n_columns)


class GeneratorBuffers:
    """Rows of a batch as the generator sees them; a list has an entry for each layer."""

    def __init__(
        self, latent: View, values: list[View], deltas: list[View], gradients: list[View]
    ) -> None:
        self.latent = latent
        self.values = values  # activations; the last are the images
        self.deltas = deltas
        self.gradients = gradients  # of the values


class DiscriminatorBuffers:
    """Rows of a batch as the discriminator sees them; a list has an entry for each maxout layer.

    What is masked by dropout is held masked: it is the input of the layer that follows.
    """

    def __init__(
        self,
        images: View,
        values: list[View],
        winners: list[View],
        products: list[View],
        deltas: list[View],
        gradients: list[View],
        logits: View,
        ones: View,
    ) -> None:
        self.images = images
        self.values = values
        self.winners = winners  # uint8
        self.products = products  # (n_rows, n_units * n_pieces)
        self.deltas = deltas  # of the winning pieces: (n_rows, n_units)
        self.gradients = gradients  # of the values
        self.logits = logits  # (n_rows, 1)
        self.ones = ones  # (n_rows, 1): the gradient of the logits


class StepBuffers:
    """All buffers for batches of ``n_rows`` images.

    ``both`` are the rows of the real images and, after them, of the fake ones; ``fake`` the
    latter alone, over the same memory.
    """

    def __init__(
        self,
        recipe: Recipe,
        n_rows: int,
        dtype: torch.dtype,
        device: torch.device,
        view: Callable[[Tensor], View],
    ) -> None:
        def empty(*shape: int) -> Tensor:
            return torch.empty(shape, dtype=dtype, device=device)

        self.n_rows = n_rows
        n_features = recipe.n_features
        units = [layer.n_units for layer in recipe.discriminator]
        pieces = [layer.n_units * layer.n_pieces for layer in recipe.discriminator]
        widths = [layer.n_units for layer in recipe.generator]
        largest = n_rows * max(*widths, n_features)
        of_units = max([largest, *(2 * n_rows * n for n in units)])
        products = _Workspace(max([0, *(2 * n_rows * n for n in pieces)]), dtype, device)
        delta = _Workspace(of_units, dtype, device)
        gradient = _Workspace(of_units, dtype, device)

        self.generator = GeneratorBuffers(
            latent=view(empty(n_rows, recipe.n_latent)),
            values=[view(empty(n_rows, width)) for width in widths],
            deltas=[view(delta.matrix(n_rows, width)) for width in widths],
            gradients=[view(gradient.matrix(n_rows, width)) for width in widths],
        )
        self.image_gradient = view(gradient.matrix(n_rows, n_features))
        self.discriminator_scale = view(
            empty(2 * n_rows)
        )  # of a logit's unit gradient, in D's cost
        self.generator_scale = view(empty(n_rows))  # and in G's, at the fake images
        logits = empty(2 * n_rows, 1)
        images = empty(2 * n_rows, n_features)
        values = [empty(2 * n_rows, n) for n in units]
        winners = [torch.empty((2 * n_rows, n), dtype=torch.uint8, device=device) for n in units]
        ones = torch.ones((2 * n_rows, 1), dtype=dtype, device=device)

        def rows(first: int) -> DiscriminatorBuffers:
            n = 2 * n_rows - first
            return DiscriminatorBuffers(
                images=view(images[first:]),
                values=[view(layer[first:]) for layer in values],
                winners=[view(layer[first:]) for layer in winners],
                products=[view(products.matrix(n, width)) for width in pieces],
                deltas=[view(delta.matrix(n, width)) for width in units],
                gradients=[view(gradient.matrix(n, width)) for width in units],
                logits=view(logits[first:]),
                ones=view(ones[first:]),
            )

        self.both = rows(0)
        self.fake = rows(n_rows)
