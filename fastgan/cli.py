"""The ``fastgan`` command: parse, call, print. What it does is in the modules that it calls.

Exit codes: 0 done; 1 done, but every seed collapsed; 2 a mistake of the user's, told in a line on
standard error; 130 interrupted. Anything else is a fault of ours and keeps its traceback.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastgan import (
    __version__,
    cli_algorithm_1,
    cli_evaluate,
    cli_figure_1,
    cli_neighbors,
    cli_table,
    cli_training,
)
from fastgan.cli_shared import (
    Data,
    Folder,
    Impl,
    NSamples,
    RunFolder,
    Threads,
    Weights,
    run_and_dataset,
    run_of,
    set_up,
    show,
)
from fastgan.mistakes import MistakesGroup

app = typer.Typer(
    cls=MistakesGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Generative Adversarial Nets (2014): train, evaluate by Parzen windows, and look.",
    epilog="Examples: `fastgan reproduce` (a minute or two), "
    "`fastgan reproduce mnist --epochs 20`, `fastgan info`.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fastgan {__version__}")
        raise typer.Exit


@app.callback()
def _start(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


@app.command()
def info() -> None:
    """Show versions, SIMD levels, threads, devices, and which data sets are here."""
    from fastgan import tables
    from fastgan.data import DATASET_NAMES, load_dataset
    from fastgan.data.locate import cache_folder

    found = []
    for name in DATASET_NAMES:
        try:
            found.append((name, load_dataset(name, download=False).source))
        except FileNotFoundError:
            found.append((name, "not found"))
        except (OSError, ValueError) as error:
            found.append((name, str(error).splitlines()[0]))
    show(tables.environment(found, cache_folder("").resolve()))


app.command(epilog=cli_training.TRAIN_EXAMPLES)(cli_training.train)


@app.command(epilog="Example: `fastgan sample runs/digits/seed-0 -n 100 --out samples.png`")
def sample(
    run: RunFolder,
    out: Annotated[Path, typer.Option(help="A .npy file of rows, or a .png of a grid.")],
    n_samples: NSamples = 100,
    seed: Annotated[int, typer.Option(min=0, help="Draws the z.")] = 0,
    weights: Weights = "model",
    data: Data = None,
    folder: Folder = None,
    threads: Threads = None,
) -> None:
    """Draw samples from a run's generator."""
    import io

    import numpy as np

    from fastgan.figures import sample_grid
    from fastgan.files import write_atomically
    from fastgan.reproduce import sample_of

    set_up(threads, True)
    if out.suffix not in (".npy", ".png"):
        raise ValueError(f"out: expected a name that ends in .npy or .png, got {out}")
    drawn = sample_of(run_of(run, weights), n_samples or 100, seed)
    if out.suffix == ".npy":
        buffer = io.BytesIO()
        np.save(buffer, drawn.numpy(), allow_pickle=False)
        write_atomically(out, buffer.getvalue())
    else:
        _, dataset = run_and_dataset(run, data, folder, weights)
        sample_grid(drawn, dataset, out)
    show(f"{len(drawn)} samples: {out}")


app.command(epilog=cli_evaluate.EXAMPLES)(cli_evaluate.evaluate)


app.command(epilog=cli_neighbors.EXAMPLES)(cli_neighbors.neighbors)


@app.command(epilog="Example: `fastgan figures runs/digits/seed-0`")
def figures(
    run: RunFolder,
    weights: Weights = "model",
    data: Data = None,
    folder: Folder = None,
    impl: Impl = "auto",
    threads: Threads = None,
) -> None:
    """Draw a run's pictures (samples, Figures 2 and 3, curves) and write its report."""
    from fastgan.reproduce import draw_figures, report_on

    set_up(threads, True)
    opened, dataset = run_and_dataset(run, data, folder, weights)
    for path in draw_figures(opened, dataset, impl=impl):
        show(str(path))
    show(f"report: {report_on(opened, dataset)}")


app.command(epilog=cli_training.REPRODUCE_EXAMPLES)(cli_training.reproduce)
app.command("algorithm-1", epilog=cli_algorithm_1.EXAMPLES)(cli_algorithm_1.algorithm_1)
app.command(epilog=cli_table.EXAMPLES)(cli_table.table)
app.command("figure-1", epilog=cli_figure_1.EXAMPLES)(cli_figure_1.figure_1)


def main() -> None:
    """Run the command line."""
    app(prog_name="fastgan")
