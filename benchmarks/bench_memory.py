"""Anonymous memory beyond inputs and outputs, of samples in memory and mapped; and of training."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks import harness, memory, points, reference
from benchmarks.bench_neighbors import bound
from benchmarks.bench_parzen import BOUND, SIGMA
from benchmarks.training_steps import training_memory

CHECKED = 64  # queries compared with float64: the speed benchmarks compare all


def check_neighbors(
    queries: Tensor, rows: Tensor, *, is_exact: bool = True
) -> Callable[[list[np.ndarray]], float]:
    """Compare with float64; a peer may take the other of two rows that float32 cannot tell."""
    distances, places = reference.nearest(queries[:CHECKED], rows, 1)

    def error(found: list[np.ndarray]) -> float:
        squared, indices = (torch.from_numpy(part)[:CHECKED] for part in found)
        if len(found[1]) != len(queries) or (is_exact and not torch.equal(indices, places)):
            return math.inf
        least = torch.finfo(torch.float32).tiny
        return float(((squared - distances).abs() / distances.clamp(min=least)).max())

    return error


def check_parzen(queries: Tensor, rows: Tensor) -> Callable[[list[np.ndarray]], float]:
    expected = reference.parzen(queries[:CHECKED], rows, [SIGMA])[0]

    def error(found: list[np.ndarray]) -> float:
        if len(found[0]) != len(queries):
            return math.inf
        return float((torch.from_numpy(found[0])[:CHECKED] - expected).abs().max())

    return error


def in_memory(options: harness.Options) -> Iterator[harness.Work]:
    """10,000 queries against 60,000 rows: neighbours and Parzen, beside eager PyTorch."""
    dataset = points.images()
    n_queries = 200 if options.quick else 10_000
    images = torch.cat([dataset.train, dataset.validation])[: 1_000 if options.quick else None]
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "queries.npy", Path(folder) / "rows.npy"
        queries = points.samples(dataset, n_queries, None)
        for file, rows in zip(files, (queries, images), strict=True):
            np.save(file, rows.numpy())
        sizes = (n_queries, len(images), False)
        size = f"{n_queries:,} x {len(images):,} x {dataset.n_features}, in memory"
        check = check_neighbors(queries, images)
        check_peer = check_neighbors(queries, images, is_exact=False)
        yield memory.MemoryComparison(
            "memory of neighbors",
            size,
            [
                memory.Task("fastgan", "neighbors", *files, *sizes, check),
                memory.Task("eager", "eager neighbors", *files, *sizes, check_peer),
            ],
            bound(dataset.n_features),
            "of the distance",
        )
        check = check_parzen(queries, images)
        yield memory.MemoryComparison(
            "memory of parzen",
            size,
            [
                memory.Task("fastgan", "parzen", *files, *sizes, check),
                memory.Task("eager", "eager parzen", *files, *sizes, check),
            ],
            BOUND,
            "nats",
        )


def from_file(options: harness.Options) -> Iterator[harness.Work]:
    """10,000 queries against a million rows of a mapped file: neighbours and Parzen."""
    dataset = points.images()
    n_queries, n_rows = (200, 3_000) if options.quick else (10_000, 1_000_000)
    size = f"{n_queries:,} x {n_rows:,} x {dataset.n_features}, rows mapped from a file"
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "queries.npy", options.samples or Path(folder) / "rows.npy"
        queries = points.queries(dataset, n_queries)
        np.save(files[0], queries.numpy())
        if options.samples is None:
            np.save(files[1], points.samples(dataset, n_rows, None).numpy())
        try:
            mapped = np.load(files[1], mmap_mode="c")
            points.mapped(files[1], dataset.n_features, n_rows)
        except points.TooFewError as error:
            yield harness.LeftOut("memory", size, str(error))
            return
        rows = torch.from_numpy(mapped[:n_rows])
        sizes = (n_queries, n_rows, True)
        for name, check, limit, unit in (
            ("neighbors", check_neighbors, bound(dataset.n_features), "of the distance"),
            ("parzen", check_parzen, BOUND, "nats"),
        ):
            yield memory.MemoryComparison(
                f"memory of {name}",
                size,
                [memory.Task("fastgan", name, *files, *sizes, check(queries, rows))],
                limit,
                unit,
            )


def training(options: harness.Options) -> Iterator[harness.Work]:
    """Steps of the mnist recipe, and a whole run of an epoch from the command line."""
    if options.quick:
        yield training_memory.StepMemory("digits", is_tiny=True)
    else:
        yield training_memory.StepMemory("mnist", is_tiny=False)
    name = "digits" if options.quick else points.images().name
    yield training_memory.RunMemory([name, "--epochs", "1"])


CASES: dict[str, Callable[[harness.Options], Iterator[harness.Work]]] = {
    "in_memory": in_memory,
    "from_file": from_file,
    "training": training,
}


def comparisons(options: harness.Options) -> Iterator[harness.Work]:
    if options.device.is_gpu:
        reason = "it reads the host's memory of a process; nothing here sees a GPU's"
        yield harness.LeftOut("memory", "all cases", reason, options.device)
        return
    for name in options.cases or CASES:
        yield from CASES[name](options)
