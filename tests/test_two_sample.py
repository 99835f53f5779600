"""The 1-nearest-neighbour test: the papers' count, ties shared out, moments by enumeration."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import fastgan
from fastgan import two_sample


def squared_distances(x, y):
    return ((x[:, None].astype(np.float64) - y[None].astype(np.float64)) ** 2).sum(2)


def official_accuracies(real, fake):
    """Xu et al.: the matrix of all distances, infinity on its diagonal, the least of each row."""
    pooled = np.concatenate([real, fake])
    labels = np.arange(len(pooled)) < len(real)
    distances = squared_distances(pooled, pooled)
    np.fill_diagonal(distances, np.inf)
    right = labels[distances.argmin(1)] == labels
    return right.mean(), right[labels].mean(), right[~labels].mean()


def neighbor_weights(pooled):
    """w[i, j]: 1 over the number of i's nearest neighbours where j is one, else 0."""
    distances = squared_distances(pooled, pooled)
    np.fill_diagonal(distances, np.inf)
    nearest = distances == distances.min(1, keepdims=True)
    return nearest / nearest.sum(1, keepdims=True)


def shares(weights, labels):
    return (weights * (labels[:, None] == labels)).sum(1)


def assert_as_enumerated(real, fake):
    """Accuracies by the full matrix of weights; moments over every labelling there is."""
    found = fastgan.nearest_neighbor_two_sample_test(real, fake)
    n_points = len(real) + len(fake)
    weights = neighbor_weights(np.concatenate([real, fake]))
    labels = np.arange(n_points) < len(real)
    own = shares(weights, labels)
    assert found.accuracy == pytest.approx(own.mean(), abs=1e-14)
    assert found.accuracy_real == pytest.approx(own[labels].mean(), abs=1e-14)
    assert found.accuracy_fake == pytest.approx(own[~labels].mean(), abs=1e-14)
    accuracies = []
    for chosen in itertools.combinations(range(n_points), len(real)):
        labelling = np.isin(np.arange(n_points), chosen)
        accuracies.append(shares(weights, labelling).mean())
    assert found.expected_accuracy == pytest.approx(np.mean(accuracies), abs=1e-13)
    variance = np.var(accuracies)  # its own rounding is about 1e-16
    assert found.standard_error**2 == pytest.approx(variance, rel=1e-11, abs=1e-15)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize(("n_real", "n_fake"), [(40, 40), (2, 50), (33, 7)])
def test_equals_the_published_count_where_no_distances_tie(dtype, n_real, n_fake):
    generator = np.random.default_rng(n_real)
    real = (255 * generator.random((n_real, 30))).astype(dtype)
    fake = (255 * generator.random((n_fake, 30)) ** 1.5).astype(dtype)
    pooled = np.concatenate([real, fake])
    distances = squared_distances(pooled, pooled) + np.diag(np.full(len(pooled), np.inf))
    least_two = np.sort(distances, 1)[:, :2]
    assert (least_two[:, 0] < least_two[:, 1]).all()
    found = fastgan.nearest_neighbor_two_sample_test(real, fake)
    official = official_accuracies(real, fake)
    assert (found.accuracy, found.accuracy_real, found.accuracy_fake) == official
    assert (found.n_real, found.n_fake) == (n_real, n_fake)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 5),
    st.integers(2, 5),
    st.integers(1, 3),
    st.integers(1, 4),
    st.sampled_from([np.uint8, np.float32, np.float64]),
)
@example(0, 5, 5, 1, 1, np.float32)  # all points the same
@example(1, 5, 4, 1, 2, np.uint8)  # two places
@example(2, 5, 5, 3, 2, np.float64)  # a cube's corners, several to some
def test_ties_are_shared_and_moments_are_those_of_all_labellings(
    seed, n_real, n_fake, n_features, n_values, dtype
):
    generator = np.random.default_rng(seed)
    pooled = generator.integers(0, n_values, (n_real + n_fake, n_features)).astype(dtype)
    assert_as_enumerated(pooled[:n_real], pooled[n_real:])


def test_moments_of_points_in_general_position():
    generator = np.random.default_rng(3)
    for n_real, n_fake in ((2, 2), (3, 2), (6, 5), (2, 9)):
        assert_as_enumerated(generator.normal(size=(n_real, 4)), generator.normal(size=(n_fake, 4)))


def test_many_ties_in_many_calls(monkeypatch):
    monkeypatch.setattr("fastgan.nearest_graph._PAIRS_AT_ONCE", 7)
    corners = np.eye(8, dtype=np.float32)  # each as far from each
    assert_as_enumerated(corners[:4], np.concatenate([corners[4:], corners[:1], corners[:1]]))


def test_equidistant_points_and_a_crowd():
    # Eight corners and 30 copies of the centre: each corner's nearest neighbours are all the copies
    corners, crowd = np.eye(8) * 9, np.full((30, 8), 9 / 8)
    real, fake = (
        np.concatenate([corners[:5], crowd[:12]]),
        np.concatenate([corners[5:], crowd[12:]]),
    )
    weights = neighbor_weights(np.concatenate([real, fake]))
    own = shares(weights, np.arange(38) < 17)
    found = fastgan.nearest_neighbor_two_sample_test(real, fake)
    assert found.accuracy_real == pytest.approx(own[:17].mean(), abs=1e-14)
    assert found.accuracy_fake == pytest.approx(own[17:].mean(), abs=1e-14)
    pairs = weights + weights.T
    strengths = pairs.sum(1)
    graph = two_sample.nearest_graph(torch.from_numpy(np.concatenate([real, fake])))
    assert graph.sum_of_squared_pairs == pytest.approx((pairs**2).sum() / 2, rel=1e-14)
    assert graph.sum_of_squared_strengths == pytest.approx((strengths**2).sum(), rel=1e-14)
    assert len(graph.sources) == 8  # the crowd is one target


def test_copies_score_low_and_strangers_high():
    generator = np.random.default_rng(0)
    real = generator.normal(size=(100, 5)).astype(np.float32)
    copies = fastgan.nearest_neighbor_two_sample_test(real, real.copy())
    assert (copies.accuracy, copies.accuracy_real, copies.accuracy_fake) == (0, 0, 0)
    assert copies.expected_accuracy == 99 / 199
    assert copies.z_score < -5
    assert copies.p_value > 1 - 1e-6
    strangers = fastgan.nearest_neighbor_two_sample_test(real, real + 1000)
    assert (strangers.accuracy, strangers.accuracy_real, strangers.accuracy_fake) == (1, 1, 1)
    assert strangers.z_score > 5
    assert strangers.p_value < 1e-6


def test_a_collapsed_generator_fools_no_half():
    generator = np.random.default_rng(0)
    real = generator.normal(size=(100, 5))
    found = fastgan.nearest_neighbor_two_sample_test(real, np.repeat(real[:1] + 0.01, 100, 0))
    assert found.accuracy_fake == 1
    assert found.accuracy_real == 1 - np.mean(
        squared_distances(real, real[:1] + 0.01)[:, 0]
        < np.sort(squared_distances(real, real), 1)[:, 1]
    )


def test_p_values_are_even_where_the_distributions_are_one():
    generator = np.random.default_rng(0)
    scores = []
    for _ in range(200):
        pooled = generator.normal(size=(120, 3))
        scores.append(fastgan.nearest_neighbor_two_sample_test(pooled[:60], pooled[60:]))
    z = np.array([found.z_score for found in scores])
    # A mean of 200 standard normals has standard deviation .0707, their sum of squares 20
    assert abs(z.mean()) < 4 * 0.0707
    assert abs((z**2).sum() - 200) < 4 * 20
    for found in scores:
        assert found.p_value == pytest.approx(0.5 * math.erfc(found.z_score / math.sqrt(2)))


def test_points_that_are_all_alike_say_nothing():
    found = fastgan.nearest_neighbor_two_sample_test(np.zeros((5, 3)), np.zeros((4, 3)))
    assert found.standard_error == 0
    assert (found.z_score, found.p_value) == (0, 1)
    assert found.accuracy == pytest.approx(found.expected_accuracy, abs=1e-15)


def test_order_of_rows_and_swap_of_sets():
    generator = np.random.default_rng(0)
    pooled = generator.integers(0, 3, (60, 3)).astype(np.uint8)
    real, fake = pooled[:25], pooled[25:]
    found = fastgan.nearest_neighbor_two_sample_test(real, fake)
    turned = fastgan.nearest_neighbor_two_sample_test(real[::-1], fake[::-1])
    swapped = fastgan.nearest_neighbor_two_sample_test(fake, real)
    for name in ("accuracy", "accuracy_real", "accuracy_fake", "expected_accuracy", "z_score"):
        assert getattr(turned, name) == pytest.approx(getattr(found, name), abs=1e-12)
    assert swapped.accuracy == pytest.approx(found.accuracy, abs=1e-12)
    assert swapped.accuracy_real == pytest.approx(found.accuracy_fake, abs=1e-12)
    assert swapped.z_score == pytest.approx(found.z_score, abs=1e-9)


def test_distances_that_underflow_leave_every_share_defined():
    # Squares of 1e-170 are 0 in float64: three points at distance 0 that are not the same
    real = np.array([[0.0], [1e-170], [9.0], [9.5]])
    fake = np.array([[2e-170], [5.0], [5.25]])
    found = fastgan.nearest_neighbor_two_sample_test(real, fake)
    assert found.accuracy_real == (1 / 2 + 1 / 2 + 1 + 1) / 4
    assert found.accuracy_fake == 2 / 3
    assert_as_enumerated(real, fake)


def test_torch_and_threads_give_the_same_bits(n_threads):
    generator = np.random.default_rng(0)
    pooled = generator.integers(0, 5, (300, 3)).astype(np.float32)
    from_numpy = fastgan.nearest_neighbor_two_sample_test(pooled[:120], pooled[120:])
    tensor = torch.from_numpy(pooled)
    assert fastgan.nearest_neighbor_two_sample_test(tensor[:120], tensor[120:]) == from_numpy
    torch.set_num_threads(1)
    assert fastgan.nearest_neighbor_two_sample_test(pooled[:120], pooled[120:]) == from_numpy


@pytest.mark.parametrize(
    ("real", "fake", "error", "message"),
    [
        (np.zeros((1, 2)), np.zeros((3, 2)), ValueError, "real: expected at least 2 rows, got 1"),
        (np.zeros((3, 2)), np.zeros((1, 2)), ValueError, "fake: expected at least 2 rows, got 1"),
        (np.zeros((0, 2)), np.zeros((3, 2)), ValueError, "real: expected at least 2 rows, got 0"),
        (
            np.zeros((3, 2)),
            np.zeros((3, 2), np.float32),
            TypeError,
            "fake: expected dtype float64 like real, got float32",
        ),
        (
            np.array([[0.0], [np.nan]]),
            np.zeros((3, 1)),
            ValueError,
            "real: expected finite numbers, got nan in row 1, column 0",
        ),
    ],
)
def test_wrong_inputs(real, fake, error, message):
    with pytest.raises(error) as raised:
        fastgan.nearest_neighbor_two_sample_test(real, fake)
    assert str(raised.value) == message


def test_docstring_example():
    import doctest

    assert doctest.testmod(two_sample) == (0, 4)
