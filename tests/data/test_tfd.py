from __future__ import annotations

import re

import numpy as np
import pytest
import scipy.io
import torch

from fastgan.data import load_dataset


def fields(n=40):
    numbers = np.random.Generator(np.random.Philox(8))
    folds = np.zeros((n, 5), np.uint8)
    folds[n // 2 :] = 1 + (np.arange(n // 2)[:, None] + np.arange(5)) % 3
    expressions = np.full((n, 1), -1, np.int16)
    expressions[n // 2 :] = numbers.integers(1, 8, (n // 2, 1))
    return {
        "images": numbers.integers(0, 256, (n, 48, 48), np.uint8),
        "folds": folds,
        "labs_ex": expressions,
        "labs_id": np.ones((n, 1), np.int16),
    }


def save(folder, content, **options):
    path = folder / "TFD_48x48.mat"
    scipy.io.savemat(path, content, **options)
    return path


def refused(path, sentence, **options):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        load_dataset("tfd", folder=path.parent, **options)


@pytest.mark.parametrize("fold", range(5))
def test_folds(tmp_path, fold):
    content = fields()
    path = save(tmp_path, content, do_compression=fold % 2 == 0)
    dataset = load_dataset("tfd", folder=tmp_path, fold=fold)
    rows = torch.from_numpy(content["images"].reshape(40, -1)).to(torch.float32) / 255.0
    codes = torch.from_numpy(content["folds"][:, fold])
    labels = torch.from_numpy(content["labs_ex"].ravel().astype(np.int64)) - 1
    assert torch.equal(dataset.train, rows[:20])  # unlabeled, in every fold
    assert torch.equal(dataset.validation, rows[codes == 2])
    assert torch.equal(dataset.test, rows[codes == 3])
    assert torch.equal(dataset.validation_labels, labels[codes == 2])
    assert torch.equal(dataset.test_labels, labels[codes == 3])
    assert dataset.train_labels is None
    assert dataset.image_shape == (48, 48, 1)
    assert dataset.sigma_images == len(dataset.validation)
    assert dataset.comparable_to == "TFD"
    assert f"fold {fold} of {path}" in dataset.source


def test_by_path_and_in_subfolders(tmp_path):
    folder = tmp_path / "faces" / "TFD"
    folder.mkdir(parents=True)
    path = save(folder, fields())
    test = load_dataset(path, fold=1).test
    assert torch.equal(load_dataset(folder, fold=1).test, test)
    assert torch.equal(load_dataset("tfd", folder=tmp_path, fold=1).test, test)
    assert not torch.equal(load_dataset(path).test, test)


@pytest.mark.parametrize("fold", [-1, 5])
def test_fold_out_of_range(tmp_path, fold):
    refused(save(tmp_path, fields()), f"fold: expected 0 to 4, got {fold}", fold=fold)


@pytest.mark.parametrize("name", ["images", "folds", "labs_ex"])
def test_missing_field(tmp_path, name):
    content = fields()
    del content[name]
    path = save(tmp_path, content)
    refused(path, f"{path}: expected the fields images, folds, labs_ex, got no {name}")


def test_no_field_at_all(tmp_path):
    path = save(tmp_path, {})
    refused(path, "got no images, folds, labs_ex (the file has: nothing)")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"images": np.zeros((40, 96, 96), np.uint8)}, "images: expected shape (n, 48, 48), got"),
        ({"images": np.zeros((40, 48, 48))}, "images: expected uint8, got float64"),
        ({"folds": np.zeros((39, 5), int)}, "folds: expected shape (40, n_folds), one row an"),
        ({"folds": np.zeros((40, 5), int)}, "folds: expected images of every set ("),
        (
            {"folds": np.full((40, 5), 9)},
            "folds: expected 0 unlabeled, 1 train, 2 valid, 3 test, g",
        ),
        ({"labs_ex": np.zeros((39, 1), int)}, "labs_ex: expected 40 whole numbers, one an image"),
        ({"labs_ex": np.full((40, 1), np.nan)}, "labs_ex: expected 40 whole numbers, one an ima"),
        ({"labs_ex": "happy"}, "labs_ex: expected an array of real numbers, got text"),
    ],
)
def test_fields_that_do_not_fit(tmp_path, change, sentence):
    path = save(tmp_path, fields() | change)
    refused(path, f"{path}: {sentence}")


def test_matlab_73(tmp_path):
    path = tmp_path / "TFD_48x48.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(128) + b"\x89HDF\r\n\x1a\n")
    refused(path, f"{path}: expected a MATLAB 5 file, got a MATLAB 7.3 (HDF5) file")


@pytest.mark.parametrize("compressed", [False, True])
def test_cut_short_anywhere(tmp_path, compressed):
    content = fields()
    del content["labs_id"]  # not read: a cut there does no harm
    path = save(tmp_path, content, do_compression=compressed)
    whole = path.read_bytes()
    for n_bytes in (*range(0, 200, 13), len(whole) // 2, *range(len(whole) - 700, len(whole), 13)):
        path.write_bytes(whole[:n_bytes])
        refused(path, f"{path}: expected ")


def test_web_page_saved_under_the_name(tmp_path):
    path = tmp_path / "TFD_48x48.mat"
    path.write_bytes(b"<!DOCTYPE html><html>" * 100)
    refused(path, f"{path}: expected a MATLAB 5 file, got one that is cut short, damaged or of")
