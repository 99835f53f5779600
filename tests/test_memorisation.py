"""Distances to the nearest training image, and the yardstick beside them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from fastgan.data import Dataset
from fastgan.memorisation import QUANTILES, check_memorisation
from fastgan.memorisation_result import Memorisation


@pytest.fixture
def dataset():
    generator = torch.Generator().manual_seed(0)
    parts = [torch.rand(n, 6, generator=generator) for n in (300, 20, 200)]
    return Dataset("noise", *parts, image_shape=(2, 3, 1))


def nearest(rows, train):
    return torch.cdist(rows.double(), train.double()).min(dim=1).values.numpy()


@pytest.mark.parametrize("kind", ["tensor", "ndarray", "float64"])
def test_quantiles_are_those_of_brute_force(dataset, kind):
    samples = torch.rand(500, 6, generator=torch.Generator().manual_seed(1))
    given = {"tensor": samples, "ndarray": samples.numpy(), "float64": samples.double()}[kind]
    found = check_memorisation(given, dataset)
    assert (found.n_queries, found.n_train) == (200, 300)  # as many samples as test images
    ours, test = nearest(samples[:200], dataset.train), nearest(dataset.test, dataset.train)
    np.testing.assert_allclose(found.sample_quantiles, np.quantile(ours, QUANTILES), rtol=1e-6)
    np.testing.assert_allclose(found.test_quantiles, np.quantile(test, QUANTILES), rtol=1e-6)
    assert found.nearer_than_test == (ours < np.quantile(test, 0.01)).mean()


def test_copies_are_found(dataset):
    copies = check_memorisation(dataset.train, dataset)
    assert copies.sample_copies == copies.n_queries == 200
    assert copies.test_copies == 0
    assert copies.nearer_than_test == 1.0
    unseen = check_memorisation(dataset.test, dataset)
    assert unseen.sample_copies == 0
    assert unseen.nearer_than_test == pytest.approx(0.01, abs=0.005)


def test_the_number_asked_about_is_bounded(dataset):
    assert check_memorisation(dataset.train, dataset, n_queries=17).n_queries == 17
    assert check_memorisation(dataset.train[:5], dataset).n_queries == 5


def test_json_keeps_every_bit(dataset):
    found = check_memorisation(dataset.train, dataset)
    assert Memorisation.from_json(found.to_json()) == found
    for field, bad, sentence in (
        ("n_queries", "x", "memorisation: n_queries: expected int, got 'x'"),
        ("test_quantiles", 1, "memorisation: test_quantiles: expected a list of numbers, got 1"),
        ("test_quantiles", [None], "memorisation: test_quantiles: expected float, got None"),
    ):
        values = json.loads(found.to_json()) | {field: bad}
        with pytest.raises(ValueError, match=sentence):
            Memorisation.from_json(json.dumps(values))


def test_what_does_not_fit_is_refused(dataset):
    with pytest.raises(ValueError, match="samples: expected 6 columns as in the data set 'noise'"):
        check_memorisation(torch.zeros(3, 5), dataset)
    with pytest.raises(ValueError, match="n_queries: expected at least 1, got 0"):
        check_memorisation(dataset.train, dataset, n_queries=0)
    with pytest.raises(ValueError, match="samples: expected finite numbers, got inf in row 1"):
        check_memorisation(torch.tensor([[0.0] * 6, [float("inf")] * 6]), dataset)
    with pytest.raises(TypeError, match="samples: expected float32 or float64"):
        check_memorisation(torch.zeros(3, 6, dtype=torch.uint8), dataset)
