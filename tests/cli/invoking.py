"""The command line called in this process, and a recipe of which an epoch takes a moment."""

from __future__ import annotations

import re
from pathlib import Path

from typer.testing import CliRunner

from fastgan import cli, recipes

PNG = b"\x89PNG"


def tiny(path: Path, **changes: object) -> Path:
    """Write a recipe of a few thousand weights, of which an epoch takes a moment."""
    digits = recipes.DIGITS
    layers = (
        recipes.DenseLayer(16, "relu", initial_range=0.3),
        recipes.DenseLayer(64, "sigmoid", initial_range=0.5, bias_from_data=True),
    )
    recipe = digits.replace(
        name="tiny",
        generator=layers,
        discriminator=(recipes.MaxoutLayer(4, 2, include_probability=0.8, initial_range=0.05),),
        batch_size=400,
        learning_rate=0.01,
        n_epochs=2,
        evaluate_every=1,
        n_samples=80,
    ).replace(**changes)
    path.write_text(recipes.to_toml(recipe), encoding="utf-8")
    return path


def invoke(*arguments: object) -> object:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def succeed(*arguments: object) -> str:
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output + result.stderr + repr(result.exception)
    return result.stdout


def mistake(*arguments: object) -> str:
    """Expect one line on standard error, exit code 2 and no traceback; return the line."""
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output + repr(result.exception)
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    last = result.stderr.strip()
    return re.sub(r"[\s│╭╮╰╯─]+", " ", last)


def collapsing(path: Path) -> Path:
    """Write a recipe of a constant generator at a vanishing rate: it hardly varies with z."""
    return tiny(path, learning_rate=1e-9, learning_rate_floor=0.0,
                generator=(recipes.DenseLayer(64, "sigmoid", initial_range=1e-6,
                                              bias_from_data=True),),
                n_epochs=4, batch_size=100, evaluate_every=100)  # fmt: skip
