"""The memory that a fused training step works in: made once for each size of a batch.

Workspaces serve every layer in turn, so they stay in the cache: ``products`` on the way forward,
and on the way back two for the deltas, a layer's in the one and those of the layer behind it in the
other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class GeneratorBuffers:
    """Rows of a batch as the generator sees them; a list has an entry for each layer."""

    latent: View
    values: list[View]  # activations; the last are the images
    deltas: list[View]  # gradients by the layers' sums


@dataclass(frozen=True)
class DiscriminatorBuffers:
    """Rows of a batch as the discriminator sees them; a list has an entry for each maxout layer.

    What is masked by dropout is held masked: it is the input of the layer that follows.
    """

    images: View
    values: list[View]
    winners: list[View]  # uint8
    products: list[View | None]  # (n_rows, n_units * n_pieces), where the operations need them
    deltas: list[View]  # of the winning pieces: (n_rows, n_units)
    logits: View  # (n_rows, 1)
    ones: View  # (n_rows, 1): the gradient of the logits


class StepBuffers:
    """All buffers for ``n_rows`` images of batches of ``n_whole``.

    ``both`` are the rows of the real images and, after them, of the fake ones; ``fake`` the
    latter alone, over the same memory. ``means``, of shape (4,), is where the costs are written.
    """

    def __init__(
        self,
        recipe: Recipe,
        n_rows: int,
        n_whole: int,
        means: Tensor,
        dtype: torch.dtype,
        device: torch.device,
        view: Callable[[Tensor], View],
        *,
        needs_products: bool,
        is_captured: bool,
    ) -> None:
        def empty(*shape: int) -> Tensor:
            return torch.empty(shape, dtype=dtype, device=device)

        self.n_rows, self.n_whole = n_rows, n_whole
        n_features = recipe.n_features
        units = [layer.n_units for layer in recipe.maxout_layers]
        pieces = [layer.n_units * layer.n_pieces for layer in recipe.maxout_layers]
        widths = [layer.n_units for layer in recipe.dense_layers]
        widest = max([0, *(2 * n_rows * n for n in pieces)]) if needs_products else 0
        products = _Workspace(widest, dtype, device)
        largest = max([n_rows * max(widths), *(2 * n_rows * n for n in units)])
        deltas = (_Workspace(largest, dtype, device), _Workspace(largest, dtype, device))

        # D's layers count from the first, which is next to the last of G's.
        self.generator = GeneratorBuffers(
            latent=view(empty(n_rows, recipe.n_latent)),
            values=[view(empty(n_rows, width)) for width in widths],
            deltas=[
                view(deltas[(len(widths) - index) % 2].matrix(n_rows, width))
                for index, width in enumerate(widths)
            ],
        )
        # of a logit's unit gradient, in D's cost, and in G's at the fake images
        self.discriminator_scale = view(empty(2 * n_rows))
        self.generator_scale = view(empty(n_rows))
        self.means = view(means)
        # the one given is copied to where a graph reads it
        self.batch = empty(n_rows, n_features) if is_captured else None
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
                products=[
                    view(products.matrix(n, width)) if needs_products else None for width in pieces
                ],
                deltas=[
                    view(deltas[index % 2].matrix(n, width)) for index, width in enumerate(units)
                ],
                logits=view(logits[first:]),
                ones=view(ones[first:]),
            )

        self.both = rows(0)
        self.fake = rows(n_rows)
