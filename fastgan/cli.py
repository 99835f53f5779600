"""The ``fastgan`` command: parse, call, print. What it does is in the modules that it calls.

Exit codes: 0 done; 1 done, but every seed collapsed; 2 a mistake of the user's, told in a line on
standard error; 130 interrupted. Anything else is a fault of ours and keeps its traceback.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from fastgan import __version__
from fastgan.cli_shared import (
    Data,
    Epochs,
    Folder,
    Impl,
    NSamples,
    Quiet,
    RecipeName,
    RunFolder,
    StopOnCollapse,
    Threads,
    dataset_of,
    read_samples,
    recipe_of,
    run_and_dataset,
)
from fastgan.mistakes import MistakesGroup, tell

logger = logging.getLogger("fastgan")


def _print(*items: Any) -> None:
    console = Console(highlight=False)
    for item in items:
        console.print(item)


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


def _set_up(threads: int | None, quiet: bool) -> None:
    """Set torch's threads, and let the log be seen: all of it only where no bar is shown."""
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(logging.WARNING if quiet or sys.stderr.isatty() else logging.INFO)


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
    _print(tables.environment(found, cache_folder("").resolve()))


@app.command(epilog="Example: `fastgan train mnist --epochs 20 --seed 1 --out runs/mnist/second`")
def train(
    recipe: RecipeName = "digits",
    data: Data = None,
    folder: Folder = None,
    epochs: Epochs = None,
    seed: Annotated[int | None, typer.Option(min=0, help="In place of the recipe's.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder; runs/RECIPE/seed-SEED by default.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with the run in this folder, with its own recipe.")
    ] = None,
    step: Annotated[str, typer.Option(help="auto, fused or autograd.")] = "auto",
    impl: Impl = "auto",
    threads: Threads = None,
    stop_on_collapse: StopOnCollapse = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write TensorBoard's event files too.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Train an adversarial pair and leave a run folder; Ctrl-C saves, `--resume` goes on."""
    from fastgan.runs import Run
    from fastgan.training import train as run_training

    _set_up(threads, quiet)
    if resume is not None:
        if out is not None or data is not None or seed is not None:
            raise ValueError("resume: --out, --data and --seed are the resumed run's own")
        chosen, out = Run.open(resume).recipe, resume
        chosen = chosen if epochs is None else chosen.replace(n_epochs=epochs)
    else:
        chosen = recipe_of(recipe, data, epochs, seed)
    run = run_training(
        chosen,
        dataset=dataset_of(chosen.dataset, folder),
        folder=out,
        resume=resume is not None,
        step=step,
        impl=impl,
        stop_on_collapse=stop_on_collapse,
        tensorboard=tensorboard,
        progress=False if quiet else None,
    )
    last = run.metrics[-1]
    _print(f"{run.status} after epoch {last['epoch']}, {last['seconds']:.1f} s of training")
    for warning in run.warnings:
        _print(f"warning: epoch {warning['epoch']}: {warning['message']}")
    _print(f"run: {run.folder}")


@app.command(epilog="Example: `fastgan sample runs/digits/seed-0 -n 100 --out samples.png`")
def sample(
    run: RunFolder,
    out: Annotated[Path, typer.Option(help="A .npy file of rows, or a .png of a grid.")],
    n_samples: NSamples = 100,
    seed: Annotated[int, typer.Option(min=0, help="Draws the z.")] = 0,
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
    from fastgan.runs import Run

    _set_up(threads, True)
    if out.suffix not in (".npy", ".png"):
        raise ValueError(f"out: expected a name that ends in .npy or .png, got {out}")
    drawn = sample_of(Run.open(run), n_samples or 100, seed)
    if out.suffix == ".npy":
        buffer = io.BytesIO()
        np.save(buffer, drawn.numpy(), allow_pickle=False)
        write_atomically(out, buffer.getvalue())
    else:
        _, dataset = run_and_dataset(run, data, folder)
        sample_grid(drawn, dataset, out)
    _print(f"{len(drawn)} samples: {out}")


@app.command(
    epilog="Examples: `fastgan evaluate runs/mnist/seed-0`, "
    "`fastgan evaluate runs/mnist/seed-0 --n-samples 1e7`, "
    "`fastgan evaluate --samples samples.npy --data mnist`"
)
def evaluate(
    run: Annotated[Path | None, typer.Argument(help="A run folder.")] = None,
    samples: Annotated[
        Path | None, typer.Option(help="A .npy file of samples, in the data's scale.")
    ] = None,
    data: Data = None,
    folder: Folder = None,
    n_samples: NSamples = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Draws the samples.")] = None,
    sigma_variant: Annotated[str, typer.Option(help="paper, or gmmn.")] = "paper",
    json: Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")] = False,
    impl: Impl = "auto",
    threads: Threads = None,
) -> None:
    """Score a run, or a file of samples, by the Parzen protocol, beside the published results.

    Above 10,000 samples they are drawn as they are needed and never held; the score at 1,000,
    10,000, ... samples is printed too. Ctrl-C keeps what is done: the same command goes on.
    """
    from fastgan import tables
    from fastgan.evaluation import evaluate as score
    from fastgan.files import write_atomically
    from fastgan.progress import counting

    _set_up(threads, True)
    source: Any
    checkpoint = None
    if run is not None and samples is None:
        opened, dataset = run_and_dataset(run, data, folder)
        source, seed = opened.generator, opened.recipe.seed if seed is None else seed
        n_samples = opened.recipe.n_samples if n_samples is None else n_samples
        checkpoint = opened.folder / "evaluation.part.safetensors"
    elif samples is not None and run is None:
        if data is None:
            raise ValueError("data: expected the data set that the samples are of (--data)")
        source, dataset = read_samples(samples), dataset_of(data, folder)
    else:
        raise ValueError("evaluate: expected a run folder or --samples, one of the two")
    with counting("samples") as progress:
        found = score(
            source,
            dataset,
            n_samples=n_samples,
            sigma_variant=sigma_variant,
            seed=seed or 0,
            impl=impl,
            progress=progress,
            checkpoint=checkpoint,
        )
    if run is not None:
        write_atomically(opened.evaluation_path, found.to_json().encode())
    if json:
        typer.echo(found.to_json(), nl=False)
    else:
        _print(tables.results(found), *tables.curve(found), tables.errors(found))
        _print(*found.warnings())


@app.command(
    epilog="Examples: `fastgan neighbors runs/mnist/seed-0`, "
    "`fastgan neighbors samples.npy --data mnist`"
)
def neighbors(
    run: Annotated[Path, typer.Argument(help="A run folder, or a .npy file of samples.")],
    data: Data = None,
    folder: Folder = None,
    n_samples: NSamples = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Draws the samples.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The picture, .png; figures/memorisation.png of a run.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")] = False,
    impl: Impl = "auto",
    threads: Threads = None,
) -> None:
    """Are samples memorised training images? Exact distances, beside those of test images."""
    from fastgan import memorisation_table
    from fastgan.memorisation import check_memorisation
    from fastgan.memorisation_figure import memorisation_figure
    from fastgan.reproduce import N_MEMORISATION_SAMPLES, keep_memorisation, sample_of

    _set_up(threads, True)
    if out is not None and out.suffix != ".png":
        raise ValueError(f"out: expected a name that ends in .png, got {out}")
    if run.is_dir():
        opened, dataset = run_and_dataset(run, data, folder)
        drawn: Any = sample_of(opened, n_samples or N_MEMORISATION_SAMPLES, seed)
    else:
        if data is None:
            raise ValueError("data: expected the data set that the samples are of (--data)")
        drawn, dataset = read_samples(run), dataset_of(data, folder)
    found = check_memorisation(drawn, dataset, n_samples=n_samples, impl=impl)
    pictures = list(keep_memorisation(opened, found, drawn, dataset)) if run.is_dir() else []
    if out is not None:
        pictures.append(memorisation_figure(found, out))
    if json:
        typer.echo(found.to_json(), nl=False)
        return
    _print(memorisation_table.nearest(found), *found.sentences(), *found.cautions())
    for picture in pictures:
        _print(f"picture: {picture}")


@app.command(epilog="Example: `fastgan figures runs/digits/seed-0`")
def figures(
    run: RunFolder,
    data: Data = None,
    folder: Folder = None,
    impl: Impl = "auto",
    threads: Threads = None,
) -> None:
    """Draw a run's pictures (samples, Figures 2 and 3, curves) and write its report."""
    from fastgan.reproduce import draw_figures, report_on

    _set_up(threads, True)
    opened, dataset = run_and_dataset(run, data, folder)
    for path in draw_figures(opened, dataset, impl=impl):
        _print(str(path))
    _print(f"report: {report_on(opened, dataset)}")


@app.command(epilog="Examples: `fastgan reproduce`, `fastgan reproduce mnist --epochs 20 --seed 0`")
def reproduce(
    recipe: RecipeName = "digits",
    data: Data = None,
    folder: Folder = None,
    epochs: Epochs = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="This seed alone; 0, 1, 2, ... in turn by default.")
    ] = None,
    max_seeds: Annotated[
        int, typer.Option(min=1, help="How many seeds to try until one does not collapse.")
    ] = 5,
    out: Annotated[
        Path | None, typer.Option(help="Holds the runs, seed-0 and so on; runs/RECIPE by default.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the runs that are there already.")
    ] = False,
    n_samples: NSamples = None,
    step: Annotated[str, typer.Option(help="auto, fused or autograd.")] = "auto",
    impl: Impl = "auto",
    threads: Threads = None,
    stop_on_collapse: StopOnCollapse = False,
    quiet: Quiet = False,
) -> None:
    """Train, evaluate, draw and report: the whole experiment in one command."""
    from fastgan import tables
    from fastgan.reproduce import reproduce as run_experiment
    from fastgan.training import TrainingOptions

    _set_up(threads, quiet)
    chosen = recipe_of(recipe, data, epochs, None)
    options = TrainingOptions(
        resume=resume,
        step=step,  # type: ignore[arg-type]  # checked by make_step, with a sentence
        impl=impl,
        stop_on_collapse=stop_on_collapse,
        progress=False if quiet else None,
    )
    done = run_experiment(
        chosen,
        dataset=dataset_of(chosen.dataset, folder),
        seeds=range(max_seeds) if seed is None else (seed,),
        n_samples=n_samples,
        folder=out,
        options=options,
        say=(lambda _: None) if quiet else typer.echo,
    )
    found = done.evaluation
    _print(tables.results(found), tables.errors(found), *found.warnings())
    for lost in done.lost:
        _print(f"set aside: seed {lost.seed}, epoch {lost.epoch}: {lost.message}")
    _print(
        f"seed {done.run.recipe.seed}; training {tables.duration(done.training_seconds)}, "
        f"all {tables.duration(done.seconds)}",
        f"report: {done.report}",
    )
    if done.collapsed:
        tell("warning: this run was reported as collapsed; another seed may do better")
        raise typer.Exit(1)


def main() -> None:
    """Run the command line."""
    app(prog_name="fastgan")
