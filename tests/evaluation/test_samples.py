"""Where samples come from, how they are read, and what is refused."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from fastgan import samples
from fastgan.data import load_dataset
from fastgan.evaluation import choose_sigma, evaluate

PARZEN_NATS = 1e-4  # what parzen_log_sums promises


# where samples come from


def test_one_draw_serves_sigma_and_test(dataset, drawn):
    calls = []

    def model(n_samples, seed):
        calls.append((n_samples, seed))
        return drawn[:n_samples]

    found = evaluate(model, dataset, n_samples=100, seed=7)
    assert calls == [(100, 7)]
    assert dataclasses.replace(found, seconds=0) == dataclasses.replace(
        evaluate(drawn[:100], dataset, seed=7), seconds=0
    )


def test_a_model_draws_ten_thousand_if_not_told_otherwise(dataset):
    class Model(torch.nn.Module):
        def sample(self, n_samples, seed):
            return torch.full((n_samples, 12), 0.5, requires_grad=True)

    found = evaluate(Model(), dataset, sigmas=[0.3])
    assert found.n_samples == 10_000
    assert found.n_blocks == 50


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("kind", ["ndarray", "tensor"])
def test_kinds_and_dtypes_agree(dataset, drawn, dtype, kind, brute_force):
    array = drawn.numpy().astype(dtype)
    if kind == "tensor" and dtype == ">f4":
        pytest.skip("torch has no other byte order")
    given = torch.from_numpy(array) if kind == "tensor" else array
    found = evaluate(given, dataset)
    expected = brute_force(dataset.test, array.astype(np.float64), found.sigma).mean()
    assert found.mean == pytest.approx(expected, abs=PARZEN_NATS)


def test_strided_and_read_only_arrays(dataset, drawn):
    wide = np.zeros((211, 24), dtype=np.float32)
    wide[:, ::2] = drawn.numpy()
    strided = wide[:, ::2]
    strided.flags.writeable = False
    assert evaluate(strided, dataset).mean == evaluate(drawn.numpy(), dataset).mean


def test_a_memory_mapped_array_is_read_in_bounded_parts(dataset, drawn, tmp_path, monkeypatch):
    path = tmp_path / "samples.npy"
    np.save(path, drawn.numpy())
    whole = evaluate(drawn.numpy(), dataset)
    monkeypatch.setattr(samples, "GROUP_BYTES", 30 * 12 * 8)
    rows = []
    block = samples.Samples.block

    def spy(self, first, last):
        rows.append(last - first)
        return block(self, first, last)

    monkeypatch.setattr(samples.Samples, "block", spy)
    mapped = evaluate(np.load(path, mmap_mode="r"), dataset)
    assert max(rows) <= 30
    assert sum(rows) == 2 * 211
    # other groups, other centres of the operation: rounding only
    assert mapped.mean == pytest.approx(whole.mean, abs=1e-6)
    assert mapped.sample_standard_error == pytest.approx(whole.sample_standard_error, rel=1e-4)
    assert mapped.sample_range == whole.sample_range
    assert mapped.n_blocks == whole.n_blocks


def test_progress_goes_to_the_end_once(dataset, drawn, monkeypatch):
    monkeypatch.setattr(samples, "GROUP_BYTES", 50 * 12 * 8)
    seen = []
    evaluate(drawn, dataset, progress=lambda done, total: seen.append((done, total)))
    done = [step[0] for step in seen]
    assert done == sorted(set(done))
    assert seen[-1] == (422, 422)


def test_a_data_set_by_name():
    digits = load_dataset("digits")
    found = evaluate(digits.train[:300], "digits")
    assert found.dataset == "digits"
    assert found.n_test == len(digits.test)


# what is refused


@pytest.mark.parametrize(
    ("given", "error", "sentence"),
    [
        (
            torch.zeros(5, 3, 4),
            ValueError,
            r"samples: expected 2 dimensions \(n_rows, n_features\), got shape \(5, 3, 4\); "
            "flatten each image to a row",
        ),
        (torch.zeros(12), ValueError, r"samples: expected 2 dimensions .* got shape \(12,\)"),
        (
            torch.zeros(5, 13),
            ValueError,
            r"samples: expected 12 columns as in the data set 'noise', got shape \(5, 13\)",
        ),
        (torch.zeros(0, 12), ValueError, "samples: expected at least one row"),
        (torch.zeros(5, 0), ValueError, "samples: expected at least one row and one column"),
        (
            torch.zeros(5, 12, dtype=torch.uint8),
            TypeError,
            "samples: expected float32 or float64 numbers, got torch.uint8; pixels are never",
        ),
        (np.zeros((5, 12), dtype=complex), TypeError, "samples: .* got complex128"),
        (np.zeros((5, 12), dtype=int), TypeError, "samples: .* got int64"),
        ([[0.0] * 12], TypeError, "model_or_samples: expected samples as .* got list"),
        (torch.nn.Linear(2, 12), TypeError, "model_or_samples: .* got Linear"),
        (
            lambda n, seed: torch.zeros(n + 1, 12),
            ValueError,
            "model: expected 10000 samples, it drew 10001",
        ),
        (
            lambda n, seed: torch.zeros(n, 3, 4, 1),
            ValueError,
            "samples drawn from the model: expected 2 dimensions",
        ),
        (lambda n, seed: None, TypeError, "samples drawn from the model: expected a Tensor"),
    ],
)
def test_samples_that_do_not_fit(dataset, given, error, sentence):
    with pytest.raises(error, match=sentence):
        evaluate(given, dataset)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("convert", [lambda x: x, lambda x: x.numpy()])
def test_a_number_that_is_not_finite_is_pointed_at(dataset, drawn, bad, convert, monkeypatch):
    monkeypatch.setattr(samples, "GROUP_BYTES", 50 * 12 * 8)
    broken = drawn.clone()
    broken[123, 4] = bad
    with pytest.raises(ValueError, match=r"samples: expected finite .* in row 123, column 4"):
        evaluate(convert(broken), dataset)


@pytest.mark.parametrize(
    ("n_samples", "sentence"),
    [
        (0, "n_samples: expected at least 1, got 0"),
        (-3, "n_samples: expected at least 1, got -3"),
        (212, "n_samples: expected at most the 211 rows of samples, got 212"),
        (2.5, "n_samples: expected a whole number, got 2.5"),
        (True, "n_samples: expected a whole number, got True"),
    ],
)
def test_counts_that_do_not_fit(dataset, drawn, n_samples, sentence):
    with pytest.raises(ValueError, match=sentence):
        evaluate(drawn, dataset, n_samples=n_samples)


@pytest.mark.parametrize("bad", [0.0, -0.2, math.nan, math.inf])
def test_sigmas_that_are_none(dataset, drawn, bad):
    with pytest.raises(ValueError, match=f"sigmas: expected positive finite numbers, got {bad}"):
        evaluate(drawn, dataset, sigmas=[0.2, bad])


@pytest.mark.parametrize("bad", [[], 0.2, [[0.1, 0.2]]])
def test_grids_that_are_none(dataset, drawn, bad):
    with pytest.raises(ValueError, match="sigmas: expected a list of at least one sigma"):
        evaluate(drawn, dataset, sigmas=bad)


def test_unknown_options(dataset, drawn):
    with pytest.raises(ValueError, match="sigma_variant: expected 'paper' or 'gmmn', got 'best'"):
        evaluate(drawn, dataset, sigma_variant="best")
    for n_blocks in (1, 1_001):
        with pytest.raises(ValueError, match="n_blocks: expected a number from 2 to 1,000"):
            evaluate(drawn, dataset, n_blocks=n_blocks)


def test_data_that_do_not_fit_the_samples(drawn):
    with pytest.raises(ValueError, match=r"validation: expected 12 columns as in samples, got"):
        choose_sigma(torch.zeros(3, 11), drawn, [0.2])
    with pytest.raises(ValueError, match="validation: expected at least one row, got none"):
        choose_sigma(torch.zeros(0, 12), drawn, [0.2])
    with pytest.raises(TypeError, match="validation: expected a Tensor or ndarray, got list"):
        choose_sigma([[0.0] * 12], drawn, [0.2])
    with pytest.raises(TypeError, match=r"validation: .* numbers that would be rounded"):
        choose_sigma(torch.full((1, 12), 0.1, dtype=torch.float64), drawn, [0.2])
