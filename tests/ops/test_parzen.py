"""Parzen log-likelihoods: right to float64 on the inputs as given, whatever the engine does."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgan import _core, ops
from fastgan.data import load_dataset
from fastgan.reference.parzen import parzen_log_sums as reference_log_sums

DTYPES = [np.uint8, np.float32, np.float64]
SIGMAS = (0.05, 0.2, 1.0, 10.0)


def brute_force(queries, samples, sigmas):
    """Float64, by differences, on the inputs as given: (n_sigmas, n_queries)."""
    q, s = torch.from_numpy(np.array(queries)), torch.from_numpy(np.array(samples))
    sigmas = torch.tensor(sigmas, dtype=torch.float64)
    log_sums = reference_log_sums(q, s, sigmas, len(s))[0]
    normaliser = math.log(len(s)) + q.shape[1] * torch.log(sigmas * math.sqrt(2 * math.pi))
    return (log_sums - normaliser[:, None]).numpy()


def assert_within_contract(values, expected):
    allowed = np.maximum(1e-4, 1e-12 * np.abs(expected))
    error = np.abs(values - expected)
    assert (error <= allowed).all(), f"error {(error / allowed).max():.3g} of what is allowed"


def images(generator, n, n_features, dtype):
    """Points near a few prototypes, as images are: some close, most far."""
    prototypes = generator.random((5, n_features))
    points = prototypes[generator.integers(0, 5, n)] + 0.1 * generator.standard_normal(
        (n, n_features)
    )
    if dtype is np.uint8:
        return (255 * points.clip(0, 1)).astype(np.uint8)
    return points.clip(0, 1).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_features", [1, 2, 3, 7, 15, 16, 17, 63, 64, 65, 784, 3072])
@pytest.mark.parametrize("precision", ["auto", "float32", "float64"])
def test_equals_brute_force(simd_level, dtype, n_features, precision):
    generator = np.random.default_rng(n_features)
    n_samples = 40 if n_features > 1000 else 230
    queries = images(generator, 13, n_features, dtype)
    samples = images(generator, n_samples, n_features, dtype)
    sigmas = [255 * s if dtype is np.uint8 else s for s in SIGMAS]
    for translation in (0, 1000) if dtype is not np.uint8 else (0,):
        q, s = queries + dtype(translation), samples + dtype(translation)
        out = np.full((1, len(sigmas), len(q)), np.nan)
        used = _core.parzen_log_sums(q, s, np.array(sigmas), 10**6, None, precision, 2, out)
        assert precision in ("auto", used)
        normaliser = math.log(len(s)) + n_features * np.log(
            np.array(sigmas) * math.sqrt(2 * math.pi)
        )
        assert_within_contract(out[0] - normaliser[:, None], brute_force(q, s, sigmas))


@pytest.mark.parametrize("n_samples", [1, 2, 3, 15, 16, 17, 31, 33, 1000])
@pytest.mark.parametrize("n_queries", [0, 1, 3, 7, 12, 13, 25])
def test_odd_sizes(simd_level, n_queries, n_samples):
    generator = np.random.default_rng(n_samples)
    queries = generator.random((n_queries, 9), np.float32)
    samples = generator.random((n_samples, 9), np.float32)
    values = ops.parzen_log_likelihood(queries, samples, SIGMAS)
    assert values.shape == (4, n_queries)
    assert values.dtype == np.float64
    assert_within_contract(values, brute_force(queries, samples, SIGMAS))


@pytest.mark.data
@pytest.mark.parametrize("form", ["uint8", "float32", "float64"])
def test_real_mnist(data_folder, simd_level, form):
    mnist = load_dataset("mnist", folder=data_folder)
    queries, samples = mnist.test[:20].numpy(), mnist.train[:3000].numpy()
    sigmas = np.logspace(-1, 0, 10)
    if form == "uint8":
        queries, samples = ((255 * x).round().astype(np.uint8) for x in (queries, samples))
        sigmas = 255 * sigmas
    queries, samples = queries.astype(form), samples.astype(form)
    values = ops.parzen_log_likelihood(queries, samples, sigmas)
    assert_within_contract(values, brute_force(queries, samples, sigmas))


def test_outliers_and_extreme_magnitudes(simd_level):
    generator = np.random.default_rng(0)
    samples = generator.standard_normal((300, 20))
    queries = generator.standard_normal((9, 20))
    samples[7] *= 1e9
    queries[3] *= 1e12
    queries[4] *= 1e25
    for scale in (1.0, 1e-30, 1e30, 1e120, 1e-120):
        sigmas = [0.3 * scale, scale]
        values = ops.parzen_log_likelihood(queries * scale, samples * scale, sigmas)
        assert_within_contract(values, brute_force(queries * scale, samples * scale, sigmas))


def test_a_distance_past_float64_is_minus_infinity():
    values = ops.parzen_log_likelihood(np.full((1, 3), 1e200), np.zeros((2, 3)), 1.0)
    assert values[0] == -np.inf


@pytest.mark.parametrize("strategy", ["dense", "pruned"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmas_far_below_the_distances(simd_level, dtype, strategy):
    """Rounding a distance in its last bit is many nats; sums stay right to their own last bits.

    One pass serves them and a wide sigma, whose sum is all but exact.
    """
    generator = np.random.default_rng(7)
    samples, queries = generator.random((300, 70)).astype(dtype), generator.random((9, 70))
    sigmas = [1e-150, 1e-20, 1e-9, 1e-6, 1e-5, 1e-4, 1e-3, 0.3]
    values = ops.parzen_log_likelihood(queries.astype(dtype), samples, sigmas, strategy=strategy)
    assert_within_contract(values, brute_force(queries.astype(dtype), samples, sigmas))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 40),
    st.integers(1, 90),
    st.integers(1, 50),
    st.floats(-6, 6),
    st.floats(-2, 3),
    st.floats(-3, 3),
    st.sampled_from([np.float32, np.float64]),
)
def test_any_scale_and_spread(
    seed, n_queries, n_samples, d, log_scale, log_offset, log_sigma, dtype
):
    generator = np.random.default_rng(seed)
    scale = 10.0**log_scale
    shift = scale * 10.0**log_offset
    queries = (scale * generator.standard_normal((n_queries, d)) + shift).astype(dtype)
    samples = (scale * generator.standard_normal((n_samples, d)) + shift).astype(dtype)
    sigma = [scale * 10.0**log_sigma]
    values = ops.parzen_log_likelihood(queries, samples, sigma)
    assert_within_contract(values, brute_force(queries, samples, sigma))


def test_same_bits_for_any_chunks_and_threads(simd_level):
    generator = np.random.default_rng(1)
    queries = images(generator, 150, 50, np.float32)
    samples = images(generator, 3000, 50, np.float32)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    expected = ops.parzen_log_sums(queries, samples, SIGMAS, block_size=700)
    assert expected.shape == (5, 4, 150)
    try:
        for n_threads in (1, 2, 3):
            torch.set_num_threads(n_threads)
            for chunk in (1, 7, 64, 150):
                parts = [
                    ops.parzen_log_sums(queries[i : i + chunk], samples, SIGMAS, block_size=700)
                    for i in range(0, 150, chunk)
                ]
                np.testing.assert_array_equal(np.concatenate(parts, 2), expected)
    finally:
        torch.set_num_threads(before)


def test_same_bits_for_any_chunks_past_one_block():
    """More samples than a block: the merge must not know which queries come together either."""
    generator = np.random.default_rng(6)
    queries = images(generator, 11, 3, np.float32)
    samples = images(generator, 140_000, 3, np.float32)
    expected = ops.parzen_log_likelihood(queries, samples, [0.01, 0.2])
    for chunk in (1, 3, 8):
        parts = [
            ops.parzen_log_likelihood(queries[i : i + chunk], samples, [0.01, 0.2])
            for i in range(0, 11, chunk)
        ]
        np.testing.assert_array_equal(np.concatenate(parts, 1), expected)
    assert_within_contract(expected, brute_force(queries, samples, [0.01, 0.2]))


def test_blocks_add_up():
    generator = np.random.default_rng(2)
    queries = images(generator, 20, 30, np.float64)
    samples = images(generator, 1000, 30, np.float64)
    blocks = ops.parzen_log_sums(queries, samples, SIGMAS, block_size=300)
    whole = ops.parzen_log_sums(queries, samples, SIGMAS)
    assert blocks.shape == (4, 4, 20)
    np.testing.assert_allclose(
        np.logaddexp.reduce(blocks, 0), whole[0], rtol=0, atol=2.5e-5
    )  # two sums, each within the 1e-5 nats that rounding may take, and float32's exponentials
    np.testing.assert_array_equal(
        blocks[3], ops.parzen_log_sums(queries, samples, SIGMAS, block_size=300)[3]
    )


def test_is_a_density():
    """One centre is a Gaussian; the normaliser has sigma outside the square root."""
    x = np.random.default_rng(3).standard_normal((6, 784))
    values = ops.parzen_log_likelihood(x, np.zeros((1, 784)), 0.1668)
    expected = scipy.stats.multivariate_normal(np.zeros(784), 0.1668**2).logpdf(x)
    np.testing.assert_allclose(values, expected, rtol=1e-12)
    wrong = expected + 784 * (math.log(0.1668) - 0.5 * math.log(0.1668))
    assert expected[0] - wrong[0] == pytest.approx(702, abs=0.5)


def test_kinds_of_arrays():
    generator = np.random.default_rng(4)
    queries, samples = generator.random((5, 6)), generator.random((70, 6))
    expected = ops.parzen_log_likelihood(queries, samples, 0.3)
    assert isinstance(expected, np.ndarray)
    as_tensor = ops.parzen_log_likelihood(torch.tensor(queries), torch.tensor(samples), 0.3)
    assert isinstance(as_tensor, torch.Tensor)
    np.testing.assert_array_equal(as_tensor.numpy(), expected)
    strided = np.repeat(samples, 2, 0)[::2]
    transposed = np.ascontiguousarray(queries.T).T
    np.testing.assert_array_equal(ops.parzen_log_likelihood(transposed, strided, 0.3), expected)
    queries.flags.writeable = False
    samples.flags.writeable = False
    np.testing.assert_array_equal(ops.parzen_log_likelihood(queries, samples, 0.3), expected)
    assert ops.parzen_log_likelihood(queries, samples, [0.3]).shape == (1, 5)
    assert ops.parzen_log_likelihood(queries, samples, np.float32(0.5)).shape == (5,)
    assert ops.parzen_log_likelihood(queries, samples, torch.tensor([0.3, 0.5])).shape == (2, 5)


def test_bound_and_implementations():
    generator = np.random.default_rng(5)
    queries, samples = generator.random((5, 6)), generator.random((70, 6))
    values, bound = ops.parzen_log_likelihood(queries, samples, [0.2, 2.0], return_bound=True)
    assert values.shape == bound.shape == (2, 5)
    assert (bound == 0).all()  # the dense engine leaves nothing out
    plain = ops.parzen_log_likelihood(queries, samples, [0.2, 2.0], impl="reference")
    np.testing.assert_allclose(values, plain, rtol=0, atol=1e-4)


def test_opcheck():
    queries, samples = torch.rand(5, 6), torch.rand(70, 6)
    sigmas = torch.tensor([0.2, 2.0], dtype=torch.float64)
    for strategy in ("dense", "pruned"):
        torch.library.opcheck(
            torch.ops.fastgan.parzen_log_sums,
            (queries, samples, sigmas, 32, 1e-6, False, strategy, "auto"),
        )
    torch.library.opcheck(torch.ops.fastgan.parzen_merge, (torch.rand(3, 2, 5).double(),))


GOOD = np.zeros((3, 4))


@pytest.mark.parametrize(
    ("queries", "samples", "sigma", "error", "sentence"),
    [
        (np.zeros(4), GOOD, 1, ValueError, r"queries: expected 2 dimensions .*got shape \(4,\)"),
        (GOOD, np.zeros((3, 4, 5)), 1, ValueError,
         r"samples: expected 2 dimensions \(n_samples, n_features\), got shape \(3, 4, 5\)"),
        (GOOD, np.zeros((3, 5)), 1, ValueError,
         r"queries: expected 5 features like samples, got shape \(3, 4\)"),
        (GOOD, np.zeros((0, 4)), 1, ValueError, "samples: expected at least 1 row and 1 feature"),
        (np.zeros((3, 0)), np.zeros((3, 0)), 1, ValueError, "samples: expected at least 1 row"),
        (np.array([[0, np.nan, 0, 0.0]]), GOOD, 1, ValueError,
         "queries: expected finite numbers, got nan in row 0, column 1"),
        (GOOD, np.array([[0, 0, 0, 0], [0, 0, -np.inf, 0]]), 1, ValueError,
         "samples: expected finite numbers, got -inf in row 1, column 2"),
        (GOOD, GOOD, 0.0, ValueError, "sigma: expected positive finite numbers .*got 0.0"),
        (GOOD, GOOD, -1, ValueError, "sigma: expected positive finite numbers .*got -1.0"),
        (GOOD, GOOD, math.nan, ValueError, "sigma: expected positive finite numbers .*got nan"),
        (GOOD, GOOD, [1, math.inf], ValueError, "sigma: expected positive finite .*got inf"),
        (GOOD, GOOD, [], ValueError, r"sigma: expected .* at least one, got shape \(0,\)"),
        (GOOD, GOOD, [[1.0]], ValueError, r"sigma: expected .* got shape \(1, 1\)"),
        (GOOD, GOOD, "wide", TypeError, "sigma: expected a number or a sequence .*got 'wide'"),
        (GOOD.astype(complex), GOOD, 1, TypeError,
         "queries: expected dtype uint8, float32 or float64, got complex128"),
        (GOOD, GOOD.astype(np.float32), 1, TypeError,
         "samples: expected dtype float64 like queries, got float32"),
        (GOOD, GOOD.astype(int), 1, TypeError, "samples: expected dtype uint8, .*got int64"),
        (GOOD, torch.zeros(3, 4).double(), 1, TypeError,
         "samples: expected a NumPy array like queries, got a torch.Tensor"),
        (GOOD.tolist(), GOOD, 1, TypeError, "queries: expected a NumPy array or .*got list"),
        (torch.zeros(3, 4, requires_grad=True), torch.zeros(3, 4), 1, ValueError,
         "queries: expected a tensor without gradient"),
    ],
)  # fmt: skip
def test_bad_input(queries, samples, sigma, error, sentence):
    with pytest.raises(error, match=sentence):
        ops.parzen_log_likelihood(queries, samples, sigma)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"tolerance": -1}, ValueError, "tolerance: expected .* at least 0, got -1"),
        ({"tolerance": "low"}, TypeError, "tolerance: expected a number, got 'low'"),
        ({"strategy": "fast"}, ValueError, "strategy: expected one of auto, pruned, dense"),
        ({"strategy": "pruned", "impl": "reference"}, ValueError,
         "strategy: 'pruned' needs impl 'native', but 'reference' runs here"),
        ({"strategy": "pruned", "tolerance": 0}, ValueError,
         "tolerance: 0 asks for the dense sum, but strategy is 'pruned'"),
        ({"impl": "cuda"}, ValueError, "impl: expected one of auto, reference, native, triton"),
    ],
)  # fmt: skip
def test_bad_options(options, error, sentence):
    with pytest.raises(error, match=sentence):
        ops.parzen_log_likelihood(GOOD, GOOD, 1.0, **options)


def test_bad_block_size():
    with pytest.raises(ValueError, match="block_size: expected an integer of at least 1, got 0"):
        ops.parzen_log_sums(GOOD, GOOD, [1.0], block_size=0)
    with pytest.raises(TypeError, match=r"sigmas: expected a sequence of numbers, got 1\.0"):
        ops.parzen_log_sums(GOOD, GOOD, 1.0)
