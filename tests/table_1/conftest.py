"""Folders with evaluations of a few samples, made as the library makes them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fastgan import recipes
from fastgan.data import Dataset, load_dataset
from fastgan.evaluation import evaluate, evaluate_folds
from fastgan.kept_evaluation import keep_evaluation, keep_samples_evaluation
from fastgan.runs import Run, Weights
from fastgan.scores import Evaluation, FoldEvaluation

Found = Evaluation | FoldEvaluation


def score(
    dataset: Dataset, comparable_to: str | None, n_samples: int = 10_000, seed: int = 0
) -> Evaluation:
    """Evaluate samples; the count is set by hand, so that no test draws 10,000."""
    numbers = np.random.Generator(np.random.Philox(seed))
    samples = dataset.train.numpy()[numbers.integers(0, len(dataset.train), 40)]
    data = dataclasses.replace(dataset, comparable_to=comparable_to)
    return dataclasses.replace(evaluate(samples, data), n_samples=n_samples)


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return load_dataset("digits")


@pytest.fixture(scope="session")
def of_mnist(digits: Dataset) -> Evaluation:
    return score(dataclasses.replace(digits, name="mnist"), "MNIST")


@pytest.fixture(scope="session")
def of_digits(digits: Dataset) -> Evaluation:
    return score(digits, None, seed=1)


def folds(digits: Dataset, name: str, comparable_to: str | None) -> FoldEvaluation:
    parts = [
        dataclasses.replace(
            digits,
            name=name,
            test=digits.test[60 * k : 60 * k + 60],
            test_labels=None,
            comparable_to=comparable_to,
        )
        for k in range(5)
    ]
    found = evaluate_folds(digits.train[:50], parts)
    return FoldEvaluation.of([dataclasses.replace(f, n_samples=10_000) for f in found.folds])


@pytest.fixture(scope="session")
def of_faces(digits: Dataset) -> FoldEvaluation:
    return folds(digits, "faces", None)


@pytest.fixture(scope="session")
def of_tfd(digits: Dataset) -> FoldEvaluation:
    return folds(digits, "tfd", "TFD")


@pytest.fixture
def make_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a maker of run folders whose status, epochs and evaluation are as told."""
    statuses: dict[Path, str] = {}
    monkeypatch.setattr(
        Run, "status", property(lambda run: statuses.get(run.folder.resolve(), "new"))
    )

    def make(
        folder: str,
        found: Found | None,
        *,
        name: str = "digits",
        seed: int = 0,
        status: str = "finished",
        deviation: float = 0.2,
        warnings: tuple[str, ...] = (),
        weights: Weights = "model",
    ) -> Path:
        recipe = recipes.DIGITS.replace(name=name, seed=seed)
        run = Run(Run.create(tmp_path / folder, recipe).folder, recipe, weights)
        record = {"epoch": 3, "step": 30, "sample_deviation": deviation}
        lines = [{"epoch": 2, "step": 20, "warning": "collapse", "message": w} for w in warnings]
        text = "".join(json.dumps(line) + "\n" for line in [*lines, record])
        run.metrics_path.write_text(text)
        statuses[run.folder.resolve()] = status
        if found is not None:
            keep_evaluation(found, run.evaluation_path, run.folds_path)
        return run.folder

    return make


@pytest.fixture
def make_samples(tmp_path: Path) -> Callable[[str, Found, str], Path]:
    def make(folder: str, found: Found, name: str) -> Path:
        keep_samples_evaluation(found, tmp_path / folder, name)
        return tmp_path / folder

    return make
