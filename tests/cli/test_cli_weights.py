"""``--weights``: the model, the last weights, or those of the best validation epoch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from invoking import PNG, mistake, succeed, tiny

import fastgan.runs


@pytest.fixture(scope="module")
def averaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a recipe that averages, through the command line; its best epoch is not its last."""
    folder = tmp_path_factory.mktemp("averaged")
    recipe = tiny(folder / "tiny.toml", average_decay=0.9, average_every=2, n_epochs=6,
                  learning_rate=1.0, batch_size=100)  # fmt: skip
    shown = succeed("train", recipe, "--out", folder / "run", "--quiet")
    run = fastgan.runs.Run.open(folder / "run")
    assert run.best_epoch.epoch < 6
    best = f"{run.best_epoch.validation_log_likelihood:.1f} nats, epoch {run.best_epoch.epoch}"
    assert f"best validation log-likelihood: {best}" in shown
    return folder / "run"


def test_weights_are_chosen(averaged: Path) -> None:
    run = fastgan.runs.Run.open(averaged)
    rows = {}
    for weights in ("model", "last", "best"):
        succeed("sample", averaged, "-n", 30, "--out", "rows.npy", "--weights", weights)
        rows[weights] = np.load("rows.npy")
        expected = run.load_generator(weights=weights).sample(30, 0).numpy()
        assert np.array_equal(rows[weights], expected)
    assert not np.array_equal(rows["model"], rows["last"])
    assert not np.array_equal(rows["model"], rows["best"])
    succeed("sample", averaged, "-n", 30, "--out", "rows.npy")
    assert np.array_equal(np.load("rows.npy"), rows["model"])


def test_scores_of_other_weights_stand_beside_the_models(averaged: Path) -> None:
    found = {"model": json.loads(succeed("evaluate", averaged, "--json"))}
    kept = (averaged / "evaluation.json").read_bytes()
    for weights in ("last", "best"):
        line = succeed("evaluate", averaged, "--weights", weights, "--json")
        found[weights] = json.loads(line)
        assert json.loads((averaged / f"evaluation-{weights}.json").read_text()) == found[weights]
    assert (averaged / "evaluation.json").read_bytes() == kept
    assert len({score["mean"] for score in found.values()}) == 3
    best = fastgan.runs.Run.open(averaged).best_epoch
    assert found["best"]["sigma"] == best.sigma


def test_figures_of_other_weights_stand_beside_the_models(averaged: Path) -> None:
    shown = succeed("figures", averaged, "--weights", "best").replace("\n", "")
    assert f"report: {averaged / 'report-best.html'}" in shown
    assert (averaged / "figures-best" / "figure_2.png").read_bytes().startswith(PNG)
    assert (averaged / "memorisation-best.json").is_file()
    assert not (averaged / "figures").exists()
    assert not (averaged / "report.html").exists()


def test_weights_that_are_not_there(trained: Path, averaged: Path) -> None:
    sentence = "weights: expected one of model, last, best, got 'first'"
    for command in ("evaluate", "figures", "neighbors"):
        assert sentence in mistake(command, trained, "--weights", "first")
    assert sentence in mistake("sample", trained, "--weights", "first", "--out", "x.npy")
    (averaged / "best.safetensors").rename("away")
    try:
        line = mistake("evaluate", averaged, "--weights", "best")
    finally:
        Path("away").rename(averaged / "best.safetensors")
    assert "holds no best.safetensors" in line
