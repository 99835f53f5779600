"""The training step of a recipe's own networks without autograd: explicit products, fixed buffers.

Real and fake images go through D together. One backward pass through D serves both costs: a logit
is one number an image, so D's gradient at a fake image and G's are the same unit gradient, times a
number each (``row_scale``). Masks are drawn again where they are needed, and a weight's gradient
goes straight into its velocity, so neither is ever stored.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fastgan import backends
from fastgan.costs import Costs
from fastgan.fused.buffers import DiscriminatorBuffers, StepBuffers
from fastgan.fused.graphs import Graphs
from fastgan.fused.native import NativeOperations
from fastgan.fused.obstacles import why_not_fused
from fastgan.fused.operations import Behind, Draw, Mask, Move, Operations, RowMasks, View
from fastgan.fused.reference import ReferenceOperations
from fastgan.recipes import Recipe
from fastgan.streams import Kind, Passage, stream
from fastgan.training_step import TrainingStep


class _Layer(NamedTuple):
    """Views of a layer's parameters and of their velocities."""

    weight: View
    velocity: View
    bias: View
    bias_velocity: View


# Which rows of D's buffers are of which pass.
_Passes = list[tuple[slice, Passage]]


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
        ``native`` (the C++ core, on the CPU), ``triton`` (kernels on a GPU, captured as one graph
        for each size of a batch), ``reference`` (plain PyTorch, on any device), or ``auto``.

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
        self._operations = _operations(backends.resolve_impl("fused_step", impl, self.device))
        self.bits_depend_on_threads = self._operations.bits_depend_on_threads
        self._clock = self._operations.clock(recipe, self.seed, self.device)
        self._graphs = Graphs(self.device)
        self._buffers: dict[int, StepBuffers] = {}
        self._parameters = [
            *self._generator_parameters.values(),
            *self._discriminator_parameters.values(),
        ]
        # include probability of the input of each layer of D, the output unit last
        self._includes = [layer.include_probability for layer in recipe.maxout_layers]
        self._includes.append(recipe.output_include_probability)
        self._addresses: list[int] = []
        self._epoch_source: tuple[int, torch.Size, int] | None = None  # what graphs gather from
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
        self._graphs.clear()
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
            for index in range(len(self.recipe.dense_layers))
        ]
        self._maxout_layers = [
            layer(self._discriminator_parameters, self._discriminator_velocity, f"layers.{index}")
            for index in range(len(self.recipe.maxout_layers))
        ]
        self._output = layer(self._discriminator_parameters, self._discriminator_velocity, "output")

    def begin_epoch(self, images: Tensor, order: Tensor, first_batch: int = 0) -> None:
        """Lay out an epoch; see :meth:`TrainingStep.begin_epoch`."""
        super().begin_epoch(images, order, first_batch)
        assert self._images is not None
        assert self._order is not None
        rows = self._images.contiguous()  # of other strides: copied anew for each epoch
        source = (rows.data_ptr(), rows.shape, self._order.data_ptr())
        if source != self._epoch_source:
            self._epoch_source = source
            self._graphs.clear()
            self._images_view = self._operations.view(rows)
            self._order_view = self._operations.view(self._order)

    def _train_on(self, batch: Tensor) -> Costs:
        buffers = self._begin(len(batch))
        if buffers.batch is None:
            return self._run(buffers, self._operations.view(batch.contiguous()))
        buffers.batch.copy_(batch)
        return self._run(buffers, buffers.batch)

    def _train_on_rows(self, first: int, n_rows: int) -> Costs:
        return self._run(self._begin(n_rows), None, first)

    def _begin(self, n_rows: int) -> StepBuffers:
        """Return the buffers for a batch's size."""
        self._view_parameters()
        operations = self._operations
        operations.n_threads = self.n_threads or torch.get_num_threads()
        if n_rows not in self._buffers:
            # For two sizes at most: whole batches, and the last one of an epoch.
            for size in [size for size in self._buffers if size != self.recipe.batch_size]:
                del self._buffers[size]
                self._graphs.clear()
            self._buffers[n_rows] = StepBuffers(
                self.recipe,
                n_rows,
                self.dtype,
                self.device,
                operations.view,
                needs_products=operations.needs_products,
                is_captured=operations.is_captured,
            )
        return self._buffers[n_rows]

    def _run(self, buffers: StepBuffers, real: View | None, first: int = 0) -> Costs:
        """Set the clock, do the step or replay its graph, and read the costs.

        ``real`` is the batch; without one it is gathered from the epoch, from row ``first`` on.
        """
        generator_moves = self.recipe.schedule == "simultaneous" or self._generator_moves()
        step = partial(self._step, buffers, real, generator_moves)
        self._clock.set(self.seed, self.update, self.epoch, first)
        if self._operations.is_captured:
            key = (buffers.n_rows, real is None, generator_moves, self.discriminator.training)
            self._graphs.run(key, step)
        else:
            step()
        self._clock.passed(buffers.n_rows if real is None else 0)
        # Let autograd notice that the parameters were overwritten.
        written = [p for p in self._parameters if not p.is_inference()]
        torch.autograd.graph.increment_version(written)
        return Costs(*buffers.means.clone().unbind())

    # What follows is the step itself, and all that a graph holds.

    def _step(self, buffers: StepBuffers, real: View | None, generator_moves: bool) -> None:
        both, fake, n = buffers.both, buffers.fake, buffers.n_rows
        self._clock.tick(n if real is None else 0)
        self._generate(buffers, Passage.FAKE)
        self._show_real(real, both.images[:n])
        passes: _Passes = [(slice(0, n), Passage.REAL), (slice(n, 2 * n), Passage.FAKE)]
        self._discriminate(both, passes)
        self._judge(buffers)
        if self.recipe.schedule == "simultaneous":
            self._back_through_discriminator(
                buffers, both, passes, images=(passes[1][0], Passage.FAKE), move=True
            )
            self._back_through_generator(buffers)
            return
        self._back_through_discriminator(buffers, both, passes, images=None, move=True)
        if generator_moves:
            self._generate(buffers, Passage.GENERATOR)
            passes = [(slice(0, n), Passage.GENERATOR)]
            self._discriminate(fake, passes)
            self._judge(buffers, generator_only=True)
            self._back_through_discriminator(buffers, fake, passes, images=passes[0], move=False)
            self._back_through_generator(buffers)

    def _mask(self, passage: Passage, layer: int) -> Mask:
        """Return the mask of the input of D's layer of that number."""
        include = self._includes[layer] if self.discriminator.training else 1.0
        number = stream(Kind.DROPOUT, passage, layer)
        return Mask(include, self._clock.seed, self._clock.step, number)

    def _masks(self, passes: _Passes, layer: int) -> RowMasks:
        return [(rows, self._mask(passage, layer)) for rows, passage in passes]

    def _move(self) -> Move:
        return Move(self._clock.lr, self._clock.momentum, self.recipe.max_norm)

    # Forward

    def _generate(self, buffers: StepBuffers, passage: Passage) -> None:
        """Draw z, make the fake images, and show them, masked, to D's rows of fake images."""
        rows = buffers.generator
        draw = Draw(self._clock.seed, self._clock.step, stream(Kind.NOISE, passage))
        self._operations.latent(self.recipe.latent, draw, rows.latent)
        values = rows.latent
        last = len(rows.values) - 1
        for index, (layer, spec) in enumerate(
            zip(self._generator_layers, self.recipe.dense_layers, strict=True)
        ):
            output = rows.values[index]
            shown = (self._mask(passage, 0), buffers.fake.images) if index == last else None
            self._operations.linear_forward(
                values, layer.weight, layer.bias, spec.activation, output, shown
            )
            values = output

    def _show_real(self, real: View | None, images: View) -> None:
        """Mask the batch, given or gathered, into D's rows of real images."""
        mask = self._mask(Passage.REAL, 0)
        if real is not None:
            self._operations.dropout(real, mask, images)
        else:
            self._operations.gather(
                self._images_view, self._order_view, self._clock.first, mask, images
            )

    def _discriminate(self, rows: DiscriminatorBuffers, passes: _Passes) -> None:
        """Take masked images to logits."""
        values = rows.images
        for index, (layer, spec) in enumerate(
            zip(self._maxout_layers, self.recipe.maxout_layers, strict=True)
        ):
            self._operations.maxout_forward(
                values,
                layer.weight,
                layer.bias,
                spec.n_pieces,
                self._masks(passes, index + 1),
                rows.products[index],
                rows.values[index],
                rows.winners[index],
            )
            values = rows.values[index]
        self._operations.linear_forward(
            values, self._output.weight, self._output.bias, "linear", rows.logits
        )

    def _judge(self, buffers: StepBuffers, *, generator_only: bool = False) -> None:
        """Write the costs, and what each row's unit gradient counts for in them."""
        self._operations.costs(
            buffers.both.logits,
            self.recipe.cost,
            buffers.discriminator_scale,
            buffers.generator_scale,
            buffers.means_view,
            generator_only=generator_only,
        )

    # Backward: a layer's input gradient is taken before its weights move

    def _back_through_discriminator(
        self,
        buffers: StepBuffers,
        rows: DiscriminatorBuffers,
        passes: _Passes,
        *,
        images: tuple[slice, Passage] | None,
        move: bool,
    ) -> None:
        """Bring the logits' unit gradients back, to some rows' images; ``move`` D by them.

        ``images`` says which rows were made by G in which pass: theirs end as the delta of G's last
        layer, in G's cost.
        """
        operations, layers = self._operations, self._maxout_layers
        inputs = [rows.images, *rows.values]
        unit = self._output.weight  # of one row: every logit has the same gradient
        if layers:
            top = Behind(self._masks(passes, len(layers)))
            operations.pass_behind(unit, top, rows.deltas[-1])
        elif images is not None:
            behind, delta = self._behind_images(buffers, images)
            operations.pass_behind(unit, behind, delta)
        if move:
            operations.linear_update(
                rows.ones, buffers.discriminator_scale, inputs[-1], *self._output, self._move()
            )
        for index in reversed(range(len(layers))):
            layer, n_pieces = layers[index], self.recipe.maxout_layers[index].n_pieces
            delta, winner = rows.deltas[index], rows.winners[index]
            if index > 0:
                operations.maxout_input_gradient(
                    delta,
                    winner,
                    n_pieces,
                    layer.weight,
                    Behind(self._masks(passes, index)),
                    rows.deltas[index - 1],
                )
            elif images is not None:
                part = images[0]
                operations.maxout_input_gradient(
                    delta[part],
                    winner[part],
                    n_pieces,
                    layer.weight,
                    *self._behind_images(buffers, images),
                )
            if move:
                operations.maxout_update(
                    delta,
                    winner,
                    n_pieces,
                    buffers.discriminator_scale,
                    inputs[index],
                    *layer,
                    self._move(),
                )

    def _behind_images(
        self, buffers: StepBuffers, images: tuple[slice, Passage]
    ) -> tuple[Behind, View]:
        """Return what lies between D's images and the sums of G's last layer, and that delta."""
        rows, (_, passage) = buffers.generator, images
        behind = Behind(
            [(slice(0, buffers.n_rows), self._mask(passage, 0))],
            buffers.generator_scale,
            self.recipe.dense_layers[-1].activation,
            rows.values[-1],
        )
        return behind, rows.deltas[-1]

    def _back_through_generator(self, buffers: StepBuffers) -> None:
        """Move G by the delta of its last layer."""
        operations, rows = self._operations, buffers.generator
        inputs = [rows.latent, *rows.values]
        for index in reversed(range(len(self._generator_layers))):
            layer, delta = self._generator_layers[index], rows.deltas[index]
            if index > 0:
                activation = self.recipe.dense_layers[index - 1].activation
                behind = Behind((), None, activation, rows.values[index - 1])
                operations.linear_input_gradient(
                    delta, layer.weight, behind, rows.deltas[index - 1]
                )
            operations.linear_update(delta, None, inputs[index], *layer, self._move())


def _operations(impl: str) -> Operations:
    if impl == "native":
        return NativeOperations()
    if impl == "reference":
        return ReferenceOperations()
    from fastgan.fused.triton import TritonOperations  # triton, only when asked for

    return TritonOperations()
