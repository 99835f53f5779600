"""One picture of several runs: six panels of curves, a colour a run, and a strip of samples each.

matplotlib is imported when the first picture is drawn: its Agg canvas, no window, no global state.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from fastgan.collapse import COLLAPSE_DEVIATION
from fastgan.plots import heading, png, styled, theme_of
from fastgan.themes import Theme

if TYPE_CHECKING:
    from fastgan.data import Dataset
    from fastgan.recipes import Recipe

MOST_RUNS = 5  # told apart by colour and by marker
_MARKERS = ("o", "s", "^", "D", "v")
# Later runs are drawn over earlier ones in dashes, so that equal curves are all seen.
_STYLES: tuple[Any, ...] = ("-", "-", (0, (3, 3)), (0, (1, 4)), (0, (0.5, 6)))
_LN_2 = math.log(2.0)
_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class ComparedRun:
    """A run as a comparison shows it.

    ``metrics`` and ``warnings`` are :attr:`fastgan.runs.Run.metrics` and ``warnings``; ``samples``,
    of shape (n_samples, n_features), are of the last epoch.
    """

    name: str
    label: str
    recipe: Recipe
    status: str
    metrics: tuple[Mapping[str, Any], ...]
    warnings: tuple[Mapping[str, Any], ...]
    collapsed_epochs: tuple[int, ...]  # those that ended with samples that hardly vary
    discriminator_updates: int
    generator_updates: int
    samples: Tensor

    @property
    def outcome(self) -> str:
        """What became of it, in words: healthy, or collapsed and since when, or diverged."""
        if self.status == "diverged":
            return f"diverged in epoch {self.metrics[-1]['epoch']}"
        if not self.collapsed_epochs:
            return "no collapse"
        first, last = self.collapsed_epochs[0], self.metrics[-1]["epoch"]
        if self.collapsed_epochs[-1] == last:
            return f"collapsed, from epoch {first}"
        return f"collapsed in epoch {first}, recovered"


def comparison_figure(
    runs: Sequence[ComparedRun], dataset: Dataset, *, theme: str = "light"
) -> bytes:
    """Return the picture of a comparison as PNG bytes.

    Crosses mark epochs in which a run was collapsed. The samples of all runs are of the same z.

    Raises
    ------
    ValueError
        If there are no runs or more than five, one has no epoch, or the theme is unknown.
    """
    from matplotlib.figure import Figure

    colours = theme_of(theme)
    if not 1 <= len(runs) <= MOST_RUNS:
        raise ValueError(f"runs: expected 1 to {MOST_RUNS}, got {len(runs)}")
    for run in runs:
        if not run.metrics:
            raise ValueError(f"runs: expected at least one epoch of {run.name}, got none")
    with styled(colours):
        strip = 0.52 * len(runs) + 0.35
        figure = Figure(figsize=(8.4, 7.9 + strip), layout="constrained", facecolor=colours.paper)
        parts: Any = figure.subfigures(3, 1, height_ratios=(0.5, 7.4, strip))
        title, plots, bottom = parts
        _draw_legend(title, runs, colours)
        grid = np.asarray(plots.subfigures(3, 2, wspace=0.04, hspace=0.05))
        _draw_panels(grid, runs, colours)
        _draw_strip(bottom, runs, dataset, colours)
        return png(figure, colours, Title="Algorithm 1 and the released recipe")


def colour_of(number: int, colours: Theme) -> str:
    """Return the colour of a run by its number."""
    all_colours = (
        colours.ink,
        colours.discriminator,
        colours.generator,
        colours.likelihood,
        colours.saturated,
    )
    return all_colours[number]


def _draw_legend(figure: Any, runs: Sequence[ComparedRun], colours: Theme) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour_of(i, colours), marker=_MARKERS[i], ms=4, lw=2.4,
                ls=_STYLES[i],
               label=run.label)
        for i, run in enumerate(runs)
    ]  # fmt: skip
    if any(run.collapsed_epochs for run in runs):
        handles.append(
            Line2D([], [], color=colours.warning, marker="x", ms=6, ls="", label="collapsed")
        )
    figure.legend(
        handles=handles, loc="center", ncols=len(handles), frameon=False, fontsize=9.5,
        handlelength=2.4, columnspacing=1.3,
    )  # fmt: skip


def _draw_panels(grid: Any, runs: Sequence[ComparedRun], colours: Theme) -> None:
    axes = grid[0, 0].subplots()
    heading(axes, "D's cost", "nats an image", colours, pad=9)
    _level(axes, _LN_2, "ln 2: tells nothing apart", colours)
    _lines(axes, runs, "discriminator_cost", colours)
    low, high = axes.get_ylim()
    axes.set_ylim(min(-0.02, low), max(0.8, high))  # room for the words at ln 2

    kinds = [
        (cost, words)
        for cost, words in (
            ("non_saturating", f"{_MINUS}log D(G(z))"),
            ("saturating", f"log(1 {_MINUS} D(G(z)))"),
        )
        if any(run.recipe.cost == cost for run in runs)
    ]
    both = np.atleast_1d(grid[0, 1].subplots(len(kinds), 1, sharex=True))
    heading(both[0], "G's cost", "nats an image; two kinds, not comparable", colours, pad=9)
    for part, (cost, words) in zip(both, kinds, strict=True):
        _lines(part, runs, "generator_cost", colours, cost=cost)
        part.margins(y=0.2)
        part.set_ylabel(words, fontsize=7.5)
        part.label_outer()

    for place, field, words in (
        (grid[1, 0], "real_probability", "D(x)"),
        (grid[1, 1], "fake_probability", "D(G(z))"),
    ):
        axes = place.subplots()
        heading(axes, words, "mean over the epoch", colours, pad=9)
        _level(axes, 0.5, "1/2", colours)
        _lines(axes, runs, field, colours)
        axes.set_ylim(-0.03, 1.03)

    axes = grid[2, 0].subplots()
    heading(axes, "Validation log-likelihood", "nats, Parzen window", colours, pad=9)
    _lines(axes, runs, "validation_log_likelihood", colours)
    axes = grid[2, 1].subplots()
    heading(axes, "Variety of the samples", "deviation over z", colours, pad=9)
    _level(axes, COLLAPSE_DEVIATION, "collapse below .02", colours)
    _lines(axes, runs, "sample_deviation", colours)
    axes.set_ylim(bottom=-0.008)


def _lines(
    axes: Any, runs: Sequence[ComparedRun], field: str, colours: Theme, cost: str | None = None
) -> None:
    """Draw a field of each run, collapsed epochs crossed out."""
    from matplotlib.ticker import MaxNLocator

    for number, run in enumerate(runs):
        if cost is not None and run.recipe.cost != cost:
            continue
        epochs = [int(row["epoch"]) for row in run.metrics]
        values = [_finite(row.get(field)) for row in run.metrics]
        width = 3.2 if number == 0 else 2.4
        few = len(epochs) <= 25
        axes.plot(
            epochs, values, color=colour_of(number, colours), lw=width, zorder=2 + number,
            ls=_STYLES[number], dash_capstyle="butt",
            marker=_MARKERS[number] if few else None, ms=3.0 + 1.0 * (len(runs) - 1 - number),
        )  # fmt: skip
        lost = set(run.collapsed_epochs)
        where = [(e, v) for e, v in zip(epochs, values, strict=True) if e in lost]
        axes.plot(
            [e for e, _ in where], [v for _, v in where],
            "x", color=colours.warning, ms=4.5, mew=1.1, zorder=9,
        )  # fmt: skip
    last = max(int(run.metrics[-1]["epoch"]) for run in runs)
    axes.set_xlim(0.5, last + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, steps=[1, 2, 5, 10]))
    axes.grid(False, axis="x")
    axes.set_xlabel("epoch", fontsize=8.5)


def _level(axes: Any, value: float, text: str, colours: Theme) -> None:
    from matplotlib.patheffects import withStroke

    axes.axhline(value, color=colours.muted, lw=1.0, ls=(0, (4, 3)), zorder=1.5)
    axes.annotate(
        text, (1.0, value), xycoords=("axes fraction", "data"), xytext=(-4, 3),
        textcoords="offset points", ha="right", fontsize=8, color=colours.muted, zorder=10,
        path_effects=[withStroke(linewidth=3, foreground=colours.paper)],
    )  # fmt: skip


def _draw_strip(figure: Any, runs: Sequence[ComparedRun], dataset: Dataset, colours: Theme) -> None:
    from fastgan.figures import image_cells, tile

    rows = np.atleast_1d(figure.subplots(len(runs), 1))
    for number, (axes, run) in enumerate(zip(rows, runs, strict=True)):
        cells = image_cells(run.samples, dataset, None, 56)
        axes.imshow(tile(cells, len(cells)), interpolation="nearest")
        axes.set_axis_off()
        colour = colours.warning if run.outcome != "no collapse" else colours.muted
        axes.set_title(run.label, loc="left", fontsize=8.5, fontweight="bold", pad=2,
                       color=colour_of(number, colours))  # fmt: skip
        said = f"{run.outcome}; samples after epoch {run.metrics[-1]['epoch']}, drawn, not chosen"
        axes.set_title(said, loc="right", fontsize=8, pad=2, color=colour)


def _finite(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else math.nan
