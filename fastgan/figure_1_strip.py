"""The strip of four panels, as the paper's Figure 1 lays it out, in light and dark.

p_data is black and dotted, p_g green and solid, D blue and dashed, as in the paper; D* is the thin
line. Below, the upper line is x and the lower one z, which is uniform; arrows lead from z to G(z).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastgan.figure_1_pair import LATENT_END, Vector
from fastgan.figure_1_result import Figure1
from fastgan.figure_1_snapshot import Snapshot
from fastgan.plots import png, styled, theme_of
from fastgan.themes import Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes

X_ENDS = (-3.3, 3.6)
HIGHEST = 1.04  # of the panels: D is a probability; a narrow p_g is cut off
PANEL_SIZE = (2.72, 3.35)  # inches

_WORDS = (
    ("(a)", "D is partly right"),
    ("(b)", "D is trained, G stands still"),
    ("(c)", "G follows D"),
    ("(d)", "p$_g$ has come to p$_{data}$"),
)


def strip_picture(found: Figure1, *, theme: str = "light") -> bytes:
    """Return the strip as PNG bytes.

    Raises
    ------
    ValueError
        If the theme is unknown.
    """
    from matplotlib.figure import Figure

    colours = theme_of(theme)
    with styled(colours):
        figure = Figure(
            figsize=(4 * PANEL_SIZE[0], PANEL_SIZE[1]), facecolor=colours.paper, layout=None
        )
        grid = figure.add_gridspec(
            2, 4, height_ratios=(3, 1), left=0.032, right=0.992, top=0.8, bottom=0.035,
            wspace=0.09, hspace=0.0,
        )  # fmt: skip
        for number, (snapshot, words) in enumerate(zip(found.panels(), _WORDS, strict=True)):
            upper = figure.add_subplot(grid[0, number])
            lower = figure.add_subplot(grid[1, number])
            drawn = draw_densities(upper, found, snapshot, colours)
            upper.yaxis.set_tick_params(labelleft=number == 0)
            upper.set_title(words[0], loc="left", fontsize=10.5, fontweight="bold", pad=18)
            for text, across, up, size, colour in (
                (words[1], 20, 18.5, 9.5, colours.ink),
                (
                    f"JSD {_short(snapshot.jensen_shannon)},  "
                    f"mean |D $-$ D*| {_short(snapshot.discriminator_error)}",
                    0,
                    5,
                    8.5,
                    colours.muted,
                ),
            ):
                upper.annotate(
                    text, (0, 1), xycoords="axes fraction", xytext=(across, up),
                    textcoords="offset points", fontsize=size, color=colour,
                )  # fmt: skip
            draw_arrows(lower, found, snapshot, colours)
        figure.legend(
            handles=list(drawn.values()), loc="upper left", bbox_to_anchor=(0.024, 1.005), ncols=4,
            frameon=False, fontsize=9, handlelength=2.2, columnspacing=1.6, borderpad=0.2,
        )  # fmt: skip
        return png(
            figure,
            colours,
            Title="Figure 1",
            Description=f"Seed {found.seed}. " + " ".join(found.sentences()),
        )


def draw_densities(
    axes: Axes, found: Figure1, snapshot: Snapshot, colours: Theme
) -> dict[str, Any]:
    """Draw the three curves and D* over x; return the lines by name, for what changes them."""
    points = np.asarray(found.points)
    (data,) = axes.plot(
        points, found.p_data, color=colours.ink, lw=1.9, ls=(0, (1, 1.5)), zorder=3,
        label="p$_{data}$", dash_capstyle="butt",
    )  # fmt: skip
    (model,) = axes.plot(
        points, snapshot.p_g, color=colours.generator, lw=1.8, zorder=2.5, label="p$_g$"
    )
    (answer,) = axes.plot(
        points, snapshot.discriminator, color=colours.discriminator, lw=1.7, ls=(0, (4.5, 2)),
        zorder=4, label="D",
    )  # fmt: skip
    (best,) = axes.plot(
        points, best_answer(found, snapshot), color=colours.discriminator, lw=0.9, alpha=0.7,
        zorder=2.8, label="D* = p$_{data}$ / (p$_{data}$ + p$_g$)",
    )  # fmt: skip
    axes.set_xlim(*X_ENDS)
    axes.set_ylim(0, HIGHEST)
    axes.yaxis.set_ticks([0, 0.5, 1], ["0", "½", "1"])
    axes.xaxis.set_ticks([])
    axes.spines["bottom"].set_visible(False)
    axes.spines["left"].set_visible(False)
    axes.axhline(0, color=colours.muted, lw=1.0, zorder=2, clip_on=False)
    return {"p_data": data, "p_g": model, "D": answer, "D*": best}


def draw_arrows(axes: Axes, found: Figure1, snapshot: Snapshot, colours: Theme) -> Any:
    """Draw z below, x above it and the way between them; return the collection of arrows."""
    axes.set_xlim(*X_ENDS)
    axes.set_ylim(-0.12, 1.0)
    axes.set_axis_off()
    axes.plot((-LATENT_END, LATENT_END), (0, 0), color=colours.muted, lw=1.0, clip_on=False)
    axes.text(X_ENDS[0] + 0.02, 0.72, "x", fontsize=9, style="italic", color=colours.muted)
    axes.text(-LATENT_END - 0.2, -0.07, "z", fontsize=9, style="italic", color=colours.muted,
              ha="right")  # fmt: skip
    latent = np.asarray(found.latent)
    return axes.quiver(
        latent, np.zeros_like(latent), *arrow_steps(found, snapshot), angles="xy",
        scale_units="xy", scale=1, color=colours.generator, width=0.0045, headwidth=4.4,
        headlength=5.5, headaxislength=4.8, alpha=0.85, zorder=3,
    )  # fmt: skip


def arrow_steps(found: Figure1, snapshot: Snapshot) -> tuple[Vector, Vector]:
    """Return how far each arrow goes in x, and in the panel's height."""
    steps = np.asarray(snapshot.arrows) - np.asarray(found.latent)
    return steps, np.full_like(steps, 0.96)


def best_answer(found: Figure1, snapshot: Snapshot) -> Vector:
    """Return D* on the points; NaN, a gap in the line, where neither density reaches."""
    data, model = np.asarray(found.p_data), np.asarray(snapshot.p_g)
    total = data + model
    gap = np.full_like(total, np.nan)
    best: Vector = np.divide(data, total, out=gap, where=total > 1e-9)
    return best


def _short(value: float) -> str:
    """Return a number below 1 for a caption: two digits that count, ".31", ".0062"."""
    digits = 2 if value >= 0.1 else 3 if value >= 0.01 else 4
    return f"{value:.{digits}f}".removeprefix("0")
