"""Figure 1 of the paper, live: a one-dimensional pair is trained, measured and drawn."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fastgan.figure_1_animation import animation
from fastgan.figure_1_pair import P_DATA, RECIPE, CosineBumps
from fastgan.figure_1_result import Figure1
from fastgan.figure_1_snapshot import SAMPLE_COUNTS, arrow_latent, drawn_density, drawn_points
from fastgan.figure_1_strip import strip_picture
from fastgan.figure_1_training import N_ALONE, N_SNAPSHOTS, N_TOGETHER, train_pair
from fastgan.files import write_atomically
from fastgan.recipes import Recipe


@dataclass(frozen=True)
class Figure1Files:
    """What :func:`figure_1` found, and the files that show it."""

    found: Figure1
    strip: Path  # the four panels
    strip_dark: Path
    animation: Path | None
    animation_dark: Path | None
    numbers: Path


def figure_1(
    folder: str | os.PathLike[str],
    seed: int = 0,
    *,
    recipe: Recipe = RECIPE,
    p_data: CosineBumps = P_DATA,
    n_alone: int = N_ALONE,
    n_together: int = N_TOGETHER,
    n_snapshots: int = N_SNAPSHOTS,
    animated: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Figure1Files:
    """Train the pair of Figure 1 and write its pictures and all its numbers.

    Parameters
    ----------
    folder : str or os.PathLike
        Gets ``figure_1.png``, ``figure_1-dark.png``, ``figure_1.gif``, ``figure_1-dark.gif`` and
        ``figure_1.json``; made if it is not there.
    seed : int
        Key of everything random. The same seed gives the same files on the same machine.
    recipe, p_data, n_alone, n_together, n_snapshots, progress
        As in :func:`fastgan.figure_1_training.train_pair`.
    animated : bool
        Whether the two animations are drawn.

    Returns
    -------
    Figure1Files

    Raises
    ------
    ValueError
        As :func:`fastgan.figure_1_training.train_pair`.
    OSError
        If the files cannot be written.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    snapshots = train_pair(
        seed,
        recipe=recipe,
        p_data=p_data,
        n_alone=n_alone,
        n_together=n_together,
        n_snapshots=n_snapshots,
        progress=progress,
    )
    found = Figure1(
        points=tuple(drawn_points().tolist()),
        latent=tuple(arrow_latent().tolist()),
        p_data=drawn_density(p_data),
        sample_counts=SAMPLE_COUNTS,
        n_alone=n_alone,
        seed=seed,
        recipe=recipe.replace(seed=seed),
        snapshots=tuple(snapshots),
    )
    numbers = write_atomically(target / "figure_1.json", found.to_json().encode())

    def film(name: str, theme: str) -> Path | None:
        return write_atomically(target / name, animation(found, theme=theme)) if animated else None

    return Figure1Files(
        found=found,
        strip=write_atomically(target / "figure_1.png", strip_picture(found)),
        strip_dark=write_atomically(
            target / "figure_1-dark.png", strip_picture(found, theme="dark")
        ),
        animation=film("figure_1.gif", "light"),
        animation_dark=film("figure_1-dark.gif", "dark"),
        numbers=numbers,
    )
