"""The benchmark harness: it measures what it says and reports nothing from a wrong result."""

from __future__ import annotations

import importlib
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def comparison(harness: ModuleType, clock: Any, error: float, calls: list[str]) -> Any:
    def call(name: str, seconds: float) -> str:
        calls.append(name)
        clock.sleep(seconds)
        return name

    def broken() -> None:
        raise RuntimeError("no compiler")

    def missing() -> None:
        raise harness.NotInstalledError("pip install something")

    return harness.Comparison(
        operation="wait",
        size="1",
        contenders=[
            harness.Contender("fastgan", lambda: call("a", 0.002), lambda _: error),
            harness.Contender(
                "peer",
                lambda: call("b", 0.006),
                lambda found: {"b": 0.5}[found],
                build=lambda: call("i", 0.003),
                remark=lambda found: f"returned {found}",
            ),
            harness.Contender("broken", broken),
            harness.Contender("missing", missing),
        ],
        bound=1e-3,
        error_unit="units",
    )


def test_measure_interleaves_and_takes_ratios(harness: ModuleType, clock: Any) -> None:
    calls: list[str] = []
    one = comparison(harness, clock, 1e-4, calls)
    ours, peer, broken, missing = one.measure(n_rounds=5, block_seconds=0.0)
    assert "".join(calls[-15:]) == "abi" * 5  # the index is timed apart, after each round
    assert (ours.seconds, peer.seconds) == pytest.approx((0.002, 0.006))
    assert (peer.ratio_low, peer.ratio_median, peer.ratio_high) == pytest.approx((3.0, 3.0, 3.0))
    assert peer.build_seconds == pytest.approx(0.003)
    assert peer.note == "returned b"
    assert (ours.error, ours.bound, peer.error, peer.bound) == (1e-4, 1e-3, 0.5, None)
    assert (ours.ratio_median, ours.build_seconds, ours.n_rounds) == (1.0, None, 5)
    assert broken.seconds is None
    assert broken.note == "failed: RuntimeError: no compiler"
    assert missing.seconds is None
    assert missing.note == "not installed: pip install something"
    for key in ("processor", "threads", "SIMD level", "torch", "faiss-cpu", "date"):
        assert ours.machine[key]


@pytest.mark.parametrize("error", [2e-3, float("nan"), float("inf")])
def test_no_number_from_a_wrong_result(harness: ModuleType, clock: Any, error: float) -> None:
    calls: list[str] = []
    with pytest.raises(harness.WrongResultError, match="no time is reported"):
        comparison(harness, clock, error, calls).measure(n_rounds=5)
    assert calls == ["a"]  # once, for its error; nothing was timed


@pytest.mark.parametrize(("budget_seconds", "n_rounds"), [(1e-6, 3), (0.1, 12), (60.0, 40)])
def test_a_budget_takes_rounds_away_but_never_below_three(
    harness: ModuleType, clock: Any, budget_seconds: float, n_rounds: int
) -> None:
    rows = comparison(harness, clock, 0.0, []).measure(  # 8 ms a round
        n_rounds=40, block_seconds=0.0, budget_seconds=budget_seconds
    )
    assert [row.n_rounds for row in rows] == [n_rounds, n_rounds, 0, 0]


def test_a_block_is_filled_with_calls(harness: ModuleType, clock: Any) -> None:
    calls: list[str] = []
    comparison(harness, clock, 0.0, calls).measure(n_rounds=3, block_seconds=0.02)
    assert "".join(calls[-42:]) == ("a" * 10 + "b" * 3 + "i") * 3


def test_ratios_are_taken_round_by_round(harness: ModuleType, clock: Any) -> None:
    """A machine that slows down for some rounds changes times, but no ratio."""
    rounds = [1.0, 1.0, 1.0, 5.0, 5.0, 1.0, 1.0]  # the first two of each are no rounds
    factors = {"a": iter(rounds), "b": iter(rounds)}

    def call(name: str, seconds: float) -> None:
        clock.sleep(seconds * next(factors[name]))

    contenders = [
        harness.Contender("fastgan", lambda: call("a", 0.1), lambda _: 0.0),
        harness.Contender("peer", lambda: call("b", 0.4)),
    ]
    one = harness.Comparison("wait", "1", contenders, 1e-3, "units")
    ours, peer = one.measure(n_rounds=5, block_seconds=0.0)
    assert (ours.seconds, peer.seconds) == pytest.approx((0.1, 0.4))
    assert (peer.ratio_low, peer.ratio_median, peer.ratio_high) == pytest.approx((4.0, 4.0, 4.0))


def slow_peer(
    harness: ModuleType, clock: Any, calls: list[str], seconds: float, of_all: float
) -> Any:
    """Return a comparison with a peer: a hundredth takes ``seconds`` and an index, 5 ms."""

    def work(name: str, seconds: float) -> str:
        calls.append(name)
        clock.sleep(seconds)
        return name

    return harness.Comparison(
        operation="wait",
        size="1",
        contenders=[
            harness.Contender("fastgan", lambda: work("a", 0.01), lambda _: 0.0),
            harness.Contender(
                "peer",
                lambda: work("all", of_all),
                lambda _: 0.25,
                build=lambda: work("index", 0.005),
                part=harness.Part(
                    lambda: work("part", 0.005 + seconds), lambda _: 0.75, 0.01, "1 of 100 queries"
                ),
            ),
        ],
        bound=1e-3,
        error_unit="units",
    )


def test_a_slow_peer_runs_once_on_a_part_and_the_table_says_so(
    harness: ModuleType, clock: Any
) -> None:
    calls: list[str] = []
    rows = slow_peer(harness, clock, calls, 0.01, 1.0).measure(n_rounds=3, block_seconds=0.0)
    peer = rows[1]
    assert calls.count("part") == 2  # one to warm up
    assert "all" not in calls
    # the index once, the rest a hundred times: 5 ms + 100 x 10 ms, not 100 x 15 ms
    assert (peer.seconds, peer.build_seconds) == pytest.approx((1.005, 0.005))
    assert peer.ratio_median == pytest.approx(100.5)
    assert (peer.error, peer.n_rounds, peer.measured_on) == (0.75, 1, "1 of 100 queries")
    results = importlib.import_module("benchmarks.rows")
    line = results.line(peer)
    assert "once, on 1 of 100 queries" in line
    assert "(once)" in line


def test_a_peer_that_only_might_be_slow_runs_on_everything(harness: ModuleType, clock: Any) -> None:
    calls: list[str] = []
    # its part says 35 times, as much as the first of many queries may cost; the whole says 2
    rows = slow_peer(harness, clock, calls, 0.0035, 0.02).measure(n_rounds=3, block_seconds=0.0)
    assert calls.count("all") == 5  # first, warm, three rounds
    assert (rows[1].error, rows[1].n_rounds, rows[1].measured_on) == (0.25, 3, "")
    assert rows[1].ratio_median == pytest.approx(2.0)


def test_a_peer_found_slow_on_everything_is_not_timed_again(
    harness: ModuleType, clock: Any
) -> None:
    calls: list[str] = []
    rows = slow_peer(harness, clock, calls, 0.0035, 0.3).measure(n_rounds=9, block_seconds=0.0)
    assert calls.count("all") == 2  # first and warm
    assert (rows[1].error, rows[1].n_rounds, rows[1].measured_on) == (0.25, 1, "all queries")
    assert (rows[1].seconds, rows[1].build_seconds) == pytest.approx((0.3, 0.005))


@pytest.mark.parametrize(("n", "few"), [(10_000, 100), (1_000, 20), (200, 20), (7, 7)])
def test_a_part_is_a_hundredth_but_not_a_handful(harness: ModuleType, n: int, few: int) -> None:
    assert harness.n_of_part(n) == few


def test_results_are_written(harness: ModuleType, clock: Any, tmp_path: Path) -> None:
    results = importlib.import_module("benchmarks.rows")
    rows = comparison(harness, clock, 0.0, []).measure(n_rounds=1, block_seconds=0.0)
    rows += harness.LeftOut("wait", "2", "no data").measure(
        n_rounds=1, block_seconds=0.0, budget_seconds=1.0
    )
    path = results.write(rows, "wait", tmp_path)
    text = path.read_text()
    assert text.count("| wait |") == 5
    assert "failed: RuntimeError" in text
    assert "left out: no data" in text
    header, rule, *body = text.split("\n\n")[0].splitlines()
    assert {line.count("|") for line in (header, rule, *body)} == {12}
    assert json.loads((tmp_path / "wait.json").read_text())[1]["contender"] == "peer"


def test_quantile_interpolates(harness: ModuleType) -> None:
    assert harness.quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert harness.quantile([0.0, 10.0], 0.1) == pytest.approx(1.0)


def test_readable_times(harness: ModuleType) -> None:
    results = importlib.import_module("benchmarks.rows")
    assert [results.readable(t) for t in (1.5, 2e-3, 3e-6, 4e-9)] == [
        "1.5 s",
        "2 ms",
        "3 us",
        "4 ns",
    ]
