"""A collapsed generator is told from a varied one, and both from real images."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
import torch
from torch import nn

import fastgan
from fastgan.data import Dataset, load_dataset
from fastgan.helvetica import N_LINE_STEPS, N_LINES, diagnose_helvetica, uniform_hits
from fastgan.helvetica_result import (
    CLASS_NOTE,
    ERROR_NOTE,
    HUB_NOTE,
    QUALITY_NOTE,
    Helvetica,
    with_error,
)
from fastgan.models import Generator
from fastgan.recipes import by_name

N_LATENT, N_FEATURES = 5, 8


def real(n, seed):
    """Draw n images of four classes, each a cloud around a corner of its own, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (n,), generator=generator)
    corners = 3.0 * torch.eye(4).repeat(1, 2)
    return corners[labels] + torch.randn(n, N_FEATURES, generator=generator), labels


@pytest.fixture(scope="module")
def dataset():
    (train, labels), (validation, _), (test, _) = (real(n, n) for n in (3_000, 500, 700))
    return Dataset("clouds", train, validation, test, (2, 4, 1), train_labels=labels)


def latent(n, seed=1):
    return torch.randn(n, N_LATENT, generator=torch.Generator().manual_seed(seed))


class Varied(nn.Module):
    """G of the right distribution: a corner chosen by one part of z, a cloud by the others."""

    def __init__(self):
        super().__init__()
        self.register_buffer("turn", torch.linalg.qr(real(8, 5)[0])[0][:4].contiguous())

    def forward(self, z):
        quarter = (4 * torch.special.ndtr(z[:, 0])).long().clamp(0, 3)
        corners = 3.0 * torch.eye(4, dtype=z.dtype).repeat(1, 2)
        # four numbers of z span half of the space: a little too narrow a cloud, but not a point
        return corners[quarter] + 1.4 * z[:, 1:] @ self.turn.to(z.dtype)


class Collapsed(nn.Module):
    """G that makes three images, whatever z: it moves a hair's breadth around each."""

    def forward(self, z):
        modes = real(3, 9)[0].to(z.dtype)
        which = torch.bucketize(z[:, 0].contiguous(), torch.tensor([-0.5, 0.5], dtype=z.dtype))
        return modes[which] + 1e-3 * z[:, :1]


@pytest.fixture(scope="module")
def of_real(dataset):
    return diagnose_helvetica(real(1_200, 77)[0], dataset)


@pytest.fixture(scope="module")
def of_varied(dataset):
    varied = Varied()
    return diagnose_helvetica(varied(latent(1_200)), dataset, generator=varied, latent=latent(400))


@pytest.fixture(scope="module")
def of_collapsed(dataset):
    few = Collapsed()
    return diagnose_helvetica(few(latent(1_200)), dataset, generator=few, latent=latent(400))


def test_public_names():
    assert fastgan.diagnose_helvetica is diagnose_helvetica
    assert fastgan.Helvetica is Helvetica


# told apart


def test_real_images_are_as_varied_as_others(of_real):
    assert of_real.headline.startswith("As varied as real images")
    assert of_real.hit_ratio == pytest.approx(1, abs=3 * of_real.hit_ratio_error)
    assert of_real.hit_ratio_error < 0.05
    assert of_real.n_equal == 1_200
    # 1,200 held-out images in all, so as many hit as many
    assert of_real.equivalent_held_out is None or of_real.equivalent_held_out > 1_000
    assert of_real.sample_pair_distance == pytest.approx(
        of_real.train_pair_distance,
        abs=4 * math.hypot(of_real.sample_pair_distance_error, of_real.train_pair_distance_error),
    )
    assert of_real.sample_deviation == pytest.approx(of_real.train_deviation, rel=0.05)
    assert of_real.class_difference < of_real.class_difference_bound
    assert "within what chance explains" in of_real.sentences()[-1]


def test_a_collapsed_generator_is_called_so(of_collapsed):
    found = of_collapsed
    assert found.headline.startswith("The Helvetica scenario")
    assert 1 <= found.sample_hits <= 12  # three images, each moved by a thousandth
    assert found.hit_ratio < 0.02
    assert found.equivalent_held_out < 15
    assert found.sample_same_hit > 0.2  # of three likely ones, about a third
    assert found.class_difference > found.class_difference_bound
    assert found.effective_classes < 3.01
    assert max(found.sample_classes) > 300
    # between modes it stays where it is and then jumps
    assert found.largest_step > 0.5
    assert found.path_length < 1.1 * found.train_pair_distance


def test_a_varied_generator_is_neither(of_varied, of_collapsed, of_real):
    assert not of_varied.headline.startswith("The Helvetica scenario")
    assert of_collapsed.hit_ratio < 0.1 * of_varied.hit_ratio
    # only half the dimensions: told from real images by the count alone
    assert of_varied.headline.startswith("Far less varied than real images")
    assert of_varied.hit_ratio + 3 * of_varied.hit_ratio_error < of_real.hit_ratio
    assert of_varied.sample_same_hit < 0.05 * of_collapsed.sample_same_hit
    assert of_varied.class_difference < of_varied.class_difference_bound
    assert of_varied.effective_classes > 3.9
    assert of_varied.largest_step < of_collapsed.largest_step
    assert 0 < of_varied.sample_pair_distance_error < 0.1


def test_half_of_the_classes_lost_is_seen_though_the_samples_vary(dataset):
    images, labels = real(2_400, 78)
    found = diagnose_helvetica(images[labels < 2][:1_200], dataset)
    assert found.headline.startswith("Less varied than real images")
    assert found.class_difference == pytest.approx(0.5, abs=0.05)
    assert found.effective_classes == pytest.approx(2, abs=0.15)
    assert found.held_out_class_difference < 0.05
    assert "chance alone exceeds" in found.sentences()[-1]
    assert not found.headline.startswith("The Helvetica scenario")


def test_a_generator_of_one_image(dataset):
    image = dataset.train[:1]
    found = diagnose_helvetica(
        image.expand(50, -1),
        dataset,
        generator=lambda z: image.expand(len(z), -1),
        latent=latent(9),
    )
    assert (found.sample_hits, found.sample_equal_hits) == (1, 1.0)
    assert (found.sample_same_hit, found.sample_same_hit_error) == (1.0, 0.0)
    assert (found.sample_deviation, found.sample_pair_distance) == (0.0, 0.0)
    assert (found.path_length, found.chord_length) == (0.0, 0.0)
    assert found.largest_step == pytest.approx(1 / N_LINE_STEPS)
    assert found.equivalent_held_out == 1.0
    assert found.n_lines == 4
    assert found.effective_classes == 1.0
    assert found.hit_ratio_error > 0  # the held-out images' own
    assert Helvetica.from_json(found.to_json()) == found


# the numbers


def test_hits_are_those_of_brute_force(dataset):
    samples = real(300, 3)[0]
    found = diagnose_helvetica(samples, dataset, n_samples=200)

    def nearest(rows):
        differences = rows.double()[:, None, :] - dataset.train.double()[None, :, :]
        return differences.square().sum(dim=2).argmin(dim=1)

    hit = nearest(samples[:200])
    held_out = nearest(torch.cat([dataset.test, dataset.validation]))
    assert (found.n_samples, found.n_held_out, found.n_train) == (200, 1_200, 3_000)
    assert found.sample_hits == len(set(hit.tolist())) == found.sample_equal_hits
    assert found.held_out_hits == len(set(held_out.tolist())) > found.held_out_equal_hits
    assert (found.sample_curve_sizes[0], found.sample_curve_sizes[-1]) == (1, 200)
    assert found.sample_curve_hits[-1] == found.sample_hits
    assert found.held_out_curve_sizes[-1] == 1_200
    assert list(found.held_out_curve_hits) == sorted(found.held_out_curve_hits)
    counts = [int((dataset.train_labels[hit] == number).sum()) for number in range(4)]
    assert list(found.sample_classes) == counts
    assert found.class_numbers == (0, 1, 2, 3)
    assert sum(found.held_out_classes) == 1_200
    assert found.sample_deviation == pytest.approx(
        float(samples[:200].double().std(dim=0, correction=0).mean()), rel=1e-12
    )


def test_the_equivalent_number_of_held_out_images_hits_as_many(dataset):
    """Half the held-out images as samples: they hit what half of them hit, on average."""
    half = dataset.test[:600]
    found = diagnose_helvetica(half, dataset)
    at = np.interp(found.equivalent_held_out, found.held_out_curve_sizes, found.held_out_curve_hits)
    assert at == pytest.approx(found.sample_equal_hits, rel=0.01)
    assert found.equivalent_held_out == pytest.approx(600, rel=0.1)


def test_lines_are_measured_as_defined(dataset):
    """G(z) = c z: every path is as long as its chord, c times the line in z, in equal steps."""
    turn = torch.eye(N_LATENT, N_FEATURES)
    z = latent(40)
    found = diagnose_helvetica(
        dataset.test[:50], dataset, generator=lambda z: 0.7 * z @ turn, latent=z
    )
    lengths = (z[20:] - z[:20]).double().norm(dim=1)
    assert found.n_lines == 20
    assert found.latent_distance == pytest.approx(float(lengths.mean()), rel=1e-6)
    # float32 z and images: each step is a difference of numbers near 1 with a rounding of 6e-8
    assert found.path_length == pytest.approx(0.7 * float(lengths.mean()), rel=1e-5)
    assert found.chord_length == pytest.approx(found.path_length, rel=1e-5)
    error = 0.7 * float(lengths.std()) / math.sqrt(20)
    assert found.path_length_error == pytest.approx(error, rel=1e-4)
    assert found.largest_step == pytest.approx(1 / N_LINE_STEPS, rel=1e-4)


def test_a_recipes_generator_draws_its_own_z():
    dataset = load_dataset("digits")
    generator = Generator(by_name("digits"))
    samples = generator.sample(200, 0)
    generator.train()
    found = diagnose_helvetica(samples, dataset, generator=generator)
    assert generator.training
    assert found.n_lines == N_LINES
    assert found.path_length >= found.chord_length > 0
    assert len(found.class_numbers) == 10
    assert found.headline.startswith("The Helvetica scenario")  # untrained: nearly constant


def test_without_a_generator_or_labels_the_rest_is_there(dataset, of_real):
    assert of_real.n_lines == 0
    assert of_real.path_length is of_real.largest_step is of_real.latent_distance is None
    plain = dataclasses.replace(dataset, train_labels=None)
    found = diagnose_helvetica(real(1_200, 77)[0], plain)
    assert (found.class_numbers, found.sample_classes) == ((), ())
    assert found.class_difference is found.effective_classes is None
    assert found.sample_hits == of_real.sample_hits
    assert len(found.sentences()) == len(of_real.sentences()) - 1
    assert CLASS_NOTE not in found.cautions()
    assert Helvetica.from_json(found.to_json()) == found


@pytest.mark.parametrize(("n_kinds", "n_drawn"), [(1, 3), (2, 1), (2, 4), (3, 5), (5, 2)])
def test_uniform_hits_are_the_mean_over_all_draws(n_kinds, n_drawn):
    hits = [len(set(draw)) for draw in itertools.product(range(n_kinds), repeat=n_drawn)]
    mean, deviation = uniform_hits(n_kinds, n_drawn)
    assert mean == pytest.approx(np.mean(hits), rel=1e-13)
    assert deviation == pytest.approx(np.std(hits), rel=1e-6, abs=1e-7)


def test_uniform_hits_of_many():
    random = np.random.default_rng(0)
    hits = [len(np.unique(random.integers(0, 50_000, 10_000))) for _ in range(300)]
    mean, deviation = uniform_hits(50_000, 10_000)
    assert mean == pytest.approx(np.mean(hits), abs=4 * deviation / math.sqrt(300))
    assert deviation == pytest.approx(np.std(hits), rel=4 / math.sqrt(2 * 300))


# wrong inputs


def test_wrong_inputs(dataset):
    images = dataset.test[:50]
    with pytest.raises(ValueError, match="samples: expected at least 4 samples, got 3"):
        diagnose_helvetica(images[:3], dataset)
    with pytest.raises(ValueError, match=r"samples: expected 8 columns .*'clouds', got shape"):
        diagnose_helvetica(images[:, :5], dataset)
    with pytest.raises(TypeError, match="samples: expected"):
        diagnose_helvetica(images.long(), dataset)
    tiny = dataclasses.replace(
        dataset, test=dataset.test[:1], validation=dataset.validation[:2], sigma_images=0
    )
    with pytest.raises(ValueError, match=r"dataset: expected at least 4 test and validation .* 3"):
        diagnose_helvetica(images, tiny)
    with pytest.raises(ValueError, match=r"latent: expected z of shape .* no method latent\(\)"):
        diagnose_helvetica(images, dataset, generator=Varied())
    with pytest.raises(ValueError, match=r"latent: expected shape \(n, ...\).*, got \(3, 5\)"):
        diagnose_helvetica(images, dataset, generator=Varied(), latent=latent(3))
    with pytest.raises(
        ValueError, match=r"generator: expected images of shape \(4, 8\) .*\(4, 5\)"
    ):
        diagnose_helvetica(images, dataset, generator=lambda z: z, latent=latent(8))


# what is kept and said


def test_json_keeps_every_bit(of_varied):
    assert Helvetica.from_json(of_varied.to_json()) == of_varied
    for field, bad, sentence in (
        ("n_samples", "x", "helvetica: n_samples: expected int, got 'x'"),
        ("sample_curve_hits", [1.0], r"sample_curve_hits: expected a number for each of \d+ in"),
        ("sample_classes", [1], "sample_classes: expected a number for each of 4 in class_numbers"),
        ("sample_equal_hits", 0, "sample_equal_hits: expected at least 1, got 0"),
        ("path_length", float("nan"), "path_length: expected a finite number, got nan"),
    ):
        values = json.loads(of_varied.to_json()) | {field: bad}
        with pytest.raises(ValueError, match=sentence):
            Helvetica.from_json(json.dumps(values))
    with pytest.raises(ValueError, match=r"helvetica: field '[a-z_]+' is missing"):
        Helvetica.from_json("{}")


def test_what_was_found_is_said(of_varied):
    headline, hits, pairs, spread, lines, classes = of_varied.sentences()
    assert headline == of_varied.headline
    assert hits.startswith(f"1,200 samples are nearest to {of_varied.sample_equal_hits:,.0f} ± ")
    assert f"About {of_varied.equivalent_held_out:,.0f} held-out images hit as many." in hits
    assert f"in one of {1 / of_varied.sample_same_hit:,.0f} pairs" in pairs
    assert f"standard deviation of {of_varied.sample_deviation:.3g}" in spread
    assert "of 20 steps makes" in lines
    assert "are of 4 of 4 classes" in classes
    assert of_varied.cautions() == (QUALITY_NOTE, HUB_NOTE, CLASS_NOTE, ERROR_NOTE)


@pytest.mark.parametrize(
    ("hits", "error", "said"),
    [
        (50.0, 2.0, "The Helvetica scenario: samples hit 5.0 ± 0.2% of the training images"),
        (300.0, 2.0, "Far less varied than real images: samples hit 30.0 ± 0.4% of"),
        (900.0, 5.0, "Less varied than real images: samples hit 90.0 ± 1.0% of"),
        (980.0, 5.0, "As varied as real images: samples hit 98.0 ± 1.1% of"),
        (1_100.0, 5.0, "More varied than real images: samples hit 110.0 ± 1.2% of"),
    ],
)
def test_the_headline_follows_the_ratio_and_its_error(of_varied, hits, error, said):
    found = dataclasses.replace(
        of_varied,
        sample_equal_hits=hits,
        sample_equal_hits_error=error,
        held_out_equal_hits=1_000.0,
        held_out_equal_hits_error=10.0,
    )
    assert found.headline.startswith(said)


@pytest.mark.parametrize(
    ("value", "error", "said"),
    [
        (6021.4, 33.7, "6,021 ± 34"),
        (9.8712, 0.0312, "9.87 ± 0.03"),
        (0.5, 0.1, "0.5 ± 0.1"),
        (3.0, 0.0, "3 ± 0"),
        (3.25, 0.0, "3.25 ± 0.00"),
        (1.0, 1e-9, "1.0000 ± 0.0000"),
    ],
)
def test_errors_are_said_to_their_first_digit(value, error, said):
    assert with_error(value, error) == said


@pytest.mark.parametrize("kind", ["real", "varied", "collapsed"])
def test_on_digits_the_three_are_told_apart(kind):
    """Real images; five ways of writing each digit, mixed; three digits with a little noise."""
    digits = load_dataset("digits")
    random = torch.Generator().manual_seed(5)
    if kind == "real":
        samples = digits.test
        digits = dataclasses.replace(
            digits, test=digits.validation[:150], validation=digits.validation[150:],
            test_labels=None, validation_labels=None, sigma_images=0,
        )  # fmt: skip
    elif kind == "varied":
        parts = []
        for number in range(10):
            rows = digits.train[digits.train_labels == number]
            _, sizes, ways = torch.linalg.svd(rows - rows.mean(dim=0), full_matrices=False)
            drawn = torch.randn(30, 5, generator=random) * sizes[:5] / len(rows) ** 0.5
            parts.append((rows.mean(dim=0) + drawn @ ways[:5]).clamp(0, 1))
        samples = torch.cat(parts)
    else:
        modes = digits.train[[0, 11, 22]].repeat(100, 1)
        samples = modes + 0.01 * torch.randn(300, 64, generator=random)
    found = diagnose_helvetica(samples, digits)
    said = {
        "real": "As varied as real images",
        "varied": "Less varied than real images",
        "collapsed": "The Helvetica scenario",
    }
    assert found.headline.startswith(said[kind])
    assert (found.class_difference > found.class_difference_bound) == (kind == "collapsed")
    assert (found.sample_pair_distance > 0.9 * found.train_pair_distance) == (kind == "real")
