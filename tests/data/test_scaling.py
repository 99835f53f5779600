from __future__ import annotations

from fractions import Fraction
from math import isqrt

import numpy as np
import pytest
import torch

from fastgan.data.scaling import contrast_normalized, unit_pixels

NUMBERS = np.random.Generator(np.random.Philox(9))


def test_unit_pixels_are_correctly_rounded():
    rows = unit_pixels(np.arange(256, dtype=np.uint8).reshape(2, 8, 16))
    assert rows.dtype == torch.float32
    assert rows.shape == (2, 128)
    for value, got in enumerate(rows.ravel().tolist()):
        # float64 holds value / 255 to 53 bits; no such quotient lies near a float32 midpoint
        assert got == np.float32(value / 255.0)


def test_norm_and_mean():
    rows = contrast_normalized(NUMBERS.integers(0, 256, (300, 3072), np.uint8)).double()
    # each of the 3,072 numbers is rounded to 2^-24 of itself
    assert (rows.norm(dim=1) - 55.0).abs().max() < 55.0 * 2.0**-24
    assert rows.mean(dim=1).abs().max() < 2.0**-24


def test_equals_the_exact_value():
    image = NUMBERS.integers(0, 256, 3072, np.uint8)
    got = contrast_normalized(image[None]).ravel().tolist()
    pixels = [int(value) for value in image]
    total, squares = sum(pixels), sum(value * value for value in pixels)
    spread = 3072 * squares - total * total  # 3072 norm^2
    scale = 10**40
    # x 55 / norm = (3072 p - total) 55 / (sqrt(3072) sqrt(spread))
    root = Fraction(isqrt(3072 * spread * scale * scale), scale)
    for value, number in zip(pixels, got, strict=True):
        exact = Fraction((3072 * value - total) * 55) / root
        assert abs(Fraction(number) - exact) <= abs(exact) * (
            Fraction(1, 2**24) + Fraction(1, 2**49)
        )


@pytest.mark.parametrize("value", [0, 1, 127, 255])
def test_constant_image_is_not_divided(value):
    rows = contrast_normalized(np.full((2, 3072), value, np.uint8))
    assert torch.equal(rows, torch.zeros(2, 3072))


def test_one_pixel_off_is_divided():
    image = np.full((1, 3072), 255, np.uint8)
    image[0, 5] = 254
    assert contrast_normalized(image).double().norm().item() == pytest.approx(55.0, rel=1e-7)


def test_same_bits_for_any_thread_count_and_chunk():
    images = NUMBERS.integers(0, 256, (700, 3072), np.uint8)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = contrast_normalized(images)
        torch.set_num_threads(2)
        two = contrast_normalized(images)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(one, two)
    assert torch.equal(one[350:], contrast_normalized(images[350:]))  # nor does chunking matter
