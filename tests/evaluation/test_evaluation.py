"""The Parzen protocol against SciPy and brute force, and the mistakes that others have made."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from fastgan import parzen_protocol
from fastgan.data import Dataset, load_dataset
from fastgan.evaluation import (
    GMMN_SIGMAS,
    aggregate_folds,
    choose_sigma,
    evaluate,
    evaluate_folds,
)
from fastgan.jackknife import log_sums_without_each

# parzen_log_sums is within 1e-4 nats of brute force; log-likelihoods here add no more than rounding
PARZEN_NATS = 1e-4


# the numbers


def test_log_likelihood_is_that_of_scipys_gaussians(dataset, drawn, brute_force):
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


def test_every_test_image_counts_the_last_one_too(dataset, drawn, brute_force):
    found = evaluate(drawn, dataset)
    assert found.n_test == 1003
    changed = dataset.test.clone()
    changed[-1] = drawn[0]
    other = evaluate(drawn, dataclasses.replace(dataset, test=changed))
    before, after = brute_force(torch.stack([dataset.test[-1], changed[-1]]), drawn, found.sigma)
    assert other.mean - found.mean == pytest.approx((after - before) / 1003, abs=1e-6)


def test_every_sample_counts_the_last_one_too(dataset, drawn, brute_force):
    found = evaluate(drawn, dataset, sigmas=[0.3])
    shorter = evaluate(drawn, dataset, sigmas=[0.3], n_samples=210)
    expected = brute_force(dataset.test, drawn[:210], 0.3).mean()
    assert shorter.mean == pytest.approx(expected, abs=PARZEN_NATS)
    assert abs(found.mean - shorter.mean) > 10 * PARZEN_NATS


def test_validation_means_are_those_of_the_first_images(dataset, drawn, brute_force):
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
def test_nothing_is_rescaled(dataset, drawn, change, brute_force):
    found = evaluate(change(drawn), dataset)
    expected = brute_force(dataset.test, change(drawn), found.sigma).mean()
    assert found.mean == pytest.approx(expected, abs=max(PARZEN_NATS, 1e-12 * abs(expected)))


def test_samples_of_another_scale_are_told(dataset, drawn):
    told = [text for text in evaluate(255 * drawn, dataset).warnings() if "rescaled" in text]
    assert len(told) == 1
    assert "[0, 1]" not in evaluate(drawn, dataset).warnings()[0]


# the choice of sigma


def test_of_equal_means_the_smallest_sigma_wins(monkeypatch, drawn):
    monkeypatch.setattr(parzen_protocol, "normalised", lambda sums, *_: np.zeros_like(sums))
    assert choose_sigma(drawn, drawn, [0.4, 0.2, 0.3]).sigma == 0.2


@pytest.mark.parametrize(
    ("grid", "at_edge"),
    [([0.2, 0.3, 0.4], False), ([0.3, 0.4], True), ([0.2, 0.3], True), ([0.3], True)],
)
def test_an_end_of_the_grid_is_reported(dataset, grid, at_edge):
    generator = torch.Generator().manual_seed(0)
    noisy = dataset.validation + 0.3 * torch.randn(60, 12, generator=generator)
    found = evaluate(
        noisy, dataclasses.replace(dataset, validation=dataset.validation), sigmas=grid
    )
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
    monkeypatch.setattr(parzen_protocol, "GMMN_SIGMA_IMAGES", 20)
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
    chosen, _ = parzen_protocol.sigma_data(big, "gmmn", None, 0)
    assert len(chosen) == 5000
    assert len(torch.unique(chosen[:, 0])) == 5000


def test_the_gmmn_grid_of_faces(dataset, drawn):
    faces = dataclasses.replace(dataset, comparable_to="TFD")
    assert evaluate(drawn, faces, sigma_variant="gmmn").sigmas == GMMN_SIGMAS["TFD"]


def test_the_gmmn_grid_fits_unit_pixels_only(dataset, drawn):
    wide = dataclasses.replace(dataset, validation=55 * dataset.validation)
    with pytest.raises(
        ValueError, match=r"sigma_variant: 'gmmn' has a grid for pixels in \[0, 1\]"
    ):
        evaluate(drawn, wide, sigma_variant="gmmn")
    assert evaluate(drawn, wide, sigma_variant="gmmn", sigmas=[10.0]).sigma == 10.0


# the error over model samples


@pytest.mark.parametrize("n_samples", [200, 211, 101, 50, 49, 2])
def test_jackknife_equals_leaving_blocks_out_by_hand(dataset, n_samples, uniform, brute_force):
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


def test_jackknife_error_is_the_spread_over_draws(dataset, uniform):
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
    left = log_sums_without_each(sums)
    expected = [logsumexp(np.delete(sums, block, axis=0), axis=0) for block in range(3)]
    np.testing.assert_allclose(left, expected, rtol=1e-15)


def test_no_other_block_leaves_nothing():
    assert log_sums_without_each(np.zeros((1, 2))).tolist() == [[-math.inf] * 2]


# folds


def test_folds_use_one_draw_and_each_its_own_sigma(dataset, drawn, uniform):
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
    with pytest.raises(
        ValueError, match="folds: expected one n_samples for all folds, got 100, 211"
    ):
        aggregate_folds(pair)


# real data


@pytest.mark.data
@pytest.mark.slow
def test_real_images_as_the_model_score_as_published():
    """10,000 training images as samples: "true data" is printed as 349 ± 3.3 bits, 242 nats."""
    folder = os.environ.get("FASTGAN_DATA")
    if not folder:
        pytest.skip("FASTGAN_DATA is not set: no real MNIST to read")
    if not (Path(folder) / "mnist").is_dir():
        pytest.skip("FASTGAN_DATA has no folder mnist: no real MNIST to read")
    mnist = load_dataset("mnist", download=False)
    found = evaluate(mnist.train[:10_000], mnist)
    assert found.n_test == 10_000
    assert found.n_validation == 1_000
    assert found.mean == pytest.approx(242, abs=4.6)  # twice the error printed
    assert found.standard_error < 4
