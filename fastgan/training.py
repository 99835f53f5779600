"""Training: one flat loop, read top to bottom.

A run is a function of its recipe (the seed is in it), its data, and, in the rounding of products
only, of the machine, the versions and the number of threads and processes. It may be stopped
anywhere, killed even, and resumed: for the same numbers of these the weights are those of a run
that never stopped. A recipe of two stages is two runs, the first in a folder of the second.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from fastgan import recipes
from fastgan.averaging import WeightAverage
from fastgan.best_weights import settle_best
from fastgan.checkpoints import Checkpoint, SaveClock, digest_of, save_checkpoint
from fastgan.collapse import Finding
from fastgan.data import Dataset, load_dataset
from fastgan.failures import Failures
from fastgan.interruption import Interruption, TrainingInterrupted
from fastgan.locks import hold
from fastgan.models import Generator
from fastgan.ops import philox
from fastgan.processes import Processes
from fastgan.progress import Display
from fastgan.recipe_files import recipe_to_toml
from fastgan.recipes import Recipe
from fastgan.runs import STAGE_FOLDER, Run, holds_run
from fastgan.stages import generator_after
from fastgan.steps import make_step
from fastgan.streams import Kind, stream
from fastgan.training_files import RunFiles, end_after, how_to_go_on, how_to_resume
from fastgan.training_options import TrainingOptions
from fastgan.training_start import (
    SMALL_N_WEIGHTS,
    check_fits,
    checkpoint_of,
    default_n_threads,
    folder_of,
    follow_first,
    make_folder,
    restore,
    threads,
)

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

__all__ = ["SMALL_N_WEIGHTS", "TrainingInterrupted", "TrainingOptions", "resume", "train"]


def train(
    recipe: Recipe | str = "digits",
    *,
    dataset: Dataset | str | None = None,
    generator: nn.Module | None = None,
    discriminator: nn.Module | None = None,
    seed: int | None = None,
    n_epochs: int | None = None,
    options: TrainingOptions | None = None,
    process_group: ProcessGroup | None = None,
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
    process_group : torch.distributed.ProcessGroup, optional
        Whose processes share each batch: ``torch.distributed.group.WORLD``, say. Each of them makes
        this call with the same arguments, and gets the same weights; the first one alone writes.
        They follow the trajectory of one process up to the order of summation.

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
        If the folder cannot be written; the last checkpoint stays whole. ``FolderInUseError`` (of
        ``fastgan.locks``) if another process trains in it.
    ElsewhereError
        (of ``fastgan.processes``, a RuntimeError) If another of the processes has one of these.
    TrainingInterrupted
        (a KeyboardInterrupt) After Ctrl-C to any of the processes, once the state is saved.
    """
    options = dataclasses.replace(options or TrainingOptions(), **changes)
    recipe = recipes.by_name(recipe) if isinstance(recipe, str) else recipe
    recipe = recipe if seed is None else recipe.replace(seed=seed)
    if n_epochs is not None:
        resumed = options.resume
        recipe = recipe.replace(n_epochs=n_epochs) if resumed else recipe.for_epochs(n_epochs)
    processes = Processes(process_group)
    try:
        return _train(recipe, dataset, generator, discriminator, options, processes)
    finally:
        processes.leave()


def _train(
    recipe: Recipe,
    dataset: Dataset | str | None,
    generator: nn.Module | None,
    discriminator: nn.Module | None,
    options: TrainingOptions,
    processes: Processes,
) -> Run:
    """Train; ``processes`` run this side by side, and the first of them writes.

    Each batch adds up velocities over processes, so none is ahead of another. Between batches the
    first may write a checkpoint while the others wait within the next batch.
    """
    failures = Failures(processes)
    folder = folder_of(recipe, options)
    run = Run(folder, recipe)
    with contextlib.ExitStack() as held:
        with failures.told():
            if processes.is_first:
                make_folder(folder, recipe, options)
                held.enter_context(hold(folder, "training"))
            if dataset is None or isinstance(dataset, str):
                dataset = load_dataset(dataset or recipe.dataset)
            check_fits(recipe, dataset, generator, discriminator)
            data_digest = digest_of(dataset.train)
        processes.check_same("recipe", recipe_to_toml(recipe))
        processes.check_same("dataset", data_digest)

        if recipe.first_stage is not None:
            first = None
            if not processes.from_first("checkpoint" * run.checkpoint_path.is_file()):
                first = _train_first_stage(run, dataset, options, processes)
                if processes.from_first(first.status) in ("stopped", "diverged"):
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
            processes=processes,
        )
        n_threads = options.n_threads or default_n_threads(step)
        train_images = dataset.train.to(step.device)
        average = None
        if recipe.averages:
            average = WeightAverage(step.generator, recipe.average_decay, recipe.average_every)
        run.generator = step.generator if average is None else average.generator

        position, sums, seconds = 0, torch.zeros(4, dtype=torch.float64, device=step.device), 0.0
        files: RunFiles | None = None
        with failures.told():
            if processes.is_first:
                checkpoint = checkpoint_of(run)
                run.make()
                if checkpoint is not None:
                    restore(step, average, checkpoint, run, data_digest, n_threads)
                    position, seconds = checkpoint.position, checkpoint.seconds
                    sums.copy_(torch.tensor(checkpoint.sums, dtype=torch.float64))
                files = held.enter_context(RunFiles(run, dataset, options, step.update))
        position, seconds = follow_first(processes, step, average, position, sums, seconds)

        def save(status: str) -> None:
            if not processes.is_first:
                return
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
                    n_processes=processes.size,
                    torch_version=torch.__version__,
                ),
            )
            settle_best(folder, step.update)

        n_batches = -(-len(train_images) // recipe.batch_size)
        end = "finished"
        with failures.told():
            save("running")
        saving = SaveClock(options.checkpoint_every_seconds)
        n_total = recipe.n_epochs * n_batches
        shown = options.progress if processes.is_first else False
        held.enter_context(threads(step.take_threads(n_threads)))
        interruption = held.enter_context(Interruption())
        display = held.enter_context(
            Display(recipe.name, recipe.n_epochs, n_total, step.update, shown)
        )
        step.wants_to_stop = lambda: interruption.requested or failures.are_kept

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
                stops = step.stops
                if position < n_batches and (stops or saving.due()):
                    if stops:
                        failures.tell()
                    with failures.kept(), saving:
                        save("interrupted" if stops else "running")
                    if stops:
                        failures.tell()
                        raise TrainingInterrupted(how_to_resume(run, epoch, recipe))

            started = time.perf_counter()
            means = (sums / len(train_images)).tolist()  # a GPU may still be at the epoch's steps
            seconds += time.perf_counter() - started
            findings: list[Finding] = []
            if files is not None:
                with failures.kept(), threads(n_threads):
                    findings = files.end_epoch(
                        epoch, step.update, means, seconds, step.generator, average, display
                    )
            failures.tell()
            ended = processes.from_first(end_after(findings, options))
            stops = processes.any(interruption.requested)

            step.epoch, position = epoch + 1, 0
            sums.zero_()
            if ended:
                end = ended
                break
            if stops and step.epoch <= recipe.n_epochs:
                with failures.told():
                    save("interrupted")
                raise TrainingInterrupted(how_to_resume(run, epoch, recipe))
            if saving.due():
                with failures.kept(), saving:
                    save("running")

        with failures.told():
            save(end)
    return run


def resume(folder: str | os.PathLike[str], **changes: Any) -> Run:
    """Go on with the run in ``folder``: :func:`train` with the recipe that the folder holds.

    ``changes`` are arguments of :func:`train`, such as ``n_epochs`` to train longer.
    """
    recipe = Run.open(folder).recipe
    return train(recipe, folder=folder, resume=True, **changes)


def _train_first_stage(
    run: Run, dataset: Dataset, options: TrainingOptions, processes: Processes
) -> Run:
    """Train the stage before a recipe's last, or go on with it; its folder lies in the run's."""
    stage = run.folder / STAGE_FOLDER
    with Failures(processes).told():
        if processes.is_first:
            run.make()  # so that the whole can be resumed from here on
    goes_on = bool(processes.from_first("run" * holds_run(stage)))
    options = dataclasses.replace(options, folder=stage, name=None, resume=goes_on)
    try:
        return train(
            run.recipe.stages[-2], dataset=dataset, options=options, process_group=processes.group
        )
    except TrainingInterrupted as error:
        told = str(error).partition("; ")[0]
        raise TrainingInterrupted(f"{told} of the first stage. {how_to_go_on(run)}") from error


def _generator_after(
    recipe: Recipe, first: Run | None, dataset: Dataset, options: TrainingOptions
) -> nn.Module:
    """Return the last stage's generator; the weights of one that is resumed come later."""
    mean = dataset.train.to(torch.float64).mean(dim=0)
    if first is None:
        return Generator(recipe, mean, impl=options.impl)
    return generator_after(recipe, first.generator.cpu(), mean, impl=options.impl)
