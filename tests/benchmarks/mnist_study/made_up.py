"""Runs whose numbers are given, and a recipe that trains in no time."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from fastgan import recipes
from fastgan.recipes import DenseLayer, MaxoutLayer, Recipe
from fastgan.runs import Run
from fastgan.scores import Evaluation

# Trains in well under a second; the digits come with scikit-learn.
SMALL = recipes.DIGITS.replace(
    name="small",
    generator=(DenseLayer(16, "relu", 0.5), DenseLayer(64, "sigmoid", 0.5, bias_from_data=True)),
    discriminator=(MaxoutLayer(8, 2, include_probability=0.8, initial_range=0.05),),
    average_decay=0.9,
    n_epochs=4,
    evaluate_every=2,
    n_samples=50,
)
AVERAGED = recipes.MNIST_AVERAGED.replace(n_epochs=8)
MNIST_SCORE = Evaluation(
    dataset="mnist",
    comparable_to="MNIST",
    n_samples=10_000,
    n_test=10_000,
    n_validation=1_000,
    n_features=784,
    sigma=0.1668,
    sigmas=(0.1668,),
    validation_means=(0.0,),
    at_edge=False,
    sigma_variant="paper",
    mean=0.0,
    standard_error=1.5,
    sample_standard_error=0.8,
    n_blocks=50,
    seed=0,
    sample_range=(0.0, 1.0),
    data_range=(0.0, 1.0),
    seconds=1.0,
)


def leave_run(
    folder: Path,
    place: str,
    recipe: Recipe,
    validations: dict[int, float],
    *,
    last: dict[int, float] | None = None,
    tests: dict[tuple[str, int], float] | None = None,
    warnings: tuple[tuple[int, str], ...] = (),
    n_epochs: int | None = None,
) -> Path:
    """Leave the files of a run whose numbers are given: 500 batches and 10 s an epoch."""
    run = Run.create(folder / place / f"seed-{recipe.seed}", recipe)
    for epoch in range(1, (n_epochs or recipe.n_epochs) + 1):
        record: dict[str, Any] = {
            "epoch": epoch, "step": 500 * epoch, "discriminator_cost": 0.5, "generator_cost": 1.0,
            "real_probability": 0.75, "fake_probability": 0.25, "sample_mean": 0.13,
            "sample_deviation": 0.15, "learning_rate": 0.1, "momentum": 0.5,
            "seconds": 10.0 * epoch,
        }  # fmt: skip
        if epoch in validations:
            record |= {"validation_log_likelihood": validations[epoch], "sigma": 0.1668}
        if last is not None and epoch in last:
            record["validation_log_likelihood_of_last_weights"] = last[epoch]
        run.append_metrics(record)
    for epoch, kind in warnings:
        run.append_metrics({"epoch": epoch, "step": 500 * epoch, "warning": kind, "message": kind})
    for (weights, epoch), mean in (tests or {}).items():
        path = run.folder / "study_scores" / f"{weights}-epoch-{epoch:04d}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(dataclasses.replace(MNIST_SCORE, mean=mean).to_json())
    slice_ = {
        "first_epoch": 1, "last_epoch": 4, "training_seconds": 40.0, "seconds": 50.0,
        "n_threads": 1, "n_processes": 2, "finished": "2026-01-02 03:04 UTC",
        "machine": {"processor": "an abacus", "cores": "2", "date": "2026-01-01 00:00 UTC"},
    }  # fmt: skip
    (run.folder / "study.jsonl").write_text(json.dumps(slice_) + "\n")
    return run.folder


def cells(text: str, heading: str) -> list[list[str]]:
    """Return the rows of the first table below a heading, its header first."""
    part = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line for line in part.splitlines() if line.startswith("|")]
    return [
        [cell.strip() for cell in row.strip("|").split("|")] for row in rows if "---" not in row
    ]
