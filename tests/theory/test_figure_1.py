"""Figure 1 whole: its claims, its pictures, and its numbers as a file."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastgan import theory
from fastgan.figure_1 import Figure1Files, figure_1
from fastgan.figure_1_animation import END_MILLISECONDS, FRAME_MILLISECONDS, animation
from fastgan.figure_1_result import Figure1
from fastgan.figure_1_strip import best_answer, strip_picture
from fastgan.themes import THEMES

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Figure1Files:
    folder = tmp_path_factory.mktemp("figure") / "made" / "here"
    return figure_1(folder, 1, n_alone=300, n_together=400, n_snapshots=8)


@pytest.mark.slow
def test_the_pair_converges_with_the_discriminator_beside_the_optimal_one(tmp_path: Path) -> None:
    done = figure_1(tmp_path, 0, n_snapshots=12, animated=False)
    found = done.found
    _, early, on_its_way, last = found.panels()
    # before G moves: p_g visibly wrong, and D near D*, which no constant comes near
    assert early.n_discriminator_updates == 10_000
    assert early.jensen_shannon > 0.1
    assert early.discriminator_error < 0.05
    best = best_answer(found, early)
    mixture = 0.5 * (np.array(found.p_data) + np.array(early.p_g))
    shares = mixture / mixture.sum()
    constants = [np.nansum(shares * np.abs(c - best)) for c in np.linspace(0, 1, 101)]
    assert min(constants) > 0.15
    assert on_its_way.jensen_shannon < early.jensen_shannon
    # at the end
    assert last.n_generator_updates == 1_500
    assert last.jensen_shannon < 0.01
    assert last.discriminator_error < 0.03
    assert last.jensen_shannon - last.jensen_shannon_half_grid < 5e-4
    assert last.criterion == pytest.approx(theory.LEAST_CRITERION, abs=0.02)
    assert last.value_sampled == pytest.approx(theory.LEAST_CRITERION, abs=0.02)
    assert abs(last.criterion_sampled - last.criterion) < 4.5 * last.criterion_standard_error
    # the bias of the plug-in estimate: of 1,000 samples more than the divergence itself
    at = dict(zip(found.sample_counts, last.plug_in_jensen_shannon, strict=True))
    assert at[1_000] > 0.01 > at[100_000]
    assert at[1_000] - last.bars_jensen_shannon == pytest.approx(last.expected_bias(1_000), rel=0.5)


def test_all_files_are_there(done: Figure1Files) -> None:
    folder = done.strip.parent
    assert sorted(path.name for path in folder.iterdir()) == [
        "figure_1-dark.gif", "figure_1-dark.png", "figure_1.gif", "figure_1.json", "figure_1.png",
    ]  # fmt: skip
    assert Figure1.from_json(done.numbers.read_bytes()) == done.found
    assert done.found.recipe.seed == 1


def test_without_animation(tmp_path: Path) -> None:
    done = figure_1(tmp_path, n_alone=5, n_together=40, n_snapshots=4, animated=False)
    assert done.animation is done.animation_dark is None
    assert not list(tmp_path.glob("*.gif"))


def test_the_strip_has_the_papers_colours_on_each_page(done: Figure1Files) -> None:
    for path, theme in ((done.strip, "light"), (done.strip_dark, "dark")):
        content = path.read_bytes()
        assert content.startswith(PNG)
        picture = Image.open(io.BytesIO(content))
        assert "D is within" in picture.text["Description"]
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
        colours = THEMES[theme]
        assert "#{:02x}{:02x}{:02x}".format(*pixels[0]) == colours.paper
        for colour in (colours.ink, colours.generator, colours.discriminator):
            wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
            assert (pixels == wanted).all(axis=1).sum() > 500
    assert strip_picture(done.found) == done.strip.read_bytes()


def test_the_strip_shows_the_four_moments(done: Figure1Files) -> None:
    found = done.found
    first, trained, halfway, last = found.panels()
    assert first.n_discriminator_updates <= 300
    assert found.snapshots[0].discriminator_error >= 2 * first.discriminator_error > 0
    assert trained.n_discriminator_updates == found.n_alone == 300
    assert trained.n_generator_updates == 0 < halfway.n_generator_updates
    assert last is found.snapshots[-1]
    picture = np.asarray(Image.open(done.strip).convert("RGB")).astype(int)
    quarters = np.array_split(picture[:, : picture.shape[1] // 4 * 4], 4, axis=1)
    differ = [np.abs(a - quarters[3]).mean() for a in quarters[:3]]
    assert min(differ) > 0.5
    other = dataclasses.replace(last, p_g=tuple(0.9 * p for p in last.p_g))
    changed = dataclasses.replace(found, snapshots=(*found.snapshots[:-1], other))
    assert strip_picture(changed) != strip_picture(found)


def test_the_animation_has_a_frame_a_snapshot_and_loops(done: Figure1Files) -> None:
    for path, theme in ((done.animation, "light"), (done.animation_dark, "dark")):
        assert path is not None
        assert path.stat().st_size < 300_000  # 80 frames stay below 1.5 MB
        frames, durations = [], []
        with Image.open(path) as film:
            assert film.n_frames == len(done.found.snapshots)
            assert film.info["loop"] == 0
            for number in range(film.n_frames):
                film.seek(number)
                frames.append(np.asarray(film.convert("RGB")).astype(int))
                durations.append(film.info["duration"])
        assert durations[0] == FRAME_MILLISECONDS
        assert durations[-1] == END_MILLISECONDS
        assert "#{:02x}{:02x}{:02x}".format(*frames[0][0, 0]) == THEMES[theme].paper
        for colour in (THEMES[theme].generator, THEMES[theme].discriminator):
            wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
            assert (frames[-1] == wanted).all(axis=2).sum() > 50
        moved = [np.abs(a - b).mean() for a, b in itertools.pairwise(frames)]
        assert min(moved) > 0.01


@pytest.mark.parametrize("field", ["p_g", "discriminator", "arrows"])
def test_the_animation_moves_what_changes(done: Figure1Files, field: str) -> None:
    snapshots = (done.found.panels()[1], done.found.snapshots[-1])
    found = dataclasses.replace(done.found, snapshots=snapshots)
    moved = tuple(0.8 * number for number in getattr(snapshots[1], field))
    changed = dataclasses.replace(snapshots[1], **{field: moved})
    other = dataclasses.replace(found, snapshots=(snapshots[0], changed))
    frames = []
    for figure in (found, other):
        with Image.open(io.BytesIO(animation(figure))) as film:
            film.seek(1)
            frames.append(np.asarray(film.convert("RGB")).astype(int))
    assert np.abs(frames[0] - frames[1]).mean() > 0.05


def test_the_colours_are_told(done: Figure1Files) -> None:
    with pytest.raises(ValueError, match="theme: expected 'light' or 'dark', got 'grey'"):
        strip_picture(done.found, theme="grey")
    with pytest.raises(ValueError, match="theme: expected 'light' or 'dark', got 'grey'"):
        animation(done.found, theme="grey")


def test_the_optimal_answer_has_gaps_where_nothing_is(done: Figure1Files) -> None:
    best = best_answer(done.found, done.found.snapshots[0])
    nothing = np.array(done.found.p_data) + np.array(done.found.snapshots[0].p_g) < 1e-9
    assert 0 < nothing.sum() < len(nothing)
    assert (np.isnan(best) == nothing).all()
    assert ((best[~nothing] >= 0) & (best[~nothing] <= 1)).all()


def test_sentences_hold_the_numbers(done: Figure1Files) -> None:
    text = " ".join(done.found.sentences())
    last = done.found.snapshots[-1]
    for value in (last.jensen_shannon, last.criterion, last.value_sampled, -1.3863):
        assert f"{value:.4f}" in text
    for count in done.found.sample_counts:
        assert f" of {count:,}" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.pop("seed"), "figure 1: field 'seed' is missing"),
        (lambda v: v.update(extra=1), "figure 1: field 'extra' is unknown"),
        (lambda v: v.update(recipe=3), "figure 1: recipe: expected the text of a recipe.toml"),
        (lambda v: v.update(snapshots=[]), "figure 1: snapshots: expected a list of at least one"),
        (lambda v: v.update(n_alone=-1), "figure 1: n_alone: expected a number of updates"),
        (lambda v: v.update(n_alone=700), "figure 1: n_alone: expected a number of updates"),
        (lambda v: v["p_data"].pop(), "figure 1: p_data: expected 200 numbers, got 199"),
        (lambda v: v["snapshots"][2]["p_g"].pop(), "snapshot 2: p_g: expected 200 numbers"),
        (lambda v: v["snapshots"][1].pop("value"), "snapshot 1: field 'value' is missing"),
        (
            lambda v: v["snapshots"][0].update(criterion="x"),
            "snapshot 0: criterion: expected float, got 'x'",
        ),
        (
            lambda v: v["snapshots"][0]["plug_in_jensen_shannon"].pop(),
            "snapshot 0: plug_in_jensen_shannon: expected 4 numbers, got 3",
        ),
    ],
)
def test_damaged_numbers_are_told(done: Figure1Files, change: object, message: str) -> None:
    values = json.loads(done.found.to_json())
    change(values)  # type: ignore[operator]
    with pytest.raises(ValueError, match=message):
        Figure1.from_json(json.dumps(values))


def test_what_is_no_json_is_told() -> None:
    with pytest.raises(ValueError, match="figure 1: expected JSON, got"):
        Figure1.from_json("{")
    with pytest.raises(ValueError, match="figure 1: expected a JSON object, got list"):
        Figure1.from_json("[]")
    with pytest.raises(ValueError, match="figure 1: expected JSON, got one nested too deeply"):
        Figure1.from_json("[" * 100_000)
