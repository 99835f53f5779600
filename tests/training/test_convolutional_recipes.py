"""Convolutional recipes: sizes, refusals, TOML, which step trains them, whole runs."""

import dataclasses
import itertools
import signal
import tomllib

import pytest
import tomli_w
import torch
import torch.nn.functional as F
from tiny_run import assert_same_run, weights

from fastgan import recipes, training
from fastgan.convolutional import ConvolutionalMaxout
from fastgan.data import Dataset
from fastgan.interruption import TrainingInterrupted
from fastgan.models import Discriminator, Generator
from fastgan.recipes import (
    CIFAR10_CONV,
    ConvolutionalMaxoutLayer,
    DenseLayer,
    MaxoutLayer,
    Recipe,
    TransposedConvolutionLayer,
)
from fastgan.runs import Run
from fastgan.steps import AutogradStep, apply_max_norm, make_step
from fastgan.training import train

# Images 7x7x3; nothing is square by chance: other channels, pieces and sizes at every layer.
TINY = Recipe(
    name="tiny-conv",
    dataset="none",
    n_latent=5,
    latent="normal",
    generator=(
        DenseLayer(12, "relu", initial_range=0.5),
        DenseLayer(3 * 3 * 4, "sigmoid", initial_range=0.5),
        TransposedConvolutionLayer(3, 4, 3, 3, 2, activation="linear", initial_range=0.3),
    ),
    discriminator=(
        ConvolutionalMaxoutLayer(7, 3, 2, 2, 4, 2, 3, 2, 0.8, initial_range=0.3),  # 8 gives 4
        ConvolutionalMaxoutLayer(4, 2, 4, 3, 3, 1, 3, 2, 0.5, initial_range=0.3),  # 4 gives 2
        MaxoutLayer(5, 2, include_probability=0.5, initial_range=0.3),
    ),
    output_include_probability=0.5,
    output_initial_range=0.3,
    batch_size=10,
    learning_rate=0.05,
    n_epochs=4,
    evaluate_every=2,
    n_samples=100,
    seed=3,
)
SCHEDULES = {
    "simultaneous": TINY,
    "alternating": TINY.replace(schedule="alternating", k=2),
    "saturating": TINY.replace(cost="saturating"),
}


def tiny_dataset():
    """34 images to train on, so that the last of four batches has 4."""
    random = torch.Generator().manual_seed(0)
    rows = torch.rand(54, 147, generator=random) * torch.linspace(0.2, 1.0, 147)
    return Dataset(
        name="tiny", train=rows[:34], validation=rows[34:44], test=rows[44:], image_shape=(7, 7, 3)
    )


def maxout(**changes):
    fields = dataclasses.asdict(TINY.discriminator[0])
    return ConvolutionalMaxoutLayer(**(fields | changes))


def transposed(**changes):
    return TransposedConvolutionLayer(**(dataclasses.asdict(TINY.generator[2]) | changes))


# Sizes


def test_published_sizes_of_windows_cut_off():
    for convolved, output, pool, stride in ((33, 16, 4, 2), (15, 7, 4, 2), (9, 5, 2, 2)):
        layer = ConvolutionalMaxoutLayer(convolved, 1, 1, 1, 1, 0, pool, stride, 0.5, 0.1)
        assert (layer.convolved_size, layer.output_size) == (convolved, output)
        assert ConvolutionalMaxout(layer, include_probability=1.0, index=0, seed=0)(
            torch.zeros(1, convolved**2)
        ).shape == (1, output**2)


def test_sizes_are_torchs():
    n_found = 0
    sizes = itertools.product((1, 2, 5, 8, 9), (1, 2, 3, 6), (0, 1, 3), (1, 2, 3, 4), (1, 2, 3, 4))
    for size, kernel, padding, pool, stride in sizes:
        convolved = size + 2 * padding - kernel + 1
        if convolved < pool or stride > pool:
            continue
        layer = ConvolutionalMaxoutLayer(size, 1, 1, 1, kernel, padding, pool, stride, 0.5, 0.1)
        image = F.conv2d(
            torch.zeros(1, 1, size, size), torch.zeros(1, 1, kernel, kernel), None, 1, padding
        )
        assert layer.convolved_size == image.shape[3] == convolved
        pooled = F.max_pool2d(image, pool, stride, ceil_mode=True)
        assert layer.output_size == pooled.shape[3], layer
        n_found += 1
    assert n_found > 400
    for size, kernel, stride in itertools.product(range(1, 7), range(1, 6), range(1, 5)):
        spread = TransposedConvolutionLayer(size, 1, 1, kernel, stride, "linear", 0.1)
        image = F.conv_transpose2d(
            torch.zeros(1, 1, size, size), torch.zeros(1, 1, kernel, kernel), stride=stride
        )
        assert spread.output_size == image.shape[3]


# Refusals


@pytest.mark.parametrize(
    ("make", "changes", "message"),
    [
        (maxout, {"input_size": 0}, "input_size: expected an integer of at least 1, got 0"),
        (maxout, {"input_channels": 0}, "input_channels: expected an integer of at least 1"),
        (maxout, {"n_channels": 0}, "n_channels: expected an integer of at least 1, got 0"),
        (maxout, {"kernel_size": 0}, "kernel_size: expected an integer of at least 1, got 0"),
        (maxout, {"pool_size": 0}, "pool_size: expected an integer of at least 1, got 0"),
        (maxout, {"pool_stride": 0}, "pool_stride: expected an integer of at least 1, got 0"),
        (maxout, {"padding": -1}, "padding: expected an integer of at least 0, got -1"),
        (maxout, {"n_pieces": 0}, "n_pieces: expected an integer from 1 to 256, got 0"),
        (maxout, {"n_pieces": 257}, "n_pieces: expected an integer from 1 to 256, got 257"),
        (maxout, {"include_probability": 0.0}, "include_probability: expected a probability"),
        (maxout, {"initial_range": -0.1}, "initial_range: expected a number of at least 0.0"),
        (maxout, {"kernel_size": 12}, "kernel_size: expected at most 11, the input with its pad"),
        (maxout, {"pool_size": 9}, "pool_size: expected at most 8, what the convolution leaves"),
        (maxout, {"pool_stride": 4}, "pool_stride: expected at most pool_size, 3, so that no pl"),
        (transposed, {"input_size": 0}, "input_size: expected an integer of at least 1, got 0"),
        (transposed, {"input_channels": 0}, "input_channels: expected an integer of at least 1"),
        (transposed, {"n_channels": 0}, "n_channels: expected an integer of at least 1, got 0"),
        (transposed, {"kernel_size": 0}, "kernel_size: expected an integer of at least 1, got 0"),
        (transposed, {"stride": 0}, "stride: expected an integer of at least 1, got 0"),
        (transposed, {"activation": "tanh"}, "activation: expected one of 'relu', 'sigmoid'"),
        (transposed, {"initial_range": -1.0}, "initial_range: expected a number of at least 0.0"),
    ],
)
def test_layer_refusals(make, changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


@pytest.mark.parametrize("field", ["input_size", "padding", "n_pieces", "pool_stride"])
def test_sizes_are_whole_numbers(field):
    with pytest.raises(TypeError, match=rf"{field}: expected an integer"):
        maxout(**{field: 2.0})


@pytest.mark.parametrize(
    ("net", "index", "layer", "message"),
    [
        ("generator", 2, transposed(input_channels=5), r"generator\[2\]: takes 45 numbers, .* 36"),
        ("generator", 2, transposed(n_channels=2), r"discriminator\[0\]: takes 147 numbers, .* 98"),
        ("generator", 1, DenseLayer(37, "relu", 0.1), r"generator\[2\]: takes 36 numbers.* got 37"),
        ("discriminator", 0, maxout(input_channels=2), r"discriminator\[0\]: takes 98.* got 147"),
        ("discriminator", 0, maxout(n_channels=4), r"discriminator\[1\]: takes 32.* got 64 from"),
        ("discriminator", 0, maxout(pool_size=2), None),  # 4 windows by 3 or by 2
        ("discriminator", 0, maxout(padding=3), r"discriminator\[1\]: takes 32.* got 50 from"),
    ],
)
def test_a_recipe_names_the_layer_that_does_not_fit(net, index, layer, message):
    layers = list(getattr(TINY, net))
    layers[index] = layer
    if message is None:
        assert getattr(TINY.replace(**{net: tuple(layers)}), net)[index] == layer
        return
    with pytest.raises(ValueError, match=message):
        TINY.replace(**{net: tuple(layers)})


def test_dense_maxout_goes_before_no_convolution_of_another_width():
    """5 units are no image of 4x4x2."""
    with pytest.raises(
        ValueError, match=r"discriminator\[1\]: takes 32 numbers, as its input_size"
    ):
        TINY.replace(discriminator=(TINY.discriminator[2], TINY.discriminator[1]))


# TOML


@pytest.mark.parametrize("recipe", [*SCHEDULES.values(), CIFAR10_CONV], ids=lambda r: r.name)
def test_toml_there_and_back(recipe):
    text = recipes.to_toml(recipe)
    found = recipes.from_toml(text)
    assert found == recipe
    for net in ("generator", "discriminator"):
        kinds = [type(layer) for layer in getattr(recipe, net)]
        assert [type(layer) for layer in getattr(found, net)] == kinds
    assert tomllib.loads(text)["discriminator"][0] == dataclasses.asdict(recipe.discriminator[0])


def edited(net, index, wrong=None, without=(), **changes):
    document = tomllib.loads(recipes.to_toml(TINY))
    table = document[net][index]
    if wrong is not None:
        right, typed = wrong
        table[typed] = table.pop(right)
    for key in without:
        del table[key]
    table.update(changes)
    return tomli_w.dumps(document)


@pytest.mark.parametrize(
    ("net", "index", "kind"),
    [
        ("generator", 0, DenseLayer),
        ("generator", 2, TransposedConvolutionLayer),
        ("discriminator", 1, ConvolutionalMaxoutLayer),
        ("discriminator", 2, MaxoutLayer),
    ],
)
def test_toml_names_a_key_mistyped_or_missing_in_any_kind_of_layer(net, index, kind):
    """The kind is that of most keys: one wrong key leaves it, and is told with those known."""
    layer = getattr(TINY, net)[index]
    younger = {"initial_bias", "n_sparse_weights"}  # may be left out
    names = [field.name for field in dataclasses.fields(layer) if field.name not in younger]
    known = ", ".join(sorted(field.name for field in dataclasses.fields(kind)))
    for name in names:
        with pytest.raises(
            ValueError, match=rf"{net}\[{index}\]\.{name}x: unknown key; "
        ) as raised:
            recipes.from_toml(edited(net, index, wrong=(name, name + "x")))
        assert str(raised.value).endswith(f"known are {known}")
        with pytest.raises(ValueError, match=rf"{net}\[{index}\]\.{name}: missing key"):
            recipes.from_toml(edited(net, index, without=(name,)))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (edited("discriminator", 0, pool_size="4"), TypeError, r"\[0\]\.pool_size: expected a who"),
        (edited("discriminator", 0, padding=True), TypeError, r"\[0\]\.padding: .* got true or f"),
        (
            edited("discriminator", 1, pool_size=9),
            ValueError,
            r"discriminator\[1\]\.pool_size: exp",
        ),
        (
            edited("generator", 2, stride=1.5),
            TypeError,
            r"generator\[2\]\.stride: expected a whole",
        ),
        (edited("generator", 2, activation="x"), ValueError, r"generator\[2\]\.activation: expec"),
        (edited("generator", 2, stride=1), ValueError, r"^discriminator\[0\]: takes 147 numbers, "),
        (edited("generator", 2, n_units=147), ValueError, r"generator\[2\]\.n_units: unknown key"),
    ],
)
def test_toml_refusals(text, error, message):
    with pytest.raises(error, match=message):
        recipes.from_toml(text)


# The step


def test_auto_takes_autograd_and_says_why(caplog):
    with caplog.at_level("INFO", logger="fastgan"):
        step = make_step(TINY)
    assert type(step) is AutogradStep
    assert "step: autograd, as the recipe has convolutional layers" in caplog.text


@pytest.mark.parametrize(
    "recipe",
    [
        TINY,
        TINY.replace(discriminator=TINY.discriminator[2:]),
        TINY.replace(generator=(DenseLayer(147, "linear", 0.1),)),
    ],
    ids=["both", "only in G", "only in D"],
)
def test_fused_is_refused_with_the_reason(recipe):
    with pytest.raises(ValueError, match="step: 'fused' cannot be: the recipe has convolutional l"):
        make_step(recipe, "fused")


def test_max_norm_reaches_matrices_and_leaves_convolutions_alone():
    """As AutogradStep says: matrices only, row by row; before training and after each update."""
    limited = TINY.replace(max_norm=0.2, max_norm_before_training=True)
    start = make_step(TINY)
    step = make_step(limited)
    for n_updates in (0, 5):
        for _ in range(n_updates):
            step(tiny_dataset().train[:10])
        for module, before in (
            (step.generator, start.generator),
            (step.discriminator, start.discriminator),
        ):
            for name, parameter in module.named_parameters():
                first = before.get_parameter(name)
                if parameter.ndim == 2:
                    assert (first.norm(dim=1) > 0.2).any()
                    assert (parameter.norm(dim=1) <= 0.2 * (1 + 1e-6)).all()
                elif n_updates == 0:
                    assert torch.equal(parameter, first)
                elif parameter.ndim == 4:
                    assert (parameter.flatten(1).norm(dim=1) > 0.2).all()
                    assert not torch.equal(parameter, first)


def test_apply_max_norm_leaves_convolutions_alone():
    discriminator = Discriminator(TINY)
    before = discriminator.layers[0].weight.detach().clone()
    apply_max_norm(discriminator, 0.01)
    assert torch.equal(discriminator.layers[0].weight, before)
    assert (discriminator.layers[2].weight.norm(dim=1) <= 0.01 * (1 + 1e-6)).all()


@pytest.mark.parametrize("name", SCHEDULES)
def test_each_parameter_moves_in_either_dtype(name):
    for dtype in (torch.float32, torch.float64):
        recipe = SCHEDULES[name]
        modules = Generator(recipe).to(dtype), Discriminator(recipe).to(dtype)
        step = make_step(recipe, generator=modules[0], discriminator=modules[1])
        before = {key: value.clone() for key, value in step.state_dict().items()}
        for first in (0, 10):
            costs = step(tiny_dataset().train[first : first + 10].to(dtype))
            assert all(cost.isfinite() for cost in costs)
        for key, value in step.state_dict().items():
            if value.is_floating_point():
                assert value.dtype == dtype
                assert not torch.equal(value, before[key]), key


def test_the_discriminator_learns_to_tell_apart():
    """Red pixels among noise, and the same pixels blue: every number but its channel is equal."""
    discriminator = Discriminator(TINY)
    update = torch.optim.SGD(discriminator.parameters(), lr=0.2)
    noise = tiny_dataset().train.unflatten(1, (7, 7, 3))
    red, blue = noise.clone(), noise.clone()
    red[:, 3, 2:5, 0] += 2.0
    blue[:, 3, 2:5, 2] += 2.0
    both = torch.cat([red, blue]).flatten(1)
    wanted = torch.cat([torch.ones(34), torch.zeros(34)])
    for _ in range(200):
        cost = F.binary_cross_entropy_with_logits(discriminator(both), wanted)
        update.zero_grad()
        cost.backward()
        update.step()
    told = discriminator.eval()(both) > 0
    assert torch.equal(told, wanted.bool())


# Whole runs


@pytest.fixture(scope="module", params=SCHEDULES)
def whole(request, tmp_path_factory):
    recipe = SCHEDULES[request.param]
    return train(recipe, dataset=tiny_dataset(), folder=tmp_path_factory.mktemp("whole") / "run")


def test_a_run_trains_and_its_model_is_read_again(whole):
    assert whole.status == "finished"
    assert len(whole.metrics) == 4
    costs = [record["discriminator_cost"] for record in whole.metrics]
    assert len(set(costs)) == 4
    opened = Run.open(whole.folder)
    assert opened.recipe == whole.recipe
    samples = opened.generator.sample(5, seed=1)
    assert samples.shape == (5, 147)
    assert torch.equal(samples, whole.generator.sample(5, seed=1))


def test_the_same_run_twice(whole, tmp_path):
    assert_same_run(train(whole.recipe, dataset=tiny_dataset(), folder=tmp_path / "run"), whole)


@pytest.mark.parametrize("update", [0, 6, 7], ids=["first", "mid-epoch", "end of an epoch"])
def test_stopped_and_resumed_it_has_the_same_bits(whole, tmp_path, monkeypatch, update):
    plain = AutogradStep.next_batch

    def interrupted(self):
        if self.update == update:
            signal.raise_signal(signal.SIGINT)
        return plain(self)

    with monkeypatch.context() as patch:
        patch.setattr(AutogradStep, "next_batch", interrupted)
        with pytest.raises(TrainingInterrupted, match=r"stopped in epoch . of 4; .* is saved in"):
            train(whole.recipe, dataset=tiny_dataset(), folder=tmp_path / "run")
    run = Run.open(tmp_path / "run")
    assert run.load_checkpoint().update == update + 1
    torch.manual_seed(update)  # nothing depends on torch's generator
    resumed = training.resume(run.folder, dataset=tiny_dataset())
    assert_same_run(resumed, whole)
    assert any(name.endswith("layers.2.weight") for name in weights(resumed))
