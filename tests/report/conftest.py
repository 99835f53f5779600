"""Helpers of these tests are modules beside them: a_run and devtools."""

import dataclasses
import functools
import sys
from pathlib import Path

import pytest

from fastgan import recipes, report_checks, report_parts, report_score, report_training
from fastgan.runs import Run

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def drawn_once(monkeypatch):
    """The curves are real, but drawn once for all tests: test_figures.py tests what is in them."""
    for module, name in (
        (report_training, "curve_pictures"),
        (report_score, "sigma_curve"),
        (report_checks, "memorisation_pictures"),
        (report_checks, "helvetica_pictures"),
    ):
        monkeypatch.setattr(module, name, _drawn_once(getattr(module, name), name))
    monkeypatch.setattr(report_parts, "fewer_colours", _in_fewer_colours)


_DRAWN = {}
_in_fewer_colours = functools.cache(report_parts.fewer_colours)


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
