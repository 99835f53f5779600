"""Import ``benchmarks`` from its folder; a clock, points and a tiny run for its tests."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from fastgan.training import train

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from tiny_run import TINY, tiny_dataset

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def harness() -> Iterator[ModuleType]:
    """Import ``benchmarks`` from its folder without putting the source tree on the path."""
    spec = importlib.util.spec_from_file_location(
        "benchmarks", FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    package = importlib.util.module_from_spec(spec)
    sys.modules["benchmarks"] = package
    spec.loader.exec_module(package)
    yield importlib.import_module("benchmarks.harness")
    for name in [n for n in sys.modules if n.split(".")[0] == "benchmarks"]:
        del sys.modules[name]


class Clock:
    """A clock that goes on only where the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(harness: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(importlib.import_module("benchmarks.devices"), "time", made)
    return made


@pytest.fixture
def tied_points() -> tuple[torch.Tensor, torch.Tensor]:
    """Return 11 queries and 40 points, three of which are one."""
    generator = torch.Generator().manual_seed(0)
    data = torch.rand(40, 6, generator=generator)
    data[17] = data[3]  # a tie: the smaller index
    data[30] = data[3]
    queries = torch.cat([data[3:4] + 0.01, data[30:31], torch.rand(9, 6, generator=generator)])
    return queries, data


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny run that was trained to its end."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(TINY, dataset=tiny_dataset(), folder=folder, progress=False)
    return folder
