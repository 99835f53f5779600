"""The picture of the nearest pairs shows the right images at the right places."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from fastgan.data import Dataset
from fastgan.figures import BACKGROUND, FRAME, image_cells
from fastgan.memorisation import check_memorisation
from fastgan.memorisation_pairs import N_COLUMNS, nearest_pairs

SCALE = 5


def data_set(shape):
    generator = torch.Generator().manual_seed(0)
    n_features = int(np.prod(shape))
    parts = [torch.rand(n, n_features, generator=generator) for n in (60, 5, 40)]
    return Dataset("noise", *parts, image_shape=shape)


def place(picture, cell):
    """Return (top, left) of the only place where a cell stands, pixel for pixel."""
    height, width = cell.shape[:2]
    windows = np.lib.stride_tricks.sliding_window_view(picture, (height, width, 3))[:, :, 0]
    corners = np.argwhere((windows[:, :, 0, 0] == cell[0, 0]).all(axis=2))
    found = [tuple(at) for at in corners if (windows[tuple(at)] == cell).all()]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("shape", [(4, 3, 1), (4, 4, 3)])
@pytest.mark.parametrize("as_array", [False, True])
def test_every_pair_stands_beside_its_training_image(tmp_path, shape, as_array):
    dataset = data_set(shape)
    samples = torch.rand(30, dataset.n_features, generator=torch.Generator().manual_seed(1))
    found = check_memorisation(samples, dataset)
    distances = torch.cdist(samples.double(), dataset.train.double())
    nearest = distances.min(dim=1)
    assert list(found.near_samples) == nearest.values.argsort()[:10].tolist()
    assert list(found.near_samples_images) == nearest.indices[list(found.near_samples)].tolist()
    given = samples.numpy() if as_array else samples
    path = nearest_pairs(found, given, dataset, tmp_path / "pairs.png", scale=SCALE)
    with Image.open(path) as image:
        picture = np.asarray(image.convert("RGB"))
        assert "10 samples nearest" in image.info["Description"]

    width = SCALE * shape[1]
    places = []
    for rows, numbers, images in (
        (samples, found.near_samples, found.near_samples_images),
        (dataset.test, found.near_held_out, found.near_held_out_images),
    ):
        for cell, other in zip(
            image_cells(rows[list(numbers)], dataset, SCALE),
            image_cells(dataset.train[list(images)], dataset, SCALE),
            strict=True,
        ):
            top, left = place(picture, cell)
            beside = picture[top : top + len(other), left + width :]
            start = int(np.argmax((beside[0] == FRAME).all(axis=1)))  # the frame begins
            inner = start + int(np.argmax((beside[0, start:] != FRAME).any(axis=1)))
            np.testing.assert_array_equal(beside[:, inner : inner + width], other)
            assert (picture[top - 1, left + width + inner] == FRAME).all()
            places.append((top, left))
    assert places == sorted(places)  # nearest first, samples above test images
    tops = sorted({top for top, _ in places})
    assert [sum(top == at for top, _ in places) for at in tops] == [N_COLUMNS] * 4
    rises = np.diff(tops)
    assert rises[1] > rises[0] == rises[2]  # the two sets stand a little apart


def test_fewer_than_a_row_are_drawn_too(tmp_path):
    dataset = data_set((4, 3, 1))
    small = dataclasses.replace(dataset, test=dataset.test[:1])
    found = check_memorisation(dataset.train[:2], small)
    path = nearest_pairs(found, dataset.train[:2], small, tmp_path / "pairs.png", scale=SCALE)
    with Image.open(path) as image:
        picture = np.asarray(image.convert("RGB"))
    frames = (picture == FRAME).all(axis=2).any(axis=1)
    assert 0 < frames.sum() < len(frames)
    assert (picture[:, -5:] == BACKGROUND).all()


def test_what_was_not_checked_is_refused(tmp_path):
    dataset = data_set((4, 3, 1))
    found = check_memorisation(dataset.test[:20], dataset)
    path = tmp_path / "pairs.png"
    with pytest.raises(ValueError, match="samples: expected the 20 checked, got 19"):
        nearest_pairs(found, dataset.test[:19], dataset, path)
    fewer = dataclasses.replace(dataset, train=dataset.train[:10])
    with pytest.raises(ValueError, match=r"dataset\.train: expected the 60 checked, got 10"):
        nearest_pairs(found, dataset.test, fewer, path)
    fewer = dataclasses.replace(dataset, test=dataset.test[:10])
    with pytest.raises(ValueError, match=r"dataset\.test: expected the 40 checked, got 10"):
        nearest_pairs(found, dataset.test[:20], fewer, path)
    with pytest.raises(ValueError, match="scale: expected at least 1, got 0"):
        nearest_pairs(found, dataset.test, dataset, path, scale=0)
    assert not path.exists()
