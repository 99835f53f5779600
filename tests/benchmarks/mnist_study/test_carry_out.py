"""The study trains what it says, and goes on where it was."""

from __future__ import annotations

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
from made_up import AVERAGED, SMALL, leave_run

import fastgan
from fastgan import recipes
from fastgan.recipes import DenseLayer
from fastgan.runs import Run
from fastgan.scores import Evaluation


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
    files = [*run.folder.glob("*.safetensors"), *scores.iterdir(), run.folder / "study.jsonl"]
    before = {path: path.stat().st_mtime_ns for path in files}
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
    assert "at 223 or above" not in text
    assert "time to 223" not in text
    assert (
        f"seed 1 | 4 | {run.metrics[-1]['validation_log_likelihood_of_last_weights']:.1f}" in text
    )
    assert "--seeds 1 --epochs 4 --recipe small --out FOLDER" in text


def test_slices_end_at_evaluated_epochs(study: ModuleType, tmp_path: Path) -> None:
    recipe = AVERAGED.replace(evaluate_every=5)
    (run,) = study.plan.plan("long", recipe=recipe, seeds=(0,), n_epochs=23)
    next_epoch = study.carry_out.next_epoch
    assert [next_epoch(run, tmp_path, n_epochs) for n_epochs in (1, 5, 6, 25)] == [5, 5, 10, 23]
    leave_run(tmp_path, "long", recipe, {}, n_epochs=12)  # stopped within a slice
    assert [next_epoch(run, tmp_path, n_epochs) for n_epochs in (1, 10, 11)] == [15, 20, 15]


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
