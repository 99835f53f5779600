"""Table 1 as plain values: columns, rows, cells with where each number is from, and notes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CAPTION = (
    "Parzen-window log-likelihood of the test images, in nats, after Table 1 of Generative "
    "Adversarial Nets. Where the paper has MNIST, ± is the standard error of the mean across test "
    "images; where data have folds (TFD), the error across folds, sigma chosen on each fold's "
    "validation images."
)


@dataclass(frozen=True)
class Cell:
    """A score in nats, and what must be known of it.

    ``text`` is ``mean ± standard error`` as it is printed. ``folder`` holds what was evaluated;
    None of a published number. ``marks`` are numbers of the table's notes, from 1.
    """

    text: str
    folder: Path | None = None
    marks: tuple[int, ...] = ()


@dataclass(frozen=True)
class Row:
    """A model, a cell or None for each of the table's columns, and the source of its numbers."""

    model: str
    cells: tuple[Cell | None, ...]
    source: str
    is_published: bool


@dataclass(frozen=True)
class Table1:
    """The paper's Table 1 with rows of one's own: published rows first, then ours.

    ``columns`` are the headings of scores: MNIST and TFD, and then one for each data set without a
    published column. ``notes`` are numbered from 1 by the cells' marks; ``remarks`` hold for the
    table as a whole.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    remarks: tuple[str, ...]
    caption: str = CAPTION

    @property
    def published(self) -> tuple[Row, ...]:
        """The rows that were published."""
        return tuple(row for row in self.rows if row.is_published)

    @property
    def own(self) -> tuple[Row, ...]:
        """The rows that were measured with this library."""
        return tuple(row for row in self.rows if not row.is_published)
