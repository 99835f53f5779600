"""Every pixel of the pictures is where it belongs, and files appear whole."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from fastgan import figures, files
from fastgan.curves import _spans, _warned, curve_pictures, curves, sigma_curve
from fastgan.data import Dataset
from fastgan.figures import figure_2, figure_3, sample_grid
from fastgan.themes import THEMES


def data_set(shape=(4, 3, 1), n_train=50, **options):
    generator = torch.Generator().manual_seed(0)
    n_features = math.prod(shape)
    parts = [torch.rand(n, n_features, generator=generator) for n in (n_train, 5, 5)]
    return Dataset("noise", *parts, image_shape=shape, **options)


def read(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def find(picture, cell):
    """Return (top, left) of the places where a cell stands, pixel for pixel."""
    height, width = cell.shape[:2]
    windows = np.lib.stride_tricks.sliding_window_view(picture[:, :, 0], (height, width))
    grey = cell[:, :, 0]
    corner = windows[:, :, 0, 0] == grey[0, 0]
    return [
        (top, left)
        for top, left in np.argwhere(corner)
        if (picture[top : top + height, left : left + width] == cell).all()
    ]


def enlarged(row, shape, scale):
    pixels = np.round(np.asarray(row).reshape(shape) * 255).astype(np.uint8)
    pixels = np.repeat(pixels, 3, axis=2) if shape[2] == 1 else pixels
    return pixels.repeat(scale, axis=0).repeat(scale, axis=1)


class Lines(torch.nn.Module):
    """An affine generator whose z is drawn from torch, so that images show where z is."""

    def __init__(self, n_features=12):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.weight = torch.nn.Parameter(torch.rand(5, n_features, generator=generator))
        self.asked = []
        self.modes = []

    def latent(self, n_rows, seed, step, stream_number, *, first_row=0):
        self.asked.append((n_rows, seed, step, stream_number))
        return torch.rand(n_rows, 5, generator=torch.Generator().manual_seed(seed)) / 5

    def forward(self, z):
        self.z = z
        self.modes.append(self.training)
        return z @ self.weight


# grids


@pytest.mark.parametrize("shape", [(4, 3, 1), (5, 5, 3)])
def test_grid_shows_every_sample_in_order_with_square_pixels(tmp_path, shape):
    dataset = data_set(shape)
    rows = dataset.train[:7]
    path = sample_grid(rows, dataset, tmp_path / "grid.png", n_columns=3, scale=6)
    picture = read(path)
    places = [find(picture, enlarged(row, shape, 6)) for row in rows]
    assert all(len(place) == 1 for place in places)
    assert sorted(places) == places  # top to bottom, left to right
    assert len({place[0][0] for place in places}) == 3


def test_grid_takes_arrays_and_chooses_its_shape(tmp_path):
    dataset = data_set((8, 8, 1))
    picture = read(sample_grid(dataset.train[:9].numpy(), dataset, tmp_path / "grid.png"))
    scale = 10  # cells of about 84 pixels
    lefts = {find(picture, enlarged(row, (8, 8, 1), scale))[0][1] for row in dataset.train[:9]}
    assert len(lefts) == 3


def test_grid_uses_one_map_for_all_images(tmp_path):
    """No picture is stretched by itself: .2 stays .2, and what is outside [0, 1] is clipped."""
    dataset = data_set()
    rows = torch.tensor([[0.2] * 12, [0.4] * 12, [-1.0] * 12, [7.0] * 12])
    picture = read(sample_grid(rows, dataset, tmp_path / "grid.png", n_columns=4, scale=5))
    for value in (51, 102, 0, 255):
        assert (picture == value).all(axis=2).sum() >= 12 * 25


def test_grid_paints_what_is_not_finite(tmp_path):
    dataset = data_set()
    row = torch.zeros(1, 12)
    row[0, 5] = math.nan
    picture = read(sample_grid(row, dataset, tmp_path / "grid.png", scale=5))
    assert (picture == (255, 0, 255)).all(axis=2).sum() == 25


def test_grid_says_what_it_is(tmp_path):
    dataset = data_set()
    with Image.open(sample_grid(dataset.train, dataset, tmp_path / "grid.png")) as image:
        assert image.text["Description"] == "50 samples drawn, not chosen; data set noise"


@pytest.mark.parametrize(
    ("rows", "options", "sentence"),
    [
        (torch.zeros(2, 13), {}, r"samples: expected shape \(n_samples, 12\), got \(2, 13\)"),
        (torch.zeros(2, 4, 3), {}, r"samples: expected shape \(n_samples, 12\), got \(2, 4, 3\)"),
        (torch.zeros(0, 12), {}, "samples: expected at least one, got none"),
        (torch.zeros(2, 12), {"n_columns": 0}, "n_columns: expected at least 1, got 0"),
        (torch.zeros(2, 12), {"scale": 0}, "scale: expected at least 1, got 0"),
    ],
)
def test_grid_refuses(tmp_path, rows, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        sample_grid(rows, data_set(), tmp_path / "grid.png", **options)
    assert list(tmp_path.iterdir()) == []


def test_grid_refuses_what_is_no_array_or_no_picture(tmp_path):
    with pytest.raises(TypeError, match="samples: expected a Tensor or ndarray, got list"):
        sample_grid([[0.0] * 12], data_set(), tmp_path / "grid.png")
    two = data_set((4, 3, 2))
    with pytest.raises(ValueError, match="dataset: expected images of 1 or 3 channels, got 2"):
        sample_grid(two.train, two, tmp_path / "grid.png")


# Figure 2


def test_figure_2_frames_the_training_image_nearest_to_the_fifth_sample(tmp_path):
    shape = (4, 3, 1)
    dataset = data_set(shape, n_train=300)
    generator = torch.Generator().manual_seed(3)
    rows = torch.rand(23, 12, generator=generator)  # three more than are shown
    numbers = figure_2(rows, dataset, tmp_path / "figure_2.png", scale=7)
    distances = torch.cdist(rows[4:20:5].double(), dataset.train.double())
    assert numbers.tolist() == distances.argmin(dim=1).tolist()
    picture = read(tmp_path / "figure_2.png")
    places = [find(picture, enlarged(row, shape, 7)) for row in rows]
    assert all(len(place) == 1 for place in places[:20])
    assert not any(places[20:])
    tops = sorted({place[0][0] for place in places[:20]})
    lefts = sorted({place[0][1] for place in places[:20]})
    assert (len(tops), len(lefts)) == (4, 5)
    assert [place[0] for place in places[:20]] == [(top, left) for top in tops for left in lefts]
    yellow = (picture == (255, 255, 0)).all(axis=2)
    for row, number in enumerate(numbers):
        (place,) = find(picture, enlarged(dataset.train[number], shape, 7))
        top, left = place
        assert top == tops[row]
        assert left > lefts[-1] + 3 * 7
        assert yellow[top - 1, left - 1 : left + 22].all()
        assert yellow[top + 28, left - 1 : left + 22].all()
        assert yellow[top - 1 : top + 29, left - 1].all()
        assert yellow[top - 1 : top + 29, left + 21].all()
    assert not yellow[:, : lefts[-1] + 3 * 7].any()  # samples have no frame


def test_figure_2_searches_in_the_space_of_training(tmp_path):
    """Numbers outside the range that is shown still tell images apart."""
    dataset = data_set(pixel_range=(-1.0, 1.0))
    train = torch.zeros(3, 12)
    train[0], train[1], train[2] = 5.0, 1.2, -5.0
    dataset = Dataset("wide", train, train, train, (4, 3, 1), pixel_range=(-1.0, 1.0))
    rows = torch.full((20, 12), 4.0)  # shown white, as 5.0 and 1.2 are
    assert figure_2(rows, dataset, tmp_path / "figure_2.png").tolist() == [0] * 4


def test_figure_2_refuses(tmp_path):
    dataset = data_set()
    with pytest.raises(ValueError, match="samples: expected at least 20, got 19"):
        figure_2(torch.zeros(19, 12), dataset, tmp_path / "figure_2.png")
    broken = torch.zeros(20, 12)
    broken[4, 0] = math.nan
    with pytest.raises(ValueError, match="queries"):
        figure_2(broken, dataset, tmp_path / "figure_2.png")


# Figure 3


def test_figure_3_walks_in_equal_steps_and_comes_back(tmp_path):
    model = Lines()
    model.train()
    dataset = data_set()
    figure_3(model, dataset, tmp_path / "figure_3.png", 4, n_rows=3, n_columns=5, scale=4)
    points = model.latent(3, 4, 0, 0)
    lines = model.z.reshape(3, 5, 5)
    for row in range(3):
        start, stop = points[row], points[(row + 1) % 3]
        for column in range(5):
            expected = start + (stop - start) * column / 4
            torch.testing.assert_close(lines[row, column], expected)
    torch.testing.assert_close(lines[:, -1], lines.roll(-1, 0)[:, 0])
    assert model.modes == [False]  # drawn in evaluation mode, and the mode is put back
    assert model.training
    images = (model.z @ model.weight).detach()
    picture = read(tmp_path / "figure_3.png")
    places = [find(picture, enlarged(image, (4, 3, 1), 4)) for image in images]
    assert all(places)
    assert places[0][0] < places[1][0] < places[5][0]


def test_figure_3_draws_from_its_own_stream(tmp_path):
    from fastgan.streams import Kind, stream

    model = Lines()
    figure_3(model, data_set(), tmp_path / "figure_3.png", seed=9)
    assert model.asked == [(5, 9, 0, stream(Kind.FIGURES))]


def test_figure_3_takes_any_module_with_a_recipe(tmp_path):
    from fastgan import recipes

    recipe = recipes.by_name("digits")
    module = torch.nn.Sequential(torch.nn.Linear(recipe.n_latent, 12), torch.nn.Sigmoid())
    path = figure_3(module, data_set(), tmp_path / "a.png", recipe=recipe, n_columns=2, scale=1)
    assert read(path).shape[0] > 5 * 4
    with pytest.raises(TypeError, match=r"generator: expected a module with latent.* no recipe"):
        figure_3(module, data_set(), tmp_path / "b.png")


@pytest.mark.parametrize("name", ["n_rows", "n_columns"])
def test_figure_3_refuses_one_line_and_one_image(tmp_path, name):
    with pytest.raises(ValueError, match=f"{name}: expected at least 2, got 1"):
        figure_3(Lines(), data_set(), tmp_path / "figure_3.png", **{name: 1})


# curves


def run_of(n_epochs=12):
    rows = []
    for epoch in range(1, n_epochs + 1):
        row = {
            "epoch": epoch,
            "step": 10 * epoch,
            "discriminator_cost": 0.4,
            "generator_cost": 2.0 / epoch,
            "real_probability": 0.8,
            "fake_probability": 0.2,
            "sample_mean": 0.3,
            "sample_deviation": 0.001 if epoch in (3, 4) else 0.2,
        }
        if epoch % 4 == 0:
            row |= {"validation_log_likelihood": 10.0 * epoch, "sigma": 0.2}
        rows.append(row)
    return rows


WARNING = {"epoch": 3, "step": 30, "warning": "collapse", "message": "samples hardly vary"}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_curves_are_drawn_on_the_paper_of_their_theme(tmp_path, theme):
    path = curves(run_of(), tmp_path / "curves.png", theme=theme, title="noise")
    picture = read(path)
    assert picture.shape[1] > 1500
    assert "#{:02x}{:02x}{:02x}".format(*picture[0, 0]) == THEMES[theme].paper
    assert (picture != picture[0, 0]).any(axis=2).mean() > 0.01


def test_curves_from_a_file_with_a_torn_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    whole = "".join(json.dumps(row) + "\n" for row in [*run_of(), WARNING])
    path.write_text(whole + '{"epoch": 13, "st')
    from_file = curves(path, tmp_path / "a.png")
    from_rows = curves([*run_of(), WARNING], tmp_path / "b.png")
    assert from_file.read_bytes() == from_rows.read_bytes()


def test_a_warning_is_seen_in_every_panel():
    plain = [{**row, "sample_deviation": 0.2} for row in run_of()]
    saturated = {**WARNING, "warning": "saturated"}
    before, after = curve_pictures(plain), curve_pictures([*plain, saturated])
    assert list(before) == ["costs", "probabilities", "likelihood", "deviation"]
    assert all(before[name] != after[name] for name in before)


def test_a_collapse_is_marked_as_long_as_it_lasts():
    rows = [*run_of(), WARNING]
    assert _spans(_warned(rows, "collapse")) == [(3, 4)]
    assert _warned(run_of(), "collapse") == []  # a recipe may have given its generator longer
    assert _warned(rows, "saturated") == []
    assert _spans([9, 1, 2, 2, 3, 7]) == [(1, 3), (7, 7), (9, 9)]
    assert _spans([]) == []


def test_what_was_not_finite_or_not_measured_leaves_a_gap():
    rows = run_of()
    rows[5]["generator_cost"] = None
    rows[6]["discriminator_cost"] = math.nan
    for row in rows:
        row.pop("validation_log_likelihood", None)
        row.pop("sigma", None)
    assert all(content.startswith(b"\x89PNG") for content in curve_pictures(rows).values())
    assert all(curve_pictures(rows[:1]).values())  # one epoch is a run too


def test_curves_refuse(tmp_path):
    with pytest.raises(ValueError, match="metrics: expected at least one epoch, got none"):
        curves([WARNING], tmp_path / "curves.png")
    with pytest.raises(ValueError, match="theme: expected 'light' or 'dark', got 'blue'"):
        curves(run_of(), tmp_path / "curves.png", theme="blue")
    with pytest.raises(ValueError, match="means: expected one for each of 2 sigmas"):
        sigma_curve([0.1, 0.2], [1.0], 0.1)


def test_sigma_curve_marks_the_choice():
    one, other = (sigma_curve([0.1, 0.2], [1.0, 2.0], sigma) for sigma in (0.1, 0.2))
    assert one != other
    with Image.open(io.BytesIO(one)) as image:
        assert image.size[0] > 800


def test_pictures_need_no_window_and_no_global_state():
    code = """
import sys, fastgan.figures as figures
assert "matplotlib" not in sys.modules
import matplotlib as mpl
before = mpl.rcParams.copy()  # a dict of it would choose a backend
figures.curve_pictures([{"epoch": 1, "step": 1, "discriminator_cost": 1.0}])
assert "matplotlib.pyplot" not in sys.modules
assert mpl.rcParams.copy() == before
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# files


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "grid.png"
    dataset = data_set()
    sample_grid(dataset.train, dataset, path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        sample_grid(dataset.train[:5], dataset, path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["grid.png"]
    monkeypatch.undo()
    sample_grid(dataset.train[:5], dataset, path)
    assert path.read_bytes() != before
    assert [entry.name for entry in tmp_path.iterdir()] == ["grid.png"]


def test_a_folder_that_is_not_there(tmp_path):
    dataset = data_set()
    with pytest.raises(FileNotFoundError):
        sample_grid(dataset.train, dataset, tmp_path / "nowhere" / "grid.png")


def test_names_are_public():
    assert all(hasattr(figures, name) for name in figures.__all__)
