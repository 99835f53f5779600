"""What the suite is measured on: a trained ``mnist`` run, and a file of its samples."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks import points
from benchmarks.suite.parts import Inputs
from fastgan.runs import Run

N_EPOCHS, N_SAMPLES = 40, 1_000_000
ROWS_AT_ONCE = 50_000


def inputs(run: Path | None, work: Path, *, quick: bool, needs: set[str]) -> Inputs:
    """Return what the parts need, trained and drawn now where it is not there yet.

    Parameters
    ----------
    run : Path or None
        The folder of a trained ``mnist`` run; None: 40 epochs are trained into ``work``.
    needs : set of str
        Of ``"run"`` and ``"samples"``.

    Raises
    ------
    RuntimeError
        If training fails; the message holds what it wrote.
    """
    work.mkdir(parents=True, exist_ok=True)
    # Quick parts take samples of noisy images, which fit whatever images are at hand.
    needs = needs - {"samples"} if quick else needs
    if not needs:
        return Inputs(quick=quick)
    if run is None:
        run = work / ("digits-1-epoch" if quick else f"mnist-{N_EPOCHS}-epochs")
        if not run.with_suffix(".done").exists():
            train(run, quick=quick)
    samples = None
    if "samples" in needs:
        samples = work / "samples.npy"
        if not samples.exists():
            draw(run, samples)
    return Inputs(run, samples, quick)


def train(folder: Path, *, quick: bool) -> None:
    """Train the recipe by the command line, so that nothing of it stays in this process."""
    recipe, n_epochs = ("digits", 1) if quick else ("mnist", N_EPOCHS)
    if not quick and points.images().name != "mnist":
        raise RuntimeError(
            "MNIST is not at hand: FASTGAN_DATA must name a folder that holds it, or `fastgan "
            "train mnist` must have fetched it before"
        )
    command = [sys.executable, "-m", "fastgan", "train"]
    there = (folder / "checkpoint.safetensors").exists()  # cut short: go on
    command += ["--resume", str(folder)] if there else [recipe, "--out", str(folder)]
    command += ["--epochs", str(n_epochs), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=_elsewhere(folder))
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()[-2_000:]}")
    folder.with_suffix(".done").touch()


def draw(run: Path, path: Path) -> None:
    """Write a million samples of a run's generator: float32 rows, 3.1 GB; whole or not at all."""
    generator = Run.open(run).generator
    aside = path.with_suffix(".part")
    rows = np.lib.format.open_memmap(
        aside, mode="w+", dtype=np.float32, shape=(N_SAMPLES, Run.open(run).recipe.n_features)
    )
    for first in range(0, N_SAMPLES, ROWS_AT_ONCE):
        part = generator.sample(ROWS_AT_ONCE, seed=0, first_row=first)
        rows[first : first + ROWS_AT_ONCE] = part.numpy()
    rows.flush()
    del rows
    aside.rename(path)


def _elsewhere(folder: Path) -> Path:
    """Return a folder from which ``-m fastgan`` finds the installed package, not the source."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder.parent
