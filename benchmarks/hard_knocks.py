"""``python -m benchmarks.hard_knocks``: kill -9 at random moments, go on, and compare every bit.

Runs of the digits recipe, and evaluations of one, are killed again and again at moments drawn
uniformly, each time gone on with, until they end; then another one is begun, until there were as
many kills as asked for. After every kill each file in the folder must be readable, and at the end
everything must be what it is without a kill. Both write their progress far more often than usual,
and every second kill waits, from its moment on, for a file that is being written. Exits with 1 if
anything differs.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import torch
from PIL import Image

from fastgan.parzen_stream import ParzenStream
from fastgan.runs import Run, read_metrics

SAVE_SECONDS = 0.05
JOINING_SECONDS = 20  # where the other was killed before it came

JOINING = f"""
import datetime
from fastgan import processes
processes._JOINING = datetime.timedelta(seconds={JOINING_SECONDS})
"""
TRAINING = f"""{JOINING}
import sys
import fastgan
from fastgan.processes import launched
from fastgan.runs import holds_run
from pathlib import Path
folder, seed = Path(sys.argv[1]), int(sys.argv[2])
recipe = fastgan.recipes.DIGITS.replace(evaluate_every=5, seed=seed)
digits = fastgan.load_dataset("digits")
print("begun", flush=True)
with launched() as (processes, _):
    fastgan.train(recipe, dataset=digits, folder=folder, resume=holds_run(folder), progress=False,
                  checkpoint_every_seconds={SAVE_SECONDS}, process_group=processes.group)
"""
EVALUATION = f"""{JOINING}
import sys
from fastgan import streamed_evaluation
from fastgan.cli import main
streamed_evaluation.SAVE_SECONDS = {SAVE_SECONDS}
print("begun", flush=True)
sys.argv[1:] = ["evaluate", sys.argv[1], "--n-samples", "1e6", "--seed", sys.argv[2], "--json"]
main()
"""


@dataclass
class Found:
    """What a series of kills came to."""

    work: str
    n_kills: int = 0
    n_ended: int = 0  # runs or evaluations that were brought to their end
    n_while_writing: int = 0  # kills that left a file half written, under the name aside
    faults: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        """Say it."""
        fate = "; ".join(self.faults) or "every file readable, every end the same bit for bit"
        return (
            f"{self.work}: {self.n_kills} kills over {self.n_ended} of them brought to an end, "
            f"{self.n_while_writing} in the midst of writing a file: {fate}"
        )


def main(arguments: list[str] | None = None) -> int:
    """Kill, go on, compare, print; 1 if anything differs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hard_knocks", description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="of each kind (50)")
    parser.add_argument("--seed", type=int, default=0, help="draws the moments (0)")
    parser.add_argument(
        "--processes", type=int, nargs="+", default=[1], help="one of these each time, at random"
    )
    parser.add_argument("--only", choices=("training", "evaluation"), help="both by default")
    options = parser.parse_args(arguments)
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = []
        if options.only != "evaluation":
            found.append(kill_training(folder, options.kills, options.processes, chance))
        if options.only != "training":
            found.append(kill_evaluation(folder, options.kills, options.processes, chance))
    print("\n".join(series.sentence() for series in found))
    return int(any(series.faults for series in found))


def kill_training(folder: Path, n_kills: int, processes: list[int], chance: random.Random) -> Found:
    """Kill training runs of seeds 0, 1, ... until there were so many kills."""
    found = Found("training")
    for seed in range(1_000):
        if found.n_kills >= n_kills:
            break
        whole, killed = folder / f"whole-{seed}", folder / f"killed-{seed}"
        n = chance.choice(processes)  # of a whole run: its bits depend on how many there are
        seconds = _to_its_end(Job(TRAINING, whole, seed, n))
        kills = Kills(n_kills, seconds / 8, chance)
        kills.until_the_end(found, functools.partial(Job, TRAINING, killed, seed, n))
        found.faults += [f"seed {seed}: {fault}" for fault in differences_of_runs(whole, killed)]
        print(found.sentence(), file=sys.stderr, flush=True)
    return found


def kill_evaluation(
    folder: Path, n_kills: int, processes: list[int], chance: random.Random
) -> Found:
    """Kill evaluations of a run, of the samples of seeds 0, 1, ..., until there were so many."""
    found = Found("evaluation")
    trained = folder / "whole-0"
    if not trained.exists():
        _to_its_end(Job(TRAINING, trained, 0))
    for seed in range(1_000):
        if found.n_kills >= n_kills:
            break
        whole, killed = folder / "evaluated", folder / f"evaluation-{seed}"
        shutil.copytree(trained, whole, dirs_exist_ok=True)
        shutil.copytree(trained, killed)
        kills = Kills(n_kills, _to_its_end(Job(EVALUATION, whole, seed)) / 8, chance)
        job = functools.partial(Job, EVALUATION, killed, seed)
        kills.until_the_end(found, lambda job=job: job(chance.choice(processes)))  # type: ignore[misc]
        ours, theirs = (_values_of(path / "evaluation.json") for path in (killed, whole))
        found.faults += [
            f"seed {seed}: {name} is {ours.get(name)}, without kills {theirs.get(name)}"
            for name in sorted(ours.keys() | theirs.keys())
            if ours.get(name) != theirs.get(name)
        ]
        print(found.sentence(), file=sys.stderr, flush=True)
    return found


class Job:
    """A program on a folder as one process or several, in a process group of their own.

    It is made once the first of them says that it has begun.
    """

    def __init__(self, program: str, folder: Path, seed: int, n_processes: int = 1) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the job
        self.processes: list[subprocess.Popen[bytes]] = []
        for rank in range(n_processes):
            variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": n_processes}
            variables |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-c", program, str(folder), str(seed)],
                    env=os.environ | {name: str(value) for name, value in variables.items()},
                    stdout=subprocess.PIPE,
                    stderr=self._errors,
                    process_group=self.processes[0].pid if rank else 0,
                )
            )
        for process in self.processes:
            assert process.stdout is not None
            process.stdout.readline()

    @property
    def is_over(self) -> bool:
        """Whether every process has ended."""
        return all(process.poll() is not None for process in self.processes)

    @property
    def is_writing(self) -> bool:
        """Whether one of its files is being written aside, or was when its writer was killed."""
        pids = {str(process.pid) for process in self.processes}
        parts = [*self.folder.glob(".*.part"), *self.folder.glob("samples/.*.part")]
        return any(part.name.split(".")[-3] in pids for part in parts)

    def end(self) -> str:
        """Wait for the end; return what went wrong, or nothing."""
        for process in self.processes:
            process.communicate(timeout=600)
        codes = [process.returncode for process in self.processes]
        with self._errors:
            self._errors.seek(0)
            errors = self._errors.read()[-2_000:].decode(errors="replace")
        return f"ended with {codes}: {errors}" if any(codes) else ""

    def kill(self, chance: random.Random) -> None:
        """Kill all processes, or, of several, one: the others must then end by themselves."""
        if len(self.processes) > 1 and chance.random() < 0.5:
            chance.choice(self.processes).kill()
        else:
            os.killpg(self.processes[0].pid, signal.SIGKILL)
        self.end()


@dataclass
class Kills:
    """Kills at moments drawn uniformly, until there were so many."""

    n_kills: int
    longest_seconds: float
    chance: random.Random

    def until_the_end(self, found: Found, start: Callable[[], Job]) -> None:
        """Start a job, kill it, and again until it ends by itself."""
        while True:
            job = start()
            if found.n_kills < self.n_kills:
                moment = time.monotonic() + self.chance.uniform(0.0, self.longest_seconds)
                while time.monotonic() < moment and not job.is_over:
                    time.sleep(0.001)
                if found.n_kills % 2:
                    while not job.is_over and not job.is_writing:
                        pass
                if not job.is_over:
                    job.kill(self.chance)
                    found.n_kills += 1
                    found.n_while_writing += job.is_writing
                    found.faults += unreadable(job.folder)
                    continue
            fault = job.end()
            found.faults += [fault] if fault else []
            found.n_ended += 1
            return


def unreadable(folder: Path) -> list[str]:
    """Say which of a run folder's files cannot be read."""
    faults = []
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.is_dir() or path.name.startswith("."):
            continue
        try:
            _read(path)
        except Exception as error:  # whatever it is, it is told
            faults.append(f"{path.name} cannot be read: {error!r}")
    return faults


def _read(path: Path) -> None:
    if path.name == "evaluation.part.safetensors":
        ParzenStream.load(path)
    elif path.name == "checkpoint.safetensors":
        Run.open(path.parent).load_checkpoint()
    elif path.suffix == ".safetensors":
        with safetensors.safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                file.get_tensor(name)
    elif path.suffix == ".jsonl":
        read_metrics(path)
    elif path.suffix == ".json":
        json.loads(path.read_bytes())
    elif path.suffix == ".toml":
        Run.open(path.parent)
    elif path.suffix == ".png":
        with Image.open(path) as image:
            image.load()
    else:
        raise ValueError("nobody knows how to read it")


def differences_of_runs(whole: Path, killed: Path) -> Iterator[str]:
    """Say in what a killed run differs from one that never was."""
    ours, theirs = Run.open(killed), Run.open(whole)
    one, other = (run.load_checkpoint().state for run in (ours, theirs))
    for name in sorted(one.keys() | other.keys()):
        if name not in one or name not in other or not torch.equal(one[name], other[name]):
            yield f"{name} differs in the checkpoint"
    records = [[{**r, "seconds": 0} for r in run.metrics + run.warnings] for run in (ours, theirs)]
    if records[0] != records[1]:
        yield "the metrics differ"
    if not ours.best_path.is_file() or _weights(ours.best_path) != _weights(theirs.best_path):
        yield "best.safetensors differs"
    for path in sorted(theirs.samples_folder.glob("*.png")):
        mine = killed / path.relative_to(whole)
        if not mine.is_file() or mine.read_bytes() != path.read_bytes():
            yield f"{path.name} differs"


def _weights(path: Path) -> tuple[dict[str, str], dict[str, bytes]]:
    """Return what a file says and its weights' bytes; safetensors writes both in any order."""
    with safetensors.safe_open(path, framework="np") as file:
        weights = {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118
        return file.metadata(), weights


def _values_of(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_bytes())
    values.pop("seconds", None)
    return values


def _to_its_end(job: Job) -> float:
    """Wait for a job that is not killed; return its seconds from when it had begun."""
    started = time.monotonic()
    fault = job.end()
    if fault:
        raise RuntimeError(f"{job.folder}: {fault}")
    return time.monotonic() - started


if __name__ == "__main__":
    sys.exit(main())
