"""The script that kills: what it calls a fault, and which kills fell into the writing."""

from __future__ import annotations

import importlib
import json
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from fastgan.training import train

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from tiny_run import TINY, tiny_dataset


@pytest.fixture(scope="module")
def knocks(harness: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.hard_knocks")


@pytest.fixture
def killed(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "killed")


def other_metrics(folder: Path) -> None:
    path = folder / "metrics.jsonl"
    first, *others = path.read_text(encoding="utf-8").splitlines()
    record = {**json.loads(first), "discriminator_cost": 0.5}
    path.write_text("\n".join([json.dumps(record), *others, ""]), encoding="utf-8")


def other_run(folder: Path) -> None:
    shutil.rmtree(folder)
    train(TINY.replace(seed=4), dataset=tiny_dataset(), folder=folder, progress=False)


def other_picture(folder: Path) -> None:
    first, *_, last = sorted((folder / "samples").glob("*.png"))
    last.unlink()
    shutil.copy(first, last)


def no_best(folder: Path) -> None:
    (folder / "best.safetensors").unlink()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda folder: None, []),
        (other_metrics, ["the metrics differ"]),
        (no_best, ["best.safetensors differs"]),
        (other_picture, ["differs"]),
    ],
)
def test_what_differs_is_told(
    knocks: ModuleType, whole: Path, killed: Path, change: Callable, told: list[str]
) -> None:
    change(killed)
    found = list(knocks.differences_of_runs(whole, killed))
    assert len(found) == len(told)
    assert all(one.endswith(words) for one, words in zip(found, told, strict=True))


def test_other_weights_are_told(knocks: ModuleType, whole: Path, killed: Path) -> None:
    other_run(killed)
    found = list(knocks.differences_of_runs(whole, killed))
    assert any(fault.endswith("differs in the checkpoint") for fault in found)


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "best.safetensors", "recipe.toml"])
def test_a_file_cut_short_cannot_be_read(knocks: ModuleType, killed: Path, name: str) -> None:
    assert knocks.unreadable(killed) == []
    content = (killed / name).read_bytes()
    (killed / name).write_bytes(content[: len(content) // 2])
    faults = knocks.unreadable(killed)
    assert any(fault.startswith(f"{name} cannot be read") for fault in faults)


WRITER = """
import os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
print("begun", flush=True)
(folder / f".file.{os.getpid() + int(sys.argv[2])}.1.part").touch()
(folder / "there").touch()
time.sleep(60)
"""


@pytest.mark.parametrize(("of_another", "is_writing"), [(0, True), (1, False)])
def test_what_another_left_is_no_writing(
    knocks: ModuleType, tmp_path: Path, of_another: int, is_writing: bool
) -> None:
    job = knocks.Job(WRITER, tmp_path, of_another)
    while not (tmp_path / "there").exists():
        assert not job.is_over
    job.kill(random.Random(0))
    assert job.is_over
    assert job.is_writing is is_writing
