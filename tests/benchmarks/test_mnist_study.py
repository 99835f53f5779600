"""The study trains what it says, goes on where it was, and reports what is in the files only."""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
import re
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import fastgan
from fastgan import recipes
from fastgan.recipes import DenseLayer, MaxoutLayer, Recipe
from fastgan.runs import Run
from fastgan.scores import Evaluation

# A sixth of a second of training; scikit-learn's digits come with it.
SMALL = recipes.DIGITS.replace(
    name="small",
    generator=(DenseLayer(16, "relu", 0.5), DenseLayer(64, "sigmoid", 0.5, bias_from_data=True)),
    discriminator=(MaxoutLayer(8, 2, include_probability=0.8, initial_range=0.05),),
    average_decay=0.9,
    n_epochs=4,
    evaluate_every=2,
    n_samples=50,
)
MNIST_SCORE = Evaluation(
    dataset="mnist",
    comparable_to="MNIST",
    n_samples=10_000,
    n_test=10_000,
    n_validation=1_000,
    n_features=784,
    sigma=0.1668,
    sigmas=(0.1668,),
    validation_means=(0.0,),
    at_edge=False,
    sigma_variant="paper",
    mean=0.0,
    standard_error=1.5,
    sample_standard_error=0.8,
    n_blocks=50,
    seed=0,
    sample_range=(0.0, 1.0),
    data_range=(0.0, 1.0),
    seconds=1.0,
)


@pytest.fixture(scope="module")
def study(harness: ModuleType) -> ModuleType:
    """Import the study beside ``benchmarks.harness``."""
    names = ("plan", "one_slice", "carry_out", "findings", "reached", "comparisons", "report")
    package = importlib.import_module("benchmarks.mnist_study")
    for name in (*names, "sections", "__main__"):
        importlib.import_module(f"benchmarks.mnist_study.{name}")
    return package


def leave_run(
    folder: Path,
    place: str,
    recipe: Recipe,
    validations: dict[int, float],
    *,
    last: dict[int, float] | None = None,
    tests: dict[tuple[str, int], float] | None = None,
    warnings: tuple[tuple[int, str], ...] = (),
    n_epochs: int | None = None,
) -> Path:
    """Leave the files of a run whose numbers are given: 500 batches and 10 s an epoch."""
    run = Run.create(folder / place / f"seed-{recipe.seed}", recipe)
    for epoch in range(1, (n_epochs or recipe.n_epochs) + 1):
        record: dict[str, Any] = {
            "epoch": epoch, "step": 500 * epoch, "discriminator_cost": 0.5, "generator_cost": 1.0,
            "real_probability": 0.75, "fake_probability": 0.25, "sample_mean": 0.13,
            "sample_deviation": 0.15, "learning_rate": 0.1, "momentum": 0.5,
            "seconds": 10.0 * epoch,
        }  # fmt: skip
        if epoch in validations:
            record |= {"validation_log_likelihood": validations[epoch], "sigma": 0.1668}
        if last is not None and epoch in last:
            record["validation_log_likelihood_of_last_weights"] = last[epoch]
        run.append_metrics(record)
    for epoch, kind in warnings:
        run.append_metrics({"epoch": epoch, "step": 500 * epoch, "warning": kind, "message": kind})
    for (weights, epoch), mean in (tests or {}).items():
        path = run.folder / "study_scores" / f"{weights}-epoch-{epoch:04d}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(dataclasses.replace(MNIST_SCORE, mean=mean).to_json())
    slice_ = {
        "first_epoch": 1, "last_epoch": 4, "training_seconds": 40.0, "seconds": 50.0,
        "n_threads": 1, "n_processes": 2, "finished": "2026-01-02 03:04 UTC",
        "machine": {"processor": "an abacus", "cores": "2", "date": "2026-01-01 00:00 UTC"},
    }  # fmt: skip
    (run.folder / "study.jsonl").write_text(json.dumps(slice_) + "\n")
    return run.folder


def cells(text: str, heading: str) -> list[list[str]]:
    """Return the rows of the first table below a heading, its header first."""
    part = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line for line in part.splitlines() if line.startswith("|")]
    return [
        [cell.strip() for cell in row.strip("|").split("|")] for row in rows if "---" not in row
    ]


def test_parts_vary_what_they_say(study: ModuleType) -> None:
    runs = {part: study.plan.plan(part) for part in study.plan.PARTS}
    assert [run.recipe.seed for run in runs["long"]] == [0, 1, 2]
    assert all(run.recipe.averages for run in runs["long"])
    assert [run.recipe for run in runs["survival"]] == [
        recipes.MNIST.replace(seed=seed, n_epochs=10) for seed in range(8)
    ]
    found = {(run.recipe.schedule, run.recipe.cost) for run in runs["variants"]}
    assert found == {
        (schedule, cost)
        for schedule in ("simultaneous", "alternating")
        for cost in ("non_saturating", "saturating")
    }
    none, *others = runs["departures"]
    assert none.recipe == recipes.MNIST.replace(n_epochs=none.recipe.n_epochs)
    assert len({run.recipe for run in others} | {none.recipe}) == len(others) + 1
    places = [run.place for part in runs.values() for run in part]
    assert len(set(places)) == len(places)
    second = study.plan.plan("variants", recipe=SMALL, seeds=(4, 2), n_epochs=3)
    assert [run.recipe.seed for run in second] == [4] * 4 + [2] * 4
    assert {run.recipe.n_epochs for run in second} == {3}
    assert second[0].place == Path("variants", "simultaneous-non_saturating", "seed-4")


@pytest.mark.parametrize(
    ("part", "options", "message"),
    [
        ("short", {}, "part: expected one of long, survival, variants, departures, got 'short'"),
        ("long", {"seeds": ()}, "seeds: expected at least one, got none"),
        ("long", {"seeds": (1, 2, 1)}, "seeds: expected each once, got 1, 2, 1"),
    ],
)
def test_a_plan_that_cannot_be(
    study: ModuleType, part: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        study.plan.plan(part, **options)


def test_runs_in_slices_have_the_bits_of_runs_in_one_piece(
    study: ModuleType, tmp_path: Path
) -> None:
    runs = study.plan.plan("long", recipe=SMALL, seeds=(1,))
    said: list[str] = []
    assert study.carry_out.carry_out(runs, tmp_path, slice_epochs=1, say=said.append) == 0
    assert [line.partition(",")[0] for line in said] == [
        f"long/seed-1: epoch {epoch} of 4" for epoch in (2, 4)
    ]
    run = Run.open(tmp_path / "long" / "seed-1")
    whole = fastgan.train(
        SMALL.replace(seed=1), folder=tmp_path / "whole", n_threads=1, progress=False
    )
    ours, theirs = run.load_checkpoint().state, whole.load_checkpoint().state
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert [{**r, "seconds": 0} for r in run.metrics] == [
        {**r, "seconds": 0} for r in whole.metrics
    ]
    scores = run.folder / "study_scores"
    best = run.best_epoch
    assert best is not None
    kept = {path.stem for path in scores.glob("*.json")}
    expected = {f"{weights}-epoch-{epoch:04d}" for weights in ("model", "last") for epoch in (2, 4)}
    assert expected <= kept
    # The score of each kind of weights is that of the run in one piece.
    for weights, epoch in (("model", 4), ("last", 4), ("best", best.epoch)):
        score = Evaluation.from_json(
            study.one_slice.score_path(run.folder, weights, epoch).read_text()
        )
        generator = whole.load_generator(weights=weights)
        again = fastgan.evaluate(generator, "digits", n_samples=50, seed=1)
        assert (score.mean, score.sigma, score.n_test) == (again.mean, again.sigma, 300)
    slices = [json.loads(line) for line in (run.folder / "study.jsonl").read_text().splitlines()]
    assert [(s["first_epoch"], s["last_epoch"]) for s in slices] == [(1, 2), (3, 4)]
    assert all(0 < s["training_seconds"] < s["seconds"] for s in slices)
    assert math.isclose(
        sum(s["training_seconds"] for s in slices), run.metrics[-1]["seconds"], rel_tol=1e-9
    )
    assert study.carry_out.next_epoch(runs[0], tmp_path, 25) == 4
    # What is there is not trained again, and what was scored is not scored again.
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("long/*/*.safetensors")}
    found = study.one_slice.go_on(tmp_path / runs[0].place, runs[0].recipe)
    assert found["epoch"] == 4
    assert not found["is_lost"]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    # The report of a run that cannot be set beside the paper does not name the paper's number.
    written = study.report.write(tmp_path, tmp_path / "docs")
    assert [path.name for path in written] == [
        "mnist.md",
        "mnist-curve.png",
        "mnist-curve-dark.png",
    ]
    text = written[0].read_text(encoding="utf-8")
    assert "225 ± 2" not in text
    assert (
        f"seed 1 | 4 | {run.metrics[-1]['validation_log_likelihood_of_last_weights']:.1f}" in text
    )
    assert "--seeds 1 --epochs 4 --recipe small --out FOLDER" in text


def test_an_interrupted_study_saves_and_goes_on(
    study: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = SMALL.replace(n_epochs=10**6, evaluate_every=10**6)
    (run,) = study.plan.plan("long", recipe=endless, seeds=(0,), n_epochs=10**6)
    folder = tmp_path / run.place

    class Interrupting:
        """A clock whose sleeper is interrupted once training is under way."""

        @staticmethod
        def sleep(seconds: float) -> None:
            if (folder / "metrics.jsonl").is_file() and Run.open(folder).metrics:
                raise KeyboardInterrupt

    monkeypatch.setattr(study.carry_out, "time", Interrupting)
    with pytest.raises(KeyboardInterrupt):
        study.carry_out.carry_out([run], tmp_path, slice_epochs=10**6)
    stopped = Run.open(folder)
    assert stopped.status == "interrupted"
    n_done = stopped.metrics[-1]["epoch"]
    assert not study.one_slice.is_done(folder, n_done + 1)
    found = study.one_slice.go_on(folder, run.recipe.replace(n_epochs=n_done + 2))
    assert found["epoch"] == n_done + 2


def test_a_run_that_fails_is_told_and_the_others_go_on(
    study: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study.carry_out, "CHILD", tmp_path / "child.py")
    (tmp_path / "child.py").write_text(
        "import json, sys\n"
        "asked = json.loads(sys.argv[1])\n"
        "if 'seed-1' in asked['folder']: raise OSError('the disk is full')\n"
        "print(json.dumps(dict(epoch=4, is_lost=True, validation=3.25, test=None,\n"
        "                      validation_of_last_weights=-1.0, standard_error=None)))\n"
    )
    monkeypatch.setattr(study.carry_out, "is_done", lambda folder, n_epochs: True)
    said: list[str] = []
    runs = study.plan.plan("long", recipe=SMALL)
    assert study.carry_out.carry_out(runs, tmp_path, n_processes=1, say=said.append) == 1
    assert said[0] == (
        "long/seed-0: epoch 4 of 4, validation 3.2 (last weights -1.0), LOST: not gone on with"
    )
    assert said[1].startswith("long/seed-1: FAILED with exit code 1; see ")
    assert said[1].endswith("OSError: the disk is full")
    assert said[2].startswith("long/seed-2: epoch 4")
    with pytest.raises(ValueError, match="n_processes: expected at least 1, got 0"):
        study.carry_out.carry_out(runs, tmp_path, n_processes=0)


def test_a_collapsed_run_is_done(study: ModuleType, tmp_path: Path) -> None:
    dark = SMALL.replace(
        generator=(DenseLayer(64, "sigmoid", initial_range=0.0, bias_from_data=True),),
        learning_rate=1e-9,
        learning_rate_floor=0.0,
    )
    found = study.one_slice.go_on(tmp_path, dark.replace(n_epochs=2))
    assert found["is_lost"]
    assert study.one_slice.is_done(tmp_path, 4)
    assert Run.open(tmp_path).warnings[0]["warning"] == "collapse"


def test_a_run_is_trained_by_one_process_at_a_time(study: ModuleType, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    recipe = SMALL.replace(n_epochs=2)
    go_on = threading.Thread(target=study.one_slice.go_on, args=(tmp_path, recipe))
    with (tmp_path / "study.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        go_on.start()
        go_on.join(0.5)
        assert go_on.is_alive()
        assert not (tmp_path / "recipe.toml").exists()
    go_on.join(60)
    assert Run.open(tmp_path).status == "finished"


AVERAGED = recipes.MNIST_AVERAGED.replace(n_epochs=8)


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """Leave a study of runs with known numbers."""
    leave_run(
        tmp_path, "long", AVERAGED, {2: 150.0, 4: 224.5, 6: 224.0, 8: 226.0},
        last={2: 90.0, 4: 120.0, 6: 160.0, 8: 180.0},
        tests={("model", 4): 222.9, ("model", 6): 223.0, ("model", 8): 225.5, ("last", 8): 179.0,
               ("best", 8): 225.5},
    )  # fmt: skip
    leave_run(
        tmp_path, "long", AVERAGED.replace(seed=1), {2: 140.0, 4: 210.0, 6: 214.0, 8: 212.0},
        last={2: 80.0, 4: 110.0, 6: 150.0, 8: 170.0},
        tests={("model", 8): 211.0, ("last", 8): 168.0, ("best", 6): 213.2},
        warnings=((3, "saturated"),),
    )  # fmt: skip
    return tmp_path


def test_scores_stand_beside_the_paper(study: ModuleType, left: Path) -> None:
    text = study.report.write(left, left / "docs")[0].read_text(encoding="utf-8")
    header, first, second, paper = cells(text, "Test log-likelihood")
    assert first == [
        "seed 0",
        "8",
        "180.0",
        "179.0 ± 1.5",
        "226.0",
        "225.5 ± 1.5",
        "0.1668",
        "0.80",
    ]
    assert second[:6] == ["seed 1", "8", "170.0", "168.0 ± 1.5", "212.0", "211.0 ± 1.5"]
    assert paper[:4] == ["**the paper, Table 1**", "not stated", "", "**225 ± 2**"]
    assert len(header) == len(first) == len(paper)
    assert "2 seeds score 225.5 and 211.0 nats on the test images after 8 epochs" in text
    assert "(mean 218.2, standard deviation over seeds 10.3); 1 of 2 at 223 or above" in text
    assert "2 seeds score 179.0 and 168.0" in text
    assert "0 of 2 at 223 or above" in text
    assert "averaging them is the departure that reaches it, in 1 of 2 seeds." in text
    assert "The collapse watch found seed 1: saturated (epoch 3)." in text
    rows = cells(text, "By epoch")
    assert rows[1] == ["2", "90.0", "150.0", "-", "80.0", "140.0", "-"]
    assert rows[4] == ["8", "180.0", "226.0", "225.5 ± 1.5", "170.0", "212.0", "211.0 ± 1.5"]
    rows = cells(text, "Last epoch against best validation epoch")
    assert rows[1][3:] == ["225.5 ± 1.5", "8", "226.0", "225.5 ± 1.5", "+0.0"]
    assert rows[2][3:] == ["211.0 ± 1.5", "6", "214.0", "213.2 ± 1.5", "+2.2"]


def test_time_to_the_number(study: ModuleType, left: Path) -> None:
    # The test score is first at 223 in epoch 6, where validation is 224.0; epoch 4 had that much.
    steps = {"fastgan": 10.0, "eager PyTorch": 30.0}
    text = study.report.write(left, left, steps)[0].read_text(encoding="utf-8")
    header, row = cells(text, "Time to the paper's number")
    assert header[-2:] == ["extrapolated: fastgan", "extrapolated: eager PyTorch"]
    assert row[:5] == ["seed 0, average", "4", "2,000", "224.0", "223.0 ± 1.5 (epoch 6)"]
    assert row[5:] == ["40.0 s", "50.0 s", "20.0 s", "1 min 00 s"]
    assert "2 runs side by side with 1 thread each" in text
    assert "Extrapolated is not measured" in text
    for name, best in (
        ("seed 1, average", 211.0),
        ("seed 0, last weights", 179.0),
        ("seed 1, last weights", 168.0),
    ):
        words = f"not reached in 8 epochs; the best test score measured is {best}"
        assert f"- time to 223 nats, {name}: {words}" in text
    assert "- `survival`: no run" in text
    assert "--step-ms 'fastgan=10' --step-ms 'eager PyTorch=30'" in text
    assert "Made from 2026-01-01 00:00 UTC to 2026-01-02 03:04 UTC on: processor an abacus" in text


def test_a_run_that_does_not_average_reaches_it_by_its_last_weights(
    study: ModuleType, tmp_path: Path
) -> None:
    recipe = recipes.MNIST.replace(n_epochs=3)
    leave_run(tmp_path, "long", recipe, {1: 100.0, 3: 230.0}, tests={("model", 3): 229.0})
    text = study.report.write(tmp_path, tmp_path)[0].read_text(encoding="utf-8")
    assert cells(text, "Time to the paper's number")[1][:3] == [
        "seed 0, last weights",
        "3",
        "1,500",
    ]
    row = cells(text, "Test log-likelihood")[1]
    assert row == ["seed 0", "3", "230.0", "229.0 ± 1.5", "-", "-", "0.1668", "0.80"]
    assert "With the last weights of G, 1 seed scores 229.0 nats on the test images" in text
    assert "1 of 1 at 223 or above (the paper: 225 ± 2)" in text
    assert "departure that reaches it" not in text
    assert not any("average" in cell for cell in cells(text, "By epoch")[0])


def test_long_runs_are_shown_in_equal_strides(study: ModuleType) -> None:
    thinned = study.sections.thinned
    assert thinned(range(5, 105, 5), 20) == list(range(5, 105, 5))
    assert thinned([5, *range(25, 525, 25)], 20) == [5, *range(50, 525, 50)]
    assert thinned([7], 20) == [7]
    for n_epochs in range(1, 200):
        kept = thinned(range(1, n_epochs + 1), 20)
        assert (kept[0], kept[-1]) == (1, n_epochs)
        assert len(kept) <= 20


def test_what_was_not_measured_is_left_out_and_said(study: ModuleType, tmp_path: Path) -> None:
    leave_run(tmp_path, "long", AVERAGED, {}, n_epochs=3)
    written = study.report.write(tmp_path, tmp_path)
    assert [path.name for path in written] == ["mnist.md"]
    text = written[0].read_text(encoding="utf-8")
    assert "mnist-curve" not in text
    assert cells(text, "Test log-likelihood")[1] == ["seed 0", "3", *["-"] * 6]
    for words in (
        "long, seed 0: no test score of the model at epoch 3",
        "long, seed 0: no test score of the last weights at epoch 3",
        "long, seed 0: no test score of the best validation epoch at epoch 3",
        "log-likelihoods by epoch: no epoch was evaluated",
    ):
        assert f"- {words}" in text
    assert "225" not in text
    empty = tmp_path / "empty"
    with pytest.raises(FileNotFoundError, match=re.escape(f"runs: {empty} holds no run of the")):
        study.report.write(empty, tmp_path)
    main = importlib.import_module("benchmarks.mnist_study.__main__").main
    assert main(["report", "--runs", str(empty), "--out", str(tmp_path)]) == 2


def test_survival_counts_what_the_watch_found(study: ModuleType, tmp_path: Path) -> None:
    recipe = recipes.MNIST.replace(n_epochs=10)
    for seed in range(8):
        leave_run(tmp_path, "survival", recipe.replace(seed=seed), {10: 10.0 + seed})
    warnings = ((4, "saturated"), (6, "collapse"), (9, "collapse"))
    leave_run(tmp_path, "survival", recipe.replace(seed=10), {}, warnings=warnings)
    leave_run(tmp_path, "survival", recipe.replace(seed=11), {}, n_epochs=7)
    text = study.report.write(tmp_path, tmp_path)[0].read_text(encoding="utf-8")
    # Clopper and Pearson's interval of 8 in 9, from their formula: the quantiles of beta laws.
    assert (
        "**8 of 9 seeds** of the `mnist` recipe (exact 95 % interval of the share: 52 to 100 %)"
        in text
    )
    rows = cells(text, "Survival of the first 10 epochs")
    assert rows[8] == ["seed 7", "nothing", "17.0", "0.750", "0.250", "0.150"]
    assert rows[9][:3] == ["seed 10", "saturated (epoch 4), collapse (epoch 6)", "-"]
    assert len(rows) == 10
    assert "- survival, seed 11: only 7 of 10 epochs" in text
    # Findings after the horizon do not count.
    found = study.findings.read(tmp_path)[0]
    late = dataclasses.replace(found, warnings=[{"epoch": 11, "warning": "collapse"}])
    assert late.watched(10) == ""
    assert late.watched() == "collapse (epoch 11)"


def test_variants_and_departures_are_compared(study: ModuleType, tmp_path: Path) -> None:
    for part in ("variants", "departures"):
        for number, planned in enumerate(study.plan.plan(part, n_epochs=2)):
            leave_run(
                tmp_path, str(planned.place.parent), planned.recipe, {2: 100.0 + number},
                last={2: 50.0 + number} if planned.recipe.averages else None,
                tests={("model", 2): 99.0 + number} if number else None,
            )  # fmt: skip
    text = study.report.write(tmp_path, tmp_path)[0].read_text(encoding="utf-8")
    rows = cells(text, "Schedules and costs")[1:]
    assert [row[:2] for row in rows] == [
        ["simultaneous", "non-saturating"],
        ["simultaneous", "saturating"],
        ["alternating", "non-saturating"],
        ["alternating", "saturating"],
    ]
    assert rows[1][2:] == ["seed 0", "2", "51.0", "-", "101.0", "100.0 ± 1.5", "nothing"]
    rows = cells(text, "Departures")[1:]
    assert rows[0] == ["1.000004", "none", "seed 0", "2", "100.0", "-", "-", "-", "nothing"]
    assert rows[4] == [
        "1.00004",
        "none",
        "seed 0",
        "2",
        "104.0",
        "103.0 ± 1.5",
        "-",
        "-",
        "nothing",
    ]
    assert "variants/simultaneous-non_saturating, seed 0: no test score at epoch 2" in text
    assert "differ in epochs" not in text


def test_the_command_line_reads_its_options(
    study: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    module = importlib.import_module("benchmarks.mnist_study.__main__")
    asked: list[Any] = []

    def carry_out(runs: Any, folder: Path, **options: Any) -> int:
        asked.append((runs, folder, options))
        return len(asked) - 1

    monkeypatch.setattr(module.carry_out, "carry_out", carry_out)
    line = (
        "run long survival --seeds 3,5 --epochs 7 --recipe digits --processes 3 --slice 9 --out x"
    )
    assert module.main(line.split()) == 0
    assert module.main(["run", "long", "--out", "x"]) == 1
    (runs, folder, options), (default, *_) = asked
    assert [(run.part, run.recipe.seed) for run in runs] == [
        ("long", 3), ("long", 5), ("survival", 3), ("survival", 5),
    ]  # fmt: skip
    assert {(run.recipe.name, run.recipe.n_epochs) for run in runs} == {("digits", 7)}
    assert folder == Path("x")
    assert {name: options[name] for name in ("n_processes", "n_threads", "slice_epochs")} == {
        "n_processes": 3, "n_threads": 1, "slice_epochs": 9,
    }  # fmt: skip
    assert [run.recipe.name for run in default] == ["mnist-averaged"] * 3
    for line in (
        "report --runs x --out y --step-ms eager=0",
        "report --runs x --out y --step-ms 5",
    ):
        with pytest.raises(SystemExit):
            module.main(line.split())
    assert "invalid _step value" in capsys.readouterr().err
