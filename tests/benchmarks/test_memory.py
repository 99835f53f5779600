"""Memory is seen from outside, and no number comes from a wrong result."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import os
import re
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_watch_sees_the_peak_of_anonymous_memory(harness: ModuleType) -> None:
    memory = importlib.import_module("benchmarks.memory")
    before = memory.anonymous_bytes(os.getpid())
    with memory.Watch(os.getpid()) as watch:
        block = np.ones(8_000_000)  # 64 MB, written
        time.sleep(0.05)
        del block
    assert 60e6 < watch.peak_bytes - before < 90e6
    assert memory.anonymous_bytes(os.getpid()) - before < 30e6


def test_functions_of_the_measured_process_agree(
    harness: ModuleType, tied_points: tuple[torch.Tensor, torch.Tensor]
) -> None:
    functions = importlib.import_module("benchmarks.memory_child").FUNCTIONS
    sigma = importlib.import_module("benchmarks.bench_parzen").SIGMA
    reference = importlib.import_module("benchmarks.reference")
    queries, data = tied_points
    pair = queries.numpy(), data.numpy()
    distances, places = reference.nearest(queries, data, 1)
    right = reference.parzen(queries, data, [sigma])[0]
    for prefix, near in (("", 1e-10), ("eager ", 1e-4)):
        found = functions[f"{prefix}neighbors"](*pair)
        np.testing.assert_allclose(found[0], distances, rtol=near, atol=near)
        if not prefix:
            assert found[1].tolist() == places.tolist()
        np.testing.assert_allclose(functions[f"{prefix}parzen"](*pair), right, atol=near)
    assert len(functions) == 4


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_a_wrong_result_has_no_memory_either(harness: ModuleType, tmp_path: Path) -> None:
    memory = importlib.import_module("benchmarks.memory")
    file = tmp_path / "rows.npy"
    np.save(file, np.random.default_rng(0).random((300, 8), dtype=np.float32))
    seen = []

    def error(found: list[np.ndarray]) -> float:
        seen.append([(part.shape, part.dtype) for part in found])
        return 1.0

    task = memory.Task("fastgan", "neighbors", file, file, 100, 300, True, error)
    one = memory.MemoryComparison("memory", "small", [task], 0.5, "units")
    with pytest.raises(harness.WrongResultError, match="nothing is reported"):
        one.measure(n_rounds=1)
    assert seen == [[((100, 1), np.float64), ((100, 1), np.int64)]]
    with pytest.raises(RuntimeError, match="KeyError: 'nothing'"):
        memory.run(dataclasses.replace(task, function="nothing"))


def test_memory_of_a_command(harness: ModuleType, capfd: pytest.CaptureFixture) -> None:
    memory = importlib.import_module("benchmarks.memory")
    code = "import time; block = bytearray(b'x' * 50_000_000); time.sleep(.05); raise SystemExit(3)"
    assert memory.main([sys.executable, "-c", code]) == 3
    found = re.fullmatch(
        r"[\d.]+ s, at most (\d+) MB of anonymous memory\n", capfd.readouterr().out
    )
    if Path("/proc/self/status").exists():
        assert 50 <= int(found[1]) < 150  # bytes and bytearray at most, and Python
    assert memory.main([]) == 2
