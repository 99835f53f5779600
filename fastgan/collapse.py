"""The collapse watch: two ways in which a run goes wrong that its costs alone do not show.

*Collapse* is what section 6 of the paper calls the "Helvetica scenario": G maps too many z to the
same x. *Saturation* is section 3's warning: D rejects samples with such confidence that little
reaches G. Each is told when it begins, not again at every epoch that it lasts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Ours. A healthy `mnist` run has a deviation of about .15 after 5 epochs, a collapsed one .000.
COLLAPSE_DEVIATION = 0.02
COLLAPSE_FIRST_EPOCH = 2  # G starts as a nearly constant function: epoch 1 proves nothing

# Ours. D nearly sure of everything, epoch means, this many epochs on end.
SATURATED_REAL_PROBABILITY = 0.99
SATURATED_FAKE_PROBABILITY = 0.01
SATURATED_EPOCHS = 3

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """Something that a run must say plainly."""

    kind: str  # collapse | saturated | diverged
    message: str


def is_collapsed(record: Record, first_epoch: int = COLLAPSE_FIRST_EPOCH) -> bool:
    """Say whether, at this epoch's end, the samples hardly varied with z.

    Before ``first_epoch`` nothing is said: the recipe's ``collapse_first_epoch``.
    """
    deviation = record["sample_deviation"]
    late_enough = record["epoch"] >= first_epoch
    return late_enough and deviation is not None and deviation < COLLAPSE_DEVIATION


def watch(records: Sequence[Record], first_epoch: int = COLLAPSE_FIRST_EPOCH) -> list[Finding]:
    """Return what the last of a run's epoch records gives reason to say.

    Parameters
    ----------
    records : sequence of mappings
        The epochs so far, in order, as ``metrics.jsonl`` holds them.
    first_epoch : int
        The first that may be called collapsed: the recipe's ``collapse_first_epoch``.
    """
    last = records[-1]
    findings = []
    if is_diverged(last):
        findings.append(
            Finding("diverged", "a cost or a sample is no longer a finite number: the run is lost")
        )
    elif is_collapsed(last, first_epoch) and not (
        len(records) > 1 and is_collapsed(records[-2], first_epoch)
    ):
        findings.append(
            Finding(
                "collapse",
                "the samples hardly vary with z (the Helvetica scenario): their standard deviation "
                f"is {last['sample_deviation']:.4f}, below {COLLAPSE_DEVIATION}",
            )
        )
    if _n_saturated(records) == SATURATED_EPOCHS:
        findings.append(
            Finding(
                "saturated",
                f"the discriminator has been nearly certain for {SATURATED_EPOCHS} epochs: "
                f"D(x) {last['real_probability']:.4f}, D(G(z)) {last['fake_probability']:.4f}",
            )
        )
    return findings


def is_diverged(record: Record) -> bool:
    """Say whether a cost or the samples are no longer finite (written as null)."""
    fields = ("discriminator_cost", "generator_cost", "sample_deviation")
    return any(record[field] is None or not math.isfinite(record[field]) for field in fields)


def _n_saturated(records: Sequence[Record]) -> int:
    n_epochs = 0
    for record in reversed(records):
        real, fake = record["real_probability"], record["fake_probability"]
        if real is None or fake is None:
            break
        # Asked this way round, a NaN is not certain of anything.
        if not (real > SATURATED_REAL_PROBABILITY and fake < SATURATED_FAKE_PROBABILITY):
            break
        n_epochs += 1
    return n_epochs
