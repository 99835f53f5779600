"""Anonymous memory of a process at its peak, seen from outside, and what a call adds to it.

Pages that a call writes are anonymous; pages of a mapped file, which the system may drop at any
moment, are not. Linux tells them apart for each process (``RssAnon``), but keeps no peak of it, so
a thread of the parent looks every millisecond: shorter peaks are missed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import numpy as np

from benchmarks.harness import WrongResultError
from benchmarks.machine import machine
from benchmarks.rows import Row

INTERVAL_SECONDS = 0.001
CHILD = Path(__file__).parent / "memory_child.py"


@dataclass(frozen=True)
class Task:
    """One call in a process of its own.

    ``function`` is a name of ``memory_child.FUNCTIONS``; ``queries`` and ``rows`` are ``.npy``
    files of which the first ``n_queries`` and ``n_rows`` rows are used. ``is_mapped`` maps the
    rows, else they are read before the call. ``error`` compares the result with a reference.
    """

    name: str
    function: str
    queries: Path
    rows: Path
    n_queries: int
    n_rows: int
    is_mapped: bool
    error: Callable[[list[np.ndarray]], float]


@dataclass(frozen=True)
class MemoryComparison:
    """What fastgan (the first task) and its peers add to the anonymous memory of a process.

    Over inputs and outputs. ``bound`` is the largest error that fastgan's result may have.
    """

    operation: str
    size: str
    tasks: Sequence[Task]
    bound: float
    error_unit: str

    def measure(
        self, *, n_rounds: int = 3, block_seconds: float = 0.0, budget_seconds: float = 0.0
    ) -> list[Row]:
        """Run each task in up to three processes and keep the highest peak.

        Raises
        ------
        WrongResultError
            If fastgan's error is above the bound, or not a number.
        """
        if not Path("/proc/self/status").exists():
            note = "left out: needs Linux's /proc"
            return [Row(self.operation, self.size, "all", note=note, machine=machine())]
        rows: list[Row] = []
        own_seconds = 0.0
        for task in self.tasks:
            runs = [run(task) for _ in range(min(n_rounds, 3))]
            error = max(found.error for found in runs)
            is_ours = task is self.tasks[0]
            if is_ours and not error <= self.bound:
                raise WrongResultError(
                    f"{self.operation}, {self.size}: error {error} {self.error_unit}, "
                    f"the bound is {self.bound:g}: nothing is reported"
                )
            seconds = min(found.seconds for found in runs)
            own_seconds = own_seconds or seconds
            rows.append(
                Row(
                    self.operation,
                    self.size,
                    task.name,
                    seconds=seconds,
                    ratio_median=seconds / own_seconds,
                    ratio_low=seconds / own_seconds,
                    ratio_high=seconds / own_seconds,
                    error=error,
                    bound=self.bound if is_ours else None,
                    error_unit=self.error_unit,
                    extra_bytes=max(found.extra_bytes for found in runs),
                    n_rounds=len(runs),
                    note="the fastest of processes that made one call each",
                    machine=machine(),
                )
            )
        return rows


@dataclass(frozen=True)
class Found:
    """What one process did."""

    seconds: float
    extra_bytes: int
    error: float


def run(task: Task) -> Found:
    """Run a task in a process of its own.

    Raises
    ------
    RuntimeError
        If the process fails; the message holds what it wrote.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.npz"
        fields = {name: value for name, value in asdict(task).items() if name != "error"}
        asked = json.dumps({**fields, "result": result}, default=str)
        process = subprocess.Popen(
            [sys.executable, str(CHILD), asked],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            expect(process, "ready")
            watch = Watch(process.pid)
            before = anonymous_bytes(process.pid)
            with watch:
                say(process, "go")
                _, seconds, output_bytes = expect(process, "done")
            say(process, "end")
            process.wait()
        with np.load(result) as arrays:
            parts = [arrays[name] for name in sorted(arrays.files)]
    extra = max(watch.peak_bytes - before - int(output_bytes), 0)
    return Found(float(seconds), extra, task.error(parts))


class Watch:
    """A context in which a thread looks at the anonymous memory of a process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.peak_bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._stop.wait(INTERVAL_SECONDS):
            self.peak_bytes = max(self.peak_bytes, anonymous_bytes(self.pid))

    def __enter__(self) -> Watch:
        self.peak_bytes = anonymous_bytes(self.pid)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def anonymous_bytes(pid: int) -> int:
    """Return the resident anonymous memory of a process; 0 if it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    for line in status.splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0  # a process that has ended but was not waited for


def say(process: subprocess.Popen[str], word: str) -> None:
    """Write one line to a process."""
    if process.stdin is not None:
        process.stdin.write(word + "\n")
        process.stdin.flush()


def expect(process: subprocess.Popen[str], word: str) -> list[str]:
    """Read one line that begins with a word, and return its words.

    Raises
    ------
    RuntimeError
        If the process said something else, or ended; the message holds what it wrote.
    """
    output: IO[str] | None = process.stdout
    words = output.readline().split() if output is not None else []
    if words[:1] != [word]:
        process.kill()
        written = process.stderr.read() if process.stderr is not None else ""
        raise RuntimeError(f"the measured process failed: {written.strip()[-2_000:]}")
    return words


def main(arguments: list[str]) -> int:
    """Run a command and say how long it took and how much anonymous memory it held at its peak."""
    if not arguments:
        print("usage: python -m benchmarks.memory COMMAND [ARGUMENT ...]", file=sys.stderr)
        return 2
    started = os.times().elapsed
    process = subprocess.Popen(arguments)
    with Watch(process.pid) as watch:
        code = process.wait()
    seconds = os.times().elapsed - started
    print(f"{seconds:.1f} s, at most {watch.peak_bytes / 1e6:.0f} MB of anonymous memory")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
