"""Tiny recipes of every kind, the steps under test, and the specification's run of each recipe.

A kind of step is (step, impl): what ``make_step`` is asked for.
"""

import contextlib
import functools

import pytest
import torch

from fastgan import backends
from fastgan.models import Discriminator, Generator
from fastgan.recipes import DenseLayer, MaxoutLayer, Recipe
from fastgan.reference.training_step import training_step
from fastgan.steps import make_step

TRITON = ("fused", "triton")
KINDS = [
    ("autograd", "native"),
    ("autograd", "reference"),
    ("fused", "native"),
    ("fused", "reference"),
]
if backends.has_triton() and not torch.cuda.is_available():
    KINDS.append(TRITON)  # in the interpreter; on a GPU: test_step_on_a_device.py
NOT_INTERPRETED = [kind for kind in KINDS if kind != TRITON]
NATIVE = [kind for kind in KINDS if kind[1] == "native"]
each_kind = pytest.mark.parametrize("kind", KINDS, ids="-".join)
each_but_triton = pytest.mark.parametrize("kind", NOT_INTERPRETED, ids="-".join)
each_native = pytest.mark.parametrize("kind", NATIVE, ids="-".join)


def at_most(kind, n_updates, of_interpreted):
    """Return how many updates to make: a step takes a fifth of a second in the interpreter."""
    return min(n_updates, of_interpreted) if kind == TRITON else n_updates


def tiles_of(kind, name):
    """Let the interpreter take large recipes in tiles that ship: small ones would be many."""
    if kind == TRITON and name == "wide":
        from fastgan.kernels.launch import forced

        return forced("gfx942")
    return contextlib.nullcontext()


def recipe_of(generator, discriminator, **changes):
    """Return a recipe: (units, activation) of G's layers, (units, pieces, include) of D's."""
    settings = {
        "name": "tiny",
        "dataset": "none",
        "n_latent": 5,
        "latent": "uniform",
        "output_include_probability": 0.5,
        "output_initial_range": 0.5,
        "batch_size": 13,
        "learning_rate": 0.1,
        "n_epochs": 10,
        "evaluate_every": 5,
        "seed": 3,
    }
    return Recipe(
        generator=tuple(
            DenseLayer(size, kind, initial_range=0.5, bias_from_data=False)
            for size, kind in generator
        ),
        discriminator=tuple(MaxoutLayer(*layer, initial_range=0.5) for layer in discriminator),
        **(settings | changes),
    )


TINY = recipe_of(
    [(7, "relu"), (6, "relu"), (9, "sigmoid")], [(4, 3, 0.8), (3, 2, 0.5)], batch_size=8
)
ALTERNATING = {"schedule": "alternating"}
LIMITED = {"max_norm": 0.6, "max_norm_before_training": True}

# Odd sizes on purpose: nothing is a multiple of a vector or of a tile.
RECIPES = {
    "tiny": TINY,
    "saturating": TINY.replace(cost="saturating"),
    "alternating": TINY.replace(**ALTERNATING),
    "alternating k=2 saturating": TINY.replace(**ALTERNATING, k=2, cost="saturating"),
    "normal z": TINY.replace(latent="normal"),
    "max-norm": TINY.replace(**LIMITED),
    "max-norm alternating": TINY.replace(**LIMITED, **ALTERNATING, k=3),
    "decay, momentum": TINY.replace(
        learning_rate_decay=1.05, learning_rate_floor=0.02, momentum_epochs=4, momentum_last=0.9
    ),
    "batch 1": TINY.replace(batch_size=1),
    "no dropout": recipe_of(
        [(7, "relu"), (9, "sigmoid")], [(4, 3, 1.0)], output_include_probability=1.0
    ),
    "dropout of images only": recipe_of(
        [(7, "relu"), (9, "sigmoid")],
        [(4, 3, 0.8), (5, 2, 1.0)],
        output_include_probability=1.0,
        batch_size=7,
    ),
    "output dropout only": recipe_of([(9, "sigmoid")], [(5, 4, 1.0), (3, 5, 1.0)], batch_size=7),
    "one layer each": recipe_of([(17, "linear")], [(3, 5, 0.8)], latent="normal", batch_size=7),
    "one piece": recipe_of([(3, "sigmoid"), (19, "linear")], [(21, 1, 0.8), (2, 1, 0.25)]),
    "no hidden layer": recipe_of([(7, "relu"), (9, "sigmoid")], []),
    "three layers": recipe_of(
        [(9, "relu"), (8, "sigmoid"), (1, "relu"), (11, "linear")],
        [(5, 2, 0.9), (7, 4, 0.5), (1, 5, 0.3)],
        latent="normal",
        batch_size=7,
    ),
    "wide": recipe_of(
        [(33, "relu"), (65, "sigmoid")],
        [(17, 5, 0.8), (16, 5, 0.5)],
        n_latent=31,
        batch_size=37,
        max_norm=0.9,
    ),
}


def images_of(recipe, dtype=torch.float64):
    """Return 2 1/2 batches of images, all of them float32 numbers."""
    random = torch.Generator().manual_seed(recipe.n_features)
    n_images = 2 * recipe.batch_size + -(-recipe.batch_size // 2)
    return torch.rand(n_images, recipe.n_features, generator=random).to(dtype)


def batch_of(recipe, update, dtype=torch.float64):
    """Return the batch and the epoch of an update: two full batches, then the short one."""
    first = update % 3 * recipe.batch_size
    return images_of(recipe, dtype)[first : first + recipe.batch_size], 1 + update // 3


def build(kind, recipe, dtype=torch.float64, **options):
    """Return a new step of a kind, with networks of its own, at the start."""
    step, impl = kind
    generator = Generator(recipe, impl=impl).to(dtype)
    discriminator = Discriminator(recipe, impl=impl).to(dtype)
    return make_step(
        recipe, step, impl, generator=generator, discriminator=discriminator, **options
    )


def state_of(step):
    """Return a copy of a step's state."""
    return {name: value.clone() for name, value in step.state_dict().items()}


def in_dtype(state, dtype):
    """Return a state with its floating tensors in another dtype."""
    return {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}


def specified_run(recipe, state, n_updates, dtype=torch.float64):
    """Run the specification; return the costs of each update, and the states: the start first."""
    costs, states = [], [state]
    for update in range(n_updates):
        batch, epoch = batch_of(recipe, update, dtype)
        state, of_batch = training_step(recipe, {**states[-1], "epoch": torch.tensor(epoch)}, batch)
        costs.append(torch.stack(of_batch))
        states.append(state)
    return torch.stack(costs), states


@functools.cache
def specification(name):
    """Return costs and states of 100 updates of a recipe of RECIPES, in float64."""
    recipe = RECIPES[name]
    return specified_run(recipe, state_of(build(("autograd", "reference"), recipe)), 100)


def run(step, n_updates, first=0, dtype=torch.float64):
    """Take free steps; return the costs of each."""
    costs = []
    for update in range(first, first + n_updates):
        batch, step.epoch = batch_of(step.recipe, update, dtype)
        costs.append(torch.stack(step(batch)))
    return torch.stack(costs)


def assert_same_costs(ours, wanted):
    """Assert that the costs and probabilities of some updates agree to 1e-9, one by one."""
    assert ((ours - wanted).abs() <= 1e-9 * wanted.abs()).all()


def assert_same_state(ours, wanted, relative=1e-9):
    """Assert that two states agree, each tensor relative to its largest element."""
    assert ours.keys() == wanted.keys()
    for name, expected in wanted.items():
        value = ours[name]
        assert (value.shape, value.dtype) == (expected.shape, expected.dtype), name
        if expected.is_floating_point():
            error = (value - expected).abs().max()
            assert error <= relative * expected.abs().max(), (name, error)
        else:
            assert torch.equal(value, expected), name


def assert_equal_bits(ours, wanted):
    """Assert that two states are the same in every bit."""
    assert ours.keys() == wanted.keys()
    for name, value in ours.items():
        assert torch.equal(value, wanted[name]), name
