"""Data sets with folds: faces, and tfd; one training tensor, and what is tested in each fold."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

from fastgan.data import load_dataset, load_folds


def write_fer(folder: Path, n_validation: int = 6, n_test: int = 7, **change: object) -> Path:
    """Write faces of which the first pixel of each is its number in the file."""
    n_images = 4 + n_validation + n_test
    images = np.zeros((n_images, 48, 48), np.uint8)
    images[:, 0, 0] = np.arange(n_images)
    arrays = {
        "images": images,
        "labels": np.arange(n_images) % 7,
        # not in the file's order: the sets must be found by their code
        "split": np.array([0] * 2 + [1] * n_validation + [2] * n_test + [0] * 2),
    } | change
    np.savez(folder / "fer2013.npz", **{key: a for key, a in arrays.items() if a is not None})
    return folder / "fer2013.npz"


def numbers(rows: torch.Tensor) -> list[int]:
    return (rows[:, 0] * 255).round().long().tolist()


def write_tfd(folder: Path, change: tuple[int, int, int] | None = None) -> Path:
    generator = np.random.Generator(np.random.Philox(8))
    codes = np.zeros((40, 5), np.uint8)
    codes[20:] = 1 + (np.arange(20)[:, None] + np.arange(5)) % 3
    if change is not None:
        row, fold, code = change
        codes[row, fold] = code
    content = {
        "images": generator.integers(0, 256, (40, 48, 48), np.uint8),
        "folds": codes,
        "labs_ex": np.where(np.arange(40) < 20, -1, 1 + np.arange(40) % 7)[:, None],
    }
    scipy.io.savemat(folder / "TFD_48x48.mat", content)
    return folder / "TFD_48x48.mat"


# faces


def test_each_held_out_face_is_tested_in_one_fold(tmp_path):
    path = write_fer(tmp_path)
    folds = load_folds("faces", folder=tmp_path)
    assert len(folds) == 5
    held_out = list(range(2, 15))
    tested = [numbers(fold.test) for fold in folds]
    assert [len(part) for part in tested] == [3, 3, 3, 2, 2]
    in_order = [image for part in tested for image in part]
    assert sorted(in_order) == held_out
    assert in_order != held_out  # shuffled
    for number, fold in enumerate(folds):
        assert sorted(numbers(fold.validation) + numbers(fold.test)) == held_out
        assert fold.sigma_images == len(fold.validation) == 13 - len(fold.test)
        assert numbers(fold.train) == [0, 1, 15, 16]
        assert fold.train is folds[0].train
        assert fold.test_labels.tolist() == [image % 7 for image in numbers(fold.test)]
        assert fold.validation_labels.tolist() == [image % 7 for image in numbers(fold.validation)]
        assert fold.name == "faces"
        assert fold.comparable_to is None
        assert f"fold {number} of 5 of {path}" in fold.source
        assert "cannot be set beside the paper's" in fold.source
        one = load_dataset("faces", folder=tmp_path, fold=number)
        assert torch.equal(one.test, fold.test)
        assert torch.equal(one.validation, fold.validation)
        assert torch.equal(one.train, fold.train)


def test_folds_are_the_same_every_time(tmp_path):
    """Numbers of this data set are set beside each other over years: the order is fixed."""
    write_fer(tmp_path)
    tested = [numbers(fold.test) for fold in load_folds("faces", folder=tmp_path)]
    assert tested == [[13, 5, 14], [11, 8, 12], [2, 3, 7], [4, 10], [9, 6]]


def test_faces_without_labels(tmp_path):
    write_fer(tmp_path, labels=None)
    for fold in load_folds("faces", folder=tmp_path):
        assert fold.train_labels is fold.validation_labels is fold.test_labels is None


def test_too_few_faces_for_folds(tmp_path):
    path = write_fer(tmp_path, 2, 2)
    sentence = f"{path}: split: expected at least 5 validation and test images together, one a fold"
    for load in (load_dataset, load_folds):
        with pytest.raises(ValueError, match=re.escape(sentence) + ", got 4"):
            load("faces", folder=tmp_path)


@pytest.mark.parametrize("fold", [-1, 5])
def test_fold_of_faces_out_of_range(tmp_path, fold):
    write_fer(tmp_path)
    with pytest.raises(ValueError, match=f"fold: expected 0 to 4, got {fold}"):
        load_dataset("faces", folder=tmp_path, fold=fold)


def test_faces_that_are_nowhere(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape("Put these files: fer2013*.npz")):
        load_folds("faces", folder=tmp_path)


def test_real_faces(real_data):
    real_data("fer2013")
    folds = load_folds("faces")
    sizes = [(len(fold.train), len(fold.validation), len(fold.test)) for fold in folds]
    assert sizes == [(6000, 1600, 400)] * 5
    whole = load_dataset("fer2013")
    assert torch.equal(folds[0].train, whole.train)
    tested = torch.cat([fold.test for fold in folds]).double().sum(dim=1).sort().values
    held_out = torch.cat([whole.validation, whole.test]).double().sum(dim=1).sort().values
    assert torch.equal(tested, held_out)


# tfd


@pytest.mark.parametrize("how", ["name", "folder", "file"])
def test_folds_of_tfd_share_the_training_images(tmp_path, how):
    path = write_tfd(tmp_path)
    by_name = {"folder": tmp_path}
    folds = {
        "name": lambda: load_folds("tfd", **by_name),
        "folder": lambda: load_folds(tmp_path),
        "file": lambda: load_folds(path),
    }[how]()
    assert len(folds) == 5
    for number, fold in enumerate(folds):
        one = load_dataset("tfd", folder=tmp_path, fold=number)
        assert fold.train is folds[0].train
        assert torch.equal(fold.train, one.train)
        assert torch.equal(fold.validation, one.validation)
        assert torch.equal(fold.test, one.test)
        assert torch.equal(fold.test_labels, one.test_labels)
        assert fold.source == one.source
        assert fold.comparable_to == "TFD"
    assert not torch.equal(folds[0].test, folds[1].test)


@pytest.mark.parametrize("change", [(0, 3, 1), (25, 3, 0)])
def test_folds_of_tfd_that_train_on_other_images(tmp_path, change):
    path = write_tfd(tmp_path, change)
    sentence = f"{path}: folds: expected the same unlabeled images in every fold"
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        load_folds("tfd", folder=tmp_path)
    assert "got others in fold 3 than in fold 0" in str(caught.value)
    assert load_dataset("tfd", folder=tmp_path, fold=3).name == "tfd"  # one alone may be read


# without folds


def test_a_data_set_without_folds_is_one(tmp_path):
    (digits,) = load_folds("digits")
    assert torch.equal(digits.test, load_dataset("digits").test)
    write_fer(tmp_path)
    (faces,) = load_folds("fer2013", folder=tmp_path)
    assert numbers(faces.test) == list(range(8, 15))
    (by_path,) = load_folds(tmp_path / "fer2013.npz")
    assert torch.equal(by_path.test, faces.test)


@pytest.mark.parametrize("wrong", [None, 3])
def test_name_of_folds_of_wrong_type(wrong):
    with pytest.raises(TypeError, match=f"expected a name or a path, got {type(wrong).__name__}"):
        load_folds(wrong)


def test_folder_of_folds_with_a_path(tmp_path):
    write_tfd(tmp_path)
    with pytest.raises(ValueError, match="folder: expected None with a path"):
        load_folds(tmp_path, folder=tmp_path)
