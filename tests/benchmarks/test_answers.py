"""What is compared with, and on: the float64 references, the peers, the points."""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import threadpoolctl
import torch

import fastgan

Points = tuple[torch.Tensor, torch.Tensor]


@pytest.mark.parametrize("k", [1, 2, 5, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_reference_neighbors_are_exact(
    harness: ModuleType,
    k: int,
    dtype: torch.dtype,
    tied_points: Points,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reference = importlib.import_module("benchmarks.reference")
    monkeypatch.setattr(reference, "QUERIES", 4)
    monkeypatch.setattr(reference, "ROWS", 7)
    queries, data = tied_points
    if dtype == torch.uint8:
        queries, data = ((part * 255).to(torch.uint8) for part in (queries, data))
    found, places = reference.nearest(queries, data, k)
    for i, query in enumerate(queries.tolist()):
        exact = [
            sum(((Fraction(a) - Fraction(b)) ** 2 for a, b in zip(query, row, strict=True)))
            for row in data.tolist()
        ]
        right = sorted(range(len(data)), key=lambda j, exact=exact: (exact[j], j))[:k]
        assert places[i].tolist() == right
        assert found[i].tolist() == pytest.approx([float(exact[j]) for j in right], rel=1e-14)


def test_reference_neighbors_tell_apart_what_the_product_cannot(harness: ModuleType) -> None:
    reference = importlib.import_module("benchmarks.reference")
    # |x|^2 is 1e12: the float64 product is right to about 1e-3, and the distances are below 1e-5.
    query = torch.tensor([[1e6, 0.0]], dtype=torch.float64)
    data = query + torch.tensor([[0.0, 3e-3], [0.0, 1e-3], [0.0, 2e-3]], dtype=torch.float64)
    found, places = reference.nearest(query, data, 2)
    assert places.tolist() == [[1, 2]]
    assert found.tolist() == [pytest.approx([1e-6, 4e-6])]


def test_reference_parzen_is_the_formula(
    harness: ModuleType, tied_points: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = importlib.import_module("benchmarks.reference")
    monkeypatch.setattr(reference, "QUERIES", 4)
    monkeypatch.setattr(reference, "ROWS", 7)
    queries, samples = tied_points
    found = reference.parzen(queries, samples, [0.1, 1.0])
    for i, sigma in enumerate((0.1, 1.0)):
        for query, value in zip(queries.double(), found[i], strict=True):
            window = torch.distributions.Normal(query, sigma)
            log_densities = window.log_prob(samples.double()).sum(dim=1)
            right = torch.logsumexp(log_densities, dim=0) - math.log(len(samples))
            assert float(value) == pytest.approx(float(right), rel=1e-12)


def test_tiles_of_the_peers_do_not_change_their_answers(
    harness: ModuleType, tied_points: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers = importlib.import_module("benchmarks.peers")
    reference = importlib.import_module("benchmarks.reference")
    queries, data = (part.double() for part in tied_points)
    monkeypatch.setattr(peers, "QUERIES", 4)
    monkeypatch.setattr(peers, "SAMPLES", 7)
    right = reference.parzen(queries, data, [0.5])[0]
    for chunk in (peers.log_sums_by_product, peers.log_sums_by_cdist):
        found = peers.parzen(chunk, queries, data, 0.5)
        torch.testing.assert_close(found, right, rtol=1e-10, atol=1e-10)
    distances, _ = reference.nearest(queries, data, 3)
    # in float32: six features and three more roundings of |x|^2 - 2 x y + |y|^2
    largest = max(float(part.square().sum(dim=1).max()) for part in (queries, data))
    bound = (6 + 3) * 2.0**-24 * 4 * largest
    for chunk in (peers.nearest_by_product, peers.nearest_by_cdist):
        found, _ = peers.nearest(chunk, queries, data, 3)
        torch.testing.assert_close(found.double(), distances, rtol=0.0, atol=bound)


def test_samples_of_a_file_are_checked(harness: ModuleType, tmp_path: Path) -> None:
    points = importlib.import_module("benchmarks.points")
    digits = fastgan.load_dataset("digits")
    file = tmp_path / "samples.npy"
    rows = np.random.default_rng(0).random((30, digits.n_features), dtype=np.float32)
    np.save(file, rows)
    assert torch.equal(points.samples(digits, 20, file), torch.from_numpy(rows[:20]))
    with pytest.raises(points.TooFewError, match=r"^31 samples are needed, the file holds 30$"):
        points.samples(digits, 31, file)
    np.save(file, rows.astype(np.float64))
    with pytest.raises(ValueError, match=r"expected float32 numbers of shape \(n, 64\)"):
        points.samples(digits, 20, file)


def test_samples_without_a_file_are_noisy_images_whatever_their_number(
    harness: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = importlib.import_module("benchmarks.points")
    digits = fastgan.load_dataset("digits")
    monkeypatch.setattr(points, "NOISE_ROWS", 500)
    n_train = len(digits.train)
    drawn = points.samples(digits, n_train + 300, None)
    again = digits.train[torch.arange(len(drawn)) % n_train]
    assert (drawn - again).abs().max() < 0.7
    # the same image again has other noise
    assert not torch.equal(drawn[:300], drawn[n_train:])
    assert len(torch.unique(drawn, dim=0)) == len(drawn)
    assert torch.equal(points.samples(digits, 40, None), drawn[:40])
    assert drawn.min() == 0.0
    assert drawn.max() == 1.0


def test_a_peer_that_is_missing_says_how_to_install_it(
    harness: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers = importlib.import_module("benchmarks.peers")
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(harness.NotInstalledError, match=r"^pip install faiss-cpu$"):
        peers.faiss_index(torch.zeros(2, 2))


def test_machine_says_which_product_each_package_runs(harness: ModuleType) -> None:
    machine = importlib.import_module("benchmarks.machine")
    loaded = [one for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"]
    words = list(machine.products().values())
    for library in loaded:
        assert any(
            str(library["version"]) in word and f"{library['num_threads']} threads" in word
            for word in words
        )
    assert "torch's BLAS" in machine.machine()
