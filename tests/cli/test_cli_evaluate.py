"""Evaluating by folds, and evaluating anybody's samples into a folder of their own."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from invoking import mistake, succeed, tiny

from fastgan import recipes
from fastgan.data import load_dataset, load_folds
from fastgan.evaluation import evaluate, evaluate_folds
from fastgan.kept_evaluation import read_evaluation, read_model_name
from fastgan.reproduce import reproduce
from fastgan.runs import Run
from fastgan.scores import Evaluation, FoldEvaluation


def write_faces(folder: Path) -> None:
    folder.mkdir()
    numbers = np.random.Generator(np.random.Philox(5))
    np.savez(
        folder / "fer2013.npz",
        images=numbers.integers(0, 256, (80, 48, 48), np.uint8),
        labels=np.zeros(80, np.uint8),
        split=np.repeat([0, 1, 2], [40, 20, 20]),
    )


@pytest.fixture(scope="module")
def faces_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Reproduce a tiny recipe of faces through the command line; the data folder, and the text."""
    base = tmp_path_factory.mktemp("faces")
    write_faces(base / "fer2013")
    layers = (
        recipes.DenseLayer(4, "relu", initial_range=0.3),
        recipes.DenseLayer(2304, "sigmoid", initial_range=0.5, bias_from_data=True),
    )
    recipe = tiny(base / "tiny.toml", dataset="faces", generator=layers, batch_size=40, n_epochs=1)
    options = ("--folder", base, "--seed", 0, "--out", base / "runs", "--quiet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "200")
        return base, succeed("reproduce", recipe, *options)


@pytest.fixture(autouse=True)
def _data(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "faces_run" in request.fixturenames:
        base, _ = request.getfixturevalue("faces_run")
        monkeypatch.setenv("FASTGAN_DATA", str(base))


def without_seconds(found: FoldEvaluation) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(found.to_json())
    for fold in values["folds"]:
        del fold["seconds"]
    return values


def test_reproduce_trains_once_and_evaluates_by_folds(faces_run: tuple[Path, str]) -> None:
    base, text = faces_run
    assert [path.name for path in (base / "runs").iterdir() if path.is_dir()] == ["seed-0"]
    run = Run.open(base / "runs" / "seed-0")
    assert not run.evaluation_path.exists()
    found = FoldEvaluation.from_json(run.folds_path.read_bytes())
    again = evaluate_folds(run.load_generator(), load_folds("faces"), n_samples=80, seed=0)
    assert without_seconds(found) == without_seconds(again)
    assert [fold.n_test for fold in found.folds] == [8] * 5
    assert [fold.n_validation for fold in found.folds] == [32] * 5
    for number, fold in enumerate(found.folds):
        assert re.search(
            rf"fold {number} +│ +{fold.mean:.1f} ± {fold.standard_error:.1f} │ 8 test images; "
            rf"sigma {fold.sigma:.4g}, chosen on 32 others",
            text,
        )
    assert re.search(
        rf"fastgan +│ +{found.mean:.1f} ± {found.standard_error:.1f} │ mean of 5 folds, ± across "
        "folds; 80 samples",
        text,
    )
    said = " ".join(text.split())
    assert f"± {found.standard_error:.2f} across folds: the standard deviation (ddof 0)" in said
    assert "of the 5 means / sqrt(5)." in said
    assert "The data set 'faces' has no published column" in said
    assert "Adversarial nets" not in text


def test_folds_must_share_what_is_trained_on(faces_run: tuple[Path, str]) -> None:
    folds = load_folds("faces")
    other = dataclasses.replace(folds[2], train=folds[2].train.flip(0))
    for wrong, sentence in (((), "at least one fold"), ((*folds[:2], other), "others in fold 2")):
        with pytest.raises(ValueError, match=sentence):
            reproduce("digits", dataset=wrong)
    assert not Path("runs").exists()


def test_evaluate_of_a_run_is_by_folds_where_the_data_have_them(
    faces_run: tuple[Path, str],
) -> None:
    run = Run.open(faces_run[0] / "runs" / "seed-0")
    first = FoldEvaluation.from_json(run.folds_path.read_bytes())
    text = succeed("evaluate", run.folder, "-n", 50)
    found = FoldEvaluation.from_json(run.folds_path.read_bytes())
    assert found.n_samples == 50
    assert f"{found.mean:.1f} ± {found.standard_error:.1f}" in text
    # other data, without folds: the run keeps that one only
    succeed("evaluate", run.folder, "--data", "fer2013")
    assert not run.folds_path.exists()
    alone = Evaluation.from_json(run.evaluation_path.read_bytes())
    assert alone.n_test == 20
    printed = succeed("evaluate", run.folder, "--json")
    assert not run.evaluation_path.exists()
    assert without_seconds(FoldEvaluation.from_json(printed)) == without_seconds(first)


def test_evaluate_of_samples_by_folds_into_a_folder(faces_run: tuple[Path, str]) -> None:
    drawn = np.random.Generator(np.random.Philox(2)).random((30, 48, 48)).astype(np.float32)
    np.save("mine.npy", drawn)
    text = succeed("evaluate", "--samples", "mine.npy", "--data", "faces", "--out", "new/mine")
    names = {path.name for path in Path("new/mine").iterdir()}
    assert names == {"folds.json", "model.json", ".evaluation.lock"}
    assert read_model_name(Path("new/mine")) == "mine"
    found = FoldEvaluation.from_json(Path("new/mine/folds.json").read_bytes())
    expected = evaluate_folds(drawn.reshape(30, -1), load_folds("faces"))
    assert without_seconds(found) == without_seconds(expected)
    assert re.search(rf"mine +│ +{found.mean:,.1f} ±".replace(",", ""), text)
    assert "kept in new/mine: a row for `fastgan table`" in text


def test_the_best_epoch_of_folds_is_told_to_be_chosen_on_test_images(
    faces_run: tuple[Path, str],
) -> None:
    folder = faces_run[0] / "runs" / "seed-0"
    said = " ".join(succeed("evaluate", folder, "--weights", "best").split())
    assert "The best epoch was chosen on the validation images of fold 0" in said
    assert (folder / "folds-best.json").exists()
    assert "The best epoch was chosen" not in " ".join(succeed("evaluate", folder).split())


def test_tfd_is_evaluated_by_folds_and_stands_in_the_papers_column() -> None:
    numbers = np.random.Generator(np.random.Philox(9))
    codes = np.zeros((60, 5), np.uint8)
    codes[30:] = 1 + (np.arange(30)[:, None] + np.arange(5)) % 3
    content = {
        "images": numbers.integers(0, 256, (60, 48, 48), np.uint8),
        "folds": codes,
        "labs_ex": np.ones((60, 1), np.int16),
    }
    scipy.io.savemat("TFD_48x48.mat", content)
    np.save("mine.npy", numbers.random((20, 2304)).astype(np.float32))
    options = ("--data", "tfd", "--folder", ".", "--out", "mine")
    text = succeed("evaluate", "--samples", "mine.npy", *options)
    assert re.search(r"Adversarial nets +│ +2057 ± 26 │ Goodfellow et al\. 2014, Table 1", text)
    found = FoldEvaluation.from_json(Path("mine/folds.json").read_bytes())
    assert found.comparable_to == "TFD"
    expected = evaluate_folds(np.load("mine.npy"), load_folds("tfd", folder="."))
    assert without_seconds(found) == without_seconds(expected)
    table = succeed("table", "mine")
    line = next(line for line in table.splitlines() if line.startswith("mine "))
    score = f"{found.mean:.1f} ± {found.standard_error:.1f}"
    assert line.split("  ")[-2].strip() == f"{score} (1)"
    assert len(table.splitlines()[5].split()) == 4  # model, MNIST, TFD, source
    assert "(1) Of 20 samples" in table


def test_evaluate_of_samples_into_a_folder(trained: Path) -> None:
    drawn = load_dataset("digits").train[:90].numpy()
    np.save("a.npy", drawn)
    arguments = ("evaluate", "--samples", "a.npy", "--data", "digits", "--name", "my [b]GAN[/b]")
    text = succeed(*arguments, "--out", "mine")
    assert "my [b]GAN[/b]" in text
    assert json.loads(Path("mine/model.json").read_text()) == {"name": "my [b]GAN[/b]"}
    found = Evaluation.from_json(Path("mine/evaluation.json").read_bytes())
    assert found.mean == evaluate(drawn, "digits").mean
    assert "my [b]GAN[/b]" in succeed(*arguments)  # a name alone keeps nothing
    # as an earlier evaluation by folds would be
    Path("mine/folds.json").write_text("{}")
    succeed(*arguments, "--out", "mine")
    assert not Path("mine/folds.json").exists()


def test_mistakes_of_names_and_folders(trained: Path) -> None:
    np.save("a.npy", load_dataset("digits").train[:20].numpy())
    samples = ("evaluate", "--samples", "a.npy", "--data", "digits")
    for option in (["--name", "x"], ["--out", "x"]):
        assert "--name and --out are for --samples" in mistake("evaluate", trained, *option)
    told = mistake(*samples, "--out", trained)
    assert "out: expected a folder without a training run" in told
    for name in ("", " ", "two\nlines"):
        told = mistake(*samples, "--name", name, "--out", "x")
        assert "name: expected a line of printable text" in told
    Path("file").write_text("in the way")
    assert "file" in mistake(*samples, "--out", "file/mine")
    assert not Path("x").exists()


def test_two_evaluations_in_a_folder(tmp_path: Path) -> None:
    one, other = tmp_path / "evaluation.json", tmp_path / "folds.json"
    assert read_evaluation(one, other) is None
    found = evaluate(load_dataset("digits").train[:20], "digits")
    one.write_text(found.to_json())
    assert read_evaluation(one, other) == (found, one)
    by_folds = FoldEvaluation.of([found])
    other.write_text(by_folds.to_json())
    with pytest.raises(ValueError, match=r"evaluation\.json: expected it or folds\.json beside it"):
        read_evaluation(one, other)
    one.unlink()
    assert read_evaluation(one, other) == (by_folds, other)
    other.write_text("{}")
    with pytest.raises(ValueError, match=r"folds\.json: evaluation by folds: folds: expected a li"):
        read_evaluation(one, other)


@pytest.mark.parametrize(
    "text",
    ['{"name": 3}', '{"name": " "}', r'{"name": "a\nb"}', '{"name": "a", "b": 1}', "[]", "{"],
)
def test_a_name_that_is_damaged(tmp_path: Path, text: str) -> None:
    assert read_model_name(tmp_path) is None
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(ValueError, match=r"model\.json: (name: )?expected"):
        read_model_name(tmp_path)
