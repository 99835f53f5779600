"""What people use today for the same two questions, each as fast as it can be called."""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import threadpoolctl
import torch
from sklearn.neighbors import KernelDensity, NearestNeighbors
from torch import Tensor

from benchmarks.harness import NotInstalledError

# A tile of 1,000 x 10,000 float32 distances is 40 MB. Neighbours are sought in whole rows (60,000:
# 240 MB), which spares the merging of arg-mins.
QUERIES, SAMPLES = 1_000, 10_000
Chunk = Callable[[Tensor, Tensor, Tensor, float], Tensor]
Pair = tuple[Any, Any]


def package(module: str, name: str) -> ModuleType:
    """Import a peer and give all its threads and its BLAS's torch's number of threads.

    Raises
    ------
    NotInstalledError
        If it is missing.
    """
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise NotInstalledError(f"pip install {name}") from error
    _level_threads(module, torch.get_num_threads())
    return found


@functools.cache  # looking through the libraries loaded takes milliseconds
def _level_threads(module: str, n_threads: int) -> None:
    threadpoolctl.threadpool_limits(n_threads)


def product(queries: Tensor, rows: Tensor, *, n_columns: int | None = None) -> None:
    """Make all scalar products, tile by tile into the same memory: the floor under all pairs."""
    width = len(rows) if n_columns is None else min(n_columns, len(rows))
    tile = queries.new_empty((min(QUERIES, len(queries)), width))
    for part in queries.split(QUERIES):
        for block in rows.split(width):
            whole = tile.shape == (len(part), len(block))
            torch.mm(part, block.T, out=tile if whole else None)


def log_sums_by_product(queries: Tensor, samples: Tensor, norms: Tensor, scale: float) -> Tensor:
    """Return log sums of one tile: product and log-sum-exp. Norms are those of the samples."""
    squared = queries.square().sum(1, keepdim=True) - 2 * (queries @ samples.T) + norms
    return torch.logsumexp(squared.clamp(min=0) * scale, dim=1)


def log_sums_by_cdist(queries: Tensor, samples: Tensor, norms: Tensor, scale: float) -> Tensor:
    """Return log sums of one tile through ``torch.cdist``."""
    return torch.logsumexp(torch.cdist(queries, samples).square() * scale, dim=1)


def parzen(chunk: Chunk, queries: Tensor, samples: Tensor, sigma: float) -> Tensor:
    """Return log-likelihoods tile by tile."""
    norms = samples.square().sum(1)
    found = []
    for part in queries.split(QUERIES):
        total: Tensor | None = None
        for block, block_norms in zip(samples.split(SAMPLES), norms.split(SAMPLES), strict=True):
            sums = chunk(part, block, block_norms, -0.5 / sigma**2)
            total = sums if total is None else torch.logaddexp(total, sums)
        found.append(total)
    return torch.cat(found) - normaliser(samples, sigma)


def normaliser(samples: Tensor, sigma: float) -> float:
    """Return what turns log sums into log-likelihoods, in nats."""
    n_samples, n_features = samples.shape
    return math.log(n_samples) + n_features * math.log(sigma * math.sqrt(2 * math.pi))


def parzen_keops(queries: Tensor, samples: Tensor, sigma: float) -> Tensor:
    """Return log-likelihoods by a KeOps reduction, which its C++ compiler makes on first use."""
    squared = _keops_squared_distances(queries, samples)
    sums = (squared * (-0.5 / sigma**2)).logsumexp(dim=1)[:, 0]
    return sums - normaliser(samples, sigma)


def density(samples: Tensor, sigma: float, leaf_size: int) -> KernelDensity:
    """Fit scikit-learn's kernel density."""
    return KernelDensity(bandwidth=sigma, leaf_size=leaf_size).fit(samples.numpy())


def nearest_by_product(queries: Tensor, data: Tensor, norms: Tensor, k: int) -> Pair:
    """Return the nearest of one strip: product and arg-min. Norms are those of the data."""
    squared = queries.square().sum(1, keepdim=True) - 2 * (queries @ data.T) + norms
    if k == 1:
        found = squared.min(dim=1, keepdim=True)
        return found.values, found.indices
    best = torch.topk(squared, k, dim=1, largest=False)
    return best.values, best.indices


def nearest_by_cdist(queries: Tensor, data: Tensor, norms: Tensor, k: int) -> Pair:
    """Return the nearest of one strip through ``torch.cdist``."""
    best = torch.topk(torch.cdist(queries, data), k, dim=1, largest=False)
    return best.values.square(), best.indices


def nearest(chunk: Callable[..., Pair], queries: Tensor, data: Tensor, k: int) -> Pair:
    """Return nearest rows strip by strip; uint8 pixels as float32, which holds them exactly."""
    asked, rows = queries.float(), data.float()
    norms = rows.square().sum(1)
    parts = [chunk(part, rows, norms, k) for part in asked.split(QUERIES)]
    return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])


def nearest_keops(queries: Tensor, data: Tensor, k: int) -> Pair:
    """Return nearest rows by a KeOps reduction."""
    squared = _keops_squared_distances(queries.float(), data.float())
    found, indices = squared.Kmin_argKmin(k, dim=1)
    return found, indices


def faiss_index(data: Tensor) -> Any:
    """Return faiss's exact index."""
    faiss = package("faiss", "faiss-cpu")
    faiss.omp_set_num_threads(torch.get_num_threads())
    index = faiss.IndexFlatL2(data.shape[1])
    index.add(data.float().numpy())
    return index


def nearest_faiss(queries: Tensor, data: Tensor, k: int) -> Pair:
    """Return nearest rows by faiss's exact index, building counted."""
    return faiss_index(data).search(queries.float().numpy(), k)  # type: ignore[no-any-return]


def faiss_words() -> str:
    """Say which SIMD levels faiss was compiled for."""
    faiss = package("faiss", "faiss-cpu")
    return f"faiss {faiss.__version__}: {faiss.get_compile_options().strip()}"


def sklearn_index(data: Tensor, k: int) -> NearestNeighbors:
    """Return scikit-learn's brute-force neighbours."""
    package("sklearn", "scikit-learn")
    index = NearestNeighbors(n_neighbors=k, algorithm="brute")
    return index.fit(data.float().numpy())


def nearest_sklearn(queries: Tensor, data: Tensor, k: int) -> Pair:
    """Return nearest rows by scikit-learn's brute force, fitting counted."""
    found, indices = sklearn_index(data, k).kneighbors(queries.float().numpy())
    return found**2, indices


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile for the shapes at hand: the best that torch.compile can do, as they do not vary."""
    torch._dynamo.reset()
    return torch.compile(function, dynamic=False)


def _keops_squared_distances(queries: Tensor, rows: Tensor) -> Any:
    keops = package("pykeops", "pykeops")
    keops.set_verbose(False)
    lazy = importlib.import_module("pykeops.torch").LazyTensor
    return ((lazy(queries[:, None, :]) - lazy(rows[None, :, :])) ** 2).sum(2)
