"""Images in ``.npy`` and ``.npz`` files.

Headers are held against the file before any array is made, and arrays of Python objects, which
are pickles, are refused.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fastgan.data import npy
from fastgan.data.dataset import UNIT_SIGMA_GRID, Dataset
from fastgan.data.scaling import finite_rows, unit_pixels
from fastgan.reading import (
    MOST_BYTES_A_DEFLATED_BYTE,
    MOST_UNPACKED_BYTES,
    damage_told,
    open_regular,
    read_exactly,
)

# A split by position: the last tenth is test, the tenth before it validation, the rest train.
_HELD_OUT_SHARE = 10


def load_npy(path: Path) -> Dataset:
    """Images of a ``.npy`` file, split by position (see :func:`from_images`).

    Raises
    ------
    ValueError
        If the file is damaged or does not hold images.
    """
    array = map_npy(path)
    return from_images(array, path.stem, f"images of {path}", where=str(path))


def map_npy(path: Path) -> npt.NDArray[Any]:
    """Map the array of real numbers in a ``.npy`` file: nothing is read until it is looked at.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is damaged, or does not hold at least one real number.
    """
    with open_regular(path) as file:
        header = npy.read_header(file, str(path), file.n_bytes)
        if header.n_bytes == 0:
            raise ValueError(f"{path}: expected at least one image, got shape {header.shape}")
        order: Literal["F", "C"] = "F" if header.fortran_order else "C"
        return np.memmap(file, header.dtype, "r", header.offset, header.shape, order)


def load_npz(
    path: Path,
    name: str | None = None,
    image_size: tuple[int, int] | None = None,
    *,
    needs_split: bool = False,
) -> Dataset:
    """Images of a ``.npz`` file.

    It holds ``images``, and may hold ``labels`` (one whole number an image) and ``split`` (0
    train, 1 validation, 2 test). Without ``split`` the sets are cut by position (see
    :func:`from_images`). A file with one array of any name is read as images. Other arrays are
    not touched.

    Parameters
    ----------
    path : Path
    name : str or None
        The data set's name; the file's, if None.
    image_size : (height, width) or None
        If given, images must be uint8 of this size.
    needs_split : bool, default=False
        Whether ``split`` must be there.

    Raises
    ------
    ValueError
        If the file is damaged or the arrays are not as described.
    """
    with (
        open_regular(path) as file,
        damage_told(path, "a whole npz file (a zip of .npy arrays)"),
        zipfile.ZipFile(file) as archive,
    ):
        members = {
            info.filename.removesuffix(".npy"): info
            for info in archive.infolist()
            if info.filename.endswith(".npy")
        }
        held = f"{', '.join(members) or 'nothing':.200}"
        key = "images" if "images" in members or len(members) != 1 else next(iter(members))
        if key not in members:
            raise ValueError(f"{path}: expected an array named images, got: {held}")
        if needs_split and "split" not in members:
            raise ValueError(f"{path}: expected an array named split, got: {held}")
        images = _read_member(archive, members[key], path, file.n_bytes)
        others = {
            other: _read_member(archive, members[other], path, file.n_bytes)
            for other in ("labels", "split")
            if other in members and other != key
        }
    if image_size is not None and (images.dtype != np.uint8 or images.shape[1:] != image_size):
        raise ValueError(
            f"{path}: {key}: expected shape (n, {image_size[0]}, {image_size[1]}) of uint8, "
            f"got {images.shape} of {images.dtype}"
        )
    return from_images(
        images,
        name or path.stem,
        f"images of {path}",
        where=f"{path}: {key}",
        labels=others.get("labels"),
        split=others.get("split"),
    )


def from_images(
    images: npt.NDArray[Any],
    name: str,
    source: str,
    *,
    where: str,
    labels: npt.NDArray[Any] | None = None,
    split: npt.NDArray[Any] | None = None,
) -> Dataset:
    """Make a data set of an array of images.

    uint8 is divided by 255. Floats and booleans are taken as they are; where floats leave [0, 1],
    the least and the greatest number of the training set become black and white in pictures, and
    the grid of sigmas is stretched by their difference. Without ``split``, the last tenth of the
    images (at least one) is the test set, the tenth before it the validation set, the rest the
    training set, in the order of the array.

    Parameters
    ----------
    images : ndarray of shape (n, height, width), (n, height, width, channels) or (n, n_features)
        uint8, floating or bool; 1 or 3 channels. Rows of a square number of features are square
        images, others one pixel high.
    name, source : str
    where : str
        File and array, for errors.
    labels : ndarray of shape (n,) or (n, 1), integer, or None
    split : ndarray of shape (n,), integer, or None
        0 train, 1 validation, 2 test.

    Raises
    ------
    ValueError
        If shapes, dtypes or values are not as described.
    """
    image_shape = _image_shape(images, where)
    if images.dtype == np.uint8:
        rows = unit_pixels(images)
    elif images.dtype.kind in "fb":
        rows = finite_rows(images, where)
    else:
        raise ValueError(
            f"{where}: expected uint8 (0 to 255), floating or bool images, got {images.dtype}"
        )
    parts, how = _parts(len(images), split, where)
    label_column = None if labels is None else _labels(labels, len(images), where)
    train, validation, test = (rows[part] for part in parts)
    train_labels, validation_labels, test_labels = (
        None if label_column is None else label_column[part] for part in parts
    )
    pixel_range, sigma_grid = (0.0, 1.0), UNIT_SIGMA_GRID
    low, high = float(rows.min()), float(rows.max())
    if low < 0.0 or high > 1.0:
        pixel_range = float(train.min()), float(train.max())
        if pixel_range[0] == pixel_range[1]:
            raise ValueError(f"{where}: expected images that vary, got {low} everywhere in train")
        width = pixel_range[1] - pixel_range[0]
        sigma_grid = tuple(sigma * width for sigma in UNIT_SIGMA_GRID)
    return Dataset(
        name=name,
        train=train,
        validation=validation,
        test=test,
        image_shape=image_shape,
        train_labels=train_labels,
        validation_labels=validation_labels,
        test_labels=test_labels,
        sigma_grid=sigma_grid,
        source=f"{source}, {how}",
        pixel_range=pixel_range,
    )


def _parts(
    n_images: int, split: npt.NDArray[Any] | None, where: str
) -> tuple[list[slice] | list[Tensor], str]:
    if split is None:
        n_held_out = max(1, n_images // _HELD_OUT_SHARE)
        n_train = n_images - 2 * n_held_out
        if n_train < 1:
            raise ValueError(
                f"{where}: expected at least 3 images (train, validation, test), got {n_images}"
            )
        return [
            slice(0, n_train),
            slice(n_train, n_train + n_held_out),
            slice(n_train + n_held_out, n_images),
        ], "split by position (last tenth test, the tenth before it validation)"
    if split.shape != (n_images,) or split.dtype.kind not in "iu":
        raise ValueError(
            f"{where}: split: expected shape ({n_images},) of whole numbers, got {split.shape} "
            f"of {split.dtype}"
        )
    present = np.unique(split).tolist()
    if present != [0, 1, 2]:
        raise ValueError(
            f"{where}: split: expected 0 train, 1 validation and 2 test, each at least once, "
            f"got {present[:10]}"
        )
    return [torch.from_numpy(np.flatnonzero(split == code)) for code in range(3)], (
        "split as the file says"
    )


def _labels(labels: npt.NDArray[Any], n_images: int, where: str) -> Tensor:
    if labels.dtype.kind not in "iu":
        raise ValueError(f"{where}: labels: expected whole numbers, got {labels.dtype}")
    if labels.shape not in ((n_images,), (n_images, 1)):
        raise ValueError(
            f"{where}: labels: expected {n_images:,} labels, one an image, got shape {labels.shape}"
        )
    return torch.from_numpy(labels.reshape(-1).astype(np.int64))


def _image_shape(images: npt.NDArray[Any], where: str) -> tuple[int, int, int]:
    shape = images.shape
    if len(shape) not in (2, 3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)):
        hint = ""
        if len(shape) == 4 and shape[1] in (1, 3):
            hint = "; move the channels to the end"
        raise ValueError(
            f"{where}: expected shape (n, height, width), (n, height, width, channels) with 1 or "
            f"3 channels, or (n, n_features), got {shape}{hint}"
        )
    if 0 in shape:
        raise ValueError(f"{where}: expected at least one image and pixel, got shape {shape}")
    if len(shape) == 2:
        side = math.isqrt(shape[1])
        return (side, side, 1) if side * side == shape[1] else (1, shape[1], 1)
    return shape[1], shape[2], shape[3] if len(shape) == 4 else 1


def _read_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, file_bytes: int
) -> npt.NDArray[Any]:
    """Read an array; what the directory says of it is held against the file first."""
    where = f"{path}: {info.filename.removesuffix('.npy')}"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # the others pack gigabytes into a kilobyte
        raise ValueError(
            f"{where}: expected a plain or a deflated array, got one of another compression (type "
            f"{info.compress_type})"
        )
    most = info.compress_size
    if info.compress_type == zipfile.ZIP_DEFLATED:
        most = min(most * MOST_BYTES_A_DEFLATED_BYTE, MOST_UNPACKED_BYTES)
    if info.compress_size > file_bytes or info.file_size > most:
        raise ValueError(
            f"{where}: the archive promises {info.file_size:,} bytes of {info.compress_size:,} in "
            f"a file of {file_bytes:,}; expected at most {most:,}"
        )
    with archive.open(info) as stream:
        header = npy.read_header(stream, where, info.file_size)
        data = read_exactly(stream, header.n_bytes)
        if len(data) != header.n_bytes or stream.read(1):  # the end: its checksum is tested
            raise ValueError(f"{where}: expected {header.n_bytes:,} bytes, got {len(data):,}")
    array = np.frombuffer(data, header.dtype)
    return array.reshape(header.shape, order="F" if header.fortran_order else "C")
