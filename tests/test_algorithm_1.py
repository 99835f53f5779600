"""Algorithm 1 beside the released recipe: what is planned, trained, drawn and written."""

from __future__ import annotations

import dataclasses
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from fastgan import algorithm_1, recipes
from fastgan.algorithm_1 import algorithm_1_recipes, compare_algorithm_1, write_comparison
from fastgan.comparison_figure import ComparedRun, comparison_figure
from fastgan.data import Dataset
from fastgan.interruption import TrainingInterrupted
from fastgan.runs import Run
from fastgan.themes import THEMES
from fastgan.training import TrainingOptions

TINY = recipes.DIGITS.replace(
    name="tiny",
    n_latent=4,
    generator=(
        recipes.DenseLayer(16, "relu", initial_range=0.5),
        recipes.DenseLayer(12, "sigmoid", initial_range=0.5, bias_from_data=True),
    ),
    discriminator=(recipes.MaxoutLayer(8, 2, include_probability=0.8, initial_range=0.3),),
    batch_size=10,
    n_epochs=2,
    n_samples=50,
    seed=3,
)


def data_set() -> Dataset:
    rows = torch.rand(57, 12, generator=torch.Generator().manual_seed(0))
    return Dataset("noise", rows[:37], rows[37:47], rows[47:], image_shape=(4, 3, 1))


def compared(label: str = "released recipe", collapsed: tuple[int, ...] = (), **changes: object):
    rows = tuple(
        {
            "epoch": epoch,
            "step": 10 * epoch,
            "discriminator_cost": 0.4,
            "generator_cost": 2.0 / epoch,
            "real_probability": 0.8,
            "fake_probability": 0.2,
            "sample_deviation": 0.001 if epoch in collapsed else 0.2,
            "validation_log_likelihood": 10.0 * epoch,
        }
        for epoch in range(1, 5)
    )
    made = ComparedRun(
        name="run", label=label, recipe=TINY, status="finished", metrics=rows, warnings=(),
        collapsed_epochs=collapsed, discriminator_updates=40, generator_updates=40,
        samples=data_set().train[:20],
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def picture(*runs: ComparedRun, theme: str = "light") -> np.ndarray:
    with Image.open(io.BytesIO(comparison_figure(runs, data_set(), theme=theme))) as image:
        return np.asarray(image.convert("RGB"))


def test_recipes_differ_from_the_released_one_in_schedule_cost_and_k_alone() -> None:
    released, *printed = algorithm_1_recipes(recipes.MNIST_AVERAGED.replace(seed=7), (1, 2, 5))
    assert (released.schedule, released.cost, released.k) == ("simultaneous", "non_saturating", 1)
    assert [each.k for each in printed] == [1, 2, 5]
    assert [each.name for each in printed] == [
        f"mnist-averaged-algorithm-1-k-{k}" for k in (1, 2, 5)
    ]
    for each in printed:
        assert (each.schedule, each.cost) == ("alternating", "saturating")
        assert released == each.replace(
            name=released.name, schedule="simultaneous", cost="non_saturating", k=1
        )
    same = {"name", "average_decay", "evaluate_every"}
    for field in dataclasses.fields(released):
        if field.name not in same:
            own = getattr(recipes.MNIST_AVERAGED.replace(seed=7), field.name)
            assert getattr(released, field.name) == own, field.name
    assert released.average_decay == 0.0


@pytest.mark.parametrize("ks", [(), (1, 1), (1, 2, 3, 4, 5)])
def test_ks_that_no_picture_can_show_are_refused(ks: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="k: expected 1 to 4 different numbers, got"):
        algorithm_1_recipes(TINY, ks)
    with pytest.raises(ValueError, match="k: expected"):
        algorithm_1_recipes(TINY, (0,))


def test_every_run_is_trained_to_its_end_and_counted(tmp_path) -> None:
    said: list[str] = []
    done = compare_algorithm_1(
        TINY, (1, 3), dataset=data_set(), folder=tmp_path, say=said.append,
        options=TrainingOptions(stop_on_collapse=True, sample_grids=False),
    )  # fmt: skip
    assert [run.discriminator_updates for run in done.runs] == [8, 8, 8]  # 4 batches an epoch
    assert [run.generator_updates for run in done.runs] == [8, 8, 2]
    assert len(said) == 3
    content = json.loads(done.numbers.read_text())
    for run, numbers in zip(done.runs, content["runs"], strict=True):
        assert Run.open(tmp_path / run.name).metrics == numbers["epochs"]
        assert [row["epoch"] for row in numbers["epochs"]] == [1, 2]
        assert all("validation_log_likelihood" in row for row in numbers["epochs"])
        assert run.status == numbers["status"] == "finished"
        expected = Run.open(tmp_path / run.name).last_generator.sample(20, TINY.seed)
        assert torch.equal(run.samples, expected)
    assert not torch.equal(done.runs[0].samples, done.runs[1].samples)
    assert [path.name for path in done.pictures] == ["comparison.png", "comparison-dark.png"]
    with pytest.raises(FileExistsError, match="tiny-released already holds a run; set resume"):
        compare_algorithm_1(TINY, (1, 3), dataset=data_set(), folder=tmp_path)


def test_an_interrupted_comparison_goes_on_as_if_nothing_had_been(tmp_path, monkeypatch) -> None:
    whole = compare_algorithm_1(TINY, (2,), dataset=data_set(), folder=tmp_path / "whole")
    train, started = algorithm_1.train, []

    def interrupted(recipe, **options):
        started.append(recipe.name)
        if len(started) == 2:
            train(recipe.replace(n_epochs=1), **options)  # leaves a run that is half done
            raise TrainingInterrupted("the state is saved")
        return train(recipe, **options)

    monkeypatch.setattr(algorithm_1, "train", interrupted)
    with pytest.raises(TrainingInterrupted):
        compare_algorithm_1(TINY, (2,), dataset=data_set(), folder=tmp_path / "parts")
    assert not (tmp_path / "parts" / "comparison.json").exists()
    monkeypatch.undo()
    parts = compare_algorithm_1(
        TINY, (2,), dataset=data_set(), folder=tmp_path / "parts",
        options=TrainingOptions(resume=True),
    )  # fmt: skip
    for one, other in zip(whole.runs, parts.runs, strict=True):
        assert torch.equal(one.samples, other.samples)
        for mine, yours in zip(one.metrics, other.metrics, strict=True):
            assert {**mine, "seconds": 0} == {**yours, "seconds": 0}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "no collapse"),
        ({"collapsed": (2, 3, 4)}, "collapsed, from epoch 2"),
        ({"collapsed": (2,)}, "collapsed in epoch 2, recovered"),
        ({"status": "diverged"}, "diverged in epoch 4"),
    ],
)
def test_an_outcome_is_told(changes: dict[str, object], words: str) -> None:
    assert compared(**changes).outcome == words


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_collapse_is_painted_and_every_run_has_its_colour(theme: str) -> None:
    healthy = picture(compared(), compared("k = 1"), theme=theme)
    lost = picture(compared(), compared("k = 1", collapsed=(3, 4)), theme=theme)
    colours = THEMES[theme]

    def area(image: np.ndarray, colour: str) -> int:
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        return int((image == rgb).all(axis=2).sum())

    assert "#{:02x}{:02x}{:02x}".format(*healthy[0, 0]) == colours.paper
    assert area(healthy, colours.warning) == 0
    assert area(lost, colours.warning) > 500
    for image in (healthy, lost):
        assert area(image, colours.discriminator) > 500
        assert area(image, colours.generator) == 0  # there is no third run
    assert area(picture(compared(), compared(), compared(), theme=theme), colours.generator) > 500


def test_numbers_that_are_not_finite_are_gaps_and_valid_json(tmp_path) -> None:
    rows = compared().metrics
    broken = ({**rows[0], "generator_cost": None}, *rows[1:])
    run = compared(metrics=broken, status="diverged")
    done = write_comparison([run], data_set(), tmp_path)
    numbers = json.loads(done.numbers.read_text())["runs"][0]
    assert numbers["epochs"][0]["generator_cost"] is None
    assert numbers["status"] == "diverged"


def test_the_figure_refuses() -> None:
    with pytest.raises(ValueError, match="runs: expected 1 to 5, got 0"):
        comparison_figure([], data_set())
    with pytest.raises(ValueError, match="runs: expected 1 to 5, got 6"):
        comparison_figure([compared()] * 6, data_set())
    with pytest.raises(ValueError, match="runs: expected at least one epoch of run, got none"):
        comparison_figure([compared(metrics=())], data_set())
    with pytest.raises(ValueError, match="theme: expected 'light' or 'dark'"):
        comparison_figure([compared()], data_set(), theme="blue")
