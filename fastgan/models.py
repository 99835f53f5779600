"""The two networks of a recipe, as ordinary ``nn.Module``s.

Source: section 5 of the paper (ReLU and sigmoid generators, maxout discriminators with dropout) and
the released recipes. Dropout sits on the INPUTS of the discriminator's layers; the generator has
none. Both nets work on rows of images, flattened as (height, width, channels).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastgan import ops
from fastgan.convolutional import ConvolutionalMaxout, TransposedConvolution
from fastgan.layers import (
    DISCRIMINATOR_WEIGHTS,
    GENERATOR_WEIGHTS,
    MaxoutLinear,
    dense_linear,
    fill_sparse,
    fill_uniform,
)
from fastgan.ops import philox
from fastgan.recipes import (
    ConvolutionalMaxoutLayer,
    DenseLayer,
    Recipe,
    TransposedConvolutionLayer,
)
from fastgan.streams import Draw, Kind, Passage, stream
from fastgan.threads import each_on_one_thread

# Samples are computed in blocks of this many rows at fixed places, so that a sample's bits do not
# depend on how many are asked for: a matrix product may round by its shape.
SAMPLE_BLOCK_ROWS = 1_000

# The mean pixel is kept this far from 0 and 1 before its logit is taken: +-16.118 at the ends
# (pylearn2's init_bias_target_marginals).
MARGINAL_MARGIN = 1e-7

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "linear": lambda values: values,
}


def draw_latent(
    recipe: Recipe,
    n_rows: int,
    seed: int | Tensor,
    step: int | Tensor,
    stream_number: int,
    *,
    first_row: int = 0,
    dtype: torch.dtype = torch.float32,
    device: torch.device | None = None,
    impl: str = "auto",
) -> Tensor:
    """Draw z, of shape (n_rows, n_latent): U(-sqrt 3, sqrt 3) or N(0, 1), as the recipe says.

    Row i is the same whatever ``n_rows`` and ``first_row`` it was drawn with.
    """
    shape = (n_rows, recipe.n_latent)
    if device is not None and device.type != "cpu" and not isinstance(seed, Tensor):
        seed = torch.tensor(seed, dtype=torch.int64, device=device)  # z is drawn where it is wanted
    if recipe.latent == "normal":
        noise = philox.normal(
            shape, seed, step, stream_number, first_row=first_row, dtype=dtype, impl=impl
        )
    else:
        noise = philox.uniform(
            shape, seed, step, stream_number, first_row=first_row, dtype=dtype, impl=impl
        )
        noise.mul_(2.0).sub_(1.0).mul_(math.sqrt(3.0))
    return noise if device is None else noise.to(device)


def marginal_logit(image_mean: Tensor) -> Tensor:
    """Return log(p / (1 - p)) in float64, p the mean pixels clipped to [1e-7, 1 - 1e-7]."""
    mean = image_mean.detach().to(torch.float64)
    return torch.logit(mean.clamp(MARGINAL_MARGIN, 1.0 - MARGINAL_MARGIN))


@torch.no_grad()
def sample_from(
    generator: nn.Module,
    recipe: Recipe,
    n_samples: int,
    seed: int,
    *,
    step: int = 0,
    first_row: int = 0,
    impl: str = "auto",
) -> Tensor:
    """Draw samples from any generator module, in evaluation mode, of shape (n_samples, n_features).

    z comes from the EVALUATION stream: rows first_row, first_row + 1, ... of one endless table that
    (seed, step) names. Rows are computed in blocks of 1,000 at fixed places, each block by one
    thread: sample i has the same bits whichever others are asked for, and for any number of
    threads. A :class:`Generator` has several blocks in work at once; another module, which may
    keep something between two lines of its ``forward``, one after the other. On the CPU torch has
    one thread meanwhile. The module's mode and torch's generators are left as found.

    Raises ValueError if a count is negative.
    """
    for name, value in (("n_samples", n_samples), ("first_row", first_row)):
        if value < 0:
            raise ValueError(f"{name}: expected a whole number of at least 0, got {value}")
    parameter = next(generator.parameters())
    device = parameter.device
    number = stream(Kind.EVALUATION)
    shape = (n_samples, recipe.n_features)
    samples = torch.empty(shape, dtype=parameter.dtype, device=device)
    last_row = first_row + n_samples
    first_block = first_row // SAMPLE_BLOCK_ROWS
    blocks = range(first_block, -(-last_row // SAMPLE_BLOCK_ROWS) if n_samples else first_block)

    @torch.no_grad()  # which is a thread's own
    def draw(block: int) -> None:
        start = block * SAMPLE_BLOCK_ROWS
        noise = draw_latent(
            recipe,
            SAMPLE_BLOCK_ROWS,
            seed,
            step,
            number,
            first_row=start,
            dtype=parameter.dtype,
            device=device,
            impl=impl,
        )
        first, last = max(first_row, start), min(last_row, start + SAMPLE_BLOCK_ROWS)
        drawn = generator(noise)[first - start : last - start]
        samples[first - first_row : last - first_row] = drawn

    was_training = generator.training
    generator.eval()
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            if device.type == "cpu":
                each_on_one_thread(draw, blocks, at_once=type(generator) is Generator)
            else:
                for block in blocks:
                    draw(block)
    finally:
        generator.train(was_training)
    return samples


class Generator(nn.Module):
    """The recipe's generator: z of shape (n, n_latent) to images of shape (n, n_features).

    Parameters
    ----------
    recipe : Recipe
        Sizes, activations and initial ranges.
    image_mean : Tensor of shape (n_features,), optional
        Mean of the training images, for the output bias where the recipe sets it from the data:
        the logit of the mean, clipped to [1e-7, 1 - 1e-7]. None starts that bias at 0, which is
        right only where weights are loaded afterwards.
    seed : int, optional
        Philox key of the initial weights; the recipe's by default.
    impl : str
        How Philox is computed; the bits are the same.

    Raises
    ------
    ValueError
        If ``image_mean`` is not of shape (n_features,).
    """

    def __init__(
        self,
        recipe: Recipe,
        image_mean: Tensor | None = None,
        *,
        seed: int | None = None,
        impl: str = "auto",
    ) -> None:
        super().__init__()
        if image_mean is not None and tuple(image_mean.shape) != (recipe.n_features,):
            raise ValueError(
                f"image_mean: expected shape ({recipe.n_features},), got {tuple(image_mean.shape)}"
            )
        self.recipe = recipe
        self.impl = impl
        self.layers = nn.ModuleList()
        n_features = recipe.n_latent
        key = recipe.seed if seed is None else seed
        for index, layer in enumerate(recipe.generator):
            if isinstance(layer, TransposedConvolutionLayer):
                self.layers.append(TransposedConvolution(layer, index=index, seed=key))
            else:
                self.layers.append(_dense(n_features, layer, image_mean, index, key))
            n_features = layer.n_units

    def forward(self, latent: Tensor) -> Tensor:
        """Return images of shape (n, n_features) for z of shape (n, n_latent)."""
        if latent.ndim != 2 or latent.shape[1] != self.recipe.n_latent:
            raise ValueError(
                f"latent: expected shape (n, {self.recipe.n_latent}), got {tuple(latent.shape)}"
            )
        values = latent
        for module, layer in zip(self.layers, self.recipe.generator, strict=True):
            values = _ACTIVATIONS[layer.activation](module(values))
        return values

    def latent(
        self,
        n_rows: int,
        seed: int | Tensor,
        step: int | Tensor,
        stream_number: int,
        *,
        first_row: int = 0,
    ) -> Tensor:
        """Draw z of shape (n_rows, n_latent), of the module's dtype and on its device."""
        weight = next(self.parameters())
        return draw_latent(
            self.recipe,
            n_rows,
            seed,
            step,
            stream_number,
            first_row=first_row,
            dtype=weight.dtype,
            device=weight.device,
            impl=self.impl,
        )

    def sample(self, n_samples: int, seed: int, *, step: int = 0, first_row: int = 0) -> Tensor:
        """Draw images of shape (n_samples, n_features); see :func:`sample_from`."""
        return sample_from(
            self, self.recipe, n_samples, seed, step=step, first_row=first_row, impl=self.impl
        )


@torch.no_grad()
def _dense(
    n_features: int, layer: DenseLayer, image_mean: Tensor | None, index: int, seed: int
) -> nn.Linear:
    linear = dense_linear(n_features, layer.n_units)
    number = stream(Kind.INITIAL_WEIGHTS, GENERATOR_WEIGHTS, index)
    if layer.n_sparse_weights:
        fill_sparse(linear.weight, layer.n_sparse_weights, seed, number)
    else:
        fill_uniform(linear.weight, layer.initial_range, seed, number)
    if layer.bias_from_data and image_mean is not None:
        linear.bias.copy_(marginal_logit(image_mean))
    else:
        linear.bias.fill_(layer.initial_bias)
    return linear


class Discriminator(nn.Module):
    """The recipe's discriminator: images of shape (n, n_features) to logits of shape (n,).

    D(x) of the paper is the sigmoid of the logit. Dropout sits on the inputs of the layers, the
    output unit's too, and is drawn only in training mode.

    Parameters
    ----------
    recipe : Recipe
        Sizes, include probabilities and initial ranges.
    seed : int, optional
        Philox key of the initial weights and of the masks drawn without ``draw``; the recipe's by
        default.
    impl : str
        ``auto``, ``reference``, ``native`` or ``triton``.
    """

    seed: Tensor
    step: Tensor

    def __init__(self, recipe: Recipe, *, seed: int | None = None, impl: str = "auto") -> None:
        super().__init__()
        self.recipe = recipe
        self.impl = impl
        key = recipe.seed if seed is None else seed
        includes = [layer.include_probability for layer in recipe.discriminator]
        includes.append(recipe.output_include_probability)
        self.input_include_probability = includes[0]
        self.layers = nn.ModuleList()
        n_features = recipe.n_features
        for index, layer in enumerate(recipe.discriminator):
            include = includes[index + 1]
            if isinstance(layer, ConvolutionalMaxoutLayer):
                module: nn.Module = ConvolutionalMaxout(
                    layer, include_probability=include, index=index, seed=key, impl=impl
                )
            else:
                module = MaxoutLinear(
                    n_features,
                    layer.n_units,
                    layer.n_pieces,
                    include_probability=include,
                    layer=index,
                    initial_range=layer.initial_range,
                    seed=key,
                    impl=impl,
                )
            self.layers.append(module)
            n_features = layer.n_units
        self.output = dense_linear(n_features, 1)
        number = stream(Kind.INITIAL_WEIGHTS, DISCRIMINATOR_WEIGHTS, len(self.layers))
        fill_uniform(self.output.weight, recipe.output_initial_range, key, number)
        with torch.no_grad():
            self.output.bias.zero_()
        # For use without ``draw``: every training-mode call is a step of its own.
        self.register_buffer("seed", torch.tensor(key, dtype=torch.int64))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(self, images: Tensor, draw: Draw | None = None) -> Tensor:
        """Return the logits, of shape (n,), for images of shape (n, n_features).

        ``draw`` names the masks (seed, step, passage). Without it, a call in training mode draws
        fresh masks and counts itself in the buffer ``step``. Evaluation mode has no dropout.
        """
        if images.ndim != 2 or images.shape[1] != self.recipe.n_features:
            raise ValueError(
                f"images: expected shape (n, {self.recipe.n_features}), got {tuple(images.shape)}"
            )
        if self.training and draw is None:
            # A copy: the backward pass draws the masks again after the counter has moved on.
            draw = Draw(seed=self.seed, step=self.step.clone(), passage=Passage.REAL)
            self.step += 1
        values = images
        if self.training and draw is not None and self.input_include_probability < 1.0:
            values = ops.dropout(
                values,
                self.input_include_probability,
                draw.seed,
                draw.step,
                stream(Kind.DROPOUT, draw.passage, 0),
                first_row=draw.first_row,
                impl=self.impl,
            )
        for layer in self.layers:
            values = layer(values, draw)
        logits: Tensor = self.output(values)
        return logits.squeeze(1)
