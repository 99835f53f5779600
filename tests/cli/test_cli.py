"""The command line: what it leaves, what it prints, how it answers a user's mistakes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from invoking import PNG, invoke, mistake, succeed

import fastgan
import fastgan.runs
from fastgan import cli_shared, mistakes, recipes
from fastgan.data import load_dataset

COMMANDS = (
    "info", "train", "sample", "evaluate", "neighbors", "figures", "reproduce", "table", "figure-1",
    "algorithm-1",
)  # fmt: skip


def test_help_of_every_command_has_an_example() -> None:
    text = succeed("--help")
    for command in COMMANDS:
        assert command in text
        if command != "info":
            assert f"fastgan {command}" in succeed(command, "--help")


def test_help_names_every_recipe() -> None:
    for command in ("train", "reproduce"):
        words = succeed(command, "--help").replace(",", " ").split()
        assert set(recipes.names()) <= set(words)


def test_version() -> None:
    assert succeed("--version") == f"fastgan {fastgan.__version__}\n"
    code = [sys.executable, "-m", "fastgan", "--version"]
    done = subprocess.run(code, capture_output=True, text=True, check=True)
    assert done.stdout == f"fastgan {fastgan.__version__}\n"


def test_help_does_not_import_torch() -> None:
    code = "import sys; from fastgan import cli; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_info_says_what_is_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = succeed("info")
    for word in ("SIMD level", "threads", "torch", "triton", "devices", "cache", "portable"):
        assert word in text
    assert str(torch.get_num_threads()) in text
    monkeypatch.setenv("FASTGAN_DATA", str(tmp_path / "nowhere"))
    assert "FASTGAN_DATA: expected an existing folder" in succeed("info")


def test_sample_writes_rows_or_a_picture(trained: Path) -> None:
    assert "30 samples" in succeed("sample", trained, "-n", 30, "--out", "samples.npy")
    rows = np.load("samples.npy")
    assert rows.shape == (30, 64)
    assert rows.dtype == np.float32
    generator = fastgan.runs.Run.open(trained).generator
    assert np.array_equal(rows, generator.sample(30, 0).numpy())
    succeed("sample", trained, "-n", 9, "--out", "samples.png")
    assert Path("samples.png").read_bytes().startswith(PNG)
    assert "ends in .npy or .png" in mistake("sample", trained, "--out", "samples.jpg")


def test_evaluate_of_a_run_and_of_its_samples_agree(trained: Path) -> None:
    text = succeed("evaluate", trained)
    assert "cannot be set beside the paper's" in text
    assert "comparable only at equal sample counts" in text
    stored = json.loads((trained / "evaluation.json").read_text())
    assert f"{stored['mean']:.1f} ± {stored['standard_error']:.1f}" in text
    succeed("sample", trained, "-n", 80, "--out", "samples.npy")
    found = json.loads(
        succeed("evaluate", "--samples", "samples.npy", "--data", "digits", "--json")
    )
    assert found["n_samples"] == stored["n_samples"] == 80
    assert found["mean"] == stored["mean"]


@pytest.mark.parametrize("text", ["12_345", "12345", "1.2345e4", "12345.0", 12_345])
def test_counts_may_be_written_in_several_ways(text: str | int) -> None:
    assert cli_shared.count(text) == 12_345


def test_evaluate_of_many_samples_shows_a_curve(trained: Path) -> None:
    shown = succeed("evaluate", trained, "-n", "1.2345e4")
    found = json.loads((trained / "evaluation.json").read_text())
    assert found["n_samples"] == 12_345
    assert found["curve_n_samples"] == [1_000, 10_000, 12_345]
    for count, mean in zip(found["curve_n_samples"], found["curve_means"], strict=True):
        assert re.search(rf"{count:,} │ +{mean:.2f} ±", shown)
    assert f"Sigma {found['protocol_sigma']:.4g} is chosen on 300 validation images" in shown
    assert "chosen again at 12,345, it is" in shown
    published = json.loads(succeed("evaluate", trained, "-n", "1e4", "--json"))
    assert published["mean"] == found["curve_means"][1]


def test_evaluate_goes_on_where_it_was_interrupted(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastgan import models, samples

    expected = json.loads(succeed("evaluate", trained, "-n", 12_345, "--json"))
    draw, seen, interruptions = models.sample_from, [], [9_000]

    def interrupted(*arguments: object, first_row: int, **options: object) -> object:
        seen.append(first_row)
        if first_row >= 9_000 and interruptions:
            interruptions.clear()
            raise KeyboardInterrupt
        return draw(*arguments, first_row=first_row, **options)

    monkeypatch.setattr(models, "sample_from", interrupted)
    monkeypatch.setattr(samples, "DRAWN_AT_ONCE", 200)
    first = invoke("evaluate", trained, "-n", 12_345)
    assert first.exit_code == 130
    assert re.search(r"interrupted after \d,\d{3} of 12,345 samples, which are kept", first.stderr)
    part = trained / "evaluation.part.safetensors"
    assert part.exists()
    seen.clear()
    found = json.loads(succeed("evaluate", trained, "-n", 12_345, "--json"))
    assert not part.exists()
    assert next(row for row in seen if row > 0) >= 8_000
    assert {**found, "seconds": 0} == {**expected, "seconds": 0}


@pytest.mark.parametrize("text", ["0", "-3", "1.5", "1e-3", "many", "nan", "1e999"])
def test_counts_that_are_none(trained: Path, text: str) -> None:
    line = mistake("evaluate", trained, "-n", text)
    assert "expected a whole number of at least 1, such as 10000 or 1e6" in line
    assert f"got '{text}'" in line


def test_evaluate_shows_the_papers_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastgan import evaluation, tables

    found = evaluation.evaluate(load_dataset("digits").train[:50], "digits")
    import dataclasses

    table = tables.results(dataclasses.replace(found, comparable_to="MNIST"))
    assert table.row_count == 1 + len(found.references or evaluation.REFERENCE_TABLE)
    assert "225 ± 2" in list(table.columns[1].cells)


def test_neighbors_finds_copies(trained: Path) -> None:
    np.save("copied.npy", load_dataset("digits").train[:60].numpy())
    text = succeed("neighbors", "copied.npy", "--data", "digits", "-n", 40)
    assert "Equal to a training image, number for number: 40 of 40 samples, 0 of 300" in text
    assert "100% of the samples lie as near" in text
    assert "40 samples are nearest to 40 ± 0 different ones" in text
    assert "Distance between pixels can miss a copy" in text
    assert "picture" not in text
    text = succeed("neighbors", "copied.npy", "--data", "digits", "--out", "near.png")
    assert "60 of 60 samples" in text  # all of a file by default
    assert "picture: near.png" in text
    text = succeed("neighbors", "copied.npy", "--data", "digits", "-n", 3)
    assert "3 of 3 samples" in text  # too few to say how varied they are
    assert "How varied" not in text
    assert Path("near.png").read_bytes().startswith(PNG)


def test_neighbors_of_a_run_leaves_a_picture_and_numbers(trained: Path) -> None:
    text = succeed("neighbors", trained)
    for name in ("memorisation.png", "nearest_pairs.png"):
        picture = trained / "figures" / name
        assert f"picture: {picture}" in text.replace("\n", "")
        assert picture.read_bytes().startswith(PNG)
    assert "of 10,000 samples, 0 of 300 test images" in text
    stored = json.loads((trained / "memorisation.json").read_text())
    assert (stored["n_samples"], stored["n_held_out"]) == (10_000, 300)
    assert (trained / "figures" / "helvetica.png").read_bytes().startswith(PNG)
    n_train = len(load_dataset("digits").train)
    assert f"different ones of the {n_train:,} training images" in text.replace("\n", " ")
    printed = json.loads(succeed("neighbors", trained, "-n", 50, "--seed", 3, "--json"))
    varied = printed.pop("helvetica")
    assert json.loads((trained / "helvetica.json").read_text()) == varied
    assert printed["n_samples"] == 50
    assert json.loads((trained / "memorisation.json").read_text()) == printed
    generator = fastgan.runs.Run.open(trained).generator
    drawn = generator.sample(50, 3)
    from fastgan.helvetica import diagnose_helvetica
    from fastgan.memorisation import check_memorisation

    found = diagnose_helvetica(drawn, load_dataset("digits"), generator=generator, seed=3)
    assert json.loads(found.to_json()) == varied
    assert json.loads(check_memorisation(drawn, load_dataset("digits")).to_json()) == printed


def test_figures_draws_and_reports(trained: Path) -> None:
    succeed("figures", trained)
    for name in (
        "samples.png", "figure_2.png", "figure_3.png", "curves.png", "memorisation.png",
        "nearest_pairs.png", "helvetica.png", "walk.png",
    ):  # fmt: skip
        assert (trained / "figures" / name).read_bytes().startswith(PNG)
    assert "<html" in (trained / "report.html").read_text(encoding="utf-8")
    assert (trained / "memorisation.json").is_file()
    assert (trained / "helvetica.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "minst"], "recipe: expected one of mnist, mnist-averaged, tfd, "),
        (["train", "nowhere.toml"], "nowhere.toml"),
        (["train", "--data", "minst"], "did you mean mnist?"),
        (["train", "--data", "nowhere.npy"], "nowhere.npy: no such file or folder"),
        (["train", "--epochs", "0"], "Invalid value for '--epochs'"),
        (["train", "--impl", "fast"], "impl: expected one of auto, reference, native, triton"),
        (["train", "--step", "quick"], "step: expected one of auto, fused, autograd, got 'quick'"),
        (["train", "--resume", "nowhere"], "nowhere holds no run"),
        (["train", "--out", "file/run"], "file"),
        (["sample", "nowhere", "--out", "x.npy"], "nowhere holds no run"),
        (["evaluate"], "expected a run folder or --samples, one of the two"),
        (["evaluate", "--samples", "x.npy"], "data: expected the data set"),
        (["evaluate", "--samples", "x.txt", "--data", "digits"], "expected a .npy file"),
        (["evaluate", "--samples", "none.npy", "--data", "digits"], "none.npy"),
        (["evaluate", "--samples", "cut.npy", "--data", "digits"], "the file is cut short"),
        (
            ["evaluate", "--samples", "pickled.npy", "--data", "digits"],
            "which is a pickle and never read",
        ),
        (["evaluate", "--samples", "narrow.npy", "--data", "digits"], "got shape"),
        (["evaluate", "--samples", "nan.npy", "--data", "digits"], "expected finite numbers"),
        (["neighbors", "narrow.npy", "--data", "digits"], "expected 64 columns"),
        (["neighbors", "narrow.npy"], "data: expected the data set"),
        (["neighbors", "narrow.npy", "--out", "x.jpg"], "expected a name that ends in .png"),
        (["figures", "nowhere"], "nowhere holds no run"),
        (["reproduce", "digits", "--max-seeds", "0"], "Invalid value for '--max-seeds'"),
        (["reproduse"], "No such command 'reproduse'"),
    ],
)
def test_a_mistake_is_told_in_a_line(arguments: list[str], sentence: str) -> None:
    np.save("narrow.npy", np.zeros((20, 3), dtype=np.float32))
    np.save("nan.npy", np.full((20, 64), np.nan, dtype=np.float32))
    np.save("pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    Path("cut.npy").write_bytes(Path("nan.npy").read_bytes()[:300])
    Path("file").write_text("in the way")
    assert sentence in mistake(*arguments)


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(*_: object, **__: object) -> None:
        int("not a number")  # a ValueError that no check of ours raised

    monkeypatch.setattr("fastgan.data.load_dataset", faulty)
    result = invoke("train", "digits")
    assert isinstance(result.exception, ValueError)
    assert "not a number" in str(result.exception)


def test_whose_mistake_it_is() -> None:
    def caught(action: object) -> BaseException:
        try:
            action()
        except Exception as error:
            return error
        raise AssertionError

    assert mistakes.is_users_mistake(caught(lambda: recipes.by_name("x")))
    assert mistakes.is_users_mistake(caught(lambda: Path("none").read_text()))
    assert not mistakes.is_users_mistake(caught(lambda: np.zeros(3).reshape(2)))
    assert not mistakes.is_users_mistake(caught(lambda: torch.zeros(3).view(2)))
    assert not mistakes.is_users_mistake(BrokenPipeError())
