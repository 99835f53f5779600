"""The report shows every number of a recipe, of layers and settings that it does not know too."""

from __future__ import annotations

import dataclasses
import html
import re

import pytest
from a_run import Page, page_of

from fastgan import recipes, report_recipe
from fastgan.models import Discriminator, Generator
from fastgan.recipes import ConvolutionalMaxoutLayer, TransposedConvolutionLayer
from fastgan.runs import Run


def shown_recipe(tmp_path, recipe):
    text = page_of(Run.create(tmp_path / recipe.name, recipe))
    return text.partition('<section id="recipe"')[2].partition("</section>")[0]


def words_of(part):
    return re.sub(r"\s+", " ", html.unescape(re.sub("<.*?>", " ", part)))


@pytest.mark.parametrize("name", recipes.names())
def test_every_setting_is_shown_with_its_value(tmp_path, name):
    recipe = recipes.by_name(name)
    part = shown_recipe(tmp_path, recipe)
    rows = re.findall(r"<td>([^<]*)</td><td><code>(\w+)</code></td>", part)
    settings = {key: html.unescape(value) for value, key in rows[: len(rows)]}
    fields = {field.name for field in dataclasses.fields(recipe)}
    drawn = {"name", "n_latent", "latent", "generator", "discriminator", "first_stage"}
    drawn |= {"output_include_probability", "output_initial_range"}
    assert set(settings) == fields - drawn
    if recipe.first_stage is None:
        for key, value in settings.items():
            assert value == report_recipe.value_in_words(getattr(recipe, key))
    words = words_of(part)
    assert f"{recipe.n_latent:,} z" in words
    for layer in (*recipe.generator, *recipe.discriminator):
        assert f"{layer.n_units:,} " in words


def test_two_stages_are_told_apart(tmp_path):
    recipe = recipes.by_name("tfd")
    part = shown_recipe(tmp_path, recipe)
    words = words_of(part)
    assert "First stage: tfd-stage-1" in words
    assert "its generator is the last 3 of the 5 layers above" in words
    assert part.count("Generator G") == part.count("Discriminator D") == 2
    assert "sparse initial weights a unit, N(0, 1) 100" in words
    before, after = words.split("First stage:")
    assert "epochs 22 n_epochs" in before
    assert "epochs 50 n_epochs" in after


def small_convolutional_recipe():
    """The two convolutional kinds at a size whose weights are counted in a moment."""
    digits = recipes.by_name("digits")
    return digits.replace(
        name="small-conv",
        generator=(
            digits.generator[0].__class__(36, "relu", initial_range=0.1),
            TransposedConvolutionLayer(3, 4, 1, 4, 2, "linear", 0.1),
        ),
        discriminator=(
            ConvolutionalMaxoutLayer(8, 1, 3, 2, 4, 1, 2, 2, 0.8, 0.1),
            digits.discriminator[0],
        ),
    )


@pytest.mark.parametrize("recipe", [recipes.by_name("digits"), small_convolutional_recipe()])
def test_parameters_are_those_of_the_networks(tmp_path, recipe):
    words = words_of(shown_recipe(tmp_path, recipe))
    for name, module in (("Generator G", Generator), ("Discriminator D", Discriminator)):
        count = sum(parameter.numel() for parameter in module(recipe).parameters())
        assert f"{name} {count:,} parameters" in words


@dataclasses.dataclass(frozen=True)
class PixelNormLayer:
    """A kind of layer that the report has never heard of."""

    n_units: int
    strange_number: float
    sizes: tuple[int, ...] = (3, 5)
    is_on: bool = True


def test_a_kind_of_layer_that_is_not_known_is_shown_field_by_field():
    layer = PixelNormLayer(1234, 0.125)
    assert report_recipe.n_parameters(layer, 10) is None
    words = words_of(report_recipe._layer(report_recipe._bar(layer, 10), 1234))
    assert words.split() == [
        "1,234",
        "pixel",
        "norm",
        "strange",
        "number",
        "0.125",
        "sizes",
        "3,",
        "5",
        "is",
        "on",
        "yes",
    ]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "none"), (True, "yes"), (50000, "50,000"), (0.05, "0.05"), (2.0, "2"),
        (1.000004, "1.000004"), (-2.0, "\N{MINUS SIGN}2"), (1e-6, "1e\N{MINUS SIGN}06"),
        ((), "none"), ("digits", "digits"), ("relu", "rectified linear"),
        (PixelNormLayer(1, 2.5), "n units 1; strange number 2.5; sizes 3, 5; is on yes"),
    ],
)  # fmt: skip
def test_values_in_words(value, words):
    assert report_recipe.value_in_words(value) == words


def test_bars_are_as_wide_as_the_root_of_the_numbers(tmp_path):
    part = shown_recipe(tmp_path, recipes.by_name("mnist"))
    widths = [float(width) for width in re.findall(r'class="bar" style="width:([\d.]+)%"', part)]
    numbers = [100, 1200, 1200, 784, 784, 784, 240, 240, 1]
    expected = [max(1.2, 100 * (number / 1200) ** 0.5) for number in numbers]
    assert widths == pytest.approx(expected, abs=0.05)
    assert Page(f"<div>{part.partition('>')[2]}</div>").text
