"""Pictures of the comparisons: bars of times over fastgan's, with the spread over rounds."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

from benchmarks.rows import readable
from benchmarks.suite.document import Document, Row
from benchmarks.suite.words import digits
from fastgan.plots import png, styled
from fastgan.themes import Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes

N_COLUMNS = {"layers": 3}  # elsewhere 2
WIDTH, BAR, MARGIN = 5.3, 0.235, 0.92  # inches: of a panel, of a bar, of what is around the bars
# Each picture shows these parts, and of them these operations where not all.
PICTURES: dict[str, tuple[str, tuple[str, ...]]] = {
    "parzen": (
        "Parzen sums: times fastgan's time",
        ("parzen:1e4", "parzen:1e6", "parzen:grid", "parzen:dense"),
    ),
    "neighbors": (
        "Nearest neighbours: times fastgan's time",
        ("neighbors:1", "neighbors:5", "neighbors:cifar10"),
    ),
    "training-step": (
        "A training step: times fastgan's time",
        (
            "training_step:digits",
            "training_step:mnist",
            "training_step:mnist:trained",
            "training_step:mnist:alternating",
            "training_step:tfd",
            "training_step:cifar10-mlp",
        ),
    ),
    "layers": (
        "The layers of a step: times fastgan's time",
        ("linear:forward", "linear:input_gradient", "linear:update"),
    ),
    "pieces": (
        "Random numbers, dropout, maxout, update: times fastgan's time",
        ("philox", "dropout", "maxout_linear", "momentum_sgd"),
    ),
}


def comparisons(document: Document, parts: Iterable[str]) -> list[list[Row]]:
    """Return the rows of each comparison of these parts, fastgan's first; none without numbers."""
    known = {part["name"]: part["rows"] for part in document.parts}
    found: dict[tuple[str, str, str], list[Row]] = {}
    for name in parts:
        for row in known.get(name, ()):
            found.setdefault((name, row["operation"], row["size"]), []).append(row)
    return [rows for rows in found.values() if rows[0]["seconds"] is not None]


def picture(document: Document, name: str, colours: Theme) -> bytes | None:
    """Return a picture by its name as PNG bytes; None where the results hold nothing for it."""
    from matplotlib.figure import Figure

    title, parts = PICTURES[name]
    found = comparisons(document, parts)
    if not found:
        return None
    columns = min(N_COLUMNS.get(name, 2), len(found))
    lines = [found[i : i + columns] for i in range(0, len(found), columns)]
    heights = [MARGIN + BAR * max(len(_barred(rows)) for rows in line) for line in lines]
    size = (WIDTH * columns, sum(heights) + 0.5)
    with styled(colours):
        figure = Figure(figsize=size, layout="constrained", facecolor=colours.paper)
        figure.suptitle(title, x=0.012, ha="left", fontsize=13, fontweight="bold")
        grid = figure.add_gridspec(len(lines), columns, height_ratios=heights)
        for i, line in enumerate(lines):
            for j, rows in enumerate(line):
                bars(figure.add_subplot(grid[i, j]), rows, colours)
        return png(figure, colours, Title=title)


def bars(axes: Axes, rows: list[Row], colours: Theme) -> None:
    """Draw one comparison: a bar a contender from fastgan's 1, to the right where it is slower."""
    from matplotlib.ticker import LogLocator, NullFormatter

    ours, shown = rows[0], _barred(rows)
    axes.set_title(_wrapped(ours), loc="left", fontsize=8.5, fontweight="bold", pad=8)
    for place, row in enumerate(shown):
        middle = row["ratio_median"]
        colour = colours.muted if row["is_floor"] else colours.discriminator
        axes.barh(
            place,
            middle - 1.0,
            left=1.0,
            height=0.62,
            color="none" if row["is_floor"] else colour,
            edgecolor=colour,
            linewidth=1.0,
        )
        low, high = row["ratio_low"], row["ratio_high"]
        axes.plot([low, high], [place, place], color=colours.ink, lw=1.0, marker="|", ms=4)
        axes.annotate(
            digits(middle) + (" once" if row["measured_on"] else ""),
            (max(high, 1.0), place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.axvline(1.0, color=colours.generator, lw=1.6)
    axes.set_xscale("log")
    # room for the numbers at the right
    most = max([row["ratio_high"] for row in shown] + [1.0])
    least = min([row["ratio_low"] for row in shown] + [1.0])
    axes.set_xlim(least / 1.15, most * (most / least) ** 0.2 * 1.5)
    axes.set_yticks(range(len(shown)), [_name(row) for row in shown], fontsize=8)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if most / least < 50 else (1,)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(visible=False, axis="y")


def _barred(rows: list[Row]) -> list[Row]:
    return [row for row in rows[1:] if row["ratio_median"] is not None]


def _name(row: Row) -> str:
    return f"{row['contender']} (floor)" if row["is_floor"] else str(row["contender"])


def _wrapped(row: Row) -> str:
    seconds = readable(row["seconds"]).replace(" ", "\N{NO-BREAK SPACE}")
    words = f"{row['operation']}, {row['size']}; fastgan {seconds}"
    return "\n".join(textwrap.wrap(words, 44))
