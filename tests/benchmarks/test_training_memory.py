"""Memory that training takes is seen, growth is found, and a failure is told."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="reads Linux's /proc"
)

CHILD = """
import sys, time
def say(*words):
    print(*words, flush=True)
    sys.stdin.readline()
say("ready")
block = bytearray(b"x" * 40_000_000)
time.sleep(.05)
del block
say("warm")
kept = bytearray(b"x" * {grown})
say("done", .25)
"""


@pytest.fixture
def module(harness: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.training_steps.training_memory")


def test_peak_and_growth_are_seen(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = tmp_path / "child.py"
    child.write_text(CHILD.format(grown=200_000), encoding="utf-8")
    monkeypatch.setattr(module, "CHILD", child)
    rows = module.StepMemory("digits", is_tiny=True).measure()
    assert [row.contender for row in rows] == ["fastgan", "fastgan, autograd", "eager, SGD fused"]
    for row in rows:
        assert row.seconds == 0.25
        assert 40e6 <= row.extra_bytes < 90e6  # the bytes that are copied, too
        assert 150_000 < row.error < 400_000
    assert (rows[0].bound, rows[1].bound) == (1_024_000.0, None)


def test_growth_is_an_error(
    harness: ModuleType, module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = tmp_path / "child.py"
    child.write_text(CHILD.format(grown=3_000_000), encoding="utf-8")
    monkeypatch.setattr(module, "CHILD", child)
    with pytest.raises(harness.WrongResultError, match=r"grew by \d,\d{3},\d{3} bytes"):
        module.StepMemory("digits", is_tiny=True).measure()


@pytest.mark.parametrize("contender", ["fastgan", "eager, SGD fused"])
def test_steps_are_trained_in_a_process(module: ModuleType, contender: str) -> None:
    work = module.StepMemory("digits", is_tiny=True, contenders=(contender,), n_steps=50)
    (row,) = work.measure()
    assert row.size == "tiny digits, 50 steps"
    assert 0 < row.seconds < 1
    assert row.error < 1_024_000


def test_a_failure_of_the_process_is_told(module: ModuleType) -> None:
    work = module.StepMemory("nothing", is_tiny=True, contenders=("fastgan",))
    with pytest.raises(RuntimeError, match=r"recipe: expected one of mnist, .* got 'nothing'"):
        work.measure()


def test_memory_of_a_command_line(module: ModuleType) -> None:
    (row,) = module.RunMemory(["--help"]).measure()
    assert row.size == "fastgan train --help"
    assert 5e6 < row.extra_bytes < 500e6
    assert row.seconds > 0
    with pytest.raises(RuntimeError, match=r"the measured command failed: (?s:.*)nothing"):
        module.RunMemory(["nothing", "--epochs", "1"]).measure()
