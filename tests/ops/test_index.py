"""The sketches bound every distance from below, closely; the engine is chosen by the rows alone."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from point_families import RUNS, Run, cases, clustered, duplicated, line, low_rank, uniform

from fastgan import _core, ops
from fastgan.data import load_dataset
from fastgan.ops.index import Index, choose
from fastgan.ops.parzen_sums import ParzenSums


def lower_bounds(queries, data, frame=None):
    """The coarse and the fine lower bounds of all distances."""
    frame = _core.Frame(data, 2) if frame is None else frame
    asking = _core.Sketch(frame, queries, "queries", 2)
    asked = _core.Sketch(frame, data, "samples", 2)
    coarse, fine = (np.full((len(queries), len(data)), np.nan) for _ in range(2))
    _core.index_lower_bounds(asking, asked, coarse, fine)
    assert not np.isnan(coarse).any()
    assert not np.isnan(fine).any()
    return coarse, fine


def true_distances(queries, data):
    """With 64 bits of mantissa and 15 of exponent where the platform has them."""
    wide = queries.astype(np.longdouble)
    rows = data.astype(np.longdouble)
    return np.sqrt(np.stack([((x - rows) ** 2).sum(1) for x in wide]))


@settings(max_examples=120, deadline=None)
@given(cases(most_rows=257), RUNS)
def test_bounds_are_never_above_the_true_distance(case, run):
    with run():
        coarse, fine = lower_bounds(case.queries, case.data)
    true = true_distances(case.queries, case.data) * (1 + 1e-12)
    assert (coarse <= true).all()
    assert (fine <= true).all()


@pytest.mark.parametrize("n_features", [3, 64, 300])
@pytest.mark.parametrize("shape", [line, low_rank])
def test_bounds_are_close_in_a_subspace(simd_level, shape, n_features):
    generator = np.random.default_rng(n_features)
    data = shape(generator, 200, n_features)
    weights = generator.random((60, 1))
    queries = weights * data[:60] + (1 - weights) * data[60:120]
    coarse, fine = lower_bounds(queries, data)
    true = true_distances(queries, data)
    assert (coarse <= true * (1 + 1e-12)).all()
    assert (fine <= true * (1 + 1e-12)).all()
    assert (true - coarse).max() < 0.2 * true.max()
    assert (true - fine).max() < 0.03 * true.max()


def test_radii_make_up_for_the_lattice(simd_level):
    """Pairs a few steps of the coarse lattice apart: it often puts them farther apart, and only the
    radii make up for that. The rows lie in the directions and one more, which is their tail.
    """
    generator = np.random.default_rng(0)
    basis = np.linalg.qr(generator.standard_normal((150, 64)))[0].T
    along = generator.uniform(-1, 1, (2_000, 64))
    along[:, 63] = 0.5 * generator.choice([-1, 1], 2_000)
    moves = generator.standard_normal((2_000, 64))
    moves *= generator.uniform(0.01, 0.05, (2_000, 1)) / np.linalg.norm(moves, axis=1)[:, None]
    data, queries = along @ basis, (along + moves) @ basis
    frame = _core.Frame(data, 2)
    slack, radii = [], []
    for rows in (slice(i, i + 50) for i in range(0, 2_000, 50)):
        coarse = lower_bounds(queries[rows], data[rows], frame)[0]
        slack.append(np.diag(true_distances(queries[rows], data[rows]) - coarse))
        radii.append(-np.diag(lower_bounds(data[rows], data[rows], frame)[0]))  # of both rows
    assert np.min(slack) >= 0
    assert (np.array(slack) < np.array(radii) / 2).any()  # half the radii would not do


def test_bounds_hold_at_the_centre():
    """A row at the centre has no length that its radius could grow with; its distances equal
    those of the sketches.
    """
    generator = np.random.default_rng(0)
    half = generator.standard_normal((300, 200))
    data = np.concatenate([half, -half])
    queries = np.concatenate([np.zeros((1, 200)), 1e-9 * half[:20], 1e-5 * half[:20]])
    coarse, fine = lower_bounds(queries, data)
    true = true_distances(queries, data) * (1 + 1e-12)
    assert (coarse <= true).all()
    assert (fine <= true).all()


def test_rows_that_lattices_clip():
    """Farther from the centre than any row that the frame was learned from, in all sizes."""
    generator = np.random.default_rng(1)
    data = generator.random((500, 100))
    queries = generator.standard_normal((90, 100)) * 10.0 ** np.arange(0, 18, 0.2)[:, None]
    queries[:30] += 1e4 * generator.standard_normal(100)
    for first, second in ((queries, data), (queries, queries)):
        coarse, fine = lower_bounds(first.astype(np.float32), second.astype(np.float32))
        true = true_distances(first.astype(np.float32), second.astype(np.float32)) * (1 + 1e-12)
        assert (coarse <= true).all()
        assert (fine <= true).all()


@pytest.mark.parametrize("rank", [1, 5, 30, 60])
def test_few_pairs_are_left_where_few_directions_hold_the_rows(rank):
    generator = np.random.default_rng(rank)
    basis = generator.standard_normal((rank, 150))
    rows = (generator.standard_normal((4_500, rank)) @ basis).astype(np.float32)
    shares = Index(torch.from_numpy(rows)).shares()
    assert 1 / len(rows) < shares.fine < 0.01  # each asking row meets itself and another
    assert shares.fine <= shares.coarse < 0.5


def test_engine_is_chosen_by_the_rows():
    generator = np.random.default_rng(2)
    noise = generator.standard_normal((6_000, 200)).astype(np.float32)
    structured = low_rank(generator, 6_000, 200).astype(np.float32)
    for rows, engine in ((noise, "dense"), (structured, "pruned")):
        for n_threads in (1, 2):
            with Run(n_threads=n_threads)():
                assert choose("test", "auto", Index(torch.from_numpy(rows))) == engine
    index = Index(torch.from_numpy(structured))
    assert choose("test", "auto", index, may_prune=False) == "dense"
    assert choose("test", "dense", index) == "dense"
    assert choose("test", "pruned", Index(torch.from_numpy(noise))) == "pruned"


def test_no_index_where_it_cannot_pay():
    generator = np.random.default_rng(3)
    few = low_rank(generator, 1_000, 200)
    short = low_rank(generator, 6_000, 20)
    for rows in (few, short):
        assert not Index(torch.from_numpy(rows)).prunes()


@pytest.mark.parametrize(
    ("sigma", "tolerance", "engine"),
    [(0.05, 1e-6, "pruned"), (50.0, 1e-6, "dense"), (0.05, 0.0, "dense")],
)
def test_parzen_engine_does_not_depend_on_the_queries(sigma, tolerance, engine):
    """A sigma as wide as the samples are spread leaves nothing to prune."""
    generator = np.random.default_rng(4)
    samples = torch.from_numpy(low_rank(generator, 5_000, 120)) / 4
    sigmas = torch.tensor([sigma / 2, sigma], dtype=torch.float64)
    far = samples[:3] + 1000
    near = samples[100:180] + 0.01
    for queries in (samples[:1], near, far, torch.cat([far, near])):
        sums = ParzenSums(queries, sigmas, tolerance=tolerance, n_samples=5_000)
        assert sums.strategy is None
        sums.add(samples, 0, 65_536)
        assert sums.strategy == engine


@pytest.mark.data
def test_real_images_are_pruned_and_noise_is_not(data_folder):
    mnist = load_dataset("mnist", folder=data_folder)
    rows = mnist.train[:8_192].contiguous()
    noise = torch.from_numpy(np.random.default_rng(5).random(tuple(rows.shape), np.float32))
    assert Index(rows).prunes()
    assert not Index(noise).prunes()
    sigmas = torch.tensor([0.2], dtype=torch.float64)
    for samples, engine in ((rows, "pruned"), (noise, "dense")):
        sums = ParzenSums(mnist.test[:5].contiguous(), sigmas, n_samples=len(samples))
        sums.add(samples, 0, 65_536)
        assert sums.strategy == engine


@pytest.mark.data
def test_bounds_on_real_images(data_folder):
    mnist = load_dataset("mnist", folder=data_folder)
    queries, data = mnist.test[:30].numpy(), mnist.train[:1_000].numpy()
    coarse, fine = lower_bounds(queries, data)
    true = true_distances(queries, data)
    assert (coarse <= true).all()
    assert (fine <= true).all()
    # They are not idle: typical distances are 10.
    assert np.median(true - coarse) < 3.0
    assert np.median(true - fine) < 1.0


def test_sketches_are_kept_or_not():
    rows = torch.from_numpy(clustered(np.random.default_rng(6), 200, 30))
    index = Index(rows)
    with Run(block_rows=64)():
        first = [sketch for _, sketch in index.blocks()]
        assert [sketch.n_rows for sketch in first] == [64, 64, 64, 8]
        assert all(a is b for a, (_, b) in zip(first, index.blocks(), strict=True))
        other = Index(rows, keep=False)
        assert next(other.blocks())[1] is not next(other.blocks())[1]
        assert index.block(slice(3, 67)) is not index.block(slice(3, 67))


@pytest.mark.parametrize("shape", [uniform, duplicated])
def test_answers_do_not_depend_on_the_frame(shape):
    """Only the work does: sketches in a frame of quite other rows."""
    generator = np.random.default_rng(7)
    rows = torch.from_numpy(shape(generator, 500, 40))
    queries = rows[::3] + 0.01
    expected = Index(rows).nearest(queries, 5, False)
    foreign = Index(rows)
    foreign._frame = _core.Frame(1e3 * generator.standard_normal((50, 40)) + 7, 1)
    for found, same in zip(foreign.nearest(queries, 5, False), expected, strict=True):
        np.testing.assert_array_equal(found, same)


def test_sketches_that_do_not_fit_are_refused():
    rows = np.random.default_rng(8).random((40, 6))
    frame, other = _core.Frame(rows, 1), _core.Frame(rows, 1)
    asking = _core.Sketch(frame, rows, "queries", 1)
    asked = _core.Sketch(frame, rows, "samples", 1)
    out = np.empty((40, 40))
    with pytest.raises(ValueError, match="queries, samples: expected a sketch of each role"):
        _core.index_lower_bounds(asked, asking, out, out)
    foreign = _core.Sketch(other, rows, "samples", 1)
    with pytest.raises(ValueError, match="queries, samples: expected sketches of one frame"):
        _core.index_lower_bounds(asking, foreign, out, out)
    single = _core.Sketch(frame, rows.astype(np.float32), "samples", 1)
    with pytest.raises(ValueError, match="queries, samples: expected one dtype"):
        _core.index_lower_bounds(asking, single, out, out)
    with pytest.raises(ValueError, match="coarse, fine: expected size 40, got 39"):
        _core.index_lower_bounds(asking, asked, out, np.empty((40, 39)))
    with pytest.raises(ValueError, match="role: expected queries or samples, got 'data'"):
        _core.Sketch(frame, rows, "data", 1)
    with pytest.raises(ValueError, match="points: expected size 6, got 5"):
        _core.Sketch(frame, np.zeros((2, 5)), "samples", 1)
    with pytest.raises(ValueError, match="points: expected at least one row and one feature"):
        _core.Frame(np.zeros((0, 5)), 1)
    with pytest.raises(ValueError, match="strategy: expected one of auto, pruned, dense"):
        ops.nearest_neighbors(rows, rows, strategy="index")
