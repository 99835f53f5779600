"""Training: one flat loop, read top to bottom.

A run is a function of its recipe (the seed is in it), its data, and, in the rounding of products
only, of the machine, the versions and the number of threads. It may be stopped anywhere, killed
even, and resumed: for the same thread count the weights are those of a run that never stopped.
A recipe of two stages is two runs, the first in a folder of the second.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fastgan import recipes
from fastgan.averaging import PREFIX as AVERAGE
from fastgan.averaging import WeightAverage
from fastgan.best_weights import drop_best, keep_best, settle_best
from fastgan.checkpoints import (
    Checkpoint,
    SaveClock,
    check_same_recipe,
    digest_of,
    save_checkpoint,
)
from fastgan.collapse import watch
from fastgan.data import Dataset, load_dataset
from fastgan.epoch_files import open_tensorboard, write_sample_grid, write_tensorboard
from fastgan.epoch_record import epoch_record
from fastgan.interruption import Interruption, TrainingInterrupted
from fastgan.models import Generator
from fastgan.ops import philox
from fastgan.progress import Display
from fastgan.recipes import Recipe
from fastgan.runs import STAGE_FOLDER, Run, holds_run
from fastgan.stages import generator_after
from fastgan.steps import TrainingStep, make_step
from fastgan.streams import Kind, stream
from fastgan.training_options import TrainingOptions

__all__ = ["SMALL_N_WEIGHTS", "TrainingInterrupted", "TrainingOptions", "resume", "train"]

logger = logging.getLogger("fastgan")

# Networks with fewer weights than this train on one thread: products this small gain nothing from
# a second one, and on a busy machine threads that wait for each other cost many times the product.
# So such a run has the same bits for any number of cores.
SMALL_N_WEIGHTS = 500_000


def train(
    recipe: Recipe | str = "digits",
    *,
    dataset: Dataset | str | None = None,
    generator: nn.Module | None = None,
    discriminator: nn.Module | None = None,
    seed: int | None = None,
    n_epochs: int | None = None,
    options: TrainingOptions | None = None,
    **changes: Any,
) -> Run:
    """Train an adversarial pair and leave a run folder.

    Parameters
    ----------
    recipe : Recipe or str
        What to train, or its name (``fastgan.recipes.names()``).
    dataset : Dataset or str, optional
        Data to train on; by default the recipe's own.
    generator, discriminator : nn.Module, optional
        Your modules in place of the recipe's; see :class:`fastgan.autograd_step.AutogradStep`.
    seed, n_epochs : int, optional
        Changes to the recipe. Every stage lasts ``n_epochs``, with ``resume`` only the last.
    options : TrainingOptions, optional
        How to carry it out; keyword arguments of the same names change single ones.

    Returns
    -------
    Run
        The run: folder, recipe, metrics, warnings, status and the generator, which is the average
        of the weights where the recipe averages. If an earlier stage diverged, or was stopped by
        the collapse watch, the run of that stage: nothing can be built on it.

    Raises
    ------
    FileExistsError
        If the folder holds a run and ``resume`` is not set.
    FileNotFoundError
        If ``resume`` is set and there is no run.
    ValueError
        If the data does not fit the recipe, or the checkpoint is of another recipe, of other data,
        or damaged, or has trained longer than it is asked to; if modules are given for a recipe of
        two stages.
    OSError
        If the folder cannot be written; the last checkpoint stays whole.
    TrainingInterrupted
        (a KeyboardInterrupt) After Ctrl-C, once the state is saved.
    """
    options = dataclasses.replace(options or TrainingOptions(), **changes)
    recipe = recipes.by_name(recipe) if isinstance(recipe, str) else recipe
    recipe = recipe if seed is None else recipe.replace(seed=seed)
    if n_epochs is not None:
        resumed = options.resume
        recipe = recipe.replace(n_epochs=n_epochs) if resumed else recipe.for_epochs(n_epochs)
    folder = _run_folder(recipe, options)
    if dataset is None or isinstance(dataset, str):
        dataset = load_dataset(dataset or recipe.dataset)
    if dataset.n_features != recipe.n_features:
        raise ValueError(
            f"dataset: the recipe {recipe.name!r} makes images of {recipe.n_features} numbers, "
            f"those of {dataset.name!r} have {dataset.n_features}"
        )
    if recipe.first_stage is not None:
        if generator is not None or discriminator is not None:
            raise ValueError(
                f"generator, discriminator: the recipe {recipe.name!r} has two stages and makes "
                "its own modules, got modules"
            )
        first = None
        if not Run(folder, recipe).checkpoint_path.is_file():
            first = _train_first_stage(recipe, dataset, folder, options)
            if first.status in ("stopped", "diverged"):
                return first
        generator = _generator_after(recipe, first, dataset, options)
    step = make_step(
        recipe,
        options.step,
        options.impl,
        dataset=dataset,
        generator=generator,
        discriminator=discriminator,
        device=options.device,
    )
    n_threads = options.n_threads or _default_n_threads(step)
    train_images = dataset.train.to(step.device)
    data_digest = digest_of(dataset.train)

    checkpoint = _checkpoint_of(Run(folder, recipe))
    run = Run.create(folder, recipe)
    average = None
    if recipe.averages:
        average = WeightAverage(step.generator, recipe.average_decay, recipe.average_every)
    run.generator = step.generator if average is None else average.generator
    position, sums, seconds = 0, torch.zeros(4, dtype=torch.float64, device=step.device), 0.0
    if checkpoint is not None:
        _restore(step, average, checkpoint, run, data_digest, n_threads)
        position, seconds = checkpoint.position, checkpoint.seconds
        sums = torch.tensor(checkpoint.sums, dtype=torch.float64, device=step.device)
        run.cut_metrics(step.update)
        settle_best(folder, step.update)
    else:
        run.cut_metrics(0)
        drop_best(folder)
    records = run.metrics

    def save(status: str) -> None:
        run.flush_metrics()
        state = step.state_dict() | ({} if average is None else average.state_dict())
        save_checkpoint(
            run.checkpoint_path,
            Checkpoint(
                recipe=recipe,
                state=state,
                position=position,
                sums=tuple(sums.tolist()),
                seconds=seconds,
                status=status,
                data_digest=data_digest,
                n_threads=n_threads,
                torch_version=torch.__version__,
            ),
        )
        settle_best(folder, step.update)

    tensorboard = open_tensorboard(run, step.update) if options.tensorboard else None
    n_batches = -(-len(train_images) // recipe.batch_size)
    end = "finished"
    save("running")
    saving = SaveClock(options.checkpoint_every_seconds)
    n_total = recipe.n_epochs * n_batches
    with (
        _threads(step.take_threads(n_threads)),
        Interruption() as interruption,
        Display(recipe.name, recipe.n_epochs, n_total, step.update, options.progress) as display,
    ):
        while step.epoch <= recipe.n_epochs:
            epoch = step.epoch
            order = philox.permutation(
                len(train_images), recipe.seed, epoch, stream(Kind.SHUFFLE), impl=options.impl
            )
            step.begin_epoch(train_images, order, position)

            while position < n_batches:
                started = time.perf_counter()
                n_rows = min(recipe.batch_size, len(train_images) - position * recipe.batch_size)
                sums += torch.stack(step.next_batch()).to(torch.float64) * n_rows
                if average is not None:
                    average.update(step.update)
                position += 1
                seconds += time.perf_counter() - started
                display.advance()
                if position < n_batches and (interruption.requested or saving.due()):
                    with saving:
                        save("interrupted" if interruption.requested else "running")
                    if interruption.requested:
                        raise TrainingInterrupted(_how_to_resume(run, epoch, recipe))

            started = time.perf_counter()
            means = (sums / len(train_images)).tolist()  # a GPU may still be at the epoch's steps
            seconds += time.perf_counter() - started
            with _threads(n_threads):
                record, samples = epoch_record(
                    epoch,
                    step.update,
                    means,
                    seconds,
                    recipe=recipe,
                    dataset=dataset,
                    generator=step.generator,
                    average=None if average is None else average.generator,
                    impl=options.impl,
                )
            if samples is not None and options.sample_grids:
                write_sample_grid(run, samples.cpu(), dataset, epoch)
            records.append(record)
            run.append_metrics(record)
            keep_best(folder, run.generator, records)
            display.epoch(record)
            if tensorboard is not None:
                write_tensorboard(tensorboard, record)

            findings = watch(records, recipe.collapse_first_epoch)
            for finding in findings:
                run.append_metrics(
                    {
                        "epoch": epoch,
                        "step": step.update,
                        "warning": finding.kind,
                        "message": finding.message,
                    }
                )
                display.warn(f"epoch {epoch}: {finding.message}")

            step.epoch, position = epoch + 1, 0
            sums.zero_()
            if any(finding.kind == "diverged" for finding in findings):
                end = "diverged"
                break
            if findings and options.stop_on_collapse:
                end = "stopped"
                break
            if interruption.requested and step.epoch <= recipe.n_epochs:
                save("interrupted")
                raise TrainingInterrupted(_how_to_resume(run, epoch, recipe))
            if saving.due():
                with saving:
                    save("running")

    save(end)
    if tensorboard is not None:
        tensorboard.close()
    return run


def resume(folder: str | os.PathLike[str], **changes: Any) -> Run:
    """Go on with the run in ``folder``: :func:`train` with the recipe that the folder holds.

    ``changes`` are arguments of :func:`train`, such as ``n_epochs`` to train longer.
    """
    recipe = Run.open(folder).recipe
    return train(recipe, folder=folder, resume=True, **changes)


def _train_first_stage(
    recipe: Recipe, dataset: Dataset, folder: Path, options: TrainingOptions
) -> Run:
    """Train the stage before a recipe's last, or go on with it; its folder lies in the run's."""
    run = Run.create(folder, recipe)  # so that the whole can be resumed from here on
    stage = folder / STAGE_FOLDER
    options = dataclasses.replace(options, folder=stage, name=None, resume=holds_run(stage))
    try:
        return train(recipe.stages[-2], dataset=dataset, options=options)
    except TrainingInterrupted as error:
        told = str(error).partition("; ")[0]
        raise TrainingInterrupted(f"{told} of the first stage. {_to_go_on(run)}") from error


def _generator_after(
    recipe: Recipe, first: Run | None, dataset: Dataset, options: TrainingOptions
) -> nn.Module:
    """Return the last stage's generator; the weights of one that is resumed come later."""
    mean = dataset.train.to(torch.float64).mean(dim=0)
    if first is None:
        return Generator(recipe, mean, impl=options.impl)
    return generator_after(recipe, first.generator.cpu(), mean, impl=options.impl)


def _run_folder(recipe: Recipe, options: TrainingOptions) -> Path:
    if options.folder is not None:
        folder = Path(options.folder)
    else:
        folder = Path("runs") / recipe.name / (options.name or f"seed-{recipe.seed}")
    if options.resume:
        if not holds_run(folder):
            raise FileNotFoundError(f"resume: {folder} holds no run")
        found = Run.open(folder).recipe
        check_same_recipe(folder, found, recipe)
    elif holds_run(folder):
        raise FileExistsError(
            f"folder: {folder} already holds a run; set resume to go on with it, "
            "or take another folder or name"
        )
    return folder


def _restore(
    step: TrainingStep,
    average: WeightAverage | None,
    checkpoint: Checkpoint,
    run: Run,
    data_digest: str,
    n_threads: int,
) -> None:
    path = run.checkpoint_path
    check_same_recipe(path, checkpoint.recipe, run.recipe)
    if checkpoint.data_digest != data_digest:
        raise ValueError(f"{path}: this run was trained on other images than those given now")
    averages = {name: t for name, t in checkpoint.state.items() if name.startswith(AVERAGE)}
    try:
        step.load_state_dict(
            {name: t for name, t in checkpoint.state.items() if name not in averages}
        )
        if average is not None:
            average.load_state_dict(averages)
    except ValueError as error:
        raise ValueError(f"{path}: this checkpoint does not fit the modules: {error}") from error
    here = (n_threads, torch.__version__)
    there = (checkpoint.n_threads, checkpoint.torch_version)
    if here[1] != there[1] or (step.bits_depend_on_threads and here[0] != there[0]):
        logger.warning(
            "resume: saved with %d threads and torch %s, resumed with %d and %s: products may "
            "round otherwise, so the bits will not be those of an uninterrupted run",
            *there,
            *here,
        )


def _checkpoint_of(run: Run) -> Checkpoint | None:
    """Read the checkpoint to go on from, if there is one; refuse to end before it."""
    if not run.checkpoint_path.is_file():
        return None
    checkpoint = run.load_checkpoint()
    n_trained = checkpoint.epoch - 1 + (checkpoint.position > 0)  # the one that has begun counts
    if n_trained > run.recipe.n_epochs:
        raise ValueError(
            f"n_epochs: expected at least {n_trained}, as the run in {run.folder} has begun as "
            f"many, got {run.recipe.n_epochs}"
        )
    return checkpoint


def _default_n_threads(step: TrainingStep) -> int:
    modules = (step.generator, step.discriminator)
    n_weights = sum(parameter.numel() for module in modules for parameter in module.parameters())
    return 1 if n_weights < SMALL_N_WEIGHTS else torch.get_num_threads()


@contextlib.contextmanager
def _threads(n_threads: int) -> Iterator[None]:
    """Give torch and the native core this many threads, and what they had before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _how_to_resume(run: Run, epoch: int, recipe: Recipe) -> str:
    return (
        f"stopped in epoch {epoch} of {recipe.n_epochs}; the state is saved in {run.folder}. "
        f"{_to_go_on(run)}"
    )


def _to_go_on(run: Run) -> str:
    return (
        f"To go on: fastgan train --resume {run.folder}, "
        f"or fastgan.training.resume({str(run.folder)!r})"
    )
