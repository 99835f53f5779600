"""Reproduce an experiment: train, sample, evaluate, draw, report; one flat function.

A training run may collapse (G's output no longer varies with z). Unless one seed is asked for, the
seeds are tried in turn and the first that is not reported as collapsed is the result; the others
are not hidden, but listed in ``restarts.json``, in the report and in what is printed
(:mod:`fastgan.restarts`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fastgan import recipes
from fastgan.data import Dataset, load_folds
from fastgan.figures import curves, figure_2, figure_3, sample_grid
from fastgan.files import write_atomically
from fastgan.helvetica import helvetica_of
from fastgan.helvetica_figure import HELVETICA_FIGURE, helvetica_figure
from fastgan.helvetica_result import Helvetica
from fastgan.kept_evaluation import evaluate_and_keep
from fastgan.memorisation import memorisation_of
from fastgan.memorisation_figure import memorisation_figure
from fastgan.memorisation_pairs import nearest_pairs
from fastgan.memorisation_result import Memorisation
from fastgan.nearest_training import NearestTraining
from fastgan.recipes import Recipe
from fastgan.report import write_report
from fastgan.report_inputs import FIGURE_2, FIGURE_3, MEMORISATION_FIGURE, NEAREST_PAIRS
from fastgan.restarts import LostSeed, lost_before, train_with_restarts
from fastgan.runs import Run
from fastgan.scores import Evaluation, FoldEvaluation
from fastgan.training import TrainingOptions
from fastgan.walk import write_walk

N_FIGURE_SAMPLES = 100
N_MEMORISATION_SAMPLES = 10_000


@dataclass(frozen=True)
class Reproduction:
    """What :func:`reproduce` leaves.

    ``lost`` are the seeds set aside before this one; ``collapsed`` says that the result itself is
    of a collapsed run, which happens only if one seed was asked for or every seed collapsed.
    """

    run: Run
    evaluation: Evaluation | FoldEvaluation
    lost: tuple[LostSeed, ...]
    collapsed: bool
    report: Path
    training_seconds: float
    seconds: float


def reproduce(
    recipe: Recipe | str = "digits",
    *,
    dataset: Dataset | Sequence[Dataset] | None = None,
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
    dataset : Dataset or sequence of Dataset, optional
        By default the recipe's own. Several are its folds (:func:`fastgan.data.load_folds`): ONE
        model is trained, on the first's training images, and evaluated on each fold.
    seeds : sequence of int
        Tried in turn until a run is not reported as collapsed. All but the last are stopped at the
        first warning; the last is trained to its end whatever happens, so that there is a result.
    n_epochs : int, optional
        In place of the recipe's, for every stage.
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
        If there is no seed or no fold, if folds do not have the same training images, or as
        :func:`fastgan.train` and :func:`fastgan.evaluate`.
    OSError
        If the folder cannot be written, or holds a run of such a seed and ``resume`` is not set.
    """
    started = time.perf_counter()
    if not seeds:
        raise ValueError("seeds: expected at least one, got none")
    recipe = recipes.by_name(recipe) if isinstance(recipe, str) else recipe
    if n_epochs is not None:
        recipe = recipe.for_epochs(n_epochs)
    options = options or TrainingOptions()
    if dataset is None:
        dataset = load_folds(recipe.dataset)
    folds = (dataset,) if isinstance(dataset, Dataset) else tuple(dataset)
    if not folds:
        raise ValueError("dataset: expected at least one fold, got none")
    dataset = folds[0]
    for number, fold in enumerate(folds):
        if fold.train is not dataset.train and not torch.equal(fold.train, dataset.train):
            raise ValueError(
                "dataset: expected the same training images in every fold, since one model is "
                f"trained for all, got others in fold {number} than in fold 0"
            )
    trained = train_with_restarts(
        recipe, dataset=dataset, seeds=seeds, folder=folder, options=options, say=say
    )
    run = trained.run

    n_samples = recipe.n_samples if n_samples is None else n_samples
    n_test = sum(len(fold.test) for fold in folds)
    by_folds = f" in {len(folds)} folds" if len(folds) > 1 else ""
    say(f"evaluating {n_samples:,} samples on {n_test:,} test images{by_folds}")
    evaluation = evaluate_and_keep(
        run.generator,
        folds,
        evaluation_path=run.evaluation_path,
        folds_path=run.folds_path,
        part_path=run.evaluation_part_path,
        n_samples=n_samples,
        seed=run.recipe.seed,
        impl=options.impl,
    )
    say("measuring distances to training images, drawing the figures")
    draw_figures(run, dataset, impl=options.impl)
    report = report_on(run, dataset)
    return Reproduction(
        run=run,
        evaluation=evaluation,
        lost=trained.lost,
        collapsed=trained.collapsed,
        report=report,
        training_seconds=run.training_seconds,
        seconds=time.perf_counter() - started,
    )


def draw_figures(run: Run, dataset: Dataset, *, impl: str = "auto") -> list[Path]:
    """Draw a run's pictures into its :attr:`~fastgan.runs.Run.figures_folder`; return their paths.

    ``samples.png``, ``figure_2.png`` (samples and nearest training images), ``figure_3.png`` (lines
    in z), ``curves.png``, ``walk.png`` and ``walk.json`` (the report's slider through z),
    ``memorisation.png`` (distances to the nearest training images, which the run's
    ``memorisation.json`` holds), ``nearest_pairs.png`` and ``helvetica.png`` (how varied the
    samples are, which ``helvetica.json`` holds). The samples are those of the run's evaluation: the
    same seed; their nearest training images are searched once.
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
    paths += write_walk(run.generator, dataset, folder, run.recipe.seed, impl=impl)
    nearest = NearestTraining(samples, dataset, impl=impl)
    paths += keep_memorisation(run, memorisation_of(nearest), samples, dataset)
    how_varied = helvetica_of(nearest, generator=run.generator, seed=run.recipe.seed)
    return [*paths, keep_helvetica(run, how_varied)]


def keep_memorisation(
    run: Run, found: Memorisation, samples: Tensor, dataset: Dataset
) -> tuple[Path, Path]:
    """Write what was found of samples into a run's folder; return the paths of two pictures.

    They are ``memorisation.png``, the distributions of distances, and ``nearest_pairs.png``.
    """
    write_atomically(run.memorisation_path, found.to_json().encode())
    run.figures_folder.mkdir(parents=True, exist_ok=True)
    return (
        memorisation_figure(found, run.figures_folder / MEMORISATION_FIGURE),
        nearest_pairs(found, samples, dataset, run.figures_folder / NEAREST_PAIRS),
    )


def keep_helvetica(run: Run, found: Helvetica) -> Path:
    """Write how varied samples are into a run's folder; return the path of the picture."""
    write_atomically(run.helvetica_path, found.to_json().encode())
    run.figures_folder.mkdir(parents=True, exist_ok=True)
    return helvetica_figure(found, run.figures_folder / HELVETICA_FIGURE)


def report_on(run: Run, dataset: Dataset) -> Path:
    """Write a run's report, with the seeds that were set aside before it."""
    notes = [
        f"Seed {lost.seed} was tried before and set aside at epoch {lost.epoch}: {lost.message}."
        for lost in lost_before(run)
    ]
    return write_report(run, notes=notes, source=dataset.source)


def sample_of(run: Run, n_samples: int, seed: int | None = None) -> Tensor:
    """Draw samples from a run's generator, by default with the seed of its evaluation."""
    generator: Any = run.generator
    drawn: Tensor = generator.sample(n_samples, run.recipe.seed if seed is None else seed)
    return drawn.detach().cpu()
