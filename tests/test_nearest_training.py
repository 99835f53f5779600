"""One search for whoever asks: each set is searched when it is first asked for, and kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fastgan import nearest_training
from fastgan.data import Dataset, load_dataset
from fastgan.helvetica import helvetica_of
from fastgan.helvetica_result import Helvetica
from fastgan.memorisation import check_memorisation, memorisation_of
from fastgan.memorisation_result import Memorisation
from fastgan.nearest_training import NearestTraining
from fastgan.reproduce import N_MEMORISATION_SAMPLES, draw_figures
from fastgan.training import train


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


@pytest.fixture
def asked(monkeypatch):
    """Return the list of how many rows each search is of, from now on."""
    numbers = []
    query = nearest_training.NeighborIndex.query
    monkeypatch.setattr(
        nearest_training.NeighborIndex,
        "query",
        lambda self, rows, *rest: (numbers.append(len(rows)), query(self, rows, *rest))[1],
    )
    return numbers


def test_each_set_is_searched_once(dataset, samples, asked):
    nearest = NearestTraining(samples, dataset)
    assert asked == []
    assert memorisation_of(nearest) == memorisation_of(nearest)
    assert sorted(asked) == [50, 200]
    assert helvetica_of(nearest).n_samples == 50
    assert asked[2:] == [20]
    assert memorisation_of(nearest) == check_memorisation(samples, dataset)


def test_figures_of_a_run_search_once_for_both_questions(asked, tmp_path):
    digits = load_dataset("digits")
    run = train(
        "digits", dataset=digits, n_epochs=1, folder=tmp_path, sample_grids=False, progress=False
    )
    pictures = [path.name for path in draw_figures(run, digits)]
    n_held_out = sorted([len(digits.test), len(digits.validation)])
    assert sorted(asked) == [*n_held_out, N_MEMORISATION_SAMPLES]
    assert {"memorisation.png", "nearest_pairs.png", "helvetica.png"} <= set(pictures)
    near = Memorisation.from_json(run.memorisation_path.read_text(encoding="utf-8"))
    varied = Helvetica.from_json(run.helvetica_path.read_text(encoding="utf-8"))
    assert near.sample_hits == varied.sample_hits
    assert varied.n_lines > 0
    assert len(varied.class_numbers) == 10
