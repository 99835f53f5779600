"""CIFAR-10, the binary version: six files of 10,000 records, or the archive that holds them.

A record is one label byte and 3,072 pixel bytes: the red, the green and the blue plane, each
32 x 32. Rows come out in the order (height, width, channels) like those of every other data set.
"""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from fastgan.data import tar
from fastgan.data.dataset import Dataset
from fastgan.data.download import fetch
from fastgan.data.locate import FileSet, Search
from fastgan.data.scaling import contrast_normalized
from fastgan.reading import damage_told, open_regular

IMAGE_SIZE = 32
RECORDS_A_FILE = 10_000
RECORD_BYTES = 1 + 3 * IMAGE_SIZE * IMAGE_SIZE
# cifar10_*.yaml: train start 0 stop 40000, monitor start 40000 stop 50000: the fifth file
_TRAIN_FILES = 4

BATCHES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
ARCHIVE = "cifar-10-binary.tar.gz"
_ARCHIVE_FOLDER = "cifar-10-batches-bin"
_ARCHIVE_MOST_MEMBERS = 32
_URLS = (f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}",)
_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"

# Ours. With the x55 scale a pixel's standard deviation is 55 / sqrt(3072) = .99, and with 10,000
# training images as centres the validation log-likelihood is greatest near sigma = .87, where
# [0, 1] pixels have it near .2; so the paper's decade from .1 to 1 does not fit. Ten points in a
# ratio of 1.167 from .4 to 1.6, half to twice that place.
SIGMA_GRID: tuple[float, ...] = tuple(0.4 * 4.0 ** (i / 9.0) for i in range(10))
# Ours, for pictures: three standard deviations to either side of mid-grey; .2 % of pixels clip.
PIXEL_RANGE = (-3.0, 3.0)

_SUBFOLDERS = ("cifar10", "CIFAR10", "cifar-10", "CIFAR-10")
FILES = FileSet(
    name="cifar10",
    subfolders=(
        *_SUBFOLDERS,
        _ARCHIVE_FOLDER,
        *(f"{folder}/{_ARCHIVE_FOLDER}" for folder in _SUBFOLDERS),
    ),
    alternatives=(tuple((name,) for name in BATCHES), ((ARCHIVE,),)),
    home=f"The binary version is given out at {_URLS[0]}",
)
PICKLED_FILES = FileSet(
    name="cifar10",
    subfolders=(
        *_SUBFOLDERS,
        "cifar-10-batches-py",
        *(f"{folder}/cifar-10-batches-py" for folder in _SUBFOLDERS),
    ),
    alternatives=((("data_batch_1",),), (("cifar-10-python.tar.gz",),)),
    home="",
)


def pickled_error(path: Path) -> ValueError:
    """Make the error for the version that is never read."""
    return ValueError(
        f"{path}: expected the binary version of CIFAR-10, got the python version, which is "
        "pickled and never read, since unpickling can run code; take the binary version, "
        f"{ARCHIVE}, from {_URLS[0]}"
    )


def download(folder: Path) -> tuple[Path, ...]:
    """Fetch the archive into ``folder`` and unpack the six files beside it.

    Only the six expected members are unpacked, each under its own name in ``folder`` whatever
    path the archive gives it, written aside and renamed when whole. The archive goes last.
    """
    archive = fetch(ARCHIVE, _URLS, _SHA256, folder)
    for name, data in read_archive(archive).items():
        aside = folder / f"{name}.{os.getpid()}.part"
        data.tofile(aside)
        aside.replace(folder / name)
    archive.unlink(missing_ok=True)  # another process may have been here too
    return tuple(folder / name for name in BATCHES)


def read(found: Search, fold: int) -> Dataset:
    """Read the six files found, or the archive.

    Train is images 0 to 39,999, validation 40,000 to 49,999, test the 10,000 test images, each
    with :func:`~fastgan.data.scaling.contrast_normalized` to norm 55.

    Raises
    ------
    ValueError
        If a file has another length than 10,000 records or a label above 9, or the archive is
        damaged or lacks a file.
    """
    n_train, n_file = _TRAIN_FILES * RECORDS_A_FILE, RECORDS_A_FILE
    records = np.empty((6 * n_file, RECORD_BYTES), np.uint8)
    if len(found.paths) == 1:
        members = read_archive(found.paths[0])
        for i, name in enumerate(BATCHES):
            records[i * n_file : (i + 1) * n_file] = members.pop(name).reshape(n_file, -1)
    else:
        for i, path in enumerate(found.paths):
            read_batch(path, records[i * n_file : (i + 1) * n_file])
    _check_labels(records[:, 0], found)
    planes = records[:, 1:].reshape(-1, 3, IMAGE_SIZE, IMAGE_SIZE)
    rows = contrast_normalized(planes.transpose(0, 2, 3, 1))
    labels = torch.from_numpy(records[:, 0].astype(np.int64))
    sizes = [n_train, n_file, n_file]
    train, validation, test = rows.split(sizes)
    train_labels, validation_labels, test_labels = labels.split(sizes)
    return Dataset(
        name="cifar10",
        train=train,
        validation=validation,
        test=test,
        image_shape=(IMAGE_SIZE, IMAGE_SIZE, 3),
        train_labels=train_labels,
        validation_labels=validation_labels,
        test_labels=test_labels,
        sigma_grid=SIGMA_GRID,
        source=f"CIFAR-10, binary version in {found.folder}",
        pixel_range=PIXEL_RANGE,
    )


def read_batch(path: Path, records: npt.NDArray[np.uint8]) -> None:
    """Read one file into ``records``, of shape (RECORDS_A_FILE, RECORD_BYTES)."""
    with open_regular(path) as file:
        n_bytes = file.n_bytes
        if n_bytes != records.size:
            if file.read(2) in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
                raise pickled_error(path)
            raise ValueError(
                f"{path}: expected {len(records):,} records of {RECORD_BYTES:,} bytes = "
                f"{records.size:,}, got {n_bytes:,} bytes"
            )
        n_read = file.readinto(records.data)
    if n_read != records.size:
        raise ValueError(f"{path}: expected {records.size:,} bytes, got only {n_read:,}")


def read_archive(path: Path) -> dict[str, npt.NDArray[np.uint8]]:
    """Read the six files of the archive into memory; no other member is read, nothing written.

    Raises
    ------
    ValueError
        If the archive is damaged, lacks a file, or a file has another length than it must.
    """
    expected = {f"{_ARCHIVE_FOLDER}/{name}": name for name in BATCHES}
    n_bytes = RECORDS_A_FILE * RECORD_BYTES
    members: dict[str, npt.NDArray[np.uint8]] = {}
    with (
        open_regular(path) as file,
        damage_told(path, "a whole tar.gz archive"),
        gzip.GzipFile(fileobj=file, mode="rb") as stream,
    ):
        # Neither a member's size nor their number may run away with the time.
        for member, content in tar.members(stream, str(path), _ARCHIVE_MOST_MEMBERS, n_bytes):
            name = expected.get(member.name.removeprefix("./"))
            if name is None:
                continue
            if not member.is_file or member.n_bytes != n_bytes:
                raise ValueError(
                    f"{path}: expected {member.name} to be a file of {RECORDS_A_FILE:,} "
                    f"records = {n_bytes:,} bytes, got {member.n_bytes:,}"
                )
            members[name] = np.frombuffer(content, np.uint8)
    missing = [name for name in BATCHES if name not in members]
    if missing:
        raise ValueError(
            f"{path}: expected the six files of {_ARCHIVE_FOLDER}/, got none named "
            f"{', '.join(missing)}"
        )
    return members


def _check_labels(labels: npt.NDArray[np.uint8], found: Search) -> None:
    wrong = np.flatnonzero(labels > 9)
    if len(wrong):
        file, record = divmod(int(wrong[0]), RECORDS_A_FILE)
        path = found.paths[0] if len(found.paths) == 1 else found.paths[file]
        raise ValueError(
            f"{path}: expected labels 0 to 9, got {labels[wrong[0]]} in record {record} of "
            f"{BATCHES[file]}: not a CIFAR-10 file"
        )
