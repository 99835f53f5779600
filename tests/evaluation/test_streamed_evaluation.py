"""More samples than the protocol prescribes: one pass, two choices of sigma, and a curve."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from streaming import N_EVALUATED as N_SAMPLES
from streaming import PARZEN_NATS, Model, without_seconds

from fastgan import report_score, samples, streamed_evaluation
from fastgan.data import Dataset
from fastgan.evaluation import choose_sigma, evaluate, evaluate_folds
from fastgan.scores import Evaluation
from fastgan.streamed_evaluation import contenders, powers_of_ten


def log_likelihoods(queries, centres, sigma, left_out=slice(0, 0)):
    """log p of each query by differences in float64, without some centres."""
    exponents = -squared_distances(queries, centres).numpy() / (2 * sigma**2)
    exponents = np.delete(exponents, left_out, axis=1)
    normaliser = math.log(exponents.shape[1])
    normaliser += queries.shape[1] * math.log(sigma * math.sqrt(2 * math.pi))
    return logsumexp(exponents, axis=1) - normaliser


def squared_distances(queries, centres):
    rows = (queries.double(), centres.double())
    return torch.cdist(*rows, compute_mode="donot_use_mm_for_euclid_dist").square()


def jackknife_by_hand(queries, centres, sigma, size):
    """The error of Busing et al. 1999 for blocks of a size, the last one perhaps a short one."""
    n = len(centres)
    blocks = [slice(start, min(start + size, n)) for start in range(0, n, size)]
    whole = log_likelihoods(queries, centres, sigma).mean()
    left = np.array([log_likelihoods(queries, centres, sigma, block).mean() for block in blocks])
    ratio = n / np.array([block.stop - block.start for block in blocks])
    pseudo = ratio * whole - (ratio - 1) * left
    centre = len(blocks) * whole - ((1 - 1 / ratio) * left).sum()
    return math.sqrt(np.mean((pseudo - centre) ** 2 / (ratio - 1))), len(blocks)


# the numbers


def test_the_score_at_all_samples_is_that_of_brute_force(small, many):
    found = evaluate(many, small)
    assert found.n_samples == N_SAMPLES
    assert (found.n_test, found.n_validation) == (41, 30)
    for sigma, mean in zip(found.sigmas, found.validation_means, strict=True):
        expected = log_likelihoods(small.validation, many, sigma).mean()
        assert mean == pytest.approx(expected, abs=PARZEN_NATS)
    values = log_likelihoods(small.test, many, found.sigma)
    assert found.mean == pytest.approx(values.mean(), abs=PARZEN_NATS)
    assert found.standard_error == pytest.approx(values.std() / math.sqrt(41), abs=PARZEN_NATS)
    assert 0 <= found.dropped_nats <= 1e-6
    assert found.sample_range == (float(many.min()), float(many.max()))


def test_sigma_is_chosen_at_ten_thousand_and_again(small, many):
    found = evaluate(many, small)
    published = evaluate(many[:10_000], small)
    assert found.protocol_sigma == published.sigma
    assert found.sigma == choose_sigma(small.validation, many, small.sigma_grid).sigma
    assert published.protocol_sigma is None
    assert published.curve_n_samples == ()


def test_two_choices_that_differ(small, uniform):
    """The first 10,000 samples are far from the validation images, the others lie on them."""
    near = small.validation.repeat(100, 1) + 0.05 * uniform(3000, 5, 9)
    found = evaluate(torch.cat([uniform(10_000, 5, 8) + 0.7, near]), small)
    assert found.sigma < found.protocol_sigma
    assert found.mean != found.curve_means[-1]
    rows = torch.cat([uniform(10_000, 5, 8) + 0.7, near])
    for sigma, mean in ((found.sigma, found.mean), (found.protocol_sigma, found.curve_means[-1])):
        expected = log_likelihoods(small.test, rows, sigma).mean()
        assert mean == pytest.approx(expected, abs=PARZEN_NATS)


def test_the_curve_is_at_the_published_sigma(small, many):
    found = evaluate(many, small)
    assert found.curve_n_samples == (1_000, 10_000, N_SAMPLES)
    for count, mean, error in zip(
        found.curve_n_samples, found.curve_means, found.curve_standard_errors, strict=True
    ):
        values = log_likelihoods(small.test, many[:count], found.protocol_sigma)
        assert mean == pytest.approx(values.mean(), abs=PARZEN_NATS)
        assert error == pytest.approx(values.std() / math.sqrt(41), abs=PARZEN_NATS)


def test_the_published_score_keeps_its_bits(small, many):
    published = evaluate(many[:10_000], small)
    found = evaluate(many, small)
    assert found.curve_means[1] == published.mean
    assert found.curve_standard_errors[1] == published.standard_error


def test_a_power_of_ten_within_a_block_and_at_the_end(uniform):
    low = Dataset("low", *(uniform(n, 2, n) for n in (10, 10, 12)), image_shape=(1, 2, 1))
    rows = uniform(101_234, 2, 0)
    found = evaluate(rows, low, sigmas=[0.02, 0.05])
    assert found.curve_n_samples == (1_000, 10_000, 100_000, 101_234)
    expected = log_likelihoods(low.test, rows[:100_000], found.protocol_sigma).mean()
    assert found.curve_means[2] == pytest.approx(expected, abs=PARZEN_NATS)
    whole = evaluate(rows[:100_000], low, sigmas=[0.02, 0.05])
    assert whole.curve_n_samples == (1_000, 10_000, 100_000)
    assert whole.curve_means[2] == pytest.approx(found.curve_means[2], abs=1e-6)
    assert powers_of_ten(10_000_000) == [10**k for k in range(3, 8)]


# the error over model samples


@pytest.mark.parametrize(("n_blocks", "block_size"), [(30, 50_000), (7, 50_000), (7, 1_000)])
def test_jackknife_equals_leaving_blocks_out_by_hand(
    small, many, monkeypatch, n_blocks, block_size
):
    monkeypatch.setattr(streamed_evaluation, "BLOCK_SIZE", block_size)
    found = evaluate(many, small, sigmas=[0.05], n_blocks=n_blocks)
    size = min(block_size, math.ceil(N_SAMPLES / n_blocks))
    size *= math.ceil(math.ceil(N_SAMPLES / size) / n_blocks)
    expected, n_left_out = jackknife_by_hand(small.test, many, 0.05, size)
    assert found.n_blocks == n_left_out <= n_blocks
    assert found.sample_standard_error == pytest.approx(expected, rel=1e-3)
    assert found.protocol_sample_standard_error == found.sample_standard_error


def test_a_block_that_holds_nearly_all_is_left_out_rightly(small, many):
    """The last block alone is near: without it every sum is thousands of nats smaller."""
    far = many[:12_000] + 40.0
    rows = torch.cat([far, small.test.repeat(5, 1)])
    found = evaluate(rows, small, sigmas=[0.5], n_blocks=20)
    expected, _ = jackknife_by_hand(small.test, rows, 0.5, math.ceil(len(rows) / 20))
    assert expected > 1_000
    assert found.sample_standard_error == pytest.approx(expected, rel=1e-6)


# which sigmas may win


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    scale=st.floats(0.02, 2.0),
    n_first=st.integers(1, 40),
    n_more=st.integers(0, 400),
)
def test_the_winner_is_among_the_contenders(seed, scale, n_first, n_more):
    rng = np.random.default_rng(seed)
    grid = np.logspace(-2, 1, 12).tolist()
    validation = rng.random((7, 3))
    first, more = scale * rng.random((n_first, 3)), rng.random((n_more, 3))
    at_first = choose_sigma(validation, first, grid)
    found = contenders(at_first, n_first, n_first + n_more, 3)
    winner = choose_sigma(validation, np.concatenate([first, more]), grid).sigma
    assert winner in found
    assert at_first.sigma in found
    assert set(found) <= set(at_first.sigmas)


def test_wide_sigmas_are_left_out(uniform):
    image = uniform(1, 784, 0)
    choice = choose_sigma(image.repeat(5, 1), image.repeat(20, 1), [0.1, 0.2, 0.4, 1.0])
    assert choice.sigma == 0.1
    assert contenders(choice, 10_000, 10_000_000, 784) == (0.1,)


def test_an_end_of_the_whole_grid_is_told(small, many):
    found = evaluate(many, small, sigmas=[0.15, 0.3, 1000.0])
    assert 1000.0 not in found.sigmas
    assert found.sigma == 0.15
    assert found.at_edge
    inside = evaluate(many, small, sigmas=[0.001, 0.15, 0.3])
    assert inside.sigma == 0.15
    assert not inside.at_edge


# where samples come from


def test_a_generator_is_drawn_as_it_goes(small, many, monkeypatch):
    expected = evaluate(many, small, seed=3)
    model = Model(many)
    monkeypatch.setattr(samples, "DRAWN_AT_ONCE", 700)
    found = evaluate(model, small, n_samples=N_SAMPLES, seed=3)
    assert without_seconds(found) == without_seconds(expected)
    firsts = [first for first, n_rows, _ in model.asked if n_rows < 10_000]
    assert max(n_rows for _, n_rows, _ in model.asked) == 10_000
    assert firsts[1:] == sorted(set(firsts[1:]))
    assert {seed for *_, seed in model.asked} == {3}
    assert sum(n_rows for _, n_rows, _ in model.asked) == N_SAMPLES + 10_000 + 1


def test_a_function_that_takes_no_first_row_draws_at_once(small, many):
    calls = []

    def model(n_samples, seed):
        calls.append(n_samples)
        return many[:n_samples]

    found = evaluate(model, small, n_samples=N_SAMPLES)
    assert calls == [N_SAMPLES]
    assert without_seconds(found) == without_seconds(evaluate(many, small))


def test_numpy_and_memory_mapped_samples(small, many, tmp_path):
    np.save(tmp_path / "samples.npy", many.numpy())
    expected = evaluate(many, small)
    mapped = np.load(tmp_path / "samples.npy", mmap_mode="r")
    assert without_seconds(evaluate(mapped, small)) == without_seconds(expected)
    half = evaluate(many.half(), small)
    assert half.mean == evaluate(many.half().float(), small).mean


def test_folds_of_many_samples(small, many):
    found = evaluate_folds(Model(many), [small, small], n_samples=N_SAMPLES)
    expected = evaluate(many, small)
    assert found.mean == pytest.approx(expected.mean, abs=2 * PARZEN_NATS)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda rows: rows[:-1], "model: expected .* samples, it drew"),
        (lambda rows: torch.cat([rows, rows], 1)[:, :7], "expected 5 columns as in the first"),
        (lambda rows: rows[0], "samples drawn from the model: expected 2 dimensions"),
        (lambda rows: rows * math.nan, "samples drawn from the model: expected finite numbers"),
    ],
)
def test_a_generator_that_goes_wrong_later(small, many, wrong, sentence):
    class Broken(Model):
        def sample(self, n_samples, seed, *, first_row=0):
            rows = super().sample(n_samples, seed, first_row=first_row)
            return rows if first_row + n_samples <= 10_000 else wrong(rows)

    with pytest.raises(ValueError, match=sentence):
        evaluate(Broken(many), small, n_samples=N_SAMPLES)


def test_a_number_that_is_not_finite_is_pointed_at(small, many):
    broken = many.clone()
    broken[12_001, 3] = math.nan
    with pytest.raises(ValueError, match=r"samples: expected finite .* in row 12001, column 3"):
        evaluate(broken, small)


def test_progress_goes_to_the_end_once(small, many):
    seen = []
    evaluate(many, small, progress=lambda done, total: seen.append((done, total)))
    done = [step[0] for step in seen]
    assert done == sorted(set(done))
    assert seen[-1] == (N_SAMPLES, N_SAMPLES)


# written and read


def test_json_keeps_every_bit(small, many):
    found = evaluate(many, small)
    again = Evaluation.from_json(found.to_json())
    assert again == found
    assert all(isinstance(count, int) for count in again.curve_n_samples)


def test_an_evaluation_written_before_there_were_curves_is_read(small, many):
    found = evaluate(many[:500], small)
    values = json.loads(found.to_json())
    for name in (
        "dropped_nats",
        "protocol_sigma",
        "protocol_sample_standard_error",
        "curve_n_samples",
        "curve_means",
        "curve_standard_errors",
    ):
        del values[name]
    assert Evaluation.from_json(json.dumps(values)) == found


def test_the_published_count_comes_first_among_the_scores(small, many):
    published, whole = evaluate(many, small).scores
    alone = evaluate(many[:10_000], small)
    assert (published.n_samples, whole.n_samples) == (10_000, N_SAMPLES)
    assert published[:4] == alone.scores[0][:4]
    assert len(alone.scores) == 1
    assert alone.scores[0].sample_standard_error == alone.sample_standard_error


def test_a_report_shows_both_counts(small, many):
    mnist = dataclasses.replace(small, comparable_to="MNIST")
    text = report_score.results_table(evaluate(many, mnist), "tiny")
    assert text.count('class="ours"') == 2
    assert ">10,000 samples" in text
    assert ">12,345 samples" in text


def test_counts_that_cannot_be_compared_are_told(small, many):
    mnist = dataclasses.replace(small, comparable_to="MNIST")
    told = evaluate(many, mnist).warnings()
    assert any("10,000 samples, this score on 12,345" in text for text in told)
