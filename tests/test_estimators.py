"""ParzenWindow is a scikit-learn estimator, takes tensors too, and is exact."""

from __future__ import annotations

import copy
import math
import os
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastgan import ParzenWindow, parzen_log_likelihood
from fastgan.evaluation import choose_sigma

PARZEN_NATS = 1e-4  # what parzen_log_likelihood promises


@pytest.fixture
def rows():
    return np.random.default_rng(0).random((90, 5))


def log_densities(queries, samples, sigma):
    """Return log p as the formula is printed, in float64; -inf squared distances count nothing."""
    squared = ((queries[:, None].astype(float) - samples[None].astype(float)) ** 2).sum(2)
    return np.log(np.exp(-squared / (2 * sigma**2)).mean(1)) - samples.shape[1] * math.log(
        sigma * math.sqrt(2 * math.pi)
    )


# check_array_api_input is skipped here, as SCIPY_ARRAY_API must be set before SciPy is imported:
# test_no_check_of_scikit_learn_is_skipped runs it.
@parametrize_with_checks(
    [
        ParzenWindow(),
        ParzenWindow(sigma=1.0, tolerance=0.0, strategy="dense"),
        ParzenWindow(sigma="leave_one_out"),
        ParzenWindow(impl="reference"),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_no_check_of_scikit_learn_is_skipped():
    code = """
import warnings
from sklearn.exceptions import SkipTestWarning
from sklearn.utils.estimator_checks import check_estimator
from fastgan import ParzenWindow
warnings.simplefilter("error", SkipTestWarning)
check_estimator(ParzenWindow())
"""
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "SCIPY_ARRAY_API": "1"}
    )


def test_log_densities_are_those_of_scikit_learn(rows):
    samples, queries = rows[:50], rows[50:]
    ours = ParzenWindow(sigma=0.3).fit(samples)
    expected = KernelDensity(bandwidth=0.3).fit(samples).score_samples(queries)
    found = ours.score_samples(queries)
    assert found.dtype == np.float64
    assert_allclose(found, expected, atol=PARZEN_NATS)
    assert ours.score(queries) == found.mean()


@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_a_row_does_not_depend_on_its_company(data):
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    n_features = data.draw(st.integers(1, 40))
    dtype = data.draw(st.sampled_from([np.float32, np.float64, np.uint8]))
    rows = (255 * random.random((60, n_features))).astype(dtype)
    window = ParzenWindow(sigma=data.draw(st.floats(5.0, 200.0))).fit(rows[:40])
    whole = window.score_samples(rows)
    chosen = data.draw(st.lists(st.integers(0, 59), min_size=1, max_size=80))
    assert_array_equal(window.score_samples(rows[chosen]), whole[chosen])


@pytest.mark.parametrize("strategy", ["auto", "pruned", "dense"])
def test_engines_give_the_formula_and_rows_keep_their_bits(strategy):
    random = np.random.default_rng(1)
    centres = random.random((20, 100))
    noise = 0.05 * random.standard_normal((4_500, 100))
    samples = (centres[random.integers(0, 20, 4_500)] + noise).astype(np.float32)
    queries = (centres + noise[:20]).astype(np.float32)
    window = ParzenWindow(sigma=0.1, strategy=strategy).fit(samples)
    found = window.score_samples(queries)
    assert_allclose(found, log_densities(queries, samples, 0.1), atol=PARZEN_NATS)
    chosen = random.integers(0, 20, 300)
    assert_array_equal(window.score_samples(queries[chosen]), found[chosen])
    for row in range(3):
        assert_array_equal(window.score_samples(queries[row : row + 1]), found[row : row + 1])
    alone = window.leave_one_out()[:5]
    for row in range(5):
        expected = log_densities(samples[row : row + 1], np.delete(samples, row, 0), 0.1)
        assert_allclose(alone[row : row + 1], expected, atol=PARZEN_NATS)


def test_leave_one_out_is_the_window_on_the_others(rows):
    found = ParzenWindow(sigma=0.3).fit(rows).leave_one_out()
    for row in range(len(rows)):
        others = np.delete(rows, row, 0)
        alone = rows[row : row + 1]
        assert found[row] == pytest.approx(log_densities(alone, others, 0.3)[0], abs=PARZEN_NATS)
    # the own peak lifts score() far above it
    assert ParzenWindow(sigma=0.05).fit(rows).score(rows) > found.mean() + 1
    with pytest.raises(ValueError, match=r"X: expected at least 2 samples .* n_samples = 1"):
        ParzenWindow().fit(rows[:1]).leave_one_out()


def test_sigma_is_chosen_on_validation_data(rows):
    window = ParzenWindow(sigma="validate", sigmas=[0.9, 0.1, 0.3])
    window.fit(rows[:50], validation=rows[50:70])
    choice = choose_sigma(rows[50:70], rows[:50], [0.1, 0.3, 0.9])
    assert window.sigma_ == choice.sigma == 0.3
    assert window.sigma_choice_.sigmas == (0.1, 0.3, 0.9)
    assert not window.sigma_choice_.at_edge
    assert_allclose(window.sigma_choice_.means, choice.means, atol=PARZEN_NATS)
    default = ParzenWindow(sigma="validate").fit(rows[:50], validation=rows[50:70].tolist())
    assert_allclose(default.sigma_choice_.sigmas, np.logspace(-1, 0, 10))
    pixels = (255 * rows).astype(np.uint8)
    window.set_params(sigmas=[76.0, 1000.0]).fit(pixels[:50], validation=pixels[50:70])
    assert window.sigma_ == 76.0
    assert window.sigma_choice_.at_edge
    assert window.set_params(sigma=0.5).fit(rows).sigma_choice_ is None


def test_sigma_is_chosen_by_leaving_one_out(rows):
    grid = [0.02, 0.15, 0.3, 2.0]
    window = ParzenWindow(sigma="leave_one_out", sigmas=grid).fit(rows)
    means = [ParzenWindow(sigma=sigma).fit(rows).leave_one_out().mean() for sigma in grid]
    assert_allclose(window.sigma_choice_.means, means, atol=PARZEN_NATS)
    assert window.sigma_ == grid[int(np.argmax(means))]
    assert not window.sigma_choice_.at_edge


def test_equal_means_take_the_smallest_sigma(rows, monkeypatch):
    window = ParzenWindow(sigma="validate", sigmas=[0.4, 0.3, 0.2, 0.1])
    values = np.array([[1.0, 2.0], [1.0, 4.0], [3.0, 2.0], [0.0, 0.0]])
    monkeypatch.setattr(window, "_values", lambda queries, samples, sigma: values)
    choice = window.fit(rows[:50], validation=rows[50:]).sigma_choice_
    assert choice.means == (1.5, 2.5, 2.5, 0.0)
    assert choice.sigma == 0.2


def test_parameters_and_clones(rows):
    window = ParzenWindow(sigma=0.4, tolerance=0.0).fit(rows)
    other = clone(window)
    assert other.get_params() == {
        "sigma": 0.4,
        "sigmas": None,
        "tolerance": 0.0,
        "strategy": "auto",
        "impl": "auto",
    }
    assert not hasattr(other, "sigma_")
    assert other.set_params(sigma=0.5) is other
    assert repr(other) == "ParzenWindow(sigma=0.5, tolerance=0.0)"
    with pytest.raises(ValueError, match="'bandwidth' for estimator ParzenWindow"):
        other.set_params(bandwidth=1.0)


def test_grid_search_over_sigma(rows):
    grid, folds = [0.01, 0.3, 3.0], KFold(3)
    search = GridSearchCV(ParzenWindow(), {"sigma": grid}, cv=folds).fit(rows)
    assert search.best_params_ == {"sigma": 0.3}
    expected = [
        np.mean(
            [log_densities(rows[out], rows[kept], sigma).mean() for kept, out in folds.split(rows)]
        )
        for sigma in grid[1:]
    ]
    found = search.cv_results_["mean_test_score"][1:]
    assert_allclose(found, expected, atol=PARZEN_NATS)
    with_tensors = GridSearchCV(ParzenWindow(), {"sigma": grid}, cv=folds).fit(torch.tensor(rows))
    assert_array_equal(
        with_tensors.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"]
    )
    assert isinstance(with_tensors.best_estimator_.samples_, torch.Tensor)


def test_pipeline_and_threads(rows):
    scaled = make_pipeline(StandardScaler(), ParzenWindow(sigma=0.5))
    queries = StandardScaler().fit(rows).transform(rows)
    expected = KernelDensity(bandwidth=0.5).fit(queries).score_samples(queries)
    assert_allclose(scaled.fit(rows).score_samples(rows), expected, atol=PARZEN_NATS)
    alone = cross_val_score(scaled, rows, cv=3)
    with joblib.parallel_config("threading", n_jobs=3):
        assert_array_equal(cross_val_score(scaled, rows, cv=3), alone)


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_a_fitted_window_pickles_and_copies(rows, kind):
    window = ParzenWindow(sigma=0.3).fit(kind(rows.astype(np.float32)[:50]))
    queries = kind(rows)  # float64: the samples are kept in float64 as well from now on
    expected = window.score_samples(queries)
    assert set(window._kept) == {"float64"}
    for other in (pickle.loads(pickle.dumps(window)), copy.deepcopy(window), copy.copy(window)):
        assert other._kept == {}
        assert_array_equal(other.score_samples(queries), expected)
        assert other._kept is not window._kept
    assert set(window._kept) == {"float64"}
    assert pickle.loads(pickle.dumps(ParzenWindow(sigma=0.7))).sigma == 0.7
    window.fit(queries[50:])
    assert_array_equal(
        window.score_samples(queries), parzen_log_likelihood(queries, queries[50:], 0.3)
    )


def test_drawn_rows_have_the_windows_moments():
    samples = np.array([[0.0, 10.0], [100.0, 10.0], [100.0, 10.0]])
    n_rows, sigma = 30_000, 0.5
    drawn = ParzenWindow(sigma=sigma).fit(samples).sample(n_rows, random_state=0)
    assert drawn.shape == (n_rows, 2)
    assert drawn.dtype == np.float64
    first = drawn[:, 0] < 50
    # five standard errors: of a share, of a mean, of a variance
    assert abs(first.mean() - 1 / 3) < 5 * math.sqrt(2 / 9 / n_rows)
    noise = drawn - np.where(first[:, None], samples[:1], samples[1:2])
    assert (abs(noise.mean(0)) < 5 * sigma / math.sqrt(n_rows)).all()
    assert (abs(noise.var(0) / sigma**2 - 1) < 5 * math.sqrt(2 / n_rows)).all()
    assert abs(np.corrcoef(noise.T)[0, 1]) < 5 / math.sqrt(n_rows)


def test_draws_follow_random_state_and_dtype(rows):
    window = ParzenWindow().fit(rows)
    assert window.sample().shape == (1, 5)
    drawn = window.sample(4, random_state=3)
    assert_array_equal(window.sample(4, random_state=3), drawn)
    random = np.random.RandomState(3)
    assert_array_equal(window.sample(4, random_state=random), drawn)
    assert (window.sample(4, random_state=random) != drawn).all()
    single = ParzenWindow().fit(rows.astype(np.float32)).sample(4, random_state=3)
    assert single.dtype == np.float32
    tensor = ParzenWindow().fit(torch.tensor(rows, dtype=torch.float32)).sample(4, random_state=3)
    assert tensor.dtype == torch.float32
    # float32 centres beside float64 ones, one rounding of the sum: 2 of 2^-24 of numbers below 2
    assert_allclose(single, drawn, atol=2 * 2 * 2.0**-24)
    assert_allclose(tensor, drawn, atol=2 * 2 * 2.0**-24)
    pixels = ParzenWindow(sigma=0.01).fit(np.full((3, 2), 255, np.uint8)).sample(4, random_state=3)
    assert pixels.dtype == np.float64
    assert_allclose(pixels, 255, atol=0.1)
    with pytest.raises(ValueError, match="n_samples: expected an integer of at least 1, got 0"):
        window.sample(0)
    with pytest.raises(TypeError, match=r"n_samples: expected an integer, got 1\.5"):
        window.sample(1.5)
    with pytest.raises(ValueError, match="'seed' cannot be used to seed"):
        window.sample(1, random_state="seed")


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"sigma": 0.0}, ValueError, r"sigma: expected positive finite .* got 0\.0"),
        ({"sigma": -1.0}, ValueError, r"sigma: .* got -1\.0"),
        ({"sigma": math.nan}, ValueError, "sigma: .* got nan"),
        ({"sigma": "best"}, ValueError, "sigma: .*'validate' or 'leave_one_out', got 'best'"),
        ({"sigma": None}, TypeError, "sigma: expected a number"),
        ({"sigma": [0.1, 0.2]}, TypeError, r"sigma: expected one number, got \[0\.1, 0\.2\]"),
        ({"sigma": "validate"}, ValueError, "validation: expected data to .*, got None"),
        ({"sigma": "leave_one_out", "sigmas": []}, ValueError, r"sigmas: .* got shape \(0,\)"),
        ({"sigma": "leave_one_out", "sigmas": 0.3}, TypeError, r"sigmas: .* got 0\.3"),
        ({"sigma": "leave_one_out", "sigmas": [0.0]}, ValueError, r"sigmas: .* got 0\.0"),
        ({"tolerance": -1.0}, ValueError, r"tolerance: .* at least 0, got -1\.0"),
        ({"tolerance": "small"}, TypeError, "tolerance: expected a number, got 'small'"),
        ({"strategy": "quick"}, ValueError, "strategy: expected one of .* got 'quick'"),
        ({"strategy": "pruned", "impl": "reference"}, ValueError, "strategy: 'pruned' needs"),
        ({"impl": "fast"}, ValueError, "impl: expected one of .* got 'fast'"),
    ],
)
def test_fit_refuses_parameters(rows, options, error, sentence):
    with pytest.raises(error, match=sentence):
        ParzenWindow(**options).fit(rows)


def test_fit_refuses_validation_that_it_would_not_use(rows):
    with pytest.raises(ValueError, match=r"validation: expected None, .* got ndarray"):
        ParzenWindow(sigma=0.3).fit(rows, validation=rows)
    with pytest.raises(ValueError, match="X has 3 features, but ParzenWindow is expecting 5"):
        ParzenWindow(sigma="validate").fit(rows, validation=rows[:, :3])


def test_a_fit_that_fails_leaves_the_window_as_it_was(rows):
    window = ParzenWindow(sigma=0.3).fit(rows)
    expected = window.score_samples(rows)
    with pytest.raises(ValueError, match="validation: expected data"):
        window.set_params(sigma="validate").fit(rows[:9])
    assert_array_equal(window.score_samples(rows), expected)


@pytest.mark.parametrize(
    ("option", "wrong"), [("tolerance", -1.0), ("strategy", "quick"), ("impl", "fast")]
)
def test_options_reach_the_sum(rows, option, wrong):
    window = ParzenWindow().fit(rows).set_params(**{option: wrong})
    for question in (lambda: window.score_samples(rows), window.leave_one_out):
        with pytest.raises(ValueError, match=f"{option}: "):
            question()


@pytest.mark.parametrize("method", ["score_samples", "score", "leave_one_out", "sample"])
def test_questions_need_a_fit(rows, method):
    arguments = (rows,) if method.startswith("score") else ()
    with pytest.raises(NotFittedError, match="ParzenWindow instance is not fitted yet"):
        getattr(ParzenWindow(), method)(*arguments)


def test_import_fastgan_does_not_import_scikit_learn():
    code = """
import sys
import fastgan, fastgan.ops
import numpy as np
fastgan.NeighborIndex(np.zeros((2, 2))).query(np.zeros((1, 2)))
assert "sklearn" not in sys.modules
fastgan.ParzenWindow
assert "sklearn" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
