"""Approximate squared distances: how rows are packed, and that errors stay within the bound."""

import numpy as np
import pytest
import torch
from point_families import FORMS, SHAPES

from fastgan import backends

if not backends.has_triton():
    pytest.skip("triton is not installed", allow_module_level=True)

import triton
import triton.language as tl
from distance_cases import SHIPPED, images, worst_products
from fastgan.kernels import distances
from fastgan.kernels.distances import CHUNK, Chunks, allowance, frame_of, largest_norms
from fastgan.kernels.launch import Kernel, forced
from fastgan.kernels.tile_configurations import product_tiles


@triton.jit
def store_tile_kernel(
    queries_pointer,
    samples_pointer,
    query_squares_pointer,
    sample_squares_pointer,
    output_pointer,
    n_columns,
    n_packed_features,
    PRECISION: tl.constexpr,
    BLOCK_QUERIES: tl.constexpr,
    BLOCK_SAMPLES: tl.constexpr,
    BLOCK_FEATURES: tl.constexpr,
):
    query = (tl.program_id(0) * BLOCK_QUERIES + tl.arange(0, BLOCK_QUERIES)).to(tl.int64)
    sample = (tl.program_id(1) * BLOCK_SAMPLES + tl.arange(0, BLOCK_SAMPLES)).to(tl.int64)
    tile = distances.squared_distance_tile(
        queries_pointer,
        samples_pointer,
        query_squares_pointer,
        sample_squares_pointer,
        query,
        sample,
        n_packed_features,
        PRECISION,
        BLOCK_QUERIES,
        BLOCK_SAMPLES,
        BLOCK_FEATURES,
    )
    tl.store(output_pointer + query[:, None] * n_columns + sample[None, :], tile)


STORE_TILE = Kernel(store_tile_kernel, product_tiles())


def tiles(queries, samples):
    """Return approximate squared distances and the bound of their error, in scaled units."""
    chunks = Chunks(samples, len(samples))
    packed = distances.pack_queries(queries, chunks.frame)
    ((_, n_chunks, others),) = chunks.spans()
    shape = len(packed.values), len(others.values)
    output = torch.full(shape, torch.nan, device=queries.device)
    STORE_TILE(
        lambda meta: (
            triton.cdiv(len(queries), meta["BLOCK_QUERIES"]),
            triton.cdiv(len(samples), meta["BLOCK_SAMPLES"]),
        ),
        queries_pointer=packed.values,
        samples_pointer=others.values,
        query_squares_pointer=packed.squared_norms,
        sample_squares_pointer=others.squared_norms,
        output_pointer=output,
        n_columns=shape[1],
        n_packed_features=others.values.shape[1],
    )
    bound = allowance(
        packed.norms[: len(queries), None], largest_norms(others, n_chunks), queries.shape[1]
    )
    assert torch.isinf(output[: len(queries), len(samples) : n_chunks * CHUNK]).all()  # padding
    return output[: len(queries), : len(samples)], bound.repeat_interleave(CHUNK, 1)[
        :, : len(samples)
    ]


def assert_within_allowance(queries, samples):
    """Return the largest error in units of the allowance."""
    found, bound = tiles(queries, samples)
    unit = frame_of(samples).unit
    differences = (queries.double() / unit)[:, None] - samples.double() / unit
    error = (found.double() - differences.square().sum(2)).abs()  # to d 2^-53 of the distance
    assert (error <= bound).all(), f"{(error / bound).max():.3g} of the allowance"
    return float((error / bound).max())


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_error_is_within_the_allowance(shape, device):
    generator = np.random.default_rng(0)
    first = SHAPES.index(shape)
    for number, form in enumerate(FORMS[first % 3 :: 3]):  # each form meets several families
        n_features = (1, 3, 40)[(number + first) % 3]
        points = torch.from_numpy(form(shape(generator, 38, n_features))).to(device)
        assert_within_allowance(points[34:].contiguous(), points[:34].contiguous())


@pytest.mark.parametrize("n_features", [784, 3072])
def test_wrong_products_come_near_the_allowance(n_features, device, monkeypatch):
    """The bound is not vain: products as wrong as it assumes use up a good part of it."""
    generator = np.random.default_rng(1)
    points = images(generator, 20, n_features)
    assert assert_within_allowance(points[17:], points[:17]) < 0.05  # those of the interpreter
    worst_products(monkeypatch)
    assert assert_within_allowance(points[17:], points[:17]) > 0.4
    worst_products(monkeypatch, share=3.0)
    with pytest.raises(AssertionError):
        assert_within_allowance(points[17:], points[:17])


@pytest.mark.parametrize(("architecture", "number"), SHIPPED)
def test_every_tile(architecture, number, device):
    generator = np.random.default_rng(2)
    points = images(generator, 40, 70).to(device)
    with forced(architecture, number):
        assert_within_allowance(points[37:].contiguous(), points[:37].contiguous())


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize(("n_samples", "block_size"), [(1, 1), (70, 33), (70, 32), (65, 100)])
def test_packing(dtype, n_samples, block_size, device, poisoned_memory):
    """Blocks start chunks; rows are centred, scaled by a power of two, padded."""
    samples = images(np.random.default_rng(3), n_samples, 45, dtype).to(device)
    chunks = Chunks(samples, block_size)
    ((first, n_chunks, packed),) = chunks.spans()
    assert (first, n_chunks) == (0, chunks.n_chunks)
    unit = float(chunks.frame.unit)
    assert np.frexp(unit)[0] == 0.5
    wide = (samples.double() - 2 * chunks.frame.half_centre) / unit
    assert packed.values.abs().max() < 2
    torch.testing.assert_close(2 * chunks.frame.half_centre, samples.double().mean(0))
    place = 0
    for block in wide.split(block_size):
        n_rows = -(-len(block) // CHUNK) * CHUNK
        rows = packed.values[place : place + n_rows]
        assert torch.equal(rows[: len(block), :45], block.float())
        assert (rows[len(block) :] == 0).all()
        assert (rows[:, 45:] == 0).all()
        squares = packed.squared_norms[place : place + n_rows]
        norms = packed.norms[place : place + n_rows]
        expected = rows[: len(block)].double().norm(dim=1)
        torch.testing.assert_close(norms[: len(block)], expected, rtol=1e-14, atol=0)
        torch.testing.assert_close(
            squares[: len(block)], expected.square().float(), rtol=2.0**-23, atol=0
        )
        assert torch.isinf(squares[len(block) :]).all()
        assert (norms[len(block) :] == 0).all()
        place += n_rows
    assert place == n_chunks * CHUNK
    assert torch.isinf(packed.squared_norms[place:]).all()


def test_packing_span_by_span(device, monkeypatch):
    samples = images(np.random.default_rng(4), 700, 5).to(device)
    whole = Chunks(samples, 300)
    ((_, n_chunks, expected),) = whole.spans()
    monkeypatch.setattr(distances, "PACKED_BYTES", 1)
    parts = list(Chunks(samples, 300).spans())
    assert len(parts) == 3
    assert [part[0] for part in parts[1:]] == [part[1] for part in parts[:-1]]
    joined = torch.cat([part[2].values[: (part[1] - part[0]) * CHUNK] for part in parts])
    assert torch.equal(joined, expected.values[: n_chunks * CHUNK])


def test_numbers_that_float32_does_not_hold(device):
    """Such a row has no allowance, and leaves others alone."""
    samples = torch.ones(40, 3, dtype=torch.float64, device=device)
    samples[1] = 0.0
    queries = torch.tensor([[1.0, 1e30, 0.0], [1.0, 1.0, 0.0]], dtype=torch.float64, device=device)
    assert torch.isinf(tiles(queries[:1], samples[:1])[1]).all()  # though the sample's norm is 0
    found, bound = tiles(queries, samples)
    assert torch.isinf(bound[0]).all()
    assert torch.isfinite(bound[1]).all()
    assert torch.isfinite(found).all()


def test_allowance_grows_with_blocks_of_features_not_with_features():
    one = torch.ones(1, dtype=torch.float64)
    few, many = (float(allowance(one, one, n)) for n in (32, 3072))
    assert few < many < 1.6 * few
    assert float(allowance(2 * one, 2 * one, 32)) == pytest.approx(4 * few, rel=1e-9)
    assert float(allowance(one, one, 33)) > few
