"""One search for whoever asks: each set is searched when it is first asked for, and kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fastgan import nearest_training
from fastgan.data import Dataset
from fastgan.memorisation import check_memorisation, memorisation_of
from fastgan.nearest_training import NearestTraining


@pytest.fixture
def dataset():
    generator = torch.Generator().manual_seed(0)
    parts = [torch.rand(n, 6, generator=generator) for n in (300, 20, 200)]
    return Dataset("noise", *parts, image_shape=(2, 3, 1))


@pytest.fixture
def samples():
    return torch.rand(50, 6, generator=torch.Generator().manual_seed(1))


def test_the_nearest_of_each_set_are_those_of_brute_force(dataset, samples):
    found = NearestTraining(samples, dataset, n_samples=40, n_held_out=30)
    for nearest, rows in (
        (found.of_samples, samples[:40]),
        (found.of_test, dataset.test[:30]),
        (found.of_validation, dataset.validation),
    ):
        differences = rows.double()[:, None, :] - dataset.train.double()[None, :, :]
        squared, images = differences.square().sum(dim=2).min(dim=1)
        np.testing.assert_array_equal(nearest.images, images.numpy())
        # both are sums of six squares in float64, in another order: 4 d eps, and the root halves it
        np.testing.assert_allclose(
            nearest.distances, squared.sqrt().numpy(), rtol=4 * 6 * np.finfo(float).eps
        )
        assert (nearest.distances.dtype, nearest.images.dtype) == (np.float64, np.int64)


def test_each_set_is_searched_once(dataset, samples, monkeypatch):
    asked = []
    query = nearest_training.NeighborIndex.query
    monkeypatch.setattr(
        nearest_training.NeighborIndex,
        "query",
        lambda self, rows, *rest: (asked.append(len(rows)), query(self, rows, *rest))[1],
    )
    nearest = NearestTraining(samples, dataset)
    assert asked == []
    assert memorisation_of(nearest) == memorisation_of(nearest)
    assert sorted(asked) == [50, 200]
    assert nearest.of_validation is nearest.of_validation
    assert asked[2:] == [20]
    assert memorisation_of(nearest) == check_memorisation(samples, dataset)
