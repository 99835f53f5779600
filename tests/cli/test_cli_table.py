"""``fastgan table`` on runs that were really trained and evaluated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from invoking import collapsing, invoke, mistake, succeed, tiny

from fastgan.data import load_dataset
from fastgan.runs import Run


def row(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start))


def test_quick_runs_of_digits_in_a_table() -> None:
    recipe = tiny(Path("tiny.toml"), name="tiny", n_samples=10_000)
    succeed("reproduce", recipe, "--seed", 0, "--quiet")
    succeed("train", recipe, "--seed", 1, "--out", "runs/tiny/seed-1", "--quiet")
    succeed("evaluate", "runs/tiny/seed-1", "-n", 100)
    succeed("train", recipe, "--seed", 2, "--out", "runs/tiny/seed-2", "--quiet")
    np.save("copies.npy", load_dataset("digits").train[:100].numpy())
    mine = ("--samples", "copies.npy", "--data", "digits", "--out", "runs/mine", "--name", "a copy")
    succeed("evaluate", *mine)

    text = succeed("table")
    assert text.splitlines()[5].split() == ["model", "MNIST", "TFD", "digits", "source"]
    assert "225 ± 2  2057 ± 26" in row(text, "Adversarial nets")
    for folder, start, mark in (
        ("runs/tiny/seed-0", "tiny, seed 0 ", ""),
        ("runs/tiny/seed-1", "tiny, seed 1 ", " (1)"),
        ("runs/mine", "a copy ", " (1)"),
    ):
        found = json.loads(Path(folder, "evaluation.json").read_text())
        score = f"{found['mean']:.1f} ± {found['standard_error']:.1f}"
        cells = row(text, start).removeprefix(start).split()
        assert " ".join(cells[:-1]) == f"— — {score}{mark}"
        assert f"{start.strip()}: {folder}" in text
    assert "(1) Of 100 samples, not the 10,000 of the published rows" in text
    assert "(1)" not in row(text, "tiny, seed 0 ")
    said = " ".join(text.split())
    assert (
        "Left out: runs/tiny/seed-2, not evaluated (`fastgan evaluate runs/tiny/seed-2`)." in said
    )
    assert "No number was published for digits" in said

    assert succeed("table", "--all").count("published:") == 5  # two rows have printed bits
    told = succeed("table", "runs/tiny", "--format", "markdown", "--out", "docs/new/table.md")
    assert told == "table: docs/new/table.md\n"
    written = Path("docs/new/table.md").read_text(encoding="utf-8")
    assert "](../../runs/tiny/seed-0)" in written
    assert "a copy" not in written
    assert "](runs/tiny/seed-0)" in succeed("table", "runs/tiny", "-f", "markdown")
    assert succeed("table", "-f", "latex").count(r"\href{runs/") == 3
    assert succeed("table", "-f", "html").count('<a href="runs/') == 3

    Path("runs/tiny/seed-0/evaluation.json").write_text("{")
    told = mistake("table")
    assert "runs/tiny/seed-0/evaluation.json: evaluation: expected JSON" in told


def test_a_collapsed_run_says_so() -> None:
    recipe = collapsing(Path("collapsing.toml"))
    done = invoke("reproduce", recipe, "--seed", 0, "--out", "runs/tiny", "--quiet")
    assert done.exit_code == 1
    assert Run.open("runs/tiny/seed-0").collapsed
    text = succeed("table")
    assert "(collapsed)" in row(text, "tiny, seed 0")
    assert "This run collapsed: at its end the samples hardly varied with z." in " ".join(
        text.split()
    )


def test_without_runs_the_papers_table_is_printed() -> None:
    text = succeed("table")
    assert row(text, "Adversarial nets")
    assert "Nothing is evaluated in runs yet" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["table", "--format", "word"], "format: expected one of text, markdown, latex, html, go"),
        (["table", "nowhere"], "folders: nowhere: no such folder"),
        (["table", "."], "expected a run folder"),
        (["table", "--out", "file/table.md"], "file"),
    ],
)
def test_a_mistake_is_told_in_a_line(arguments: list[str], sentence: str) -> None:
    Path("file").write_text("in the way")
    assert sentence in mistake(*arguments)
