"""What is told beside a score, and scores written and read."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from fastgan.evaluation import (
    COMPARABILITY_WARNING,
    REAL_DATA_NOTE,
    REFERENCE_TABLE,
    STANDARD_ERROR_NOTE,
    Evaluation,
    evaluate,
)

# what is told, and written


def test_the_published_rows():
    rows = {row.model: row for row in REFERENCE_TABLE}
    table = [(name, str(row.mnist), str(row.tfd)) for name, row in rows.items() if row.of_the_paper]
    assert table == [
        ("DBN", "138 ± 2", "1909 ± 66"),
        ("Stacked CAE", "121 ± 1.6", "2110 ± 50"),
        ("Deep GSN", "214 ± 1.1", "1890 ± 29"),
        ("Adversarial nets", "225 ± 2", "2057 ± 26"),
    ]
    for name, bits in (("Diffusion", 317), ("True data as the model", 349)):
        assert rows[name].mnist.mean == round(bits * math.log(2))
        assert str(bits) in rows[name].mnist.printed
        assert rows[name].tfd is None
    assert all(row.source for row in REFERENCE_TABLE)
    with pytest.raises(ValueError, match="column: expected 'MNIST' or 'TFD', got 'CIFAR'"):
        REFERENCE_TABLE[0].score("CIFAR")


def test_what_is_told_beside_a_score(dataset, drawn):
    told = evaluate(drawn, dataset).warnings()
    assert COMPARABILITY_WARNING in told
    assert "The data set 'noise' has no published column" in told[0]
    mnist = evaluate(drawn, dataclasses.replace(dataset, comparable_to="MNIST"))
    told = mnist.warnings()
    assert {COMPARABILITY_WARNING, REAL_DATA_NOTE, STANDARD_ERROR_NOTE} <= set(told)
    assert any("10,000 samples, this score on 211" in text for text in told)
    assert len(mnist.references) == 8
    faces = evaluate(drawn, dataclasses.replace(dataset, comparable_to="TFD"))
    assert REAL_DATA_NOTE not in faces.warnings()
    assert len(faces.references) == 6
    assert evaluate(drawn, dataset).references == ()


def test_json_keeps_every_bit(dataset, drawn):
    for found in (evaluate(drawn, dataset), evaluate(drawn[:1], dataset)):
        assert Evaluation.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda text: text[:50], "evaluation: expected JSON"),
        (lambda text: "[]", "evaluation: expected a JSON object, got list"),
        (lambda text: text.replace('"mean"', '"average"'), "evaluation: field 'mean' is missing"),
        (lambda text: text.replace("{", '{"x": 1,', 1), "evaluation: field 'x' is unknown"),
        (lambda text: text.replace('"n_test": 1003', '"n_test": "all"'), "n_test: expected int"),
        (lambda text: text.replace('"n_test": 1003', '"n_test": true'), "n_test: expected int"),
        (lambda text: text.replace('"seconds": ', '"seconds": 1e999, "_": '), "seconds|unknown"),
    ],
)
def test_json_that_is_damaged(dataset, drawn, damage, sentence):
    text = evaluate(drawn, dataset).to_json()
    assert damage(text) != text
    with pytest.raises(ValueError, match=sentence):
        Evaluation.from_json(damage(text))


def test_json_numbers_must_be_finite(dataset, drawn):
    values = json.loads(evaluate(drawn, dataset).to_json())
    values["mean"] = math.nan
    with pytest.raises(ValueError, match="evaluation: mean: expected a finite number, got nan"):
        Evaluation.from_json(json.dumps(values))
