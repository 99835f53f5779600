"""A picture of the nearest pairs: what looks most like a copy, seen rather than measured."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastgan.data import Dataset
from fastgan.figures import BACKGROUND, FRAME, image_cells, save_picture, tile
from fastgan.memorisation_result import Memorisation

_CELL = 168  # an image is enlarged to about this many screen pixels: 84 points on a 2x screen
N_COLUMNS = 5  # pairs a row


def nearest_pairs(
    found: Memorisation,
    samples: NDArray[Any] | Tensor,
    dataset: Dataset,
    path: str | os.PathLike[str],
    *,
    scale: int | None = None,
) -> Path:
    """Write the samples nearest to training images, each beside its training image.

    Five pairs a row, the nearest first: up to ten samples, then, a little apart, up to ten test
    images, each with its nearest training image to its right, framed in yellow as in the paper's
    Figure 2. The lower rows show how alike two different images of the data can be.

    Parameters
    ----------
    found : Memorisation
        What :func:`fastgan.memorisation.check_memorisation` found.
    samples : Tensor or ndarray of shape (n_samples, n_features), floating point
        Those that were checked.
    dataset : Dataset
        The one that they were checked against.
    path : str or os.PathLike
        The PNG file; its folder must exist.
    scale : int, optional
        Screen pixels an image pixel; enough for images of about 168 if left out.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        If there are fewer samples or images than were checked, or a shape or the scale does not
        fit.
    OSError
        If the file cannot be written.
    """
    for name, rows, n_checked in (
        ("samples", samples, found.n_samples),
        ("dataset.test", dataset.test, found.n_held_out),
        ("dataset.train", dataset.train, found.n_train),
    ):
        if len(rows) < n_checked:
            raise ValueError(f"{name}: expected the {n_checked:,} checked, got {len(rows):,}")
    if scale is None:
        scale = max(1, round(_CELL / max(dataset.image_shape[:2])))
    of_samples = tile(
        _pairs(samples, found.near_samples, found.near_samples_images, dataset, scale), N_COLUMNS
    )
    of_test = tile(
        _pairs(dataset.test, found.near_held_out, found.near_held_out_images, dataset, scale),
        N_COLUMNS,
    )
    strip = np.full((_gap(scale * dataset.image_shape[0]) * 3, of_test.shape[1], 3), BACKGROUND)
    canvas = np.concatenate([of_samples, strip.astype(np.uint8), of_test])
    description = (
        f"The {len(found.near_samples)} samples nearest to a training image, each beside it "
        f"(framed), nearest first; below, the same of test images; data set {dataset.name}"
    )
    return save_picture(canvas, path, "Nearest pairs", description)


def _pairs(
    rows: NDArray[Any] | Tensor,
    numbers: tuple[int, ...],
    images: tuple[int, ...],
    dataset: Dataset,
    scale: int,
) -> list[NDArray[np.uint8]]:
    """Return pictures of pairs, uint8 of shape (height, width, 3) each."""
    chosen = rows[list(numbers)]  # of a mapped file too, only these are read
    if isinstance(chosen, np.ndarray):
        chosen = torch.from_numpy(chosen.astype(np.float64))  # whatever the file's byte order
    left = image_cells(chosen, dataset, scale)
    right = image_cells(dataset.train[list(images)], dataset, scale)
    height, width = left.shape[1:3]
    frame = _gap(height)
    size = (height + 2 * frame, 2 * width + 8 * frame, 3)  # room at both sides keeps pairs apart
    found = []
    for one, other in zip(left, right, strict=True):
        pair = np.empty(size, dtype=np.uint8)
        pair[:] = BACKGROUND
        pair[frame:-frame, 2 * frame : 2 * frame + width] = one
        pair[:, width + 4 * frame : -2 * frame] = FRAME
        pair[frame:-frame, width + 5 * frame : -3 * frame] = other
        found.append(pair)
    return found


def _gap(height: int) -> int:
    return max(2, round(height / 28))
