"""The report's section on the recipe: both networks layer by layer, and how they were trained.

Layers and settings are read field by field, so that a new kind of layer or a new setting is shown
without being known here; what is known has better words.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import singledispatch
from html import escape
from typing import Any

from fastgan import report_parts as parts
from fastgan.recipes import (
    ConvolutionalMaxoutLayer,
    DenseLayer,
    MaxoutLayer,
    Recipe,
    TransposedConvolutionLayer,
)
from fastgan.report_inputs import Shown

_LATENT = {
    "uniform": f"uniform on ({parts.MINUS}√3, √3)",
    "normal": "normal, mean 0 and variance 1",
}
_WORDS = {
    "relu": "rectified linear",
    "non_saturating": "non-saturating: G maximises log D(G(z))",
    "saturating": f"saturating: G minimises log(1 {parts.MINUS} D(G(z)))",
    "simultaneous": "simultaneous: both networks in every step",
    "alternating": "alternating: k batches of D, then one of G (Algorithm 1)",
}
# (field, what the report calls it); fields not here are called by their name
_SETTINGS = {
    "dataset": "data set",
    "batch_size": "images a batch",
    "n_epochs": "epochs",
    "learning_rate": "learning rate of the first update",
    "learning_rate_decay": "divided after each update by",
    "learning_rate_floor": "but never below",
    "momentum_first": "momentum of the first epoch",
    "momentum_last": "growing linearly to",
    "momentum_epochs": "which it has from this epoch on",
    "max_norm": "limit of a unit's incoming weight vector",
    "max_norm_before_training": "applied to the initial weights too",
    "cost": "cost of G",
    "schedule": "schedule",
    "k": "k, batches of D for each update of G",
    "average_decay": "decay of the average of G's weights",
    "average_every": "updates between two steps of that average",
    "evaluate_every": "epochs between two validation log-likelihoods",
    "n_samples": "samples under a Parzen estimate",
    "collapse_first_epoch": "first epoch that the collapse watch judges",
    "seed": "seed, the key of every random number",
}
_IN_THE_DIAGRAM = {"name", "n_latent", "latent", "generator", "discriminator", "first_stage"} | {
    "output_include_probability",
    "output_initial_range",
}
_LAYER_WORDS = {
    "n_pieces": "linear pieces a unit",
    "include_probability": "inputs kept (dropout) with probability",
    "initial_range": "initial weights within ±",
    "initial_bias": "initial bias",
    "bias_from_data": "bias from the mean image",
    "n_sparse_weights": "sparse initial weights a unit, N(0, 1)",
    "input_size": "input height and width",
    "input_channels": "input channels",
    "n_channels": "output channels",
    "kernel_size": "kernel height and width",
    "pool_size": "maximum over windows of",
    "pool_stride": "windows apart by",
}
_IN_THE_TITLE = {"n_units", "activation"}


@dataclasses.dataclass(frozen=True)
class _Bar:
    """One layer as it is drawn: what it gives, how many numbers, details, and its parameters."""

    title: str
    n_units: int
    details: tuple[tuple[str, str], ...] = ()
    n_parameters: int | None = None


def recipe_section(shown: Shown) -> str:
    """Return both networks, how they were trained, and an earlier stage folded, if there is one."""
    recipe = shown.recipe
    lead = (
        f"{recipe.name}: everything that decided this run. Bars are as wide as the square root of "
        "the numbers that a layer gives."
    )
    return parts.paragraph(lead, "lead") + _recipe(recipe)


def _recipe(recipe: Recipe) -> str:
    generator, discriminator = _generator_bars(recipe), _discriminator_bars(recipe)
    widest = max(bar.n_units for bar in (*generator, *discriminator))
    nets = _net("Generator G", generator, widest) + _net("Discriminator D", discriminator, widest)
    found = [f'<div class="nets">{nets}</div>', "<h3>Training</h3>", _settings(recipe)]
    if recipe.first_stage is not None:
        first = recipe.first_stage
        lead = parts.paragraph(
            f"{first.name} is trained before; its generator is the last {len(first.generator)} of "
            f"the {len(recipe.generator)} layers above, which then train on."
        )
        found.append(parts.folded(f"First stage: {first.name}", lead + _recipe(first)))
    return "\n".join(found)


def _generator_bars(recipe: Recipe) -> list[_Bar]:
    latent = _LATENT.get(recipe.latent, recipe.latent)
    bars = [_Bar("z", recipe.n_latent, (("drawn", latent),))]
    n_inputs = recipe.n_latent
    for layer in recipe.generator:
        bars.append(_bar(layer, n_inputs))
        n_inputs = layer.n_units
    return [*bars, _Bar("an image, G(z)", n_inputs)]


def _discriminator_bars(recipe: Recipe) -> list[_Bar]:
    n_inputs = recipe.n_features
    bars = [_Bar("an image, x or G(z)", n_inputs)]
    for layer in recipe.discriminator:
        bars.append(_bar(layer, n_inputs))
        n_inputs = layer.n_units
    output = tuple(
        (_layer_word(name), value_in_words(getattr(recipe, f"output_{name}")))
        for name in ("include_probability", "initial_range")
    )
    return [*bars, _Bar("sigmoid, the probability of being real", 1, output, n_inputs + 1)]


def _bar(layer: Any, n_inputs: int) -> _Bar:
    details = [
        (_layer_word(field.name), value_in_words(getattr(layer, field.name)))
        for field in dataclasses.fields(layer)
        if field.name not in _IN_THE_TITLE
    ]
    return _Bar(_title(layer), layer.n_units, tuple(details), n_parameters(layer, n_inputs))


def _title(layer: Any) -> str:
    words = type(layer).__name__.removesuffix("Layer")
    kind = "".join(f" {c.lower()}" if c.isupper() else c for c in words).strip()
    activation = getattr(layer, "activation", None)
    return kind if activation is None else f"{kind}, {_WORDS.get(activation, activation)}"


def _layer_word(name: str) -> str:
    return _LAYER_WORDS.get(name, name.replace("_", " "))


@singledispatch
def n_parameters(layer: Any, n_inputs: int) -> int | None:
    """Return how many weights and biases a layer has; None of a kind that is not known here."""
    return None


@n_parameters.register
def _(layer: DenseLayer, n_inputs: int) -> int | None:
    return (n_inputs + 1) * layer.n_units


@n_parameters.register
def _(layer: MaxoutLayer, n_inputs: int) -> int | None:
    return (n_inputs + 1) * layer.n_units * layer.n_pieces


@n_parameters.register
def _(layer: TransposedConvolutionLayer, n_inputs: int) -> int | None:
    # the bias is untied: one for each number of the output
    return layer.input_channels * layer.n_channels * layer.kernel_size**2 + layer.n_units


@n_parameters.register
def _(layer: ConvolutionalMaxoutLayer, n_inputs: int) -> int | None:
    n_filters = layer.n_channels * layer.n_pieces
    return n_filters * (layer.input_channels * layer.kernel_size**2 + 1)


def _net(name: str, bars: Sequence[_Bar], widest: int) -> str:
    counts = [bar.n_parameters for bar in bars if bar.details and bar.n_parameters is not None]
    total = f"<small>{sum(counts):,} parameters</small>" if counts else ""
    items = "".join(_layer(bar, widest) for bar in bars)
    return f'<div class="net"><h3>{escape(name)} {total}</h3><ol>{items}</ol></div>'


def _layer(bar: _Bar, widest: int) -> str:
    width = max(1.2, 100 * math.sqrt(bar.n_units / widest))
    details = "".join(
        f"<div><dt>{escape(name)}</dt> <dd>{escape(value)}</dd></div>"
        for name, value in bar.details
    )
    if bar.n_parameters is not None:
        details += f"<div><dt>parameters</dt> <dd>{bar.n_parameters:,}</dd></div>"
    inner = f"<dl>{details}</dl>" if details else ""
    return (
        f'<li><span class="bar" style="width:{width:.1f}%"></span>'
        f'<p class="layer"><b>{bar.n_units:,}</b> {escape(bar.title)}</p>{inner}</li>'
    )


def _settings(recipe: Recipe) -> str:
    names = [f.name for f in dataclasses.fields(recipe) if f.name not in _IN_THE_DIAGRAM]
    known = [name for name in _SETTINGS if name in names]
    rows = "".join(
        f'<tr><th scope="row">{escape(_SETTINGS.get(name, name.replace("_", " ")))}</th>'
        f"<td>{escape(value_in_words(getattr(recipe, name)))}</td>"
        f"<td><code>{escape(name)}</code></td></tr>"
        for name in [*known, *(name for name in names if name not in _SETTINGS)]
    )
    return f'<table class="settings"><tbody>{rows}</tbody></table>'


def value_in_words(value: Any) -> str:
    """Return a setting for a reader: every digit of a number, "yes" or "no", "none"."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return repr(value).removesuffix(".0").replace("-", parts.MINUS)
    if isinstance(value, (tuple, list)):
        return ", ".join(value_in_words(item) for item in value) or "none"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        inner = ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))
        return "; ".join(f"{name.replace('_', ' ')} {value_in_words(v)}" for name, v in inner)
    return _WORDS.get(value, str(value))
