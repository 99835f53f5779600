"""How plots look: one style for all, on the page of a theme, drawn without a window.

matplotlib is imported when the first plot is drawn: its Agg canvas, no global state.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from fastgan.themes import THEMES, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL = (4.2, 2.9)  # inches, of one panel
PIXELS_AN_INCH = 220  # two screen pixels a point where a panel is 460 points wide


def theme_of(name: str) -> Theme:
    """Return a theme by name; ValueError if there is none of that name."""
    if name not in THEMES:
        raise ValueError(f"theme: expected 'light' or 'dark', got {name!r}")
    return THEMES[name]


def styled(colours: Theme) -> Any:
    """Return a context in which matplotlib draws in a theme; nothing global stays changed."""
    import matplotlib as mpl

    return mpl.rc_context(
        {
            "font.family": "DejaVu Sans",
            "font.size": 9.5,
            "axes.facecolor": colours.paper,
            "axes.edgecolor": colours.muted,
            "axes.labelcolor": colours.muted,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.linewidth": 0.8,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": colours.grid,
            "grid.linewidth": 0.8,
            "xtick.color": colours.muted,
            "ytick.color": colours.muted,
            "xtick.major.size": 0,
            "ytick.major.size": 0,
            "text.color": colours.ink,
            "lines.solid_capstyle": "round",
            "axes.unicode_minus": True,
        }
    )


def panel(colours: Theme, draw: Callable[[Any], None]) -> bytes:
    """Return one panel as PNG bytes; ``draw`` takes the empty figure."""
    from matplotlib.figure import Figure

    with styled(colours):
        figure = Figure(figsize=PANEL, layout="constrained", facecolor=colours.paper)
        draw(figure)
        return png(figure, colours)


def panels(
    draws: Collection[Callable[[Any, Any, Theme], None]],
    content: Any,
    colours: Theme,
    *,
    n_rows: int = 1,
    title: str | None = None,
    **notes: str,
) -> bytes:
    """Return panels in rows as one picture, PNG bytes.

    Each of ``draws`` takes an empty figure, the content and the colours.
    """
    from matplotlib.figure import Figure

    n_columns = -(-len(draws) // n_rows)
    size = (n_columns * (PANEL[0] + 0.15), n_rows * PANEL[1] + (0.5 if title else 0.1))
    with styled(colours):
        figure = Figure(figsize=size, layout="constrained", facecolor=colours.paper)
        if title:
            figure.suptitle(title, x=0.012, ha="left", fontsize=13, fontweight="bold")
        parts = figure.subfigures(n_rows, n_columns, squeeze=False, wspace=0.04, hspace=0.05)
        for part, draw in zip(parts.ravel(), draws, strict=True):
            draw(part, content, colours)
        return png(figure, colours, **notes)


def png(figure: Figure, colours: Theme, **notes: str) -> bytes:
    """Return a figure as PNG bytes; ``notes`` (Title, Description) are kept in the file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(
        buffer,
        format="png",
        dpi=PIXELS_AN_INCH,
        facecolor=colours.paper,
        metadata={"Software": "fastgan", **notes},
    )
    return buffer.getvalue()


def heading(axes: Axes, text: str, unit: str, colours: Theme, pad: float = 22) -> None:
    """Write a heading at the left and the unit at the right of the same line."""
    # the legend, if there is one, takes the room between heading and panel: it hides no curve
    axes.set_title(text, loc="left", fontsize=10.5, fontweight="bold", pad=pad)
    axes.set_title(unit, loc="right", fontsize=8.5, color=colours.muted, pad=pad)
