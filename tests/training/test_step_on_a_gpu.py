"""The captured step on a real device, against the specification: only where there is one."""

import pytest
import torch
from rounding import BoundedStep
from step_cases import (
    RECIPES,
    assert_equal_bits,
    assert_same_costs,
    assert_same_state,
    batch_of,
    images_of,
    specification,
)
from tiny_run import TINY as TINY_RUN
from tiny_run import tiny_dataset

from fastgan.fused.graphs import Graphs
from fastgan.models import Discriminator, Generator
from fastgan.steps import make_step
from fastgan.training import resume, train

pytestmark = pytest.mark.gpu


def build_on(device, recipe, dtype=torch.float64):
    pair = Generator(recipe).to(dtype), Discriminator(recipe).to(dtype)
    return make_step(
        recipe, "fused", "triton", generator=pair[0], discriminator=pair[1], device=device
    )


def run_on(device, step, n_updates, dtype=torch.float64):
    costs = []
    for update in range(n_updates):
        batch, step.epoch = batch_of(step.recipe, update, dtype)
        costs.append(torch.stack(step(batch.to(device))))
    return torch.stack(costs).cpu()


def state_on_host(step):
    return {name: value.cpu() for name, value in step.state_dict().items()}


@pytest.mark.parametrize("name", RECIPES)
def test_100_free_steps_in_float64(name, device) -> None:
    costs, states = specification(name)
    step = build_on(device, RECIPES[name])
    assert_same_costs(run_on(device, step, 100), costs)
    assert_same_state(state_on_host(step), states[100])


@pytest.mark.parametrize("name", ["tiny", "max-norm alternating", "wide"])
def test_states_are_advanced_within_their_bounds_in_float32(name, device) -> None:
    recipe = RECIPES[name]
    step = build_on(device, recipe, torch.float32)
    for update in range(50):
        batch, step.epoch = batch_of(recipe, update, torch.float32)
        bound = BoundedStep(recipe, state_on_host(step), batch)
        step(batch.to(device))
        after = state_on_host(step)
        for key, bounded in bound.state.items():
            assert ((after[key].double() - bounded.value).abs() <= bounded.error).all(), key


@pytest.mark.parametrize("name", ["tiny", "alternating k=2 saturating", "max-norm alternating"])
def test_a_graph_does_what_its_launches_do(name, device, monkeypatch) -> None:
    captured = build_on(device, RECIPES[name], torch.float32)
    costs = run_on(device, captured, 30, torch.float32)
    monkeypatch.setattr(Graphs, "run", lambda self, key, step, exchange: list(step()))
    plain = build_on(device, RECIPES[name], torch.float32)
    assert torch.equal(run_on(device, plain, 30, torch.float32), costs)
    assert_equal_bits(state_on_host(plain), state_on_host(captured))


def test_an_epoch_never_waits_for_the_host(device) -> None:
    recipe = RECIPES["alternating k=2 saturating"]
    step = build_on(device, recipe, torch.float32)
    images = images_of(recipe, torch.float32).to(device)
    order = torch.arange(len(images), device=device)
    for epoch in range(1, 5):
        step.epoch = epoch
        step.begin_epoch(images, order)
        for _ in range(3):
            torch.cuda.set_sync_debug_mode("error" if epoch > 2 else "default")
            try:
                step.next_batch()
            finally:
                torch.cuda.set_sync_debug_mode("default")


def test_a_run_trains_is_resumed_and_scored_on_the_device(tmp_path, device) -> None:
    whole = train(TINY_RUN, dataset=tiny_dataset(), folder=tmp_path / "whole", device="cuda")
    train(TINY_RUN, dataset=tiny_dataset(), folder=tmp_path / "part", device="cuda", n_epochs=2)
    part = resume(tmp_path / "part", dataset=tiny_dataset(), n_epochs=4, device="cuda")
    keys = ("discriminator_cost", "generator_cost", "validation_log_likelihood")
    of_whole, of_part = whole.metrics[-1], part.metrics[-1]
    assert [of_whole.get(key) for key in keys] == [of_part.get(key) for key in keys]
    on_cpu = train(TINY_RUN, dataset=tiny_dataset(), folder=tmp_path / "cpu")
    assert of_whole["discriminator_cost"] == pytest.approx(
        on_cpu.metrics[-1]["discriminator_cost"], rel=1e-2
    )
