"""Figure 1 as an animation: the pair as it trains, and its value, criterion and divergence.

Drawn frame by frame on one matplotlib figure, kept as a GIF of few colours that loops.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from fastgan import theory
from fastgan.figure_1_result import Figure1
from fastgan.figure_1_snapshot import Snapshot
from fastgan.figure_1_strip import arrow_steps, best_answer, draw_arrows, draw_densities
from fastgan.plots import styled, theme_of
from fastgan.themes import Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (9.0, 4.3)  # inches
DOTS_AN_INCH = 100  # a GIF has one pixel a point of a page 900 wide
SHADE = 0.08  # how strongly the time before G moves is coloured
FRAME_MILLISECONDS = 110
PAUSE_MILLISECONDS = 900  # before G first moves
END_MILLISECONDS = 3_000

# The divergence that is drawn runs over powers of ten down to this.
LEAST_DIVERGENCE = 2e-3
_SHOWN_COUNTS = (1_000, 10_000)  # of samples under the plug-in estimates that are drawn


def animation(found: Figure1, *, theme: str = "light") -> bytes:
    """Return the animation as the bytes of a GIF; a frame a snapshot, looping for ever.

    Raises
    ------
    ValueError
        If the theme is unknown.
    """
    from PIL import Image

    colours = theme_of(theme)
    frames = _frames(found, colours)
    palette = _palette(colours)
    images = []
    for frame in frames:
        image = Image.fromarray(_nearest_colours(frame, palette))
        image.putpalette(palette.ravel().tolist())  # from here on numbers are colours
        images.append(image)
    durations = [FRAME_MILLISECONDS] * len(images)
    durations[_last_alone(found)] = PAUSE_MILLISECONDS
    durations[-1] = END_MILLISECONDS
    buffer = io.BytesIO()
    images[0].save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=images[1:],
        duration=durations,
        loop=0,
        comment=f"Figure 1, seed {found.seed}".encode(),
    )
    return buffer.getvalue()


def _palette(colours: Theme) -> Any:
    """Return a GIF's colours, uint8 of shape (n, 3): each that is drawn, and its way to the page's.

    Made of the theme and not of the frames, so that thin lines keep their colours.
    """
    from matplotlib.colors import to_rgb

    paper = np.array(to_rgb(colours.paper))
    drawn = (
        colours.ink, colours.muted, colours.grid, colours.generator, colours.discriminator,
        colours.likelihood,
    )  # fmt: skip
    strengths = (1.0, 0.85, 0.7, 0.55, 0.42, 0.3, 0.2, SHADE)
    shades = [paper] + [
        strength * np.array(to_rgb(colour)) + (1.0 - strength) * paper
        for colour in drawn
        for strength in strengths
    ]
    return np.rint(255.0 * np.stack(shades)).astype(np.uint8)


def _nearest_colours(frame: Any, palette: Any) -> Any:
    """Return the number of the palette's nearest colour for each pixel, uint8 (height, width).

    Pillow's own search works on rounded colours and takes a neighbour at times: the page's white
    became 253.
    """
    packed = frame.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.int32)
    found, places = np.unique(packed, return_inverse=True)
    colours = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1)
    distances = ((colours[:, None, :] - palette.astype(np.int32)) ** 2).sum(axis=2)
    return distances.argmin(axis=1).astype(np.uint8)[places].reshape(packed.shape)


def _frames(found: Figure1, colours: Theme) -> list[Any]:
    """Return the frames, uint8 of shape (height, width, 3) each."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    first = found.snapshots[0]
    with styled(colours):
        figure = Figure(figsize=SIZE, dpi=DOTS_AN_INCH, facecolor=colours.paper)
        canvas = FigureCanvasAgg(figure)
        left = figure.add_gridspec(
            2, 1, height_ratios=(3, 1), left=0.035, right=0.585, top=0.84, bottom=0.03, hspace=0
        )
        right = figure.add_gridspec(
            2, 1, left=0.668, right=0.985, top=0.89, bottom=0.115, hspace=0.5
        )
        upper = figure.add_subplot(left[0])
        lower = figure.add_subplot(left[1])
        lines = draw_densities(upper, found, first, colours)
        arrows = draw_arrows(lower, found, first, colours)
        figure.legend(
            handles=list(lines.values()), loc="upper left", bbox_to_anchor=(0.022, 0.93), ncols=4,
            frameon=False, fontsize=9.5, handlelength=2.2, columnspacing=1.5, borderpad=0.2,
        )  # fmt: skip
        head = figure.text(0.035, 0.955, "", fontsize=11, fontweight="bold", color=colours.ink)
        values = figure.add_subplot(right[0])
        divergences = figure.add_subplot(right[1])
        moving = [
            *_draw_values(values, found, colours),
            *_draw_divergences(divergences, found, colours),
        ]
        shown = []
        for number, snapshot in enumerate(found.snapshots):
            lines["p_g"].set_ydata(snapshot.p_g)
            lines["D"].set_ydata(snapshot.discriminator)
            lines["D*"].set_ydata(best_answer(found, snapshot))
            arrows.set_UVC(*arrow_steps(found, snapshot))
            for line, xs, ys in moving:
                line.set_data(xs[: number + 1], ys[: number + 1])
            head.set_text(_heading(snapshot))
            canvas.draw()
            shown.append(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    return shown


def _heading(snapshot: Snapshot) -> str:
    who = (
        f"G moved {snapshot.n_generator_updates:,} times"
        if snapshot.n_generator_updates
        else "G stands still"
    )
    return f"D moved {snapshot.n_discriminator_updates:,} times, {who}"


def _times(found: Figure1) -> list[int]:
    """Return where the moments stand on the axis: one beside the other, as they are shown."""
    return list(range(len(found.snapshots)))


def _ticks(found: Figure1) -> list[tuple[float, str]]:
    """Return places on that axis and the updates of D there; from G's first on, those since it."""
    updates = [snapshot.n_discriminator_updates for snapshot in found.snapshots]
    alone = found.n_alone
    later = [power for power in (1_000, 10_000, 100_000) if power <= updates[-1] - alone]
    return [
        (0.0, "0"),
        (float(_last_alone(found)), f"{alone:,}"),
        *((float(np.interp(alone + n, updates, _times(found))), f"+{n:,}") for n in later),
    ]


def _last_alone(found: Figure1) -> int:
    """Return the number of the last snapshot before G's time."""
    alone = [s for s in found.snapshots if s.n_discriminator_updates <= found.n_alone]
    return len(alone) - 1


def _draw_values(axes: Axes, found: Figure1, colours: Theme) -> list[tuple[Any, Any, Any]]:
    """Lay out V and C(G); return each line with all that it will show."""
    axes.set_title("Value, in nats", loc="left", fontsize=10, fontweight="bold", pad=7)
    times = _times(found)
    value = [snapshot.value_sampled for snapshot in found.snapshots]
    criterion = [snapshot.criterion for snapshot in found.snapshots]
    axes.axhline(theory.LEAST_CRITERION, color=colours.muted, lw=1.0, ls=(0, (4, 3)), zorder=1.5)
    axes.annotate(
        "$-$log 4", (1.0, theory.LEAST_CRITERION), xycoords=("axes fraction", "data"),
        xytext=(-3, -10), textcoords="offset points", ha="right", fontsize=8, color=colours.muted,
    )  # fmt: skip
    (upper,) = axes.plot([], [], color=colours.likelihood, lw=1.8, label="C(G)", zorder=3)
    (lower,) = axes.plot(
        [], [], color=colours.discriminator, lw=1.5, ls=(0, (4.5, 2)), label="V(D, G)", zorder=4
    )
    # V may fall far below where D is wrong for a moment: the panel is that of C(G)
    room = max(*criterion, *value) - theory.LEAST_CRITERION
    axes.set_ylim(theory.LEAST_CRITERION - 0.5 * room, theory.LEAST_CRITERION + 1.12 * room)
    _finish(axes, found, colours)
    axes.legend(
        loc="lower right", bbox_to_anchor=(1.02, 0.96), ncols=2, frameon=False, fontsize=8.5,
        handlelength=1.7, columnspacing=1.2, borderpad=0.2,
    )  # fmt: skip
    return [(upper, times, criterion), (lower, times, value)]


def _draw_divergences(axes: Axes, found: Figure1, colours: Theme) -> list[tuple[Any, Any, Any]]:
    """Lay out the divergence by quadrature and as samples show it; return the lines likewise."""
    axes.set_title(
        "Jensen-Shannon divergence, in nats", loc="left", fontsize=10, fontweight="bold", pad=7
    )
    times = _times(found)
    axes.set_yscale("log")
    axes.set_ylim(LEAST_DIVERGENCE, 1.0)
    moving = []
    styles = ((0, (1, 1.2)), (0, (3, 1.5)))
    for count, style in zip(_SHOWN_COUNTS, styles, strict=True):
        place = found.sample_counts.index(count)
        estimates = [snapshot.plug_in_jensen_shannon[place] for snapshot in found.snapshots]
        (line,) = axes.plot([], [], color=colours.muted, lw=1.2, ls=style, label=f"{count:,} draws")
        moving.append((line, times, estimates))
    divergence = [snapshot.jensen_shannon for snapshot in found.snapshots]
    (line,) = axes.plot([], [], color=colours.generator, lw=1.8, label="quadrature", zorder=3)
    moving.append((line, times, divergence))
    axes.yaxis.set_ticks([0.01, 0.1, 1], [".01", ".1", "1"])
    axes.minorticks_off()
    _finish(axes, found, colours)
    axes.set_xlabel("updates of D (+: since G may move)", fontsize=8.5, labelpad=3)
    axes.legend(
        handles=[moving[2][0], moving[0][0], moving[1][0]], loc="lower left", frameon=False,
        fontsize=8, handlelength=1.7, borderpad=0.2, labelspacing=0.25,
    )  # fmt: skip
    return moving


def _finish(axes: Axes, found: Figure1, colours: Theme) -> None:
    axes.set_xlim(0, len(found.snapshots) - 1 + 0.4)
    axes.axvspan(0, _last_alone(found), color=colours.discriminator, alpha=SHADE, lw=0, zorder=0)
    axes.grid(False, axis="x")
    places, words = zip(*_ticks(found), strict=True)
    axes.xaxis.set_ticks(places, words)
    axes.tick_params(labelsize=8)
