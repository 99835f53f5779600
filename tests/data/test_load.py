from __future__ import annotations

import gzip
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import platformdirs
import pytest
import torch

import fastgan
from fastgan.data import DATASET_NAMES, idx, load_dataset, mnist
from fastgan.data.locate import cache_folder

NAMES = tuple(names[0] for names in mnist.FILES.alternatives[0])


@pytest.fixture(autouse=True)
def no_mirrors(monkeypatch):
    """Downloads meet a port where nobody listens."""
    monkeypatch.setattr(mnist, "_MIRRORS", ("http://127.0.0.1:9/one/", "http://127.0.0.1:9/two/"))
    monkeypatch.setattr(mnist, "N_TRAIN", 2)
    monkeypatch.setattr(mnist, "N_VALIDATION", 1)
    monkeypatch.setattr(mnist, "N_TEST", 1)
    monkeypatch.setattr(mnist, "SIGMA_IMAGES", 1)


def write_mnist(folder: Path, value: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, n_images in zip(NAMES, (3, 3, 1, 1), strict=True):
        shape = (n_images, 28, 28) if "images" in name else (n_images,)
        content = idx.header(shape) + bytes([value]) * int(np.prod(shape))
        (folder / name).write_bytes(gzip.compress(content))
    return folder


def value_of(dataset) -> int:
    return round(dataset.train[0, 0].item() * 255)


def test_public_name():
    assert fastgan.load_dataset is load_dataset
    assert DATASET_NAMES == ("digits", "mnist", "cifar10", "tfd", "fer2013", "faces")


@pytest.mark.parametrize("name", ["mnst", "imagenet", "digit", "", "cifar 10", "mnist2"])
def test_unknown_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sentence = "expected one of digits, mnist, cifar10, tfd, fer2013, faces, or the path of an ex"
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        load_dataset(name)
    assert repr(name) in str(caught.value)


def test_unknown_name_close_to_a_known_one():
    with pytest.raises(ValueError, match=re.escape("got 'Digit'; did you mean digits?")):
        load_dataset("Digit")


@pytest.mark.parametrize("wrong", [None, 3, b"digits", ["digits"]])
def test_name_of_wrong_type(wrong):
    with pytest.raises(TypeError, match=f"expected a name or a path, got {type(wrong).__name__}"):
        load_dataset(wrong)


@pytest.mark.parametrize("wrong", [None, 0.0, "0", True])
def test_fold_of_wrong_type(wrong):
    with pytest.raises(TypeError, match=f"fold: expected an int, got {type(wrong).__name__}"):
        load_dataset("tfd", fold=wrong)


@pytest.mark.parametrize("name", ["digits", "mnist", "cifar10", "fer2013"])
def test_fold_where_there_are_none(name):
    sentence = f"fold: expected 0, since only tfd and faces have folds, got 1 for {name}"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        load_dataset(name, fold=1)


def test_order_of_places(tmp_path, monkeypatch, cache):
    write_mnist(cache / "mnist", 1)
    assert value_of(load_dataset("mnist")) == 1
    write_mnist(tmp_path / "environment" / "MNIST" / "raw", 2)
    monkeypatch.setenv("FASTGAN_DATA", str(tmp_path / "environment"))
    assert value_of(load_dataset("mnist")) == 2
    write_mnist(tmp_path / "environment" / "mnist", 3)
    assert value_of(load_dataset("mnist")) == 3
    write_mnist(tmp_path / "environment", 4)
    assert value_of(load_dataset("mnist")) == 4
    write_mnist(tmp_path / "argument" / "mnist", 5)
    assert value_of(load_dataset("mnist", folder=tmp_path / "argument")) == 5
    # an argument without the files goes on to the next place
    (tmp_path / "empty").mkdir()
    assert value_of(load_dataset("mnist", folder=str(tmp_path / "empty"))) == 4
    assert value_of(load_dataset("MNIST", folder=tmp_path / "empty", download=False)) == 4


@pytest.mark.parametrize("download", [True, False])
def test_files_that_are_nowhere(tmp_path, monkeypatch, cache, download):
    write_mnist(tmp_path / "half" / "mnist", 1)
    (tmp_path / "half" / "mnist" / NAMES[1]).unlink()
    monkeypatch.setenv("FASTGAN_DATA", str(tmp_path / "half"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError) as caught:
        load_dataset("mnist", folder=tmp_path / "empty", download=download)
    message = str(caught.value)
    assert f"Put these files: {', '.join(NAMES)}\n" in message
    for place in (
        f"  - {tmp_path / 'empty'} (folder)\n",
        f"  - {tmp_path / 'empty' / 'mnist'} (folder)\n",
        f"  - {tmp_path / 'half' / 'mnist'} (FASTGAN_DATA): only {NAMES[1]} missing\n",
        f"  - {cache / 'mnist'} (cache)\n",
    ):
        assert place in message
    if download:
        for mirror in ("one", "two"):
            assert f"http://127.0.0.1:9/{mirror}/{NAMES[0]}: no connection" in message
    else:
        assert message.startswith("mnist: files not found (download=False).\n")


def test_files_that_are_nowhere_without_the_variable():
    with pytest.raises(FileNotFoundError, match=r"folder named by FASTGAN_DATA \(not set\)"):
        load_dataset("mnist")


@pytest.mark.parametrize("name", ["tfd", "fer2013"])
def test_data_that_cannot_be_downloaded(name):
    file = {"tfd": "TFD_48x48.mat", "fer2013": "fer2013*.npz"}[name]
    with pytest.raises(FileNotFoundError) as caught:
        load_dataset(name)
    assert f"{name}: files not found.\nPut these files: {file}\n" in str(caught.value)


def test_settings_that_are_not_folders(tmp_path, monkeypatch):
    missing = tmp_path / "missing"
    with pytest.raises(NotADirectoryError, match=re.escape(f"folder, got {missing}")):
        load_dataset("mnist", folder=missing)
    monkeypatch.setenv("FASTGAN_DATA", str(missing))
    sentence = re.escape(f"FASTGAN_DATA: expected an existing folder, got {missing}")
    with pytest.raises(NotADirectoryError, match=sentence):
        load_dataset("mnist")


def test_cache_is_the_users():
    expected = Path(platformdirs.user_cache_dir("fastgan", appauthor=False)) / "data" / "mnist"
    assert cache_folder("mnist") == expected


def test_import_is_light():
    heavy = "sklearn scipy pooch requests platformdirs triton matplotlib"
    code = f"import sys, fastgan.data; print(*sorted(set({heavy.split()}) & set(sys.modules)))"
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert got.stdout.split() == []


def test_folder_by_path(tmp_path):
    folder = write_mnist(tmp_path / "somewhere", 7)
    assert value_of(load_dataset(folder)) == 7
    assert value_of(load_dataset(str(folder))) == 7


def test_folder_without_data(tmp_path):
    with pytest.raises(ValueError, match="with all files of a known data set") as caught:
        load_dataset(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_folder_argument_with_a_path(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 4)))
    with pytest.raises(ValueError, match="folder: expected None with a path"):
        load_dataset(tmp_path / "a.npy", folder=tmp_path)


def test_idx_file_by_path(tmp_path):
    images = np.random.Generator(np.random.Philox(3)).integers(0, 256, (5, 3, 2), np.uint8)
    path = tmp_path / "faces-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx.header(images.shape) + images.tobytes()))
    dataset = load_dataset(path)
    assert dataset.name == "faces-idx3-ubyte"
    assert dataset.image_shape == (3, 2, 1)
    assert torch.equal(
        dataset.train, torch.from_numpy(images[:3].reshape(3, 6)).to(torch.float32) / 255.0
    )


@pytest.mark.parametrize("name", ["a.pkl", "a.pt", "a.dat"])
def test_pickles_by_path(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(pickle.dumps([1, 2], protocol=4))
    sentence = f"{path}: expected .npy, .npz, .mat or IDX, got a pickle, which is never read"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        load_dataset(path)


@pytest.mark.parametrize("name", ["a.txt", "data_batch_1.bin", "empty"])
def test_other_kinds_of_file(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"" if name == "empty" else b"\x00\x01words")
    with pytest.raises(ValueError, match=re.escape(f"{path}: expected a")):
        load_dataset(path)


def fer(folder, name="fer2013_10.npz", **change):
    arrays = {
        "images": np.arange(10 * 48 * 48, dtype=np.uint32).astype(np.uint8).reshape(10, 48, 48),
        "labels": np.arange(10, dtype=np.uint8) % 7,
        "split": np.array([0] * 6 + [1] * 2 + [2] * 2, np.uint8),
    } | change
    np.savez(folder / name, **{key: array for key, array in arrays.items() if array is not None})
    return folder / name


def test_fer2013(tmp_path):
    path = fer(tmp_path)
    dataset = load_dataset("fer2013", folder=tmp_path)
    assert [len(rows) for rows in (dataset.train, dataset.validation, dataset.test)] == [6, 2, 2]
    assert dataset.name == "fer2013"
    assert dataset.comparable_to is None
    assert dataset.source.startswith("FER2013, a stand-in for TFD: images of ")
    assert dataset.sigma_images == 2
    assert torch.equal(load_dataset(path).train, dataset.train)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"split": None}, "expected an array named split, got: images, labels"),
        ({"images": np.zeros((10, 96, 96), np.uint8)}, "images: expected shape (n, 48, 48) of uin"),
        ({"images": np.zeros((10, 48, 48))}, "of uint8, got (10, 48, 48) of float64"),
        ({"labels": np.zeros(9, int)}, "labels: expected 10 labels, one an image, got shape (9,)"),
    ],
)
def test_fer2013_that_is_not(tmp_path, change, sentence):
    path = fer(tmp_path, **change)
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        load_dataset("fer2013", folder=tmp_path)
    assert str(path) in str(caught.value)


def test_two_files_of_fer2013(tmp_path):
    fer(tmp_path)
    path = fer(tmp_path, "fer2013.npz")
    sentence = f"{tmp_path}: expected one file fer2013*.npz, got 2 (fer2013.npz, fer2013_10.npz)"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        load_dataset("fer2013", folder=tmp_path)
    assert load_dataset(path).name == "fer2013"
