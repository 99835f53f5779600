"""What a data set is to the rest of the library: three sets of rows and how to look at them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# logspace(-1, 0, 10), the grid of the released parzen_ll.py. It fits pixels in [0, 1].
UNIT_SIGMA_GRID: tuple[float, ...] = tuple(10.0 ** (-1.0 + i / 9.0) for i in range(10))


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Images as rows of float32 numbers, in three sets.

    A row is an image flattened in the order (height, width, channels), whatever order the file
    had. Build one by hand to train on images that no reader knows.

    Parameters
    ----------
    name : str
        Short name, such as ``"mnist"``.
    train, validation, test : Tensor of shape (n, n_features), float32
        The scaled pixels. None of the three may be empty.
    image_shape : tuple of int
        (height, width, channels); their product is n_features.
    train_labels, validation_labels, test_labels : Tensor of shape (n,), int64, or None
        Class numbers where the files have them. The library trains without labels.
    sigma_images : int, default=0
        How many images, counted from the first of ``validation``, choose sigma. 0 means all.
    sigma_grid : tuple of float
        The sigmas to choose from, in the units of the rows.
    source : str
        What was read, in words for a report.
    comparable_to : {"MNIST", "TFD"} or None
        The column of the paper's Table 1 that log-likelihoods of this data may be set beside.
    pixel_range : tuple of float, default=(0.0, 1.0)
        The numbers shown as black and as white by :meth:`to_pixels`.

    Raises
    ------
    TypeError
        If a set is not a float32 tensor, or labels are not an int64 tensor.
    ValueError
        If shapes disagree or a set is empty.
    """

    name: str
    train: Tensor
    validation: Tensor
    test: Tensor
    image_shape: tuple[int, int, int]
    train_labels: Tensor | None = None
    validation_labels: Tensor | None = None
    test_labels: Tensor | None = None
    sigma_images: int = 0
    sigma_grid: tuple[float, ...] = UNIT_SIGMA_GRID
    source: str = "given in memory"
    comparable_to: str | None = None
    pixel_range: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if len(self.image_shape) != 3 or min(self.image_shape) < 1:
            raise ValueError(
                "image_shape: expected three positive numbers (height, width, channels), "
                f"got {self.image_shape}"
            )
        for which in ("train", "validation", "test"):
            self._check_set(which, getattr(self, which), getattr(self, f"{which}_labels"))
        if self.sigma_images == 0:
            object.__setattr__(self, "sigma_images", len(self.validation))
        if not 1 <= self.sigma_images <= len(self.validation):
            raise ValueError(
                f"sigma_images: expected 1 to {len(self.validation)} (the validation set), "
                f"got {self.sigma_images}"
            )
        if not self.sigma_grid or not all(0.0 < sigma < float("inf") for sigma in self.sigma_grid):
            raise ValueError(f"sigma_grid: expected positive finite numbers, got {self.sigma_grid}")
        low, high = self.pixel_range
        if not -float("inf") < low < high < float("inf"):
            raise ValueError(f"pixel_range: expected low < high, both finite, got {low}, {high}")

    def _check_set(self, which: str, rows: Tensor, labels: Tensor | None) -> None:
        if not isinstance(rows, Tensor) or rows.dtype != torch.float32:
            got = rows.dtype if isinstance(rows, Tensor) else type(rows).__name__
            raise TypeError(f"{which}: expected a float32 tensor, got {got}")
        if rows.ndim != 2 or rows.shape[1] != self.n_features:
            raise ValueError(
                f"{which}: expected shape (n, {self.n_features}) for images of shape "
                f"{self.image_shape}, got {tuple(rows.shape)}"
            )
        if len(rows) == 0:
            raise ValueError(f"{which}: expected at least one image, got none")
        if labels is None:
            return
        if not isinstance(labels, Tensor) or labels.dtype != torch.int64:
            got = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
            raise TypeError(f"{which}_labels: expected an int64 tensor or None, got {got}")
        if labels.shape != (len(rows),):
            raise ValueError(
                f"{which}_labels: expected shape ({len(rows)},), one label an image, "
                f"got {tuple(labels.shape)}"
            )

    @property
    def n_features(self) -> int:
        """Numbers in a row: height x width x channels."""
        height, width, channels = self.image_shape
        return height * width * channels

    def __repr__(self) -> str:
        height, width, channels = self.image_shape
        return (
            f"Dataset({self.name!r}: {len(self.train):,} train, {len(self.validation):,} "
            f"validation, {len(self.test):,} test images of {height} x {width} x {channels})"
        )

    def to_pixels(self, rows: Tensor) -> Tensor:
        """Rows as images to look at.

        ``clip((rows - low) / (high - low), 0, 1)`` with (low, high) = ``pixel_range``: one fixed
        map for every image, so that brightness can be compared between pictures. For [0, 1]
        pixels it only clips. For CIFAR-10, whose rows have lost their mean and contrast, 0 is
        mid-grey.

        Parameters
        ----------
        rows : Tensor of shape (n, n_features), floating
            Images or samples in the units of ``train``.

        Returns
        -------
        Tensor of shape (n, height, width, channels), float32
            Pixels in [0, 1], on the device of ``rows``.

        Raises
        ------
        TypeError
            If ``rows`` is not a floating tensor.
        ValueError
            If ``rows`` does not have n_features columns.
        """
        if not isinstance(rows, Tensor) or not rows.is_floating_point():
            got = rows.dtype if isinstance(rows, Tensor) else type(rows).__name__
            raise TypeError(f"rows: expected a floating tensor, got {got}")
        if rows.ndim != 2 or rows.shape[1] != self.n_features:
            raise ValueError(
                f"rows: expected shape (n, {self.n_features}), got {tuple(rows.shape)}"
            )
        low, high = self.pixel_range
        pixels = rows.detach().to(torch.float32)
        if (low, high) != (0.0, 1.0):
            pixels = (pixels - low) / (high - low)
        return pixels.clamp(0.0, 1.0).reshape(-1, *self.image_shape)
