"""Carry a plan out: some runs side by side, each in a process of its own, a slice at a time.

Two threads of one run meet after every product of a step; two runs with a thread each never wait
for each other. Slices let all runs of the plan go on together, so that there is a report at any
time; a run in slices has the bits of a run in one piece.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any

from benchmarks.machine import machine
from benchmarks.mnist_study.one_slice import is_done
from benchmarks.mnist_study.plan import PlannedRun
from fastgan.recipe_files import recipe_to_toml
from fastgan.runs import Run, holds_run

CHILD = Path(__file__).with_name("one_slice.py")
LOG = "study.log"  # in the run's folder: what its processes wrote
POLL_SECONDS = 0.05
N_LOG_LINES = 15  # of a process that failed, shown


@dataclass
class _Slice:
    """A run on its way to an epoch."""

    planned: PlannedRun
    process: subprocess.Popen[str]
    log: IO[str]


def carry_out(
    runs: Sequence[PlannedRun],
    folder: Path,
    *,
    n_processes: int = 2,
    n_threads: int = 1,
    slice_epochs: int = 25,
    step: str = "auto",
    say: Callable[[str], None] = print,
) -> int:
    """Train and score the runs, each from where it is; return how many could not be.

    Parameters
    ----------
    runs : sequence of PlannedRun
    folder : Path
        The study's; each run has its ``place`` in it.
    n_processes : int
        Runs that go on at the same time.
    n_threads : int
        Of each of them.
    slice_epochs : int
        A run that has made so many epochs waits until every other has; rounded up to epochs that
        the recipe evaluates.
    step : {"auto", "fused", "autograd"}
        See ``fastgan.make_step``.
    say : callable
        Takes a line at the end of each slice.

    Raises
    ------
    ValueError
        If a number is below 1.
    KeyboardInterrupt
        (SIGINT or SIGTERM) Once the runs under way have saved their state; the same call goes on.
    """
    for name, number in (
        ("n_processes", n_processes),
        ("n_threads", n_threads),
        ("slice_epochs", slice_epochs),
    ):
        if number < 1:
            raise ValueError(f"{name}: expected at least 1, got {number}")
    waiting = collections.deque(runs)
    under_way: list[_Slice] = []
    n_failed = 0
    how = {
        "n_threads": n_threads,
        "step": step,
        "facts": {"n_processes": n_processes, "machine": machine()},
    }
    with _terminated_as_interrupted():
        try:
            while waiting or under_way:
                while waiting and len(under_way) < n_processes:
                    under_way.append(_start(waiting.popleft(), folder, slice_epochs, how))
                time.sleep(POLL_SECONDS)
                for slice_ in [one for one in under_way if one.process.poll() is not None]:
                    under_way.remove(slice_)
                    found = _finish(slice_, folder, say)
                    if found is None:
                        n_failed += 1
                    elif not is_done(folder / slice_.planned.place, _last_epoch(slice_.planned)):
                        waiting.append(slice_.planned)
        finally:
            _stop(under_way)
    return n_failed


def _last_epoch(planned: PlannedRun) -> int:
    return planned.recipe.n_epochs


def next_epoch(planned: PlannedRun, folder: Path, slice_epochs: int) -> int:
    """Return the epoch to which the run's next slice takes it."""
    run_folder = folder / planned.place
    records = Run.open(run_folder).metrics if holds_run(run_folder) else []
    done = int(records[-1]["epoch"]) if records else 0
    every = planned.recipe.evaluate_every
    whole = -(-slice_epochs // every) * every
    return min(_last_epoch(planned), (done // whole + 1) * whole)


def _start(planned: PlannedRun, folder: Path, slice_epochs: int, how: dict[str, Any]) -> _Slice:
    run_folder = folder / planned.place
    run_folder.mkdir(parents=True, exist_ok=True)
    recipe = planned.recipe.replace(n_epochs=next_epoch(planned, folder, slice_epochs))
    asked = {"folder": str(run_folder), "recipe": recipe_to_toml(recipe), **how}
    # Before OpenMP and MKL start: as many threads as asked for, and none that spins for others.
    threads = {name: str(how["n_threads"]) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    log = (run_folder / LOG).open("a+", encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, str(CHILD), json.dumps(asked)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env={**os.environ, **threads},
        start_new_session=True,  # Ctrl-C reaches it through us alone, and once
    )
    return _Slice(planned, process, log)


def _finish(slice_: _Slice, folder: Path, say: Callable[[str], None]) -> dict[str, Any] | None:
    """Say what came of a slice, and return it; None if its process failed."""
    with slice_.log, slice_.process:
        written = slice_.process.stdout.read() if slice_.process.stdout else ""
    place = slice_.planned.place
    if slice_.process.returncode != 0:
        path = folder / place / LOG
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-N_LOG_LINES:]
        told = "\n".join(f"    {line}" for line in lines)
        say(f"{place}: FAILED with exit code {slice_.process.returncode}; see {path}:\n{told}")
        return None
    found: dict[str, Any] = json.loads(written.splitlines()[-1])
    say(f"{place}: {_in_words(found, slice_.planned)}")
    return found


def _in_words(found: dict[str, Any], planned: PlannedRun) -> str:
    words = f"epoch {found['epoch']} of {_last_epoch(planned)}"
    if found["validation"] is not None:
        words += f", validation {found['validation']:.1f}"
    if found["validation_of_last_weights"] is not None:
        words += f" (last weights {found['validation_of_last_weights']:.1f})"
    if found["test"] is not None:
        words += f", test {found['test']:.1f} ± {found['standard_error']:.1f} nats"
    return words + (", LOST: not gone on with" if found["is_lost"] else "")


def _stop(under_way: Sequence[_Slice]) -> None:
    """Let the runs under way save their state and end."""
    for slice_ in under_way:
        with contextlib.suppress(ProcessLookupError):
            slice_.process.send_signal(signal.SIGINT)
    for slice_ in under_way:
        with slice_.log:
            slice_.process.communicate()


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Take SIGTERM (the machine shuts down) as Ctrl-C: whoever is under way saves first."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread, where Python lets nobody handle signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
