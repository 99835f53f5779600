"""Samples that come batch by batch: any batching gives the same bits, and they are right."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from streaming import BLOCK, N_SAMPLES, PARZEN_NATS, cut, same_bits, streamed

from fastgan import parzen_log_likelihood, parzen_stream
from fastgan.batches import batches_of, is_stream
from fastgan.ops.parzen import BLOCK_SIZE
from fastgan.parzen_of_stream import parzen_log_likelihood_of_stream
from fastgan.parzen_stream import ParzenStream

# the numbers


def test_values_are_those_of_brute_force(queries, drawn, brute_force, strategy):
    sigmas = [0.1, 0.3, 1.0]
    found = streamed(queries, [drawn], sigmas, strategy=strategy).log_likelihood()
    expected = [brute_force(queries, drawn, sigma) for sigma in sigmas]
    np.testing.assert_allclose(found, expected, rtol=0, atol=PARZEN_NATS)
    alone = streamed(queries, [drawn], 0.3, strategy=strategy).log_likelihood()
    assert same_bits(alone, found[1])


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 100), max_size=12),
    strategy=st.sampled_from(["dense", "pruned"]),
)
def test_any_batching_gives_the_same_bits(sizes, strategy):
    rng = np.random.default_rng(5)
    queries, drawn = rng.random((9, 5)), rng.random((N_SAMPLES, 5))
    whole = streamed(queries, [drawn], [0.1, 0.4], strategy=strategy)
    parts = streamed(queries, cut(drawn, sizes), [0.1, 0.4], strategy=strategy)
    assert parts.n_samples == N_SAMPLES
    assert same_bits(parts.log_likelihood(), whole.log_likelihood())
    assert same_bits(parts.bound(), whole.bound())
    assert same_bits(parts.block_log_sums()[0], whole.block_log_sums()[0])


def test_threads_change_no_bit(queries, drawn, n_threads, strategy):
    before = torch.get_num_threads()
    found = streamed(queries, cut(drawn, [50, 3]), strategy=strategy).log_likelihood()
    torch.set_num_threads(1)
    alone = streamed(queries, cut(drawn, [50, 3]), strategy=strategy).log_likelihood()
    torch.set_num_threads(before)
    assert before == n_threads
    assert same_bits(found, alone)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("kind", ["ndarray", "tensor"])
def test_kinds_and_dtypes(queries, drawn, brute_force, dtype, kind):
    scale, sigma = (255, 60.0) if dtype is np.uint8 else (1, 0.3)
    rows = [(scale * part.numpy()).astype(dtype) for part in (queries, drawn)]
    expected = brute_force(*rows, sigma)
    given = rows if kind == "ndarray" else [torch.from_numpy(part) for part in rows]
    stream = streamed(given[0], cut(given[1], [50, 100]), sigma)
    found = stream.log_likelihood()
    assert isinstance(found, np.ndarray if kind == "ndarray" else torch.Tensor)
    assert isinstance(stream.bound(), type(found))
    assert isinstance(stream.block_log_sums()[0], type(found))
    np.testing.assert_allclose(found, expected, rtol=0, atol=PARZEN_NATS)


def test_samples_of_one_block_have_the_bits_of_one_call(queries, drawn):
    expected = parzen_log_likelihood(queries, drawn, [0.1, 0.3])
    found = parzen_log_likelihood_of_stream(queries, iter(cut(drawn, [7, 60])), [0.1, 0.3])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=PARZEN_NATS)
    known = ParzenStream(queries, [0.1, 0.3], n_samples=N_SAMPLES)
    known.update(drawn)
    assert same_bits(known.log_likelihood(), expected)


def test_blocks_of_the_usual_size(brute_force):
    rng = np.random.default_rng(0)
    queries, drawn = rng.random((5, 3)), rng.random((BLOCK_SIZE + 1000, 3))
    found = parzen_log_likelihood_of_stream(
        queries, np.array_split(drawn, 7), 0.05, return_bound=True
    )
    expected = brute_force(queries, drawn, 0.05)
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=PARZEN_NATS)
    assert (found[1] <= 1e-6).all()
    one_call = parzen_log_likelihood(queries, drawn, 0.05)
    np.testing.assert_allclose(found[0], one_call, rtol=1e-12, atol=PARZEN_NATS)


def test_queries_are_the_streams_own(queries, drawn):
    expected = streamed(queries, [drawn]).log_likelihood()
    changing = queries.clone()
    stream = streamed(changing, [drawn[:100]])
    changing.zero_()
    stream.update(drawn[100:])
    assert same_bits(stream.log_likelihood(), expected)


def test_what_is_left_out_stays_within_the_bound_and_the_tolerance(uniform, strategy):
    # clusters far apart: nearly everything can be left out
    centres = 30.0 * uniform(40, 12, 7)
    drawn = (centres[:, None, :] + 0.1 * uniform(400, 12, 8).view(40, 10, 12)).flatten(0, 1)
    queries = centres[::4] + 0.05
    stream = streamed(
        queries, [drawn], [0.05, 0.5], tolerance=1e-3, n_samples=400, strategy=strategy
    )
    dense = streamed(queries, [drawn], [0.05, 0.5], tolerance=0.0)
    shortfall = dense.log_likelihood() - stream.log_likelihood()
    rounding = 1e-12 * dense.log_likelihood().abs() + 2e-5
    assert (shortfall <= stream.bound() + rounding).all()
    assert (stream.bound() <= 1e-3).all()
    assert (dense.bound() == 0).all()


# the curve


def test_the_curve_is_the_score_at_each_count(queries, drawn, brute_force, strategy):
    counts = [1, 20, 32, 33, 100, 128, 150, 211]
    stream = streamed(queries, cut(drawn, [31, 40]), counts=counts, strategy=strategy)
    curve = stream.curve()
    assert list(curve) == counts
    for count, values in curve.items():
        expected = brute_force(queries, drawn[:count], 0.3)
        np.testing.assert_allclose(values, expected, rtol=0, atol=PARZEN_NATS)
        assert same_bits(values, stream.log_likelihood(count))
        assert (np.asarray(stream.bound(count)) <= 1e-6).all()


def test_the_curve_changes_no_bit_and_depends_on_no_batch(queries, drawn, strategy):
    counts = [10, 40, 100, 200]
    plain = streamed(queries, [drawn], strategy=strategy)
    whole = streamed(queries, [drawn], counts=counts, strategy=strategy)
    parts = streamed(queries, cut(drawn, [3] * 60), counts=counts, strategy=strategy)
    assert same_bits(whole.log_likelihood(), plain.log_likelihood())
    for count in counts:
        assert same_bits(whole.log_likelihood(count), parts.log_likelihood(count))


def test_a_near_sample_that_comes_later_does_not_spoil_an_early_count(uniform, strategy):
    """The first ten samples are far from the query; the block's last lies on it."""
    drawn = 5.0 + uniform(BLOCK, 12, 1)
    query = torch.zeros(1, 12)
    drawn[-1] = 0.0
    expected = parzen_log_likelihood(query, drawn[:10], 0.3)
    found = streamed(query, [drawn], counts=[10], strategy=strategy).log_likelihood(10)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=PARZEN_NATS)


def test_the_curve_so_far(queries, drawn):
    stream = streamed(queries, [drawn[:50]], counts=[10, 40, 100])
    assert list(stream.curve()) == [10, 40, 50]
    assert ParzenStream(queries, 0.3, counts=[10]).curve() == {}


# blocks on their own


def test_each_block_is_right_on_its_own(uniform, strategy):
    """Without the block of its nearest samples a query's sum is hundreds of nats smaller."""
    drawn = uniform(4 * BLOCK, 12, 1) + 3.0 * torch.arange(4).repeat_interleave(BLOCK)[:, None]
    queries = drawn[::BLOCK].double().float() + 0.01
    stream = streamed(queries, [drawn[:120]], [0.1, 0.3], each_block=True, strategy=strategy)
    sums, sizes = stream.block_log_sums()
    assert sizes.tolist() == [32, 32, 32, 24]
    for block, first in enumerate(range(0, 120, BLOCK)):
        rows = drawn[first : first + int(sizes[block])]
        squared = torch.cdist(queries.double(), rows.double()).square()
        for number, sigma in enumerate((0.1, 0.3)):
            expected = logsumexp(-squared.numpy() / (2 * sigma**2), axis=1)
            np.testing.assert_allclose(sums[block, number], expected, rtol=1e-12, atol=PARZEN_NATS)
    assert float(sums[3, 0, 0]) < -10_000


def test_sums_of_blocks_add_up(queries, drawn):
    stream = streamed(queries, [drawn], [0.3])
    sums, sizes = stream.block_log_sums()
    assert int(sizes.sum()) == N_SAMPLES
    total = logsumexp(sums.numpy(), axis=0) - math.log(N_SAMPLES)
    expected = stream.log_likelihood() + 12 * math.log(0.3 * math.sqrt(2 * math.pi))
    np.testing.assert_allclose(total, expected, rtol=1e-12)


# leave one out


def test_samples_without_themselves(drawn, brute_force, strategy):
    rows = drawn[:100]
    found = streamed(
        rows, cut(rows, [40, 11]), exclude_self=True, strategy=strategy
    ).log_likelihood()
    expected = [
        brute_force(rows[i : i + 1], torch.cat([rows[:i], rows[i + 1 :]]), 0.3)[0]
        for i in range(100)
    ]
    np.testing.assert_allclose(found, expected, rtol=0, atol=PARZEN_NATS)


def test_leaving_one_out_takes_the_queries_as_samples(drawn):
    rows = drawn[:100]
    stream = streamed(rows, [rows[:50]], exclude_self=True)
    with pytest.raises(
        ValueError, match=r"exclude_self: expected the 100 queries .* got 50 so far"
    ):
        stream.log_likelihood()
    with pytest.raises(ValueError, match="n_samples: expected at most 100 samples, got 101"):
        stream.update(drawn[:51])
    with pytest.raises(ValueError, match="exclude_self: expected neither each_block nor counts"):
        ParzenStream(rows, 0.3, exclude_self=True, counts=[5])
    with pytest.raises(ValueError, match="exclude_self: expected n_samples to be the 100 queries"):
        ParzenStream(rows, 0.3, exclude_self=True, n_samples=99)


# what is a stream


def test_what_counts_as_a_stream(drawn, tmp_path):
    np.save(tmp_path / "samples.npy", drawn.numpy())
    mapped = np.load(tmp_path / "samples.npy", mmap_mode="r")
    loader = torch.utils.data.DataLoader(drawn, batch_size=50)
    for stream in (mapped, mapped[3:9], np.asarray(mapped)[::2], iter([drawn]), loader):
        assert is_stream(stream)
    for other in (drawn, drawn.numpy(), drawn.tolist(), [drawn], (drawn,), 3, None, "ab", {}):
        assert not is_stream(other)


def test_batches_of_a_loader(queries, drawn):
    loader = torch.utils.data.DataLoader(drawn, batch_size=50)
    assert [len(batch) for batch in batches_of(loader, 10)] == [50, 50, 50, 50, 11]
    assert [len(batch) for batch in batches_of(drawn, 100)] == [100, 100, 11]
    found = parzen_log_likelihood_of_stream(queries, loader, 0.3)
    expected = parzen_log_likelihood_of_stream(queries, [drawn], 0.3)
    assert same_bits(found, expected)


# what is refused


def test_batches_that_do_not_fit(queries, drawn):
    stream = streamed(queries, [drawn[:40]], n_samples=50)
    broken = drawn[:5].clone()
    broken[3, 7] = math.nan
    for batch, error, sentence in (
        (broken, ValueError, "samples from number 40 on: .* got nan in row 3, column 7"),
        (drawn[:, :11], ValueError, "expected 11 features like samples from number 40"),
        (drawn[:0, :11], ValueError, "samples from number 40 on: expected at least 1 row"),
        (drawn[0], ValueError, "samples from number 40 on: expected 2 dimensions"),
        (drawn.double(), TypeError, "samples from number 40 on: expected dtype float32"),
        (drawn.numpy(), TypeError, "samples from number 40 on: expected a torch.Tensor like"),
        ([1.0], TypeError, "samples from number 40 on: .* got list"),
        (drawn[:11], ValueError, "n_samples: expected at most 50 samples, got 51"),
    ):
        with pytest.raises(error, match=sentence):
            stream.update(batch)
        assert stream.n_samples == 40
    stream.update(drawn[40:50])
    expected = streamed(queries, [drawn[:50]], n_samples=50).log_likelihood()
    assert same_bits(stream.log_likelihood(), expected)


def test_no_sample_has_no_likelihood(queries):
    with pytest.raises(ValueError, match="samples: expected at least 1 sample, got none"):
        parzen_log_likelihood_of_stream(queries, iter([]), 0.3)
    with pytest.raises(ValueError, match="samples: expected at least 1 sample, got none"):
        parzen_log_likelihood_of_stream(queries, queries[:0], 0.3)
    with pytest.raises(TypeError, match="samples: expected an array of rows, a tensor or an iter"):
        parzen_log_likelihood_of_stream(queries, 3, 0.3)


def test_counts_that_are_not_kept(queries, drawn):
    stream = streamed(queries, [drawn[:50]], counts=[10, 100])
    for count in (11, 100):
        with pytest.raises(ValueError, match=f"n_samples: expected 50 or one of .* got {count}"):
            stream.log_likelihood(count)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"tolerance": -1.0}, ValueError, "tolerance: expected a number of nats"),
        ({"block_size": 0}, ValueError, "block_size: expected an integer of at least 1, got 0"),
        ({"n_samples": 0}, ValueError, "n_samples: expected an integer of at least 1, got 0"),
        ({"counts": [0]}, ValueError, "counts: expected an integer of at least 1, got 0"),
        ({"counts": [60], "n_samples": 50}, ValueError, "counts: expected .* from 1 to 50, got 60"),
        ({"sigma": -0.1}, ValueError, "sigma: expected positive finite"),
        ({"strategy": "fast"}, ValueError, "strategy: "),
        ({"impl": "fast"}, ValueError, "impl: "),
    ],
)
def test_options_that_are_refused(queries, options, error, sentence):
    with pytest.raises(error, match=sentence):
        ParzenStream(queries, **{"sigma": 0.3, **options})


@pytest.mark.parametrize(
    ("rows", "error", "sentence"),
    [
        ([[0.0]], TypeError, "queries: expected a NumPy array or a torch.Tensor, got list"),
        (np.zeros((2, 3), dtype=int), TypeError, "queries: expected dtype uint8, float32"),
        (np.zeros(3), ValueError, "queries: expected 2 dimensions"),
        (np.array([[math.inf]]), ValueError, "queries: expected finite numbers, got inf"),
    ],
)
def test_queries_that_are_refused(rows, error, sentence):
    with pytest.raises(error, match=sentence):
        ParzenStream(rows, 0.3)


def test_the_module_is_documented_by_a_true_example():
    import doctest

    assert doctest.testmod(parzen_stream) == (0, 4)
