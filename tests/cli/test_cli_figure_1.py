"""``fastgan figure-1``: what it leaves and what it prints."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from invoking import mistake, succeed

from fastgan import figure_1


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train for a moment only: the command has no option for it, as the figure needs all of it."""
    short = functools.partial(figure_1.figure_1, n_alone=10, n_together=40, n_snapshots=5)
    monkeypatch.setattr(figure_1, "figure_1", short)


def test_it_leaves_pictures_and_numbers() -> None:
    text = succeed("figure-1", "--seed", 3)
    folder = Path("runs/figure-1/seed-3")
    names = ["figure_1-dark.gif", "figure_1-dark.png", "figure_1.gif", "figure_1.json",
             "figure_1.png"]  # fmt: skip
    assert sorted(path.name for path in folder.iterdir()) == names
    assert all(str(folder / name) in text for name in names)
    assert "Jensen-Shannon divergence" in text
    assert "fastgan figure-1" in succeed("figure-1", "--help")


def test_quietly_and_without_animation() -> None:
    text = succeed("figure-1", "--out", "here", "--no-animation", "--quiet")
    assert text.split() == ["here/figure_1.png", "here/figure_1-dark.png", "here/figure_1.json"]
    again = Path("again")
    succeed("figure-1", "--out", again, "--no-animation", "--quiet")
    assert (again / "figure_1.json").read_bytes() == Path("here/figure_1.json").read_bytes()


def test_a_folder_that_is_a_file() -> None:
    Path("taken").write_text("")
    assert "taken" in mistake("figure-1", "--out", "taken", "--no-animation")
