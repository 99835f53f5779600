"""Training in stages: a generator that goes on from an earlier one, behind new first layers.

Source: the released code's TFD experiment, whose second run puts two new layers before the trained
generator of the first and trains all of it against a new discriminator.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fastgan.models import Generator
from fastgan.recipes import Recipe


def generator_after(
    recipe: Recipe, first_generator: nn.Module, image_mean: Tensor | None, *, impl: str = "auto"
) -> Generator:
    """Return a recipe's generator whose last layers are those of the stage before it.

    Parameters
    ----------
    recipe : Recipe
        With a ``first_stage``.
    first_generator : Generator
        Trained as ``recipe.first_stage`` says; its weights are copied.
    image_mean : Tensor of shape (n_features,), optional
        As :class:`fastgan.Generator` takes it.
    impl : str

    Raises
    ------
    ValueError
        If the recipe has no earlier stage, or the module is no generator of it.
    """
    if recipe.first_stage is None:
        raise ValueError(f"recipe: expected one with a first_stage, {recipe.name!r} has none")
    expected = recipe.first_stage.generator
    if not isinstance(first_generator, Generator) or first_generator.recipe.generator != expected:
        raise ValueError(
            f"first_generator: expected the generator of {recipe.first_stage.name!r}, got a "
            f"{type(first_generator).__name__} of other layers"
        )
    generator = Generator(recipe, image_mean, impl=impl)
    trained = list(first_generator.layers)
    with torch.no_grad():
        for layer, source in zip(generator.layers[-len(trained) :], trained, strict=True):
            layer.load_state_dict(source.state_dict())
    return generator
