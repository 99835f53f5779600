"""The report tells the score with its errors, and sets it beside what may stand beside it."""

from __future__ import annotations

import html
import re

from a_run import Page, complete, evaluation, page_of

from fastgan.evaluation import REAL_DATA_NOTE, STANDARD_ERROR_NOTE
from fastgan.published import FOLD_ERROR_NOTE
from fastgan.scores import FoldEvaluation


def test_it_says_in_short_what_was_found(run):
    found = complete(run, evaluation(comparable_to="MNIST", mean=217.4))
    text = page_of(run).partition('<dl class="short">')[2].partition("</dl>")[0]
    short = html.unescape(re.sub("<.*?>", " ", text)).replace("\N{NO-BREAK SPACE}", " ")
    assert "217.4 ± 2.0 nats a test image (± over the 300 test images)" in short
    assert "The paper printed 225 ± 2 for adversarial nets." in short
    assert "3 of 800 epochs, 36 batches of 50: both networks in every step" in short
    assert "The collapse watch found nothing" in short
    assert found.sentences()[0] in short
    assert re.search(r"samples hit [\d.]+ ± [\d.]+% of the training images", short)
    run.evaluation_path.write_text(evaluation(comparable_to="MNIST", n_samples=500).to_json())
    assert "The paper printed" not in page_of(run)


def test_folds_stand_with_the_error_across_them(run):
    folds = FoldEvaluation.of(
        [evaluation(dataset="faces", mean=mean, n_test=400) for mean in (10.0, 12.0, 14.0)]
    )
    complete(run, folds)
    page = Page(page_of(run))
    assert "12.0 nats ± 0.94 across the 3 folds" in page.text  # sqrt(8/3) / sqrt 3
    assert "1,200 test images in all" in page.text
    for place, mean in enumerate(("10.0", "12.0", "14.0")):
        assert f" {place} {mean} ± 2.0 0.2 400 " in page.text
    assert FOLD_ERROR_NOTE in page.text
    assert "No score was published for faces." in page.text
    assert "The width of the window" not in page.text  # each fold has one of its own


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
    assert "Deep GSN 214 ± 1.1 1890 ± 29 \N{EM DASH}" in page.text  # in columns of their own
    name = "This run digits, seed 7"
    assert f"{name} \N{EM DASH} \N{EM DASH} \N{MINUS SIGN}1234.6 ± 2.0" in page.text
    assert "Adversarial autoencoder" not in page.text


def test_mnist_stands_among_the_published_rows(run):
    complete(run, evaluation(comparable_to="MNIST", mean=217.4))
    raw = page_of(run)
    text = Page(raw).text
    table = raw.partition('<table class="results">')[2].partition("</table>")[0]
    rows = re.findall(r"<tr( class=\"ours\")?><td>(.*?)</td><td class=\"number\">(.*?)</td>", table)
    scores = [
        (re.sub("<.*?>", " ", name).strip(), score.replace("\N{NO-BREAK SPACE}", " "))
        for _, name, score in rows
    ]
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
    line = raw.partition('<table class="results">')[2].partition("</table>")[0]
    assert "2057\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}26" in line
    assert "225\N{NO-BREAK SPACE}" not in line
    assert "True data" not in line
    assert "one sample cannot tell" in Page(raw).text


def test_an_end_of_the_grid_is_said(run):
    complete(run, evaluation(at_edge=True, sigma=0.1))
    text = Page(page_of(run)).text
    assert "validation images, an end of the grid" in text
    assert "is an end of its grid" in text
