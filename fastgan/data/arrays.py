"""Images in ``.npy`` and ``.npz`` files.

Headers are held against the file before any array is made, and arrays of Python objects, which
are pickles, are refused.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fastgan.data.dataset import UNIT_SIGMA_GRID, Dataset
from fastgan.data.scaling import finite_rows, unit_pixels

# A split by position: the last tenth is test, the tenth before it validation, the rest train.
_HELD_OUT_SHARE = 10


class _Header(NamedTuple):
    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]
    n_bytes: int
    offset: int


def load_npy(path: Path) -> Dataset:
    """Images of a ``.npy`` file, split by position (see :func:`from_images`).

    Raises
    ------
    ValueError
        If the file is damaged or does not hold images.
    """
    file_bytes = path.stat().st_size
    with path.open("rb") as file:
        header = _read_header(file, str(path), file_bytes)
    if header.n_bytes == 0:
        raise ValueError(f"{path}: expected at least one image, got shape {header.shape}")
    order = "F" if header.fortran_order else "C"
    array = np.memmap(path, header.dtype, "r", header.offset, header.shape, order)  # type: ignore[call-overload]
    return from_images(array, path.stem, f"images of {path}", where=str(path))


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
    try:
        with zipfile.ZipFile(path) as archive:
            members = {
                info.filename.removesuffix(".npy"): info
                for info in archive.infolist()
                if info.filename.endswith(".npy")
            }
            held = ", ".join(members) or "nothing"
            key = "images" if "images" in members or len(members) != 1 else next(iter(members))
            if key not in members:
                raise ValueError(f"{path}: expected an array named images, got: {held}")
            if needs_split and "split" not in members:
                raise ValueError(f"{path}: expected an array named split, got: {held}")
            images = _read_member(archive, members[key], path)
            others = {
                other: _read_member(archive, members[other], path)
                for other in ("labels", "split")
                if other in members and other != key
            }
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise ValueError(
            f"{path}: expected a whole npz file (a zip of .npy arrays), got one that is cut short, "
            f"damaged or of another kind ({error})"
        ) from error
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


def _read_header(stream: IO[bytes], where: str, n_stream_bytes: int) -> _Header:
    """Read the header of an .npy stream and hold it against what the stream holds."""
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, fortran_order, dtype = np.lib.format.read_array_header_2_0(stream)
        else:
            raise ValueError(f"format version {version}")
    except ValueError as error:
        raise ValueError(
            f"{where}: expected an array in NumPy's .npy format, version 1.0 or 2.0, got: "
            f"{(str(error).splitlines() or [''])[0]}"
        ) from error
    if dtype.hasobject:
        raise ValueError(
            f"{where}: expected numbers, got an array of Python objects, which is a pickle "
            "and never read"
        )
    if dtype.kind not in "biuf":
        raise ValueError(f"{where}: expected real numbers, got dtype {dtype}")
    n_bytes = math.prod(shape) * dtype.itemsize
    n_present = n_stream_bytes - stream.tell()
    if min(shape, default=0) < 0 or n_bytes != n_present:
        raise ValueError(
            f"{where}: expected shape {shape} of {dtype} = {n_bytes:,} bytes after the header, "
            f"got {n_present:,}: the file is {'cut short' if n_present < n_bytes else 'too long'}"
        )
    return _Header(shape, fortran_order, dtype, n_bytes, stream.tell())


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> npt.NDArray[Any]:
    where = f"{path}: {info.filename.removesuffix('.npy')}"
    with archive.open(info) as stream:
        header = _read_header(stream, where, info.file_size)
        data = stream.read()  # at most info.file_size bytes, whose checksum is tested
    if len(data) != header.n_bytes:
        raise ValueError(f"{where}: expected {header.n_bytes:,} bytes, got {len(data):,}")
    array = np.frombuffer(data, header.dtype)
    return array.reshape(header.shape, order="F" if header.fortran_order else "C")
