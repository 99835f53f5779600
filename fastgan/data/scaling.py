"""Bytes and floats of a file to float32 rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

# Rows at a time: 32 images of 3,072 float64 numbers are .8 MB and stay in a core's cache
# (20,000 images: .48 s, with 256 rows 1.1 s).
_CHUNK_ROWS = 32


def unit_pixels(images: npt.NDArray[np.uint8]) -> Tensor:
    """``images / 255`` as float32 rows, each quotient correctly rounded.

    Parameters
    ----------
    images : ndarray of shape (n, ...), uint8

    Returns
    -------
    Tensor of shape (n, n_features), float32
    """
    rows = np.empty((len(images), int(np.prod(images.shape[1:]))), np.float32)
    np.true_divide(images.reshape(rows.shape), np.float32(255.0), out=rows, dtype=np.float32)
    return torch.from_numpy(rows)


def finite_rows(images: npt.NDArray[Any], where: str) -> Tensor:
    """Floating images as float32 rows, taken as they are.

    Parameters
    ----------
    images : ndarray of shape (n, ...), floating or bool
    where : str
        The file (and array), for the error.

    Returns
    -------
    Tensor of shape (n, n_features), float32

    Raises
    ------
    ValueError
        If a value is NaN or infinite, or too large for float32.
    """
    with np.errstate(over="ignore"):  # an overflow becomes an infinity, which is refused below
        rows = np.array(images.reshape(len(images), -1), np.float32, order="C")
    finite = np.isfinite(rows)
    if not finite.all():
        row, column = np.unravel_index(int(np.argmin(finite)), rows.shape)
        raise ValueError(
            f"{where}: expected finite numbers in the range of float32, got "
            f"{images.reshape(len(images), -1)[row, column]} in image {row} "
            f"({rows.size - int(np.count_nonzero(finite)):,} of {rows.size:,} values)"
        )
    return torch.from_numpy(rows)


def contrast_normalized(images: npt.NDArray[np.uint8], scale: float = 55.0) -> Tensor:
    """Global contrast normalisation of each image, as the CIFAR-10 recipes want it.

    Each image loses the mean of its numbers and is divided by its L2 norm (taken after the
    subtraction) over ``scale``; an image whose norm / scale is below 1e-8 is not divided.
    Source: ``global_contrast_normalize(scale=55.)`` of pylearn2, named by the released
    ``cifar10_*.yaml``. Mean and norm come from whole-number sums, which float64 holds exactly, so
    the result does not depend on the order of summation.

    Parameters
    ----------
    images : ndarray of shape (n, ...), uint8
    scale : float, default=55.0
        L2 norm of every returned row.

    Returns
    -------
    Tensor of shape (n, n_features), float32
    """
    flat = images.reshape(len(images), -1)
    n_features = flat.shape[1]
    rows = np.empty(flat.shape, np.float32)
    buffer = np.empty((_CHUNK_ROWS, n_features))
    for start in range(0, len(flat), _CHUNK_ROWS):
        part = flat[start : start + _CHUNK_ROWS]
        chunk = buffer[: len(part)]
        chunk[...] = part
        total = chunk.sum(axis=1)
        squares = np.einsum("nf,nf->n", chunk, chunk)
        # whole numbers up to n_features^2 255^2 = 6e11 for 3,072 features: exact
        norm = np.sqrt((n_features * squares - total * total) / n_features)
        divisor = norm / scale
        divisor[divisor < 1e-8] = 1.0
        chunk -= (total / n_features)[:, None]
        out = rows[start : start + _CHUNK_ROWS]
        np.divide(chunk, divisor[:, None], out=out, casting="same_kind")
    return torch.from_numpy(rows)
