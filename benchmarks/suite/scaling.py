"""Time against the number of samples, their width, threads and processes: one curve plan a call.

``python -m benchmarks.suite.scaling parzen:2-threads --out FOLDER --name NAME``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.machine import machine
from benchmarks.rows import SCRATCH
from benchmarks.suite import scaling_plan
from benchmarks.suite.scaling_clock import Point, left_out, measure, measure_step
from benchmarks.suite.scaling_plan import Plan

LAUNCH = Path(__file__).parents[1] / "launch.py"
QUICK = {"widths": (16, 64), "counts": (300, 2_000), "n_queries": 100}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure one plan and write its points as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suite.scaling", description=__doc__)
    parser.add_argument("plan", help=", ".join(plan.name for plan in scaling_plan.PLANS))
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run?")
    parser.add_argument("--out", type=Path, default=SCRATCH, help="folder of the result")
    parser.add_argument("--name", help="of the file, in place of the plan's")
    asked = parser.parse_args(arguments)
    plan = scaling_plan.by_name(asked.plan)
    path = asked.out / f"{asked.name or plan.name.replace(':', '-')}.json"
    if asked.quick and plan.widths:
        plan = dataclasses.replace(plan, **QUICK, most=())
    if plan.n_processes > 1 and "RANK" not in os.environ:
        reason = why_no_processes()
        if not reason:
            return in_processes(plan, path, asked)
        found = [left_out(plan, reason)]
    else:
        found = run(plan, quick=asked.quick)
    if int(os.environ.get("RANK", "0")) == 0:
        write(found, path)
    return 0


def why_no_processes() -> str:
    """Say why work cannot be shared out among processes here; "" where it can."""
    if not torch.distributed.is_available():
        return "this torch is built without torch.distributed"
    return ""


def in_processes(plan: Plan, path: Path, asked: argparse.Namespace) -> int:
    """Start the same command in so many processes of one machine; the first writes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(plan.n_processes), str(LAUNCH), "suite.scaling", plan.name]
    command += ["--out", str(asked.out), "--name", path.stem, *["--quick"] * asked.quick]
    return subprocess.run(command).returncode


def run(plan: Plan, *, quick: bool) -> list[Point]:
    """Measure a plan in this process, which may be one of several."""
    n_before = torch.get_num_threads()
    torch.set_num_threads(plan.n_threads)
    group = None
    if plan.n_processes > 1:
        torch.distributed.init_process_group("gloo")
        group = torch.distributed.group.WORLD
    try:
        if plan.operation == "training_step":
            return [measure_step(plan, group, quick=quick)]
        return list(measure(plan, group, quick=quick))
    finally:
        torch.set_num_threads(n_before)
        if group is not None:
            torch.distributed.destroy_process_group()


def write(found: Sequence[Point], path: Path) -> None:
    """Write points as JSON, each with the machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    here = machine()
    rows = [{**dataclasses.asdict(point), "machine": here} for point in found]
    path.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
