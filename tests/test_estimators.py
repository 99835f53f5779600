"""The estimators follow scikit-learn's protocol without importing it, and are exact."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastgan import NeighborIndex, ParzenWindow
from fastgan.evaluation import choose_sigma

PARZEN_NATS = 1e-4  # what parzen_log_likelihood promises


@pytest.fixture
def rows():
    return np.random.default_rng(0).random((90, 5))


def test_log_densities_are_those_of_scikit_learn(rows):
    samples, queries = rows[:50], rows[50:]
    ours = ParzenWindow(sigma=0.3).fit(samples)
    theirs = KernelDensity(bandwidth=0.3).fit(samples)
    expected = theirs.score_samples(queries)
    found = ours.score_samples(queries)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, atol=PARZEN_NATS)
    assert ours.score(queries) == pytest.approx(expected.mean(), abs=PARZEN_NATS)


def test_tensors_answer_with_tensors(rows):
    samples = torch.from_numpy(rows[:50])
    found = ParzenWindow(sigma=0.3).fit(samples).score_samples(torch.from_numpy(rows[50:]))
    assert isinstance(found, torch.Tensor)
    expected = ParzenWindow(sigma=0.3).fit(rows[:50]).score_samples(rows[50:])
    np.testing.assert_array_equal(found.numpy(), expected)


def test_integer_pixels_keep_their_units():
    pixels = np.array([[0, 10], [200, 255]], dtype=np.uint8)
    found = ParzenWindow(sigma=25.0).fit(pixels[:1]).score_samples(pixels)
    squared = np.array([0.0, 200.0**2 + 245.0**2])
    expected = -squared / (2 * 25.0**2) - 2 * math.log(25.0 * math.sqrt(2 * math.pi))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=PARZEN_NATS)


def test_sigma_is_chosen_on_validation_data(rows):
    window = ParzenWindow(sigma="validate", sigmas=[0.1, 0.3, 0.9])
    window.fit(rows[:50], validation=rows[50:70])
    choice = choose_sigma(rows[50:70], rows[:50], [0.1, 0.3, 0.9])
    assert window.sigma_ == choice.sigma
    assert window.sigma_choice_ == choice
    default = ParzenWindow(sigma="validate").fit(rows[:50], validation=rows[50:70])
    np.testing.assert_allclose(default.sigma_choice_.sigmas, np.logspace(-1, 0, 10))


def test_parameters_and_clones(rows):
    window = ParzenWindow(sigma=0.4, tolerance=0.0).fit(rows)
    copy = clone(window)
    assert copy.get_params() == {
        "sigma": 0.4,
        "sigmas": None,
        "tolerance": 0.0,
        "strategy": "auto",
        "impl": "auto",
    }
    assert not hasattr(copy, "sigma_")
    assert copy.set_params(sigma=0.5) is copy
    assert copy.sigma == 0.5
    assert repr(copy) == "ParzenWindow(sigma=0.5, tolerance=0.0)"
    with pytest.raises(ValueError, match="bandwidth: no such parameter of ParzenWindow; it has si"):
        copy.set_params(bandwidth=1.0)


def test_grid_search_and_pipeline(rows):
    search = GridSearchCV(ParzenWindow(), {"sigma": [0.01, 0.3, 3.0]}, cv=3).fit(rows)
    assert search.best_params_ == {"sigma": 0.3}
    scaled = make_pipeline(StandardScaler(), ParzenWindow(sigma=0.5)).fit(rows)
    expected = KernelDensity(bandwidth=0.5).fit(StandardScaler().fit_transform(rows))
    queries = StandardScaler().fit(rows).transform(rows)
    np.testing.assert_allclose(
        scaled.score_samples(rows), expected.score_samples(queries), atol=PARZEN_NATS
    )


@pytest.mark.parametrize(
    ("window", "samples", "error", "sentence"),
    [
        (
            ParzenWindow(sigma=0.0),
            np.zeros((2, 2)),
            ValueError,
            "sigma: expected a positive .* 0.0",
        ),
        (ParzenWindow(sigma=-1.0), np.zeros((2, 2)), ValueError, "sigma: .* got -1.0"),
        (ParzenWindow(sigma=math.nan), np.zeros((2, 2)), ValueError, "sigma: .* got nan"),
        (ParzenWindow(sigma="best"), np.zeros((2, 2)), ValueError, "sigma: .* 'validate', got 'be"),
        (ParzenWindow(sigma="validate"), np.zeros((2, 2)), ValueError, "validation: .* got None"),
        (ParzenWindow(), np.zeros(2), ValueError, r"X: expected 2 dimensions .* got shape \(2,\)"),
        (ParzenWindow(), np.zeros((0, 2)), ValueError, "X: expected at least one row"),
        (ParzenWindow(), np.zeros((2, 0)), ValueError, "X: expected at least one row and one col"),
        (ParzenWindow(), np.full((2, 2), np.nan), ValueError, "X: expected finite numbers"),
        (ParzenWindow(), np.zeros((2, 2), complex), TypeError, "X: expected uint8, .* complex128"),
        (ParzenWindow(), [[0.0]], TypeError, "X: expected a Tensor or ndarray, got list"),
    ],
)
def test_fit_refuses(window, samples, error, sentence):
    with pytest.raises(error, match=sentence):
        window.fit(samples)


def test_scores_need_a_fit_and_rows(rows):
    with pytest.raises(NotFittedError, match="ParzenWindow: expected fit"):
        ParzenWindow().score_samples(rows)
    window = ParzenWindow().fit(rows)
    assert window.score_samples(rows[:0]).shape == (0,)
    with pytest.raises(ValueError, match="X: expected at least one row, got none"):
        window.score(rows[:0])
    with pytest.raises(ValueError, match="5"):
        window.score_samples(rows[:, :3])


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.uint8])
def test_neighbors_are_exact(rows, kind):
    data = (255 * rows).astype(kind)
    index = NeighborIndex(data[:60])
    squared, numbers = index.query(data[60:], k=3)
    exact = ((data[60:, None].astype(float) - data[None, :60].astype(float)) ** 2).sum(axis=2)
    np.testing.assert_array_equal(numbers, np.argsort(exact, axis=1, kind="stable")[:, :3])
    np.testing.assert_allclose(squared, np.sort(exact, axis=1)[:, :3], rtol=1e-14)
    assert len(index) == 60
    assert repr(index) == f"NeighborIndex(n_data=60, n_features=5, dtype={np.dtype(kind)})"


def test_neighbors_of_the_data_themselves(rows):
    index = NeighborIndex(torch.from_numpy(rows))
    squared, numbers = index.query(index.data)
    assert numbers[:, 0].tolist() == list(range(90))
    assert squared.eq(0).all()
    others, numbers = index.query(index.data, exclude_self=True)
    assert others.gt(0).all()
    assert all(number != row for row, number in enumerate(numbers[:, 0].tolist()))


def test_neighbors_refuse(rows):
    with pytest.raises(ValueError, match=r"data: expected 2 dimensions .* got shape \(90,\)"):
        NeighborIndex(rows[:, 0])
    with pytest.raises(ValueError, match="data: expected at least one row"):
        NeighborIndex(rows[:0])
    with pytest.raises(ValueError, match="data: expected finite numbers"):
        NeighborIndex(np.full((2, 2), np.inf))
    with pytest.raises(TypeError, match="data: expected uint8, float32 or float64, got int64"):
        NeighborIndex(np.zeros((2, 2), int))
    with pytest.raises(ValueError, match="k: "):
        NeighborIndex(rows).query(rows, k=91)


def test_scikit_learn_is_not_imported():
    code = """
import sys
from fastgan import NeighborIndex, ParzenWindow
import numpy as np
ParzenWindow().fit(np.zeros((2, 2))).score(np.zeros((2, 2)))
NeighborIndex(np.zeros((2, 2))).query(np.zeros((1, 2)))
assert "sklearn" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
