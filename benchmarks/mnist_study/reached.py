"""When a run reached the paper's number, and how long that took or would take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.mnist_study.findings import Found
from fastgan.published import N_SAMPLES_PUBLISHED, REFERENCE_TABLE, Score
from fastgan.runs import Weights
from fastgan.scores import Evaluation


def _published() -> Score:
    (score,) = (row.mnist for row in REFERENCE_TABLE if row.model == "Adversarial nets")
    if score is None or score.standard_error is None:
        raise ValueError("REFERENCE_TABLE: the paper's own model has no score on MNIST")
    return score


PAPER = _published()
# 225 - 2: what lies below it is further from the paper's mean than the paper's own standard error.
LEVEL_NATS = PAPER.mean - (PAPER.standard_error or 0.0)


@dataclass(frozen=True)
class Reached:
    """The first epoch of a run whose validation log-likelihood means the paper's number.

    ``test`` is the first measured score on the test images that is at least ``LEVEL_NATS``, at
    epoch ``test_epoch``; ``validation`` is the validation log-likelihood there, and ``epoch`` the
    first epoch that has as much. ``training_seconds`` are those of all batches up to ``epoch``, as
    measured; ``seconds`` add what evaluation, checkpoints and starting took, in proportion, None
    where no slice tells. Log-likelihoods are in nats.
    """

    test: Evaluation
    test_epoch: int
    validation: float
    epoch: int
    n_updates: int
    training_seconds: float
    seconds: float | None


def comparable(evaluation: Evaluation) -> bool:
    """Say whether a score may be set beside the paper's: MNIST, and as many samples."""
    same_count = evaluation.n_samples == N_SAMPLES_PUBLISHED
    return evaluation.comparable_to == "MNIST" and same_count


def reached(run: Found, weights: Weights = "model") -> Reached | None:
    """Return when a run's model, or its last weights, reached the paper's number; None if never."""
    validations = run.validation(of_last_weights=weights == "last")
    for epoch, test in sorted(run.tests.get(weights, {}).items()):
        if comparable(test) and test.mean >= LEVEL_NATS and epoch in validations:
            level = validations[epoch]
            first = min(e for e, value in validations.items() if value >= level)
            seconds = run.seconds_at(first)
            overhead = _overhead(run)
            return Reached(
                test=test,
                test_epoch=epoch,
                validation=level,
                epoch=first,
                n_updates=run.updates_at(first),
                training_seconds=seconds,
                seconds=None if overhead is None else seconds * overhead,
            )
    return None


def _overhead(run: Found) -> float | None:
    """Return the wall-clock seconds of a run's slices over their seconds of training."""
    training = sum(float(slice_["training_seconds"]) for slice_ in run.slices)
    return sum(float(slice_["seconds"]) for slice_ in run.slices) / training if training else None


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the standard deviation (n - 1) of at least two numbers."""
    if len(values) < 2:
        raise ValueError(f"values: expected at least two, got {len(values)}")
    mean = math.fsum(values) / len(values)
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
