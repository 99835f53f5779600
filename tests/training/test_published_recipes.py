"""The paper's TFD and CIFAR-10 recipes have the released code's numbers; ours say they are ours."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from fastgan import recipes
from fastgan.collapse import COLLAPSE_DEVIATION
from fastgan.layers import fill_sparse
from fastgan.models import Discriminator, Generator
from fastgan.ops import philox
from fastgan.recipes import CIFAR10_CONV, CIFAR10_MLP, MNIST, TFD, DenseLayer
from fastgan.steps import make_step
from fastgan.training_step import apply_max_norm


def n_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("recipe", "discriminator", "generators"),
    [
        (MNIST, 1_231_441, [2_503_984]),
        (TFD, 21_037_201, [83_250_304, 84_858_404]),
        (CIFAR10_MLP, 37_393_601, [89_395_072]),
        (CIFAR10_CONV, 12_454_073, [64_825_072]),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_sizes(recipe, discriminator, generators) -> None:
    for stage, expected in zip(recipe.stages, generators, strict=True):
        assert n_parameters(Discriminator(stage)) == discriminator
        assert n_parameters(Generator(stage)) == expected


@pytest.mark.parametrize("recipe", [MNIST, *TFD.stages, CIFAR10_MLP, CIFAR10_CONV])
def test_what_all_four_share(recipe) -> None:
    assert (recipe.learning_rate_decay, recipe.learning_rate_floor) == (1.000004, 1e-6)
    assert (recipe.momentum_first, recipe.momentum_last, recipe.momentum_epochs) == (0.5, 0.7, 250)
    assert (recipe.cost, recipe.schedule, recipe.k) == ("non_saturating", "simultaneous", 1)
    includes = [layer.include_probability for layer in recipe.discriminator]
    assert [*includes, recipe.output_include_probability] == [0.8] + [0.5] * len(includes)
    ranges = [layer.initial_range for layer in recipe.discriminator]
    assert {*ranges, recipe.output_initial_range} == {0.005}
    assert recipe.n_latent == 100
    assert recipe.average_decay == 0.0
    assert recipe.n_samples == 10_000


def test_what_differs() -> None:
    first, second = TFD.stages
    assert [r.latent for r in (MNIST, first, second, CIFAR10_MLP, CIFAR10_CONV)] == [
        "uniform", *["normal"] * 4
    ]  # fmt: skip
    rates = [r.learning_rate for r in (MNIST, first, second, CIFAR10_MLP, CIFAR10_CONV)]
    assert rates == [0.1, 0.05, 0.05, 0.025, 0.004]
    batches = [r.batch_size for r in (MNIST, first, second, CIFAR10_MLP, CIFAR10_CONV)]
    assert batches == [100, 100, 100, 100, 128]
    assert [r.max_norm for r in (first, second)] == [1.9365, 1.9365]
    assert first.max_norm_before_training
    assert second.max_norm_before_training
    assert [r.max_norm for r in (CIFAR10_MLP, CIFAR10_CONV)] == [None, None]
    assert (first.n_epochs, second.n_epochs) == (50, 22)


def test_tfd_generators() -> None:
    new, last = TFD.generator[:2], TFD.generator[2:]
    assert last == TFD.first_stage.generator
    assert [(g.n_units, g.activation, g.initial_bias) for g in TFD.generator] == [
        (8000, "relu", 0.0),
        (100, "sigmoid", -2.0),
        (8000, "relu", 0.0),
        (8000, "sigmoid", -2.0),
        (2304, "sigmoid", 0.0),
    ]
    assert [g.initial_range for g in (*new, *last[:2])] == [0.05] * 4
    assert (last[2].n_sparse_weights, last[2].bias_from_data) == (100, True)


def test_tfd_starts_within_its_limit() -> None:
    """PROTOCOL: 8000-input columns have norm 2.58 and shrink x.75, the sparse ones x.19."""
    generator = Generator(TFD.first_stage, torch.full((2304,), 0.3))
    hidden, output = (generator.layers[index].weight.detach() for index in (1, 2))
    assert hidden.norm(dim=1).mean().item() == pytest.approx(2.58, abs=0.01)
    norms = output.norm(dim=1)
    assert norms.mean().item() == pytest.approx(10.0, rel=0.01)
    before = hidden[0].clone(), output[0].clone()
    apply_max_norm(generator, 1.9365)
    assert (hidden[0] / before[0]).mean().item() == pytest.approx(0.75, abs=0.01)
    kept = before[1] != 0
    assert (output[0] / before[1])[kept].mean().item() == pytest.approx(1.9365 / norms[0].item())
    assert hidden.norm(dim=1).max().item() <= 1.9365 * (1 + 1e-6)
    assert generator.layers[1].bias.unique().tolist() == [-2.0]
    assert generator.layers[2].bias[0].item() == pytest.approx(-0.8473, abs=1e-4)  # logit of .3


def test_cifar10_mlp_layers() -> None:
    layers = [(g.n_units, g.activation, g.initial_range) for g in CIFAR10_MLP.generator]
    assert layers == [(8000, "relu", 0.05), (8000, "sigmoid", 0.05), (3072, "linear", 0.5)]
    assert [(d.n_units, d.n_pieces) for d in CIFAR10_MLP.discriminator] == [(1600, 5)] * 2


def test_cifar10_conv_layers() -> None:
    relu, sigmoid, spread = CIFAR10_CONV.generator
    assert (relu.n_units, relu.activation) == (8000, "relu")
    assert (sigmoid.n_units, sigmoid.activation) == (8000, "sigmoid")
    assert (spread.input_channels, spread.input_size, spread.output_size) == (80, 10, 32)
    assert (spread.n_channels, spread.kernel_size, spread.stride) == (3, 5, 3)
    assert spread.activation == "linear"
    *convolutions, dense = CIFAR10_CONV.discriminator
    assert [
        (c.n_channels, c.n_pieces, c.kernel_size, c.padding, c.pool_size, c.pool_stride)
        for c in convolutions
    ] == [(32, 2, 8, 4, 4, 2), (32, 2, 8, 3, 4, 2), (192, 2, 5, 3, 2, 2)]
    assert [(c.convolved_size, c.output_size) for c in convolutions] == [(33, 16), (15, 7), (9, 5)]
    assert (dense.n_units, dense.n_pieces) == (500, 5)


def test_sparse_weights() -> None:
    weight = torch.empty(300, 50)
    before = torch.get_rng_state()
    fill_sparse(weight, 7, seed=5, stream_number=9)
    assert torch.equal(torch.get_rng_state(), before)
    kept = weight != 0
    assert kept.sum(dim=1).unique().tolist() == [7]
    values = weight[kept]
    assert abs(values.mean().item()) < 4 / 2100**0.5
    assert values.std().item() == pytest.approx(1.0, abs=4 / (2 * 2100) ** 0.5)
    # every place is as likely: 300 x 7 / 50 = 42 a place, of variance 42 (1 - 7 / 50)
    places = kept.sum(dim=0).double()
    assert ((places - 42) ** 2).sum().item() / (42 * 0.86) < 100  # chi squared, 49 degrees: 5e-5
    other = torch.empty_like(weight)
    fill_sparse(other, 7, seed=6, stream_number=9)
    assert not torch.equal(other != 0, kept)
    fill_sparse(other, 7, seed=5, stream_number=9)
    assert torch.equal(other, weight)
    with pytest.raises(ValueError, match="n_sparse_weights: expected at most the layer's 50 inp"):
        fill_sparse(weight, 51, seed=5, stream_number=9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_sparse_weights": 3}, "initial_range: expected 0 where n_sparse_weights sets"),
        ({"n_sparse_weights": -1}, "n_sparse_weights: expected an integer of at least 0"),
        ({"initial_bias": float("inf")}, "initial_bias: expected a finite number"),
        ({"initial_bias": 1.0, "bias_from_data": True}, "initial_bias: expected 0 where the data"),
    ],
)
def test_layer_refusals(changes, message) -> None:
    fields = {"n_units": 4, "activation": "sigmoid", "initial_range": 0.1}
    with pytest.raises(ValueError, match=message):
        DenseLayer(**{**fields, **changes})


def test_every_recipe_by_its_name() -> None:
    for name in recipes.names():
        assert recipes.by_name(name).name == name


@pytest.mark.parametrize(
    ("ours", "published"),
    [
        (recipes.FACES, TFD),
        (recipes.CIFAR10_MLP_SMALL, CIFAR10_MLP),
        (recipes.CIFAR10_CONV_SMALL, CIFAR10_CONV),
    ],
    ids=lambda recipe: recipe.name,
)
def test_ours_differ_where_they_say_so(ours, published) -> None:
    """Sizes, initial ranges, input dropout, rates and length; the experiment is the published."""
    for small, full in zip(ours.stages, published.stages, strict=True):
        free = {"name", "generator", "discriminator", "n_epochs", "evaluate_every", "first_stage"}
        free |= {"collapse_first_epoch", "dataset", "learning_rate", "output_initial_range", "seed"}
        for field in dataclasses.fields(recipes.Recipe):
            if field.name not in free:
                assert getattr(small, field.name) == getattr(full, field.name), field.name
        assert [type(g) for g in small.generator] == [type(g) for g in full.generator]
        assert [type(d) for d in small.discriminator] == [type(d) for d in full.discriminator]
        activations = [layer.activation for layer in small.generator]
        assert activations == [layer.activation for layer in full.generator]
        assert small.n_features == full.n_features
        assert n_parameters(Generator(small)) < n_parameters(Generator(full)) / 10


@pytest.mark.parametrize(
    "stage",
    [*recipes.FACES.stages, recipes.CIFAR10_MLP_SMALL, recipes.CIFAR10_CONV_SMALL],
    ids=lambda recipe: recipe.name,
)
def test_ours_take_a_step(stage) -> None:
    images = philox.uniform((8, stage.n_features), seed=0, step=0, stream=0)
    step = make_step(stage, image_mean=images.double().mean(dim=0))
    before = [p.detach().clone() for net in _nets(step) for p in net.parameters() if p.ndim > 1]
    costs = step(images)
    assert all(torch.isfinite(cost) for cost in costs)
    assert costs.discriminator.item() == pytest.approx(0.6931, abs=0.05)  # D knows nothing: ln 2
    after = [p for net in _nets(step) for p in net.parameters() if p.ndim > 1]
    for old, new in zip(before, after, strict=True):
        assert torch.isfinite(new).all()
        assert not torch.equal(old, new)


def _nets(step):
    return step.generator, step.discriminator


def test_first_samples_vary_with_z_as_the_recipes_say() -> None:
    """The watch for collapse begins where they do not: TFD's deviate by .017, below its .02."""
    mean = torch.full((2304,), 0.5)
    first = Generator(TFD.first_stage, mean)
    apply_max_norm(first, TFD.max_norm)
    deviation = first.sample(200, seed=0).std(dim=0).mean().item()
    assert 0.01 < deviation < COLLAPSE_DEVIATION
    assert TFD.first_stage.collapse_first_epoch == 5
    faces = Generator(recipes.FACES.first_stage, mean)
    apply_max_norm(faces, recipes.FACES.max_norm)
    assert faces.sample(200, seed=0).std(dim=0).mean().item() > 2 * COLLAPSE_DEVIATION
