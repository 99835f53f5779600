"""What a product's rounding does to likelihoods and neighbours, before rescoring."""

from __future__ import annotations

import importlib
import math
from types import ModuleType

import numpy as np
import pytest

import fastgan


@pytest.fixture(scope="module")
def distances(harness: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.split_precision.distances")


@pytest.fixture(scope="module")
def products(harness: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.split_precision.products")


def test_exact_products_do_no_damage(distances: ModuleType, products: ModuleType) -> None:
    """Whole numbers below 2^8, centred on a whole number: even tf32 makes no error."""
    draw = np.random.default_rng(0)
    rows = draw.integers(-100, 101, (30, 40)).astype(np.float32)
    rows = np.concatenate([rows, -rows])  # their mean is 0
    queries = draw.integers(-100, 101, (7, 40)).astype(np.float32)
    truth = distances.Truth.of(queries, rows)
    found = distances.damage(truth, [30.0], "tf32", products.CHIPS["sm_80"])
    assert (found.of_length, found.nats, found.n_wrong) == (0.0, (0.0,), 0)


def test_the_truth_is_the_formula(distances: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "QUERIES", 3)
    draw = np.random.default_rng(1)
    queries, rows = (draw.random((n, 5), np.float32) for n in (7, 11))
    truth = distances.Truth.of(queries, rows)
    for i, query in enumerate(queries.tolist()):
        pairs = [zip(query, row, strict=True) for row in rows.tolist()]
        squared = [math.fsum((a - b) ** 2 for a, b in pair) for pair in pairs]
        assert truth.squared[i].tolist() == pytest.approx(squared, rel=1e-14)
        right = math.log(math.fsum(math.exp(-s / 0.02) for s in squared))
        assert distances.log_sums(truth.squared[i : i + 1], 0.1)[0] == pytest.approx(right)


def test_a_swap_of_two_neighbours_is_counted(distances: ModuleType) -> None:
    squared = np.arange(20.0)[None].repeat(2, axis=0)
    other = squared.copy()
    other[1, [8, 9]] = other[1, [9, 8]]
    assert distances.nearest(squared)[0].tolist() == list(range(distances.N_NEAREST))
    assert (distances.nearest(other) != distances.nearest(squared)).any(axis=1).tolist() == [0, 1]


def test_tf32_alone_is_no_product_to_measure_by(
    distances: ModuleType, products: ModuleType
) -> None:
    """On images: tf32 is tenths of a nat off, the splits what fp32 is, none of them 1e-4."""
    digits = fastgan.load_dataset("digits")
    truth = distances.Truth.of(digits.test[:40].numpy(), digits.train[:300].numpy())
    chip = products.CHIPS["sm_90"]
    nats = {
        precision: distances.damage(truth, [0.1], precision, chip).nats[0]
        for precision in products.PRECISIONS
    }
    assert nats["tf32"] > 0.05
    assert nats["tf32"] > 50 * nats["tf32x3"]
    assert max(nats["tf32x3"], nats["bf16x6"]) < 2 * nats["ieee"]
