"""Rows for people and for programs: Markdown and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

SCRATCH = Path(__file__).parent / "scratch"  # of runs by hand, ignored by git
HEADER = (
    "| operation | size | contender | time | of it building | times fastgan's | of the roofline "
    "| error | extra memory | rounds | remarks |\n"
    "|---|---|---|---:|---:|---:|---:|---:|---:|---:|---|"
)


@dataclass(frozen=True)
class Row:
    """One contender's result; ratios are its time over fastgan's: 2 is half as fast as fastgan.

    A contender that failed or was left out has a ``note`` and no numbers. ``build_seconds`` is what
    of ``seconds`` goes into making an index, measured by itself. Where ``measured_on`` is set, the
    contender was timed once, on those queries, and ``seconds`` is what all would take.
    ``roofline_fraction`` is the least time that the device's published peaks allow, a model, over
    ``seconds``; ``roofline_bound`` says which peak.
    """

    operation: str
    size: str
    contender: str
    is_floor: bool = False
    seconds: float | None = None
    build_seconds: float | None = None
    ratio_median: float | None = None
    ratio_low: float | None = None  # quantile .1 over rounds
    ratio_high: float | None = None  # quantile .9
    roofline_fraction: float | None = None
    roofline_bound: str = ""
    error: float | None = None
    bound: float | None = None
    error_unit: str = ""
    extra_bytes: int | None = None  # anonymous memory beyond inputs and outputs, at its peak
    n_rounds: int = 0
    measured_on: str = ""
    note: str = ""
    machine: dict[str, str] = field(default_factory=dict)


def markdown(rows: Iterable[Row]) -> str:
    """Return a table for people: times, ratios with their spread, errors, machine and versions."""
    rows = list(rows)
    lines = [HEADER]
    lines += [line(row) for row in rows]
    if rows:
        # The last row knows most: a peer's matrix product is known once the peer was loaded.
        lines.append("")
        lines.append("; ".join(f"{key} {value}" for key, value in rows[-1].machine.items()) + ".")
        lines.append(
            "Times and ratios are medians over interleaved rounds; in brackets the quantiles .1 "
            'and .9. "once" marks a contender more than 20 times slower than fastgan: it was timed '
            "in one call, on the queries that the remark names."
        )
    return "\n".join(lines) + "\n"


def line(row: Row) -> str:
    """Return one row of the table."""
    return "| " + " | ".join(_cells(row)) + " |"


def write(rows: Sequence[Row], name: str, folder: Path = SCRATCH) -> Path:
    """Write rows as ``<name>.json`` and ``<name>.md`` into a folder, and return the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps([asdict(row) for row in rows], indent=2)
    (folder / f"{name}.json").write_text(content + "\n", encoding="utf-8")
    path = folder / f"{name}.md"
    path.write_text(markdown(rows), encoding="utf-8")
    return path


def readable(seconds: float) -> str:
    """Return a time with three digits and a unit."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def _cells(row: Row) -> list[str]:
    """Return the cells of one row; "-" where there is nothing to say."""
    ratio = "-"
    if row.bound is not None and row.seconds is not None:
        ratio = "1"
    elif row.measured_on and row.ratio_median is not None:
        ratio = f"{row.ratio_median:.3g} (once)"
    elif row.ratio_median is not None:
        ratio = f"{row.ratio_median:.2f} ({row.ratio_low:.2f} to {row.ratio_high:.2f})"
    remarks = [f"once, on {row.measured_on}"] if row.measured_on else []
    remarks += [row.note] if row.note else []
    return [
        row.operation,
        row.size,
        f"{row.contender} (floor)" if row.is_floor else row.contender,
        "-" if row.seconds is None else readable(row.seconds),
        "-" if row.build_seconds is None else readable(row.build_seconds),
        ratio,
        "-" if row.roofline_fraction is None else _of_roofline(row),
        "-" if row.error is None else f"{row.error:.1e} {row.error_unit}",
        "-" if row.extra_bytes is None else f"{row.extra_bytes / 1e6:.0f} MB",
        str(row.n_rounds or "-"),
        "; ".join(remarks) or "-",
    ]


def _of_roofline(row: Row) -> str:
    return f"{row.roofline_fraction:.2g} ({row.roofline_bound})"
