"""Faces of FER2013 in an npz file: the stand-in for the Toronto Face Database."""

from __future__ import annotations

from dataclasses import replace

from fastgan.data import arrays
from fastgan.data.dataset import Dataset
from fastgan.data.locate import FileSet, Search

IMAGE_SIZE = 48

FILES = FileSet(
    name="fer2013",
    subfolders=("fer2013", "FER2013"),
    alternatives=((("fer2013*.npz",),),),
    home=(
        "The file is made from FER2013 by hand: images (n, 48, 48) uint8, labels (n,) and "
        "split (n,) with 0 train, 1 validation, 2 test"
    ),
)


def read(found: Search, fold: int) -> Dataset:
    """Read the npz found; pixels are divided by 255, the sets are those of its ``split``.

    Raises
    ------
    ValueError
        If the file is damaged or is not 48 x 48 uint8 images with ``split``.
    """
    dataset = arrays.load_npz(
        found.paths[0], name="fer2013", image_size=(IMAGE_SIZE, IMAGE_SIZE), needs_split=True
    )
    return replace(dataset, source=f"FER2013, a stand-in for TFD: {dataset.source}")
