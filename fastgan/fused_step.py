"""The training step of a recipe's own networks without autograd: explicit products, fixed buffers.

Real and fake images go through D together. One backward pass through D serves both costs: a logit
is one number an image, so D's gradient at a fake image and G's are the same unit gradient, times a
number each (``row_scale``). Masks are drawn again where they are needed, and a weight's gradient
goes straight into its velocity, so neither is ever stored.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from fastgan import backends
from fastgan.costs import Costs
from fastgan.fused_buffers import DiscriminatorBuffers, StepBuffers
from fastgan.fused_operations import (
    Draw,
    Mask,
    Move,
    NativeOperations,
    Operations,
    ReferenceOperations,
    View,
)
from fastgan.models import Discriminator, Generator
from fastgan.recipes import Recipe
from fastgan.streams import Kind, Passage, stream
from fastgan.training_step import TrainingStep


class _Layer(NamedTuple):
    """Views of a layer's parameters and of their velocities."""

    weight: View
    velocity: View
    bias: View
    bias_velocity: View


# A pass of D, and its rows in the buffers.
_Pass = tuple[Passage, slice]

_KEEP_ALL = Mask(1.0, 0, 0, 0)

# What of a recipe the modules were made of; the rest may differ.
_LAYER_FIELDS = ("n_latent", "generator", "discriminator", "output_include_probability")


def why_not_fused(
    generator: nn.Module, discriminator: nn.Module, recipe: Recipe, impl: str
) -> str | None:
    """Say what keeps :class:`FusedStep` from training a pair; None if nothing does."""
    for module, expected in ((generator, Generator), (discriminator, Discriminator)):
        if type(module) is not expected:
            return f"it needs fastgan's own {expected.__name__}, not a {type(module).__qualname__}"
    for field in _LAYER_FIELDS:
        if any(
            getattr(m.recipe, field) != getattr(recipe, field) for m in (generator, discriminator)
        ):
            return "the modules have other layers than the recipe"
    parameters = [*generator.parameters(), *discriminator.parameters()]
    if not all(parameter.requires_grad for parameter in parameters):
        return "some parameters are not to be trained"
    if len({(parameter.device, parameter.dtype) for parameter in parameters}) > 1:
        return "the parameters are not all of one device and dtype"
    if parameters[0].dtype not in (torch.float32, torch.float64):
        return f"the parameters are of {parameters[0].dtype}, neither float32 nor float64"
    if not all(parameter.is_contiguous() for parameter in parameters):
        return "some parameters are not contiguous"
    if impl == "triton":
        return "this version has no Triton kernels for it"
    if impl == "auto" and parameters[0].device.type != "cpu":
        return f"this version has no kernels for it on {parameters[0].device.type}"
    return None


class FusedStep(TrainingStep):
    """A training step without autograd, for the recipe's own Generator and Discriminator.

    It follows the same trajectory as :class:`fastgan.steps.AutogradStep`, up to the order of
    summation, and its state is interchangeable with that one's.

    Parameters
    ----------
    generator : Generator
    discriminator : Discriminator
        Both of ``recipe``, of one dtype (float32 or float64), on one device.
    recipe : Recipe
    seed : int, optional
        Philox key of noise and masks; the recipe's by default.
    impl : str
        ``native`` (the C++ core, on the CPU), ``reference`` (plain PyTorch, on any device), or
        ``auto``.

    Attributes
    ----------
    n_threads : int or None
        Threads of the native core; None takes as many as torch has at each call. The bits do not
        depend on it.

    Raises
    ------
    ValueError
        If the modules are not such, or ``impl`` cannot run here.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        recipe: Recipe,
        seed: int | None = None,
        *,
        impl: str = "auto",
    ) -> None:
        obstacle = why_not_fused(generator, discriminator, recipe, impl)
        if obstacle is not None:
            raise ValueError(f"generator, discriminator: no fused step: {obstacle}")
        super().__init__(generator, discriminator, recipe, seed, impl)
        self.n_threads: int | None = None
        chosen = backends.resolve_impl("fused_step", impl, self.device)
        self._operations: Operations = (
            NativeOperations() if chosen == "native" else ReferenceOperations()
        )
        self.bits_depend_on_threads = chosen != "native"
        self._buffers: dict[int, StepBuffers] = {}
        self._parameters = [
            *self._generator_parameters.values(),
            *self._discriminator_parameters.values(),
        ]
        # include probability of the input of each layer of D, the output unit last
        self._includes = [layer.include_probability for layer in recipe.discriminator]
        self._includes.append(recipe.output_include_probability)
        self._move = Move(0.0, 0.0, None)  # set anew by each update
        self._addresses: list[int] = []
        self._view_parameters()

    def take_threads(self, n_threads: int) -> int:
        """Take so many threads for the native core; return the one that torch is to run."""
        if not isinstance(self._operations, NativeOperations):
            return n_threads
        self.n_threads = n_threads
        return 1

    def _view_parameters(self) -> None:
        """View the parameters anew if a module's memory was exchanged since the last step."""
        addresses = [parameter.data_ptr() for parameter in self._parameters]
        if addresses == self._addresses:
            return
        self._addresses = addresses
        view = self._operations.view

        def layer(
            parameters: dict[str, nn.Parameter], velocity: dict[str, Tensor], at: str
        ) -> _Layer:
            weight, bias = f"{at}.weight", f"{at}.bias"
            return _Layer(
                view(parameters[weight]),
                view(velocity[weight]),
                view(parameters[bias]),
                view(velocity[bias]),
            )

        self._generator_layers = [
            layer(self._generator_parameters, self._generator_velocity, f"layers.{index}")
            for index in range(len(self.recipe.generator))
        ]
        self._maxout_layers = [
            layer(self._discriminator_parameters, self._discriminator_velocity, f"layers.{index}")
            for index in range(len(self.recipe.discriminator))
        ]
        self._output = layer(self._discriminator_parameters, self._discriminator_velocity, "output")

    def _simultaneous(self, batch: Tensor) -> Costs:
        buffers = self._begin(batch)
        passes = self._discriminate_both(batch, buffers)
        costs = self._judge(buffers)
        self._back_through_discriminator(
            buffers, buffers.both, passes, images=passes[1][1], move=True
        )
        self._back_through_generator(buffers, Passage.FAKE)
        self._end()
        return costs

    def _alternating(self, batch: Tensor) -> Costs:
        buffers = self._begin(batch)
        passes = self._discriminate_both(batch, buffers)
        costs = self._judge(buffers)
        self._back_through_discriminator(buffers, buffers.both, passes, images=None, move=True)
        if self._generator_moves():
            self._generate(buffers, Passage.GENERATOR)
            alone = [(Passage.GENERATOR, slice(0, buffers.n_rows))]
            self._discriminate(buffers.fake, alone)
            costs = costs._replace(generator=self._judge(buffers).generator)
            self._back_through_discriminator(
                buffers, buffers.fake, alone, images=alone[0][1], move=False
            )
            self._back_through_generator(buffers, Passage.GENERATOR)
        self._end()
        return costs

    def _begin(self, batch: Tensor) -> StepBuffers:
        """Return the buffers for a batch's size, and set this update's rates."""
        self._view_parameters()
        self._operations.n_threads = self.n_threads or torch.get_num_threads()
        self._move = Move(*self._rates(), self.recipe.max_norm)
        n_rows = batch.shape[0]
        if n_rows not in self._buffers:
            # For two sizes at most: whole batches, and the last one of an epoch.
            for size in [size for size in self._buffers if size != self.recipe.batch_size]:
                del self._buffers[size]
            self._buffers[n_rows] = StepBuffers(
                self.recipe, n_rows, self.dtype, self.device, self._operations.view
            )
        return self._buffers[n_rows]

    def _end(self) -> None:
        """Let autograd notice that the parameters were overwritten."""
        written = [p for p in self._parameters if not p.is_inference()]
        torch.autograd.graph.increment_version(written)

    def _mask(self, passage: Passage, layer: int) -> Mask:
        """Return the mask of the input of D's layer of that number."""
        include = self._includes[layer] if self.discriminator.training else 1.0
        return Mask(include, self.seed, self.update, stream(Kind.DROPOUT, passage, layer))

    # Forward

    def _generate(self, buffers: StepBuffers, passage: Passage) -> None:
        """Draw z, make the fake images, and show them, masked, to D's rows of fake images."""
        rows = buffers.generator
        draw = Draw(self.seed, self.update, stream(Kind.NOISE, passage))
        self._operations.latent(self.recipe.latent, draw, rows.latent)
        values = rows.latent
        for layer, spec, output in zip(
            self._generator_layers, self.recipe.generator, rows.values, strict=True
        ):
            self._operations.linear_forward(
                values, layer.weight, layer.bias, spec.activation, output
            )
            values = output
        self._operations.dropout(values, self._mask(passage, 0), buffers.fake.images)

    def _discriminate_both(self, batch: Tensor, buffers: StepBuffers) -> list[_Pass]:
        """Run D on the batch and on as many fake images; return which rows are of which pass."""
        n = buffers.n_rows
        self._generate(buffers, Passage.FAKE)
        real = self._operations.view(batch.contiguous())
        both = buffers.both
        self._operations.dropout(real, self._mask(Passage.REAL, 0), both.images[:n])
        passes = [(Passage.REAL, slice(0, n)), (Passage.FAKE, slice(n, 2 * n))]
        self._discriminate(both, passes)
        return passes

    def _discriminate(self, rows: DiscriminatorBuffers, passes: list[_Pass]) -> None:
        """Take masked images to logits."""
        operations = self._operations
        values = rows.images
        for index, (layer, spec) in enumerate(
            zip(self._maxout_layers, self.recipe.discriminator, strict=True)
        ):
            products, output, winner = rows.products[index], rows.values[index], rows.winners[index]
            operations.linear_forward(values, layer.weight, None, "linear", products)
            for passage, part in passes:
                operations.maxout(
                    products[part],
                    layer.bias,
                    spec.n_pieces,
                    self._mask(passage, index + 1),
                    output[part],
                    winner[part],
                )
            values = output
        operations.linear_forward(
            values, self._output.weight, self._output.bias, "linear", rows.logits
        )

    def _judge(self, buffers: StepBuffers) -> Costs:
        """Return the costs, and set what each row's unit gradient counts for in them."""
        means = self._operations.costs(
            buffers.both.logits,
            self.recipe.cost,
            buffers.discriminator_scale,
            buffers.generator_scale,
        )
        return Costs(*torch.tensor(means, dtype=self.dtype, device=self.device).unbind())

    # Backward: a layer's input gradient is taken before its weights move

    def _back_through_discriminator(
        self,
        buffers: StepBuffers,
        rows: DiscriminatorBuffers,
        passes: list[_Pass],
        *,
        images: slice | None,
        move: bool,
    ) -> None:
        """Bring the logits' unit gradients back, to the images of some rows; ``move`` D by them."""
        operations = self._operations
        layers, specs = self._maxout_layers, self.recipe.discriminator
        inputs = [rows.images, *rows.values]
        gradient = self._output.weight  # of one row: every logit has the same
        for index in reversed(range(len(layers))):
            layer, n_pieces = layers[index], specs[index].n_pieces
            delta, winner = rows.deltas[index], rows.winners[index]
            for passage, part in passes:
                operations.mask_gradient(
                    gradient if len(gradient) == 1 else gradient[part],
                    self._mask(passage, index + 1),
                    delta[part],
                )
            if move and index == len(layers) - 1:
                self._move_output(rows, inputs[-1], buffers)
            if index > 0:
                gradient = rows.gradients[index - 1]
                operations.maxout_input_gradient(delta, winner, n_pieces, layer.weight, gradient)
            elif images is not None:
                operations.maxout_input_gradient(
                    delta[images], winner[images], n_pieces, layer.weight, buffers.image_gradient
                )
            if move:
                operations.maxout_update(
                    delta,
                    winner,
                    n_pieces,
                    buffers.discriminator_scale,
                    inputs[index],
                    *layer,
                    self._move,
                )
        if not layers:
            if images is not None:
                buffers.image_gradient[:] = gradient
            if move:
                self._move_output(rows, inputs[-1], buffers)

    def _move_output(self, rows: DiscriminatorBuffers, input: View, buffers: StepBuffers) -> None:
        """Move D's output unit; the gradient of its logits is one, times each row's scale."""
        self._operations.linear_update(
            rows.ones, buffers.discriminator_scale, input, *self._output, self._move
        )

    def _back_through_generator(self, buffers: StepBuffers, passage: Passage) -> None:
        """Move G by the gradient of the fake images that D saw in this pass."""
        operations = self._operations
        rows = buffers.generator
        gradient, scale = buffers.image_gradient, buffers.generator_scale
        mask = self._mask(passage, 0)
        inputs = [rows.latent, *rows.values]
        for index in reversed(range(len(self._generator_layers))):
            layer, delta = self._generator_layers[index], rows.deltas[index]
            activation = self.recipe.generator[index].activation
            operations.activation_delta(
                gradient, scale, mask, activation, rows.values[index], delta
            )
            if index > 0:
                gradient = rows.gradients[index - 1]
                operations.linear_input_gradient(delta, layer.weight, gradient)
            operations.linear_update(delta, None, inputs[index], *layer, self._move)
            scale, mask = None, _KEEP_ALL
