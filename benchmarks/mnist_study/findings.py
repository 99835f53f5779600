"""What run folders hold, read back for the report."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.mnist_study.one_slice import (
    SCORES,
    SLICES,
    VALIDATION,
    VALIDATION_OF_LAST,
)
from benchmarks.mnist_study.plan import PARTS, variants_of
from fastgan.best_weights import best_epoch
from fastgan.recipes import Recipe
from fastgan.runs import Run, Weights
from fastgan.scores import Evaluation

_SCORE = re.compile(r"(model|last|best)-epoch-(\d+)\.json")


@dataclass(frozen=True)
class Found:
    """One run of the study.

    Attributes
    ----------
    part, variant : str
    recipe : Recipe
        The run's own, with its seed.
    records, warnings : list of dict
        The lines of ``metrics.jsonl``.
    tests : dict of str to dict of int to Evaluation
        Scores on the test images by kind of weights ("model", "last", "best") and by epoch.
    slices : list of dict
        How the run was carried out.
    """

    part: str
    variant: str
    recipe: Recipe
    records: list[dict[str, Any]]
    warnings: list[dict[str, Any]]
    tests: dict[str, dict[int, Evaluation]]
    slices: list[dict[str, Any]]

    @property
    def n_epochs(self) -> int:
        """Epochs behind it."""
        return int(self.records[-1]["epoch"])

    @property
    def averages(self) -> bool:
        """Whether the model is an average of weights."""
        return self.recipe.averages

    @property
    def best_epoch(self) -> int | None:
        """The first epoch of the highest validation log-likelihood of the model."""
        best = best_epoch(self.records)
        return None if best is None else best.epoch

    def validation(self, *, of_last_weights: bool = False) -> dict[int, float]:
        """Return validation log-likelihoods in nats by epoch, of the model or the last weights."""
        field = VALIDATION_OF_LAST if of_last_weights and self.averages else VALIDATION
        return {
            int(record["epoch"]): float(record[field])
            for record in self.records
            if record.get(field) is not None
        }

    def test(self, weights: Weights) -> Evaluation | None:
        """Return the score of the weights that the run has now; None where it was not measured.

        ``weights`` is "model", "last" (which are the model where nothing is averaged) or "best".
        """
        if weights == "last" and not self.averages:
            weights = "model"
        epoch = self.best_epoch if weights == "best" else self.n_epochs
        return self.tests.get(weights, {}).get(epoch) if epoch is not None else None

    def watched(self, last_epoch: int | None = None) -> str:
        """Return the collapse watch's first findings up to an epoch, in words; "" for none."""
        first: dict[str, int] = {}
        for warning in self.warnings:
            if last_epoch is None or warning["epoch"] <= last_epoch:
                first.setdefault(warning["warning"], warning["epoch"])
        return ", ".join(f"{kind} (epoch {epoch})" for kind, epoch in first.items())

    def seconds_at(self, epoch: int) -> float:
        """Return the seconds of training up to an epoch's end."""
        return next(float(r["seconds"]) for r in self.records if r["epoch"] == epoch)

    def updates_at(self, epoch: int) -> int:
        """Return how many batches were worked through up to an epoch's end."""
        return next(int(r["step"]) for r in self.records if r["epoch"] == epoch)


def read(folder: Path) -> list[Found]:
    """Return the runs below a study's folder that have an epoch behind them, in planned order.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If a file of a run is damaged; the message names it.
    """
    found = [
        _read(part, variant, path.parent)
        for part in PARTS
        for variant in variants_of(part)
        for path in sorted((folder / part / variant).glob("seed-*/recipe.toml"), key=_seed)
        if Run.open(path.parent).metrics
    ]
    if not found:
        raise FileNotFoundError(f"runs: {folder} holds no run of the study with an epoch behind it")
    return found


def _read(part: str, variant: str, folder: Path) -> Found:
    run = Run.open(folder)
    tests: dict[str, dict[int, Evaluation]] = {}
    for path in sorted((folder / SCORES).glob("*.json")):
        match = _SCORE.fullmatch(path.name)
        if match:
            score = Evaluation.from_json(path.read_text(encoding="utf-8"))
            tests.setdefault(match[1], {})[int(match[2])] = score
    return Found(
        part=part,
        variant=variant,
        recipe=run.recipe,
        records=run.metrics,
        warnings=run.warnings,
        tests=tests,
        slices=_slices(folder / SLICES),
    )


def _slices(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [json.loads(line) for line in lines]


def _seed(path: Path) -> int:
    return int(path.parent.name.removeprefix("seed-"))
