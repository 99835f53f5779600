from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from fastgan import Dataset
from fastgan.data import UNIT_SIGMA_GRID


def dataset(**change):
    rows = torch.linspace(0.0, 1.0, 60).reshape(5, 12)
    fields = {
        "name": "made up",
        "train": rows,
        "validation": rows[:3],
        "test": rows[:2],
        "image_shape": (2, 2, 3),
    }
    return Dataset(**fields | change)


def test_defaults_and_repr():
    made = dataset()
    assert made.sigma_images == 3
    assert made.n_features == 12
    assert made.comparable_to is None
    assert repr(made) == ("Dataset('made up': 5 train, 3 validation, 2 test images of 2 x 2 x 3)")
    assert replace(made, name="other").sigma_images == 3


def test_unit_grid_is_the_released_one():
    assert pytest.approx(np.logspace(-1, 0, 10), rel=1e-15) == UNIT_SIGMA_GRID
    assert UNIT_SIGMA_GRID[0] == 0.1
    assert UNIT_SIGMA_GRID[-1] == 1.0


@pytest.mark.parametrize(
    ("change", "kind", "sentence"),
    [
        ({"image_shape": (4, 3)}, ValueError, "image_shape: expected three positive numbers"),
        ({"image_shape": (4, 0, 3)}, ValueError, "image_shape: expected three positive numbers"),
        ({"train": np.zeros((5, 12))}, TypeError, "train: expected a float32 tensor, got ndarray"),
        (
            {"test": torch.zeros(5, 12).double()},
            TypeError,
            "test: expected a float32 tensor, got t",
        ),
        ({"train": torch.zeros(5, 11)}, ValueError, "train: expected shape (n, 12) for images of"),
        ({"validation": torch.zeros(0, 12)}, ValueError, "validation: expected at least one image"),
        ({"test_labels": torch.zeros(2)}, TypeError, "test_labels: expected an int64 tensor or N"),
        (
            {"train_labels": torch.zeros(4, dtype=torch.int64)},
            ValueError,
            "train_labels: expected shape (5,), one label an image, got (4,)",
        ),
        (
            {"sigma_images": 4},
            ValueError,
            "sigma_images: expected 1 to 3 (the validation set), got",
        ),
        ({"sigma_grid": ()}, ValueError, "sigma_grid: expected positive finite numbers, got ()"),
        ({"sigma_grid": (0.1, float("nan"))}, ValueError, "sigma_grid: expected positive finite"),
        ({"pixel_range": (1.0, 1.0)}, ValueError, "pixel_range: expected low < high, both finite"),
    ],
)
def test_fields_that_do_not_fit(change, kind, sentence):
    with pytest.raises(kind, match=re.escape(sentence)):
        dataset(**change)


def test_pixels_keep_height_width_channels():
    made = dataset()
    pixels = made.to_pixels(made.train)
    assert pixels.shape == (5, 2, 2, 3)
    assert pixels.dtype == torch.float32
    assert torch.equal(pixels.reshape(5, 12), made.train)


def test_pixels_are_clipped_and_mapped():
    made = dataset(image_shape=(1, 12, 1), pixel_range=(-3.0, 3.0))
    rows = torch.tensor([[-4.0, -3.0, -1.5, 0.0, 1.5, 3.0, 4.0] + [0.0] * 5], dtype=torch.float64)
    assert made.to_pixels(rows).ravel()[:7].tolist() == [0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    assert made.to_pixels(torch.zeros(0, 12)).shape == (0, 1, 12, 1)


def test_pixels_of_a_graph_are_detached():
    rows = torch.zeros(1, 12, requires_grad=True)
    assert not dataset().to_pixels(rows).requires_grad


@pytest.mark.parametrize(
    ("rows", "kind", "sentence"),
    [
        (np.zeros((1, 12)), TypeError, "rows: expected a floating tensor, got ndarray"),
        (torch.zeros(1, 12, dtype=torch.uint8), TypeError, "rows: expected a floating tensor, got"),
        (torch.zeros(12), ValueError, "rows: expected shape (n, 12), got (12,)"),
        (torch.zeros(1, 13), ValueError, "rows: expected shape (n, 12), got (1, 13)"),
    ],
)
def test_pixels_of_wrong_rows(rows, kind, sentence):
    with pytest.raises(kind, match=re.escape(sentence)):
        dataset().to_pixels(rows)
