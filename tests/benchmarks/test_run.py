"""Every benchmark runs, by name and by case."""

from __future__ import annotations

import importlib
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from fastgan.data import locate

NAMES = [
    "philox",
    "dropout",
    "linear",
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
    monkeypatch.setattr(locate, "cache_folder", lambda name: Path("absent") / name)
    module = importlib.import_module(f"benchmarks.bench_{name}")
    cases = ("from_file",) if name == "memory" else ()  # a process a task: seconds each
    for one in module.comparisons(harness.Options(quick=True, compile=False, cases=cases)):
        rows = one.measure(n_rounds=1, block_seconds=0.0, budget_seconds=60.0)
        if rows[0].note.startswith("left out: it needs "):  # see test_training_step
            continue
        assert rows[0].contender.startswith("fastgan")
        notes = [row.note for row in rows if row.seconds is None]
        assert not [note for note in notes if not note.startswith("not installed: ")]
        assert rows[0].error <= rows[0].bound


def test_names_are_those_of_the_files(harness: ModuleType) -> None:
    run = importlib.import_module("benchmarks.run")
    assert sorted(run.NAMES) == sorted(NAMES)
    assert {f"bench_{name}.py" for name in NAMES} == {
        p.name for p in Path(harness.__file__).parent.glob("bench_*.py")
    }


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


@pytest.mark.parametrize("case", ["parzen:1e6", "neighbors:1", "memory:from_file"])
def test_too_few_samples_leave_a_comparison_out(
    harness: ModuleType, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FASTGAN_DATA", raising=False)
    monkeypatch.setattr(locate, "cache_folder", lambda name: Path("absent") / name)
    file = tmp_path / "samples.npy"
    np.save(file, np.zeros((150, 64), np.float32))
    run = importlib.import_module("benchmarks.run")
    arguments = [case, "--quick", "--no-compile", "--samples", str(file), "--out", str(tmp_path)]
    assert run.main(arguments) == 0
    (written,) = tmp_path.glob("*-quick.json")
    (row,) = json.loads(written.read_text())
    assert row["seconds"] is None
    assert "samples are needed, the file holds 150" in row["note"]


def test_no_cifar10_leaves_its_comparison_out(
    harness: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FASTGAN_DATA", raising=False)
    monkeypatch.setattr(locate, "cache_folder", lambda name: Path("absent") / name)
    module = importlib.import_module("benchmarks.bench_neighbors")
    (one,) = module.comparisons(harness.Options(cases=("cifar10",)))
    (row,) = one.measure(n_rounds=1, block_seconds=0.0, budget_seconds=1.0)
    assert "CIFAR-10" in row.note


@pytest.mark.data
def test_cifar10_is_read_as_it_is(harness: ModuleType, data_folder: Path) -> None:
    queries, data = importlib.import_module("benchmarks.points").cifar10_pixels()
    assert (queries.shape, data.shape) == ((10_000, 3_072), (50_000, 3_072))
    assert queries.dtype == data.dtype == torch.uint8
    for name, row in (("test_batch.bin", queries[-1]), ("data_batch_5.bin", data[-1])):
        record = np.fromfile(data_folder / "cifar10" / name, np.uint8)[-3_072:]
        assert np.array_equal(row.numpy(), record)


def test_run_keeps_the_contenders_that_are_named(
    harness: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    from benchmarks import run

    options = ["parzen:1e4", "--quick", "--rounds", "3", "--out", str(tmp_path)]
    assert run.main([*options, "--no-compile", "--against", "eager,torch.mm"]) == 0
    (path,) = tmp_path.glob("*.json")
    names = [row["contender"] for row in json.loads(path.read_text(encoding="utf-8"))]
    assert names == ["fastgan", "eager", "torch.mm"]
