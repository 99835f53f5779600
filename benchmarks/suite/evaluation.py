"""``fastgan evaluate`` at large sample counts: score, time and memory of the whole command."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from benchmarks.memory import Watch
from benchmarks.rows import SCRATCH

KEPT = (
    "dataset",
    "mean",
    "standard_error",
    "sigma",
    "protocol_sigma",
    "n_samples",
    "n_test",
    "curve_n_samples",
    "curve_means",
    "curve_standard_errors",
    "dropped_nats",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate a run at a number of samples, and write what was found as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.suite.evaluation", description=__doc__
    )
    parser.add_argument("run", type=Path, help="a run folder; it stays as it is")
    parser.add_argument("--n-samples", type=int, required=True)
    parser.add_argument("--quick", action="store_true", help="taken and not needed")
    parser.add_argument("--out", type=Path, default=SCRATCH, help="folder of the result")
    parser.add_argument("--name", default="evaluation", help="of the file")
    asked = parser.parse_args(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    row = evaluate(asked.run.resolve(), asked.n_samples)
    text = json.dumps([row], indent=2) + "\n"
    (asked.out / f"{asked.name}.json").write_text(text, encoding="utf-8")
    return 0


def evaluate(run: Path, n_samples: int) -> dict[str, Any]:
    """Run the command on a copy of the folder; its time, its peak of memory and its scores.

    Raises
    ------
    RuntimeError
        If it fails; the message holds what it wrote.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        shutil.copytree(run, folder)
        command = [sys.executable, "-m", "fastgan", "evaluate", str(folder)]
        command += ["--n-samples", str(n_samples), "--json"]
        started = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=scratch
        )
        with Watch(process.pid) as watch:
            written, complaints = process.communicate()
        seconds = time.perf_counter() - started
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed: {complaints.strip()[-2_000:]}")
    found = json.loads(written)
    return {
        "operation": "fastgan evaluate",
        **{name: found[name] for name in KEPT},
        "seconds": seconds,
        "peak_bytes": watch.peak_bytes,
        "machine": machine(),
    }


if __name__ == "__main__":
    sys.exit(main())
