"""Reproduce an experiment: train, sample, evaluate, draw, report; one flat function.

A training run may collapse (G's output no longer varies with z). Unless one seed is asked for, the
seeds are tried in turn and the first that is not reported as collapsed is the result; the others
are not hidden, but listed in ``reproduction.json``, in the report and in what is printed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from fastgan import recipes
from fastgan.data import Dataset, load_dataset
from fastgan.evaluation import Evaluation, evaluate
from fastgan.figures import curves, figure_2, figure_3, sample_grid
from fastgan.files import write_atomically
from fastgan.memorisation import check_memorisation
from fastgan.memorisation_figure import memorisation_figure
from fastgan.memorisation_pairs import nearest_pairs
from fastgan.memorisation_result import Memorisation
from fastgan.recipes import Recipe
from fastgan.report import (
    FIGURE_2,
    FIGURE_3,
    MEMORISATION,
    MEMORISATION_FIGURE,
    NEAREST_PAIRS,
    write_report,
)
from fastgan.runs import Run, holds_run
from fastgan.training import TrainingOptions, train

N_FIGURE_SAMPLES = 100
N_MEMORISATION_SAMPLES = 10_000
REPRODUCTION = "reproduction.json"  # in the run's folder: the seeds that were set aside


@dataclass(frozen=True)
class LostSeed:
    """A seed whose training was reported as collapsed, saturated or diverged, and so set aside."""

    seed: int
    epoch: int
    kind: str  # collapse | saturated | diverged
    message: str
    folder: str


@dataclass(frozen=True)
class Reproduction:
    """What :func:`reproduce` leaves.

    ``lost`` are the seeds set aside before this one; ``collapsed`` says that the result itself is
    of a collapsed run, which happens only if one seed was asked for or every seed collapsed.
    """

    run: Run
    evaluation: Evaluation
    lost: tuple[LostSeed, ...]
    collapsed: bool
    report: Path
    training_seconds: float
    seconds: float


def reproduce(
    recipe: Recipe | str = "digits",
    *,
    dataset: Dataset | None = None,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    n_epochs: int | None = None,
    n_samples: int | None = None,
    folder: str | Path | None = None,
    options: TrainingOptions | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Reproduction:
    """Train, evaluate, draw and report one of the experiments.

    Parameters
    ----------
    recipe : Recipe or str
        What to train, or its name.
    dataset : Dataset, optional
        By default the recipe's own.
    seeds : sequence of int
        Tried in turn until a run is not reported as collapsed. All but the last are stopped at the
        first warning; the last is trained to its end whatever happens, so that there is a result.
    n_epochs : int, optional
        In place of the recipe's.
    n_samples : int, optional
        Model samples for the evaluation; by default the recipe's.
    folder : path, optional
        Holds a run folder ``seed-<seed>`` for each seed; by default ``runs/<recipe>``.
    options : TrainingOptions, optional
        How to train; its folder and name are not used. With ``resume``, runs that are there already
        are gone on with.
    say : callable, optional
        Takes a line of text at each stage.

    Returns
    -------
    Reproduction

    Raises
    ------
    ValueError
        If there is no seed, or as :func:`fastgan.train` and :func:`fastgan.evaluate`.
    OSError
        If the folder cannot be written, or holds a run of such a seed and ``resume`` is not set.
    """
    started = time.perf_counter()
    if not seeds:
        raise ValueError("seeds: expected at least one, got none")
    recipe = recipes.by_name(recipe) if isinstance(recipe, str) else recipe
    if n_epochs is not None:
        recipe = recipe.replace(n_epochs=n_epochs)
    options = options or TrainingOptions()
    dataset = load_dataset(recipe.dataset) if dataset is None else dataset
    base = Path(folder) if folder is not None else Path("runs") / recipe.name

    lost: list[LostSeed] = []
    for number, seed in enumerate(seeds):
        is_last = number == len(seeds) - 1
        run_folder = base / f"seed-{seed}"
        if options.resume and not is_last and _is_lost(run_folder):
            run = Run.open(run_folder)
        else:
            say(f"training {recipe.name} on {dataset.name}, seed {seed}: {run_folder}")
            changes: dict[str, Any] = {
                **asdict(options),
                "folder": run_folder,
                "name": None,
                "resume": options.resume and holds_run(run_folder),
                "stop_on_collapse": options.stop_on_collapse or not is_last,
            }
            run = train(recipe, dataset=dataset, seed=seed, options=TrainingOptions(**changes))
        if run.status == "finished" and not run.collapsed:
            break
        lost.append(_why(run, seed))
        say(f"seed {seed} is set aside: epoch {lost[-1].epoch}: {lost[-1].message}")
    else:
        say("every seed was reported as collapsed: the result is of the last one")
    collapsed = len(lost) == len(seeds)
    if collapsed:
        lost.pop()

    n_samples = recipe.n_samples if n_samples is None else n_samples
    say(f"evaluating {n_samples:,} samples on {len(dataset.test):,} test images")
    evaluation = evaluate(
        run.generator, dataset, n_samples=n_samples, seed=run.recipe.seed, impl=options.impl
    )
    write_atomically(run.evaluation_path, evaluation.to_json().encode())
    record = {"lost_seeds": [asdict(seed) for seed in lost], "collapsed": collapsed}
    content = json.dumps(record, indent=2) + "\n"
    write_atomically(run.folder / REPRODUCTION, content.encode())
    say("measuring distances to training images, drawing the figures")
    draw_figures(run, dataset, impl=options.impl)
    report = report_on(run, dataset)
    return Reproduction(
        run=run,
        evaluation=evaluation,
        lost=tuple(lost),
        collapsed=collapsed,
        report=report,
        training_seconds=float(run.metrics[-1]["seconds"]),
        seconds=time.perf_counter() - started,
    )


def draw_figures(run: Run, dataset: Dataset, *, impl: str = "auto") -> list[Path]:
    """Draw a run's pictures into its folder ``figures`` and return their paths.

    ``samples.png``, ``figure_2.png`` (samples and nearest training images), ``figure_3.png`` (lines
    in z), ``curves.png``, ``memorisation.png`` (distances to the nearest training images, which the
    run's ``memorisation.json`` holds) and ``nearest_pairs.png``. The samples are those of the run's
    evaluation: the same seed.
    """
    folder = run.figures_folder
    folder.mkdir(parents=True, exist_ok=True)
    samples = sample_of(run, N_MEMORISATION_SAMPLES)
    names = ("samples.png", FIGURE_2, FIGURE_3, "curves.png")
    paths = [folder / name for name in names]
    sample_grid(samples[:N_FIGURE_SAMPLES], dataset, paths[0])
    figure_2(samples, dataset, paths[1], impl=impl)
    figure_3(run.generator, dataset, paths[2], run.recipe.seed)
    curves([*run.metrics, *run.warnings], paths[3])
    found = check_memorisation(samples, dataset, impl=impl)
    return [*paths, *keep_memorisation(run, found, samples, dataset)]


def keep_memorisation(
    run: Run, found: Memorisation, samples: Tensor, dataset: Dataset
) -> tuple[Path, Path]:
    """Write what was found of samples into a run's folder; return the paths of two pictures.

    They are ``memorisation.png``, the distributions of distances, and ``nearest_pairs.png``.
    """
    write_atomically(run.folder / MEMORISATION, found.to_json().encode())
    run.figures_folder.mkdir(parents=True, exist_ok=True)
    return (
        memorisation_figure(found, run.figures_folder / MEMORISATION_FIGURE),
        nearest_pairs(found, samples, dataset, run.figures_folder / NEAREST_PAIRS),
    )


def report_on(run: Run, dataset: Dataset) -> Path:
    """Write a run's report, with the seeds that were set aside before it."""
    path = run.folder / REPRODUCTION
    notes: list[str] = []
    if path.is_file():
        record = json.loads(path.read_text(encoding="utf-8"))
        notes = [
            f"Seed {lost['seed']} was tried before and set aside at epoch {lost['epoch']}: "
            f"{lost['message']}."
            for lost in record["lost_seeds"]
        ]
    return write_report(run, notes=notes, source=dataset.source)


def sample_of(run: Run, n_samples: int, seed: int | None = None) -> Tensor:
    """Draw samples from a run's generator, by default with the seed of its evaluation."""
    generator: Any = run.generator
    drawn: Tensor = generator.sample(n_samples, run.recipe.seed if seed is None else seed)
    return drawn.detach().cpu()


def _is_lost(folder: Path) -> bool:
    if not holds_run(folder):
        return False
    run = Run.open(folder)
    return run.status in ("stopped", "diverged") or (run.status == "finished" and run.collapsed)


def _why(run: Run, seed: int) -> LostSeed:
    warnings = run.warnings
    if not warnings:
        epoch = run.metrics[-1]["epoch"]
        message = "the samples hardly vary with z"
        return LostSeed(seed, epoch, "collapse", message, str(run.folder))
    last = warnings[-1]
    return LostSeed(seed, last["epoch"], last["warning"], last["message"], str(run.folder))
