"""Parzen-window log-likelihood against products, cdist, torch.compile, KeOps and scikit-learn."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import fastgan
from benchmarks import harness, peers, points, reference
from benchmarks.tf32 import also_in_tf32

GRID: tuple[float, ...] = tuple(np.logspace(-1, 0, 10).tolist())  # of the paper's protocol
SIGMA = GRID[3]  # .2154: what a trained MNIST generator's validation images choose
BOUND = 1e-4  # nats: the contract of parzen_log_likelihood
UNIT = "nats"


def against(expected: Tensor) -> Callable[[Any], float]:
    """Return the error of a result: the largest over all queries, in nats."""

    def error(found: Any) -> float:
        values = torch.as_tensor(found).double().to(expected.device)
        if values.shape != expected.shape:
            return float("inf")
        return float((values - expected).abs().max())

    return error


def peer(
    name: str,
    function: Callable[..., Any],
    queries: Tensor,
    samples: Tensor,
    expected: Tensor,
    *,
    build: Callable[[], Any] | None = None,
) -> harness.Contender:
    """Return a peer that may be slow: a hundredth of the queries is tried first."""
    n_queries = len(queries)
    few = queries[: harness.n_of_part(n_queries)]
    return harness.Contender(
        name,
        lambda: function(queries, samples, SIGMA),
        against(expected),
        build=build,
        part=harness.Part(
            lambda: function(few, samples, SIGMA),
            against(expected[: len(few)]),
            len(few) / n_queries,
            f"{len(few):,} of {n_queries:,} queries",
        ),
    )


def floor(queries: Tensor, samples: Tensor) -> harness.Contender:
    return harness.Contender(
        "torch.mm",
        lambda: peers.product(queries, samples, n_columns=peers.SAMPLES),
        is_floor=True,
    )


def one_sigma(
    options: harness.Options, n_queries: int, n_samples: int, *, with_density: bool
) -> Iterator[harness.Work]:
    """Compare at one sigma, the index of the samples built anew in each call."""
    dataset = points.images()
    size = f"{n_queries:,} queries, {n_samples:,} samples, sigma {SIGMA:.4f}"
    try:
        samples = options.device.put(points.samples(dataset, n_samples, options.samples))
    except points.TooFewError as error:
        yield harness.LeftOut("parzen", size, str(error), options.device)
        return
    queries = options.device.put(points.queries(dataset, n_queries))
    expected = reference.parzen(queries, samples, [SIGMA])[0]
    kept = fastgan.ParzenWindow(sigma=SIGMA).fit(samples)
    chunks: dict[str, peers.Chunk] = {
        "eager": peers.log_sums_by_product,
        "torch.cdist": peers.log_sums_by_cdist,
    }
    if options.compile:
        chunks["torch.compile"] = peers.compiled(peers.log_sums_by_product)
    contenders = [
        harness.Contender(
            "fastgan",
            lambda: fastgan.parzen_log_likelihood(queries, samples, SIGMA),
            against(expected),
            # what a first query of one row pays: all but the queries' own work
            build=lambda: fastgan.ParzenWindow(sigma=SIGMA).fit(samples).score_samples(queries[:1]),
        ),
        harness.Contender(
            "fastgan, index kept", lambda: kept.score_samples(queries), against(expected)
        ),
    ]
    contenders += [
        harness.Contender(
            name, lambda c=chunk: peers.parzen(c, queries, samples, SIGMA), against(expected)
        )
        for name, chunk in chunks.items()
    ]
    if options.compile:
        contenders.append(peer("KeOps", peers.parzen_keops, queries, samples, expected))
    if with_density and not options.device.is_gpu:
        # With its default leaves KernelDensity (1.9) is nats off in these dimensions; one leaf that
        # holds everything is exact.
        for label, leaf_size in (("", 40), (", one leaf", n_samples)):

            def score(q: Tensor, s: Tensor, sigma: float, leaf_size: int = leaf_size) -> Any:
                return peers.density(s, sigma, leaf_size).score_samples(q.numpy())

            contenders.append(
                peer(
                    f"scikit-learn KernelDensity{label}",
                    score,
                    queries,
                    samples,
                    expected,
                    build=lambda n=leaf_size: peers.density(samples, SIGMA, n),
                )
            )
    contenders.append(floor(queries, samples))
    yield harness.Comparison(
        "parzen",
        f"{points.source(dataset, options.samples)}: {size}",
        also_in_tf32(contenders, options.device),
        BOUND,
        UNIT,
        options.device,
        points.demand_of_pairs(queries, samples, 1),
    )


def ten_thousand(options: harness.Options) -> Iterator[harness.Work]:
    n_queries, n_samples = (200, 500) if options.quick else (10_000, 10_000)
    return one_sigma(options, n_queries, n_samples, with_density=True)


def million(options: harness.Options) -> Iterator[harness.Work]:
    n_queries, n_samples = (100, 2_000) if options.quick else (10_000, 1_000_000)
    return one_sigma(options, n_queries, n_samples, with_density=False)


def grid(options: harness.Options) -> Iterator[harness.Work]:
    """Compare the whole grid, in one call, with its largest sigma alone."""
    dataset = points.images()
    n_queries, n_samples = (100, 500) if options.quick else (1_000, 10_000)
    n_queries = min(n_queries, len(dataset.validation))
    size = f"{len(GRID)} sigmas, {n_queries:,} validation images, {n_samples:,} samples"
    try:
        samples = options.device.put(points.samples(dataset, n_samples, options.samples))
    except points.TooFewError as error:
        yield harness.LeftOut("parzen", size, str(error), options.device)
        return
    queries = options.device.put(dataset.validation[:n_queries].contiguous())
    expected = reference.parzen(queries, samples, GRID)

    def one_by_one() -> Tensor:
        parts = [peers.parzen(peers.log_sums_by_product, queries, samples, s) for s in GRID]
        return torch.stack(parts)

    def ours(sigmas: Sequence[float]) -> Tensor:
        return fastgan.parzen_log_likelihood(queries, samples, sigmas)  # type: ignore[no-any-return]

    contenders = [
        harness.Contender("fastgan", lambda: ours(GRID), against(expected)),
        harness.Contender(
            "fastgan, largest sigma alone",
            lambda: ours(GRID[-1:]),
            against(expected[-1:]),
            is_floor=True,
        ),
        harness.Contender("eager, sigma by sigma", one_by_one, against(expected)),
        floor(queries, samples),
    ]
    yield harness.Comparison(
        "parzen",
        f"{points.source(dataset, options.samples)}: {size}",
        also_in_tf32(contenders, options.device),
        BOUND,
        UNIT,
        options.device,
        points.demand_of_pairs(queries, samples, len(GRID)),
    )


def dense(options: harness.Options) -> Iterator[harness.Work]:
    """Compare the dense engine, which leaves nothing out, with the bare product."""
    dataset = points.images()
    n_queries, n_samples = (200, 500) if options.quick else (10_000, 10_000)
    size = f"dense, {n_queries:,} queries, {n_samples:,} samples, sigma {SIGMA:.4f}"
    try:
        samples = options.device.put(points.samples(dataset, n_samples, options.samples))
    except points.TooFewError as error:
        yield harness.LeftOut("parzen", size, str(error), options.device)
        return
    queries = options.device.put(points.queries(dataset, n_queries))
    size = f"{points.source(dataset, options.samples)}: {size}"
    yield _engines(queries, samples, size, "dense", options)


def noise(options: harness.Options) -> Iterator[harness.Work]:
    """Compare the choice of engine with the dense engine where nothing can be pruned."""
    n_rows = 300 if options.quick else 10_000
    n_features = 64 if options.quick else 784
    queries, samples = options.device.put(
        *(points.noise(n_rows, n_features, stream) for stream in (0, 1))
    )
    size = f"{n_rows:,} queries, {n_rows:,} samples, {n_features} features, sigma {SIGMA:.4f}"
    yield _engines(queries, samples, f"isotropic noise: {size}", "auto", options)


def _engines(
    queries: Tensor, samples: Tensor, size: str, first: str, options: harness.Options
) -> harness.Comparison:
    expected = reference.parzen(queries, samples, [SIGMA])[0]
    names = {"auto": "fastgan", "dense": "fastgan, dense"}
    order = [first, *(name for name in names if name != first)]
    contenders = [
        harness.Contender(
            names[strategy],
            lambda s=strategy: fastgan.parzen_log_likelihood(queries, samples, SIGMA, strategy=s),
            against(expected),
        )
        for strategy in order
    ]
    contenders.append(floor(queries, samples))
    return harness.Comparison(
        "parzen",
        size,
        also_in_tf32(contenders, options.device),
        BOUND,
        UNIT,
        options.device,
        points.demand_of_pairs(queries, samples, 1),
    )


def protocol(options: harness.Options) -> Iterator[harness.Work]:
    """Compare the paper's protocol, with training images as the model, with brute force."""
    dataset = points.images()
    train, validation, test = options.device.put(dataset.train, dataset.validation, dataset.test)
    dataset = dataclasses.replace(dataset, train=train, validation=validation, test=test)
    n_samples = min(1_000 if options.quick else 10_000, len(dataset.train))
    samples = dataset.train[:n_samples].contiguous()
    validation = dataset.validation[: dataset.sigma_images or len(dataset.validation)]

    def ours() -> tuple[float, float, float]:
        found = fastgan.evaluate(samples, dataset)
        return found.sigma, found.mean, found.standard_error

    def brute_force() -> tuple[float, float, float]:
        means = reference.parzen(validation, samples, dataset.sigma_grid).mean(dim=1)
        sigma = dataset.sigma_grid[int(means.argmax())]
        values = reference.parzen(dataset.test, samples, [sigma])[0]
        error = float(values.std(correction=0)) / len(values) ** 0.5
        return sigma, float(values.mean()), error

    expected = brute_force()

    def error(found: tuple[float, float, float]) -> float:
        if found[0] != expected[0]:
            return float("inf")
        return max(abs(a - b) for a, b in zip(found[1:], expected[1:], strict=True))

    def words(found: tuple[float, float, float]) -> str:
        return f"sigma {found[0]:.4f}, mean {found[1]:.4f} +- {found[2]:.4f} nats"

    yield harness.Comparison(
        "parzen",
        f"{dataset.name}: protocol with training images 0 to {n_samples - 1:,} as the model",
        [
            harness.Contender("fastgan", ours, error, remark=words),
            harness.Contender("float64 brute force", brute_force, error, remark=words),
        ],
        BOUND,
        UNIT,
        options.device,
    )


CASES: dict[str, Callable[[harness.Options], Iterator[harness.Work]]] = {
    "1e4": ten_thousand,
    "1e6": million,
    "grid": grid,
    "dense": dense,
    "noise": noise,
    "protocol": protocol,
}


def comparisons(options: harness.Options) -> Iterator[harness.Work]:
    for name in options.cases or CASES:
        yield from CASES[name](options)


@pytest.mark.parametrize("name", ["fastgan", "eager", "torch.cdist"])
@harness.on_each_device
def test_parzen(benchmark: Any, name: str, device: str) -> None:
    harness.time_with_pytest(benchmark, comparisons(harness.tiny(device)), name)
