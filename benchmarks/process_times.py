"""``python -m benchmarks.process_times RUN``: an evaluation and epochs, by one process and by more.

Each way, so many processes of so many threads, evaluates the run and trains the first epochs of its
recipe; round after round, so that a machine that slows down slows all. Seconds are those that the
files of the results say: from the first sample to the last value, and from batch to batch, without
the starts of the processes. Exits with 1 if an evaluation's values differ anywhere in a bit.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from fastgan.runs import Run

WAYS = ((1, 1), (1, 2), (2, 1), (4, 1))


@dataclass
class Way:
    """So many processes of so many threads, and the seconds that they took."""

    n_processes: int
    n_threads: int
    evaluation: list[float] = field(default_factory=list)
    epoch: list[float] = field(default_factory=list)

    def run(self, *arguments: str) -> None:
        """Run fastgan's command this way to its end; RuntimeError if it fails."""
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        launch += ["--nproc-per-node", str(self.n_processes)]
        done = subprocess.run(
            [*(launch if self.n_processes > 1 else [sys.executable]), "-m", "fastgan", *arguments],
            env=os.environ | {"OMP_NUM_THREADS": str(self.n_threads), "PYTHONSAFEPATH": "1"},
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise RuntimeError(f"fastgan {' '.join(arguments)}: {done.stderr[-2_000:]}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table as Markdown; 1 if values differ."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.process_times", description=__doc__)
    parser.add_argument("run", type=Run.open, help="the folder of a run")
    parser.add_argument("--n-samples", default="1e6", help="of the evaluation (1e6)")
    parser.add_argument("--epochs", type=int, default=3, help="to train (3)")
    parser.add_argument("--rounds", type=int, default=3, help="times each is measured (3)")
    options = parser.parse_args(arguments)
    ways = [Way(*both) for both in WAYS]
    values: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        for number in range(options.rounds):
            for way in ways:
                seconds, found = evaluate(way, options.run, options.n_samples, Path(name))
                way.evaluation.append(seconds)
                way.epoch.append(train(way, options.run, options.epochs, Path(name)))
                values.append(found)
                print(f"{number + 1}: {way}", file=sys.stderr, flush=True)
    print(table(ways))
    here = machine()
    print(f"\n{here['processor']}, {here['cores']} cores, {here['SIMD level']}, {here['date']}")
    n_different = sum(found != values[0] for found in values)
    print(f"{n_different} of {len(values)} evaluations differ from the first")
    return int(n_different > 0)


def evaluate(way: Way, run: Run, n_samples: str, scratch: Path) -> tuple[float, dict[str, Any]]:
    """Return the seconds of an evaluation, of a copy of the run, and all that it found."""
    copy = scratch / "evaluated"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for path in (run.recipe_path, run.checkpoint_path):
        shutil.copy(path, copy)
    way.run("evaluate", str(copy), "--n-samples", n_samples, "--json")
    found: dict[str, Any] = json.loads((copy / "evaluation.json").read_bytes())
    return found.pop("seconds"), found


def train(way: Way, run: Run, n_epochs: int, scratch: Path) -> float:
    """Return the seconds of an epoch of the run's recipe, the mean of the first ones."""
    trained = scratch / "trained"
    shutil.rmtree(trained, ignore_errors=True)
    recipe = ("train", str(run.recipe_path), "--epochs", str(n_epochs))
    way.run(*recipe, "--out", str(trained), "--quiet")
    return float(Run.open(trained).metrics[-1]["seconds"]) / n_epochs


def table(ways: Sequence[Way]) -> str:
    """Return the medians, with the lowest and the highest, as a table in Markdown."""
    lines = ["| processes | threads each | evaluation, s | an epoch of training, s |"]
    lines += ["|--:|--:|--:|--:|"]
    for way in ways:
        both = " | ".join(_cell(seconds) for seconds in (way.evaluation, way.epoch))
        lines.append(f"| {way.n_processes} | {way.n_threads} | {both} |")
    return "\n".join(lines)


def _cell(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):.3g} ({min(seconds):.3g} to {max(seconds):.3g})"


if __name__ == "__main__":
    sys.exit(main())
