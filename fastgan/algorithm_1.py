"""Algorithm 1 as the paper prints it beside the recipe that the authors released.

Algorithm 1 alternates k updates of D with one of G, which minimises log(1 - D(G(z))): the
saturating cost. The released code moves both nets together, and G minimises -log D(G(z)). All runs
have equal numbers of epochs, so D sees the same images as often in each; with k, G moves on every
k-th batch only. A run that collapses goes on to its last epoch: it is shown, not hidden.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from fastgan import recipes
from fastgan.checks import check_integer
from fastgan.collapse import is_collapsed
from fastgan.comparison_figure import MOST_RUNS, ComparedRun, comparison_figure
from fastgan.data import Dataset, load_dataset
from fastgan.files import write_atomically
from fastgan.recipes import Recipe
from fastgan.runs import Run, holds_run
from fastgan.training import TrainingOptions, train

KS = (1, 2, 5)
N_STRIP_SAMPLES = 20  # of each run's last epoch, in the picture
PICTURES = {"light": "comparison.png", "dark": "comparison-dark.png"}
NUMBERS = "comparison.json"
WHAT_IS_EQUAL = (
    "Equal in all runs: seed, initial weights, epochs, the order of the training images, updates "
    "of D, learning rate and momentum of each update. Not equal: G's updates, which are 1/k as "
    "many with Algorithm 1. G's costs are of two kinds and cannot be compared with each other; D's "
    "cost, D(x) and D(G(z)) are means over the epoch, each taken before the update."
)


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare_algorithm_1` leaves: the runs, two pictures and the numbers."""

    runs: tuple[ComparedRun, ...]
    pictures: tuple[Path, ...]
    numbers: Path


def algorithm_1_recipes(recipe: Recipe, ks: Sequence[int] = KS) -> tuple[Recipe, ...]:
    """Return the released recipe, then Algorithm 1 with each k; named, and evaluated every epoch.

    Weights are not averaged, whatever the recipe says: compared is training itself.

    Raises ValueError if there is no k, a k twice or below 1, or more than a picture can tell apart.
    """
    if not ks or len(set(ks)) < len(ks) or len(ks) >= MOST_RUNS:
        raise ValueError(
            f"k: expected 1 to {MOST_RUNS - 1} different numbers, got {', '.join(map(str, ks))}"
        )
    for k in ks:
        check_integer("k", k, 1)
    base = recipe.replace(average_decay=0.0, evaluate_every=1)
    released = base.replace(
        name=f"{recipe.name}-released", schedule="simultaneous", cost="non_saturating", k=1
    )
    printed = (
        base.replace(
            name=f"{recipe.name}-algorithm-1-k-{k}", schedule="alternating", cost="saturating", k=k
        )
        for k in ks
    )
    return (released, *printed)


def compare_algorithm_1(
    recipe: Recipe | str = "mnist",
    ks: Sequence[int] = KS,
    *,
    dataset: Dataset | None = None,
    folder: str | Path | None = None,
    options: TrainingOptions | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Train the released recipe and Algorithm 1 with each k, and draw them side by side.

    Parameters
    ----------
    recipe : Recipe or str
        What to start from, or its name; its seed and its number of epochs are every run's.
    ks : sequence of int
        Updates of D for each of G; the paper used 1.
    dataset : Dataset, optional
        By default the recipe's own.
    folder : path, optional
        Holds a run folder for each, named as its recipe is, two pictures and ``comparison.json``;
        by default ``runs/<recipe>-algorithm-1``.
    options : TrainingOptions, optional
        How to train; its folder and name are not used, and no run is stopped at a collapse. With
        ``resume``, runs that are there already are gone on with.
    say : callable, optional
        Takes a line of text at each stage.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        As :func:`algorithm_1_recipes` and :func:`fastgan.train`.
    OSError
        If the folder cannot be written, or holds such a run and ``resume`` is not set.
    TrainingInterrupted
        (a KeyboardInterrupt) After Ctrl-C, once the run's state is saved.
    """
    recipe = recipes.by_name(recipe) if isinstance(recipe, str) else recipe
    planned = algorithm_1_recipes(recipe, ks)
    options = options or TrainingOptions()
    dataset = load_dataset(recipe.dataset) if dataset is None else dataset
    base = Path("runs") / f"{recipe.name}-algorithm-1" if folder is None else Path(folder)
    taken = [base / each.name for each in planned if holds_run(base / each.name)]
    if taken and not options.resume:  # said before an hour of training, not after
        raise FileExistsError(
            f"folder: {taken[0]} already holds a run; set resume to go on, or take another folder"
        )
    found = []
    for each in planned:
        place = base / each.name
        if place in taken and Run.open(place).status == "diverged":
            run = Run.open(place)
        else:
            say(f"training {each.name}, {each.n_epochs} epochs: {place}")
            own = dataclasses.replace(
                options, folder=place, name=None, resume=place in taken, stop_on_collapse=False
            )
            run = train(each, dataset=dataset, options=own)
        found.append(compared_run(run, dataset))
    return write_comparison(found, dataset, base)


def compared_run(run: Run, dataset: Dataset) -> ComparedRun:
    """Return what a picture and a table show of a run, with samples of its last epoch."""
    recipe, metrics = run.recipe, tuple(run.metrics)
    printed = recipe.schedule == "alternating"
    n_updates = int(metrics[-1]["step"])
    samples: Tensor = run.load_generator(weights="last").sample(  # type: ignore[operator]
        N_STRIP_SAMPLES, recipe.seed
    )
    return ComparedRun(
        name=recipe.name,
        label=f"Algorithm 1, k = {recipe.k}" if printed else "released recipe",
        recipe=recipe,
        status=run.status,
        metrics=metrics,
        warnings=tuple(run.warnings),
        collapsed_epochs=tuple(
            int(row["epoch"]) for row in metrics if is_collapsed(row, recipe.collapse_first_epoch)
        ),
        discriminator_updates=n_updates,
        generator_updates=n_updates // recipe.k,
        samples=samples.detach().cpu(),
    )


def write_comparison(
    runs: Sequence[ComparedRun], dataset: Dataset, folder: str | Path
) -> Comparison:
    """Write ``comparison.png``, ``comparison-dark.png`` and ``comparison.json`` into a folder."""
    base = Path(folder)
    pictures = tuple(
        write_atomically(base / name, comparison_figure(runs, dataset, theme=theme))
        for theme, name in PICTURES.items()
    )
    content = {
        "dataset": dataset.name,
        "seed": runs[0].recipe.seed,
        "n_epochs": runs[0].recipe.n_epochs,
        "equal": WHAT_IS_EQUAL,
        "runs": [_numbers(run) for run in runs],
    }
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    return Comparison(tuple(runs), pictures, write_atomically(base / NUMBERS, text.encode()))


def _numbers(run: ComparedRun) -> dict[str, Any]:
    return {
        "name": run.name,  # of its folder, too
        "label": run.label,
        "schedule": run.recipe.schedule,
        "cost": run.recipe.cost,
        "k": run.recipe.k,
        "status": run.status,
        "discriminator_updates": run.discriminator_updates,
        "generator_updates": run.generator_updates,
        "collapsed_epochs": list(run.collapsed_epochs),
        "warnings": list(run.warnings),
        "epochs": list(run.metrics),
    }
