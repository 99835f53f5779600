"""From which state, and on what, a training step is measured: recipes of the paper's shapes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import fastgan
from fastgan import recipes
from fastgan.ops import philox
from fastgan.processes import Processes
from fastgan.recipes import Recipe
from fastgan.runs import Run

# So small a rate leaves the weights, and with them the share of zeros behind the ReLUs, where they
# are, however many steps are timed. The time of a step does not depend on it.
STILL = {"learning_rate": 1e-6, "learning_rate_decay": 1.0}

N_BATCHES = 8  # taken in turn, as training never sees one batch twice in a row


@dataclass(frozen=True)
class Setting:
    """A state to take a step from.

    Attributes
    ----------
    recipe : Recipe
    batches : Tensor of shape (n_batches, batch_size, n_features), float32
    state : dict of str to Tensor, optional
        Of a run's checkpoint, float32; None: the recipe's initial weights.
    words : str
        What the table calls it.
    """

    recipe: Recipe
    batches: Tensor
    state: dict[str, Tensor] | None
    words: str

    def step(
        self,
        kind: str = "auto",
        impl: str = "auto",
        dtype: torch.dtype = torch.float32,
        processes: Processes | None = None,
        **changes: Any,
    ) -> Any:
        """Return a step of ``fastgan.make_step`` in this state, its networks at rest.

        The velocities are 0, whatever they were in the run: so a step's velocities are its
        gradients, and the rates of the peers, which start with none, are the same.
        """
        recipe = self.recipe.replace(**changes)
        mean = self.batches.double().mean(dim=(0, 1)).clamp(0.0, 1.0)
        pair = {
            "generator": fastgan.Generator(recipe, mean.cpu(), impl=impl),
            "discriminator": fastgan.Discriminator(recipe, impl=impl),
        }
        pair = {name: net.to(self.batches.device, dtype) for name, net in pair.items()}
        step = fastgan.make_step(recipe, kind, impl, processes=processes, **pair)
        if self.state is not None:
            state = {}
            for name, own in step.state_dict().items():  # a checkpoint may hold more than a step
                rest = name.startswith("velocity.")
                state[name] = torch.zeros_like(own) if rest else self.state[name].to(own.dtype)
            step.load_state_dict(state)
        return step

    def on(self, device: torch.device) -> Setting:
        """Return the same with its batches, and so its networks, on a device."""
        return dataclasses.replace(self, batches=self.batches.to(device))

    def turns(self) -> Iterator[Tensor]:
        """Yield the batches in turn, without end."""
        return cycle(self.batches.unbind())

    @property
    def n_weights(self) -> int:
        """Numbers that a step moves."""
        width, n = self.recipe.n_latent, 0
        for dense in self.recipe.dense_layers:
            n += (width + 1) * dense.n_units
            width = dense.n_units
        for maxout in self.recipe.maxout_layers:
            n += (width + 1) * maxout.n_units * maxout.n_pieces
            width = maxout.n_units
        return n + width + 1


def fresh(recipe: Recipe, words: str, *, on_images: bool = True) -> Setting:
    """Return a recipe's start, on its images where they are at hand, else on noise of their size.

    The words say so, as a step that skips zeros finds most of them in real images' margins.
    """
    images = _images(recipe) if on_images else None
    if images is None:
        words = f"{words}, on noise"
        rows = N_BATCHES * recipe.batch_size
        images = philox.uniform((rows, recipe.n_features), seed=0, step=0, stream=0)
    return Setting(recipe, _batches(images, recipe), None, words)


def _images(recipe: Recipe) -> Tensor | None:
    try:
        images = fastgan.load_dataset(recipe.dataset, download=False).train
    except (FileNotFoundError, ValueError):
        return None
    fits = images.shape[1:] == (recipe.n_features,) and len(images) >= recipe.batch_size
    return images if fits else None


def of_run(folder: Path, words: str) -> Setting:
    """Return the state that a run's checkpoint holds, on the run's own images.

    Raises
    ------
    FileNotFoundError, ValueError
        If the folder holds no run, its checkpoint cannot be read, or its images are not at hand.
    """
    run = Run.open(folder)
    checkpoint = run.load_checkpoint()
    images = fastgan.load_dataset(run.recipe.dataset, download=False).train
    words = f"{words}, {run.recipe.name} after {checkpoint.epoch - 1} epochs"
    return Setting(run.recipe, _batches(images, run.recipe), checkpoint.state, words)


def _batches(images: Tensor, recipe: Recipe) -> Tensor:
    n_batches = max(1, min(N_BATCHES, len(images) // recipe.batch_size))
    order = philox.permutation(len(images), 0, 0, 0)[: n_batches * recipe.batch_size]
    return images[order].unflatten(0, (n_batches, -1)).contiguous()


def tiny(recipe: Recipe) -> Recipe:
    """Return a recipe of the same kinds of layers whose step takes well below a millisecond."""
    generator = [
        dataclasses.replace(layer, n_units=24, n_sparse_weights=min(layer.n_sparse_weights, 10))
        for layer in recipe.dense_layers
    ]
    generator[-1] = dataclasses.replace(generator[-1], n_units=64)
    return recipe.replace(
        n_latent=10,
        generator=tuple(generator),
        discriminator=tuple(
            dataclasses.replace(layer, n_units=12) for layer in recipe.maxout_layers
        ),
        batch_size=20,
    )


def by_shape(name: str) -> Recipe:
    """Return one of fastgan's recipes, of ``tfd`` its first stage; ValueError with the names."""
    return recipes.by_name(name).stages[0]
