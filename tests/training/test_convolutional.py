"""The convolutional layers equal loops written out; order of rows, ties, masks, initial weights."""

import convolution_by_hand as by_hand
import pytest
import torch
import torch.nn.functional as F

from fastgan import ops
from fastgan.convolutional import ConvolutionalMaxout, TransposedConvolution
from fastgan.layers import DISCRIMINATOR_WEIGHTS, GENERATOR_WEIGHTS
from fastgan.models import Discriminator
from fastgan.ops import philox
from fastgan.recipes import CIFAR10_CONV, ConvolutionalMaxoutLayer, TransposedConvolutionLayer
from fastgan.reference.dropout import dropout as reference_dropout
from fastgan.streams import Draw, Kind, Passage, stream

# A sum of T products is within T 2^-53 of the exact one, relative to the sum of absolute products,
# in any order; a gradient here has up to 2,000 terms of three factors: 5e-13 of its largest size.
RELATIVE = 1e-12

# input_size, input_channels, n_channels, kernel_size, stride
TRANSPOSED = [(1, 1, 1, 1, 1), (4, 3, 2, 3, 1), (3, 2, 3, 5, 3), (5, 3, 2, 2, 2), (3, 1, 2, 2, 3)]
# input_size, input_channels, n_channels, n_pieces, kernel_size, padding, pool_size, pool_stride
MAXOUT = [
    (1, 1, 1, 1, 1, 0, 1, 1),
    (7, 3, 2, 2, 3, 1, 2, 2),  # 7 by windows of 2: the last is cut off
    (8, 1, 2, 4, 8, 4, 4, 2),  # like cifar10-conv's first: 9 gives 4, the last cut off
    (6, 2, 3, 3, 4, 2, 3, 2),  # 7 by windows of 3 that fit
    (5, 2, 1, 5, 3, 0, 3, 3),  # one window
    (9, 2, 2, 5, 2, 0, 3, 1),  # windows one apart
    (4, 3, 5, 1, 3, 1, 3, 2),  # one piece
    (3, 1, 2, 3, 3, 3, 2, 2),  # padding as wide as the image: places that see none of it
]


def transposed(sizes=(3, 2, 3, 5, 3), index=0, seed=5):
    layer = TransposedConvolutionLayer(*sizes, activation="linear", initial_range=0.5)
    return TransposedConvolution(layer, index=index, seed=seed)


def maxout(sizes=(7, 3, 2, 2, 3, 1, 2, 2), include=1.0, index=0, seed=5, impl="auto"):
    layer = ConvolutionalMaxoutLayer(*sizes, include_probability=0.5, initial_range=0.5)
    return ConvolutionalMaxout(
        layer, include_probability=include, index=index, seed=seed, impl=impl
    )


def normal(*shape, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=random, dtype=torch.float64)


def with_bias(module):
    with torch.no_grad():
        module.bias.copy_(normal(*module.bias.shape, seed=9))
    return module.double()


def all_of(module, rows, gradient):
    """Return values, and the gradients of rows, weight and bias."""
    rows = rows.clone().requires_grad_()
    values = module(rows)
    wanted = [rows, module.weight, module.bias]
    return values.detach(), *torch.autograd.grad(values, wanted, gradient)


def by_loops(function, module, rows, gradient):
    arrays = (rows, module.weight.detach(), module.bias.detach(), gradient)
    found = function(module.layer, *(array.numpy() for array in arrays))
    return [torch.from_numpy(array) for array in found]


def assert_close(ours, wanted):
    for name, value, expected in zip(
        ("values", "rows", "weight", "bias"), ours, wanted, strict=True
    ):
        assert value.shape == expected.shape, name
        size = max(expected.abs().max().item(), 1.0)
        assert (value - expected).abs().max().item() <= RELATIVE * size, name


# Equal to the loops


@pytest.mark.parametrize("sizes", TRANSPOSED)
@pytest.mark.parametrize("n", [1, 3])
def test_transposed_convolution_equals_loops(sizes, n):
    module = with_bias(transposed(sizes))
    rows, gradient = normal(n, module.layer.n_inputs), normal(n, module.layer.n_units, seed=1)
    wanted = by_loops(by_hand.transposed_convolution, module, rows, gradient)
    assert_close(all_of(module, rows, gradient), wanted)


@pytest.mark.parametrize("sizes", MAXOUT)
@pytest.mark.parametrize("n", [1, 3])
def test_convolutional_maxout_equals_loops(sizes, n):
    module = with_bias(maxout(sizes))
    rows, gradient = normal(n, module.layer.n_inputs), normal(n, module.layer.n_units, seed=1)
    wanted = by_loops(by_hand.convolutional_maxout, module, rows, gradient)
    assert_close(all_of(module, rows, gradient), wanted)


@pytest.mark.parametrize("make", [transposed, maxout])
def test_gradients_equal_differences(make):
    module = with_bias(make())
    rows = normal(2, module.layer.n_inputs).requires_grad_()

    def of(rows, weight, bias):
        parameters = {"weight": weight, "bias": bias}
        return torch.func.functional_call(module, parameters, (rows,))

    inputs = (rows, module.weight, module.bias)
    assert torch.autograd.gradcheck(of, inputs)


@pytest.mark.parametrize("make", [transposed, maxout])
def test_no_images_give_no_values(make):
    module = make()
    assert module(torch.empty(0, module.layer.n_inputs)).shape == (0, module.layer.n_units)


@pytest.mark.parametrize(
    "layer", [*CIFAR10_CONV.generator[2:], *CIFAR10_CONV.discriminator[:3]], ids=repr
)
def test_published_layers_in_float32(layer):
    """Against float64, at most twice the error of torch's own layers in float32."""
    rows = normal(2, layer.n_inputs)
    if isinstance(layer, TransposedConvolutionLayer):
        module = TransposedConvolution(layer, index=2, seed=1)
    else:
        module = ConvolutionalMaxout(layer, include_probability=1.0, index=0, seed=1)

    def plainly(rows, weight, bias):
        images = rows.unflatten(1, (layer.input_size, layer.input_size, layer.input_channels))
        images = images.permute(0, 3, 1, 2).contiguous()
        if isinstance(layer, TransposedConvolutionLayer):
            spread = F.conv_transpose2d(images, weight, stride=layer.stride)
            return spread.permute(0, 2, 3, 1).flatten(1) + bias
        pieces = F.conv2d(images, weight, bias, padding=layer.padding)
        largest = pieces.unflatten(1, (layer.n_channels, layer.n_pieces)).amax(dim=2)
        pooled = F.max_pool2d(largest, layer.pool_size, layer.pool_stride, ceil_mode=True)
        return pooled.permute(0, 2, 3, 1).flatten(1)

    weight, bias = module.weight.detach(), module.bias.detach()
    exact = plainly(rows, weight.double(), bias.double())
    with torch.no_grad():
        ours, torchs = module(rows.float()), plainly(rows.float(), weight, bias)
    assert ours.shape == (2, layer.n_units)
    assert (ours - exact).abs().max() <= 2 * (torchs - exact).abs().max()


# The order of rows: (height, width, channels)


def test_convolution_sees_rows_as_height_width_channels():
    """One filter looks one place down and two to the right, at channel 2 of an image 4x4x3."""
    module = maxout((4, 3, 1, 1, 3, 0, 1, 1))
    with torch.no_grad():
        module.weight.zero_()
        module.weight[0, 2, 1, 2] = 1.0
    image = torch.arange(48.0).reshape(4, 4, 3)  # no two numbers are equal: 12 y + 3 x + channel
    assert module(image.reshape(1, -1)).tolist() == [[20.0, 23.0, 32.0, 35.0]]


def test_convolution_gives_rows_as_height_width_channels():
    """Three filters copy the three channels in another order."""
    module = maxout((3, 3, 3, 1, 1, 0, 1, 1))
    with torch.no_grad():
        module.weight.zero_()
        for channel, source in enumerate((2, 0, 1)):
            module.weight[channel, source, 0, 0] = 1.0
    image = torch.arange(27.0).reshape(3, 3, 3)
    assert torch.equal(module(image.reshape(1, -1)), image[:, :, [2, 0, 1]].reshape(1, -1))


def test_pieces_of_a_channel_are_neighbours():
    """Filters c n_pieces + j are channel c's; here each is constant: its bias."""
    module = maxout((2, 1, 2, 3, 1, 0, 1, 1))
    with torch.no_grad():
        module.weight.zero_()
        module.bias.copy_(torch.tensor([1.0, 5.0, 2.0, -3.0, -9.0, -7.0]))
    assert module(torch.ones(1, 4)).tolist() == [[5.0, -3.0] * 4]


def test_transposed_convolution_has_rows_as_height_width_channels():
    """A single number, at (y, x) = (1, 0) of channel 1, is spread by its kernel, at (2, 0) on."""
    module = transposed((2, 2, 2, 2, 2))
    kernel = torch.arange(1.0, 9.0).reshape(2, 2, 2)  # output channel, dy, dx
    with torch.no_grad():
        module.weight.zero_()
        module.weight[1] = kernel
        module.bias.copy_(torch.linspace(0.0, 0.31, 32))
    image = torch.zeros(2, 2, 2)
    image[1, 0, 1] = 10.0
    expected = torch.zeros(4, 4, 2)
    expected[2:4, 0:2] = 10.0 * kernel.permute(1, 2, 0)
    expected += torch.linspace(0.0, 0.31, 32).reshape(4, 4, 2)
    assert torch.equal(module(image.reshape(1, -1)), expected.reshape(1, -1))


def test_bias_is_tied_in_the_discriminator_and_untied_in_the_generator():
    tied, untied = maxout(), transposed()
    assert tied.bias.shape == (tied.layer.n_channels * tied.layer.n_pieces,)
    assert untied.bias.shape == (untied.layer.n_units,)
    for module in (tied, untied):
        assert (module.bias == 0).all()
        module.weight.detach().zero_()
    rows = torch.ones(2, untied.layer.n_inputs)
    gradient = torch.arange(2.0 * untied.layer.n_units).reshape(2, -1)
    assert torch.equal(all_of(untied, rows, gradient)[3], gradient.sum(dim=0))
    with torch.no_grad():
        tied.bias.copy_(torch.tensor([1.0, 2.0, 4.0, 3.0]))
    gradient = torch.arange(2.0 * tied.layer.n_units).reshape(2, -1)
    of_channels = gradient.reshape(-1, 2).sum(dim=0)
    found = all_of(tied, torch.ones(2, tied.layer.n_inputs), gradient)[3]
    assert found.tolist() == [0.0, of_channels[0], of_channels[1], 0.0]


# Ties and NaN


@pytest.mark.parametrize("sizes", [sizes for sizes in MAXOUT if sizes[3] > 1])
def test_a_tie_gives_its_gradient_to_one_piece(sizes):
    """Black images: all pieces are 0 at all places, but their weights differ."""
    module = maxout(sizes).double()
    rows = torch.zeros(2, module.layer.n_inputs, dtype=torch.float64)
    gradient = normal(2, module.layer.n_units)
    found = all_of(module, rows, gradient)
    assert_close(found, by_loops(by_hand.convolutional_maxout, module, rows, gradient))
    of_pieces = found[3].reshape(-1, module.layer.n_pieces)
    of_channels = gradient.reshape(-1, module.layer.n_channels).sum(dim=0)
    torch.testing.assert_close(of_pieces[:, 0], of_channels, rtol=1e-12, atol=1e-12)
    assert (of_pieces[:, 1:] == 0).all()


def test_equal_pieces_share_no_gradient():
    """All pieces of a channel are the same filter: one of them learns, as if it were alone."""
    module, alone = maxout((6, 2, 3, 4, 3, 1, 2, 2)).double(), maxout((6, 2, 3, 1, 3, 1, 2, 2))
    alone.double()
    with torch.no_grad():
        module.weight.copy_(alone.weight.repeat_interleave(4, dim=0))
    rows, gradient = normal(3, alone.layer.n_inputs), normal(3, alone.layer.n_units, seed=1)
    values, of_rows, of_weight, of_bias = all_of(module, rows, gradient)
    wanted = all_of(alone, rows, gradient)
    first = of_weight.unflatten(0, (3, 4)), of_bias.unflatten(0, (3, 4))
    assert_close((values, of_rows, first[0][:, 0], first[1][:, 0]), wanted)
    assert (first[0][:, 1:] == 0).all()
    assert (first[1][:, 1:] == 0).all()


@pytest.mark.parametrize("piece", [0, 1, 2])
def test_a_nan_in_any_piece_is_not_lost(piece):
    module = maxout((5, 1, 2, 3, 3, 1, 2, 2))
    with torch.no_grad():
        module.bias[3 + piece] = torch.nan
    values = module(torch.ones(2, 25)).unflatten(1, (3, 3, 2))
    assert values[..., 1].isnan().all()
    assert not values[..., 0].isnan().any()


@pytest.mark.parametrize("make", [transposed, maxout])
def test_same_bits_twice_and_in_poisoned_memory(make, request):
    module = make()
    rows, gradient = (
        normal(5, module.layer.n_inputs).float(),
        normal(5, module.layer.n_units).float(),
    )
    first = all_of(module, rows, gradient)
    request.getfixturevalue("poisoned_memory")
    for _ in range(5):
        for ours, theirs in zip(all_of(module, rows, gradient), first, strict=True):
            assert torch.equal(ours, theirs)


# Dropout


def draw(passage=Passage.FAKE, first_row=0, seed=7, step=11):
    return Draw(torch.tensor(seed), torch.tensor(step), passage, first_row)


@pytest.mark.parametrize("impl", ["reference", "native"])
@pytest.mark.parametrize(("include", "index"), [(0.8, 0), (0.5, 1), (0.5, 2)])
@pytest.mark.parametrize("passage", list(Passage))
def test_output_dropout_is_the_next_layers_stream(impl, include, index, passage):
    module = with_bias(maxout(include=include, index=index, impl=impl))
    rows = normal(6, module.layer.n_inputs)
    values = module(rows, draw(passage, first_row=3))
    number = stream(Kind.DROPOUT, passage, index + 1)
    undropped = module.eval()(rows)
    expected = reference_dropout(undropped, include, 7, 11, number, 3)
    assert torch.equal(values, expected)
    assert torch.equal(ops.dropout(undropped, include, 7, 11, number, 3), expected)
    assert 0 < (values == 0).double().mean() < 1


def test_masks_are_per_element_and_not_per_channel_or_place():
    module = with_bias(maxout((8, 3, 4, 2, 3, 1, 2, 2), include=0.5))
    kept = (module(normal(20, module.layer.n_inputs), draw()) != 0).unflatten(1, (16, 4)).double()
    for axis in (0, 1, 2):  # of every image, place or channel some are kept and some are not
        means = kept.mean(dim=[other for other in (0, 1, 2) if other != axis])
        assert (means > 0.2).all()
        assert (means < 0.8).all()
    for axis in (0, 1, 2):
        assert (kept.mean(dim=axis) % 1 != 0).any()  # not one mask shared along it


def test_published_masks_from_the_images_to_the_output_unit():
    """Include .8 at the images and .5 at every later layer, the output unit's input too."""
    discriminator = Discriminator(CIFAR10_CONV)
    images, given = normal(2, 3072).float(), draw(Passage.REAL)
    with torch.no_grad():
        found = discriminator(images, given)
        values = images
        includes = (0.8, 0.5, 0.5, 0.5)
        for number, layer in enumerate(discriminator.layers.eval()):
            name = stream(Kind.DROPOUT, Passage.REAL, number)
            values = layer(ops.dropout(values, includes[number], 7, 11, name))
        name = stream(Kind.DROPOUT, Passage.REAL, 4)
        logits = discriminator.output(ops.dropout(values, 0.5, 7, 11, name))
    torch.testing.assert_close(found, logits.squeeze(1), rtol=1e-5, atol=1e-9)


def test_a_shard_has_the_masks_of_the_whole():
    module = maxout(include=0.5)
    rows = normal(7, module.layer.n_inputs).float()
    kept = module(rows, draw()) != 0
    assert torch.equal(module(rows[3:], draw(first_row=3)) != 0, kept[3:])
    assert not torch.equal(module(rows[3:], draw()) != 0, kept[3:])


def test_evaluation_has_no_dropout_and_training_needs_a_draw():
    module, plain = maxout(include=0.5), maxout()
    rows = normal(4, module.layer.n_inputs).float()
    with pytest.raises(
        ValueError, match=r"draw: include_probability 0\.5 needs a fastgan\.streams"
    ):
        module(rows)
    assert torch.equal(module.eval()(rows), plain(rows))
    assert torch.equal(module(rows, draw()), plain(rows, draw()))


# Initial weights


@pytest.mark.parametrize(
    ("make", "whose"), [(transposed, GENERATOR_WEIGHTS), (maxout, DISCRIMINATOR_WEIGHTS)]
)
def test_initial_weights_are_philoxs(make, whose):
    before = torch.get_rng_state()
    module = make(index=3, seed=12)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert torch.equal(make(index=3, seed=12).weight, module.weight)
    uniform = philox.uniform(
        tuple(module.weight.shape), 12, 0, stream(Kind.INITIAL_WEIGHTS, whose, 3)
    )
    assert torch.equal(module.weight, (2 * uniform - 1) * 0.5)
    assert module.weight.abs().max() <= 0.5
    assert module.weight.std().item() == pytest.approx(0.5 / 3**0.5, rel=0.2)
    for other in (make(index=3, seed=13), make(index=2, seed=12)):
        assert not torch.equal(other.weight, module.weight)


def test_repr_says_the_sizes():
    assert "7x7x3 to 4x4x2, kernel_size=3, include_probability=0.5" in repr(maxout(include=0.5))
    assert "3x3x2 to 11x11x3, kernel_size=5" in repr(transposed())
