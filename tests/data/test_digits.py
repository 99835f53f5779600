from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits

from fastgan import reference
from fastgan.data import UNIT_SIGMA_GRID, load_dataset
from fastgan.streams import Kind, stream


def test_default_is_digits():
    dataset = load_dataset()
    assert dataset.name == "digits"
    assert dataset.image_shape == (8, 8, 1)
    assert [len(rows) for rows in (dataset.train, dataset.validation, dataset.test)] == [
        1197,
        300,
        300,
    ]
    assert dataset.sigma_images == 300
    assert dataset.sigma_grid == UNIT_SIGMA_GRID
    assert dataset.comparable_to is None


def test_every_digit_once_and_scaled():
    dataset = load_dataset("digits")
    rows = torch.cat([dataset.train, dataset.validation, dataset.test]).numpy()
    labels = torch.cat([dataset.train_labels, dataset.validation_labels, dataset.test_labels])
    bunch = load_digits()
    expected = np.column_stack([bunch.data / 16.0, bunch.target])
    got = np.column_stack([rows, labels.numpy()])
    # sixteenths are exact in float32
    assert sorted(map(tuple, got.tolist())) == sorted(map(tuple, expected.tolist()))


def test_split_is_the_references_shuffle():
    order = reference.philox.permutation(1797, 0, 0, stream(Kind.SPLIT))
    dataset = load_dataset("digits")
    images = torch.from_numpy(load_digits().data / 16.0).to(torch.float32)
    assert torch.equal(dataset.train, images[order[:1197]])
    assert torch.equal(dataset.validation, images[order[1197:1497]])
    assert torch.equal(dataset.test, images[order[1497:]])


def test_split_is_pinned():
    dataset = load_dataset("digits")
    assert dataset.train_labels[:10].tolist() == [9, 6, 0, 6, 4, 6, 0, 7, 0, 4]
    assert dataset.test_labels[-10:].tolist() == [3, 6, 2, 8, 0, 7, 9, 8, 0, 3]
