"""``fastgan evaluate`` by several processes: the file of one, whatever happened on the way."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from launching import start

import fastgan
from fastgan.locks import hold
from fastgan.parzen_stream import ParzenStream

N_SAMPLES = (
    30_500  # in 50 blocks, the last one short, drawn in 31 blocks of rows, the last one half
)
PART = "evaluation.part.safetensors"
COMMAND = [sys.executable, "-m", "fastgan", "evaluate", "--n-samples", str(N_SAMPLES)]

# The command, written down after each block or round; process sys.argv[1] kills itself at a block.
KILLED = """
import os, signal, sys
from fastgan import streamed_evaluation
from fastgan.cli import main
from fastgan.samples import DrawnSamples

streamed_evaluation.SAVE_SECONDS = 0.0
victim = os.environ["RANK"] == sys.argv.pop(1)
plain = DrawnSamples.own_block


def fatal(self, first, last):
    if victim and first > 9_000:
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(self, first, last)


DrawnSamples.own_block = fatal
main()
"""


def evaluate(
    run: Path, n_processes: int, *options: object, command: list[str] = COMMAND
) -> tuple[list[int], list[str], list[str]]:
    """Return exit codes and what each process wrote to standard output and standard error."""
    started = start([*command, str(run), *map(str, options)], n_processes, run.parent)
    ended = [(*process.communicate(timeout=120), process.returncode) for process in started]
    outputs, errors, codes = zip(*ended, strict=True)
    return list(codes), list(outputs), list(errors)


def values(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "evaluation.json").read_bytes())
    assert found.pop("seconds") > 0
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of the digits recipe, evaluated by one process with one thread."""
    folder = tmp_path_factory.mktemp("of one") / "run"
    fastgan.train("digits", folder=folder, n_epochs=1, progress=False)
    codes, _, errors = evaluate(folder, 1, "--threads", 1)
    assert codes == [0], errors
    assert not (folder / PART).exists()
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """Return the same run, not yet evaluated."""
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "evaluation.json").unlink()
    return tmp_path / "run"


@pytest.mark.slow
@pytest.mark.parametrize(("n_processes", "n_threads"), [(1, 2), (2, 2), (4, 1)])
def test_the_file_is_that_of_one_process(
    trained: Path, run: Path, n_processes: int, n_threads: int
) -> None:
    names = {path.name for path in run.iterdir()} | {"evaluation.json"}
    codes, outputs, errors = evaluate(run, n_processes, "--threads", n_threads, "--json")
    assert codes == [0] * n_processes, errors
    assert values(run) == values(trained)
    assert outputs == [(run / "evaluation.json").read_text()] + [""] * (n_processes - 1)
    assert {path.name for path in run.iterdir()} == names


@pytest.mark.slow
@pytest.mark.parametrize(("n_processes", "victim", "n_then"), [(1, 0, 2), (2, 1, 1)])
def test_a_killed_evaluation_goes_on_to_the_same_bits(
    trained: Path, run: Path, n_processes: int, victim: int, n_then: int
) -> None:
    program = [sys.executable, "-c", KILLED, str(victim), *COMMAND[3:]]
    codes, _, errors = evaluate(run, n_processes, command=program)
    assert codes[victim] == -signal.SIGKILL
    for rank, (code, error) in enumerate(zip(codes, errors, strict=True)):
        if rank != victim:
            assert code == 2, error
            assert "another process is gone" in error
            assert "Traceback" not in error
    assert not (run / "evaluation.json").exists()
    assert 8_000 < ParzenStream.load(run / PART).n_samples < 10_000
    codes, _, errors = evaluate(run, n_then)
    assert codes == [0] * n_then, errors
    assert "anew" not in "".join(errors)
    assert values(run) == values(trained)
    assert not (run / PART).exists()


def test_a_mistake_ends_all_and_is_told_once(run: Path) -> None:
    with hold(run, "evaluation"):
        codes, _, errors = evaluate(run, 2)
    assert codes == [2, 2]
    assert errors[0].startswith(f"error: folder: evaluation is under way in {run}, by process ")
    assert errors[1] == ""
    codes, _, errors = evaluate(run.with_name("nowhere"), 2)
    assert codes == [2, 2]
    assert "nowhere" in errors[0]
    assert errors[1] == ""
