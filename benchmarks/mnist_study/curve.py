"""The picture of the study: log-likelihood by epoch of each seed, for a light and a dark page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.mnist_study.findings import Found
from benchmarks.mnist_study.reached import PAPER, comparable
from fastgan.files import write_atomically
from fastgan.plots import heading, png, styled, theme_of
from fastgan.themes import Theme

SIZE = (7.6, 4.0)  # inches
LOWEST_NATS = 0.0  # of the axis, beside the paper: the first epochs lie far below, and tell little
STYLES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.2, 1.5)))  # of the seeds, in turn


def write(runs: Sequence[Found], folder: Path, name: str) -> list[Path]:
    """Write ``name.png`` and ``name-dark.png`` into a folder and return their paths.

    Lines are the validation log-likelihoods of the model and of the last weights, dots are test
    scores of the model. None is written where no epoch was evaluated.
    """
    if not any(run.validation() for run in runs):
        return []
    return [
        write_atomically(folder / f"{name}{end}.png", picture(runs, theme))
        for theme, end in (("light", ""), ("dark", "-dark"))
    ]


def picture(runs: Sequence[Found], theme: str) -> bytes:
    """Return the picture as PNG bytes; ``theme`` is "light" or "dark"."""
    from matplotlib.figure import Figure

    colours = theme_of(theme)
    with styled(colours):
        figure = Figure(figsize=SIZE, layout="constrained", facecolor=colours.paper)
        _draw(figure.subplots(), runs, colours)
        return png(figure, colours)


def _draw(axes: Any, runs: Sequence[Found], colours: Theme) -> None:
    from matplotlib.ticker import MaxNLocator

    unit = f"nats, {runs[0].recipe.n_samples:,} samples"
    heading(axes, "Parzen log-likelihood by epoch", unit, colours)
    for number, run in enumerate(runs):
        style = STYLES[number % len(STYLES)]
        told = number == 0
        if run.averages:
            last = run.validation(of_last_weights=True)
            label = "last weights, validation" if told else None
            _line(axes, last, colours.generator, style, 1.1, label)
        label = ("average" if run.averages else "last weights") + ", validation" if told else None
        _line(axes, run.validation(), colours.likelihood, style, 1.7, label)
        tests = run.tests.get("model", {})
        if tests:
            axes.errorbar(
                list(tests),
                [test.mean for test in tests.values()],
                yerr=[test.standard_error for test in tests.values()],
                fmt="o",
                ms=2.4,
                lw=0.9,
                color=colours.ink,
                label="test" if told else None,
                zorder=4,
            )
    if _all_comparable(runs):
        _draw_paper(axes, colours)
        highest = max(max(run.validation().values(), default=0.0) for run in runs)
        axes.set_ylim(LOWEST_NATS, 1.09 * max(PAPER.mean, highest))
    axes.set_xlim(0, 1.02 * max(run.n_epochs for run in runs))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, steps=[1, 2, 5, 10]))
    axes.grid(False, axis="x")
    axes.set_xlabel(f"epoch; {len(runs)} {'seed' if len(runs) == 1 else 'seeds'}", fontsize=8.5)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 0.985),
        ncols=4,
        fontsize=8.5,
        frameon=False,
        handlelength=1.4,
        columnspacing=1.2,
        borderpad=0.2,
    )


def _draw_paper(axes: Any, colours: Theme) -> None:
    error = PAPER.standard_error or 0.0
    axes.axhspan(PAPER.mean - error, PAPER.mean + error, color=colours.discriminator, alpha=0.18)
    axes.axhline(PAPER.mean, color=colours.discriminator, lw=1.0, ls=(0, (4, 3)))
    axes.annotate(
        f"the paper, test: {PAPER.mean:g} ± {error:g}",
        (0.0, PAPER.mean + error),
        xycoords=("axes fraction", "data"),
        xytext=(4, 3),
        textcoords="offset points",
        fontsize=8.5,
        color=colours.discriminator,
    )


def _line(
    axes: Any, values: Mapping[int, float], colour: str, style: Any, width: float, label: str | None
) -> None:
    finite = [value if math.isfinite(value) else math.nan for value in values.values()]
    marker = "o" if len(values) == 1 else None  # a line of one point is not seen
    axes.plot(
        list(values), finite, color=colour, ls=style, lw=width, label=label, marker=marker, ms=3.0
    )


def _all_comparable(runs: Sequence[Found]) -> bool:
    tests = [test for run in runs for test in run.tests.get("model", {}).values()]
    return bool(tests) and all(map(comparable, tests))
