"""The command line: what it leaves, what it prints, how it answers a user's mistakes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import fastgan
import fastgan.runs
from fastgan import cli, cli_shared, mistakes, recipes
from fastgan.data import load_dataset

COMMANDS = ("info", "train", "sample", "evaluate", "neighbors", "figures", "reproduce")
PNG = b"\x89PNG"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty folder, without the data sets of this machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FASTGAN_DATA", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")


def tiny(path: Path, **changes: object) -> Path:
    """Write a recipe of a few thousand weights, of which an epoch takes a moment."""
    digits = recipes.DIGITS
    layers = (
        recipes.DenseLayer(16, "relu", initial_range=0.3),
        recipes.DenseLayer(64, "sigmoid", initial_range=0.5, bias_from_data=True),
    )
    recipe = digits.replace(
        name="tiny",
        generator=layers,
        discriminator=(recipes.MaxoutLayer(4, 2, include_probability=0.8, initial_range=0.05),),
        batch_size=400,
        learning_rate=0.01,
        n_epochs=2,
        evaluate_every=1,
        n_samples=80,
    ).replace(**changes)
    path.write_text(recipes.to_toml(recipe), encoding="utf-8")
    return path


def invoke(*arguments: object) -> object:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def succeed(*arguments: object) -> str:
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output + result.stderr + repr(result.exception)
    return result.stdout


def mistake(*arguments: object) -> str:
    """Expect one line on standard error, exit code 2 and no traceback; return the line."""
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output + repr(result.exception)
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    last = result.stderr.strip()
    return re.sub(r"[\s│╭╮╰╯─]+", " ", last)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train the tiny recipe once, through the command line."""
    folder = tmp_path_factory.mktemp("trained")
    succeed("train", tiny(folder / "tiny.toml"), "--out", folder / "run", "--quiet")
    return folder / "run"


def test_help_of_every_command_has_an_example() -> None:
    text = succeed("--help")
    for command in COMMANDS:
        assert command in text
        if command != "info":
            assert f"fastgan {command}" in succeed(command, "--help")


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
    assert "Distance between pixels can miss a copy" in text
    assert "picture" not in text
    text = succeed("neighbors", "copied.npy", "--data", "digits", "--out", "near.png")
    assert "60 of 60 samples" in text  # all of a file by default
    assert "picture: near.png" in text
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
    printed = json.loads(succeed("neighbors", trained, "-n", 50, "--seed", 3, "--json"))
    assert printed["n_samples"] == 50
    assert json.loads((trained / "memorisation.json").read_text()) == printed
    drawn = fastgan.runs.Run.open(trained).generator.sample(50, 3)
    from fastgan.memorisation import check_memorisation

    assert json.loads(check_memorisation(drawn, load_dataset("digits")).to_json()) == printed


def test_figures_draws_and_reports(trained: Path) -> None:
    succeed("figures", trained)
    for name in (
        "samples.png", "figure_2.png", "figure_3.png", "curves.png", "memorisation.png",
        "nearest_pairs.png",
    ):  # fmt: skip
        assert (trained / "figures" / name).read_bytes().startswith(PNG)
    assert "<html" in (trained / "report.html").read_text(encoding="utf-8")
    assert (trained / "memorisation.json").is_file()


@pytest.fixture(scope="module")
def averaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a recipe that averages, through the command line; its best epoch is not its last."""
    folder = tmp_path_factory.mktemp("averaged")
    recipe = tiny(folder / "tiny.toml", average_decay=0.9, average_every=2, n_epochs=6,
                  learning_rate=0.5, batch_size=100)  # fmt: skip
    shown = succeed("train", recipe, "--out", folder / "run", "--quiet")
    run = fastgan.runs.Run.open(folder / "run")
    assert run.best_epoch.epoch < 6
    best = f"{run.best_epoch.validation_log_likelihood:.1f} nats, epoch {run.best_epoch.epoch}"
    assert f"best validation log-likelihood: {best}" in shown
    return folder / "run"


def test_weights_are_chosen(averaged: Path) -> None:
    run = fastgan.runs.Run.open(averaged)
    rows = {}
    for weights in ("model", "last", "best"):
        succeed("sample", averaged, "-n", 30, "--out", "rows.npy", "--weights", weights)
        rows[weights] = np.load("rows.npy")
        expected = run.load_generator(weights=weights).sample(30, 0).numpy()
        assert np.array_equal(rows[weights], expected)
    assert not np.array_equal(rows["model"], rows["last"])
    assert not np.array_equal(rows["model"], rows["best"])
    succeed("sample", averaged, "-n", 30, "--out", "rows.npy")
    assert np.array_equal(np.load("rows.npy"), rows["model"])


def test_scores_of_other_weights_stand_beside_the_models(averaged: Path) -> None:
    found = {"model": json.loads(succeed("evaluate", averaged, "--json"))}
    kept = (averaged / "evaluation.json").read_bytes()
    for weights in ("last", "best"):
        line = succeed("evaluate", averaged, "--weights", weights, "--json")
        found[weights] = json.loads(line)
        assert json.loads((averaged / f"evaluation-{weights}.json").read_text()) == found[weights]
    assert (averaged / "evaluation.json").read_bytes() == kept
    assert len({score["mean"] for score in found.values()}) == 3
    best = fastgan.runs.Run.open(averaged).best_epoch
    assert found["best"]["sigma"] == best.sigma


def test_figures_of_other_weights_stand_beside_the_models(averaged: Path) -> None:
    shown = succeed("figures", averaged, "--weights", "best").replace("\n", "")
    assert f"report: {averaged / 'report-best.html'}" in shown
    assert (averaged / "figures-best" / "figure_2.png").read_bytes().startswith(PNG)
    assert (averaged / "memorisation-best.json").is_file()
    assert not (averaged / "figures").exists()
    assert not (averaged / "report.html").exists()


def test_weights_that_are_not_there(trained: Path, averaged: Path) -> None:
    sentence = "weights: expected one of model, last, best, got 'first'"
    for command in ("evaluate", "figures", "neighbors"):
        assert sentence in mistake(command, trained, "--weights", "first")
    assert sentence in mistake("sample", trained, "--weights", "first", "--out", "x.npy")
    (averaged / "best.safetensors").rename("away")
    try:
        line = mistake("evaluate", averaged, "--weights", "best")
    finally:
        Path("away").rename(averaged / "best.safetensors")
    assert "holds no best.safetensors" in line


def collapsing(path: Path) -> Path:
    """Write a recipe of a constant generator at a vanishing rate: it hardly varies with z."""
    return tiny(path, learning_rate=1e-9, learning_rate_floor=0.0,
                generator=(recipes.DenseLayer(64, "sigmoid", initial_range=1e-6,
                                              bias_from_data=True),),
                n_epochs=4, batch_size=100, evaluate_every=100)  # fmt: skip


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


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "minst"], "recipe: expected one of mnist, mnist-averaged, digits, got 'minst'"),
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
        (["evaluate", "--samples", "cut.npy", "--data", "digits"], "not a whole .npy file"),
        (["evaluate", "--samples", "pickled.npy", "--data", "digits"], "not a whole .npy file"),
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
