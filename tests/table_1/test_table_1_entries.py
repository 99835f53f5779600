"""What stands in the table: which columns, which rows, and what is told of each number."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

import fastgan
from fastgan.published import BEST_OF_FOLDS_NOTE, FOLD_ERROR_NOTE
from fastgan.scores import Evaluation, FoldEvaluation
from fastgan.table_1_entries import collect_table_1, entries_of_run, table_1, table_of
from fastgan.table_1_result import Row, Table1

PAPER = [
    ("DBN", "138 ± 2", "1909 ± 66"),
    ("Stacked CAE", "121 ± 1.6", "2110 ± 50"),
    ("Deep GSN", "214 ± 1.1", "1890 ± 29"),
    ("Adversarial nets", "225 ± 2", "2057 ± 26"),
]


def texts(row: Row) -> list[str | None]:
    return [None if cell is None else cell.text for cell in row.cells]


def notes_of(table: Table1, row: Row) -> list[str]:
    return [table.notes[n - 1] for cell in row.cells if cell is not None for n in cell.marks]


def printed(found: Evaluation | FoldEvaluation) -> str:
    return f"{found.mean:.1f} ± {found.standard_error:.1f}"


def test_the_papers_rows_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = collect_table_1()
    assert table.columns == ("MNIST", "TFD")
    assert [(row.model, *texts(row)) for row in table.rows] == PAPER
    assert {row.source for row in table.rows} == {
        "published: Goodfellow et al. 2014, Table 1 (arXiv 1406.2661)"
    }
    assert table.own == ()
    assert "Nothing is evaluated in runs yet" in table.remarks[-1]
    assert "standard error of the mean across test images" in table.caption
    assert "the error across folds" in table.caption


def test_all_that_was_published(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = collect_table_1(all_published=True)
    assert len(table.published) == 8
    rows = {row.model: row for row in table.rows}
    assert texts(rows["Diffusion"]) == ["220", None]
    assert rows["Diffusion"].source == (
        "published: Sohl-Dickstein et al. 2015 (arXiv 1503.03585), printed as 317 ± 2.7 bits"
    )
    assert texts(rows["Adversarial autoencoder"]) == ["340 ± 2", "2252 ± 16"]
    assert "Makhzani et al. 2015" in rows["Adversarial autoencoder"].source
    assert all(row.source.startswith("published: ") for row in table.rows)
    assert any("about 242 on MNIST" in remark for remark in table.remarks)


def test_each_run_has_a_row_in_its_datas_column(make_run, of_mnist, of_digits, of_faces, of_tfd):
    folders = [
        make_run("a", of_mnist, name="mnist", seed=2),
        make_run("b", of_digits),
        make_run("c", of_faces, name="faces"),
        make_run("d", of_tfd, name="tfd"),
    ]
    table = collect_table_1(folders)
    assert table.columns == ("MNIST", "TFD", "digits", "faces")
    assert [(row.model, *texts(row)) for row in table.own] == [
        ("mnist, seed 2", printed(of_mnist), None, None, None),
        ("digits, seed 0", None, None, printed(of_digits), None),
        ("faces, seed 0", None, None, None, printed(of_faces)),
        ("tfd, seed 0", None, printed(of_tfd), None, None),
    ]
    assert [texts(row)[2:] for row in table.published] == [[None, None]] * 4
    for row, folder in zip(table.own, folders, strict=True):
        assert [cell.folder for cell in row.cells if cell is not None] == [folder]
        assert row.source == "measured here, 10,000 samples"
        assert notes_of(table, row) == []
    assert table.remarks[-3:] == (
        "No number was published for digits, faces: what stands there cannot be set beside the "
        "paper's columns.",
        "faces is FER2013, a stand-in for TFD: other images, so a column of its own.",
        FOLD_ERROR_NOTE,
    )


def test_faces_are_never_in_the_column_of_tfd(make_run, of_faces, of_tfd):
    """The stand-in has TFD's image size and number of folds; its column is its own all the same."""
    named_so = FoldEvaluation.of(
        [dataclasses.replace(fold, dataset="TFD") for fold in of_faces.folds]
    )
    table = collect_table_1(
        [make_run("a", of_faces), make_run("b", of_tfd), make_run("c", named_so)]
    )
    assert table.columns[:3] == ("MNIST", "TFD", "faces")
    assert table.columns[3].startswith("TFD (300 test images of 64 numbers, 5 folds)")
    assert [texts(row)[1] for row in table.own] == [None, printed(of_tfd), None]


def test_other_images_of_one_name_have_two_columns(make_run, of_digits):
    fewer = dataclasses.replace(of_digits, n_test=299)
    table = collect_table_1([make_run("a", of_digits), make_run("b", fewer)])
    assert table.columns[2:] == (
        "digits (300 test images of 64 numbers)",
        "digits (299 test images of 64 numbers)",
    )


def test_other_sample_counts_are_told(make_run, of_mnist):
    table = collect_table_1([make_run("a", dataclasses.replace(of_mnist, n_samples=1_000))])
    (row,) = table.own
    assert notes_of(table, row) == [
        "Of 1,000 samples, not the 10,000 of the published rows: comparable only to scores of as "
        "many."
    ]
    assert row.source == "measured here, 1,000 samples"


def test_of_more_samples_the_published_count_is_shown(make_run, of_mnist):
    many = dataclasses.replace(
        of_mnist,
        n_samples=1_000_000,
        mean=300.0,
        standard_error=2.0,
        protocol_sigma=0.2,
        curve_n_samples=(1_000, 10_000, 1_000_000),
        curve_means=(200.0, 250.0, 290.0),
        curve_standard_errors=(1.0, 1.25, 1.5),
    )
    table = collect_table_1([make_run("a", many)])
    (row,) = table.own
    assert texts(row) == ["250.0 ± 1.2", None]
    assert row.source == "measured here, 10,000 samples"
    assert notes_of(table, row) == [
        "At 10,000 samples, as published; at all 1,000,000 it is 300.0 ± 2.0, which is not "
        "comparable."
    ]


def test_other_ways_to_measure_are_told(make_run, of_mnist, of_tfd):
    one_fold = make_run("a", of_tfd.folds[0])
    gmmn = make_run("b", dataclasses.replace(of_mnist, sigma_variant="gmmn"))
    edge = make_run("c", dataclasses.replace(of_mnist, at_edge=True))
    shifted = make_run("d", dataclasses.replace(of_mnist, sample_range=(-9.0, 0.0)))
    table = collect_table_1([one_fold, gmmn, edge, shifted])
    told = [" ".join(notes_of(table, row)) for row in table.own]
    for text, sentence in zip(
        told,
        ("Of one fold; the", "as in the GMMN paper", "is an end of its grid", "samples lie in [-9"),
        strict=True,
    ):
        assert sentence in text


def test_one_note_for_what_is_said_twice(make_run, of_mnist):
    few = dataclasses.replace(of_mnist, n_samples=1_000)
    table = collect_table_1([make_run("a", few), make_run("b", few, seed=1)])
    assert len(table.notes) == 1
    assert [row.cells[0].marks for row in table.own] == [(1,), (1,)]


def test_a_run_that_collapsed_says_so(make_run, of_mnist):
    collapsed = make_run("a", of_mnist, name="mnist", deviation=0.001, warnings=("it collapsed",))
    warned = make_run("b", of_mnist, name="mnist", seed=1, warnings=("D is sure", "again"))
    stopped = make_run("c", of_mnist, name="mnist", seed=2, status="stopped")
    table = collect_table_1([collapsed, warned, stopped])
    assert [row.model for row in table.own] == [
        "mnist, seed 0 (collapsed)", "mnist, seed 1", "mnist, seed 2",
    ]  # fmt: skip
    assert [notes_of(table, row) for row in table.own] == [
        ["This run collapsed: at its end the samples hardly varied with z."],
        [
            "The collapse watch warned of this run, though it did not end collapsed: epoch 2: "
            "D is sure, and 1 more."
        ],
        ["This run did not come to its end: it is stopped."],
    ]


def test_each_evaluated_generator_of_a_run(make_run, of_mnist, of_digits):
    folder = make_run("a", of_mnist)
    make_run("a", of_digits, weights="best")
    models = [row.model for row in collect_table_1([folder]).own]
    assert models == ["digits, seed 0", "digits, seed 0, best validation epoch"]
    (entry,) = entries_of_run(fastgan.runs.Run.open(folder, "best"))
    assert table_of([entry]).columns == ("MNIST", "TFD", "digits")


def test_the_best_epoch_of_folds_is_told_to_be_chosen_on_test_images(make_run, of_faces):
    folder = make_run("a", of_faces)
    make_run("a", of_faces, weights="best")
    last, best = (
        notes_of(table, row) for table in [collect_table_1([folder])] for row in table.own
    )
    assert (last, best) == ([], [BEST_OF_FOLDS_NOTE])


def test_rows_of_samples_of_one_name_are_joined(make_samples, make_run, of_mnist, of_digits):
    one = make_samples("a", of_mnist, "VAE")
    other = make_samples("b", of_digits, "VAE")
    again = make_samples("c", of_digits, "VAE")
    table = collect_table_1([one, other, again, make_run("d", of_digits, name="VAE")])
    assert [(row.model, *texts(row)) for row in table.own] == [
        ("VAE", printed(of_mnist), None, printed(of_digits)),
        ("VAE", None, None, printed(of_digits)),
        ("VAE, seed 0", None, None, printed(of_digits)),
    ]
    assert [cell.folder for cell in table.own[0].cells if cell is not None] == [one, other]


def test_every_finished_run_by_default(
    make_run, make_samples, of_mnist, of_digits, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    make_run("runs/digits/seed-10", of_digits, seed=10)
    make_run("runs/digits/seed-9", of_digits, seed=9)
    make_run("runs/digits/seed-1", of_digits, seed=1, status="stopped")
    make_run("runs/digits/seed-0", None)
    make_samples("runs/mine", of_mnist, "mine")
    Path("runs/figure-1").mkdir()
    table = collect_table_1()
    assert [row.model for row in table.own] == ["digits, seed 9", "digits, seed 10", "mine"]
    assert table.remarks[-2:] == (
        "Left out: runs/digits/seed-0, not evaluated (`fastgan evaluate runs/digits/seed-0`).",
        "Left out: runs/digits/seed-1, a run that is stopped.",
    )
    assert collect_table_1(["runs/digits"]).own == table.own[:2]
    assert collect_table_1([Path("runs")]) == table


def test_folders_that_give_no_row(make_run, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"folders: .*nowhere: no such folder"):
        collect_table_1([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"folders: .*empty: expected a run folder, one that"):
        collect_table_1([tmp_path / "empty"])
    folder = make_run("run", None)
    with pytest.raises(ValueError, match=re.escape(f"`fastgan evaluate {folder}` makes it")):
        collect_table_1([folder])
    (tmp_path / "named").mkdir()
    (tmp_path / "named" / "model.json").write_text('{"name": "a"}')
    with pytest.raises(ValueError, match="expected an evaluated run"):
        collect_table_1([tmp_path / "named"])


@pytest.mark.parametrize("name", ["evaluation.json", "evaluation-best.json", "folds.json"])
def test_a_damaged_file_is_named(make_run, of_mnist, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    folder = make_run("runs/a", None if name == "folds.json" else of_mnist)
    (folder / name).write_text('{"mean": 225')
    for folders in ([folder], None):
        with pytest.raises(ValueError, match=re.escape(name) + ": evaluation.*: expected JSON"):
            table_1(folders)


def test_a_damaged_name_is_named(make_samples, of_mnist):
    folder = make_samples("a", of_mnist, "mine")
    (folder / "model.json").write_text(json.dumps({"name": 3}))
    with pytest.raises(ValueError, match=re.escape(str(folder / "model.json"))):
        table_1([folder])


def test_links_to_folders_are_not_followed(make_run, of_digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_run("runs/a", of_digits)
    Path("runs/loop").symlink_to(tmp_path / "runs")
    assert len(collect_table_1().own) == 1


def test_the_public_name(make_run, of_digits, tmp_path):
    folder = make_run("a", of_digits)
    assert fastgan.table_1([folder]) == table_1([folder])
    assert table_1(folder) == table_1(str(folder)) == table_1([folder])
    with pytest.raises(ValueError, match="format: expected one of text, markdown, latex, html, g"):
        fastgan.table_1([tmp_path / "nowhere"], "word")
