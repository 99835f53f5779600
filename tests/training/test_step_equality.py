"""Every step against the specification: free runs in float64, across levels and thread counts."""

import pytest
import torch
from step_cases import (
    KINDS,
    NATIVE,
    RECIPES,
    TRITON,
    assert_equal_bits,
    assert_same_costs,
    assert_same_state,
    at_most,
    batch_of,
    build,
    each_kind,
    each_native,
    recipe_of,
    run,
    specification,
    state_of,
    tiles_of,
)

from fastgan.recipes import MNIST
from fastgan.reference.training_step import limit_norms, training_step

SHORT = 20


@each_kind
@pytest.mark.parametrize("name", RECIPES)
def test_100_free_steps_in_float64(name, kind):
    n_updates = 100 if kind in NATIVE else 12  # plain PyTorch's Philox takes its time
    n_updates = at_most(kind, n_updates, 6)
    costs, states = specification(name)
    step = build(kind, RECIPES[name])
    with tiles_of(kind, name):
        assert_same_costs(run(step, n_updates), costs[:n_updates])
    assert step.update == n_updates
    assert_same_state(step.state_dict(), states[n_updates])
    for key, value in states[n_updates].items():  # it would pass on steps that do nothing
        if value.is_floating_point() and not key.startswith("velocity."):
            assert (value - states[0][key]).abs().max() > 1e-4, key


@each_native
def test_steps_of_the_mnist_recipe_in_float64(kind):
    # At the real sizes, a full batch and a short one, then the other schedule.
    random = torch.Generator().manual_seed(1)
    images = torch.rand(100, 784, generator=random).double().round(decimals=2)
    for schedule, sizes in (("simultaneous", (100, 37)), ("alternating", (100,))):
        recipe = MNIST.replace(schedule=schedule)
        step = build(kind, recipe)
        state = state_of(step)
        for n in sizes:
            costs = step(images[:n])
            state, wanted = training_step(recipe, state, images[:n])
            for ours, expected in zip(costs, wanted, strict=True):
                assert ours.item() == pytest.approx(expected.item(), rel=1e-9)
        assert_same_state(step.state_dict(), state)


@each_native
def test_at_every_simd_level(kind, simd_level):
    for name in ("wide", "three layers", "alternating k=2 saturating"):
        costs, _ = specification(name)
        assert_same_costs(run(build(kind, RECIPES[name]), SHORT), costs[:SHORT])


@each_native
def test_at_every_thread_count(kind, n_threads):
    costs, states = specification("wide")
    step = build(kind, RECIPES["wide"])
    assert_same_costs(run(step, 5), costs[:5])
    assert_same_state(step.state_dict(), states[5])


def test_same_bits_for_every_thread_count_of_the_native_core():
    # torch's own products promise no such thing: they may part a sum among threads
    states = []
    for n_threads in (1, 2, 5):
        step = build(("fused", "native"), MNIST, torch.float32)
        step.n_threads = n_threads
        run(step, 1, dtype=torch.float32)  # 100 images
        run(step, 1, first=2, dtype=torch.float32)  # 50
        states.append(step.state_dict())
    assert_equal_bits(states[1], states[0])
    assert_equal_bits(states[2], states[0])


@each_kind
def test_memory_that_was_not_set_is_never_read(kind, poisoned_memory):
    n_updates = at_most(kind, SHORT, 2)
    for name in ("wide", "alternating k=2 saturating", "no hidden layer"):
        costs, _ = specification(name)
        with tiles_of(kind, name):
            assert_same_costs(run(build(kind, RECIPES[name]), n_updates), costs[:n_updates])


@each_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_same_bits_again_and_after_a_resume(kind, dtype):
    n_updates, n_first = (20, 8) if kind != TRITON else (7, 5)  # then comes a short batch
    for name in ("max-norm alternating", "three layers")[: at_most(kind, 2, 1)]:
        recipe = RECIPES[name]
        whole, again, first = (build(kind, recipe, dtype) for _ in range(3))
        costs = run(whole, n_updates, dtype=dtype)
        assert torch.equal(run(again, n_updates, dtype=dtype), costs)
        assert_equal_bits(again.state_dict(), whole.state_dict())
        run(first, n_first, dtype=dtype)
        resumed = build(kind, recipe, dtype)
        resumed.load_state_dict(state_of(first))
        assert (resumed.update, resumed.epoch) == (n_first, 1 + (n_first - 1) // 3)
        rest = run(resumed, n_updates - n_first, first=n_first, dtype=dtype)
        assert torch.equal(rest, costs[n_first:])
        assert_equal_bits(resumed.state_dict(), whole.state_dict())


@each_kind
def test_a_state_of_one_step_is_a_state_of_every_other(kind):
    name = "max-norm alternating"
    recipe = RECIPES[name]
    costs, _ = specification(name)
    ours = build(kind, recipe)
    run(ours, 7)
    for other in KINDS:
        theirs = build(other, recipe)
        theirs.load_state_dict(state_of(ours))
        assert_equal_bits(theirs.state_dict(), ours.state_dict())
        n_updates = at_most(other, 13, 3)
        assert_same_costs(run(theirs, n_updates, first=7), costs[7 : 7 + n_updates])


@each_native
@pytest.mark.parametrize("bias", [-9.0, -1.5, 0.0, 9.0])
def test_whatever_share_of_the_hidden_units_is_open(bias, kind):
    # What is zero may be left out of a product: none of them, a few, half, or all.
    recipe = recipe_of(
        [(301, "relu"), (131, "relu"), (197, "sigmoid")],
        [(67, 5, 0.8), (43, 3, 0.5)],
        n_latent=10,
        batch_size=53,
    )
    for schedule in ("simultaneous", "alternating"):
        step = build(kind, recipe.replace(schedule=schedule))
        with torch.no_grad():
            step.generator.layers[0].bias.fill_(bias)
        z = torch.rand(200, 10, generator=torch.Generator().manual_seed(0)).double() * 3.4 - 1.7
        is_open = (step.generator.layers[0](z) > 0).double().mean()
        assert {-9.0: is_open == 0, -1.5: 0.02 < is_open < 0.2, 9.0: is_open == 1}.get(bias, True)
        state = state_of(step)
        for update in range(3):
            batch, step.epoch = batch_of(recipe, update)
            state["epoch"] = torch.tensor(step.epoch)
            state, _ = training_step(step.recipe, state, batch)
            step(batch)
        assert_same_state(step.state_dict(), state)


@each_kind
def test_a_change_of_batch_size_within_a_run(kind):
    # Buffers of one size must not reach into a batch of another: 13, 1, 8, 13, 2, ...
    recipe = RECIPES["one piece"]
    step = build(kind, recipe)
    state = state_of(step)
    images, _ = batch_of(recipe, 0)
    for n in (13, 1, 8, 13, 2, 13):
        step(images[:n])
        state, _ = training_step(recipe, state, images[:n])
        assert_same_state(step.state_dict(), state)


@each_kind
def test_the_limit_before_training_reaches_both_networks_once(kind):
    recipe = RECIPES["max-norm"]
    free = recipe.replace(max_norm=None, max_norm_before_training=False)
    wanted = limit_norms(recipe, state_of(build(kind, free)))
    step = build(kind, recipe)
    assert_same_state(step.state_dict(), wanted, relative=1e-14)
    for name, value in step.state_dict().items():
        if name.endswith(".weight") and not name.startswith("velocity."):
            assert (value.norm(dim=1) <= recipe.max_norm).all()


@each_kind
def test_the_batch_is_not_changed_and_torchs_generator_is_left_alone(kind):
    recipe = RECIPES["tiny"]
    step = build(kind, recipe)
    batch, _ = batch_of(recipe, 0)
    before = torch.get_rng_state(), batch.clone()
    step(batch)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.equal(batch, before[1])
    assert step.uses_torch_generator is False


@each_kind
def test_costs_stay_as_they_were_when_steps_go_on(kind):
    # The training loop keeps the costs of an epoch: they must not be views of a reused buffer.
    recipe = RECIPES["tiny"]
    step = build(kind, recipe)
    batch, _ = batch_of(recipe, 0)
    costs = step(batch)
    kept = torch.stack(costs).clone()
    for _ in range(3):
        step(batch)
    assert torch.equal(torch.stack(costs), kept)
