"""Scaling curves: what is measured, on what, and that wrong results give no time."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from fastgan.themes import THEMES


@pytest.fixture(scope="module")
def points(suite: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.suite.scaling_points")


@pytest.fixture(scope="module")
def clock(suite: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.suite.scaling_clock")


@pytest.fixture(scope="module")
def digits(points: ModuleType) -> Any:
    return points.images(16, 50, quick=True)


def test_the_plan_reaches_the_sizes_that_are_asked_for(suite: ModuleType) -> None:
    plan = suite.scaling_plan
    whole = plan.by_name("parzen:2-threads").points()
    assert len(whole) == 25
    assert (3_072, 10_000_000) in whole
    assert (16, 1_000) in whole
    assert plan.is_held(784, 1_000_000)
    assert not plan.is_held(784, 10_000_000)
    shared = plan.by_name("neighbors:2-processes")
    assert all(plan.is_held(*point) for point in shared.points())
    assert (784, 1_000_000) in shared.points()
    for width in plan.WIDTHS:
        rows = plan.block_rows("neighbors", width)
        assert rows % plan.BLOCK_ROWS == 0
        assert 0 < 4 * width * rows <= plan.BLOCK_BYTES
    with pytest.raises(ValueError, match="no curve is named 'parzen:3-threads'; expected one of"):
        plan.by_name("parzen:3-threads")


def test_samples_do_not_depend_on_blocks(digits: Any) -> None:
    whole = digits.held(3_000)
    for rows in (1_000, 701):
        parts = [block.clone() for block in digits.blocks(3_000, rows)]
        assert torch.equal(torch.cat(parts), whole)
    assert len(torch.unique(whole, dim=0)) == 3_000  # no two alike, though images come twice
    assert 0.0 <= float(whole.min()) <= float(whole.max()) <= 1.0
    far = digits.samples(10_000_000, torch.empty(5, 16))  # beyond 2^32 words of four
    assert not torch.equal(far, whole[:5])


def test_images_are_averaged_down(points: ModuleType) -> None:
    square = torch.arange(64.0)[None]
    found = points.averaged(square, 4).reshape(4, 4)
    expected = square.reshape(4, 2, 4, 2).mean(dim=(1, 3))
    assert torch.allclose(found, expected)
    with pytest.raises(ValueError, match="n_features: expected one of 16, 64, 256, 784, 3072"):
        points.images(100, 10)


@pytest.mark.parametrize("operation", ["parzen", "neighbors"])
def test_blocks_give_what_one_call_gives(
    suite: ModuleType,
    clock: ModuleType,
    digits: Any,
    operation: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = suite.scaling_plan.Plan(operation)
    monkeypatch.setattr(clock, "block_rows", lambda *_: 700)
    in_blocks = clock._of_blocks(plan, digits, 2_000, 0.1)
    held = clock._of_held(plan, digits, digits.held(2_000), 0.1, None)
    assert (in_blocks.is_held, held.is_held) == (False, True)
    assert in_blocks.floor_seconds is None
    assert held.floor_seconds > 0
    for point in (in_blocks, held):  # both were held to float64
        assert point.error <= (1e-4 if operation == "parzen" else 1e-13)


def test_a_wrong_result_gives_no_time(
    harness: ModuleType,
    suite: ModuleType,
    clock: ModuleType,
    digits: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    truth = importlib.import_module("benchmarks.suite.scaling_points").NearestTruth
    right = truth(digits.queries, 0.0)
    right.add(digits.held(100))
    good = (right.squared.clone(), right.indices.clone())
    assert right.error(good) == 0.0
    assert right.error((good[0], good[1] + 1)) == math.inf
    plan = suite.scaling_plan.Plan("parzen")
    real = clock.fastgan.parzen_log_likelihood
    monkeypatch.setattr(
        clock.fastgan, "parzen_log_likelihood", lambda *given, **options: real(*given) + 2e-4
    )
    with pytest.raises(harness.WrongResultError, match=r"parzen:1-thread.*the bound is 0\.0001"):
        clock._of_held(plan, digits, digits.held(100), 0.1, None)


def test_images_that_are_not_at_hand_leave_a_width_out(
    suite: ModuleType, clock: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(*_: Any, **__: Any) -> Any:
        raise FileNotFoundError("CIFAR-10 is not here\nand more words")

    monkeypatch.setattr(clock, "images", absent)
    (point,) = clock.measure(suite.scaling_plan.Plan("parzen", widths=(3_072,)), None, quick=False)
    assert point.seconds is None
    assert point.note == "CIFAR-10 is not here"


def test_processes_share_out(suite: ModuleType, tmp_path: Path) -> None:
    plan = suite.scaling_plan.by_name("neighbors:2-processes")
    arguments = [plan.name, "--quick", "--out", str(tmp_path), "--name", "found"]
    assert suite.scaling.main(arguments) == 0
    rows = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert all(row["n_processes"] == 2 and row["seconds"] > 0 for row in rows)
    assert all(row["error"] <= 1e-13 for row in rows)


def test_without_torch_distributed_the_point_says_so(
    suite: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.distributed, "is_available", lambda: False)
    arguments = ["training_step:2-processes", "--out", str(tmp_path), "--name", "found"]
    assert suite.scaling.main(arguments) == 0
    (row,) = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert row["seconds"] is None
    assert row["note"] == "this torch is built without torch.distributed"


def test_what_a_second_worker_brings(suite: ModuleType, made_up: Any) -> None:
    pictures = suite.page.scaling_pictures
    found = pictures.speedups(made_up.points("parzen"), 2, 1)
    assert found[784] == [
        (n, pytest.approx(1.8)) for n in (1_000, 10_000, 100_000, 1_000_000)
    ]  # one thread was not measured beyond
    fastest = pictures.fastest(made_up.points("parzen"))
    assert {(point["n_threads"], point["n_processes"]) for point in fastest} == {(2, 1)}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pictures_are_drawn(suite: ModuleType, made_up: Any, theme: str) -> None:
    colours = THEMES[theme]
    for content in (
        suite.page.scaling_pictures.picture(made_up, "parzen", colours),
        suite.page.ratio_pictures.picture(made_up, "neighbors", colours),
    ):
        assert content.startswith(b"\x89PNG")


def test_bars_stand_where_the_ratios_are(suite: ModuleType, made_up: Any) -> None:
    from matplotlib.figure import Figure

    ratio_pictures = suite.page.ratio_pictures
    (rows,) = ratio_pictures.comparisons(made_up, ["parzen:1e4"])
    axes = Figure().subplots()
    ratio_pictures.bars(axes, rows, THEMES["light"])
    shown = rows[1:]
    assert [bar.get_x() + bar.get_width() for bar in axes.patches] == pytest.approx(
        [row["ratio_median"] for row in shown]
    )
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        row["contender"] + " (floor)" * row["is_floor"] for row in shown
    ]
    assert axes.get_xscale() == "log"
    spreads = [tuple(line.get_xdata()) for line in axes.lines[:-1]]
    assert spreads == [(row["ratio_low"], row["ratio_high"]) for row in shown]
