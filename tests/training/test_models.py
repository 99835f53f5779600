"""The networks are ordinary modules, and everything random in them is Philox's."""

import copy
import math

import pytest
import torch
from torch.nn import functional as F

from fastgan.layers import MaxoutLinear
from fastgan.models import SAMPLE_BLOCK_ROWS, Discriminator, Generator, draw_latent
from fastgan.recipes import MNIST, DenseLayer, MaxoutLayer, Recipe
from fastgan.reference import philox
from fastgan.streams import Draw, Kind, Passage, stream

SMALL = Recipe(
    name="small",
    dataset="none",
    n_latent=6,
    latent="uniform",
    generator=(
        DenseLayer(20, "relu", initial_range=0.1),
        DenseLayer(64, "sigmoid", initial_range=0.1, bias_from_data=True),
    ),
    discriminator=(
        MaxoutLayer(12, 3, include_probability=0.8, initial_range=0.1),
        MaxoutLayer(10, 5, include_probability=0.5, initial_range=0.1),
    ),
    output_include_probability=0.5,
    output_initial_range=0.1,
    batch_size=10,
    learning_rate=0.1,
    n_epochs=2,
    evaluate_every=1,
    seed=5,
)
MEAN = torch.linspace(0.0, 1.0, 64)


def draw(step=0, passage=Passage.REAL, first_row=0):
    return Draw(torch.tensor(5), torch.tensor(step), passage, first_row)


def test_initial_weights_are_philox_uniforms():
    generator = Generator(MNIST.replace(seed=11), torch.full((784,), 0.5))
    u = philox.uniform((1200, 100), 11, 0, 3 << 16)
    torch.testing.assert_close(generator.layers[0].weight, (2 * u - 1) * 0.05, rtol=0, atol=0)
    discriminator = Discriminator(MNIST.replace(seed=11))
    u = philox.uniform((1200, 240), 11, 0, 3 << 16 | 1 << 8 | 1)
    torch.testing.assert_close(discriminator.layers[1].weight, (2 * u - 1) * 0.005, rtol=0, atol=0)
    u = philox.uniform((1, 240), 11, 0, 3 << 16 | 1 << 8 | 2)
    torch.testing.assert_close(discriminator.output.weight, (2 * u - 1) * 0.005, rtol=0, atol=0)
    assert not any(layer.bias.any() for layer in discriminator.layers)


def test_building_leaves_torchs_generator_alone():
    before = torch.get_rng_state()
    Generator(SMALL, MEAN)
    Discriminator(SMALL)
    MaxoutLinear(3, 4, 2)
    assert torch.equal(torch.get_rng_state(), before)


def test_output_bias_is_the_clipped_logit_of_the_mean():
    bias = Generator(SMALL, MEAN).layers[-1].bias.detach()
    assert float(bias[0]) == pytest.approx(-16.118, abs=1e-3)
    assert float(bias[-1]) == pytest.approx(16.118, abs=1e-3)
    torch.testing.assert_close(torch.sigmoid(bias[1:-1]), MEAN[1:-1], rtol=1e-6, atol=1e-7)
    assert not Generator(SMALL, MEAN).layers[0].bias.any()


def test_generator_is_its_formula():
    generator = Generator(SMALL, MEAN).double()
    z = torch.randn(3, SMALL.n_latent, dtype=torch.float64)
    values = z
    for layer in generator.layers[:-1]:
        values = (values @ layer.weight.T + layer.bias).clamp(min=0)
    expected = torch.sigmoid(values @ generator.layers[-1].weight.T + generator.layers[-1].bias)
    torch.testing.assert_close(generator(z), expected)


def test_latent_has_variance_one_and_its_range():
    z = draw_latent(SMALL, 4000, 5, 0, stream(Kind.NOISE))
    assert z.abs().max() <= math.sqrt(3)
    assert z.abs().max() > math.sqrt(3) * 0.999
    assert float(z.var()) == pytest.approx(1.0, abs=0.02)
    z = draw_latent(SMALL.replace(latent="normal"), 4000, 5, 0, stream(Kind.NOISE))
    assert z.abs().max() > 3.5
    assert float(z.var()) == pytest.approx(1.0, abs=0.03)


def test_latent_does_not_depend_on_chunks():
    generator = Generator(SMALL, MEAN)
    whole = generator.latent(10, 5, 3, stream(Kind.FIGURES))
    part = generator.latent(4, 5, 3, stream(Kind.FIGURES), first_row=6)
    assert torch.equal(whole[6:], part)


def test_sample_bits_do_not_depend_on_how_many_are_asked_for():
    generator = Generator(SMALL, MEAN)
    whole = generator.sample(2 * SAMPLE_BLOCK_ROWS + 300, 5)
    assert whole.shape == (2300, 64)
    assert torch.equal(generator.sample(7, 5), whole[:7])
    assert torch.equal(generator.sample(1500, 5, first_row=700), whole[700:2200])
    assert torch.equal(generator.sample(1, 5, first_row=1000), whole[1000:1001])
    assert generator.sample(0, 5).shape == (0, 64)
    assert not torch.equal(generator.sample(7, 6), whole[:7])
    assert not torch.equal(generator.sample(7, 5, step=1), whole[:7])
    assert not whole.requires_grad
    assert generator.training


def test_sample_refusals():
    generator = Generator(SMALL, MEAN)
    with pytest.raises(ValueError, match="n_samples: expected a whole number of at least 0"):
        generator.sample(-1, 0)
    with pytest.raises(ValueError, match="first_row: expected a whole number of at least 0"):
        generator.sample(1, 0, first_row=-1)


def by_hand(discriminator, images, step, passage):
    """The logits, with the masks multiplied in one by one."""
    seed = int(discriminator.seed)
    values = images
    for i, include in enumerate([0.8, 0.5, 0.5]):
        number = 4 << 16 | passage << 8 | i
        mask = philox.words(0, values.numel(), seed, step, number) < round(include * 2**32)
        values = values * mask.reshape(values.shape) / include
        if i < 2:
            layer = discriminator.layers[i]
            pieces = F.linear(values, layer.weight, layer.bias)
            values = pieces.reshape(len(values), layer.n_units, layer.n_pieces).amax(dim=2)
    return F.linear(values, discriminator.output.weight, discriminator.output.bias)[:, 0]


@pytest.mark.parametrize("passage", list(Passage))
def test_dropout_sits_on_the_inputs_and_not_on_the_logit(passage):
    discriminator = Discriminator(SMALL).double()
    images = torch.rand(6, 64, dtype=torch.float64)
    logits = discriminator(images, draw(4, passage))
    torch.testing.assert_close(logits, by_hand(discriminator, images, 4, passage))


def test_evaluation_mode_has_no_dropout():
    discriminator = Discriminator(SMALL).eval()
    images = torch.rand(5, 64)
    once = discriminator(images)
    assert torch.equal(once, discriminator(images, draw(3)))
    assert int(discriminator.step) == 0


def test_include_one_is_passed_through_untouched():
    layers = [
        type(layer)(layer.n_units, layer.n_pieces, 1.0, layer.initial_range)
        for layer in SMALL.discriminator
    ]
    recipe = SMALL.replace(discriminator=tuple(layers), output_include_probability=1.0)
    discriminator = Discriminator(recipe)
    images = torch.rand(5, 64)
    trained = discriminator(images)
    assert torch.equal(trained, discriminator.eval()(images))


def test_without_a_draw_it_counts_its_own_steps():
    discriminator = Discriminator(SMALL)
    images = torch.rand(50, 64)
    first, second = discriminator(images), discriminator(images)
    assert not torch.equal(first, second)
    assert torch.equal(first, discriminator(images, draw(0)))
    assert torch.equal(second, discriminator(images, draw(1)))
    assert int(discriminator.step) == 2
    assert int(discriminator.state_dict()["step"]) == 2


def test_backward_after_the_count_moved_on_uses_the_masks_of_its_forward():
    discriminator = Discriminator(SMALL)
    images = torch.rand(5, 64)
    first = discriminator(images)
    discriminator(images)
    gradient = torch.autograd.grad(first.sum(), discriminator.layers[0].weight)[0]
    again = discriminator(images, draw(0))
    expected = torch.autograd.grad(again.sum(), discriminator.layers[0].weight)[0]
    assert torch.equal(gradient, expected)


def test_a_shard_draws_what_the_whole_would():
    discriminator = Discriminator(SMALL).double()
    images = torch.rand(8, 64, dtype=torch.float64)
    whole = discriminator(images, draw(2))
    part = discriminator(images[5:], draw(2, first_row=5))
    torch.testing.assert_close(part, whole[5:], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make", [lambda: Generator(SMALL, MEAN), lambda: Discriminator(SMALL)])
def test_ordinary_modules(make):
    module = make()
    other = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    other.load_state_dict(module.state_dict())
    for a, b in zip(module.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    assert next(module.double().parameters()).dtype == torch.float64
    assert next(module.to("cpu", torch.float32).parameters()).dtype == torch.float32


def test_an_ordinary_loop_of_ones_own():
    generator, discriminator = Generator(SMALL, MEAN), Discriminator(SMALL)
    optimizer = torch.optim.SGD(discriminator.parameters(), lr=0.1)
    real = torch.linspace(0.5, 1.0, 50 * 64).reshape(50, 64)
    fake = generator(torch.ones(50, SMALL.n_latent)).detach()
    costs = []
    for _ in range(60):
        cost = F.softplus(-discriminator(real)).mean() + F.softplus(discriminator(fake)).mean()
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
        costs.append(cost.item())
    assert sum(costs[-10:]) < 0.7 * sum(costs[:10])


def test_maxout_pieces_are_contiguous_and_there_is_no_zero_piece():
    layer = MaxoutLinear(3, 2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]) * 1.0)
        layer.bias.copy_(torch.tensor([0.0, 0.0, 0.0, -9.0]))
    values = layer(torch.tensor([[-3.0, -2.0, -5.0]]))
    assert values.tolist() == [[-2.0, -5.0]]


def test_maxout_linear_refusals():
    with pytest.raises(ValueError, match="n_units: expected a whole number of at least 1, got 0"):
        MaxoutLinear(3, 0, 2)
    with pytest.raises(ValueError, match="n_pieces: expected at most 256"):
        MaxoutLinear(3, 1, 257)
    with pytest.raises(ValueError, match=r"include_probability: expected a number in \(0, 1\]"):
        MaxoutLinear(3, 1, 2, include_probability=0.0)
    layer = MaxoutLinear(3, 4, 2, include_probability=0.5)
    with pytest.raises(ValueError, match=r"draw: include_probability 0.5 needs a"):
        layer(torch.rand(2, 3))
    assert layer(torch.rand(2, 3), draw()).shape == (2, 4)
    assert layer.eval()(torch.rand(2, 3)).shape == (2, 4)


def test_shape_refusals():
    with pytest.raises(ValueError, match=r"images: expected shape \(n, 64\), got \(2, 8, 8\)"):
        Discriminator(SMALL)(torch.rand(2, 8, 8))
    with pytest.raises(ValueError, match=r"latent: expected shape \(n, .*\), got \(2, 3\)"):
        Generator(SMALL, MEAN)(torch.rand(2, 3))
    with pytest.raises(ValueError, match=r"image_mean: expected shape \(64,\), got \(63,\)"):
        Generator(SMALL, MEAN[1:])
