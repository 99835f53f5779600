"""The report is one page that loads nothing, says everything, and escapes what it shows."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import re

import numpy as np
import pytest
import torch
from a_run import Page, complete, evaluation, page_of
from PIL import Image

import fastgan
from fastgan import recipes, report_parts
from fastgan.curves import curve_pictures
from fastgan.report import write_report
from fastgan.report_inputs import FIGURE_2, FIGURE_3, NEAREST_PAIRS
from fastgan.runs import Run
from fastgan.walk import WALK, WALK_PICTURE


def test_the_page_is_whole_and_loads_nothing(run):
    complete(run, evaluation())
    text = page_of(run)
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>")
    # Figures 2 and 3 and the pairs, four grids, the walk's sheet, and the panels: four curves, one
    # of sigma, two of distances, two of variety
    assert len(page.images) == 3 + 4 + 1 + 4 + 1 + 2 + 2
    outside = [a for a in page.addresses if not a.startswith(("data:image/png;base64,", "#"))]
    assert outside == ["data:,"]  # no icon: a browser would ask for one
    assert page.tags.count("script") == page.tags.count("link") == 1
    assert not re.search(r"https?:|url\(|@import|@font-face|fetch\(|XMLHttp|import\(", text)
    assert "$" not in page.text  # no placeholder is left
    assert str(run.folder) not in text


def test_only_the_one_script_may_run(run):
    text = page_of(run)
    script = text.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', text)
    assert policy == [
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    ]
    assert text.index("Content-Security-Policy") < text.index("<style>")
    assert not re.search(r"<[^>]* on[a-z]+=", text)  # a handler in an attribute would be refused


def test_the_contents_lead_to_every_section(run):
    for tell in (lambda: None, lambda: complete(run, evaluation())):
        tell()
        text = page_of(run)
        anchors = re.findall(r'<li><a href="#(\w+)">', text)
        assert anchors == re.findall(r'<section id="(\w+)"', text)
        assert len(set(anchors)) == len(anchors)
    assert len(anchors) == 9


def test_pictures_are_inside_and_twice_as_fine_as_shown(run):
    complete(run, evaluation())
    images = Page(page_of(run)).images
    assert [image["id"] for image in images if image["alt"] == ""] == ["walk-sheet"]
    for image in images:
        if "hidden" in image:  # the walk's sheet, which is copied from and never shown
            continue
        content = base64.b64decode(image["src"].partition(",")[2])
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
            assert int(image["width"]) == picture.size[0] // 2
            assert int(image["height"]) == picture.size[1] // 2
        assert image["alt"]


def test_light_and_dark_and_phone(run, monkeypatch):
    monkeypatch.undo()  # once with curves of this very run
    complete(run, evaluation())
    text = page_of(run)
    # four curves, one of sigma, two of distances, two of variety
    assert text.count('media="(prefers-color-scheme: dark)"') == 9
    assert "@media (prefers-color-scheme: dark)" in text
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text


def test_the_warnings_of_the_run_are_listed(run):
    quiet = Page(page_of(run)).text
    assert "The collapse watch found nothing" in quiet
    for epoch, kind in ((2, "collapse"), (3, "saturated")):
        run.append_metrics(
            {"epoch": epoch, "step": 12 * epoch, "warning": kind, "message": f"it is {kind}"}
        )
    text = Page(page_of(run, notes=["Seed 0 collapsed at epoch 4."])).text
    assert "2 warnings of the collapse watch" in text
    assert "Epoch 2: it is collapse." in text
    assert "Epoch 3: it is saturated." in text
    assert "Seed 0 collapsed at epoch 4." in text
    assert "found nothing" not in text


def test_distances_to_training_images_are_told(run):
    found = complete(run, evaluation())
    text = Page(page_of(run)).text
    assert found.sample_copies == 3  # the first three samples are training images
    assert "nearest of 40 training images: of 13 samples, and of 30 test images" in text
    for sentence in (*found.sentences(), *found.cautions()):
        assert sentence in text
    for (median,) in found.quantile_rows((0.5,)):
        assert f"{median:#.3g}" in text
    assert "the 10 samples that lie nearest to a training image" in text
    (run.figures_folder / NEAREST_PAIRS).unlink()
    assert "The nearest of all" not in Page(page_of(run)).text


def test_everything_shown_is_escaped(run):
    evil = '<script>alert("x")</script>&amp;$title'
    run.append_metrics({"epoch": 2, "step": 24, "warning": "collapse", "message": evil})
    complete(run, evaluation(dataset=evil))
    text = page_of(run, commands=[evil], notes=[evil], source=evil)
    page = Page(text)
    assert page.tags.count("script") == 1  # the page's own
    shown = text.count(html.escape(evil))
    assert shown == page.text.count(evil) > 5
    assert "<script>alert" not in text


def test_recipe_versions_and_commands_are_shown(run):
    complete(run, evaluation())
    text = Page(page_of(run, source="bundled with scikit-learn")).text
    assert f"fastgan reproduce digits --seed 7 --epochs {run.recipe.n_epochs}" in text
    assert "n_latent = " in text
    assert torch.__version__ in text
    assert f"fastgan {fastgan.__version__}" in text
    assert "bundled with scikit-learn" in text
    assert "training 3 min 15 s" in text
    assert "epochs 3 of" in text
    assert "fastgan train again" in Page(page_of(run, commands=["fastgan train again"])).text


def test_both_stages_are_told(tmp_path):
    stage = recipes.DIGITS.replace(name="digits-stage-1", n_epochs=5)
    new = recipes.DenseLayer(20, "relu", initial_range=0.2)
    recipe = recipes.DIGITS.replace(generator=(new, *stage.generator), first_stage=stage)
    whole = Run.create(tmp_path / "two", recipe.replace(name="mine"))
    first = Run.create(whole.folder / "stage-1", whole.recipe.stages[0])
    for run, seconds in ((first, 60.0), (whole, 135.0)):
        run.append_metrics(record(1, seconds))
    first.append_metrics({"epoch": 1, "step": 12, "warning": "saturated", "message": "D is sure"})
    text = Page(page_of(whole)).text
    assert "training 3 min 15 s" in text
    assert "before them 1 epoch of a first stage, in 3 min 15 s" in text
    assert "First stage, epoch 1: D is sure." in text
    # no option sets 5 epochs and 800: the run's own file does
    assert f"fastgan reproduce {whole.recipe_path} --seed 0" in text
    equal = Run.create(tmp_path / "equal", whole.recipe.for_epochs(3))
    equal.append_metrics(record(1, 1.0))
    assert "fastgan reproduce mine --seed 0 --epochs 3" in Page(page_of(equal)).text
    faces = Run.create(tmp_path / "faces", recipes.FACES)
    faces.append_metrics(record(1, 1.0))
    commands = Page(page_of(faces)).text
    assert "fastgan reproduce faces --seed 0 " in commands
    assert "--epochs" not in commands


def record(epoch, seconds):
    names = ("discriminator_cost", "generator_cost", "real_probability", "fake_probability")
    values = dict.fromkeys((*names, "sample_mean", "sample_deviation", "learning_rate"), 0.5)
    return {"epoch": epoch, "step": 12, "momentum": 0.5, "seconds": seconds, **values}


def test_grids_come_from_first_to_last_in_the_order_of_epochs(run):
    complete(run, evaluation())
    shown = re.findall(r"<figcaption>epoch (\d+)</figcaption>", page_of(run))
    assert shown == ["1", "3", "9", "11"]


def test_what_is_missing_is_said(tmp_path):
    run = Run.create(tmp_path / "new", recipes.by_name("digits"))
    text = Page(page_of(run)).text
    assert "Not evaluated yet" in text
    assert "Figure 2 is not drawn yet" in text
    assert "No epoch is recorded yet" in text
    assert "status new" in text


def test_a_run_by_its_folder_and_a_report_replaced(run):
    first = write_report(run.folder).read_bytes()
    complete(run, evaluation())
    assert write_report(str(run.folder)).read_bytes() != first
    assert not list(run.folder.glob(".*"))


def test_damaged_files_are_named(run):
    complete(run, evaluation())
    figures = run.figures_folder
    for path, content, said in (
        (figures / FIGURE_2, b"GIF89a", r"figure_2\.png: expected a PNG file"),
        (
            run.evaluation_path,
            b'{"mean": 1}',
            r"evaluation\.json: evaluation: field '\w+' is missing",
        ),
        (run.memorisation_path, b"{", r"memorisation\.json: memorisation: expected JSON"),
        (run.helvetica_path, b"[]", r"helvetica\.json: helvetica: expected a JSON object"),
        (figures / WALK, b"{}", r"walk\.json: walk: field 'dataset' is missing"),
        (
            figures / WALK_PICTURE,
            (figures / FIGURE_3).read_bytes(),
            r"walk\.png: expected 16 x 96 pixels, as walk\.json says, got \d+ x \d+",
        ),
    ):
        before = path.read_bytes()
        path.write_bytes(content)
        with pytest.raises(ValueError, match=said):
            write_report(run)
        path.write_bytes(before)
    write_report(run)
    (figures / WALK_PICTURE).unlink()
    with pytest.raises(ValueError, match=r"walk\.png: expected the picture of walk\.json"):
        write_report(run)


def test_the_best_epoch_is_told_and_selects_nothing(run):
    complete(run, evaluation())
    text = Page(page_of(run)).text
    assert "The highest validation log-likelihood, 30.0 nats, is that of epoch 3." in text
    assert "It selects nothing. The released code keeps the last epoch." in text
    assert "generator" not in re.findall(r"<li>(\w+) <b>", page_of(run))


def test_a_report_of_other_weights_is_one_of_its_own(run):
    complete(run, evaluation())
    best = Run.open(run.folder, weights="best")
    assert best.report_path.name == "report-best.html"
    assert "Not evaluated yet" in Page(page_of(best)).text  # evaluation.json is the model's
    best.evaluation_path.write_text(evaluation(mean=-77.0).to_json())
    text = Page(page_of(best)).text
    assert "generator weights at epoch 3" in text
    assert "\N{MINUS SIGN}77.0 nats" in text
    assert "is of epoch 3, which has the highest validation log-likelihood, 30.0 nats" in text
    assert "fastgan evaluate runs/digits/seed-7 --weights best" in text
    assert "generator last weights" in Page(page_of(Run.open(run.folder, weights="last"))).text


def test_an_average_is_told(run):
    run.recipe = run.recipe.replace(average_decay=0.9)
    assert "generator average of the weights" in Page(page_of(run)).text
    best = Run(run.folder, run.recipe, weights="best")
    assert "generator average of the weights at epoch 3" in Page(page_of(best)).text
    last = Run(run.folder, run.recipe, weights="last")
    assert "generator last weights" in Page(page_of(last)).text


def test_no_run_no_report(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"recipe\.toml"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (42.4, "42 s"), (59.6, "1 min 0 s"), (8000, "2 h 13 min")],
)
def test_times_in_words(seconds, words):
    assert report_parts.duration(seconds) == words


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_plots_are_a_third_of_the_bytes_and_look_the_same(theme):
    rows = [{"epoch": n, "discriminator_cost": 0.7, "generator_cost": 1 / n} for n in range(1, 60)]
    content = curve_pictures(rows, theme=theme)["costs"]
    reduced = report_parts.fewer_colours(content)
    assert len(reduced) < 0.5 * len(content)
    before, after = (
        np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
        for png in (content, reduced)
    )
    assert after.shape == before.shape
    assert np.abs(after - before).mean() < 0.1
    paper = np.all(before == before[0, 0], axis=2)  # what meets the card around it
    assert paper.mean() > 0.5
    np.testing.assert_array_equal(after[paper], before[paper])
