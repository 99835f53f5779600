"""What several commands share: their options, and finding what these name."""

from __future__ import annotations

import logging
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.console import Console

if TYPE_CHECKING:  # imported where they are used: `fastgan --help` answers at once
    from fastgan.data import Dataset
    from fastgan.recipes import Recipe
    from fastgan.runs import Run
    from fastgan.runs import Weights as RunWeights

logger = logging.getLogger("fastgan")

Impl = Annotated[str, typer.Option(help="auto, reference, native or triton.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:N or auto.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads of torch and of the native kernels.")
]
Folder = Annotated[Path | None, typer.Option(help="Where to look for the data's files first.")]
Data = Annotated[
    str | None, typer.Option(help="Data set: a name, or a path; by default the recipe's own.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and warnings only.")]


def count(text: str | int) -> int:
    """Return how many, from ``10000``, ``10_000`` or ``1e4``."""
    try:
        number = float(str(text)) if not str(text).replace("_", "").isdigit() else int(text)
    except ValueError:
        number = math.nan
    if not number >= 1 or not math.isfinite(number) or number != int(number):
        raise typer.BadParameter(
            f"expected a whole number of at least 1, such as 10000 or 1e6, got {text!r}"
        )
    return int(number)


NSamples = Annotated[
    int | None,
    typer.Option(
        "--n-samples",
        "-n",
        parser=count,
        metavar="COUNT",
        help="Model samples, such as 10000 or 1e6; 10,000 by default.",
    ),
]
RecipeName = Annotated[
    str,
    typer.Argument(
        help="mnist, mnist-averaged, tfd, faces, cifar10-mlp, cifar10-mlp-small, cifar10-conv, "
        "cifar10-conv-small, digits, or the path of a recipe.toml."
    ),
]
RunFolder = Annotated[Path, typer.Argument(help="A run folder.")]
Weights = Annotated[
    str,
    typer.Option(
        metavar="[model|last|best]",
        help="Of the generator: the run's model (the average of the weights where the recipe "
        "averages, else the last ones), the last ones in any case, or the model of the best "
        "validation epoch.",
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(min=1, help="In place of the recipe's, for every stage; on --resume the last."),
]
StopOnCollapse = Annotated[
    bool, typer.Option("--stop-on-collapse", help="End at the collapse watch's first warning.")
]


def recipe_of(name: str, data: str | None, epochs: int | None, seed: int | None) -> Recipe:
    """Return a recipe by its name or its file, with what the options change."""
    from fastgan import recipes
    from fastgan.recipe_files import read_recipe

    recipe = read_recipe(name) if name.endswith(".toml") else recipes.by_name(name)
    recipe = recipe if epochs is None else recipe.for_epochs(epochs)
    changes = {"dataset": data, "seed": seed}
    return recipe.replace(**{field: value for field, value in changes.items() if value is not None})


def dataset_of(name: str, folder: Path | None) -> Dataset:
    """Read a data set by its name or its path."""
    from fastgan.data import DATASET_NAMES, load_dataset

    return load_dataset(name, folder=folder if name in DATASET_NAMES else None)


def folds_of(name: str, folder: Path | None) -> tuple[Dataset, ...]:
    """Read all folds of a data set, or the one data set that has none, by its name or its path."""
    from fastgan.data import DATASET_NAMES, load_folds

    return load_folds(name, folder=folder if name in DATASET_NAMES else None)


def run_of(folder: Path, weights: str) -> Run:
    """Open a run folder, seen with one of its generators."""
    from fastgan.runs import Run

    return Run.open(folder, cast("RunWeights", weights))


def run_and_dataset(
    folder: Path, data: str | None, data_folder: Path | None, weights: str
) -> tuple[Run, Any]:
    """Open a run folder, and read the data set that it was trained on or another."""
    run = run_of(folder, weights)
    return run, dataset_of(data or run.recipe.dataset, data_folder)


def read_samples(path: Path) -> Any:
    """Map an array of samples, images flattened to rows; nothing pickled is read."""
    from fastgan.data.arrays import map_npy

    if path.suffix != ".npy":
        raise ValueError(f"samples: expected a .npy file, got {path}")
    try:
        array = map_npy(path)
    except ValueError as error:
        raise ValueError(f"samples: {error}") from error
    if array.ndim < 2:
        raise ValueError(f"samples: expected shape (n_samples, ...), got {array.shape} in {path}")
    return array.reshape(len(array), -1)


def show(*items: Any) -> None:
    """Print lines and tables on standard output."""
    console = Console(highlight=False)
    for item in items:
        console.print(item)


def set_up(threads: int | None, quiet: bool) -> None:
    """Set torch's threads, and let the log be seen: all of it only where no bar is shown."""
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(logging.WARNING if quiet or sys.stderr.isatty() else logging.INFO)
