"""Pictures of the Helvetica diagnosis: training images hit, spread, and the balance of classes."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastgan.files import write_atomically
from fastgan.helvetica_result import Helvetica
from fastgan.memorisation_result import distance
from fastgan.plots import heading, panel, panels, theme_of
from fastgan.themes import Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HELVETICA_FIGURE = "helvetica.png"  # in a run's folder of figures
_Draw = Callable[[Any, Helvetica, Theme], None]
_MOST_CLASS_NAMES = 20  # that are written below the bars


def helvetica_figure(
    found: Helvetica,
    path: str | os.PathLike[str],
    *,
    theme: str = "light",
    title: str | None = None,
) -> Path:
    """Write the panels side by side as one picture: two, or three where classes are known.

    Parameters
    ----------
    found : Helvetica
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
        If the theme is unknown.
    OSError
        If the file cannot be written.
    """
    content = panels(
        _panels(found).values(),
        found,
        theme_of(theme),
        title=title,
        Title="How varied the samples are",
        Description=" ".join(found.sentences()),
    )
    return write_atomically(path, content)


def helvetica_pictures(found: Helvetica, *, theme: str = "light") -> dict[str, bytes]:
    """Return each panel as a PNG of its own, by name, for a page that wraps.

    The names are "hits", "spread" and, where the data set has classes, "classes". Raises a
    ValueError if the theme is unknown.
    """
    colours = theme_of(theme)

    def drawn(draw: _Draw) -> bytes:
        return panel(colours, lambda figure: draw(figure, found, colours))

    return {name: drawn(draw) for name, draw in _panels(found).items()}


def _panels(found: Helvetica) -> dict[str, _Draw]:
    draws: dict[str, _Draw] = {"hits": _draw_hits, "spread": _draw_spread}
    if found.class_numbers:
        draws["classes"] = _draw_classes
    return draws


def _draw_hits(figure: Any, found: Helvetica, colours: Theme) -> None:
    axes = figure.subplots()
    heading(axes, "Training images hit", "different ones", colours)
    drawn = np.linspace(0, found.n_equal, 200)
    uniform = -found.n_train * np.expm1(drawn * math.log1p(-1 / max(found.n_train, 2)))
    axes.plot(
        drawn, uniform, color=colours.muted, lw=1.4, ls=(0, (4, 3)), label="uniform draws", zorder=2
    )
    ends = []
    for sizes, hits, end, error, label, colour in (
        (
            found.held_out_curve_sizes,
            found.held_out_curve_hits,
            found.held_out_equal_hits,
            found.held_out_equal_hits_error,
            "held-out images",
            colours.ink,
        ),
        (
            found.sample_curve_sizes,
            found.sample_curve_hits,
            found.sample_equal_hits,
            found.sample_equal_hits_error,
            "samples",
            colours.generator,
        ),
    ):
        inside = [(n, hit) for n, hit in zip(sizes, hits, strict=True) if n < found.n_equal]
        xs, ys = zip(*[(0, 0.0), *inside, (found.n_equal, end)], strict=True)
        axes.plot(xs, ys, color=colour, lw=1.8, label=label, zorder=3)
        axes.errorbar(
            found.n_equal, end, yerr=error, color=colour, marker="o", ms=4.5, capsize=3, zorder=4
        )
        ends.append((end, f"{end:,.0f}", colour))
    top = 1.08 * max(found.uniform_equal_hits, *(end for end, _, _ in ends))
    (held_out, held_out_text, ink), (sample, sample_text, green) = ends
    above = sample > held_out
    for value, text, colour, up in (
        (held_out, held_out_text, ink, not above),
        (sample, sample_text, green, above),
    ):
        near_floor = value < 0.12 * top
        axes.annotate(
            text,
            (found.n_equal, value),
            xytext=(-9, 2 if up else 6 if near_floor else -11),
            textcoords="offset points",
            ha="right",
            va="bottom" if up or near_floor else "top",
            fontsize=10,
            fontweight="bold",
            color=colour,
            path_effects=_rim(colours),
            zorder=6,
        )
    axes.set_xlim(0, 1.03 * found.n_equal)
    axes.set_ylim(0, top)
    axes.yaxis.set_major_formatter(_thousands)
    axes.xaxis.set_major_formatter(_thousands)
    axes.set_xlabel(f"images drawn (of {found.n_train:,} training images)", fontsize=8.5)
    _finish(axes)


def _draw_spread(figure: Any, found: Helvetica, colours: Theme) -> None:
    axes = figure.subplots()
    heading(axes, "Distance between two images", "share of pairs", colours)
    levels = np.linspace(0.0, 1.0, len(found.sample_pair_quantiles))
    farthest = max(found.sample_pair_quantiles[-1], found.train_pair_quantiles[-1]) or 1.0
    middle = len(levels) // 2
    ours, real = found.sample_pair_quantiles[middle], found.train_pair_quantiles[middle]
    for quantiles, label, colour, other in (
        (found.train_pair_quantiles, "training images", colours.ink, ours),
        (found.sample_pair_quantiles, "samples", colours.generator, real),
    ):
        median = quantiles[middle]
        axes.plot(quantiles, levels, color=colour, lw=1.8, label=label, zorder=3)
        axes.scatter(median, levels[middle], s=26, color=colour, zorder=5, lw=0)
        right = median > other or median < 0.26 * farthest
        axes.annotate(
            f"median {distance(median)}",
            (median, levels[middle]),
            xytext=(7 if right else -7, -10 if right else 3),
            textcoords="offset points",
            ha="left" if right else "right",
            fontsize=9,
            fontweight="bold",
            color=colour,
            path_effects=_rim(colours),
            zorder=6,
        )
    axes.set_xlim(-0.015 * farthest, 1.02 * farthest)
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(_percent)
    axes.yaxis.set_ticks([0, 0.25, 0.5, 0.75, 1])
    axes.set_xlabel("Euclidean distance (0: the same image)", fontsize=8.5)
    _finish(axes)


def _draw_classes(figure: Any, found: Helvetica, colours: Theme) -> None:
    axes = figure.subplots()
    heading(axes, "Classes of the training images hit", "share", colours)
    places = np.arange(len(found.class_numbers))
    sample, train, held_out = (
        np.array(counts) / sum(counts)
        for counts in (found.sample_classes, found.train_classes, found.held_out_classes)
    )
    axes.bar(places, sample, width=0.72, color=colours.generator, label="samples", zorder=2)
    axes.hlines(
        train, places - 0.42, places + 0.42, color=colours.ink, lw=1.8, label="training", zorder=4
    )
    axes.scatter(
        places,
        held_out,
        s=20,
        marker="D",
        color=colours.likelihood,
        edgecolors=colours.paper,
        lw=0.8,
        label="held-out",
        zorder=5,
    )
    axes.set_ylim(0, 1.1 * max(sample.max(), train.max(), held_out.max()))
    axes.yaxis.set_major_formatter(_percent)
    every = math.ceil(len(places) / _MOST_CLASS_NAMES)
    axes.set_xticks(places[::every], [str(number) for number in found.class_numbers[::every]])
    axes.set_xlabel("class of the nearest training image", fontsize=8.5)
    _finish(axes)


def _finish(axes: Axes) -> None:
    axes.tick_params(axis="x", pad=5)
    axes.grid(False, axis="x")
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 0.985),
        ncols=3,
        fontsize=8.5,
        frameon=False,
        handlelength=1.1,
        handletextpad=0.5,
        columnspacing=1.1,
        borderpad=0.2,
        reverse=True,
    )


def _percent(value: float, _: Any) -> str:
    return f"{100 * value:.4g}%"


def _thousands(value: float, _: Any) -> str:
    return f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"


def _rim(colours: Theme) -> list[Any]:
    """Return a rim of paper that keeps words readable on top of curves."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=3, foreground=colours.paper)]
