"""Recipes: the numbers of the released code, the schedules, TOML there and back, refusals."""

import dataclasses
import tomllib

import pytest
import tomli_w

from fastgan import recipes
from fastgan.models import Discriminator, Generator
from fastgan.recipe_files import differences, read_recipe
from fastgan.recipes import MNIST, DenseLayer, MaxoutLayer


def n_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_mnist_has_the_published_sizes():
    assert n_parameters(Discriminator(MNIST)) == 1_231_441
    assert n_parameters(Generator(MNIST)) == 2_503_984


def test_mnist_has_the_published_numbers():
    assert (MNIST.n_latent, MNIST.latent, MNIST.batch_size) == (100, "uniform", 100)
    assert (MNIST.learning_rate, MNIST.learning_rate_decay) == (0.1, 1.000004)
    assert MNIST.learning_rate_floor == 1e-6
    assert [layer.initial_range for layer in MNIST.generator] == [0.05] * 3
    assert [layer.bias_from_data for layer in MNIST.generator] == [False, False, True]
    assert [layer.include_probability for layer in MNIST.discriminator] == [0.8, 0.5]
    assert MNIST.output_include_probability == 0.5
    assert [layer.initial_range for layer in MNIST.discriminator] == [0.005] * 2
    assert MNIST.output_initial_range == 0.005
    assert MNIST.max_norm is None
    assert (MNIST.cost, MNIST.schedule, MNIST.k) == ("non_saturating", "simultaneous", 1)
    assert MNIST.n_samples == 10_000


def test_learning_rate_decays_by_four_millionths_an_update():
    assert MNIST.learning_rate_at(0) == 0.1
    assert MNIST.learning_rate_at(1) == pytest.approx(0.1 / 1.000004, rel=1e-15)
    # 20 epochs; the slip 1.00004 would give .067
    assert MNIST.learning_rate_at(10_000) == pytest.approx(0.0960789516, rel=1e-8)


def test_learning_rate_has_a_floor():
    assert MNIST.learning_rate_at(2_878_000) > 1e-6
    assert MNIST.learning_rate_at(2_879_000) == 1e-6
    assert MNIST.learning_rate_at(10**12) == 1e-6  # decay^update is past float64 here


@pytest.mark.parametrize(
    ("epoch", "momentum"), [(1, 0.5), (2, 0.5 + 0.2 / 249), (250, 0.7), (251, 0.7), (9999, 0.7)]
)
def test_momentum_grows_over_250_epochs(epoch, momentum):
    assert MNIST.momentum_at(epoch) == pytest.approx(momentum, rel=1e-15)


def test_momentum_of_one_epoch_is_the_last():
    assert MNIST.replace(momentum_epochs=1).momentum_at(1) == 0.7


def test_schedules_refuse_numbers_before_the_start():
    with pytest.raises(ValueError, match="update: expected an integer of at least 0, got -1"):
        MNIST.learning_rate_at(-1)
    with pytest.raises(ValueError, match="epoch: expected an integer of at least 1, got 0"):
        MNIST.momentum_at(0)


def test_by_name():
    assert recipes.by_name("mnist") is MNIST
    assert {"mnist", "tfd", "cifar10-mlp", "cifar10-conv", "digits"} <= set(recipes.names())
    with pytest.raises(ValueError, match=r"recipe: expected one of mnist, .*, got 'minst'"):
        recipes.by_name("minst")


def test_recipes_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        MNIST.seed = 1


@pytest.mark.parametrize(
    "recipe",
    [*map(recipes.by_name, recipes.names()), MNIST.replace(max_norm=1.9365, seed=2**63 - 1)],
)
def test_toml_there_and_back(recipe):
    text = recipes.to_toml(recipe)
    assert recipes.from_toml(text) == recipe
    assert set(tomllib.loads(text)) == {field.name for field in dataclasses.fields(recipe)}


def test_toml_says_none_for_no_limit():
    assert tomllib.loads(recipes.to_toml(MNIST))["max_norm"] == "none"


def changed(**changes):
    document = tomllib.loads(recipes.to_toml(MNIST))
    document.update(changes)
    return tomli_w.dumps(document)


def test_a_document_older_than_a_field_has_its_default():
    document = tomllib.loads(recipes.to_toml(MNIST))
    del document["average_decay"], document["average_every"]
    del document["first_stage"], document["collapse_first_epoch"]
    for layer in document["generator"]:
        del layer["initial_bias"], layer["n_sparse_weights"]
    assert recipes.from_toml(tomli_w.dumps(document)) == MNIST


def test_toml_takes_a_whole_number_for_a_number():
    recipe = recipes.from_toml(changed(learning_rate=1))
    assert type(recipe.learning_rate) is float


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (changed(momentun=0.5), ValueError, "momentun: unknown key; known are average_dec"),
        ("name = 'x'", ValueError, r"batch_size: missing key \(all missing: batch_size, cost"),
        (changed(batch_size="x"), TypeError, r"batch_size: expected a whole number, got a str"),
        (changed(batch_size=True), TypeError, r"batch_size: .* got true or false \(True\)"),
        (changed(batch_size=1.5), TypeError, r"batch_size: expected a whole number, got a number"),
        (changed(learning_rate="x"), TypeError, "learning_rate: expected a number, got a string"),
        (changed(max_norm="nine"), TypeError, r"max_norm: expected a number, got a string"),
        (changed(generator=3), TypeError, "generator: expected an array of tables, got a whole"),
        (changed(generator=[3]), TypeError, "generator: expected an array of tables, got an array"),
        (changed(generator=[{}]), ValueError, r"generator\[0\]\.activation: missing key"),
        (changed(cost="x"), ValueError, "cost: expected one of 'non_saturating', 'saturating'"),
        ("name = ", ValueError, r"recipe: this is not TOML: Invalid value \(at"),
    ],
)
def test_toml_refusals(text, error, message):
    with pytest.raises(error, match=message):
        recipes.from_toml(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "a/b"}, "name: expected letters, digits"),
        ({"name": ""}, "name: expected letters, digits"),
        ({"dataset": ""}, "dataset: expected a name or a path"),
        ({"n_latent": 0}, "n_latent: expected an integer of at least 1, got 0"),
        ({"batch_size": 0}, "batch_size: expected an integer of at least 1, got 0"),
        ({"n_epochs": 0}, "n_epochs: expected"),
        ({"evaluate_every": 0}, "evaluate_every: expected"),
        ({"n_samples": 0}, "n_samples: expected"),
        ({"momentum_epochs": 0}, "momentum_epochs: expected"),
        ({"average_every": 0}, "average_every: expected an integer of at least 1, got 0"),
        ({"average_decay": 1.0}, r"average_decay: expected a number in \[0, 1\), got 1.0"),
        ({"average_decay": -0.1}, r"average_decay: expected a number in \[0, 1\), got -0.1"),
        ({"latent": "x"}, "latent: expected one of 'uniform', 'normal', got 'x'"),
        ({"schedule": "x"}, "schedule: expected one of 'simultaneous', 'alternating', got 'x'"),
        ({"k": 2}, "k: the simultaneous schedule knows only k = 1, got 2"),
        ({"generator": ()}, "generator: expected at least one layer, got none"),
        ({"output_include_probability": 0.0}, "output_include_probability: expected a prob"),
        ({"learning_rate": 0.0}, "learning_rate: expected a number above 0, got 0"),
        ({"learning_rate": float("nan")}, "learning_rate: expected a finite number, got nan"),
        ({"learning_rate_decay": 0.9}, "learning_rate_decay: expected a number of at least 1"),
        ({"learning_rate_floor": -1.0}, "learning_rate_floor: expected a number of at least 0"),
        ({"momentum_last": 1.0}, r"momentum_last: expected a number in \[0, 1\), got 1.0"),
        ({"max_norm": -1.0}, "max_norm: expected a number above 0, got -1"),
        ({"max_norm_before_training": True}, "max_norm_before_training: expected a max_norm"),
        ({"seed": -1}, "seed: expected an integer from 0 to"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message):
        MNIST.replace(**changes)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DenseLayer(0, "relu", 0.1), "n_units: expected an integer of at least 1, got 0"),
        (lambda: DenseLayer(1, "tanh", 0.1), "activation: expected one of 'relu', 'sigmoid'"),
        (lambda: DenseLayer(1, "relu", -0.1), "initial_range: expected a number of at least 0"),
        (lambda: DenseLayer(1, "relu", 0.1, bias_from_data=True), "bias_from_data: a logit is"),
        (lambda: MaxoutLayer(0, 5, 0.5, 0.1), "n_units: expected an integer"),
        (lambda: MaxoutLayer(1, 257, 0.5, 0.1), "n_pieces: expected an integer from 1 to 256"),
        (lambda: MaxoutLayer(1, 5, 0.0, 0.1), "include_probability: expected a probability"),
        (lambda: MaxoutLayer(1, 5, 1.5, 0.1), "include_probability: expected a probability"),
    ],
)
def test_layer_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_differences_name_the_fields():
    other = MNIST.replace(learning_rate=0.2, n_epochs=3)
    phrases = differences(MNIST, other, ignore=frozenset({"n_epochs"}))
    assert phrases == ["learning_rate is 0.2 there and 0.1 here"]


def test_read_recipe_names_the_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(changed(batch_size=0))
    with pytest.raises(ValueError, match=r"mine\.toml: batch_size: expected"):
        read_recipe(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"mine\.toml: expected UTF-8 text"):
        read_recipe(path)
    path.write_text(recipes.to_toml(MNIST))
    assert read_recipe(path) == MNIST
