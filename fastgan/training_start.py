"""What comes before a run's first batch: its folder, what fits together, where it goes on from."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from fastgan.averaging import PREFIX as AVERAGE
from fastgan.averaging import WeightAverage
from fastgan.checkpoints import Checkpoint, check_same_recipe, explained
from fastgan.data import Dataset
from fastgan.processes import Processes
from fastgan.recipes import Recipe
from fastgan.runs import Run, holds_run
from fastgan.steps import TrainingStep
from fastgan.training_options import TrainingOptions

logger = logging.getLogger("fastgan")

# Networks with fewer weights than this train on one thread: products this small gain nothing from
# a second one, and on a busy machine threads that wait for each other cost many times the product.
# So such a run has the same bits for any number of cores.
SMALL_N_WEIGHTS = 500_000


def folder_of(recipe: Recipe, options: TrainingOptions) -> Path:
    """Return the folder that a run is to have."""
    if options.folder is not None:
        return Path(options.folder)
    return Path("runs") / recipe.name / (options.name or f"seed-{recipe.seed}")


def make_folder(folder: Path, recipe: Recipe, options: TrainingOptions) -> None:
    """Make a run's folder, or see that it holds what is to be resumed.

    FileNotFoundError or ValueError if that is not there or is of another recipe; FileExistsError if
    a new run would meet an old one; OSError if the folder cannot be made.
    """
    if options.resume:
        if not holds_run(folder):
            raise FileNotFoundError(f"resume: {folder} holds no run")
        check_same_recipe(folder, Run.open(folder).recipe, recipe)
    elif holds_run(folder):
        raise FileExistsError(
            f"folder: {folder} already holds a run; set resume to go on with it, "
            "or take another folder or name"
        )
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)


def check_fits(
    recipe: Recipe,
    dataset: Dataset,
    generator: nn.Module | None,
    discriminator: nn.Module | None,
) -> None:
    """Raise ValueError if the images, or modules that are given, do not fit the recipe."""
    if dataset.n_features != recipe.n_features:
        raise ValueError(
            f"dataset: the recipe {recipe.name!r} makes images of {recipe.n_features} numbers, "
            f"those of {dataset.name!r} have {dataset.n_features}"
        )
    if recipe.first_stage is not None and (generator is not None or discriminator is not None):
        raise ValueError(
            f"generator, discriminator: the recipe {recipe.name!r} has two stages and makes "
            "its own modules, got modules"
        )


def checkpoint_of(run: Run) -> Checkpoint | None:
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


def restore(
    step: TrainingStep,
    average: WeightAverage | None,
    checkpoint: Checkpoint,
    run: Run,
    data_digest: str,
    n_threads: int,
) -> None:
    """Put a checkpoint's state in place, and say in the log if its bits will not be kept to.

    ValueError if it is of another recipe, of other images, or does not fit the modules.
    """
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
    here = (step.processes.size, n_threads, torch.__version__)
    there = (checkpoint.n_processes, checkpoint.n_threads, checkpoint.torch_version)
    if (
        here[0] != there[0]
        or here[2] != there[2]
        or (step.bits_depend_on_threads and here[1] != there[1])
    ):
        logger.warning(
            "resume: saved with n_processes %d, n_threads %d and torch %s, resumed with %d, %d and "
            "%s: sums may round otherwise, so the bits will not be those of an uninterrupted run",
            *there,
            *here,
        )


def follow_first(
    processes: Processes,
    step: TrainingStep,
    average: WeightAverage | None,
    position: int,
    sums: Tensor,
    seconds: float,
) -> tuple[int, float]:
    """Take over where the first process stands; return the position and the seconds.

    What the step holds, the average and the sums are written in place.
    """
    if processes.size == 1:
        return position, seconds
    step.follow_first()
    if average is not None:
        for value in average.state_dict().values():
            processes.broadcast_(value)
    processes.broadcast_(sums)
    position, written = json.loads(processes.from_first(json.dumps([position, seconds.hex()])))
    return position, float.fromhex(written)


def default_n_threads(step: TrainingStep) -> int:
    """Return the number of threads for networks of this size."""
    modules = (step.generator, step.discriminator)
    n_weights = sum(parameter.numel() for module in modules for parameter in module.parameters())
    return 1 if n_weights < SMALL_N_WEIGHTS else torch.get_num_threads()


@contextlib.contextmanager
def threads(n_threads: int) -> Iterator[None]:
    """Give torch and the native core this many threads, and what they had before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
