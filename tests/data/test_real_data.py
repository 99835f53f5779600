"""The real files, where FASTGAN_DATA has them."""

from __future__ import annotations

import gzip
import hashlib

import numpy as np
import pytest
import torch

from fastgan.data import cifar10, load_dataset, mnist

pytestmark = pytest.mark.data

MNIST_MD5 = (
    "6bbc9ace898e44ae57da46a324031adb",
    "a25bea736e30d166cdddb491f175f624",
    "2646ac647ad5339dbf082846283269ea",
    "27ae3e4e09519cfbb04c329615203637",
)
CIFAR10_MD5 = (
    "5dd7e06a14cb22eb9f671a540d1b7c25",
    "5ea93a67294ea407fff1d09f752e9692",
    "942cd6a4bcdd0dd3c604fbe906cb4421",
    "ae636b3ba5c66a11e91e8cb52e771fcb",
    "53f37980c15c3d472c316c40844f3f0d",
    "803d5f7f4d78ea53de84dbe85f74fb6d",
)


def md5(content) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def test_mnist_files(real_data):
    folder = real_data("mnist")
    for names, expected in zip(mnist.FILES.alternatives[0], MNIST_MD5, strict=True):
        packed, plain = folder / names[0], folder / names[1]
        content = gzip.decompress(packed.read_bytes()) if packed.exists() else plain.read_bytes()
        assert md5(content) == expected


def test_mnist(real_data):
    real_data("mnist")
    dataset = load_dataset("mnist", download=False)
    assert [len(rows) for rows in (dataset.train, dataset.validation, dataset.test)] == [
        50_000,
        10_000,
        10_000,
    ]
    assert dataset.sigma_images == 1000
    assert dataset.comparable_to == "MNIST"
    assert "NOT" not in dataset.source
    assert dataset.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert dataset.test_labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    # the mean of the 60,000 training images is 33.318421 of 255; each quotient is rounded to
    # 2^-24 of itself
    rows = torch.cat([dataset.train, dataset.validation])
    assert rows.double().mean().item() == pytest.approx(33.318421449829934 / 255.0, rel=2**-24)
    assert rows.min() == 0.0
    assert rows.max() == 1.0
    assert sorted(dataset.test_labels.bincount().tolist())[0] == 892  # the fives


@pytest.mark.parametrize("i", range(6))
def test_cifar10_files(real_data, i):
    content = (real_data("cifar10") / cifar10.BATCHES[i]).read_bytes()
    assert md5(content) == CIFAR10_MD5[i]


def test_cifar10(real_data):
    folder = real_data("cifar10")
    dataset = load_dataset("cifar10", download=False)
    assert [len(rows) for rows in (dataset.train, dataset.validation, dataset.test)] == [
        40_000,
        10_000,
        10_000,
    ]
    assert dataset.test_labels.bincount().tolist() == [1000] * 10
    raw = np.fromfile(folder / "data_batch_5.bin", np.uint8).reshape(-1, 3073)
    assert dataset.validation_labels.tolist() == raw[:, 0].tolist()
    picture = raw[7, 1:].reshape(3, 32, 32).transpose(1, 2, 0).ravel().astype(np.float64)
    picture -= picture.mean()
    picture *= 55.0 / np.linalg.norm(picture)
    np.testing.assert_allclose(dataset.validation[7].double(), picture, rtol=2**-24 + 1e-12)
    # what the display range was chosen by
    low, high = dataset.pixel_range
    sample = dataset.train[::40]
    clipped = ((sample < low) | (sample > high)).double().mean().item()
    assert 0.001 < clipped < 0.003


def test_fer2013(real_data):
    real_data("fer2013")
    dataset = load_dataset("fer2013")
    assert [len(rows) for rows in (dataset.train, dataset.validation, dataset.test)] == [
        6000,
        1000,
        1000,
    ]
    assert dataset.image_shape == (48, 48, 1)
    assert dataset.comparable_to is None
    labels = torch.cat([dataset.train_labels, dataset.validation_labels, dataset.test_labels])
    assert labels.bincount().tolist() == [1109, 110, 1136, 2052, 1359, 775, 1459]
