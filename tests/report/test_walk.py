"""The walk through z: every step is a sample of its own, beside its nearest training image."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image

from fastgan import recipes
from fastgan.data import Dataset
from fastgan.figures import draw_points, figure_3, image_cells
from fastgan.models import Generator
from fastgan.walk import WALK, WALK_PICTURE, Walk, write_walk


def data_set(n_train=50):
    generator = torch.Generator().manual_seed(1)
    parts = [torch.rand(n, 64, generator=generator) for n in (n_train, 10, 10)]
    return Dataset("digits", *parts, image_shape=(8, 8, 1))


@pytest.fixture
def generator():
    return Generator(recipes.by_name("digits"))


def test_every_step_is_the_generator_at_that_z(generator, tmp_path):
    dataset = data_set()
    generator.train()
    picture, numbers = write_walk(generator, dataset, tmp_path, 3, n_lines=4, n_steps=5)
    assert generator.training  # as it was
    assert (picture, numbers) == (tmp_path / WALK_PICTURE, tmp_path / WALK)
    walk = Walk.from_json(numbers.read_bytes())
    assert (walk.n_lines, walk.n_steps, walk.n_samples) == (4, 5, 20)
    assert (walk.height, walk.width, walk.n_train, walk.seed) == (8, 8, 50, 3)
    points = draw_points(generator, None, 4, 3)
    samples = []
    for line in range(4):
        for step in range(5):
            share = step / 5
            z = (1 - share) * points[line] + share * points[(line + 1) % 4]
            with torch.no_grad():
                samples.append(generator.eval()(z[None]))
    samples = torch.cat(samples)
    with Image.open(picture) as shown:
        pixels = np.asarray(shown).astype(int)
    assert pixels.shape == (20 * 8, 16, 3)
    ours = image_cells(samples, dataset, 1).astype(int).reshape(160, 8, 3)
    # z is rounded otherwise here than in torch.lerp: at most one step of 255
    assert np.abs(pixels[:, :8] - ours).max() <= 1
    distances = torch.cdist(samples.double(), dataset.train.double())
    nearest = distances.argmin(dim=1)
    assert walk.nearest_images == tuple(nearest.tolist())
    np.testing.assert_allclose(walk.nearest_distances, distances.min(dim=1).values, rtol=1e-4)
    beside = image_cells(dataset.train[nearest], dataset, 1).reshape(160, 8, 3)
    np.testing.assert_array_equal(pixels[:, 8:], beside)
    moves = (samples - samples.roll(-1, 0)).norm(dim=1)
    np.testing.assert_allclose(walk.moves, moves, rtol=1e-3, atol=1e-5)
    assert min(walk.moves) > 0  # no two steps are the same


def test_its_first_points_are_those_of_figure_3(generator, tmp_path):
    dataset = data_set()
    figure_3(generator, dataset, tmp_path / "figure_3.png", 5, scale=1)
    write_walk(generator, dataset, tmp_path, 5)
    with Image.open(tmp_path / "figure_3.png") as figure, Image.open(tmp_path / WALK_PICTURE) as w:
        figure, walk = np.asarray(figure), np.asarray(w)
    for row in range(5):  # cells of 8 and gaps of 2
        first = figure[2 + 10 * row : 10 + 10 * row, 2:10]
        np.testing.assert_array_equal(walk[24 * 8 * row : 24 * 8 * row + 8, :8], first)


def test_what_is_wrong_is_said(generator, tmp_path):
    for name, least in (("n_lines", 2), ("n_steps", 1)):
        with pytest.raises(ValueError, match=rf"{name}: expected at least {least}, got 0"):
            write_walk(generator, data_set(), tmp_path, **{name: 0})
    with pytest.raises(TypeError, match="generator: expected a module with latent"):
        write_walk(torch.nn.Linear(20, 64), data_set(), tmp_path)
    with torch.no_grad():
        next(generator.parameters()).fill_(float("nan"))
    with pytest.raises(ValueError, match="finite"):
        write_walk(generator, data_set(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_any_module_walks_where_a_recipe_says_what_z_is(tmp_path):
    module = torch.nn.Sequential(torch.nn.Linear(20, 64), torch.nn.Sigmoid())
    recipe = recipes.by_name("digits")
    _, numbers = write_walk(module, data_set(), tmp_path, recipe=recipe, n_lines=2, n_steps=1)
    assert Walk.from_json(numbers.read_text()).n_samples == 2


WALKED = Walk("digits", 0, 2, 1, 8, 8, 50, (1, 2), (0.5, 0.25), (1.0, 2.0))


def test_a_walk_is_read_as_it_was_written():
    assert Walk.from_json(WALKED.to_json()) == WALKED


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"n_lines": 0}, "walk: n_lines: expected at least 1, got 0"),
        ({"moves": [1.0]}, "walk: moves: expected a number for each of 2 samples, got 1"),
        ({"nearest_images": [0.5, 1]}, "walk: nearest_images: expected int, got 0.5"),
        ({"more": 1}, "walk: field 'more' is unknown"),
    ],
)
def test_a_damaged_walk_is_refused(changes, said):
    values = dataclasses.asdict(WALKED) | changes
    with pytest.raises(ValueError, match=said):
        Walk.from_json(json.dumps(values))
