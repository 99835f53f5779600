"""Distances to the nearest training image, the yardstick beside them, and what is said of both."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from fastgan import nearest_training
from fastgan.data import Dataset, load_dataset
from fastgan.memorisation import (
    QUANTILES,
    check_memorisation,
    nearer_probability,
)
from fastgan.memorisation_result import (
    TABLE_QUANTILES,
    Memorisation,
    distance,
    quantile_name,
    share,
    times,
)
from fastgan.memorisation_table import nearest as nearest_table

SHIFTS = "Distance between pixels can miss a copy"


@pytest.fixture
def dataset():
    generator = torch.Generator().manual_seed(0)
    parts = [torch.rand(n, 6, generator=generator) for n in (300, 20, 200)]
    return Dataset("noise", *parts, image_shape=(2, 3, 1))


@pytest.fixture
def samples():
    return torch.rand(500, 6, generator=torch.Generator().manual_seed(1))


def nearest(rows, train):
    """Return distance and number of each row's nearest training image, by brute force."""
    differences = rows.double()[:, None, :] - train.double()[None, :, :]
    squared, numbers = differences.square().sum(dim=2).min(dim=1)
    return squared.sqrt().numpy(), numbers.numpy()


@pytest.mark.parametrize("kind", ["tensor", "ndarray", "float64"])
def test_distances_are_those_of_brute_force(dataset, samples, kind):
    ways = {"tensor": samples, "ndarray": samples.numpy(), "float64": samples.double() + 1e-12}
    given_ = ways[kind]
    found = check_memorisation(given_, dataset)
    assert (found.dataset, found.n_train) == ("noise", 300)
    assert (found.n_samples, found.n_held_out) == (500, 200)
    (ours, hit), (held_out, hit_too) = (
        nearest(torch.as_tensor(rows), dataset.train) for rows in (given_, dataset.test)
    )
    # Both are sums of six squares in float64, in another order: 4 d eps, and the root halves it
    close = {"rtol": 4 * 6 * np.finfo(float).eps, "atol": 0}
    np.testing.assert_allclose(found.sample_quantiles, np.quantile(ours, QUANTILES), **close)
    np.testing.assert_allclose(found.held_out_quantiles, np.quantile(held_out, QUANTILES), **close)
    near = np.quantile(held_out, 0.01)
    assert found.near_distance == pytest.approx(near, rel=1e-14)
    assert found.sample_near_share == (ours <= near).mean()
    assert found.held_out_near_share == (held_out <= near).mean() == 0.01
    pairs = (ours[:, None] < held_out[None, :]).mean()
    assert found.nearer_probability == pytest.approx(pairs, abs=1e-15)
    counts, counts_too = (np.bincount(numbers, minlength=300) for numbers in (hit, hit_too))
    assert found.sample_hits == len(set(hit)) == (counts > 0).sum()
    assert (found.sample_most_hits, found.sample_most_hit) == (counts.max(), counts.argmax())
    assert found.held_out_hits == len(set(hit_too))
    assert found.held_out_most_hits == counts_too.max()
    assert found.held_out_most_hit == counts_too.argmax()
    assert found.n_equal == 200
    assert found.held_out_equal_hits == found.held_out_hits
    assert found.sample_equal_hits < found.sample_hits


def test_float64_samples_are_not_rounded(dataset):
    near_copies = dataset.train[:50].double() * (1 + 1e-9)
    found = check_memorisation(near_copies, dataset)
    assert found.sample_copies == 0
    assert 0 < found.sample_quantiles[-1] < 1e-8


def test_copies_are_found(dataset):
    found = check_memorisation(dataset.train[:200], dataset)
    assert found.sample_copies == found.sample_hits == 200
    assert found.held_out_copies == 0
    assert found.sample_near_share == found.nearer_probability == 1.0
    assert found.sample_most_hits == 1


def test_a_few_copies_among_many_samples_are_counted(dataset, samples):
    mixed = torch.cat([samples, dataset.train[:3], dataset.train[7].expand(9, 6)])
    found = check_memorisation(mixed, dataset)
    assert found.sample_copies == 12
    assert found.sample_most_hits >= 9


def test_the_test_images_themselves_are_like_themselves(dataset):
    found = check_memorisation(dataset.test, dataset)
    assert found.sample_quantiles == found.held_out_quantiles
    assert found.nearer_probability == 0.5
    assert found.sample_near_share == 0.01
    assert found.sample_equal_hits == found.held_out_equal_hits == found.held_out_hits


def test_duplicates_among_test_images_do_not_hide_copies(dataset):
    """More than a hundredth of the test images are copies: the near distance is 0."""
    test = dataset.test.clone()
    test[:10] = dataset.train[:10]
    doubled = dataclasses.replace(dataset, test=test)
    found = check_memorisation(dataset.train, doubled)
    assert found.near_distance == 0
    assert found.held_out_copies == 10
    assert found.sample_near_share == 1.0
    assert found.held_out_near_share == 0.05


def test_the_numbers_asked_about_can_be_bounded(dataset, samples):
    found = check_memorisation(samples, dataset, n_samples=17, n_held_out=40)
    assert (found.n_samples, found.n_held_out) == (17, 40)
    part = dataclasses.replace(dataset, test=dataset.test[:40])
    assert found == check_memorisation(samples[:17], part)


def test_a_file_is_read_part_by_part(dataset, samples, tmp_path, monkeypatch):
    whole = check_memorisation(samples, dataset)
    np.save(tmp_path / "samples.npy", samples.numpy())
    mapped = np.load(tmp_path / "samples.npy", mmap_mode="r")
    monkeypatch.setattr(nearest_training, "_BLOCK_BYTES", 8 * 6 * 37)
    asked = []
    query = nearest_training.NeighborIndex.query
    monkeypatch.setattr(
        nearest_training.NeighborIndex,
        "query",
        lambda self, rows, *rest: (asked.append(len(rows)), query(self, rows, *rest))[1],
    )
    assert check_memorisation(mapped, dataset) == whole
    assert max(asked) == 37
    assert sum(asked) == 700


# the statistic


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=12),
    st.lists(st.integers(0, 5), min_size=1, max_size=12),
)
def test_nearer_probability_is_mann_whitneys_u(ours, others):
    found = nearer_probability(np.array(ours, dtype=float), np.array(others, dtype=float))
    pairs = [(a < b) + 0.5 * (a == b) for a in ours for b in others]
    assert found == sum(pairs) / len(pairs)
    u = scipy.stats.mannwhitneyu(others, ours).statistic
    assert found == pytest.approx(u / (len(ours) * len(others)), abs=1e-15)


# what is kept and said


def test_json_keeps_every_bit(dataset, samples):
    found = check_memorisation(samples, dataset)
    assert Memorisation.from_json(found.to_json()) == found
    for field, bad, sentence in (
        ("n_samples", "x", "memorisation: n_samples: expected int, got 'x'"),
        ("held_out_quantiles", 1, "held_out_quantiles: expected a list of numbers, got 1"),
        ("sample_quantiles", [None], "sample_quantiles: expected float, got None"),
        ("sample_quantiles", [1.0], r"expected a number for each of \d+ levels .*, got 1"),
        ("near_held_out", [1.5], "near_held_out: expected int, got 1.5"),
        ("near_samples", [1], r"near_samples_images: expected a number for each of 1 .*, got 10"),
        ("near_distance", float("inf"), "near_distance: expected a finite number, got inf"),
    ):
        values = json.loads(found.to_json()) | {field: bad}
        with pytest.raises(ValueError, match=sentence):
            Memorisation.from_json(json.dumps(values))
    with pytest.raises(ValueError, match="memorisation: field 'dataset' is missing"):
        Memorisation.from_json("{}")


def test_the_levels_kept_hold_those_that_are_shown(dataset, samples):
    assert sorted(QUANTILES) == list(QUANTILES)
    assert len(set(QUANTILES)) == len(QUANTILES)
    assert set(TABLE_QUANTILES) <= set(QUANTILES)
    found = check_memorisation(samples, dataset)
    ours, held_out = found.quantile_rows(TABLE_QUANTILES)
    assert ours[0] == found.sample_quantiles[0]
    assert held_out[-1] == found.held_out_quantiles[-1]
    with pytest.raises(ValueError, match=r"levels: expected some of quantile_levels, got 0\.123"):
        found.quantile_rows((0.5, 0.123))


def test_what_was_found_is_said(dataset):
    found = check_memorisation(torch.cat([dataset.train[:30], dataset.test[:70]]), dataset)
    copies, near, pairs, hits = found.sentences()
    assert "number for number: 30 of 100 samples, 0 of 200 test images." in copies
    assert near.startswith(f"{found.sample_near_share:.1%} of the samples lie as near")
    assert f"within {found.near_distance:#.3g}" in near
    assert f"in {found.nearer_probability:.1%} of all pairs" in pairs
    assert f"{found.sample_hits} different ones of 300, the most-hit one" in hits
    assert hits.endswith(
        f"For 100 of each: {found.sample_equal_hits:.0f} and {found.held_out_equal_hits:.0f}."
    )
    assert any(SHIFTS in caution for caution in found.cautions())
    alike = check_memorisation(dataset.test, dataset)
    assert "of each" not in alike.sentences()[3]


def test_the_table_has_a_column_for_each_set(dataset, samples):
    found = check_memorisation(samples, dataset)
    names, ours, held_out = nearest_table(found).columns
    assert list(names.cells) == ["least", "1%", "5%", "25%", "median", "75%", "95%", "most"]
    assert (ours.header, held_out.header) == ("500 samples", "200 test images")
    rows = found.quantile_rows(TABLE_QUANTILES)
    assert list(ours.cells) == [distance(value) for value in rows[0]]
    assert list(held_out.cells) == [distance(value) for value in rows[1]]


def test_numbers_for_a_reader():
    assert [distance(value) for value in (0, 0.6064, 4.382, 12.34, 99.94, 1234.5)] == [
        "0.00", "0.606", "4.38", "12.3", "99.9", "1,234",
    ]  # fmt: skip
    assert [share(value) for value in (0, 0.0004, 0.0123, 0.5, 0.9996, 1)] == [
        "0%", "under 0.1%", "1.2%", "50.0%", "over 99.9%", "100%",
    ]  # fmt: skip
    assert [times(count) for count in (1, 2, 1200)] == ["once", "twice", "1,200 times"]
    assert [quantile_name(level) for level in (0.0, 0.05, 1.0)] == ["least", "5%", "most"]


def test_a_shifted_copy_is_missed_as_is_said():
    """The caution is true: an image of fine lines, shifted by a pixel, is nearer to another."""
    lines = torch.zeros(8, 8)
    lines[:, ::2] = 1.0
    grey = torch.full((8, 8), 0.5)
    train = torch.stack([lines, grey]).reshape(2, 64)
    shifted = lines.roll(1, dims=1).reshape(1, 64)
    dataset = Dataset("lines", train, train, torch.rand(5, 64), image_shape=(8, 8, 1))
    found = check_memorisation(shifted, dataset)
    assert found.sample_copies == 0
    assert found.sample_most_hit == 1  # the plain grey image, not the one that was shifted


@pytest.mark.data
def test_shifted_training_images_pass_for_new_ones_on_mnist(data_folder):
    """What the caution says, on real data: by distance they look newer than test images do."""
    mnist = load_dataset("mnist", folder=data_folder / "mnist")
    shifted = mnist.train[:500].reshape(-1, 28, 28).roll(1, dims=2).reshape(-1, 784)
    found = check_memorisation(shifted.contiguous(), mnist, n_held_out=500)
    original = (shifted - mnist.train[:500]).norm(dim=1).median()
    ours, held_out = (row[0] for row in found.quantile_rows((0.5,)))
    assert original > held_out  # the original lies farther off than a new image's nearest one
    assert ours > 0.95 * held_out
    assert found.sample_copies == 0
    assert found.nearer_probability < 0.5


def test_what_does_not_fit_is_refused(dataset):
    with pytest.raises(ValueError, match="samples: expected 6 columns as in the data set 'noise'"):
        check_memorisation(torch.zeros(3, 5), dataset)
    for bad in (0, 301, 1.5, True):
        with pytest.raises(ValueError, match=f"n_samples: expected 1 to the 300 .*, got {bad}"):
            check_memorisation(dataset.train, dataset, n_samples=bad)
    with pytest.raises(ValueError, match="n_held_out: expected 1 to the 200 test images"):
        check_memorisation(dataset.train, dataset, n_held_out=201)
    with pytest.raises(ValueError, match="samples: expected finite numbers, got inf in row 1"):
        check_memorisation(torch.tensor([[0.0] * 6, [float("inf")] * 6]), dataset)
    with pytest.raises(TypeError, match="samples: expected float32 or float64"):
        check_memorisation(torch.zeros(3, 6, dtype=torch.uint8), dataset)
