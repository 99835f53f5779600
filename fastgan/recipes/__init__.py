"""Recipes: everything that decides a training run, each number with its source.

"The paper" is Goodfellow et al., *Generative Adversarial Nets* (2014, arXiv 1406.2661); "the
released code" is ``goodfeli/adversarial`` with its yaml recipes, run on ``lisa-lab/pylearn2`` of
June 2014. "include probability" is the probability of KEEPING a unit. A number marked OURS is not
the paper's.

``layers`` and ``recipe`` say what a recipe is; ``mnist``, ``tfd``, ``cifar10`` and ``digits`` hold
those that are here.
"""

from __future__ import annotations

from fastgan.recipes.cifar10 import (
    CIFAR10_CONV,
    CIFAR10_CONV_SMALL,
    CIFAR10_MLP,
    CIFAR10_MLP_SMALL,
)
from fastgan.recipes.digits import DIGITS
from fastgan.recipes.layers import (
    Activation,
    ConvolutionalMaxoutLayer,
    DenseLayer,
    DiscriminatorLayer,
    GeneratorLayer,
    MaxoutLayer,
    TransposedConvolutionLayer,
)
from fastgan.recipes.mnist import MNIST, MNIST_AVERAGED
from fastgan.recipes.recipe import Cost, Latent, Recipe, Schedule
from fastgan.recipes.tfd import FACES, TFD

__all__ = [
    "CIFAR10_CONV",
    "CIFAR10_CONV_SMALL",
    "CIFAR10_MLP",
    "CIFAR10_MLP_SMALL",
    "DIGITS",
    "FACES",
    "MNIST",
    "MNIST_AVERAGED",
    "TFD",
    "Activation",
    "ConvolutionalMaxoutLayer",
    "Cost",
    "DenseLayer",
    "DiscriminatorLayer",
    "GeneratorLayer",
    "Latent",
    "MaxoutLayer",
    "Recipe",
    "Schedule",
    "TransposedConvolutionLayer",
    "by_name",
    "from_toml",
    "names",
    "to_toml",
]

_BY_NAME = {
    recipe.name: recipe
    for recipe in (
        MNIST,
        MNIST_AVERAGED,
        TFD,
        FACES,
        CIFAR10_MLP,
        CIFAR10_MLP_SMALL,
        CIFAR10_CONV,
        CIFAR10_CONV_SMALL,
        DIGITS,
    )
}


def names() -> tuple[str, ...]:
    """Return the names that :func:`by_name` knows."""
    return tuple(_BY_NAME)


def by_name(name: str) -> Recipe:
    """Return the recipe of that name; ValueError with the known names otherwise."""
    try:
        return _BY_NAME[name]
    except KeyError:
        known = ", ".join(_BY_NAME)
        raise ValueError(f"recipe: expected one of {known}, got {name!r}") from None


def to_toml(recipe: Recipe) -> str:
    """Return the recipe as a TOML document; every field is written, None as the string "none"."""
    from fastgan.recipe_files import recipe_to_toml

    return recipe_to_toml(recipe)


def from_toml(text: str) -> Recipe:
    """Return the recipe that a TOML document describes.

    Every field must be there and of its type, and nothing else: a ValueError or TypeError names the
    key, what was expected and what came. TOML that does not parse is a ValueError with the line.
    Only fields younger than the first documents may be missing: the weights' average, an earlier
    stage, a layer's initial bias and sparse weights; then there are none.
    """
    from fastgan.recipe_files import recipe_from_toml

    return recipe_from_toml(text)
