"""The step as its user meets it: which one is chosen, its modules, bad arguments, its memory."""

import ctypes
import dataclasses
import gc
import math
import re
from pathlib import Path

import pytest
import torch
from step_cases import (
    ALTERNATING,
    TINY,
    assert_same_state,
    batch_of,
    build,
    each_kind,
    each_native,
    recipe_of,
    run,
    state_of,
)
from torch import nn

from fastgan.autograd_step import AutogradStep
from fastgan.fused import FusedStep
from fastgan.models import Discriminator, Generator
from fastgan.recipes import DIGITS
from fastgan.reference.training_step import training_step
from fastgan.steps import make_step

BATCH, _ = batch_of(TINY, 0)


class Renamed(Discriminator):
    """A class of the user's: what its forward does is not known."""


class Foreign(nn.Module):
    """Logits of shape (n, 1), torch's own dropout."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(9, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 1))

    def forward(self, images):
        return self.layers(images)


def test_auto_takes_the_fused_step_for_our_own_pair_and_says_so(caplog):
    with caplog.at_level("INFO", logger="fastgan"):
        step = make_step(DIGITS, image_mean=torch.full((64,), 0.3))
    assert isinstance(step, FusedStep)
    assert "step: fused" in caplog.text
    step = make_step(DIGITS, "autograd", image_mean=torch.full((64,), 0.3))
    assert isinstance(step, AutogradStep)


def frozen(module):
    next(module.parameters()).requires_grad_(False)
    return module


def transposed(module):
    weight = module.layers[0].weight
    weight.data = weight.data.T.contiguous().T
    return module


OBSTACLES = {
    "a generator of the user's": (
        lambda: nn.Linear(5, 9),
        lambda: Discriminator(TINY),
        "it needs fastgan's own Generator, not a Linear",
    ),
    "a discriminator of the user's": (
        lambda: Generator(TINY),
        Foreign,
        "it needs fastgan's own Discriminator, not a Foreign",
    ),
    "a subclass": (
        lambda: Generator(TINY),
        lambda: Renamed(TINY),
        "it needs fastgan's own Discriminator, not a Renamed",
    ),
    "another recipe": (
        lambda: Generator(TINY),
        lambda: Discriminator(TINY.replace(output_include_probability=0.75)),
        "the modules have other layers than the recipe",
    ),
    "frozen": (
        lambda: frozen(Generator(TINY)),
        lambda: Discriminator(TINY),
        "some parameters are not to be trained",
    ),
    "strides": (
        lambda: Generator(TINY),
        lambda: transposed(Discriminator(TINY)),
        "some parameters are not contiguous",
    ),
}


@pytest.mark.parametrize(
    ("generator", "discriminator", "obstacle"), OBSTACLES.values(), ids=OBSTACLES
)
def test_what_fused_cannot_train_it_refuses_and_auto_leaves_to_autograd(
    generator, discriminator, obstacle, caplog
):
    with pytest.raises(ValueError, match=f"step: 'fused' cannot be: {obstacle}"):
        make_step(TINY, "fused", generator=generator(), discriminator=discriminator())
    with pytest.raises(ValueError, match=f"generator, discriminator: .*{obstacle}"):
        FusedStep(generator(), discriminator(), TINY)
    with caplog.at_level("INFO", logger="fastgan"):
        step = make_step(TINY, generator=generator(), discriminator=discriminator())
    assert isinstance(step, AutogradStep)
    assert f"step: autograd, as {obstacle}" in caplog.text


def test_fused_needs_one_dtype_that_it_knows():
    for generator, discriminator, obstacle in (
        (Generator(TINY).double(), Discriminator(TINY), "not all of one device and dtype"),
        (Generator(TINY).half(), Discriminator(TINY).half(), "torch.float16, neither float32"),
    ):
        with pytest.raises(ValueError, match=obstacle):
            make_step(TINY, "fused", generator=generator, discriminator=discriminator)


@each_kind
@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        (BATCH[:0], ValueError, "batch: expected at least one image, got shape (0, 9)"),
        (BATCH[:, :8], ValueError, "batch: expected shape (n, 9), got (8, 8)"),
        (BATCH[0], ValueError, "batch: expected shape (n, 9), got (9,)"),
        (BATCH[None], ValueError, "batch: expected shape (n, 9), got (1, 8, 9)"),
        (BATCH.float(), TypeError, "batch: expected dtype float64 like the networks, got float32"),
        (BATCH.byte(), TypeError, "batch: expected dtype float64 like the networks, got uint8"),
        (BATCH.to("meta"), ValueError, "batch: expected device cpu like the networks, got meta"),
        (BATCH.numpy(), TypeError, "batch: expected a torch.Tensor, got ndarray"),
        (BATCH.to_sparse(), TypeError, "batch: expected a dense tensor, got layout"),
    ],
    ids=["empty", "width", "row", "3d", "float32", "uint8", "device", "numpy", "sparse"],
)
def test_a_wrong_batch_is_refused_and_changes_nothing(batch, error, message, kind):
    step = build(kind, TINY)
    before = state_of(step)
    with pytest.raises(error, match=re.escape(message)):
        step(batch)
    assert_same_state(step.state_dict(), before, relative=0)
    step(BATCH)
    assert step.update == 1


@each_kind
def test_any_strides_and_a_batch_that_wants_a_gradient(kind):
    wanted = build(kind, TINY)
    wanted(BATCH)
    for batch in (
        BATCH.T.contiguous().T,
        torch.cat((BATCH, BATCH), dim=1)[:, :9],
        BATCH.repeat_interleave(2, dim=0)[::2],
        BATCH.clone().requires_grad_(),
    ):
        step = build(kind, TINY)
        costs = step(batch)
        assert_same_state(step.state_dict(), wanted.state_dict(), relative=0)
        assert not any(cost.requires_grad for cost in costs)


@each_kind
def test_the_steps_modules_are_the_networks_in_training(kind):
    step = build(kind, TINY)
    before = state_of(step)
    step(BATCH)
    for prefix, module in (("generator", step.generator), ("discriminator", step.discriminator)):
        for name, value in module.state_dict().items():
            assert torch.equal(value, step.state_dict()[f"{prefix}.{name}"])
        for name, parameter in module.named_parameters():
            assert parameter.requires_grad
            assert parameter.grad is None
            assert not torch.equal(parameter, before[f"{prefix}.{name}"])
    assert isinstance(step.generator, Generator)
    assert isinstance(step.discriminator, Discriminator)
    assert step.generator(torch.zeros(2, 5, dtype=torch.float64)).shape == (2, 9)


@each_kind
def test_weights_that_the_user_changes_in_place_are_those_of_the_next_step(kind):
    for recipe in (TINY, TINY.replace(**ALTERNATING)):
        step = build(kind, recipe)
        step(BATCH)
        with torch.no_grad():
            for parameter in (*step.generator.parameters(), *step.discriminator.parameters()):
                parameter.mul_(0.75)
        wanted, _ = training_step(recipe, state_of(step), BATCH)
        step(BATCH)
        assert_same_state(step.state_dict(), wanted)


@each_kind
def test_weights_whose_memory_the_user_exchanges_are_found_again(kind):
    step = build(kind, TINY)
    step(BATCH)
    for parameter in (*step.generator.parameters(), *step.discriminator.parameters()):
        parameter.data = 0.75 * parameter.data
    wanted, _ = training_step(TINY, state_of(step), BATCH)
    step(BATCH)
    assert_same_state(step.state_dict(), wanted)


@each_kind
def test_autograd_notices_that_a_step_has_changed_the_weights(kind):
    step = build(kind, TINY)
    cost = step.discriminator(step.generator(torch.ones(2, 5, dtype=torch.float64))).sum()
    step(BATCH)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        cost.backward()


@each_kind
def test_a_discriminator_in_evaluation_mode_trains_without_dropout(kind):
    step = build(kind, TINY)
    step.discriminator.eval()
    plain = TINY.replace(
        discriminator=[dataclasses.replace(d, include_probability=1.0) for d in TINY.discriminator],
        output_include_probability=1.0,
    )
    wanted, _ = training_step(plain, state_of(step), BATCH)
    step(BATCH)
    assert_same_state(step.state_dict(), wanted)
    assert not step.discriminator.training


@each_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_of_equal_pieces_the_lowest_gets_the_gradient(dtype, kind):
    for index, n_pieces in enumerate((3, 2)):
        step = build(kind, TINY, dtype)
        layer = step.discriminator.layers[index]
        with torch.no_grad():
            layer.weight.zero_()
            layer.bias.fill_(0.25)
        step(BATCH.to(dtype))
        for name in ("weight", "bias"):
            velocity = step.state_dict()[f"velocity.discriminator.layers.{index}.{name}"]
            of_pieces = velocity.reshape(-1, n_pieces, *velocity.shape[1:])
            assert (of_pieces[:, 0] != 0).any()
            assert (of_pieces[:, 1:] == 0).all()


@each_kind
def test_the_seed_given_is_the_key_of_the_masks(kind):
    step = build(kind, TINY, seed=12)
    assert step.seed == 12
    wanted, _ = training_step(TINY, state_of(step), BATCH, seed=12)
    step(BATCH)
    assert_same_state(step.state_dict(), wanted)
    other, _ = training_step(TINY, state_of(build(kind, TINY)), BATCH)
    with pytest.raises(AssertionError):
        assert_same_state(step.state_dict(), other)


@each_kind
def test_a_bad_state_is_refused_and_changes_nothing(kind):
    step = build(kind, TINY)
    step(BATCH)
    good = state_of(step)
    name = "velocity.discriminator.layers.1.weight"
    for bad, message in (
        ({k: v for k, v in good.items() if k != name}, f"the tensor '{name}' is missing"),
        ({**good, "x": good[name]}, "unknown tensor 'x'"),
        ({**good, name: good[name][:, :3]}, f"'{name}': expected torch.float64 of shape (6, 4)"),
        ({**good, name: good[name].float()}, f"'{name}': expected torch.float64 of shape (6, 4)"),
    ):
        with pytest.raises(ValueError, match=re.escape(f"state: {message}")):
            step.load_state_dict(bad)
        assert_same_state(step.state_dict(), good, relative=0)


@each_kind
def test_a_run_that_has_diverged_shows_it_in_its_costs(kind):
    for module, cost in (("discriminator", "discriminator"), ("generator", "generator")):
        step = build(kind, TINY)
        with torch.no_grad():
            getattr(step, module).layers[0].weight[0, 0] = math.nan
        assert torch.isnan(getattr(step(BATCH), cost))


def private_bytes():
    """Return the anonymous memory that this process holds (Linux), freed memory given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # else what earlier tests freed would take a leak in
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(re.search(r"RssAnon:\s+(\d+) kB", text)[1])


@pytest.mark.skipif(
    not Path("/proc/self/status").exists() or not hasattr(ctypes.CDLL(None), "malloc_trim"),
    reason="memory is read from Linux's /proc, and glibc gives freed memory back",
)
@pytest.mark.parametrize("schedule", ["simultaneous", "alternating"])
@each_native
def test_memory_does_not_grow_over_1000_steps(schedule, kind):
    recipe = recipe_of(
        [(96, "relu"), (80, "sigmoid")], [(32, 3, 0.8)], schedule=schedule, batch_size=32
    )
    step = build(kind, recipe, torch.float32)
    run(step, 100, dtype=torch.float32)
    before = private_bytes()
    for _ in range(10):
        run(step, 100, dtype=torch.float32)
    # A step's smallest matrix, D's values (32 x 32 floats), kept by each would come to 4 MiB.
    assert private_bytes() - before < 1 << 20


@each_kind
def test_every_recipe_of_a_width_of_one(kind):
    recipe = recipe_of([(1, "relu"), (1, "sigmoid")], [(1, 1, 0.5)], n_latent=1, batch_size=3)
    step = build(kind, recipe)
    state = state_of(step)
    for update in range(10):
        batch, step.epoch = batch_of(recipe, update)
        state, _ = training_step(recipe, {**state, "epoch": torch.tensor(step.epoch)}, batch)
        step(batch)
    assert_same_state(step.state_dict(), state)
