"""Evaluations by folds: written and read, and what is told beside them."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from fastgan.data import load_folds
from fastgan.evaluation import (
    COMPARABILITY_WARNING,
    FOLD_ERROR_NOTE,
    FoldEvaluation,
    aggregate_folds,
    evaluate,
    evaluate_folds,
)


@pytest.fixture
def datasets(dataset, uniform):
    return [dataclasses.replace(dataset, test=uniform(40 + seed, 12, seed)) for seed in (5, 6, 7)]


def test_the_aggregate_is_that_of_the_folds(datasets, drawn):
    found = evaluate_folds(drawn, datasets)
    means = [evaluate(drawn, one).mean for one in datasets]
    assert [fold.mean for fold in found.folds] == means
    assert found.mean == pytest.approx(np.mean(means), rel=1e-14)
    by_hand = math.sqrt(sum((mean - found.mean) ** 2 for mean in means) / 3) / math.sqrt(3)
    assert found.standard_error == pytest.approx(by_hand, rel=1e-12)
    assert (found.dataset, found.comparable_to, found.n_samples) == ("noise", None, 211)
    assert (found.n_test, found.n_features, found.sigma_variant) == (45 + 46 + 47, 12, "paper")
    assert found.seconds == pytest.approx(sum(fold.seconds for fold in found.folds))


def test_progress_counts_up_to_the_end(datasets, drawn):
    told = []
    evaluate_folds(drawn, datasets, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (6 * 211, 6 * 211)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert len(told) >= 6


def test_folds_by_name():
    samples = np.random.Generator(np.random.Philox(1)).random((30, 64))
    found = evaluate_folds(samples, "digits")
    alone = evaluate(samples, "digits")
    assert found.folds == (dataclasses.replace(alone, seconds=found.folds[0].seconds),)
    assert (found.mean, found.standard_error) == (alone.mean, 0.0)


def test_json_of_folds_keeps_every_bit(datasets, drawn):
    found = evaluate_folds(drawn, datasets)
    assert FoldEvaluation.from_json(found.to_json()) == found
    assert FoldEvaluation.from_json(found.to_json().encode()) == found


def changed(text, **change):
    return json.dumps(json.loads(text) | change)


def changed_fold(text, **change):
    values = json.loads(text)
    values["folds"][1].update(change)
    return json.dumps(values)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda text: text[:50], "evaluation by folds: expected JSON"),
        (lambda text: "[]", "evaluation by folds: expected a JSON object, got list"),
        (lambda text: "{}", "folds: expected a list of evaluations, got None"),
        (lambda text: changed(text, folds=3), "folds: expected a list of evaluations, got 3"),
        (lambda text: changed(text, folds=[]), "folds: expected at least one evaluation"),
        (lambda text: changed(text, folds=[4]), r"folds\[0\]: expected a JSON object, got int"),
        (lambda text: changed(text, x=1), "field 'x' is unknown"),
        (lambda text: changed(text, mean="high"), "mean: expected float, got 'high'"),
        (lambda text: changed(text, mean=1.0), r"mean: expected that of the folds, .*, got 1\.0"),
        (lambda text: changed(text, standard_error=9), "standard_error: expected that of the fol"),
        (lambda text: changed_fold(text, n_test="all"), r"folds\[1\]: n_test: expected int"),
        (lambda text: changed_fold(text, mean=math.nan), r"folds\[1\]: mean: expected a finite"),
        (lambda text: changed_fold(text, x=1), r"folds\[1\]: field 'x' is unknown"),
        (lambda text: changed_fold(text, n_samples=5), "folds: expected one n_samples for all"),
        (lambda text: changed_fold(text, dataset="a"), "expected one dataset for all folds, got"),
    ],
)
def test_json_of_folds_that_is_damaged(datasets, drawn, damage, sentence):
    text = evaluate_folds(drawn, datasets).to_json()
    with pytest.raises(ValueError, match=sentence):
        FoldEvaluation.from_json(damage(text))


def test_an_aggregate_in_another_order_of_summation_is_read(datasets, drawn):
    found = evaluate_folds(drawn, datasets)
    near = json.loads(found.to_json())
    near["mean"] = math.nextafter(found.mean, math.inf)
    assert FoldEvaluation.from_json(json.dumps(near)) == found


def test_folds_of_two_data_sets(datasets, drawn):
    other = dataclasses.replace(datasets[1], name="other")
    pair = [evaluate(drawn, one) for one in (datasets[0], other)]
    with pytest.raises(ValueError, match="expected one dataset for all folds, got noise, other"):
        aggregate_folds(pair)


def test_what_is_told_beside_folds(datasets, drawn):
    told = evaluate_folds(drawn, datasets).warnings()
    assert "The data set 'noise' has no published column" in told[0]
    assert told[-2:] == (COMPARABILITY_WARNING, FOLD_ERROR_NOTE)
    assert "standard deviation (ddof 0)" in FOLD_ERROR_NOTE
    assert "divided by the square root of their number" in FOLD_ERROR_NOTE
    tfd = [dataclasses.replace(one, comparable_to="TFD") for one in datasets]
    found = evaluate_folds(drawn, tfd)
    assert "10,000 samples, this score on 211" in found.warnings()[0]
    assert [row.model for row in found.references][-1] == "Adversarial autoencoder"
    gmmn = evaluate_folds(drawn, tfd, sigma_variant="gmmn")
    assert any("GMMN paper" in sentence for sentence in gmmn.warnings())
    # a sigma at an end of its grid: of the folds where it is one
    edges = [
        dataclasses.replace(one, sigma_grid=grid)
        for one, grid in zip(datasets, [(0.01, 0.02), (0.1, 0.2, 0.3, 0.4), (0.01, 0.02)],
                             strict=True)
    ]  # fmt: skip
    found = evaluate_folds(drawn, edges)
    assert found.folds[1].at_edge is False
    assert found.faults() == (
        "Folds 0, 2: The chosen sigma 0.02 is an end of its grid: a better one may lie outside.",
    )
    assert found.warnings()[0] == found.faults()[0]
    shifted = evaluate_folds(drawn + 9, datasets[:1])
    assert shifted.faults()[0].startswith("Fold 0: The samples lie in [9")


@pytest.mark.data
def test_real_faces_as_the_model():
    """The 6,000 training faces as samples; the numbers are brute force's, in float64."""
    folder = os.environ.get("FASTGAN_DATA")
    if not folder or not (Path(folder) / "fer2013").is_dir():
        pytest.skip("FASTGAN_DATA is not set or has no folder fer2013: no real faces to read")
    folds = load_folds("faces")
    found = evaluate_folds(folds[0].train, folds)
    expected = [629.86310, 653.05190, 627.37160, 673.19203, 674.00816]
    # parzen_log_sums is within 1e-4 nats; pixels are rounded to float32 here and were not there
    assert [fold.mean for fold in found.folds] == pytest.approx(expected, abs=5e-4)
    assert found.mean == pytest.approx(651.49736, abs=5e-4)
    assert found.standard_error == pytest.approx(9.01089, abs=5e-4)
    assert found.sigmas == pytest.approx([10 ** (-1 + 2 / 9)] * 5)
