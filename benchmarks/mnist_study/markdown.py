"""Pieces of Markdown: tables, and numbers as the report writes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fastgan.scores import Evaluation

NOTHING = "-"


@dataclass
class Section:
    """A part of the report: its lines, and in words what it would show and cannot."""

    lines: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, n_words: int = 1) -> list[str]:
    """Return a table; the first ``n_words`` columns are set left, the others, numbers, right."""
    marks = ["---" if i < n_words else "---:" for i in range(len(header))]
    return [f"| {' | '.join(header)} |", f"|{'|'.join(marks)}|"] + [
        f"| {' | '.join(row)} |" for row in rows
    ]


def nats(value: float | None) -> str:
    """Return a log-likelihood to a tenth of a nat."""
    return NOTHING if value is None else f"{value:.1f}"


def score(evaluation: Evaluation | None) -> str:
    """Return a score with its standard error over test images."""
    if evaluation is None:
        return NOTHING
    return f"{evaluation.mean:.1f} ± {evaluation.standard_error:.1f}"


def listed(words: Sequence[str]) -> str:
    """Join words as a sentence does."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
