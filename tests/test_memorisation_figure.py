"""The picture of distances: both curves where they belong, on a light and on a dark page."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from fastgan import memorisation_figure as drawing
from fastgan.data import Dataset
from fastgan.memorisation import check_memorisation
from fastgan.memorisation_figure import memorisation_figure, memorisation_pictures
from fastgan.themes import THEMES


@pytest.fixture(scope="module")
def dataset():
    generator = torch.Generator().manual_seed(0)
    parts = [torch.rand(n, 6, generator=generator) for n in (300, 20, 200)]
    return Dataset("noise", *parts, image_shape=(2, 3, 1))


@pytest.fixture(scope="module")
def found(dataset):
    samples = torch.rand(500, 6, generator=torch.Generator().manual_seed(1))
    return check_memorisation(torch.cat([samples, dataset.train[:7]]), dataset)


def axes_of(name, found, theme="light"):
    figure = Figure()
    drawing._PANELS[name](figure, found, THEMES[theme])
    return figure.axes[0]


def curve(axes, label):
    return next(line for line in axes.lines if line.get_label() == label).get_xydata()


@pytest.mark.parametrize("name", ["distances", "nearest"])
def test_curves_are_the_shares_within_each_distance(dataset, found, name):
    """At the distance of number i from 0 a curve stands at (i + 1) / n, as an ECDF does."""
    test = torch.cdist(dataset.test.double(), dataset.train.double()).min(dim=1).values
    ordered = test.sort().values.numpy()
    drawn = curve(axes_of(name, found), "test images")
    assert (np.diff(drawn, axis=0) >= 0).all()
    np.testing.assert_allclose(drawn[1], (ordered[0], 1 / 200), rtol=1e-6)
    np.testing.assert_allclose(drawn[-1], (ordered[-1], 1), rtol=1e-6)
    at = np.interp(ordered, drawn[1:, 0], drawn[1:, 1])
    # between levels a hundredth apart the curve is straight, and an ECDF is not
    assert np.abs(at - np.arange(1, 201) / 200).max() <= 0.01


def test_copies_stand_at_zero(found):
    drawn = curve(axes_of("nearest", found), "samples")
    at_zero = drawn[drawn[:, 0] == 0, 1].max()
    assert 6 / 507 <= at_zero <= 7 / 507
    clean = axes_of("nearest", found)
    assert clean.get_yscale() == "log"
    assert clean.get_xlim()[0] < 0 < clean.get_xlim()[1]  # 0, a copy, is always in the picture
    assert axes_of("distances", found).get_xlim() == clean.get_xlim()


def test_the_near_share_is_written_and_its_distance_marked(found):
    axes = axes_of("nearest", found)
    words = [text.get_text() for text in axes.texts]
    assert f"{found.sample_near_share:.1%} of the samples" in words
    assert any(f"within {found.near_distance:#.3g}" in word for word in words)
    verticals = [line for line in axes.lines if len(set(line.get_xdata())) == 1]
    assert [line.get_xdata()[0] for line in verticals] == [found.near_distance]


def test_many_near_samples_are_red(dataset, found):
    def colour(result):
        axes = axes_of("nearest", result)
        return next(t for t in axes.texts if t.get_text().endswith("samples")).get_color()

    assert 0.01 < found.sample_near_share < 0.02
    assert colour(found) == THEMES["light"].generator
    copied = check_memorisation(torch.cat([dataset.test, dataset.train[:5]]), dataset)
    assert 0.03 < copied.sample_near_share < 0.04
    assert colour(copied) == THEMES["light"].warning
    assert colour(check_memorisation(dataset.test, dataset)) == THEMES["light"].generator


def test_medians_are_written(found):
    words = [text.get_text() for text in axes_of("distances", found).texts]
    for (median,) in found.quantile_rows((0.5,)):
        assert f"median {median:#.3g}" in words


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pictures_lie_on_the_paper_of_their_theme(tmp_path, found, theme):
    path = memorisation_figure(found, tmp_path / "memorisation.png", theme=theme, title="A run")
    contents = [path.read_bytes(), *memorisation_pictures(found, theme=theme).values()]
    assert len(contents) == 3
    for content in contents:
        with Image.open(io.BytesIO(content)) as image:
            corner = np.asarray(image.convert("RGB"))[0, 0]
            assert image.size[0] > 800
        assert "#{:02x}{:02x}{:02x}".format(*corner) == THEMES[theme].paper
    with Image.open(path) as image:
        assert "number for number" in image.info["Description"]


def test_nothing_is_cut_at_the_rim(found):
    """A margin of paper is left all around: no word runs out of the picture."""
    for content in memorisation_pictures(found).values():
        with Image.open(io.BytesIO(content)) as image:
            pixels = np.asarray(image.convert("RGB"))
        for rim in (pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:]):
            assert (rim == 255).all()


@pytest.mark.parametrize("n_samples", [1, 2, 40])
def test_few_samples_and_nothing_but_copies_are_drawn_too(dataset, n_samples):
    copies = dataset.train[:n_samples]
    same = Dataset("same", copies, copies, copies, image_shape=(2, 3, 1))
    for data in (dataset, same):
        pictures = memorisation_pictures(check_memorisation(copies, data), theme="dark")
        assert list(pictures) == ["distances", "nearest"]


def test_an_unknown_theme_is_refused(tmp_path, found):
    with pytest.raises(ValueError, match="theme: expected 'light' or 'dark', got 'blue'"):
        memorisation_pictures(found, theme="blue")
    with pytest.raises(ValueError, match="theme: expected"):
        memorisation_figure(found, tmp_path / "x.png", theme="blue")
    assert list(tmp_path.iterdir()) == []
