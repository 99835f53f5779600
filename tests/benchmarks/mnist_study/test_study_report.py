"""The report holds what is in the files of the runs, beside the paper, and nothing else."""

from __future__ import annotations

import dataclasses
import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest
from made_up import AVERAGED, MNIST_SCORE, cells, leave_run

from fastgan import recipes


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
    assert rows[0][:5] == [
        "epoch", "seed 0, last weights: validation", "test", "seed 0, average: validation", "test",
    ]  # fmt: skip
    assert rows[1][1:] == ["90.0", "-", "150.0", "-", "80.0", "-", "140.0", "-"]
    assert rows[4] == [
        "8", "180.0", "179.0", "226.0", "225.5", "170.0", "168.0", "212.0", "211.0",
    ]  # fmt: skip
    assert "the standard errors of the test scores are 1.5 to 1.5" in text
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
    assert "--recipe" not in text  # the part's own
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
    assert not any("average" in cell for cell in cells(text, "By epoch")[0])
    assert "departure that reaches it" not in text
    averaged = AVERAGED.replace(seed=1)
    tests = {("model", 8): 229.0, ("last", 8): 224.0}
    folder = leave_run(tmp_path, "long", averaged, {8: 230.0}, last={8: 225.0}, tests=tests)
    path = folder / "study_scores" / "last-epoch-0008.json"
    path.write_text(path.read_text().replace("0.1668", "0.2154"))
    text = study.report.write(tmp_path, tmp_path)[0].read_text(encoding="utf-8")
    assert "2 of 2 at 223 or above" in text
    assert "departure that reaches it" not in text
    # The sigma shown is the average's, not that of the last weights.
    assert [row[6] for row in cells(text, "Test log-likelihood")] == [
        "\N{GREEK SMALL LETTER SIGMA} (average)", "0.1668", "0.1668", "",
    ]  # fmt: skip


def test_only_mnist_at_the_published_count_stands_beside_the_paper(study: ModuleType) -> None:
    comparable = study.reached.comparable
    assert comparable(MNIST_SCORE)
    assert not comparable(dataclasses.replace(MNIST_SCORE, n_samples=100_000))
    assert not comparable(dataclasses.replace(MNIST_SCORE, comparable_to=None))
    assert not comparable(dataclasses.replace(MNIST_SCORE, comparable_to="TFD"))


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
    assert late.watched(11) == "collapse (epoch 11)"
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
