"""Images to measure distances between, and samples as a trained model draws them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import fastgan
from benchmarks.devices import Demand
from fastgan.data import Dataset, cifar10, locate
from fastgan.ops import philox

NOISE_ROWS = 50_000  # rows a Philox step, so that a million samples need no second copy


class TooFewError(ValueError):
    """A file of samples, or a data set, holds fewer rows than a comparison asks for."""


def images() -> Dataset:
    """Return MNIST where it is at hand, else scikit-learn's digits."""
    try:
        return fastgan.load_dataset("mnist", download=False)
    except FileNotFoundError:
        return fastgan.load_dataset("digits")


def queries(dataset: Dataset, n_queries: int) -> Tensor:
    """Return test images, float32; repeated where there are fewer (digits: 300)."""
    n_test = len(dataset.test)
    return dataset.test.repeat(-(-n_queries // n_test), 1)[:n_queries].contiguous()


def samples(dataset: Dataset, n_samples: int, file: Path | None) -> Tensor:
    """Return samples, float32: those of a file, or noisy training images.

    A trained generator's samples are what the library is for; give them as a file. Without one,
    training images with a little noise, clipped to [0, 1], are near the data, as a generator's are,
    but no copies of it.

    Raises
    ------
    TooFewError
        If the file holds fewer.
    ValueError
        If it does not hold float32 rows as wide as the images.
    """
    if file is not None:
        return torch.from_numpy(np.array(mapped(file, dataset.n_features, n_samples)))
    return noisy(dataset.train, n_samples)


def noisy(images: Tensor, n_samples: int) -> Tensor:
    """Return images, from the first again where they are too few, with a little noise: float32."""
    drawn = torch.empty((n_samples, images.shape[1]), dtype=torch.float32)
    for step, part in enumerate(drawn.split(NOISE_ROWS)):
        noise = philox.normal(tuple(part.shape), seed=0, step=step, stream=0)
        rows = (torch.arange(len(part)) + step * NOISE_ROWS) % len(images)
        torch.add(images[rows], noise, alpha=0.1, out=part).clamp_(0.0, 1.0)
    return drawn


def mapped(file: Path, n_features: int, n_samples: int) -> np.ndarray:
    """Return the first rows of a ``.npy`` file without reading them."""
    rows = np.load(file, mmap_mode="r", allow_pickle=False)
    if rows.ndim != 2 or rows.shape[1] != n_features or rows.dtype != np.float32:
        raise ValueError(
            f"samples: expected float32 numbers of shape (n, {n_features}) in {file}, got "
            f"{rows.dtype} of shape {rows.shape}"
        )
    if len(rows) < n_samples:
        raise TooFewError(f"{n_samples:,} samples are needed, the file holds {len(rows):,}")
    return rows[:n_samples]


def demand_of_pairs(queries: Tensor, rows: Tensor, n_sigmas: int = 0) -> Demand:
    """Return what all pairs take: a dense product, the sums around it, an exponential a sigma."""
    n_pairs = float(len(queries)) * len(rows)
    return Demand(
        product_flops=2.0 * n_pairs * queries.shape[1],
        vector_flops=(3.0 + 2.0 * n_sigmas) * n_pairs,
        special_functions=n_sigmas * n_pairs,
        n_bytes=queries.nbytes + rows.nbytes,
    )


def source(dataset: Dataset, file: Path | None) -> str:
    """Say in words what is measured on."""
    return f"{dataset.name}, {'noisy training images' if file is None else 'generated samples'}"


def cifar10_pixels() -> tuple[Tensor, Tensor]:
    """Return CIFAR-10's 10,000 test and 50,000 training images as they are: uint8, 3,072 columns.

    Raises
    ------
    FileNotFoundError
        If its binary version is neither in the folder of FASTGAN_DATA nor in the cache.
    """
    folders = [*locate.user_folders(None), (locate.cache_folder("cifar10"), locate.CACHE)]
    found = locate.search(cifar10.FILES, folders)
    if len(found.paths) != len(cifar10.BATCHES):
        raise FileNotFoundError("the six files of CIFAR-10's binary version are not at hand")
    records = np.empty((len(found.paths) * cifar10.RECORDS_A_FILE, cifar10.RECORD_BYTES), np.uint8)
    for path, part in zip(found.paths, np.split(records, len(found.paths)), strict=True):
        cifar10.read_batch(path, part)
    pixels = torch.from_numpy(records[:, 1:].copy())
    train, test = pixels.split([50_000, 10_000])
    return test, train


def noise(n_rows: int, n_features: int, stream: int) -> Tensor:
    """Return isotropic Gaussian noise of variance 1, float32: no bound can prune it."""
    return philox.normal((n_rows, n_features), seed=0, step=0, stream=stream)
