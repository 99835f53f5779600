"""Pictures of the scaling curves: time, time a pair, and what a second worker brings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks.suite.document import Document, Row
from fastgan.plots import heading, panels
from fastgan.themes import Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMES = {"parzen": "Parzen sums", "neighbors": "Nearest neighbours"}
MOST_THREADS = 2
WORKERS = {(2, 1): ("2 threads", "-"), (1, 2): ("2 processes", (0, (4, 2)))}


def picture(document: Document, operation: str, colours: Theme) -> bytes | None:
    """Return the three panels of an operation as PNG bytes; None where it has no points."""
    points = [point for point in document.points(operation) if point["seconds"] is not None]
    if not points:
        return None
    draws = (_draw_time, _draw_pairs, _draw_workers)
    return panels(draws, points, colours, title=f"{NAMES[operation]}: {_queries(points)}")


def colour_of(width: int, widths: list[int], colours: Theme) -> str:
    """Return the colour of a width, the same in every panel."""
    palette = (
        colours.discriminator,
        colours.generator,
        colours.likelihood,
        colours.saturated,
        colours.warning,
    )
    return palette[widths.index(width) % len(palette)]


def fastest(points: list[Row]) -> list[Row]:
    """Return the points of one process on the most threads that were measured."""
    alone = [point for point in points if point["n_processes"] == 1]
    most = max((point["n_threads"] for point in alone), default=0)
    return [point for point in alone if point["n_threads"] == most]


def speedups(points: list[Row], n_threads: int, n_processes: int) -> dict[int, list[Any]]:
    """Return width -> (samples, times as fast as one thread), where both were measured alike."""
    one = {
        (point["n_features"], point["n_samples"]): point["seconds"]
        for point in points
        if (point["n_threads"], point["n_processes"]) == (1, 1)
    }
    found: dict[int, list[Any]] = {}
    for point in points:
        place = point["n_features"], point["n_samples"]
        if (point["n_threads"], point["n_processes"]) == (n_threads, n_processes) and place in one:
            ratio = one[place] / point["seconds"]
            found.setdefault(point["n_features"], []).append((point["n_samples"], ratio))
    return found


def _queries(points: list[Row]) -> str:
    counts = sorted({point["n_queries"] for point in points})
    return " or ".join(f"{count:,}" for count in counts) + " test images as queries"


def _draw_time(figure: Any, points: list[Row], colours: Theme) -> None:
    axes = _log_axes(figure)
    shown = fastest(points)
    _curves(axes, shown, colours, lambda point, seconds: seconds)
    _proportional(axes, shown, colours)
    threads = shown[0]["n_threads"]
    heading(axes, f"time, {threads} thread" + "s" * (threads > 1), "s", colours)
    _legend(axes)


def _draw_pairs(figure: Any, points: list[Row], colours: Theme) -> None:
    axes = _log_axes(figure)
    shown = fastest(points)
    _curves(
        axes,
        shown,
        colours,
        lambda point, seconds: 1e9 * seconds / point["n_queries"] / point["n_samples"],
    )
    heading(axes, "time a pair; dashed: torch.mm alone", "ns", colours)


def _draw_workers(figure: Any, points: list[Row], colours: Theme) -> None:
    axes = figure.subplots()
    widths = sorted({point["n_features"] for point in points})
    for (n_threads, n_processes), (_, style) in WORKERS.items():
        for width, curve in speedups(points, n_threads, n_processes).items():
            n_samples, ratios = zip(*sorted(curve), strict=True)
            colour = colour_of(width, widths, colours)
            axes.plot(n_samples, ratios, color=colour, lw=1.5, ls=style, marker="o", ms=2.6)
    axes.axhline(2.0, color=colours.muted, lw=1.0, ls=":")
    axes.annotate(
        "twice as fast", (0.0, 2.0), xycoords=("axes fraction", "data"), xytext=(4, -10),
        textcoords="offset points", fontsize=8, color=colours.muted,
    )  # fmt: skip
    axes.axhline(1.0, color=colours.grid, lw=1.0)
    axes.set_xscale("log")
    axes.set_ylim(0.0, max(2.2, axes.get_ylim()[1]))
    axes.set_xlabel("samples")
    for words, style in WORKERS.values():
        axes.plot([], [], color=colours.muted, lw=1.5, ls=style, label=words)
    heading(axes, "times as fast as one thread", "", colours)
    _legend(axes)


def _log_axes(figure: Any) -> Axes:
    axes: Axes = figure.subplots()
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("samples")
    return axes


def _curves(
    axes: Axes, points: list[Row], colours: Theme, value: Callable[[Row, float], float]
) -> None:
    """Draw a curve a width, hollow where samples were made block by block; the floor dashed."""
    widths = sorted({point["n_features"] for point in points})
    for width in widths:
        colour = colour_of(width, widths, colours)
        curve = sorted(
            (point for point in points if point["n_features"] == width),
            key=lambda point: point["n_samples"],
        )
        counts = [point["n_samples"] for point in curve]
        values = [value(point, point["seconds"]) for point in curve]
        axes.plot(counts, values, color=colour, lw=1.7, label=f"{width:,}")
        for count, height, point in zip(counts, values, curve, strict=True):
            face = colour if point["is_held"] else colours.paper
            axes.plot(count, height, "o", ms=3.6, mec=colour, mfc=face, mew=1.0)
        floor = [
            (p["n_samples"], value(p, p["floor_seconds"])) for p in curve if p["floor_seconds"]
        ]
        if floor:
            axes.plot(*zip(*floor, strict=True), color=colour, lw=1.0, ls=(0, (4, 2)))


def _proportional(axes: Axes, points: list[Row], colours: Theme) -> None:
    """Draw a line of time in proportion to samples, through the largest size of the widest."""
    last = max(points, key=lambda point: (point["n_features"], point["n_samples"]))
    counts = sorted({point["n_samples"] for point in points})
    seconds = [last["seconds"] * count / last["n_samples"] for count in counts]
    axes.plot(counts, seconds, color=colours.muted, lw=1.0, ls=":", label="in proportion")


def _legend(axes: Axes) -> None:
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 0.98),
        ncols=6,
        frameon=False,
        fontsize=7.5,
        handlelength=1.2,
        columnspacing=0.9,
        borderaxespad=0.2,
    )
