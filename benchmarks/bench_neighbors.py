"""Nearest neighbours against products, cdist, torch.compile, KeOps, faiss and scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import fastgan
from benchmarks import harness, peers, points, reference
from benchmarks.tf32 import also_in_tf32

UNIT = "of the distance"
Pair = tuple[Any, Any]


class Right:
    """The right answer, for all queries or the first of them."""

    def __init__(self, distances: Tensor, places: Tensor) -> None:
        self.distances, self.places = distances, places
        # An image that is in the data is at distance 0: measured against the least distance.
        positive = distances[distances > 0]
        self.least = float(positive.min()) if len(positive) else 1.0

    def first(self, n: int) -> Right:
        return Right(self.distances[:n], self.places[:n])

    def error(self, found: Pair) -> float:
        """Return the largest relative error of a squared distance."""
        squared, indices = self._there(found)
        if squared.shape != self.distances.shape or indices.shape != self.places.shape:
            return float("inf")
        error = (squared.double() - self.distances).abs() / self.distances.clamp(min=self.least)
        return float(error.max())

    def exact_error(self, found: Pair) -> float:
        """Return the same; infinity if an index is wrong."""
        if not torch.equal(self._there(found)[1], self.places):
            return float("inf")
        return self.error(found)

    def words(self, found: Pair) -> str:
        """Say how many queries got another neighbour than the right one."""
        _, indices = self._there(found)
        n_wrong = int((indices != self.places).any(dim=1).sum())
        return f"{n_wrong:,} of {len(indices):,} queries wrong"

    def _there(self, found: Pair) -> tuple[Tensor, Tensor]:
        squared, indices = (torch.as_tensor(part).to(self.places.device) for part in found)
        return squared, indices


def bound(n_features: int) -> float:
    """Return how far the reference's plain float64 sum may be from the distance rounded once."""
    return 4 * n_features * torch.finfo(torch.float64).eps


def ours(
    name: str, queries: Tensor, data: Tensor, k: int, right: Right, strategy: str
) -> harness.Contender:
    return harness.Contender(
        name,
        lambda: fastgan.nearest_neighbors(queries, data, k, strategy=strategy),
        right.exact_error,
        remark=right.words,
        # what a first query of one row pays: all but the queries' own work
        build=None
        if strategy == "dense" or queries.device.type != "cpu"
        else lambda: fastgan.NeighborIndex(data).query(queries[:1], k),
    )


def peer(
    name: str,
    function: Callable[[Tensor, Tensor, int], Pair],
    queries: Tensor,
    data: Tensor,
    k: int,
    right: Right,
    build: Callable[[], Any] | None = None,
) -> harness.Contender:
    """Return a peer that may be slow: a hundredth of the queries is tried first."""
    n_queries = len(queries)
    few = queries[: harness.n_of_part(n_queries)]
    right_few = right.first(len(few))
    return harness.Contender(
        name,
        lambda: function(queries, data, k),
        right.error,
        remark=right.words,
        build=build,
        part=harness.Part(
            lambda: function(few, data, k),
            right_few.error,
            len(few) / n_queries,
            f"{len(few):,} of {n_queries:,} queries",
        ),
    )


def against_peers(
    queries: Tensor, data: Tensor, k: int, size: str, options: harness.Options
) -> harness.Comparison:
    """Compare with all peers, an index of the data built anew in each call."""
    right = Right(*reference.nearest(queries, data, k))
    kept = fastgan.NeighborIndex(data)
    contenders = [
        ours("fastgan", queries, data, k, right, "auto"),
        harness.Contender("fastgan, index kept", lambda: kept.query(queries, k), right.exact_error),
    ]
    chunks: dict[str, Callable[..., Pair]] = {
        "eager": peers.nearest_by_product,
        "torch.cdist": peers.nearest_by_cdist,
    }
    if options.compile:
        chunks["torch.compile"] = peers.compiled(peers.nearest_by_product)
    contenders += [
        harness.Contender(
            name,
            lambda c=chunk: peers.nearest(c, queries, data, k),
            right.error,
            remark=right.words,
        )
        for name, chunk in chunks.items()
    ]
    if options.compile:
        contenders.append(peer("KeOps", peers.nearest_keops, queries, data, k, right))
    if not options.device.is_gpu:
        contenders += on_the_cpu(queries, data, k, right)
    contenders.append(floor(queries, data))
    return harness.Comparison(
        "neighbors",
        f"{size}, k = {k}",
        also_in_tf32(contenders, options.device),
        bound(data.shape[1]),
        UNIT,
        options.device,
        points.demand_of_pairs(queries, data),
    )


def on_the_cpu(queries: Tensor, data: Tensor, k: int, right: Right) -> list[harness.Contender]:
    """Return the peers that are compared on the CPU alone."""
    return [
        # No part of the queries: against 60,000 rows of 784 numbers faiss 1.15 took 1.3 s for a
        # hundred queries and 1.2 s for a thousand.
        harness.Contender(
            "faiss IndexFlatL2",
            lambda: peers.nearest_faiss(queries, data, k),
            right.error,
            remark=lambda found: f"{right.words(found)}; {peers.faiss_words()}",
            build=lambda: peers.faiss_index(data),
        ),
        peer(
            "scikit-learn brute",
            peers.nearest_sklearn,
            queries,
            data,
            k,
            right,
            build=lambda: peers.sklearn_index(data, k),
        ),
    ]


def floor(queries: Tensor, data: Tensor) -> harness.Contender:
    asked, rows = queries.float(), data.float()
    return harness.Contender("torch.mm", lambda: peers.product(asked, rows), is_floor=True)


def images(options: harness.Options, n_queries: int, k: int) -> Iterator[harness.Work]:
    """Seek the nearest real image of each sample: is it a memorised one?"""
    dataset = points.images()
    data = torch.cat([dataset.train, dataset.validation])[: 500 if options.quick else None]
    data = options.device.put(data)
    size = f"{n_queries:,} samples, {len(data):,} images of {data.shape[1]:,} pixels"
    try:
        queries = options.device.put(points.samples(dataset, n_queries, options.samples))
    except points.TooFewError as error:
        yield harness.LeftOut("neighbors", size, str(error), options.device)
        return
    source = points.source(dataset, options.samples)
    yield against_peers(queries, data, k, f"{source}: {size}", options)


def one(options: harness.Options) -> Iterator[harness.Work]:
    return images(options, 200 if options.quick else 10_000, 1)


def five(options: harness.Options) -> Iterator[harness.Work]:
    return images(options, 100 if options.quick else 1_000, 5)


def cifar10(options: harness.Options) -> Iterator[harness.Work]:
    """Seek the nearest training image of each CIFAR-10 test image, pixels as they are."""
    try:
        if options.quick:  # the same code on images that every machine has
            dataset = points.images()
            rows = (dataset.train[:600] * 255).round().to(torch.uint8)
            pixels, name = rows.split([100, 500]), f"{dataset.name}, pixels"
        else:
            pixels, name = points.cifar10_pixels(), "cifar10, pixels"
    except FileNotFoundError as error:
        yield harness.LeftOut("neighbors", "cifar10, pixels", str(error), options.device)
        return
    pixels = options.device.put(*pixels)
    size = f"{len(pixels[0]):,} x {len(pixels[1]):,} x {pixels[0].shape[1]:,}"
    in_unit_range = [part.float() / 255 for part in pixels]
    yield against_peers(*in_unit_range, 1, f"{name} float32 in [0, 1]: {size}", options)
    del in_unit_range
    yield against_peers(*pixels, 1, f"{name} uint8: {size}", options)


def noise(options: harness.Options) -> Iterator[harness.Work]:
    """Compare the choice of engine with the dense engine where nothing can be pruned."""
    n_rows = 300 if options.quick else 10_000
    n_features = 64 if options.quick else 784
    queries, data = options.device.put(
        *(points.noise(n_rows, n_features, stream) for stream in (0, 1))
    )
    right = Right(*reference.nearest(queries, data, 1))
    yield harness.Comparison(
        "neighbors",
        f"isotropic noise: {n_rows:,} x {n_rows:,} x {n_features}, k = 1",
        also_in_tf32(
            [
                ours("fastgan", queries, data, 1, right, "auto"),
                ours("fastgan, dense", queries, data, 1, right, "dense"),
                floor(queries, data),
            ],
            options.device,
        ),
        bound(n_features),
        UNIT,
        options.device,
        points.demand_of_pairs(queries, data),
    )


CASES: dict[str, Callable[[harness.Options], Iterator[harness.Work]]] = {
    "1": one,
    "5": five,
    "cifar10": cifar10,
    "noise": noise,
}


def comparisons(options: harness.Options) -> Iterator[harness.Work]:
    for name in options.cases or CASES:
        yield from CASES[name](options)


@pytest.mark.parametrize("name", ["fastgan", "eager", "torch.cdist"])
@harness.on_each_device
def test_neighbors(benchmark: Any, name: str, device: str) -> None:
    harness.time_with_pytest(benchmark, comparisons(harness.tiny(device)), name)
