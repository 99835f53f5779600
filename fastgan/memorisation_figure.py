"""Pictures of a check for memorised images: two distributions of distances, and their near end.

The first panel shows both distributions whole; in the second the shares run over powers of ten, so
that a few copies among ten thousand samples are seen.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastgan.files import write_atomically
from fastgan.memorisation_result import NEAR_LEVEL, Memorisation, distance, share
from fastgan.plots import heading, panel, panels, theme_of
from fastgan.themes import Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MIDDLE = 0.5


def memorisation_figure(
    found: Memorisation,
    path: str | os.PathLike[str],
    *,
    theme: str = "light",
    title: str | None = None,
) -> Path:
    """Write both panels side by side as one picture.

    Parameters
    ----------
    found : Memorisation
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
        _PANELS.values(),
        found,
        theme_of(theme),
        title=title,
        Title="Distance to the nearest training image",
        Description=" ".join(found.sentences()),
    )
    return write_atomically(path, content)


def memorisation_pictures(found: Memorisation, *, theme: str = "light") -> dict[str, bytes]:
    """Return each panel as a PNG of its own, by name, for a page that wraps.

    The names are "distances" and "nearest". Raises a ValueError if the theme is unknown.
    """
    colours = theme_of(theme)

    def drawn(draw: Callable[[Any, Memorisation, Theme], None]) -> bytes:
        return panel(colours, lambda figure: draw(figure, found, colours))

    return {name: drawn(draw) for name, draw in _PANELS.items()}


def _draw_distances(figure: Any, found: Memorisation, colours: Theme) -> None:
    axes = figure.subplots()
    heading(axes, "All distances", "share of images within", colours)
    _curves(axes, found, colours, lowest=0.0)
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(_percent)
    axes.yaxis.set_ticks([0, 0.25, 0.5, 0.75, 1])
    medians = [row[0] for row in found.quantile_rows((_MIDDLE,))]
    for median, other, colour in zip(
        medians, reversed(medians), (colours.generator, colours.ink), strict=True
    ):
        # outward, but into the panel where the axis is close
        right = median > other or median < 0.26 * _farthest(found)
        axes.scatter(median, _MIDDLE, s=26, color=colour, zorder=5, lw=0)
        axes.annotate(
            f"median {distance(median)}",
            (median, _MIDDLE),
            xytext=(7 if right else -7, -10 if right else 3),
            textcoords="offset points",
            ha="left" if right else "right",
            fontsize=9,
            fontweight="bold",
            color=colour,
            path_effects=_rim(colours),
            zorder=6,
        )
    _finish(axes, found, colours)


def _draw_nearest(figure: Any, found: Memorisation, colours: Theme) -> None:
    axes = figure.subplots()
    heading(axes, "The smallest distances", "the same, log scale", colours)
    lowest = 1 / max(found.n_samples, found.n_held_out)
    axes.set_yscale("log")
    axes.axvspan(0, found.near_distance, color=colours.warning, alpha=0.08, lw=0, zorder=0.5)
    axes.axvline(found.near_distance, color=colours.warning, lw=1.0, ls=(0, (4, 3)), zorder=1.5)
    _curves(axes, found, colours, lowest=lowest)
    axes.set_ylim(0.8 * min(lowest, NEAR_LEVEL / 2), 1.25)
    axes.yaxis.set_major_formatter(_percent)
    axes.minorticks_off()
    axes.annotate(  # at the lower right, where curves that rise from the left leave room
        f"{share(found.sample_near_share)} of the samples",
        (0.99, 0.0),
        xycoords="axes fraction",
        xytext=(0, 32),
        textcoords="offset points",
        ha="right",
        fontsize=11,
        fontweight="bold",
        color=colours.warning if found.sample_near_share > 2 * NEAR_LEVEL else colours.generator,
        path_effects=_rim(colours),
        zorder=6,
    )
    axes.annotate(
        f"lie as near as the nearest {NEAR_LEVEL:.0%}\n"
        f"of the test images: within {distance(found.near_distance)}",
        (0.99, 0.0),
        xycoords="axes fraction",
        xytext=(0, 7),
        textcoords="offset points",
        ha="right",
        multialignment="right",
        linespacing=1.3,
        fontsize=8,
        color=colours.muted,
        path_effects=_rim(colours),
        zorder=6,
    )
    _finish(axes, found, colours)


def _curves(axes: Axes, found: Memorisation, colours: Theme, lowest: float) -> None:
    """Draw the share of images within each distance; below ``lowest`` no share is known."""
    for quantiles, n_images, label, colour in (
        (found.held_out_quantiles, found.n_held_out, "test images", colours.ink),
        (found.sample_quantiles, found.n_samples, "samples", colours.generator),
    ):
        distances, shares = _curve(quantiles, found.quantile_levels, n_images, lowest)
        axes.plot(distances, shares, color=colour, lw=1.8, label=label, zorder=3)


def _curve(
    quantiles: Sequence[float], levels: Sequence[float], n_images: int, lowest: float
) -> tuple[list[float], list[float]]:
    """Return distances and shares of one curve.

    It rises from the axis to 1/n at the least distance, to (i + 1)/n at the quantile i/(n - 1),
    which is the distance of number i from 0, and straight in between.
    """
    shares = [(1 + level * (n_images - 1)) / n_images for level in levels]
    return [quantiles[0], *quantiles], [lowest / 2, *shares]


def _finish(axes: Axes, found: Memorisation, colours: Theme) -> None:
    from matplotlib.ticker import MaxNLocator

    farthest = _farthest(found)
    axes.set_xlim(-0.015 * farthest, 1.02 * farthest)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.tick_params(axis="x", pad=5)
    axes.grid(False, axis="x")
    axes.set_xlabel("Euclidean distance to the nearest training image (0: a copy)", fontsize=8.5)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 0.985),
        ncols=2,
        fontsize=8.5,
        frameon=False,
        handlelength=1.1,
        handletextpad=0.5,
        columnspacing=1.1,
        borderpad=0.2,
        reverse=True,
    )


def _farthest(found: Memorisation) -> float:
    return max(found.sample_quantiles[-1], found.held_out_quantiles[-1]) or 1.0


def _percent(value: float, _: Any) -> str:
    return f"{100 * value:.4g}%"


def _rim(colours: Theme) -> list[Any]:
    """Return a rim of paper that keeps words readable on top of curves."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=3, foreground=colours.paper)]


_PANELS: dict[str, Callable[[Any, Memorisation, Theme], None]] = {
    "distances": _draw_distances,
    "nearest": _draw_nearest,
}
