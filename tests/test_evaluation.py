"""The Parzen protocol against SciPy and brute force, and the mistakes that others have made."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from fastgan import evaluation, samples
from fastgan.data import Dataset, load_dataset
from fastgan.evaluation import (
    COMPARABILITY_WARNING,
    GMMN_SIGMAS,
    REAL_DATA_NOTE,
    REFERENCE_TABLE,
    STANDARD_ERROR_NOTE,
    Evaluation,
    aggregate_folds,
    choose_sigma,
    evaluate,
    evaluate_folds,
)

# parzen_log_sums is within 1e-4 nats of brute force; log-likelihoods here add no more than rounding
PARZEN_NATS = 1e-4


def brute_force(queries, centres, sigma):
    """log p of each query, by differences in float64, with SciPy's Gaussian as the normaliser."""
    queries, centres = (np.asarray(rows, dtype=np.float64) for rows in (queries, centres))
    n_features = queries.shape[1]
    peak = multivariate_normal(np.zeros(n_features), sigma**2 * np.eye(n_features))
    squared = ((queries[:, None, :] - centres[None, :, :]) ** 2).sum(axis=2)
    exponents = -squared / (2 * sigma**2)
    return logsumexp(exponents, axis=1) - math.log(len(centres)) + peak.logpdf(np.zeros(n_features))


def uniform(n_rows, n_features, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n_rows, n_features, generator=generator)


@pytest.fixture
def dataset():
    return Dataset(
        name="noise",
        train=uniform(40, 12, 1),
        validation=uniform(60, 12, 2),
        test=uniform(1003, 12, 3),
        image_shape=(3, 4, 1),
        sigma_images=50,
    )


@pytest.fixture
def drawn():
    return uniform(211, 12, 4)


# the numbers


def test_log_likelihood_is_that_of_scipys_gaussians(dataset, drawn):
    found = evaluate(drawn, dataset)
    expected = brute_force(dataset.test, drawn, found.sigma)
    assert found.mean == pytest.approx(expected.mean(), abs=PARZEN_NATS)
    assert found.standard_error == pytest.approx(
        expected.std(ddof=0) / math.sqrt(1003), abs=PARZEN_NATS
    )


def test_one_sample_is_one_gaussian(dataset):
    centre = dataset.test[:1]
    found = evaluate(centre, dataset, sigmas=[0.3])
    gaussian = multivariate_normal(centre[0].double().numpy(), 0.09 * np.eye(12))
    expected = gaussian.logpdf(dataset.test.double().numpy()).mean()
    assert found.mean == pytest.approx(expected, abs=PARZEN_NATS)
    assert found.sample_standard_error is None
    assert found.n_blocks == 1


def test_normaliser_is_sigma_times_root_two_pi():
    # sqrt(2 pi sigma) in its place gives 702 nats less at sigma .1668 and 784 features
    image = torch.full((1, 784), 0.5)
    data = Dataset("one", image, image, image, (28, 28, 1))
    sigma = 10 ** (-1 + 2 / 9)
    found = evaluate(image, data, sigmas=[sigma])
    right = -784 * math.log(sigma * math.sqrt(2 * math.pi))
    wrong = -784 * math.log(math.sqrt(2 * math.pi * sigma))
    assert found.mean == pytest.approx(right, abs=1e-9)
    assert right - wrong == pytest.approx(702, abs=0.5)


def test_every_test_image_counts_the_last_one_too(dataset, drawn):
    found = evaluate(drawn, dataset)
    assert found.n_test == 1003
    changed = dataset.test.clone()
    changed[-1] = drawn[0]
    other = evaluate(drawn, dataclasses.replace(dataset, test=changed))
    before, after = brute_force(
        torch.stack([dataset.test[-1], changed[-1]]), drawn, found.sigma
    )
    assert other.mean - found.mean == pytest.approx((after - before) / 1003, abs=1e-6)


def test_every_sample_counts_the_last_one_too(dataset, drawn):
    found = evaluate(drawn, dataset, sigmas=[0.3])
    shorter = evaluate(drawn, dataset, sigmas=[0.3], n_samples=210)
    expected = brute_force(dataset.test, drawn[:210], 0.3).mean()
    assert shorter.mean == pytest.approx(expected, abs=PARZEN_NATS)
    assert abs(found.mean - shorter.mean) > 10 * PARZEN_NATS


def test_validation_means_are_those_of_the_first_images(dataset, drawn):
    found = evaluate(drawn, dataset)
    assert found.n_validation == 50
    np.testing.assert_allclose(found.sigmas, np.logspace(-1, 0, 10), rtol=1e-15)
    expected = [brute_force(dataset.validation[:50], drawn, s).mean() for s in found.sigmas]
    np.testing.assert_allclose(found.validation_means, expected, atol=PARZEN_NATS)
    assert found.sigma == found.sigmas[int(np.argmax(expected))]
    assert found.validation_log_likelihood == max(found.validation_means)


def test_sigma_does_not_look_at_the_test_images(dataset, drawn):
    # test images on top of the samples would want the smallest sigma of all
    tempting = dataclasses.replace(dataset, test=drawn.clone())
    honest, tempted = evaluate(drawn, dataset), evaluate(drawn, tempting)
    assert tempted.sigma == honest.sigma
    assert tempted.validation_means == honest.validation_means
    assert choose_sigma(drawn, drawn, dataset.sigma_grid).sigma < honest.sigma


@pytest.mark.parametrize("change", [lambda x: 0.5 * x, lambda x: x + 0.25, lambda x: 3 * x])
def test_nothing_is_rescaled(dataset, drawn, change):
    found = evaluate(change(drawn), dataset)
    expected = brute_force(dataset.test, change(drawn), found.sigma).mean()
    assert found.mean == pytest.approx(expected, abs=max(PARZEN_NATS, 1e-12 * abs(expected)))


def test_samples_of_another_scale_are_told(dataset, drawn):
    told = [text for text in evaluate(255 * drawn, dataset).warnings() if "rescaled" in text]
    assert len(told) == 1
    assert "[0, 1]" not in evaluate(drawn, dataset).warnings()[0]


# the choice of sigma


def test_of_equal_means_the_smallest_sigma_wins(monkeypatch, drawn):
    monkeypatch.setattr(evaluation, "_normalised", lambda sums, *_: np.zeros_like(sums))
    assert choose_sigma(drawn, drawn, [0.4, 0.2, 0.3]).sigma == 0.2


@pytest.mark.parametrize(
    ("grid", "at_edge"),
    [([0.2, 0.3, 0.4], False), ([0.3, 0.4], True), ([0.2, 0.3], True), ([0.3], True)],
)
def test_an_end_of_the_grid_is_reported(dataset, grid, at_edge):
    generator = torch.Generator().manual_seed(0)
    noisy = dataset.validation + 0.3 * torch.randn(60, 12, generator=generator)
    found = evaluate(noisy, dataclasses.replace(dataset, validation=dataset.validation), sigmas=grid)
    assert found.sigma == 0.3
    assert found.at_edge is at_edge
    assert any("end of its grid" in text for text in found.warnings()) is at_edge


def test_the_grid_comes_back_ascending(dataset, drawn):
    found = choose_sigma(dataset.validation, drawn, [0.5, 0.1, 0.5, 0.2])
    assert found.sigmas == (0.1, 0.2, 0.5)
    assert len(found.means) == 3


def test_the_gmmn_variant(dataset, drawn, monkeypatch):
    assert GMMN_SIGMAS["MNIST"] == tuple(i / 100 for i in range(10, 30))
    assert GMMN_SIGMAS["TFD"] == tuple(i / 100 for i in range(5, 25))
    monkeypatch.setattr(evaluation, "GMMN_SIGMA_IMAGES", 20)
    found = evaluate(drawn, dataset, sigma_variant="gmmn", seed=5)
    assert found.sigmas == GMMN_SIGMAS["MNIST"]
    assert found.n_validation == 20
    again = evaluate(drawn, dataset, sigma_variant="gmmn", seed=5)
    other = evaluate(drawn, dataset, sigma_variant="gmmn", seed=6)
    first = choose_sigma(dataset.validation[:20], drawn, GMMN_SIGMAS["MNIST"])
    assert again.validation_means == found.validation_means
    assert other.validation_means != found.validation_means
    assert first.means != found.validation_means
    assert any("GMMN" in text for text in found.warnings())


def test_the_gmmn_variant_chooses_five_thousand_different_images(dataset):
    big = dataclasses.replace(
        dataset, validation=torch.arange(6000.0)[:, None].repeat(1, 12) / 6000, sigma_images=1
    )
    chosen, _ = evaluation._sigma_data(big, "gmmn", None, 0)
    assert len(chosen) == 5000
    assert len(torch.unique(chosen[:, 0])) == 5000


def test_the_gmmn_grid_of_faces(dataset, drawn):
    faces = dataclasses.replace(dataset, comparable_to="TFD")
    assert evaluate(drawn, faces, sigma_variant="gmmn").sigmas == GMMN_SIGMAS["TFD"]


def test_the_gmmn_grid_fits_unit_pixels_only(dataset, drawn):
    wide = dataclasses.replace(dataset, validation=55 * dataset.validation)
    with pytest.raises(ValueError, match=r"sigma_variant: 'gmmn' has a grid for pixels in \[0, 1\]"):
        evaluate(drawn, wide, sigma_variant="gmmn")
    assert evaluate(drawn, wide, sigma_variant="gmmn", sigmas=[10.0]).sigma == 10.0


# the error over model samples


@pytest.mark.parametrize("n_samples", [200, 211, 101, 50, 49, 2])
def test_jackknife_equals_leaving_blocks_out_by_hand(dataset, n_samples):
    drawn = uniform(n_samples, 12, 9)
    found = evaluate(drawn, dataset, sigmas=[0.3])
    size = math.ceil(n_samples / 50)
    starts = range(0, n_samples, size)
    assert found.n_blocks == len(starts)
    whole = brute_force(dataset.test, drawn, 0.3).mean()
    left, sizes = [], []
    for start in starts:
        kept = torch.cat([drawn[:start], drawn[start + size :]])
        left.append(brute_force(dataset.test, kept, 0.3).mean())
        sizes.append(n_samples - len(kept))
    left, ratio = np.array(left), n_samples / np.array(sizes)
    pseudo = ratio * whole - (ratio - 1) * left
    centre = len(left) * whole - ((1 - 1 / ratio) * left).sum()
    expected = math.sqrt(np.mean((pseudo - centre) ** 2 / (ratio - 1)))
    if len(set(sizes)) == 1:  # the textbook form
        g = len(left)
        textbook = math.sqrt((g - 1) / g * ((left - left.mean()) ** 2).sum())
        assert expected == pytest.approx(textbook, rel=1e-9)
    assert found.sample_standard_error == pytest.approx(expected, rel=1e-3)


def test_jackknife_error_is_the_spread_over_draws(dataset):
    """In 200 independent draws the error foretold is the error seen, within its own noise."""
    low = Dataset("low", *(uniform(n, 2, n) for n in (10, 10, 40)), image_shape=(1, 2, 1))
    generator = torch.Generator().manual_seed(0)
    found = [
        evaluate(torch.rand(300, 2, generator=generator), low, sigmas=[0.1]) for _ in range(200)
    ]
    seen = np.std([one.mean for one in found], ddof=1)
    foretold = math.sqrt(np.mean([one.sample_standard_error**2 for one in found]))
    # a deviation of 200 draws has a relative error of 5 per cent: four of those
    assert foretold == pytest.approx(seen, rel=0.2)


def test_leaving_out_the_block_that_holds_nearly_all():
    sums = np.array([[0.0, -800.0], [-50.0, -800.0], [-2000.0, -1.0]])
    left = evaluation.log_sums_without_each(sums)
    expected = [logsumexp(np.delete(sums, block, axis=0), axis=0) for block in range(3)]
    np.testing.assert_allclose(left, expected, rtol=1e-15)


def test_no_other_block_leaves_nothing():
    assert evaluation.log_sums_without_each(np.zeros((1, 2))).tolist() == [[-math.inf] * 2]


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
def test_kinds_and_dtypes_agree(dataset, drawn, dtype, kind):
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
    with pytest.raises(TypeError, match="validation: .* numbers that would be rounded"):
        choose_sigma(torch.full((1, 12), 0.1, dtype=torch.float64), drawn, [0.2])


# folds


def test_folds_use_one_draw_and_each_its_own_sigma(dataset, drawn):
    calls = []

    def model(n_samples, seed):
        calls.append(seed)
        return drawn[:n_samples]

    other = dataclasses.replace(dataset, validation=drawn[:60].clone(), test=uniform(77, 12, 8))
    found = evaluate_folds(model, [dataset, other], n_samples=211)
    alone = [evaluate(drawn, one) for one in (dataset, other)]
    assert calls == [0]
    assert found.sigmas == tuple(one.sigma for one in alone)
    assert found.sigmas[0] != found.sigmas[1]
    means = [one.mean for one in alone]
    assert found.mean == pytest.approx(np.mean(means), rel=1e-12)
    # std of ddof 0 over the root of the number of folds
    assert found.standard_error == pytest.approx(abs(means[0] - means[1]) / 2 / math.sqrt(2))


def test_gmmn_folds_share_one_sigma(dataset, drawn):
    other = dataclasses.replace(dataset, validation=drawn[:60].clone())
    found = evaluate_folds(drawn, [dataset, other], sigma_variant="gmmn")
    folds = found.folds
    assert folds[0].sigma == folds[1].sigma
    total = np.add(folds[0].validation_means, folds[1].validation_means)
    assert folds[0].sigma == GMMN_SIGMAS["MNIST"][int(np.argmax(total))]
    assert folds[0].validation_means != folds[1].validation_means


def test_folds_that_cannot_be_aggregated(dataset, drawn):
    with pytest.raises(ValueError, match="datasets: expected at least one fold, got none"):
        evaluate_folds(drawn, [])
    with pytest.raises(ValueError, match="folds: expected at least one evaluation, got none"):
        aggregate_folds([])
    pair = [evaluate(drawn, dataset), evaluate(drawn[:100], dataset)]
    with pytest.raises(ValueError, match="folds: expected one n_samples for all folds, got 100, 211"):
        aggregate_folds(pair)


# what is told, and written


def test_the_published_rows():
    rows = {row.model: row for row in REFERENCE_TABLE}
    table = [(name, str(row.mnist), str(row.tfd)) for name, row in rows.items() if row.of_the_paper]
    assert table == [
        ("DBN", "138 ± 2", "1909 ± 66"),
        ("Stacked CAE", "121 ± 1.6", "2110 ± 50"),
        ("Deep GSN", "214 ± 1.1", "1890 ± 29"),
        ("Adversarial nets", "225 ± 2", "2057 ± 26"),
    ]
    for name, bits in (("Diffusion", 317), ("True data as the model", 349)):
        assert rows[name].mnist.mean == round(bits * math.log(2))
        assert str(bits) in rows[name].mnist.printed
        assert rows[name].tfd is None
    assert all(row.source for row in REFERENCE_TABLE)
    with pytest.raises(ValueError, match="column: expected 'MNIST' or 'TFD', got 'CIFAR'"):
        REFERENCE_TABLE[0].score("CIFAR")


def test_what_is_told_beside_a_score(dataset, drawn):
    told = evaluate(drawn, dataset).warnings()
    assert COMPARABILITY_WARNING in told
    assert "The data set 'noise' has no published column" in told[0]
    mnist = evaluate(drawn, dataclasses.replace(dataset, comparable_to="MNIST"))
    told = mnist.warnings()
    assert {COMPARABILITY_WARNING, REAL_DATA_NOTE, STANDARD_ERROR_NOTE} <= set(told)
    assert any("10,000 samples, this score on 211" in text for text in told)
    assert len(mnist.references) == 8
    faces = evaluate(drawn, dataclasses.replace(dataset, comparable_to="TFD"))
    assert REAL_DATA_NOTE not in faces.warnings()
    assert len(faces.references) == 6
    assert evaluate(drawn, dataset).references == ()


def test_json_keeps_every_bit(dataset, drawn):
    for found in (evaluate(drawn, dataset), evaluate(drawn[:1], dataset)):
        assert Evaluation.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda text: text[:50], "evaluation: expected JSON"),
        (lambda text: "[]", "evaluation: expected a JSON object, got list"),
        (lambda text: text.replace('"mean"', '"average"'), "evaluation: field 'mean' is missing"),
        (lambda text: text.replace("{", '{"x": 1,', 1), "evaluation: field 'x' is unknown"),
        (lambda text: text.replace('"n_test": 1003', '"n_test": "all"'), "n_test: expected int"),
        (lambda text: text.replace('"n_test": 1003', '"n_test": true'), "n_test: expected int"),
        (lambda text: text.replace('"seconds": ', '"seconds": 1e999, "_": '), "seconds|unknown"),
    ],
)
def test_json_that_is_damaged(dataset, drawn, damage, sentence):
    text = evaluate(drawn, dataset).to_json()
    assert damage(text) != text
    with pytest.raises(ValueError, match=sentence):
        Evaluation.from_json(damage(text))


def test_json_numbers_must_be_finite(dataset, drawn):
    values = json.loads(evaluate(drawn, dataset).to_json())
    values["mean"] = math.nan
    with pytest.raises(ValueError, match="evaluation: mean: expected a finite number, got nan"):
        Evaluation.from_json(json.dumps(values))


# real data


@pytest.mark.data
@pytest.mark.slow
def test_real_images_as_the_model_score_as_published():
    """10,000 training images as samples: "true data" is printed as 349 ± 3.3 bits, 242 nats."""
    folder = os.environ.get("FASTGAN_DATA")
    if not folder or not (Path(folder) / "mnist").is_dir():
        pytest.skip("FASTGAN_DATA has no folder mnist: no real MNIST to read")
    mnist = load_dataset("mnist", download=False)
    found = evaluate(mnist.train[:10_000], mnist)
    assert found.n_test == 10_000
    assert found.n_validation == 1_000
    assert found.mean == pytest.approx(242, abs=4.6)  # twice the error printed
    assert found.standard_error < 4
