"""Precision, recall, density and coverage: as published code has them, in whole numbers exactly."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import fastgan
from fastgan import manifold_metrics
from fastgan.data import load_dataset
from fastgan.reference.count_within import count_within


def squared_distances(x, y):
    return ((x[:, None].astype(np.float64) - y[None].astype(np.float64)) ** 2).sum(2)


def kth_nearest(x, k):
    """Column k of each sorted row: the point itself, at 0, is column 0."""
    return np.sort(squared_distances(x, x), 1)[:, k]


def reference(real, fake, k, closed):
    """Precision, recall, density, coverage from the whole matrix, line by line as published."""
    inside = np.less_equal if closed else np.less
    distances = squared_distances(real, fake)
    in_real_ball = inside(distances, kth_nearest(real, k)[:, None])
    in_fake_ball = inside(distances, kth_nearest(fake, k)[None, :])
    return (
        in_real_ball.any(0).mean(),
        in_fake_ball.any(1).mean(),
        in_real_ball.sum(0).mean() / k,
        inside(distances.min(1), kth_nearest(real, k)).mean(),
    )


def found(real, fake, k, **options):
    shares = fastgan.precision_recall(real, fake, k, **options)
    densities = fastgan.density_coverage(real, fake, k, **options)
    for result in (shares, densities):
        assert (result.k, result.n_real, result.n_fake) == (k, len(real), len(fake))
    return shares.precision, shares.recall, densities.density, densities.coverage


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 3, 29])
@pytest.mark.parametrize(("n_real", "n_fake"), [(60, 60), (30, 70), (70, 30)])
def test_equals_the_reference(dtype, k, n_real, n_fake):
    generator = np.random.default_rng(n_real)
    real = (60 + 60 * generator.random((n_real, 6))).astype(dtype)
    fake = (80 + 60 * generator.random((n_fake, 6))).astype(dtype)
    expected = reference(real, fake, k, closed=True)
    assert found(real, fake, k, closed=True) == pytest.approx(expected, rel=1e-15)
    assert k > 3 or 0 < expected[0] < 1
    expected = reference(real, fake, k, closed=False)
    assert found(real, fake, k, closed=False) == pytest.approx(expected, rel=1e-15)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 12),
    st.integers(2, 12),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 11),
    st.booleans(),
    st.sampled_from([np.uint8, np.float32, np.float64]),
)
@example(0, 6, 6, 1, 1, 3, True, np.float32)  # all points the same: closed balls hold all
@example(0, 6, 6, 1, 1, 3, False, np.float32)  # and open ones nothing
def test_ties_and_duplicates(seed, n_real, n_fake, n_features, n_values, k, closed, dtype):
    generator = np.random.default_rng(seed)
    real = generator.integers(0, n_values, (n_real, n_features)).astype(dtype)
    fake = generator.integers(0, n_values, (n_fake, n_features)).astype(dtype)
    k = min(k, n_real - 1, n_fake - 1)
    expected = reference(real, fake, k, closed)
    assert found(real, fake, k, closed=closed) == pytest.approx(expected, rel=1e-14)


def test_defaults_are_those_of_the_published_code():
    # Balls of whole radii on a line, and fakes at the very radius
    real = np.arange(0.0, 12.0, 2)[:, None]
    fake = np.array([[-6.0], [16.0], [-8.0], [18.0], [-9.0], [19.0], [-9.5]])
    shares = fastgan.precision_recall(real, fake)
    assert shares == fastgan.precision_recall(real, fake, 3, closed=True)
    assert shares != fastgan.precision_recall(real, fake, 3, closed=False)
    assert shares.precision == 2 / 7
    densities = fastgan.density_coverage(real, fake)
    assert densities == fastgan.density_coverage(real, fake, 5, closed=False)
    fake = np.array([[-10.0], [20.0]])  # 10 from the ends, where the fifth neighbour is
    assert fastgan.density_coverage(real, fake).coverage == 0
    assert fastgan.density_coverage(real, fake, closed=True).coverage == 1 / 3


def test_a_copy_of_the_data():
    real = np.random.default_rng(0).integers(0, 10**6, (50, 4)).astype(np.float32)
    assert found(real, real.copy(), 5, closed=True) == (1, 1, 6 / 5, 1)
    assert found(real, real.copy(), 5, closed=False) == (1, 1, 1, 1)


def test_duplicated_data_have_balls_of_radius_zero():
    real = np.repeat(np.array([[0.0], [4.0]]), 4, 0)
    fake = np.array([[0.0], [1.0], [2.0], [3.0]])
    assert found(real, fake, 3, closed=True)[0] == 1 / 4
    assert found(real, fake, 3, closed=True)[2:] == (4 / 12, 1 / 2)
    assert found(real, fake, 3, closed=False)[0] == 0
    assert found(real, fake, 3, closed=False)[2:] == (0, 0)


def test_expectations_over_all_labellings_are_those_of_the_docstring():
    n_real, n_fake, k = 5, 4, 2
    pooled = np.random.default_rng(0).normal(size=(n_real + n_fake, 3))
    results = []
    for chosen in itertools.combinations(range(n_real + n_fake), n_real):
        is_real = np.isin(np.arange(n_real + n_fake), chosen)
        results.append(fastgan.density_coverage(pooled[is_real], pooled[~is_real], k))
    assert np.mean([result.density for result in results]) == pytest.approx(1, abs=1e-14)
    uncovered = math.perm(n_real - 1, k) / math.perm(n_real + n_fake - 1, k)
    assert np.mean([result.coverage for result in results]) == pytest.approx(1 - uncovered)


def test_scale_translation_and_order_of_whole_numbers():
    generator = np.random.default_rng(0)
    real, fake = generator.integers(0, 9, (2, 60, 4)).astype(np.float64)
    expected = found(real, fake, 4)
    assert found(real * 2.0**-40, fake * 2.0**-40, 4) == expected
    assert found(real + 2.0**40, fake + 2.0**40, 4) == expected
    assert found(real[::-1].copy(), generator.permutation(fake), 4) == expected
    swapped = fastgan.precision_recall(fake, real, 4)
    assert (swapped.recall, swapped.precision) == expected[:2]


def test_counting_reference_counts_the_closed_ball_on_both_sides():
    queries = torch.tensor([[0.0], [2.0], [5.0]])
    data = torch.tensor([[0.0], [1.0], [2.0], [2.0], [8.0]])
    radii = torch.tensor([1.0, 0.0, 9.0], dtype=torch.float64)
    per_query, per_row = count_within(queries, data, radii, exclude_self=False)
    assert per_query.tolist() == [2, 2, 3]
    assert per_row.tolist() == [1, 1, 2, 2, 1]
    assert per_query.dtype == per_row.dtype == torch.int64
    per_query, per_row = count_within(data, data, torch.full((5,), torch.inf), exclude_self=True)
    assert per_query.tolist() == per_row.tolist() == [4, 4, 4, 4, 4]
    per_query, per_row = count_within(
        data, data, torch.full((5,), -5e-324, dtype=torch.float64), exclude_self=False
    )
    assert per_query.tolist() == per_row.tolist() == [0, 0, 0, 0, 0]
    per_query, per_row = count_within(queries[:0], data, radii[:0], exclude_self=False)
    assert (per_query.tolist(), per_row.tolist()) == ([], [0, 0, 0, 0, 0])


def test_one_fake_is_enough_for_density_and_coverage():
    real = np.array([[0.0], [1.0], [3.0]])
    result = fastgan.density_coverage(real, np.array([[0.5]]), 1)
    assert (result.density, result.coverage) == (2, 2 / 3)


def test_torch_answers_as_numpy_and_any_number_of_threads(n_threads):
    generator = np.random.default_rng(0)
    real, fake = generator.integers(0, 4, (2, 200, 5)).astype(np.float32)
    from_numpy = found(real, fake, 5)
    assert found(torch.from_numpy(real), torch.from_numpy(fake), 5) == from_numpy
    torch.set_num_threads(1)
    assert found(real, fake, 5) == from_numpy


@pytest.mark.data
def test_real_images(data_folder):
    images = (255 * load_dataset("mnist", folder=data_folder).test[:600]).round().byte().numpy()
    real, fake = images[:300], images[300:]
    expected = reference(real, fake, 5, closed=True)
    assert found(real, fake, 5, closed=True) == pytest.approx(expected, rel=1e-15)
    assert 0.5 < expected[3] < 1  # about 1 - 2^-5 is expected of one distribution


@pytest.mark.parametrize("function", [fastgan.precision_recall, fastgan.density_coverage])
@pytest.mark.parametrize(
    ("real", "fake", "k", "error", "message"),
    [
        (
            np.zeros((4, 2)),
            np.zeros((9, 2)),
            4,
            ValueError,
            "k: expected at most 3, as real has 4 rows, got 4",
        ),
        (
            np.zeros((4, 2)),
            np.zeros((9, 2)),
            0,
            ValueError,
            "k: expected an integer of at least 1, got 0",
        ),
        (np.zeros((4, 2)), np.zeros((9, 2)), 1.5, TypeError, "k: expected an integer, got 1.5"),
        (
            [[1.0]],
            np.zeros((9, 1)),
            1,
            TypeError,
            "real: expected a NumPy array or a torch.Tensor, got list",
        ),
        (
            np.zeros((4, 2)),
            torch.zeros(9, 2),
            1,
            TypeError,
            "fake: expected a NumPy array like real, got a torch.Tensor",
        ),
        (
            np.zeros((4, 2)),
            np.zeros((9, 3)),
            1,
            ValueError,
            "real: expected 3 features like fake, got shape (4, 2)",
        ),
        (
            np.zeros(4),
            np.zeros((9, 3)),
            1,
            ValueError,
            "real: expected 2 dimensions (n_real, n_features), got shape (4,)",
        ),
        (
            np.zeros((4, 3)),
            np.zeros((9, 3, 1)),
            1,
            ValueError,
            "fake: expected 2 dimensions (n_fake, n_features), got shape (9, 3, 1)",
        ),
        (
            np.zeros((4, 3)),
            np.zeros((0, 3)),
            1,
            ValueError,
            "fake: expected at least 1 row and 1 feature, got shape (0, 3)",
        ),
        (
            np.zeros((4, 1)),
            np.full((9, 1), np.inf),
            1,
            ValueError,
            "fake: expected finite numbers, got inf in row 0, column 0",
        ),
        (
            torch.zeros(4, 1),
            torch.zeros(9, 1, requires_grad=True),
            1,
            ValueError,
            "fake: expected a tensor without gradient, as distances have none here; "
            "got one that requires it (pass it detached)",
        ),
    ],
)
def test_wrong_inputs(function, real, fake, k, error, message):
    with pytest.raises(error) as raised:
        function(real, fake, k)
    assert str(raised.value) == message


def test_precision_and_recall_need_k_neighbors_among_the_fakes():
    with pytest.raises(ValueError, match="k: expected at most 1, as fake has 2 rows, got 2"):
        fastgan.precision_recall(np.zeros((4, 2)), np.zeros((2, 2)), 2)


def test_docstring_examples():
    import doctest

    assert doctest.testmod(manifold_metrics) == (0, 8)
