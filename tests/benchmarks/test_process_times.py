"""The times of several processes: what is asked of them, and that a bit that differs is told."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def times(harness: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.process_times")


def run(means: dict[int, float], asked: list[tuple[object, ...]]):
    """Stand in for fastgan's command: N processes find the mean of N, N threads take 1 / N s."""

    def run(way, command: str, *arguments: str) -> None:
        asked.append((way.n_processes, way.n_threads, command))
        if command == "evaluate":
            found = {"mean": means[way.n_processes], "seconds": 1.0 / way.n_threads}
            (Path(arguments[0]) / "evaluation.json").write_text(json.dumps(found))
            return
        folder = Path(arguments[arguments.index("--out") + 1])
        folder.mkdir()
        (folder / "recipe.toml").write_text(Path(arguments[0]).read_text())
        lines = [{"epoch": n, "step": n, "seconds": n * way.n_processes} for n in (1, 2)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    return run


@pytest.mark.parametrize("mean_of_four", [1.0, 1.0 + 2.0**-52])
def test_table_and_bits(times, whole, monkeypatch, capsys, mean_of_four) -> None:
    asked: list[tuple[object, ...]] = []
    means = {1: 1.0, 2: 1.0, 4: mean_of_four}
    monkeypatch.setattr(times.Way, "run", run(means, asked))
    code = times.main([str(whole), "--epochs", "2", "--rounds", "2"])
    assert asked == 2 * [(*way, command) for way in times.WAYS for command in ("evaluate", "train")]
    told = capsys.readouterr().out
    assert "| 1 | 2 | 0.5 (0.5 to 0.5) | 1 (1 to 1) |" in told
    assert "| 4 | 1 | 1 (1 to 1) | 4 (4 to 4) |" in told
    assert code == (mean_of_four != 1.0)
    assert f"{2 * code} of 8 evaluations differ" in told


def test_a_command_that_fails_is_told(times, tmp_path) -> None:
    with pytest.raises(RuntimeError, match="fastgan evaluate"):
        times.Way(1, 1).run("evaluate", str(tmp_path / "none"))
