"""``fastgan algorithm-1``: its table, what it leaves, going on, and mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from invoking import collapsing, invoke, mistake, succeed, tiny

from fastgan import algorithm_1
from fastgan.interruption import TrainingInterrupted


def test_all_runs_of_digits_in_one_command(tmp_path: Path) -> None:
    recipe = tiny(tmp_path / "tiny.toml")
    command = ("algorithm-1", "--data", recipe, "--epochs", 2, "--k", 1, "--k", 3, "--seed", 4)
    text = succeed(*command)
    assert "training tiny-released, 2 epochs: runs/tiny-algorithm-1/tiny-released" in text
    for words in ("released recipe", "Algorithm 1, k = 1", "Algorithm 1, k = 3", "1/k as many"):
        assert words in text
    folder = Path("runs/tiny-algorithm-1")
    found = json.loads((folder / "comparison.json").read_text())
    assert (found["seed"], found["n_epochs"], len(found["runs"])) == (4, 2, 3)
    assert (folder / "comparison.png").is_file()
    assert "already holds a run" in mistake(*command)
    text = succeed(*command[:3], "--epochs", 3, *command[5:], "--resume", "--quiet")
    assert "training tiny" not in text
    again = json.loads((folder / "comparison.json").read_text())
    assert [len(run["epochs"]) for run in again["runs"]] == [3, 3, 3]
    assert again["runs"][1]["epochs"][:2] == found["runs"][1]["epochs"]


def test_a_collapse_is_shown_and_the_run_goes_on(tmp_path: Path) -> None:
    recipe = collapsing(tmp_path / "t.toml")
    text = succeed("algorithm-1", "--data", recipe, "--epochs", 3, "--k", 2, "--out", "all", "-q")
    assert text.count("collapsed, from epoch 2") == 2
    runs = json.loads(Path("all/comparison.json").read_text())["runs"]
    assert [run["collapsed_epochs"] for run in runs] == [[2, 3], [2, 3]]
    assert [run["status"] for run in runs] == ["finished", "finished"]


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    assert "k: expected 1 to 4 different" in mistake("algorithm-1", "--data", "digits",
                                                     "--k", 2, "--k", 2)  # fmt: skip
    assert "recipe: expected one of" in mistake("algorithm-1", "--data", "nothing")


def test_an_interruption_says_how_all_of_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise TrainingInterrupted("the state is saved in here")

    monkeypatch.setattr(algorithm_1, "train", interrupted)
    result = invoke("algorithm-1", "--data", tiny(tmp_path / "t.toml"), "--quiet")
    assert result.exit_code == 130
    assert "the same command and --resume" in result.stderr


def test_the_table_is_whole_on_a_terminal_of_80_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    recipe = collapsing(tmp_path / "t.toml")
    text = succeed("algorithm-1", "--data", recipe, "--epochs", 2, "--k", 5, "--out", "all", "-q")
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert max(map(len, text.splitlines())) <= 80
