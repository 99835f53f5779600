"""``fastgan train`` and ``fastgan reproduce``: what trains, with restarts where they are wanted."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastgan.cli_processes import launched_command
from fastgan.cli_shared import (
    Data,
    Device,
    Epochs,
    Folder,
    Impl,
    NSamples,
    Quiet,
    RecipeName,
    StopOnCollapse,
    Threads,
    dataset_of,
    folds_of,
    recipe_of,
    set_up,
    show,
)
from fastgan.interruption import TrainingInterrupted
from fastgan.mistakes import tell

if TYPE_CHECKING:  # imported where they are used: `fastgan --help` answers at once
    from torch.distributed import ProcessGroup

    from fastgan.data import Dataset
    from fastgan.recipes import Recipe
    from fastgan.training import TrainingOptions

TRAIN_EXAMPLES = (
    "Examples: `fastgan train mnist --epochs 20 --seed 1 --out runs/mnist/second`, "
    "`fastgan train mnist-averaged --restarts 4`"
)
REPRODUCE_EXAMPLES = "Examples: `fastgan reproduce`, `fastgan reproduce mnist --epochs 20 --seed 0`"


def train(
    recipe: RecipeName = "digits",
    data: Data = None,
    folder: Folder = None,
    epochs: Epochs = None,
    seed: Annotated[int | None, typer.Option(min=0, help="In place of the recipe's.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The run's folder, runs/RECIPE/seed-SEED by default; with --restarts that which "
            "holds the runs, runs/RECIPE by default."
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Go on with the run in this folder, with its own recipe; with --restarts, that of "
            "the first seed."
        ),
    ] = None,
    restarts: Annotated[
        int,
        typer.Option(
            min=0,
            help="Stop a run that the collapse watch reports and start again with the next seed, "
            "so many times at most.",
        ),
    ] = 0,
    step: Annotated[str, typer.Option(help="auto, fused or autograd.")] = "auto",
    impl: Impl = "auto",
    device: Device = "cpu",
    threads: Threads = None,
    stop_on_collapse: StopOnCollapse = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write TensorBoard's event files too.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Train an adversarial pair and leave a run folder; Ctrl-C saves, `--resume` goes on.

    Started by torchrun, its processes share each batch, and the first of them writes and speaks.
    """
    from fastgan.training import TrainingOptions

    options = TrainingOptions(
        resume=resume is not None,
        step=step,  # type: ignore[arg-type]  # checked by make_step, with a sentence
        impl=impl,
        device=device,
        stop_on_collapse=stop_on_collapse,
        tensorboard=tensorboard,
        progress=False if quiet else None,
    )
    with launched_command(device) as (processes, own_device):
        set_up(threads, quiet or not processes.is_first)
        options = dataclasses.replace(options, device=own_device)
        with processes.together():
            chosen, out = _what_to_train(recipe, data, epochs, seed, out, resume, restarts)
            dataset = dataset_of(chosen.dataset, folder)
        group = processes.group
        code = _train(chosen, dataset, out, restarts, options, quiet, processes.is_first, group)
    if code != 0:
        raise typer.Exit(code)


def _what_to_train(
    recipe: str,
    data: str | None,
    epochs: int | None,
    seed: int | None,
    out: Path | None,
    resume: Path | None,
    restarts: int,
) -> tuple[Recipe, Path | None]:
    """Return the recipe, and the folder of the run or, with restarts, of the runs."""
    from fastgan.runs import Run

    if resume is not None:
        if out is not None or data is not None or seed is not None:
            raise ValueError("resume: --out, --data and --seed are the resumed run's own")
        chosen, out = Run.open(resume).recipe, resume
        chosen = chosen if epochs is None else chosen.replace(n_epochs=epochs)
        if restarts > 0:
            if resume.resolve().name != f"seed-{chosen.seed}":
                raise ValueError(
                    "resume: with --restarts expected the run of the first seed, a folder named "
                    f"seed-{chosen.seed}, got {resume}"
                )
            out = resume.resolve().parent
    else:
        chosen = recipe_of(recipe, data, epochs, seed)
    return chosen, out


def _train(
    chosen: Recipe,
    dataset: Dataset,
    out: Path | None,
    restarts: int,
    options: TrainingOptions,
    quiet: bool,
    speaks: bool,
    group: ProcessGroup | None,
) -> int:
    """Train, tell what came of it where this process speaks, and return the exit code."""
    from fastgan.restarts import train_with_restarts
    from fastgan.training import train as run_training

    collapsed = False
    if restarts > 0:
        try:
            done = train_with_restarts(
                chosen,
                restarts,
                dataset=dataset,
                folder=out,
                options=options,
                say=(lambda _: None) if quiet or not speaks else typer.echo,
                process_group=group,
            )
        except TrainingInterrupted as error:
            first = (out or Path("runs") / chosen.name) / f"seed-{chosen.seed}"
            again = f"fastgan train --resume {first} --restarts {restarts}"
            raise TrainingInterrupted(f"{error}. With its restarts: {again}") from error
        run, collapsed = done.run, done.collapsed
        for lost in done.lost if speaks else ():
            show(f"set aside: seed {lost.seed}, epoch {lost.epoch}: {lost.message}")
    else:
        run = run_training(
            chosen, dataset=dataset, folder=out, options=options, process_group=group
        )
    if not speaks:
        return int(collapsed)
    last = run.metrics[-1]
    show(f"{run.status} after epoch {last['epoch']}, {last['seconds']:.1f} s of training")
    for warning in run.warnings:
        show(f"warning: epoch {warning['epoch']}: {warning['message']}")
    best = run.best_epoch
    if best is not None:
        nats = f"{best.validation_log_likelihood:.1f} nats"
        show(f"best validation log-likelihood: {nats}, epoch {best.epoch} (--weights best)")
    show(f"run: {run.folder}")
    if collapsed:
        tell("warning: every seed was reported by the collapse watch, this last one too")
    return int(collapsed)


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
    device: Device = "cpu",
    threads: Threads = None,
    stop_on_collapse: StopOnCollapse = False,
    quiet: Quiet = False,
) -> None:
    """Train, evaluate, draw and report: the whole experiment in one command."""
    from fastgan import tables
    from fastgan.processes import n_launched
    from fastgan.reproduce import reproduce as run_experiment
    from fastgan.training import TrainingOptions

    if n_launched() > 1:
        raise ValueError(
            "reproduce: expected one process, as it draws and measures alone, got "
            f"{n_launched()}: start `fastgan train` by torchrun, then `fastgan evaluate` and "
            "`fastgan figures`"
        )
    set_up(threads, quiet)
    chosen = recipe_of(recipe, data, epochs, None)
    options = TrainingOptions(
        resume=resume,
        step=step,  # type: ignore[arg-type]  # checked by make_step, with a sentence
        impl=impl,
        device=device,
        stop_on_collapse=stop_on_collapse,
        progress=False if quiet else None,
    )
    try:
        done = run_experiment(
            chosen,
            dataset=folds_of(chosen.dataset, folder),
            seeds=range(max_seeds) if seed is None else (seed,),
            n_samples=n_samples,
            folder=out,
            options=options,
            say=(lambda _: None) if quiet else typer.echo,
        )
    except TrainingInterrupted as error:
        raise TrainingInterrupted(
            f"{error}. With all that follows: the same command and --resume"
        ) from error
    found = done.evaluation
    show(*tables.scores(found), *found.warnings())
    for lost in done.lost:
        show(f"set aside: seed {lost.seed}, epoch {lost.epoch}: {lost.message}")
    show(
        f"seed {done.run.recipe.seed}; training {tables.duration(done.training_seconds)}, "
        f"all {tables.duration(done.seconds)}",
        f"report: {done.report}",
    )
    if done.collapsed:
        tell("warning: this run was reported as collapsed; another seed may do better")
        raise typer.Exit(1)
