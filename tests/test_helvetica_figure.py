"""Pictures of the Helvetica diagnosis: drawn in both themes, of what was found and no more."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
import torch
from PIL import Image

from fastgan.data import Dataset
from fastgan.helvetica import diagnose_helvetica
from fastgan.helvetica_figure import helvetica_figure, helvetica_pictures
from fastgan.themes import THEMES


@pytest.fixture(scope="module")
def found():
    generator = torch.Generator().manual_seed(0)
    parts = [torch.rand(n, 6, generator=generator) for n in (300, 40, 60)]
    labels = torch.arange(300) % 3
    dataset = Dataset("noise", *parts, image_shape=(2, 3, 1), train_labels=labels)
    return diagnose_helvetica(torch.rand(150, 6, generator=generator), dataset)


def pixels(content):
    image = Image.open(io.BytesIO(content))
    image.load()
    return image, np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_each_panel_is_a_picture_in_the_themes_colours(found, theme):
    pictures = helvetica_pictures(found, theme=theme)
    assert list(pictures) == ["hits", "spread", "classes"]
    for content in pictures.values():
        image, values = pixels(content)
        assert image.format == "PNG"
        assert min(image.size) > 500
        for name in ("paper", "generator", "ink"):
            colour = [int(getattr(THEMES[theme], name)[i : i + 2], 16) for i in (1, 3, 5)]
            assert (np.abs(values - colour).max(axis=2) <= 2).sum() > 200, name


def test_without_classes_there_are_two_panels(found):
    plain = dataclasses.replace(
        found, class_numbers=(), train_classes=(), sample_classes=(), held_out_classes=()
    )
    assert list(helvetica_pictures(plain)) == ["hits", "spread"]


def test_other_findings_give_other_pictures(found):
    fewer = dataclasses.replace(
        found, sample_equal_hits=10.0, sample_curve_hits=(1.0,) * len(found.sample_curve_hits)
    )
    same, other = helvetica_pictures(found), helvetica_pictures(fewer)
    assert same == helvetica_pictures(found)
    assert same["hits"] != other["hits"]
    assert same["spread"] == other["spread"]


def test_one_picture_of_all_panels(found, tmp_path):
    path = helvetica_figure(found, tmp_path / "helvetica.png", title="How varied")
    with Image.open(path) as image:
        assert image.width > 2 * image.height
        assert image.info["Description"] == " ".join(found.sentences())
    assert [file.name for file in tmp_path.iterdir()] == ["helvetica.png"]


def test_a_collapsed_generator_can_be_drawn(found, tmp_path):
    """All the samples are one image: no distance between them, one training image hit."""
    collapsed = dataclasses.replace(
        found,
        sample_equal_hits=1.0,
        sample_equal_hits_error=0.0,
        sample_curve_hits=(1.0,) * len(found.sample_curve_hits),
        sample_pair_quantiles=(0.0,) * len(found.sample_pair_quantiles),
        train_pair_quantiles=(0.0,) * len(found.train_pair_quantiles),
        sample_classes=(150, 0, 0),
    )
    assert helvetica_figure(collapsed, tmp_path / "picture.png").stat().st_size > 10_000


def test_an_unknown_theme(found, tmp_path):
    with pytest.raises(ValueError, match="theme: expected 'light' or 'dark', got 'sepia'"):
        helvetica_pictures(found, theme="sepia")
    with pytest.raises(ValueError, match="theme: expected 'light' or 'dark', got 'sepia'"):
        helvetica_figure(found, tmp_path / "x.png", theme="sepia")
