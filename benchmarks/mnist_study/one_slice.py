"""A process of the study: it takes one run on by some epochs and scores the weights it then has.

Started by ``carry_out`` by its path, so that it imports the same fastgan as the parent. It reads a
JSON object as its argument, and its last line of output is a JSON object.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch

import fastgan
from fastgan import recipes
from fastgan.data import Dataset
from fastgan.files import write_atomically
from fastgan.recipe_files import recipe_from_toml
from fastgan.recipes import Recipe
from fastgan.runs import Run, Weights, holds_run
from fastgan.scores import Evaluation

VALIDATION = "validation_log_likelihood"
VALIDATION_OF_LAST = "validation_log_likelihood_of_last_weights"
SLICES = "study.jsonl"  # in the run's folder: an object for each slice, how it was carried out
SCORES = "study_scores"  # in the run's folder: an evaluation on the test images in each file


def score_path(run_folder: Path, weights: Weights, epoch: int) -> Path:
    """Return the file of a score: ``epoch`` is that of the weights."""
    return run_folder / SCORES / f"{weights}-epoch-{epoch:04d}.json"


def go_on(
    folder: Path,
    recipe: Recipe,
    *,
    dataset: Dataset | None = None,
    n_threads: int = 1,
    step: Literal["auto", "fused", "autograd"] = "auto",
    facts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train the run in ``folder`` up to the recipe's last epoch, from where it is, and score it.

    Parameters
    ----------
    folder : Path
        Holds the run, or will.
    recipe : Recipe
        The run's, with the epoch to train to.
    dataset : Dataset, optional
        By default the recipe's own.
    n_threads : int
    step : {"auto", "fused", "autograd"}
        See ``fastgan.make_step``.
    facts : mapping, optional
        Kept with the slice: the machine, how many runs went on at the same time.

    Returns
    -------
    dict
        ``epoch``, ``is_lost`` (see :func:`is_done`); ``validation``,
        ``validation_of_last_weights`` and ``test`` in nats, None where there is none, and the
        ``standard_error`` of the last.
    """
    started = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        dataset = fastgan.load_dataset(recipe.dataset) if dataset is None else dataset
        run, before = Run(folder, recipe), _progress(folder)
        if not is_done(folder, recipe.n_epochs):
            run = fastgan.train(
                recipe,
                dataset=dataset,
                folder=folder,
                resume=holds_run(folder),
                n_threads=n_threads,
                step=step,
                sample_grids=False,
                progress=False,
            )
        test = score(run, dataset)
        after = _progress(folder)
        if after > before:
            slice_ = {
                "first_epoch": before[0] + 1,
                "last_epoch": after[0],
                "training_seconds": after[1] - before[1],
                "seconds": time.perf_counter() - started,
                "n_threads": n_threads,
                "step": step,
                "finished": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
                **(facts or {}),
            }
            path = folder / SLICES
            so_far = path.read_bytes() if path.is_file() else b""
            write_atomically(path, so_far + json.dumps(slice_).encode() + b"\n")
    last = run.metrics[-1]
    return {
        "epoch": last["epoch"],
        "is_lost": run.status == "diverged" or run.collapsed,
        "validation": last.get(VALIDATION),
        "validation_of_last_weights": last.get(VALIDATION_OF_LAST),
        "test": None if test is None else test.mean,
        "standard_error": None if test is None else test.standard_error,
    }


def score(run: Run, dataset: Dataset) -> Evaluation | None:
    """Score the weights that a run now has on the test images, each kind once.

    They are the model at the last epoch, the last weights where the model is an average, and the
    weights of the best validation epoch. The score of the model is returned, None if the run is
    lost: its samples are no numbers.
    """
    if run.status == "diverged":
        return None
    epoch, best = int(run.metrics[-1]["epoch"]), run.best_epoch
    (run.folder / SCORES).mkdir(exist_ok=True)
    model = _scored(run, dataset, "model", epoch)
    if run.recipe.averages:
        _scored(run, dataset, "last", epoch)
    if best is not None:
        _scored(run, dataset, "best", best.epoch)
    return model


def _scored(run: Run, dataset: Dataset, weights: Weights, epoch: int) -> Evaluation:
    path = score_path(run.folder, weights, epoch)
    if path.is_file():
        return Evaluation.from_json(path.read_text(encoding="utf-8"))
    n_samples, seed = run.recipe.n_samples, run.recipe.seed
    generator = run.load_generator(weights=weights)
    found = fastgan.evaluate(generator, dataset, n_samples=n_samples, seed=seed)
    write_atomically(path, found.to_json().encode())
    return found


def _progress(folder: Path) -> tuple[int, float]:
    """Return how many epochs a run has behind it, and its seconds of training, begun epochs too."""
    run = Run(folder, recipes.DIGITS)  # any recipe: only files are read
    if not run.checkpoint_path.is_file():
        return 0, 0.0
    records = run.metrics
    return int(records[-1]["epoch"]) if records else 0, run.load_checkpoint().seconds


def is_done(folder: Path, n_epochs: int) -> bool:
    """Say whether there is nothing left to train in ``folder``.

    Its epochs are there, or the run is lost: diverged, or collapsed at the end of a slice.
    """
    if not holds_run(folder):
        return False
    run = Run.open(folder)
    records = run.metrics
    if run.status != "finished" or not records:
        return run.status == "diverged"
    return run.collapsed or records[-1]["epoch"] >= n_epochs


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process (one that a killed study left behind, say) trains this run."""
    try:
        import fcntl
    except ImportError:  # Windows: nobody keeps it
        yield
        return
    with (folder / "study.lock").open("w") as file:
        fcntl.flock(
            file, fcntl.LOCK_EX
        )  # let go by the system when a process ends, however it does
        yield


def main(asked: dict[str, Any]) -> None:
    """Do what the parent asks for, and print what came of it."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")  # to standard error: the log
    torch.set_num_threads(asked["n_threads"])
    found = go_on(
        Path(asked["folder"]),
        recipe_from_toml(asked["recipe"]),
        n_threads=asked["n_threads"],
        step=asked["step"],
        facts=asked["facts"],
    )
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except KeyboardInterrupt:  # the state is saved; the parent says how to go on
        sys.stderr.flush()
        os._exit(130)
