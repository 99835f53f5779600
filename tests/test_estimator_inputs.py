"""What ParzenWindow takes: scikit-learn's arrays, lists and frames, in its words, and tensors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from fastgan import ParzenWindow, parzen_log_likelihood

PARZEN_NATS = 1e-4  # what parzen_log_likelihood promises


@pytest.fixture
def rows():
    return np.random.default_rng(0).random((90, 5))


def test_columns_of_data_frames_are_remembered(rows):
    reason = "pandas is no dependency of fastgan; names of columns are checked where it is there"
    pandas = pytest.importorskip("pandas", reason=reason)
    from sklearn.utils.estimator_checks import check_dataframe_column_names_consistency

    check_dataframe_column_names_consistency("ParzenWindow", ParzenWindow())
    frame = pandas.DataFrame(rows, columns=list("abcde"))
    window = ParzenWindow().fit(frame)
    assert window.feature_names_in_.tolist() == list("abcde")
    assert_array_equal(window.score_samples(frame), ParzenWindow().fit(rows).score_samples(rows))


def test_integer_pixels_keep_their_units():
    pixels = np.array([[0, 10], [200, 255]], dtype=np.uint8)
    window = ParzenWindow(sigma=25.0).fit(pixels[:1])
    assert window.samples_.dtype == np.uint8
    squared = np.array([0.0, 200.0**2 + 245.0**2])
    expected = -squared / (2 * 25.0**2) - 2 * math.log(25.0 * math.sqrt(2 * math.pi))
    assert_allclose(window.score_samples(pixels), expected, rtol=1e-12, atol=PARZEN_NATS)


@pytest.mark.parametrize(
    "convert",
    [
        np.ndarray.tolist,
        lambda rows: rows.astype(np.float16),
        lambda rows: rows.astype(np.int64),
        lambda rows: rows > 2,
        lambda rows: torch.tensor(rows, dtype=torch.bfloat16),
        lambda rows: torch.tensor(rows, dtype=torch.int16),
        lambda rows: torch.tensor(rows > 2),
    ],
    ids=["list", "float16", "int64", "bool", "bfloat16 tensor", "int16 tensor", "bool tensor"],
)
def test_other_numbers_are_taken_as_float64(rows, convert):
    given_rows = convert(np.round(4 * rows))
    window = ParzenWindow().fit(given_rows)
    assert "float64" in str(window.samples_.dtype)
    same = np.asarray(given_rows.double() if torch.is_tensor(given_rows) else given_rows, float)
    found = window.score_samples(given_rows)
    assert isinstance(found, torch.Tensor) == torch.is_tensor(given_rows)
    assert_array_equal(found, parzen_log_likelihood(same, same, 0.2))


@pytest.mark.parametrize(
    ("fitted", "asked", "wider"),
    [
        (np.uint8, np.float32, np.float32),
        (np.float32, np.uint8, np.float32),
        (np.float32, np.float64, np.float64),
        (np.float64, np.float32, np.float64),
        (np.uint8, np.int32, np.float64),
    ],
)
def test_two_dtypes_meet_in_the_wider(rows, fitted, asked, wider):
    pixels = 255 * rows
    samples, queries = pixels[:50].astype(fitted), pixels[50:].astype(asked)
    window = ParzenWindow(sigma=30.0).fit(samples)
    expected = parzen_log_likelihood(queries.astype(wider), samples.astype(wider), 30.0)
    assert_array_equal(window.score_samples(queries), expected)
    assert window.samples_.dtype == fitted
    widened = queries.astype(wider)
    assert window._index(widened) is window._index(widened)


@pytest.mark.parametrize("fitted", [np.asarray, torch.tensor])
@pytest.mark.parametrize("asked", [np.asarray, torch.tensor])
def test_the_answer_is_of_the_queries_kind(rows, fitted, asked):
    window = ParzenWindow(sigma=0.3).fit(fitted(rows[:50]))
    found = window.score_samples(asked(rows[50:]))
    assert type(found) is type(asked(rows))
    assert_array_equal(found, parzen_log_likelihood(rows[50:], rows[:50], 0.3))
    assert type(window.samples_) is type(fitted(rows))
    assert type(window.leave_one_out()) is type(fitted(rows))
    assert type(window.sample()) is type(fitted(rows))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA or ROCm device here")
def test_tensors_stay_on_their_device(rows):
    samples = torch.tensor(rows, device="cuda")
    window = ParzenWindow(sigma=0.3).fit(samples)
    expected = ParzenWindow(sigma=0.3).fit(rows).score_samples(rows)
    for queries, device in ((samples, "cuda"), (samples.cpu(), "cpu")):
        found = window.score_samples(queries)
        assert found.device.type == device
        assert_allclose(found.cpu(), expected, atol=PARZEN_NATS)
    assert_allclose(window.score_samples(rows), expected, atol=PARZEN_NATS)
    assert window.sample(3, 0).device.type == "cuda"


def test_samples_are_not_copied(rows, tmp_path):
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    tensor = torch.tensor(rows)
    assert np.shares_memory(ParzenWindow().fit(mapped).samples_, mapped)
    assert ParzenWindow().fit(tensor).samples_.data_ptr() == tensor.data_ptr()
    across = ParzenWindow().fit(rows.T.copy().T)
    assert across.samples_.flags.c_contiguous
    assert_array_equal(across.score_samples(rows), ParzenWindow().fit(mapped).score_samples(rows))


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        (np.zeros(()), "Expected 2D array, got scalar array"),
        (np.zeros(2), "Expected 2D array, got 1D array"),
        (np.zeros((2, 2, 2)), "Found array with dim 3"),
        (np.zeros((0, 2)), r"Found array with 0 sample\(s\) \(shape=\(0, 2\)\)"),
        (np.zeros((2, 0)), r"Found array with 0 feature\(s\) \(shape=\(2, 0\)\)"),
        (np.array([[0.0, 0.0], [0.0, math.nan]]), "X contains NaN"),
        (np.array([[0.0, 0.0], [math.inf, 0.0]]), "X contains infinity"),
        (np.array([[0.0, 0.0], [0.0, -math.inf]], np.float32), "X contains infinity"),
        (np.zeros((2, 2), complex), "Complex data not supported"),
    ],
)
def test_rows_are_refused_in_scikit_learns_words(rows, kind, samples, sentence):
    with pytest.raises(ValueError, match=sentence):
        ParzenWindow().fit(kind(samples))
    with pytest.raises(ValueError, match=sentence):
        ParzenWindow().fit(rows[:, :2]).score_samples(kind(samples))


def test_sums_that_overflow_are_no_infinity():
    large = torch.full((4, 3), 3e38)
    assert ParzenWindow(sigma=1e38).fit(large).score_samples(large).isfinite().all()


def test_tensors_that_are_refused(rows):
    with pytest.raises(ValueError, match="X: expected a tensor without gradient"):
        ParzenWindow().fit(torch.tensor(rows, requires_grad=True))
    with pytest.raises(TypeError, match=r"X: expected a dense tensor, got .*sparse_coo"):
        ParzenWindow().fit(torch.eye(3).to_sparse())
    window = ParzenWindow().fit(torch.tensor(rows))
    with pytest.raises(ValueError, match="X has 3 features, but ParzenWindow is expecting 5"):
        window.score_samples(torch.tensor(rows[:, :3]))
