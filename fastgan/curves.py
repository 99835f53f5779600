"""Curves of a run, for a light and a dark page: costs, probabilities, likelihood, deviation.

matplotlib is imported when the first curve is drawn: its Agg canvas, no window, no global state.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastgan.collapse import COLLAPSE_DEVIATION, is_collapsed
from fastgan.files import write_atomically
from fastgan.plots import heading, panel, panels, theme_of
from fastgan.runs import read_metrics
from fastgan.themes import Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Metrics = Sequence[Mapping[str, Any]]


_SIGMA = "\N{GREEK SMALL LETTER SIGMA}"


def curves(
    metrics: Metrics | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    theme: str = "light",
    title: str | None = None,
) -> Path:
    """Write the curves of a run as one picture of four panels.

    Parameters
    ----------
    metrics : sequence of mappings, or path
        The objects of ``metrics.jsonl``, or that file. Fields that are missing or None are left
        out; an object with a ``warning`` marks its epoch in every panel.
    path : str or os.PathLike
        The PNG file; its folder must exist.
    theme : {"light", "dark"}
    title : str, optional

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        If there is no epoch to draw, or the theme is unknown.
    """
    rows, colours = _prepared(metrics, theme)
    content = panels(_PANELS.values(), rows, colours, n_rows=2, title=title)
    return write_atomically(path, content)


def curve_pictures(
    metrics: Metrics | str | os.PathLike[str], *, theme: str = "light"
) -> dict[str, bytes]:
    """Return each panel of :func:`curves` as a PNG of its own, by name, for a page that wraps.

    The names are "costs", "probabilities", "likelihood" and "deviation". Raises as
    :func:`curves`.
    """
    rows, colours = _prepared(metrics, theme)
    return {name: _picture(colours, draw, rows) for name, draw in _PANELS.items()}


def sigma_curve(
    sigmas: Sequence[float], means: Sequence[float], sigma: float, *, theme: str = "light"
) -> bytes:
    """Return a PNG of the validation log-likelihood in nats over the grid, the choice marked."""
    if not sigmas or len(sigmas) != len(means):
        raise ValueError(
            f"means: expected one for each of {len(sigmas)} sigmas (at least one), got {len(means)}"
        )
    rows = [
        {"sigma": s, "mean": m, "chosen": s == sigma} for s, m in zip(sigmas, means, strict=True)
    ]
    return _picture(theme_of(theme), _draw_sigma, rows)


def _prepared(
    metrics: Metrics | str | os.PathLike[str], theme: str
) -> tuple[list[Mapping[str, Any]], Theme]:
    found = read_metrics(Path(metrics)) if isinstance(metrics, (str, os.PathLike)) else metrics
    rows = list(found)
    if not any("epoch" in row and "warning" not in row for row in rows):
        raise ValueError("metrics: expected at least one epoch, got none")
    return rows, theme_of(theme)


def _picture(colours: Theme, draw: Callable[[Any, Any, Theme], None], rows: Metrics) -> bytes:
    return panel(colours, lambda figure: draw(figure, rows, colours))


def _series(rows: Metrics, name: str) -> tuple[list[float], list[float]]:
    """Return epochs and values of one field, where it is there and a number."""
    epochs, values = [], []
    for row in rows:
        value = row.get(name)
        if "warning" not in row and isinstance(value, (int, float)):
            epochs.append(float(row["epoch"]))
            values.append(float(value) if math.isfinite(value) else math.nan)
    return epochs, values


def _line(axes: Axes, rows: Metrics, field: str, label: str, colour: str, **style: Any) -> None:
    epochs, values = _series(rows, field)
    marker = "o" if len(epochs) <= 40 else None
    axes.plot(epochs, values, color=colour, lw=1.7, marker=marker, ms=2.6, label=label, **style)


def _level(axes: Axes, value: float, text: str, colours: Theme, colour: str | None = None) -> None:
    """Draw a labelled level across the panel, the words at the end where curves keep away.

    Where they do not, a rim of paper keeps the words readable on top of them.
    """
    from matplotlib.patheffects import withStroke

    right = _clearance(axes, value, slice(-1, None)) > _clearance(axes, value, slice(0, 1))
    axes.axhline(value, color=colour or colours.muted, lw=1.0, ls=(0, (4, 3)), zorder=1.5)
    axes.annotate(
        text,
        (1.0 if right else 0.0, value),
        xycoords=("axes fraction", "data"),
        xytext=(-4 if right else 4, 3),
        textcoords="offset points",
        ha="right" if right else "left",
        fontsize=8,
        color=colour or colours.muted,
        path_effects=[withStroke(linewidth=3, foreground=colours.paper)],
        zorder=5,
    )


def _clearance(axes: Axes, value: float, end: slice) -> float:
    """Return how far the curves are from a level at one end of the panel."""
    ends = [float(y) for line in axes.lines for y in list(line.get_ydata())[end]]  # type: ignore[arg-type]
    return min((abs(y - value) for y in ends if math.isfinite(y)), default=0.0)


def _warned(rows: Metrics, kind: str) -> list[int]:
    """Return the epochs of a warning: it is told once, and a collapse may last from then on."""
    told = [int(row["epoch"]) for row in rows if row.get("warning") == kind]
    if kind != "collapse":
        return told
    flat = [int(row["epoch"]) for row in rows if "sample_deviation" in row and is_collapsed(row)]
    return told + [
        epoch
        for begun in told
        for first, last in _spans(flat)
        if first <= begun <= last
        for epoch in range(begun, last + 1)
    ]


def _spans(epochs: Iterable[int]) -> list[tuple[int, int]]:
    """Join successive epochs to (first, last)."""
    spans: list[tuple[int, int]] = []
    for epoch in sorted(set(epochs)):
        if spans and epoch == spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], epoch)
        else:
            spans.append((epoch, epoch))
    return spans


def _finish(axes: Axes, rows: Metrics, colours: Theme, *, legend: bool = True) -> None:
    """Mark warnings, name the axis of epochs, and write the legend."""
    from matplotlib.ticker import MaxNLocator

    for kind, words, colour in (
        ("collapse", "collapsed", colours.warning),
        ("saturated", "D saturated", colours.saturated),
        ("diverged", "diverged", colours.muted),
    ):
        for number, (first, last) in enumerate(_spans(_warned(rows, kind))):
            axes.axvspan(
                first - 0.5,
                last + 0.5,
                color=colour,
                alpha=0.13,
                lw=0,
                zorder=0.5,
                label=words if number == 0 else None,
            )
    epochs, _ = _series(rows, "epoch")
    axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, steps=[1, 2, 5, 10]))
    axes.grid(False, axis="x")
    axes.set_xlabel("epoch", fontsize=8.5)
    if legend:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(-0.02, 0.985),
            ncols=4,
            fontsize=8.5,
            frameon=False,
            handlelength=1.1,
            handletextpad=0.5,
            columnspacing=1.1,
            borderpad=0.2,
        )


def _draw_costs(figure: Any, rows: Metrics, colours: Theme) -> None:
    axes = figure.subplots()
    heading(axes, "Costs", "nats an image", colours)
    _line(axes, rows, "discriminator_cost", "discriminator", colours.discriminator)
    _line(axes, rows, "generator_cost", "generator", colours.generator)
    _level(axes, math.log(2), "ln 2: D tells nothing apart", colours)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    _finish(axes, rows, colours)


def _draw_probabilities(figure: Any, rows: Metrics, colours: Theme) -> None:
    axes = figure.subplots()
    heading(axes, "What D believes", "probability of being real", colours)
    _line(axes, rows, "real_probability", "of training images", colours.ink)
    _line(axes, rows, "fake_probability", "of samples", colours.generator)
    _level(axes, 0.5, "1/2", colours)
    axes.set_ylim(0, 1)
    _finish(axes, rows, colours)


def _draw_likelihood(figure: Any, rows: Metrics, colours: Theme) -> None:
    from matplotlib.ticker import MaxNLocator

    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    heading(upper, "Validation log-likelihood", "nats, Parzen window", colours, pad=10)
    epochs, values = _series(rows, "validation_log_likelihood")
    if epochs:
        of_last = _series(rows, "validation_log_likelihood_of_last_weights")[0]
        if of_last:  # the model is an average: the weights it is taken of, behind it
            field = "validation_log_likelihood_of_last_weights"
            _line(upper, rows, field, "last weights", colours.muted, zorder=1.9)
        label = "average" if of_last else ""
        _line(upper, rows, "validation_log_likelihood", label, colours.likelihood)
        rising = len(values) < 2 or values[-1] >= values[-2]
        upper.annotate(
            f"{values[-1]:.0f}".replace("-", "\N{MINUS SIGN}"),
            (epochs[-1], values[-1]),
            xytext=(-1, 6 if rising else -14),
            textcoords="offset points",
            ha="right",
            fontsize=9.5,
            fontweight="bold",
            color=colours.likelihood,
        )
        upper.margins(y=0.22)
    else:
        upper.text(0.5, 0.5, "not evaluated", transform=upper.transAxes, ha="center")
    _line(lower, rows, "sigma", "", colours.muted)
    lower.margins(y=0.3)
    lower.yaxis.set_major_locator(MaxNLocator(nbins=3))
    lower.set_ylabel(_SIGMA, rotation=0, labelpad=8, fontsize=10)
    _finish(upper, rows, colours, legend=False)
    _finish(lower, rows, colours, legend=False)
    if any("validation_log_likelihood_of_last_weights" in row for row in rows):
        upper.legend(loc="lower right", fontsize=8.5, frameon=False, handlelength=1.1)
    upper.set_xlabel("")


def _draw_deviation(figure: Any, rows: Metrics, colours: Theme) -> None:
    axes = figure.subplots()
    heading(axes, "Variety of the samples", "units of a pixel", colours)
    _line(axes, rows, "sample_deviation", "deviation over z", colours.generator)
    _line(axes, rows, "sample_mean", "mean pixel", colours.muted)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    _level(axes, COLLAPSE_DEVIATION, "collapse below .02", colours, colours.warning)
    _finish(axes, rows, colours)


def _draw_sigma(figure: Any, rows: Metrics, colours: Theme) -> None:
    axes = figure.subplots()
    heading(axes, f"Choice of {_SIGMA}", "nats, validation images", colours, pad=10)
    sigmas, means = [row["sigma"] for row in rows], [row["mean"] for row in rows]
    axes.plot(sigmas, means, color=colours.likelihood, lw=1.7, marker="o", ms=3.6, zorder=2)
    for row in rows:
        if row["chosen"]:
            at_left = row["sigma"] < 0.5 * (min(sigmas) + max(sigmas))  # the words go inward
            axes.scatter(row["sigma"], row["mean"], s=70, color=colours.likelihood, zorder=4)
            axes.annotate(
                f"{_SIGMA} = {row['sigma']:.3g}",
                (row["sigma"], row["mean"]),
                xytext=(9 if at_left else -9, 5),
                textcoords="offset points",
                ha="left" if at_left else "right",
                fontweight="bold",
                color=colours.likelihood,
            )
    axes.margins(y=0.2)
    axes.grid(False, axis="x")
    axes.set_xlabel(f"{_SIGMA}, standard deviation of the Gaussian on each sample", fontsize=8.5)


_PANELS: dict[str, Callable[[Any, Any, Theme], None]] = {
    "costs": _draw_costs,
    "probabilities": _draw_probabilities,
    "likelihood": _draw_likelihood,
    "deviation": _draw_deviation,
}
