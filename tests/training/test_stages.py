"""Two stages: the second goes on with the first's layers, and both can be stopped anywhere."""

from __future__ import annotations

import dataclasses
import tomllib

import pytest
import torch
from tiny_run import TINY, assert_same_run, tiny_dataset, weights

from fastgan import recipes, training
from fastgan.interruption import TrainingInterrupted
from fastgan.models import Discriminator, Generator
from fastgan.recipe_files import differences
from fastgan.recipes import DenseLayer
from fastgan.restarts import train_with_restarts
from fastgan.runs import Run
from fastgan.stages import generator_after
from fastgan.training import TrainingOptions, train

FIRST = TINY.replace(name="tiny-stage-1", latent="normal", n_epochs=3)
TWO = FIRST.replace(
    name="tiny-two",
    generator=(
        DenseLayer(12, "relu", initial_range=0.5),
        DenseLayer(4, "sigmoid", initial_range=0.5, initial_bias=-2.0),
        *FIRST.generator,
    ),
    n_epochs=2,
    first_stage=FIRST,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Run:
    return train(TWO, dataset=tiny_dataset(), folder=tmp_path_factory.mktemp("whole") / "run")


def test_the_run_is_the_second_and_holds_the_first(whole) -> None:
    assert (whole.recipe, whole.status) == (TWO, "finished")
    assert [record["epoch"] for record in whole.metrics] == [1, 2]
    first = Run.open(whole.folder / "stage-1")
    assert first.status == "finished"
    assert first.recipe == TWO.stages[0]
    assert [record["epoch"] for record in first.metrics] == [1, 2, 3]
    assert Run.open(whole.folder).recipe == TWO


def test_a_run_knows_the_stage_before_it(whole) -> None:
    assert whole.first_stage.folder == whole.folder / "stage-1"
    seconds = [run.metrics[-1]["seconds"] for run in (whole, whole.first_stage)]
    assert whole.training_seconds == pytest.approx(sum(seconds))
    assert whole.first_stage.training_seconds == seconds[1]
    assert whole.first_stage.first_stage is None


def test_stages_never_draw_the_same_numbers() -> None:
    first, second = TWO.replace(seed=7, dataset="mine").stages
    assert (first.seed, second.seed) == (7 + 2**32, 7)
    assert (first.dataset, second.dataset) == ("mine", "mine")
    assert TINY.stages == (TINY,)
    assert TWO.replace(seed=2**63 - 1).stages[0].seed == 2**32 - 1


def test_the_second_stage_starts_from_the_first_ones_layers(whole) -> None:
    first = Run.open(whole.folder / "stage-1").generator
    mean = tiny_dataset().train.mean(dim=0)
    started = generator_after(TWO, first, mean)
    fresh = Generator(TWO, mean)
    for index in (0, 1):
        assert torch.equal(started.layers[index].weight, fresh.layers[index].weight)
    assert started.layers[1].bias.tolist() == [-2.0] * 4
    for ours, theirs in zip(started.layers[2:], first.layers, strict=True):
        assert torch.equal(ours.weight, theirs.weight)
        assert torch.equal(ours.bias, theirs.bias)
        assert ours.weight.data_ptr() != theirs.weight.data_ptr()
    with torch.no_grad():  # the whole is the first stage's generator behind the new layers
        latent = torch.randn(5, 4)
        hidden = torch.sigmoid(started.layers[1](torch.relu(started.layers[0](latent))))
        torch.testing.assert_close(started(latent), first(hidden))


def test_the_second_stage_is_a_new_run_from_there(whole, tmp_path) -> None:
    """D, rates and velocities start anew: training that generator by hand gives the same bits."""
    first = Run.open(whole.folder / "stage-1").generator
    generator = generator_after(TWO, first, tiny_dataset().train.mean(dim=0))
    alone = TWO.replace(first_stage=None)
    by_hand = train(
        alone,
        dataset=tiny_dataset(),
        folder=tmp_path,
        generator=generator,
        discriminator=Discriminator(alone),
    )
    ours, theirs = weights(whole), weights(by_hand)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert whole.metrics[0]["learning_rate"] == by_hand.metrics[0]["learning_rate"]


def test_all_of_it_trains_on(whole) -> None:
    first = Run.open(whole.folder / "stage-1").generator
    for ours, theirs in zip(whole.generator.layers[2:], first.layers, strict=True):
        assert not torch.equal(ours.weight, theirs.weight)


class StopAfter:
    """In place of a step's ``next_batch``: an interrupt once so many batches were trained."""

    def __init__(self, monkeypatch, n_batches: int) -> None:
        self.left = n_batches
        plain = training.Interruption

        class Counting(plain):
            @property
            def requested(inner) -> bool:  # noqa: N805
                self.left -= 1
                return self.left < 0

            @requested.setter
            def requested(inner, value: bool) -> None:  # noqa: N805
                pass

        monkeypatch.setattr(training, "Interruption", Counting)


@pytest.mark.parametrize("n_batches", [2, 6, 13, 17])
def test_stopped_anywhere_it_goes_on_to_the_same_bits(
    whole, tmp_path, monkeypatch, n_batches
) -> None:
    with monkeypatch.context() as patch:
        StopAfter(patch, n_batches)
        with pytest.raises(TrainingInterrupted, match="fastgan train --resume") as told:
            train(TWO, dataset=tiny_dataset(), folder=tmp_path / "run")
    assert f"--resume {tmp_path / 'run'}, " in str(told.value)  # the whole, not the stage alone
    resumed = training.resume(tmp_path / "run", dataset=tiny_dataset())
    assert_same_run(resumed, whole)
    assert_same_run(Run.open(tmp_path / "run" / "stage-1"), Run.open(whole.folder / "stage-1"))


def test_a_stage_that_is_done_is_not_trained_again(whole, tmp_path, monkeypatch) -> None:
    trained = []
    plain = training.make_step

    def counting(recipe, *arguments, **named):
        trained.append(recipe.name)
        return plain(recipe, *arguments, **named)

    monkeypatch.setattr(training, "make_step", counting)
    run = train(TWO, dataset=tiny_dataset(), folder=tmp_path)
    assert trained == ["tiny-stage-1", "tiny-two"]
    longer = training.resume(tmp_path, dataset=tiny_dataset(), n_epochs=3)
    assert trained == ["tiny-stage-1", "tiny-two", "tiny-two"]
    assert (longer.recipe.n_epochs, longer.recipe.first_stage.n_epochs) == (3, 3)
    assert run.metrics[:2] == longer.metrics[:2]


def test_epochs_are_every_stages() -> None:
    assert [stage.n_epochs for stage in TWO.for_epochs(1).stages] == [1, 1]
    assert [stage.n_epochs for stage in TWO.stages] == [3, 2]


def test_a_first_stage_that_is_lost_is_the_result(tmp_path) -> None:
    dark = dataclasses.replace(FIRST.generator[0], initial_range=0.001)
    lost = FIRST.replace(generator=(dark, *FIRST.generator[1:]), learning_rate=1e-6)
    recipe = TWO.replace(generator=(*TWO.generator[:2], *lost.generator), first_stage=lost)
    run = train(recipe, dataset=tiny_dataset(), folder=tmp_path / "run", stop_on_collapse=True)
    assert (run.status, run.folder) == ("stopped", tmp_path / "run" / "stage-1")
    found = train_with_restarts(recipe, 1, dataset=tiny_dataset(), folder=tmp_path / "tried")
    assert [seed.kind for seed in found.lost] == ["collapse"]
    assert found.run.recipe.name == "tiny-two"  # the last seed is trained to its end
    before = Run.open(tmp_path / "tried" / "seed-3" / "stage-1").metrics
    again = train_with_restarts(
        recipe,
        1,
        dataset=tiny_dataset(),
        folder=tmp_path / "tried",
        options=TrainingOptions(resume=True),
    )
    assert again.lost == found.lost
    assert Run.open(tmp_path / "tried" / "seed-3" / "stage-1").metrics == before
    assert [entry.name for entry in sorted((tmp_path / "tried").iterdir())] == [
        "restarts.json", "seed-3", "seed-4"
    ]  # fmt: skip


def test_modules_of_ones_own_have_no_stages(tmp_path) -> None:
    with pytest.raises(ValueError, match="generator, discriminator: the recipe 'tiny-two' has two"):
        train(TWO, dataset=tiny_dataset(), folder=tmp_path, generator=Generator(TWO))


def test_generator_after_refuses_what_does_not_fit() -> None:
    mean = tiny_dataset().train.mean(dim=0)
    with pytest.raises(ValueError, match="first_generator: expected the generator of 'tiny-stage"):
        generator_after(TWO, Generator(TWO, mean), mean)
    with pytest.raises(ValueError, match=r"first_generator: .* got a Linear"):
        generator_after(TWO, torch.nn.Linear(4, 9), mean)
    with pytest.raises(ValueError, match="recipe: expected one with a first_stage, 'tiny' has non"):
        generator_after(TINY, Generator(TINY, mean), mean)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generator": TWO.generator[:-1]}, "first_stage: expected its generator's layers to be"),
        ({"generator": FIRST.generator[1:]}, "first_stage: expected its generator's layers to be"),
        (
            {"generator": (DenseLayer(5, "relu", 0.1), *FIRST.generator)},
            "first_stage: expected an n_latent of 5, what its first layer takes here, got 4",
        ),
        (
            {"generator": FIRST.generator, "n_latent": 6},
            "first_stage: expected an n_latent of 6, what its first layer takes here, got 4",
        ),
    ],
)
def test_recipes_whose_stages_do_not_fit(changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        TWO.replace(**changes)


def test_toml() -> None:
    text = recipes.to_toml(TWO)
    assert recipes.from_toml(text) == TWO
    assert tomllib.loads(text)["first_stage"]["name"] == "tiny-stage-1"
    assert tomllib.loads(recipes.to_toml(TINY))["first_stage"] == "none"
    with pytest.raises(TypeError, match='first_stage: expected a table or "none", got a whole num'):
        recipes.from_toml(recipes.to_toml(TINY).replace('first_stage = "none"', "first_stage = 3"))
    head, stage = text.split("[first_stage]")
    broken = stage.replace("batch_size = 10", "batch_size = 0")
    with pytest.raises(ValueError, match=r"first_stage\.batch_size: expected an integer"):
        recipes.from_toml(f"{head}[first_stage]{broken}")


def test_differences_go_into_the_stage() -> None:
    other = TWO.replace(first_stage=FIRST.replace(learning_rate=0.2, n_epochs=9))
    phrases = differences(TWO, other, ignore=frozenset({"n_epochs"}))
    assert phrases == ["first_stage.learning_rate is 0.2 there and 0.1 here"]
    phrases = differences(TINY, TINY.replace(first_stage=TINY), ignore=frozenset())
    assert len(phrases) == 1
