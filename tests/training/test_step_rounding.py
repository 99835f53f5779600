"""Every step in float32: within a bound computed from the state, and no wilder than plain PyTorch.

A free float32 run is chaotic, so each of 100 recorded states is advanced by one update.
"""

import dataclasses
import functools
import math

import pytest
import torch
from rounding import BoundedStep, U, gamma
from step_cases import (
    KINDS,
    NATIVE,
    RECIPES,
    TRITON,
    assert_same_state,
    batch_of,
    build,
    each_but_triton,
    each_kind,
    each_native,
    in_dtype,
    recipe_of,
    run,
    specified_run,
    state_of,
    tiles_of,
)

from fastgan.costs import discriminator_cost, generator_cost
from fastgan.recipes import MNIST
from fastgan.reference.training_step import training_step

ADVANCED = [
    "tiny",
    "alternating k=2 saturating",
    "max-norm alternating",
    "three layers",
    "wide",
]
FLOAT = torch.float32
N_SEEDS = 3


@functools.cache
def recorded(name):
    """Return 100 states of a float32 run through autograd, and what may become of each."""
    recipe = RECIPES[name]
    step = build(("autograd", "native"), recipe, FLOAT)
    states, bounds = [], []
    for update in range(100):
        batch, step.epoch = batch_of(recipe, update, FLOAT)
        states.append(state_of(step))
        bounds.append(BoundedStep(recipe, states[-1], batch))
        step(batch)
    return states, bounds


def share_of_bound(ours, bounded):
    """Return the largest share of its bound that an element's error takes; with bound 0: inf."""
    error = (ours.double() - bounded.value).abs()
    return torch.where(error == 0, 0.0, error / bounded.error).max().item()


@each_kind
@pytest.mark.parametrize("name", ADVANCED)
def test_each_of_100_recorded_states_is_advanced_within_its_bound(name, kind):
    recipe = RECIPES[name]
    step = build(kind, recipe, FLOAT)
    states, bounds = recorded(name)
    # plain PyTorch draws its masks slowly: every fourth state, and so every kind of batch
    chosen = range(0, 100, 1 if kind in NATIVE else 4)
    if kind == TRITON:  # in the interpreter: of one recipe half of all, of the others a few
        chosen = range(0, 100, 2 if name == "tiny" else 25)
    for update in chosen:
        bound = bounds[update]
        step.load_state_dict(states[update])
        with tiles_of(kind, name):
            costs = step(batch_of(recipe, update, FLOAT)[0])
        after = step.state_dict()
        for key, bounded in bound.state.items():
            assert share_of_bound(after[key], bounded) <= 1, (update, key)
        assert_costs_within(costs, bound)


def assert_costs_within(costs, bound):
    """Compare the costs of a step with those of exact logits.

    A cost's slope by a logit is at most 1 / n, so that it is off by the mean of the logits' errors.
    Each term of its mean of n rounds: exp and log1p within 2 units in the last place, two sums.
    """
    exact = {name: logits.value for name, logits in bound.logits.items()}
    errors = {name: logits.error.mean() for name, logits in bound.logits.items()}
    rounding = gamma(len(exact["real"]) + 12)
    of_d = discriminator_cost(exact["real"], exact["fake"])
    of_g = generator_cost(exact["generator"], bound.recipe.cost)
    for ours, wanted, error in (
        (costs.discriminator, of_d, (errors["real"] + errors["fake"]) / 2),
        (costs.generator, of_g, errors["generator"]),
        (costs.real_probability, torch.sigmoid(exact["real"]).mean(), errors["real"]),
        (costs.fake_probability, torch.sigmoid(exact["fake"]).mean(), errors["fake"]),
    ):
        assert (ours.double() - wanted).abs() <= error + rounding * wanted.abs()


# Sizes past a tile's edges, odd: rows of images, units, pieces, features.
TILES = recipe_of(
    [(301, "relu"), (197, "sigmoid")],
    [(67, 5, 0.8), (43, 3, 0.5)],
    n_latent=130,
    batch_size=53,
    max_norm=4.0,
)
TILES = TILES.replace(
    generator=tuple(dataclasses.replace(g, initial_range=0.1) for g in TILES.generator),
    discriminator=tuple(dataclasses.replace(d, initial_range=0.1) for d in TILES.discriminator),
)


@functools.cache
def recorded_at(recipe, n_updates):
    """Return a state and a batch, and of each schedule's step: the exact state, plain errors."""
    step = build(("autograd", "native"), recipe, FLOAT)
    run(step, n_updates, dtype=FLOAT)
    state, (batch, _) = state_of(step), batch_of(recipe, 0, FLOAT)
    found = []
    for schedule in ("simultaneous", "alternating"):
        changed = recipe.replace(schedule=schedule)
        exact, _ = training_step(changed, in_dtype(state, torch.float64), batch.double())
        plain, _ = training_step(changed, state, batch)
        found.append((changed, exact, errors_of(plain, exact)))
    return state, batch, found


def errors_of(state, exact):
    """Return the upper quartile of each tensor's errors: one near tie that flips has no say.

    The output unit's bias, one number, is left to the bounds: a ratio of two roundings is chance.
    """
    found = {}
    for key, value in exact.items():
        if value.is_floating_point() and value.numel() > 1:
            errors = (state[key].double() - value).abs().flatten()
            found[key] = errors.kthvalue(math.ceil(0.75 * len(errors))).values.item()
    return found


def assert_error_is_at_most_twice_plain_pytorchs(kind, recipe, n_updates):
    state, batch, found = recorded_at(recipe, n_updates)
    for changed, exact, plain in found:
        step = build(kind, changed, FLOAT)
        step.load_state_dict(state)
        step(batch)
        for key, error in errors_of(step.state_dict(), exact).items():
            assert error <= 2 * plain[key], (changed.schedule, key)


@each_native
def test_error_is_at_most_twice_plain_pytorchs_at_every_simd_level(kind, simd_level):
    """The worst case of a bound says nothing at sizes where the signs of 300 terms differ."""
    assert_error_is_at_most_twice_plain_pytorchs(kind, TILES, 5)


@each_native
def test_error_is_at_most_twice_plain_pytorchs_at_every_thread_count(kind, n_threads):
    assert_error_is_at_most_twice_plain_pytorchs(kind, TILES, 5)


@each_native
def test_error_is_at_most_twice_plain_pytorchs_at_the_size_of_mnist(kind):
    assert_error_is_at_most_twice_plain_pytorchs(kind, MNIST, 2)


@pytest.mark.parametrize("name", ADVANCED)
def test_a_bound_lies_around_what_the_specification_does(name):
    # Its value is float64's own, whose rounding is 2^-29 of float32's in either.
    recipe = RECIPES[name]
    for update, (state, bound) in enumerate(zip(*recorded(name), strict=True)):
        if update % 9 == 0:
            batch, _ = batch_of(recipe, update)
            exact, _ = training_step(recipe, in_dtype(state, torch.float64), batch)
            for key, bounded in bound.state.items():
                assert ((exact[key] - bounded.value).abs() <= 2.0**-26 * bounded.error).all(), key


@pytest.mark.parametrize("name", ADVANCED)
def test_the_bounds_are_narrow(name):
    """A bound that any step keeps would prove nothing: an error of half a per cent is outside."""
    states, bounds = recorded(name)
    for key in (key for key in states[0] if key.startswith("velocity.")):
        fastest = max(state[key].abs().max().item() for state in states)
        typical = torch.stack([bound.state[key].error.median() for bound in bounds]).median()
        assert typical < fastest / 256, key


@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": 0.1 * (1 + 1e-3)},
        {"momentum_first": 0.5 * (1 + 1e-3)},
        {"output_include_probability": 0.51},
        {"cost": "saturating"},
        {"seed": 4},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_step_that_is_a_little_wrong_is_out_of_bounds(wrong):
    states, bounds = recorded("tiny")
    step = build(KINDS[0], RECIPES["tiny"].replace(**wrong), FLOAT)
    for update in range(1, 31):  # the first has no velocity to be wrong about
        step.load_state_dict(states[update])
        step(batch_of(RECIPES["tiny"], update, FLOAT)[0])
        after = step.state_dict()
        shares = [share_of_bound(after[key], b) for key, b in bounds[update].state.items()]
        assert max(shares) > 1, update


@functools.cache
def plain_divergences():
    """Return seeds' recipes, exact ends, and how far plain PyTorch's float32 run ends from each."""
    found = []
    for seed in range(N_SEEDS):
        recipe = free_recipe(seed)
        start = state_of(build(("autograd", "reference"), recipe, FLOAT))
        _, exact = specified_run(recipe, in_dtype(start, torch.float64), 100)
        _, plain = specified_run(recipe, start, 100, FLOAT)
        found.append((recipe, exact[-1], divergence(plain[-1], exact[-1])))
    return found


def free_recipe(seed):
    return recipe_of(
        [(16, "relu"), (15, "relu"), (12, "sigmoid")],
        [(9, 5, 0.8), (8, 3, 0.5)],
        batch_size=11,
        seed=seed,
    )


def divergence(state, exact):
    """Return the distance of all the weights from the exact ones, relative to their size."""
    keys = [key for key in exact if key.startswith(("generator.", "discriminator.layers"))]
    squares = sum((state[key].double() - exact[key]).square().sum() for key in keys)
    size = sum(exact[key].square().sum() for key in keys)
    return math.sqrt(squares / size)


@each_but_triton  # whose rounding in the interpreter is not a GPU's
def test_a_free_float32_run_diverges_at_most_twice_as_far_as_plain_pytorch(kind):
    """The geometric mean over some seeds: one near tie that falls otherwise decides a run."""
    logs = []
    for recipe, exact, plain in plain_divergences():
        step = build(kind, recipe, FLOAT)
        run(step, 100, dtype=FLOAT)
        ours = divergence(step.state_dict(), exact)
        assert ours > U / 16  # it is a float32 run
        logs.append(math.log2(ours / plain))
    assert sum(logs) / len(logs) <= 1


@each_kind
@pytest.mark.parametrize("cost", ["non_saturating", "saturating"])
@pytest.mark.parametrize("logit", [-1e4, -100.0, -58.0, 30.0, 100.0, "from -100 to 100"])
def test_a_discriminator_that_is_sure_gets_and_gives_right_gradients(logit, cost, kind):
    # D's own derivative at a sample is s(l) / 2n, 4e-44 / n at -100; G's is still -s(-l) / n.
    recipe = RECIPES["tiny"].replace(cost=cost)
    step = build(kind, recipe, FLOAT)
    with torch.no_grad():
        if logit == "from -100 to 100":
            step.discriminator.output.weight.mul_(400.0)
        else:
            step.discriminator.output.weight.mul_(0.01)
            step.discriminator.output.bias.fill_(logit)
    state = state_of(step)
    batch, _ = batch_of(recipe, 0, FLOAT)
    bound = BoundedStep(recipe, state, batch)
    if logit == "from -100 to 100":
        logits = torch.cat([bound.logits["real"].value, bound.logits["fake"].value])
        assert logits.min() < -59 < 59 < logits.max()
    costs = step(batch)
    assert_costs_within(costs, bound)
    for key, bounded in bound.state.items():
        assert share_of_bound(step.state_dict()[key], bounded) <= 1, key
    exact = build(kind, recipe)
    exact.load_state_dict(in_dtype(state, torch.float64))
    after, _ = training_step(recipe, in_dtype(state, torch.float64), batch.double())
    exact(batch.double())
    assert_same_state(exact.state_dict(), after)
    if (cost == "non_saturating") == (logit in (-1e4, -100.0, -58.0)):  # where G's slope is 1 / n
        assert after["velocity.generator.layers.2.weight"].abs().max() > 1e-6
