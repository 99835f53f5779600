"""``fastgan train`` and ``fastgan reproduce``: what they leave, restarts, interruptions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from invoking import collapsing, invoke, mistake, succeed, tiny

import fastgan.runs


def test_train_leaves_a_run(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert {"recipe.toml", "metrics.jsonl", "checkpoint.safetensors", "samples"} <= names
    records = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records if "warning" not in record] == [1, 2]


def test_train_again_and_on(tmp_path: Path) -> None:
    recipe = tiny(tmp_path / "tiny.toml")
    assert "finished after epoch 1" in succeed("train", recipe, "--epochs", 1, "--out", "run")
    assert "already holds a run" in mistake("train", recipe, "--epochs", 1, "--out", "run")
    assert "finished after epoch 3" in succeed("train", "--resume", "run", "--epochs", 3)
    line = mistake("train", "--resume", "run", "--seed", 4)
    assert "--out, --data and --seed are the resumed run's own" in line


def test_train_takes_seed_data_and_threads(tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((300, 8, 8), dtype=np.float32)
    np.save("images.npy", images)
    threads = torch.get_num_threads()
    try:
        succeed("train", tiny(tmp_path / "t.toml"), "--data", "images.npy", "--seed", 7,
                "--threads", 1, "--out", "run", "--quiet")  # fmt: skip
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
    run = fastgan.runs.Run.open("run")
    assert (run.recipe.seed, run.recipe.dataset) == (7, "images.npy")


def test_train_starts_again_with_the_next_seed(tmp_path: Path) -> None:
    recipe = collapsing(tmp_path / "tiny.toml")
    result = invoke("train", recipe, "--seed", 5, "--restarts", 2, "--out", "all")
    assert result.exit_code == 1
    for seed in (5, 6):
        assert f"seed {seed} is set aside: epoch 2: the samples hardly vary" in result.stdout
        assert f"set aside: seed {seed}, epoch 2" in result.stdout
        assert fastgan.runs.Run.open(f"all/seed-{seed}").status == "stopped"
    assert "finished after epoch 4" in result.stdout
    assert "every seed was reported by the collapse watch" in result.stderr
    record = json.loads(Path("all/restarts.json").read_text())
    assert [lost["seed"] for lost in record["5"]["lost"]] == [5, 6]
    assert record["5"]["result"] == 7
    again = invoke("train", "--resume", "all/seed-5", "--restarts", 2, "--quiet")
    assert again.exit_code == 1
    assert "run: " in again.stdout
    assert "all/seed-7" in again.stdout.replace("\n", "")
    Path("all/seed-5").rename("all/first")
    line = mistake("train", "--resume", "all/first", "--restarts", 2)
    assert "resume: with --restarts expected the run of the first seed, a folder named" in line


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        (("train", "--restarts", 2), "fastgan train --resume all/seed-0 --restarts 2"),
        (("reproduce",), "With all that follows: the same command and --resume"),
    ],
)
def test_an_interrupted_command_says_how_all_of_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[object, ...], advice: str
) -> None:
    from fastgan import restarts
    from fastgan.interruption import TrainingInterrupted

    def interrupted(*_: object, **__: object) -> None:
        raise TrainingInterrupted("the state is saved in here")

    monkeypatch.setattr(restarts, "train", interrupted)
    recipe = tiny(tmp_path / "tiny.toml")
    result = invoke(command[0], recipe, *command[1:], "--out", "all", "--quiet")
    assert result.exit_code == 130
    assert result.stderr.startswith("the state is saved in here. ")
    assert advice in result.stderr


def test_train_with_restarts_of_a_sound_recipe(tmp_path: Path) -> None:
    recipe = tiny(tmp_path / "tiny.toml", name="sound")
    assert "run: runs/sound/seed-0" in succeed("train", recipe, "--restarts", 2, "--quiet")
    assert not Path("runs/sound/seed-1").exists()


def test_reproduce_is_the_whole_experiment(tmp_path: Path) -> None:
    text = succeed("reproduce", tiny(tmp_path / "tiny.toml"), "--out", "all")
    folder = Path("all/seed-0")
    assert "Parzen-window log-likelihood, digits, nats" in text
    assert f"report: {folder / 'report.html'}" in text
    for name in ("evaluation.json", "memorisation.json", "report.html", "figures/figure_2.png"):
        assert (folder / name).is_file()
    assert json.loads(Path("all/restarts.json").read_text())["0"] == {"lost": [], "result": 0}
    assert "already holds a run" in mistake("reproduce", "tiny.toml", "--out", "all")
    assert "report:" in succeed("reproduce", "tiny.toml", "--out", "all", "--resume", "--quiet")


def test_reproduce_lists_the_seeds_that_collapsed(tmp_path: Path) -> None:
    recipe = collapsing(tmp_path / "tiny.toml")
    result = invoke("reproduce", recipe, "--max-seeds", 2, "--out", "all", "--quiet")
    assert result.exit_code == 1
    assert "set aside: seed 0" in result.stdout
    assert "reported as collapsed" in result.stderr
    record = json.loads(Path("all/restarts.json").read_text())["0"]
    assert record["result"] == 1
    assert [lost["seed"] for lost in record["lost"]] == [0]
    assert "Seed 0 was tried before" in Path("all/seed-1/report.html").read_text(encoding="utf-8")
    assert not Path("all/seed-0/report.html").exists()  # stopped early, not evaluated
    assert fastgan.runs.Run.open("all/seed-0").status == "stopped"
    one = invoke("reproduce", recipe, "--seed", 0, "--out", "one", "--quiet")
    assert one.exit_code == 1
    assert "set aside" not in one.stdout
    assert "report:" in one.stdout


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT to a child process")
def test_interrupted_run_saves_and_goes_on(tmp_path: Path) -> None:
    recipe = tiny(tmp_path / "tiny.toml", n_epochs=100_000, evaluate_every=100_000)
    command = [sys.executable, "-m", "fastgan", "train", str(recipe), "--out", "run"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    metrics = Path("run/metrics.jsonl")
    deadline = time.monotonic() + 60
    while not (metrics.is_file() and metrics.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    _, stderr = child.communicate(timeout=60)
    assert child.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert "the state is saved in run" in stderr
    run = fastgan.runs.Run.open("run")
    assert run.status == "interrupted"
    done = run.metrics[-1]["epoch"]
    assert "finished" in succeed("train", "--resume", "run", "--epochs", done + 2, "--quiet")
