from __future__ import annotations

import gzip
import re

import numpy as np
import pytest
import torch

from fastgan.data import idx, load_dataset, mnist

NAMES = tuple(names[0] for names in mnist.FILES.alternatives[0])


@pytest.fixture
def small(monkeypatch):
    """MNIST of 5 + 2 + 3 images: the same code with other counts."""
    monkeypatch.setattr(mnist, "N_TRAIN", 5)
    monkeypatch.setattr(mnist, "N_VALIDATION", 2)
    monkeypatch.setattr(mnist, "N_TEST", 3)
    monkeypatch.setattr(mnist, "SIGMA_IMAGES", 1)


def arrays(n_train=7, n_test=3, size=28):
    numbers = np.random.Generator(np.random.Philox(5))
    return tuple(
        numbers.integers(0, 256, shape, np.uint8)
        for shape in ((n_train, size, size), (n_train,), (n_test, size, size), (n_test,))
    )


def write(folder, contents, *, names=NAMES):
    folder.mkdir(exist_ok=True)
    for name, array in zip(names, contents, strict=True):
        content = idx.header(array.shape) + array.tobytes()
        path = folder / name
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return folder


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "change", [str, lambda name: name[:-3], lambda n: n.replace("-idx", ".idx")]
)
def test_split_scale_and_labels(tmp_path, change):
    contents = arrays()
    folder = write(tmp_path, contents, names=tuple(map(change, NAMES)))
    dataset = load_dataset("mnist", folder=folder)
    images, labels, test_images, test_labels = (torch.from_numpy(array) for array in contents)
    for rows, bytes_ in (
        (dataset.train, images[:5]),
        (dataset.validation, images[5:]),
        (dataset.test, test_images),
    ):
        assert torch.equal(rows, bytes_.reshape(-1, 784).to(torch.float32) / 255.0)
    assert torch.equal(dataset.train_labels, labels[:5].to(torch.int64))
    assert torch.equal(dataset.validation_labels, labels[5:].to(torch.int64))
    assert torch.equal(dataset.test_labels, test_labels.to(torch.int64))
    assert dataset.image_shape == (28, 28, 1)
    assert dataset.sigma_images == 1
    assert dataset.sigma_grid == pytest.approx(np.logspace(-1, 0, 10), rel=1e-15)


@pytest.mark.usefixtures("small")
def test_other_data_in_the_same_format_is_not_comparable(tmp_path):
    dataset = load_dataset("mnist", folder=write(tmp_path, arrays()))
    assert dataset.comparable_to is None
    assert "NOT the original MNIST" in dataset.source


@pytest.mark.usefixtures("small")
def test_label_count_mismatch(tmp_path):
    contents = list(arrays())
    contents[1] = contents[1][:6]
    folder = write(tmp_path, contents)
    sentence = f"{folder / NAMES[1]}: expected 7 labels, one for each image of {NAMES[0]}, got 6"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        load_dataset("mnist", folder=folder)


def test_counts_that_are_not_mnists(tmp_path):
    sentence = "expected 60,000 images of 28 x 28, got 7 x 28 x 28"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        load_dataset("mnist", folder=write(tmp_path, arrays()))


@pytest.mark.usefixtures("small")
def test_image_size_that_is_not_mnists(tmp_path):
    sentence = "expected 7 images of 28 x 28, got 7 x 27 x 27"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        load_dataset("mnist", folder=write(tmp_path, arrays(size=27)))


@pytest.mark.usefixtures("small")
def test_damage_names_the_file(tmp_path):
    folder = write(tmp_path, arrays())
    path = folder / NAMES[2]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=re.escape(f"{path}: expected a whole gzip file")):
        load_dataset("mnist", folder=folder)
