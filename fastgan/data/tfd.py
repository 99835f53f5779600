"""The Toronto Face Database: ``TFD_48x48.mat``, given out by its authors on request only.

The file holds ``images`` (n, 48, 48) uint8, ``folds`` (n, 5) with 0 unlabeled, 1 train, 2 valid,
3 test, and ``labs_ex`` (n, 1), the expression, 1 to 7 or -1. Source: pylearn2/datasets/tfd.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fastgan.data import matlab
from fastgan.data.dataset import Dataset
from fastgan.data.locate import FileSet, Search
from fastgan.data.scaling import unit_pixels
from fastgan.reading import open_regular

IMAGE_SIZE = 48
_UNLABELED, _VALIDATION, _TEST = 0, 2, 3
_CODES = "0 unlabeled, 1 train, 2 valid, 3 test"
_FIELDS = ("images", "folds", "labs_ex")

FILES = FileSet(
    name="tfd",
    subfolders=("tfd", "TFD", "faces/TFD"),
    alternatives=((("TFD_48x48.mat",),),),
    home=(
        "The Toronto Face Database is given out by its authors on request only; "
        "fer2013 is a stand-in, whose scores cannot be set beside the paper's"
    ),
)


def read(found: Search, fold: int) -> Dataset:
    """Read one fold.

    Train is the UNLABELED set, which is the same in every fold; validation and test are the
    fold's own. Pixels are divided by 255, expressions count from 0.

    Raises
    ------
    ValueError
        If the file is not a MATLAB 5 file with the fields above, or ``fold`` is not in it.
    """
    file = _open(found.paths[0])
    if not 0 <= fold < file.n_folds:
        raise ValueError(f"fold: expected 0 to {file.n_folds - 1}, got {fold}")
    chosen = file.rows_of(fold)
    return file.fold(fold, chosen, unit_pixels(file.images[chosen[_UNLABELED]]))


def read_folds(found: Search) -> tuple[Dataset, ...]:
    """Read all folds, which share one training tensor.

    Raises
    ------
    ValueError
        As :func:`read`, and if the folds do not have the same unlabeled images.
    """
    file = _open(found.paths[0])
    chosen = [file.rows_of(fold) for fold in range(file.n_folds)]
    unlabeled = chosen[0][_UNLABELED]
    for fold, rows in enumerate(chosen):
        if not np.array_equal(rows[_UNLABELED], unlabeled):
            raise ValueError(
                f"{file.path}: folds: expected the same unlabeled images in every fold, since one "
                f"model is trained for all, got others in fold {fold} than in fold 0"
            )
    train = unit_pixels(file.images[unlabeled])
    return tuple(file.fold(fold, rows, train) for fold, rows in enumerate(chosen))


class _File(NamedTuple):
    path: Path
    images: npt.NDArray[Any]
    folds: npt.NDArray[Any]
    labels: Tensor

    @property
    def n_folds(self) -> int:
        return int(self.folds.shape[1])

    def rows_of(self, fold: int) -> dict[int, npt.NDArray[np.bool_]]:
        """Return which images are of each set that is used, as a mask a code."""
        codes = self.folds[:, fold]
        if not np.isin(codes, (0, 1, 2, 3)).all():
            got = np.unique(codes).tolist()
            raise ValueError(f"{self.path}: folds: expected {_CODES}, got {got}")
        chosen = {code: codes == code for code in (_UNLABELED, _VALIDATION, _TEST)}
        for code, rows in chosen.items():
            if not rows.any():
                raise ValueError(
                    f"{self.path}: folds: expected images of every set ({_CODES}), got none with "
                    f"code {code} in fold {fold}"
                )
        return chosen

    def fold(self, fold: int, chosen: dict[int, npt.NDArray[np.bool_]], train: Tensor) -> Dataset:
        return Dataset(
            name="tfd",
            train=train,
            validation=unit_pixels(self.images[chosen[_VALIDATION]]),
            test=unit_pixels(self.images[chosen[_TEST]]),
            image_shape=(IMAGE_SIZE, IMAGE_SIZE, 1),
            validation_labels=self.labels[torch.from_numpy(chosen[_VALIDATION])],
            test_labels=self.labels[torch.from_numpy(chosen[_TEST])],
            source=f"Toronto Face Database, fold {fold} of {self.path}",
            comparable_to="TFD",
        )


def _open(path: Path) -> _File:
    fields = _load(path)
    images, folds, expressions = (fields[name] for name in _FIELDS)
    _check(path, images, folds, expressions)
    labels = torch.from_numpy(expressions.ravel().astype(np.int64) - 1)
    return _File(path, images, folds, labels)


def _load(path: Path) -> dict[str, npt.NDArray[Any]]:
    with open_regular(path) as file:
        if file.read(10) == b"MATLAB 7.3":
            raise ValueError(
                f"{path}: expected a MATLAB 5 file, got a MATLAB 7.3 (HDF5) file; "
                "save it again with -v7"
            )
    fields, names = matlab.read_numbers(path, _FIELDS)
    missing = [name for name in _FIELDS if name not in fields]
    if missing:
        raise ValueError(
            f"{path}: expected the fields {', '.join(_FIELDS)}, got no {', '.join(missing)} "
            f"(the file has: {', '.join(names) or 'nothing':.200})"
        )
    return fields


def _check(
    path: Path, images: npt.NDArray[Any], folds: npt.NDArray[Any], expressions: npt.NDArray[Any]
) -> None:
    if images.dtype != np.uint8:
        raise ValueError(f"{path}: images: expected uint8, got {images.dtype}")
    if images.ndim != 3 or images.shape[1:] != (IMAGE_SIZE, IMAGE_SIZE):
        raise ValueError(
            f"{path}: images: expected shape (n, {IMAGE_SIZE}, {IMAGE_SIZE}), got {images.shape}"
        )
    if folds.ndim != 2 or len(folds) != len(images):
        raise ValueError(
            f"{path}: folds: expected shape ({len(images)}, n_folds), one row an image, "
            f"got {folds.shape}"
        )
    whole = expressions.dtype.kind in "iuf" and bool((expressions == np.rint(expressions)).all())
    if expressions.size != len(images) or not whole:
        raise ValueError(
            f"{path}: labs_ex: expected {len(images)} whole numbers, one an image, got shape "
            f"{expressions.shape} of {expressions.dtype}"
        )
