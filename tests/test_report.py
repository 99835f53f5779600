"""The report is one page that loads nothing, says everything, and escapes what it shows."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
import json
import re
from html.parser import HTMLParser

import pytest
import torch
from PIL import Image

import fastgan
from fastgan import recipes, report, report_parts
from fastgan.data import Dataset
from fastgan.evaluation import REAL_DATA_NOTE, STANDARD_ERROR_NOTE, Evaluation
from fastgan.figures import sample_grid
from fastgan.memorisation import check_memorisation
from fastgan.report import FIGURE_2, FIGURE_3, NEAREST_PAIRS, write_report
from fastgan.runs import Run

VOID = {"meta", "img", "source", "br", "link"}


class Page(HTMLParser):
    """Collects what a page loads and says, and checks that its elements close in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.addresses, self.images, self.words, self.tags = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        given = dict(attributes)
        self.addresses += [given[key] for key in ("src", "srcset", "href") if key in given]
        if tag == "img":
            self.images.append(given)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


def evaluation(**changes):
    values = {
        "dataset": "digits",
        "comparable_to": None,
        "n_samples": 10_000,
        "n_test": 300,
        "n_validation": 297,
        "n_features": 64,
        "sigma": 0.2,
        "sigmas": (0.1, 0.2, 0.3),
        "validation_means": (-5.0, 21.5, 3.0),
        "at_edge": False,
        "sigma_variant": "paper",
        "mean": -1234.56,
        "standard_error": 1.96,
        "sample_standard_error": 0.37,
        "n_blocks": 50,
        "seed": 0,
        "sample_range": (0.0, 1.0),
        "data_range": (0.0, 1.0),
        "seconds": 61.0,
    }
    return Evaluation(**(values | changes))


@pytest.fixture(autouse=True)
def drawn_once(monkeypatch):
    """The curves are real, but drawn once for all tests: test_figures.py tests what is in them."""
    for name in ("curve_pictures", "sigma_curve", "memorisation_pictures"):
        monkeypatch.setattr(report, name, _drawn_once(getattr(report, name), name))


_DRAWN = {}


def _drawn_once(draw, name):
    def drawn(*arguments, theme="light"):
        key = (name, theme)
        if key not in _DRAWN:
            _DRAWN[key] = draw(*arguments, theme=theme)
        return _DRAWN[key]

    return drawn


@pytest.fixture
def run(tmp_path):
    run = Run.create(tmp_path / "run", dataclasses.replace(recipes.by_name("digits"), seed=7))
    for epoch in range(1, 4):
        run.append_metrics(
            {
                "epoch": epoch,
                "step": 12 * epoch,
                "discriminator_cost": 0.5,
                "generator_cost": 1.0,
                "real_probability": 0.7,
                "fake_probability": 0.3,
                "sample_mean": 0.3,
                "sample_deviation": 0.2,
                "learning_rate": 0.1,
                "momentum": 0.5,
                "seconds": 65.0 * epoch,
                "validation_log_likelihood": 10.0 * epoch,
                "sigma": 0.2,
            }
        )
    return run


def complete(run, found):
    """Give a run all that a report can show."""
    generator = torch.Generator().manual_seed(0)
    parts = [torch.rand(n, 64, generator=generator) for n in (40, 10, 30)]
    dataset = Dataset("digits", *parts, image_shape=(8, 8, 1))
    run.evaluation_path.write_text(found.to_json())
    memorised = check_memorisation(torch.cat([parts[0][:3], parts[1]]), dataset)
    run.memorisation_path.write_text(memorised.to_json())
    run.figures_folder.mkdir()
    for name in (FIGURE_2, FIGURE_3, NEAREST_PAIRS):
        sample_grid(parts[0], dataset, run.figures_folder / name)
    for epoch in (1, 2, 3, 9, 10, 11):
        sample_grid(parts[0][:4], dataset, run.samples_folder / f"epoch-{epoch:04d}.png")
    return memorised


def page_of(run, **options):
    path = write_report(run, **options)
    assert path == run.report_path
    return path.read_text(encoding="utf-8")


def test_the_page_is_whole_and_loads_nothing(run):
    complete(run, evaluation())
    text = page_of(run)
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>")
    assert len(page.images) == 2 + 4 + 4 + 1 + 3
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert not re.search(r"https?:|url\(|@import|@font-face", text)
    assert "$" not in page.text  # no placeholder is left
    assert str(run.folder) not in text


def test_pictures_are_inside_and_twice_as_fine_as_shown(run):
    complete(run, evaluation())
    for image in Page(page_of(run)).images:
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
    assert text.count('media="(prefers-color-scheme: dark)"') == 7  # curves, sigma, distances
    assert "@media (prefers-color-scheme: dark)" in text
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text


def test_the_score_stands_with_both_errors(run):
    complete(run, evaluation())
    text = Page(page_of(run)).text
    assert "\N{MINUS SIGN}1,234.6 nats" in text
    assert "± 2.0 over the 300 test images" in text
    assert "± 0.37 over the 10,000 model samples (jackknife, 50 blocks)" in text
    assert "0.2000 chosen on 297 validation images" in text
    assert "an end of the grid" not in text


def test_digits_are_not_set_beside_mnist(run):
    complete(run, evaluation())
    page = Page(page_of(run))
    assert "The data set 'digits' has no published column" in page.text
    assert "Deep GSN" not in page.text
    assert "Adversarial autoencoder" not in page.text


def test_mnist_stands_among_the_published_rows(run):
    complete(run, evaluation(comparable_to="MNIST", mean=217.4))
    raw = page_of(run)
    text = Page(raw).text
    table = raw.partition('<table class="results">')[2].partition("</table>")[0]
    rows = re.findall(r"<tr( class=\"ours\")?><td>(.*?)</td><td class=\"number\">(.*?)</td>", table)
    scores = [(re.sub("<.*?>", " ", name).strip(), score) for _, name, score in rows]
    assert scores == [
        ("Stacked CAE the paper", "121 ± 1.6"),
        ("DBN the paper", "138 ± 2"),
        ("Deep GSN the paper", "214 ± 1.1"),
        ("This run, digits", "217.4 ± 2.0"),
        ("Diffusion", "220"),
        ("Adversarial nets the paper", "225 ± 2"),
        ("True data as the model", "242"),
        ("GMMN + autoencoder", "282 ± 2"),
        ("Adversarial autoencoder", "340 ± 2"),
    ]
    assert [bool(mark) for mark, _, _ in rows].index(True) == 3
    assert "Goodfellow et al. 2014, Table 1" in text
    assert "printed as 317 ± 2.7 bits" in text
    assert REAL_DATA_NOTE in text
    assert STANDARD_ERROR_NOTE in text


def test_tfd_takes_its_own_column(run):
    complete(run, evaluation(comparable_to="TFD", mean=1750.0, sample_standard_error=None))
    raw = page_of(run)
    assert "2057 ± 26" in raw
    assert "225 ± 2" not in raw
    assert "True data" not in Page(raw).text
    assert "one sample cannot tell" in Page(raw).text


def test_an_end_of_the_grid_is_said(run):
    complete(run, evaluation(at_edge=True, sigma=0.1))
    text = Page(page_of(run)).text
    assert "validation images, an end of the grid" in text
    assert "is an end of its grid" in text


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
    assert "script" not in page.tags
    assert text.count(html.escape(evil)) == 5
    assert page.text.count(evil) == 5


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
    (run.figures_folder / FIGURE_2).write_bytes(b"GIF89a")
    with pytest.raises(ValueError, match=r"figure_2\.png: expected a PNG file"):
        write_report(run)
    run.evaluation_path.write_text(json.dumps({"mean": 1}))
    with pytest.raises(ValueError, match=r"evaluation\.json: evaluation: field '\w+' is missing"):
        write_report(run)
    run.memorisation_path.write_text("{")
    run.evaluation_path.unlink()
    with pytest.raises(ValueError, match=r"memorisation\.json: memorisation: expected JSON"):
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
