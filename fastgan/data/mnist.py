"""MNIST: four IDX files, split as the paper's recipe splits them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from fastgan.data import idx
from fastgan.data.dataset import Dataset
from fastgan.data.download import fetch
from fastgan.data.locate import FileSet, Search
from fastgan.data.scaling import unit_pixels

# mnist.yaml: train start 0 stop 50000, monitor start 50000 stop 60000, which_set "test"
N_TRAIN = 50_000
N_VALIDATION = 10_000
N_TEST = 10_000
# PROTOCOL: sigma is chosen on training images 50,000 to 50,999 (ll_mnist.py)
SIGMA_IMAGES = 1000
IMAGE_SIZE = 28

_STEMS = ("train-images", "train-labels", "t10k-images", "t10k-labels")
_DIMENSIONS = (3, 1, 3, 1)
_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
# of the four files as the mirrors give them out, gzip
_SHA256 = (
    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
)
# of the unpacked image files: what makes a log-likelihood comparable with the paper's
_MD5_TRAIN_IMAGES = "6bbc9ace898e44ae57da46a324031adb"
_MD5_TEST_IMAGES = "2646ac647ad5339dbf082846283269ea"


def _names(stem: str, n_dimensions: int) -> tuple[str, ...]:
    # Some unpackers turn the dash before "idx" into a dot.
    dash, dot = f"{stem}-idx{n_dimensions}-ubyte", f"{stem}.idx{n_dimensions}-ubyte"
    return f"{dash}.gz", dash, f"{dot}.gz", dot


FILES = FileSet(
    name="mnist",
    subfolders=("mnist", "MNIST", "mnist/raw", "MNIST/raw"),
    alternatives=(tuple(map(_names, _STEMS, _DIMENSIONS)),),
    home=f"They are given out, packed with gzip, at {_MIRRORS[0]} and {_MIRRORS[1]}",
)


def download(folder: Path) -> tuple[Path, ...]:
    """Fetch the four files into ``folder``; :class:`DownloadError` if no mirror has them."""
    return tuple(
        fetch(names[0], tuple(mirror + names[0] for mirror in _MIRRORS), sha256, folder)
        for names, sha256 in zip(FILES.alternatives[0], _SHA256, strict=True)
    )


def read(found: Search, fold: int) -> Dataset:
    """Read the four files found.

    Train is training images 0 to 49,999, validation 50,000 to 59,999, test the 10,000 test
    images; pixels are divided by 255. ``comparable_to`` is ``"MNIST"`` only if the images have
    the checksums of the original files: other data in MNIST's format, such as Fashion-MNIST, is
    read too.

    Raises
    ------
    ValueError
        If a file is damaged, or its counts or image size are not MNIST's.
    """
    train_images, train_labels = _read_pair(found.paths[0], found.paths[1], N_TRAIN + N_VALIDATION)
    test_images, test_labels = _read_pair(found.paths[2], found.paths[3], N_TEST)
    original = _md5(train_images) == _MD5_TRAIN_IMAGES and _md5(test_images) == _MD5_TEST_IMAGES
    rows = unit_pixels(train_images)
    labels = torch.from_numpy(train_labels.astype(np.int64))
    return Dataset(
        name="mnist",
        train=rows[:N_TRAIN],
        validation=rows[N_TRAIN:],
        test=unit_pixels(test_images),
        image_shape=(IMAGE_SIZE, IMAGE_SIZE, 1),
        train_labels=labels[:N_TRAIN],
        validation_labels=labels[N_TRAIN:],
        test_labels=torch.from_numpy(test_labels.astype(np.int64)),
        sigma_images=SIGMA_IMAGES,
        source=(
            f"MNIST, IDX files in {found.folder}"
            if original
            else f"IDX files in {found.folder} which are NOT the original MNIST (checksums differ)"
        ),
        comparable_to="MNIST" if original else None,
    )


def _read_pair(
    images_path: Path, labels_path: Path, n_images: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    images = idx.read_idx(images_path, 3)
    labels = idx.read_idx(labels_path, 1)
    if len(labels) != len(images):
        raise ValueError(
            f"{labels_path}: expected {len(images):,} labels, one for each image of "
            f"{images_path.name}, got {len(labels):,}"
        )
    if images.shape != (n_images, IMAGE_SIZE, IMAGE_SIZE):
        got = " x ".join(f"{size:,}" for size in images.shape)
        raise ValueError(
            f"{images_path}: expected {n_images:,} images of {IMAGE_SIZE} x {IMAGE_SIZE}, "
            f"got {got}; other images load by the path of their file"
        )
    return images, labels


def _md5(images: npt.NDArray[np.uint8]) -> str:
    digest = hashlib.md5(idx.header(images.shape), usedforsecurity=False)
    digest.update(images.data)
    return digest.hexdigest()
