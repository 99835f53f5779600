"""``fastgan algorithm-1``: Algorithm 1 as printed beside the released recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fastgan.cli_shared import Epochs, Folder, Quiet, Threads, dataset_of, recipe_of, set_up, show
from fastgan.interruption import TrainingInterrupted

EXAMPLES = (
    "Examples: `fastgan algorithm-1 --epochs 6`, `fastgan algorithm-1 --data digits --k 1 --k 3`"
)


def algorithm_1(
    data: Annotated[
        str, typer.Option(help="The recipe to start from: mnist, digits, or a recipe.toml.")
    ] = "mnist",
    epochs: Epochs = 6,
    k: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Updates of D for each of G; 1, 2 and 5 by default."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of every run.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Holds the runs and the picture; runs/RECIPE-algorithm-1 by default."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the runs that are there already.")
    ] = False,
    folder: Folder = None,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Train Algorithm 1 as printed (alternating, saturating) and the released recipe; compare."""
    from fastgan.algorithm_1 import KS, WHAT_IS_EQUAL, compare_algorithm_1
    from fastgan.training import TrainingOptions

    set_up(threads, quiet)
    recipe = recipe_of(data, None, epochs, seed)
    try:
        done = compare_algorithm_1(
            recipe,
            tuple(k or KS),
            dataset=dataset_of(recipe.dataset, folder),
            folder=out,
            options=TrainingOptions(resume=resume, progress=False if quiet else None),
            say=(lambda _: None) if quiet else typer.echo,
        )
    except TrainingInterrupted as error:
        raise TrainingInterrupted(
            f"{error}. With all that follows: the same command and --resume"
        ) from error
    show(_table(done.runs), WHAT_IS_EQUAL)
    for path in (*done.pictures, done.numbers):
        show(str(path))


def _table(runs: Any) -> Any:
    from rich.table import Table

    table = Table(
        pad_edge=False,
        title="After the last epoch; nats of validation images, variety: deviation over z",
        title_justify="left",
    )
    table.add_column("run", no_wrap=True)
    for name in ("G's updates", "D(x)", "D(G(z))", "nats", "variety"):
        table.add_column(name, justify="right")
    table.add_column("outcome", min_width=len("collapsed,"))
    columns = (
        ("real_probability", 3),
        ("fake_probability", 3),
        ("validation_log_likelihood", 1),
        ("sample_deviation", 3),
    )
    for run in runs:
        numbers = (_number(run.metrics[-1].get(field), digits) for field, digits in columns)
        table.add_row(run.label, f"{run.generator_updates:,}", *numbers, run.outcome)
    return table


def _number(value: float | None, digits: int) -> str:
    return "not finite" if value is None else f"{value:.{digits}f}"
