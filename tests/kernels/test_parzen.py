"""Parzen sums by Triton: right to 1e-4 nats whatever the data, and however bad the products."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from point_families import cases

from fastgan import backends, ops

if not backends.has_triton():
    pytest.skip("triton is not installed", allow_module_level=True)

from distance_cases import SHIPPED, assert_within_contract, images, worst_products
from fastgan.kernels import distances, parzen
from fastgan.kernels.launch import forced

from fastgan.reference.parzen import parzen_log_sums as reference_log_sums

DTYPES = [torch.uint8, torch.float32, torch.float64]
SIGMAS = torch.tensor([0.05, 0.2, 1.0, 10.0], dtype=torch.float64)


def assert_right(queries, samples, sigmas, block_size=10**6, own_offset=None):
    """Against the reference; return how many (query, chunk) of how many were scored again."""
    n_scored = 0

    def count(*arguments):
        nonlocal n_scored
        n_scored += len(arguments[2])
        return score_chunks(*arguments)

    score_chunks = parzen.score_chunks
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parzen, "score_chunks", count)
        found = parzen.parzen_log_sums(queries, samples, sigmas, block_size, own_offset)
    expected = reference_log_sums(queries, samples, sigmas, block_size, own_offset)
    assert found.shape == expected.shape
    assert found.dtype == torch.float64
    assert_within_contract(found, expected)
    chunks = distances.Chunks(samples, block_size)
    return n_scored, len(queries) * chunks.n_chunks


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_features", [1, 2, 3, 17, 33, 784])
def test_equals_the_reference(dtype, n_features, device, poisoned_memory):
    generator = np.random.default_rng(n_features)
    points = images(generator, 213, n_features, dtype).to(device)
    sigmas = SIGMAS * (255 if dtype == torch.uint8 else 1)
    n_scored, n_pairs = assert_right(points[200:], points[:200], sigmas.to(device))
    assert n_scored <= n_pairs


def test_3072_features(device):
    points = images(np.random.default_rng(0), 45, 3072).to(device)
    assert_right(points[40:], points[:40], SIGMAS.to(device))


@pytest.mark.parametrize("n_samples", [1, 2, 31, 32, 33, 257])
@pytest.mark.parametrize("n_queries", [0, 1, 3, 33])
def test_odd_sizes(n_queries, n_samples, device):
    points = torch.from_numpy(np.random.default_rng(n_samples).random((300, 9))).to(device)
    assert_right(points[:n_queries], points[-n_samples:], SIGMAS[1:3].to(device))


@pytest.mark.parametrize(("block_size", "own_offset"), [(1, None), (33, 0), (64, -40), (100, 25)])
def test_blocks_and_ones_own(block_size, own_offset, device):
    """Sample q + own_offset is left out, also where a block holds no other."""
    n_samples = 7 if block_size == 1 else 170
    samples = torch.from_numpy(np.random.default_rng(0).random((n_samples, 5), np.float32))
    samples = samples.to(device)
    queries = samples.roll(-(own_offset or 0), 0)[: n_samples // 2].contiguous()
    assert_right(queries, samples, SIGMAS[:2].to(device), block_size, own_offset)


def test_a_block_of_ones_own_is_minus_infinity(device):
    one = torch.ones(1, 4, device=device)
    found = parzen.parzen_log_sums(one, one, SIGMAS.to(device), 10, 0)
    assert (found == -torch.inf).all()


@settings(max_examples=15, deadline=None)
@given(cases(most_rows=100), st.floats(-2, 2))
def test_families_of_points(case, log_width):
    """Any scale and translation of any family: sigmas from far below to far above distances."""
    queries, samples = torch.from_numpy(case.queries), torch.from_numpy(case.data)
    wide = samples.double()
    spread = float((wide - wide.mean(0)).abs().max()) or 1.0
    sigmas = torch.tensor([0.03, 1.0, 30.0], dtype=torch.float64) * spread * 10.0**log_width
    assert_right(queries, samples, sigmas.clamp(1e-150, 1e150), 64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sigmas_far_below_and_above_the_distances(dtype, device):
    points = torch.from_numpy(np.random.default_rng(7).random((105, 70))).to(device, dtype)
    sigmas = [1e-150, 1e-20, 1e-9, 1e-5, 1e-3, 0.3, 1e4, 1e150]
    sigmas = torch.tensor(sigmas, dtype=torch.float64, device=device)
    assert_right(points[100:], points[:100], sigmas)


@pytest.mark.parametrize("scale", [1e-310, 1e-120, 1e120])
def test_outliers_and_extreme_magnitudes(scale, device):
    generator = np.random.default_rng(0)
    points = torch.from_numpy(generator.standard_normal((105, 20))).to(device)
    points[7] *= 1e9
    points[101] *= 1e12
    points[102] *= 1e25
    points *= scale
    sigmas = torch.tensor([0.3, 1.0], dtype=torch.float64, device=device) * max(scale, 1e-150)
    assert_right(points[100:], points[:100], sigmas)


def test_a_distance_past_float64_is_minus_infinity(device):
    samples = torch.zeros(2, 3, dtype=torch.float64, device=device)
    samples[1] = 1e155
    queries = torch.full((1, 3), 1e200, dtype=torch.float64, device=device)
    assert (parzen.parzen_log_sums(queries, samples, SIGMAS.to(device), 1) == -torch.inf).all()


@pytest.mark.parametrize(("architecture", "number"), SHIPPED)
def test_every_tile_gives_the_same_bits(architecture, number, device):
    """Where products are exact, no tile adds in an order that shows."""
    points = np.random.default_rng(1).integers(0, 5, (70, 40)) / 4
    samples = torch.from_numpy(np.concatenate([points, 1 - points]).astype(np.float32)).to(device)
    queries, sigmas = samples[:5] * 0.5, SIGMAS[2:].to(device)
    expected = parzen.parzen_log_sums(queries, samples, sigmas, 100)
    with forced(architecture, number):
        found = parzen.parzen_log_sums(queries, samples, sigmas, 100)
    assert torch.equal(found, expected)


def test_same_bits_for_any_groups(device, monkeypatch):
    generator = np.random.default_rng(2)
    points = images(generator, 440, 40).to(device)
    queries, samples, sigmas = points[400:], points[:400], SIGMAS[:2].to(device)
    expected = parzen.parzen_log_sums(queries, samples, sigmas, 300, -3)
    for start, end in ((0, 1), (1, 8), (8, 40)):
        part = parzen.parzen_log_sums(queries[start:end], samples, sigmas, 300, start - 3)
        assert torch.equal(part, expected[:, :, start:end])
    monkeypatch.setattr(parzen, "TABLE_BYTES", 4000)  # 18 queries
    monkeypatch.setattr(parzen, "PAIRS_AT_ONCE", 20)
    monkeypatch.setattr(distances, "PACKED_BYTES", 1)
    assert torch.equal(parzen.parzen_log_sums(queries, samples, sigmas, 300, -3), expected)


def test_products_as_wrong_as_allowed(device, monkeypatch):
    """The rule of rescoring holds for any product within the allowance, and it is needed."""
    if device.type != "cpu":
        pytest.skip("products are replaced in the interpreter")
    generator = np.random.default_rng(3)
    points = images(generator, 420, 96)
    queries, samples = points[400:], points[:400]
    worst_products(monkeypatch)
    n_scored, n_pairs = assert_right(queries, samples, SIGMAS)
    assert 0 < n_scored < n_pairs
    n_scored, n_pairs = assert_right(queries, samples, SIGMAS[3:])
    assert n_scored == 0  # where sigma is large no error matters
    # Rows at one distance but for a few nats, far from the mean, up in one chunk and down in the
    # next by a hundred nats
    rows = generator.standard_normal((320, 64))
    rows[:, 0] -= 10.0
    shell = generator.standard_normal((10, 64))
    shell *= (1.0 + 1e-5 * generator.random((10, 1))) / np.linalg.norm(shell, axis=1, keepdims=True)
    shell[:, 0] += 10.0
    rows[[32 * chunk + chunk % 2 for chunk in range(10)]] = shell
    centre = torch.zeros(4, 64)
    centre[:, 0] = 10.0
    narrow = torch.tensor([0.002], dtype=torch.float64)
    assert_right(centre, torch.from_numpy(rows.astype(np.float32)), narrow)
    monkeypatch.setattr(parzen, "BUDGET_NATS", 1e9)
    with pytest.raises(AssertionError, match="of what is allowed"):
        assert_right(queries, samples, SIGMAS)


def test_truncated_products(device, monkeypatch):
    """Plain TF32 would miss the contract; scoring again what its error can move would keep it."""
    if device.type != "cpu":
        pytest.skip("products are replaced in the interpreter")
    interpreter = pytest.importorskip("triton.runtime.interpreter")

    def create_dot(self, a, b, d, input_precision, max_num_imprecise_acc):
        x, s = ((v.data.view(np.uint32) & 0xFFFFE000).view(np.float32) for v in (a, b))
        return interpreter.TensorHandle(x @ s + d.data, d.dtype.scalar)

    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_dot", create_dot)
    points = images(np.random.default_rng(4), 420, 96)
    queries, samples, sigmas = points[400:], points[:400], SIGMAS[1:3]
    with pytest.raises(AssertionError, match="of what is allowed"):
        assert_right(queries, samples, sigmas)
    # two factors off by 2^-10 of themselves each
    monkeypatch.setattr(distances, "_PRODUCT_UNITS", 2.0**15)
    assert_right(queries, samples, sigmas)


def test_public_functions(device):
    """All that sums Parzen windows takes the kernels; nothing but the merge is native."""
    generator = np.random.default_rng(5)
    samples = torch.from_numpy(generator.random((150, 20), np.float32)).to(device)
    queries = samples[:7] + 0.01
    native = {"strategy": "dense", "impl": "native"}
    for options in ({}, {"exclude_self": True}):
        asked = samples if options else queries
        expected = ops.parzen_log_likelihood(asked.cpu(), samples.cpu(), 0.2, **native, **options)
        found, bound = ops.parzen_log_likelihood(
            asked, samples, 0.2, impl="triton", return_bound=True, **options
        )
        assert (found.cpu() - expected).abs().max() < 1e-4
        assert (bound == 0).all()
    blocks = ops.parzen_log_sums(queries, samples, [0.2], block_size=64, impl="triton")
    assert blocks.shape == (3, 1, 7)
    last = parzen.parzen_log_sums(queries, samples[128:], SIGMAS[1:2].to(device), 64)
    assert (blocks[2] - last[0]).abs().max() < 1e-4
    with pytest.raises(ValueError, match="strategy: 'pruned' needs impl 'native', but 'triton'"):
        ops.parzen_log_likelihood(queries, samples, 0.2, impl="triton", strategy="pruned")


def test_kernels_need_no_native_core(device, monkeypatch):
    from fastgan.ops import parzen_sums

    monkeypatch.setattr(parzen_sums, "_core", None)
    queries = torch.rand(3, 4, device=device)
    sums = parzen_sums.ParzenSums(queries, SIGMAS.to(device), impl="triton")
    log_sums, log_dropped = sums.add(torch.rand(40, 4, device=device), 0, 32)
    assert log_sums.shape == (2, 4, 3)
    assert torch.isfinite(log_sums).all()
    assert (log_dropped == -torch.inf).all()
    assert sums.strategy == "dense"
    again = parzen_sums.ParzenSums(queries, SIGMAS.to(device), impl="triton")
    again.load_state_dict(sums.state_dict())
    assert again.strategy == "dense"


def test_stream_goes_on_with_the_same_bits(tmp_path):
    import fastgan

    generator = np.random.default_rng(6)
    queries, samples = generator.random((5, 6)), generator.random((200, 6))

    def stream():
        return fastgan.ParzenStream(queries, [0.1, 0.5], block_size=64, impl="triton")

    whole, part = stream(), stream()
    whole.update(samples)
    part.update(samples[:90])
    part.save(tmp_path / "stream")
    part = fastgan.ParzenStream.load(tmp_path / "stream")
    part.update(samples[90:])
    np.testing.assert_array_equal(part.log_likelihood(), whole.log_likelihood())
    assert whole.strategy == "dense"
    expected = ops.parzen_log_likelihood(queries, samples, [0.1, 0.5], impl="native")
    np.testing.assert_allclose(whole.log_likelihood(), expected, rtol=0, atol=1e-4)
