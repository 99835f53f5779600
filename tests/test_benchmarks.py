"""The benchmark harness: it measures what it says and reports nothing from a wrong result."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
import math
import os
import re
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import fastgan

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


def comparison(harness: ModuleType, error: float, calls: list[str]) -> Any:
    def call(name: str, seconds: float) -> str:
        calls.append(name)
        time.sleep(seconds)
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


def test_measure_interleaves_and_takes_ratios(harness: ModuleType) -> None:
    calls: list[str] = []
    one = comparison(harness, 1e-4, calls)
    ours, peer, broken, missing = one.measure(n_rounds=5, block_seconds=0.0)
    assert "".join(calls[-15:]) == "abi" * 5  # the index is timed apart, after each round
    assert 2.0 < peer.ratio_median < 4.0
    assert peer.ratio_low <= peer.ratio_median <= peer.ratio_high
    assert 0.003 <= peer.build_seconds < 0.006
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
def test_no_number_from_a_wrong_result(harness: ModuleType, error: float) -> None:
    calls: list[str] = []
    with pytest.raises(harness.WrongResultError, match="no time is reported"):
        comparison(harness, error, calls).measure(n_rounds=5)
    assert calls == ["a"]  # once, for its error; nothing was timed


def test_a_budget_takes_rounds_away_but_never_below_three(harness: ModuleType) -> None:
    for budget_seconds, least, most in ((1e-6, 3, 3), (0.1, 4, 12), (60.0, 40, 40)):
        rows = comparison(harness, 0.0, []).measure(
            n_rounds=40, block_seconds=0.0, budget_seconds=budget_seconds
        )
        assert least <= rows[0].n_rounds <= most


def slow_peer(harness: ModuleType, calls: list[str], seconds: float) -> Any:
    """Return a comparison with a peer of which an index takes 5 ms and a hundredth ``seconds``."""

    def work(name: str, seconds: float) -> str:
        calls.append(name)
        time.sleep(seconds)
        return name

    return harness.Comparison(
        operation="wait",
        size="1",
        contenders=[
            harness.Contender("fastgan", lambda: work("a", 0.01), lambda _: 0.0),
            harness.Contender(
                "peer",
                lambda: work("all", 0.02),
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


def test_a_slow_peer_runs_once_on_a_part_and_the_table_says_so(harness: ModuleType) -> None:
    calls: list[str] = []
    rows = slow_peer(harness, calls, 0.01).measure(n_rounds=3, block_seconds=0.0)
    peer = rows[1]
    assert calls.count("part") == 2  # one to warm up
    assert "all" not in calls
    # the index once, the rest a hundred times: 5 ms + 100 x 10 ms, not 100 x 15 ms
    assert 1.0 <= peer.seconds < 1.4
    assert 0.005 <= peer.build_seconds < 0.01
    assert 50 < peer.ratio_median < 140
    assert (peer.error, peer.n_rounds, peer.measured_on) == (0.75, 1, "1 of 100 queries")
    results = importlib.import_module("benchmarks.results")
    line = results.line(peer)
    assert "once, on 1 of 100 queries" in line
    assert "(once)" in line


def test_a_peer_that_only_might_be_slow_runs_on_everything(harness: ModuleType) -> None:
    calls: list[str] = []
    rows = slow_peer(harness, calls, 0.0).measure(n_rounds=3, block_seconds=0.0)
    assert calls.count("all") == 5  # first, warm, three rounds
    assert (rows[1].error, rows[1].n_rounds, rows[1].measured_on) == (0.25, 3, "")
    assert 1.5 < rows[1].ratio_median < 3.0


@pytest.mark.parametrize(("n", "few"), [(10_000, 100), (1_000, 20), (200, 20), (7, 7)])
def test_a_part_is_a_hundredth_but_not_a_handful(harness: ModuleType, n: int, few: int) -> None:
    assert harness.n_of_part(n) == few


def test_results_are_written(harness: ModuleType, tmp_path: Path) -> None:
    results = importlib.import_module("benchmarks.results")
    rows = comparison(harness, 0.0, []).measure(n_rounds=1, block_seconds=0.0)
    rows += harness.LeftOut("wait", "2", "no data").measure(
        n_rounds=1, block_seconds=0.0, budget_seconds=1.0
    )
    path = results.write(rows, "wait", tmp_path)
    text = path.read_text()
    assert text.count("| wait |") == 5
    assert "failed: RuntimeError" in text
    assert "left out: no data" in text
    header, rule, *body = text.split("\n\n")[0].splitlines()
    assert {line.count("|") for line in (header, rule, *body)} == {11}
    assert json.loads((tmp_path / "wait.json").read_text())[1]["contender"] == "peer"


def test_quantile_interpolates(harness: ModuleType) -> None:
    assert harness.quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert harness.quantile([0.0, 10.0], 0.1) == pytest.approx(1.0)


def test_readable_times(harness: ModuleType) -> None:
    results = importlib.import_module("benchmarks.results")
    assert [results.readable(t) for t in (1.5, 2e-3, 3e-6, 4e-9)] == [
        "1.5 s",
        "2 ms",
        "3 us",
        "4 ns",
    ]


def tied_points() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    data = torch.rand(40, 6, generator=generator)
    data[17] = data[3]  # a tie: the smaller index
    data[30] = data[3]
    queries = torch.cat([data[3:4] + 0.01, data[30:31], torch.rand(9, 6, generator=generator)])
    return queries, data


@pytest.mark.parametrize("k", [1, 2, 5, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_reference_neighbors_are_exact(
    harness: ModuleType, k: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = importlib.import_module("benchmarks.reference")
    monkeypatch.setattr(reference, "QUERIES", 4)
    monkeypatch.setattr(reference, "ROWS", 7)
    queries, data = tied_points()
    if dtype == torch.uint8:
        queries, data = ((part * 255).to(torch.uint8) for part in (queries, data))
    found, places = reference.nearest(queries, data, k)
    for i, query in enumerate(queries.tolist()):
        exact = [
            sum(((Fraction(a) - Fraction(b)) ** 2 for a, b in zip(query, row, strict=True)))
            for row in data.tolist()
        ]
        right = sorted(range(len(data)), key=lambda j, exact=exact: (exact[j], j))[:k]
        assert places[i].tolist() == right
        assert found[i].tolist() == pytest.approx([float(exact[j]) for j in right], rel=1e-14)


def test_reference_neighbors_tell_apart_what_the_product_cannot(harness: ModuleType) -> None:
    reference = importlib.import_module("benchmarks.reference")
    # |x|^2 is 1e12: the float64 product is right to about 1e-3, and the distances are below 1e-5.
    query = torch.tensor([[1e6, 0.0]], dtype=torch.float64)
    data = query + torch.tensor([[0.0, 3e-3], [0.0, 1e-3], [0.0, 2e-3]], dtype=torch.float64)
    found, places = reference.nearest(query, data, 2)
    assert places.tolist() == [[1, 2]]
    assert found.tolist() == [pytest.approx([1e-6, 4e-6])]


def test_reference_parzen_is_the_formula(
    harness: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = importlib.import_module("benchmarks.reference")
    monkeypatch.setattr(reference, "QUERIES", 4)
    monkeypatch.setattr(reference, "ROWS", 7)
    queries, samples = tied_points()
    found = reference.parzen(queries, samples, [0.1, 1.0])
    for i, sigma in enumerate((0.1, 1.0)):
        for query, value in zip(queries.double(), found[i], strict=True):
            window = torch.distributions.Normal(query, sigma)
            log_densities = window.log_prob(samples.double()).sum(dim=1)
            right = torch.logsumexp(log_densities, dim=0) - math.log(len(samples))
            assert float(value) == pytest.approx(float(right), rel=1e-12)


def test_tiles_of_the_peers_do_not_change_their_answers(
    harness: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers = importlib.import_module("benchmarks.peers")
    reference = importlib.import_module("benchmarks.reference")
    queries, data = (part.double() for part in tied_points())
    monkeypatch.setattr(peers, "QUERIES", 4)
    monkeypatch.setattr(peers, "SAMPLES", 7)
    right = reference.parzen(queries, data, [0.5])[0]
    for chunk in (peers.log_sums_by_product, peers.log_sums_by_cdist):
        found = peers.parzen(chunk, queries, data, 0.5)
        torch.testing.assert_close(found, right, rtol=1e-10, atol=1e-10)
    distances, _ = reference.nearest(queries, data, 3)
    for chunk in (peers.nearest_by_product, peers.nearest_by_cdist):
        found, _ = peers.nearest(chunk, queries, data, 3)
        torch.testing.assert_close(found.double(), distances, rtol=1e-5, atol=1e-5)


def test_samples_of_a_file_are_checked(harness: ModuleType, tmp_path: Path) -> None:
    points = importlib.import_module("benchmarks.points")
    digits = fastgan.load_dataset("digits")
    file = tmp_path / "samples.npy"
    rows = np.random.default_rng(0).random((30, digits.n_features), dtype=np.float32)
    np.save(file, rows)
    assert torch.equal(points.samples(digits, 20, file), torch.from_numpy(rows[:20]))
    with pytest.raises(points.TooFewError, match=r"^31 samples are needed, the file holds 30$"):
        points.samples(digits, 31, file)
    np.save(file, rows.astype(np.float64))
    with pytest.raises(ValueError, match=r"expected float32 numbers of shape \(n, 64\)"):
        points.samples(digits, 20, file)


def test_samples_without_a_file_are_noisy_images_whatever_their_number(
    harness: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = importlib.import_module("benchmarks.points")
    digits = fastgan.load_dataset("digits")
    monkeypatch.setattr(points, "NOISE_ROWS", 500)
    n_train = len(digits.train)
    drawn = points.samples(digits, n_train + 300, None)
    again = digits.train[torch.arange(len(drawn)) % n_train]
    assert (drawn - again).abs().max() < 0.7
    # the same image again has other noise
    assert not torch.equal(drawn[:300], drawn[n_train:])
    assert len(torch.unique(drawn, dim=0)) == len(drawn)
    assert torch.equal(points.samples(digits, 40, None), drawn[:40])
    assert drawn.min() == 0.0
    assert drawn.max() == 1.0


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


def test_functions_of_the_measured_process_agree(harness: ModuleType) -> None:
    functions = importlib.import_module("benchmarks.memory_child").FUNCTIONS
    sigma = importlib.import_module("benchmarks.bench_parzen").SIGMA
    reference = importlib.import_module("benchmarks.reference")
    queries, data = tied_points()
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


NAMES = [
    "dropout",
    "maxout_linear",
    "momentum_sgd",
    "parzen",
    "neighbors",
    "memory",
    "training_step",
]


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_runs_on_a_tiny_size(
    harness: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FASTGAN_DATA", raising=False)
    monkeypatch.setattr(fastgan.data.locate, "cache_folder", lambda name: Path("absent") / name)
    module = importlib.import_module(f"benchmarks.bench_{name}")
    cases = ("from_file",) if name == "memory" else ()  # a process a task: seconds each
    for one in module.comparisons(harness.Options(quick=True, compile=False, cases=cases)):
        rows = one.measure(n_rounds=1, block_seconds=0.0, budget_seconds=60.0)
        assert rows[0].contender.startswith("fastgan")
        notes = [row.note for row in rows if row.seconds is None]
        assert not [note for note in notes if not note.startswith("not installed: ")]
        assert rows[0].error <= rows[0].bound


def test_names_are_those_of_the_files(harness: ModuleType) -> None:
    run = importlib.import_module("benchmarks.run")
    assert sorted(run.NAMES) == sorted(NAMES)
    assert {f"bench_{name}.py" for name in NAMES} == {p.name for p in FOLDER.glob("bench_*.py")}


def test_run_writes_one_case_and_what_was_wrong(
    harness: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = importlib.import_module("benchmarks.run")
    arguments = ["neighbors:noise", "--quick", "--no-compile", "--rounds", "1"]
    assert run.main([*arguments, "--out", str(tmp_path)]) == 0
    (file,) = tmp_path.glob("*-quick.json")
    rows = json.loads(file.read_text())
    assert {row["operation"] for row in rows} == {"neighbors"}
    assert {row["size"] for row in rows} == {"isotropic noise: 300 x 300 x 64, k = 1"}
    module = importlib.import_module("benchmarks.bench_neighbors")
    monkeypatch.setattr(module, "bound", lambda n_features: -1.0)
    assert run.main([*arguments, "--out", str(tmp_path / "wrong")]) == 1
    assert not (tmp_path / "wrong").exists()


def test_run_refuses_an_unknown_name(harness: ModuleType, capsys: pytest.CaptureFixture) -> None:
    run = importlib.import_module("benchmarks.run")
    with pytest.raises(SystemExit) as raised:
        run.main(["parzenn"])
    assert raised.value.code == 2
    assert "unknown benchmark 'parzenn'" in capsys.readouterr().err


def test_run_refuses_an_unknown_case(harness: ModuleType, capsys: pytest.CaptureFixture) -> None:
    run = importlib.import_module("benchmarks.run")
    with pytest.raises(SystemExit) as raised:
        run.main(["parzen:1e9"])
    assert raised.value.code == 2
    assert "unknown case '1e9' of parzen; expected one of: 1e4, 1e6" in capsys.readouterr().err
