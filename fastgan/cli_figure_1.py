"""``fastgan figure-1``: the paper's Figure 1, trained live."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastgan.cli_shared import Quiet, set_up, show

EXAMPLES = (
    "Examples: `fastgan figure-1` (a minute or two), "
    "`fastgan figure-1 --seed 3 --out runs/figure-1/seed-3 --no-animation`"
)


def figure_1(
    out: Annotated[
        Path | None,
        typer.Option(help="The folder of the pictures; runs/figure-1/seed-SEED by default."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Key of everything random.")] = 0,
    animation: Annotated[
        bool, typer.Option("--animation/--no-animation", help="Draw the two GIFs too.")
    ] = True,
    quiet: Quiet = False,
) -> None:
    """Train a one-dimensional pair, and draw it as the paper's Figure 1 does, with its theory."""
    from fastgan.figure_1 import figure_1 as draw
    from fastgan.progress import counting

    set_up(1, True)
    with counting("updates") as progress:
        done = draw(
            out or Path("runs") / "figure-1" / f"seed-{seed}",
            seed,
            animated=animation,
            progress=progress,
        )
    if not quiet:
        show(*done.found.sentences())
    for path in (done.strip, done.strip_dark, done.animation, done.animation_dark, done.numbers):
        if path is not None:
            show(str(path))
