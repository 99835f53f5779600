"""The benchmark harness: it measures what it says and reports nothing from a wrong result."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


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


def comparison(harness: ModuleType, error: float, calls: list[str]) -> object:
    def call(name: str, seconds: float) -> None:
        calls.append(name)
        time.sleep(seconds)

    def broken() -> None:
        raise RuntimeError("no compiler")

    return harness.Comparison(
        operation="wait",
        size="1",
        contenders=[
            harness.Contender("fastgan", lambda: call("a", 0.002), lambda: error),
            harness.Contender("peer", lambda: call("b", 0.006), lambda: 0.5),
            harness.Contender("broken", broken),
        ],
        bound=1e-3,
        error_unit="units",
    )


def test_measure_interleaves_and_takes_ratios(harness: ModuleType) -> None:
    calls: list[str] = []
    ours, peer, broken = harness.measure(
        comparison(harness, 1e-4, calls), n_rounds=5, block_seconds=0.0
    )
    assert "".join(calls[-10:]) == "ab" * 5
    assert 2.0 < peer.ratio_median < 4.0
    assert peer.ratio_low <= peer.ratio_median <= peer.ratio_high
    assert (ours.error, ours.bound, peer.error, peer.bound) == (1e-4, 1e-3, 0.5, None)
    assert ours.ratio_median == 1.0
    assert broken.seconds is None
    assert "no compiler" in broken.note
    for key in ("processor", "threads", "SIMD level", "torch", "date"):
        assert ours.machine[key]


@pytest.mark.parametrize("error", [2e-3, float("nan"), float("inf")])
def test_no_number_from_a_wrong_result(harness: ModuleType, error: float) -> None:
    calls: list[str] = []
    with pytest.raises(harness.WrongResultError, match="no time is reported"):
        harness.measure(comparison(harness, error, calls), n_rounds=5)
    assert len(calls) == 2  # each ran once, for its error; none was timed


def test_results_are_written(harness: ModuleType, tmp_path: Path) -> None:
    rows = harness.measure(comparison(harness, 0.0, []), n_rounds=1, block_seconds=0.0)
    path = harness.write(rows, "wait", tmp_path)
    text = path.read_text()
    assert text.count("| wait |") == 3
    assert "failed: RuntimeError" in text
    assert json.loads((tmp_path / "wait.json").read_text())[1]["contender"] == "peer"


def test_quantile_interpolates(harness: ModuleType) -> None:
    assert harness.quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert harness.quantile([0.0, 10.0], 0.1) == pytest.approx(1.0)


def test_readable_times(harness: ModuleType) -> None:
    assert [harness.readable(t) for t in (1.5, 2e-3, 3e-6, 4e-9)] == [
        "1.5 s",
        "2 ms",
        "3 us",
        "4 ns",
    ]


@pytest.mark.parametrize("name", ["dropout", "maxout_linear", "momentum_sgd", "parzen", "neighbors",
                                  "training_step"])  # fmt: skip
def test_every_benchmark_runs_on_a_tiny_size(
    harness: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FASTGAN_DATA", raising=False)
    module = importlib.import_module(f"benchmarks.bench_{name}")
    for one in module.comparisons(quick=True, compile=False):
        rows = harness.measure(one, n_rounds=1, block_seconds=0.0)
        assert rows[0].contender == "fastgan"
        assert not [row.note for row in rows if row.note]
        assert rows[0].error <= rows[0].bound


def test_run_refuses_an_unknown_name(harness: ModuleType, capsys: pytest.CaptureFixture) -> None:
    run = importlib.import_module("benchmarks.run")
    with pytest.raises(SystemExit) as raised:
        run.main(["parzenn"])
    assert raised.value.code == 2
    assert "unknown benchmark 'parzenn'" in capsys.readouterr().err
