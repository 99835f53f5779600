"""The passes of a fused step through both networks, forward and backward, by operations.

Real and fake images go through D together. One backward pass through D serves both costs: a logit
is one number an image, so D's gradient at a fake image and G's are the same unit gradient, times a
number each (``row_scale``). Masks are drawn again where they are needed, and a weight's gradient
goes straight into its velocity, so neither is ever stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from fastgan.fused.buffers import DiscriminatorBuffers, StepBuffers
from fastgan.fused.clock import Clock
from fastgan.fused.operations import Behind, Draw, Mask, Move, Operations, RowMasks, View
from fastgan.recipes import Recipe
from fastgan.streams import Kind, Passage, stream


class Layer(NamedTuple):
    """Views of a layer's parameters and of their velocities."""

    weight: View
    velocity: View
    bias: View
    bias_velocity: View


# Which rows of D's buffers are of which pass.
RowPassages = list[tuple[slice, Passage]]


class Passes:
    """The two networks as the operations see them, and the passes through them.

    Attributes
    ----------
    recipe : Recipe
    operations : Operations
    clock : Clock
    includes : list of float
        Include probability of the input of each layer of D, the output unit last.
    is_training : bool
        Whether D's dropout is on.
    velocity_only : bool
        Whether an update makes velocities alone, for :meth:`move_by_velocities` to move weights by.
    first_row : int
        The number within the whole batch of the first of the rows that pass.
    images, order : View
        Of the epoch, where it gives the batches.
    """

    images: View
    order: View

    def __init__(
        self, recipe: Recipe, operations: Operations, clock: Clock, *, velocity_only: bool
    ) -> None:
        self.recipe, self.operations, self.clock = recipe, operations, clock
        self.includes = [layer.include_probability for layer in recipe.maxout_layers]
        self.includes.append(recipe.output_include_probability)
        self.is_training = True
        self.velocity_only = velocity_only
        self.first_row = 0

    def view(
        self,
        generator: Mapping[str, Tensor],
        generator_velocity: Mapping[str, Tensor],
        discriminator: Mapping[str, Tensor],
        discriminator_velocity: Mapping[str, Tensor],
    ) -> None:
        """View the networks' parameters and their velocities, by name."""

        def layer(
            parameters: Mapping[str, Tensor], velocity: Mapping[str, Tensor], at: str
        ) -> Layer:
            names = f"{at}.weight", f"{at}.bias"
            return Layer(
                *(self.operations.view(of[name]) for name in names for of in (parameters, velocity))
            )

        self.generator_layers = [
            layer(generator, generator_velocity, f"layers.{index}")
            for index in range(len(self.recipe.dense_layers))
        ]
        self.maxout_layers = [
            layer(discriminator, discriminator_velocity, f"layers.{index}")
            for index in range(len(self.recipe.maxout_layers))
        ]
        self.output = layer(discriminator, discriminator_velocity, "output")

    def _mask(self, passage: Passage, layer: int) -> Mask:
        """Return the mask of the input of D's layer of that number."""
        include = self.includes[layer] if self.is_training else 1.0
        number = stream(Kind.DROPOUT, passage, layer)
        return Mask(include, self.clock.seed, self.clock.step, number, self.first_row)

    def _masks(self, passes: RowPassages, layer: int) -> RowMasks:
        return [(rows, self._mask(passage, layer)) for rows, passage in passes]

    def _move(self) -> Move:
        clock = self.clock
        return Move(clock.lr, clock.momentum, self.recipe.max_norm, self.velocity_only)

    # Forward

    def generate(self, buffers: StepBuffers, passage: Passage) -> None:
        """Draw z, make the fake images, and show them, masked, to D's rows of fake images."""
        rows = buffers.generator
        number = stream(Kind.NOISE, passage)
        draw = Draw(self.clock.seed, self.clock.step, number, self.first_row)
        self.operations.latent(self.recipe.latent, draw, rows.latent)
        values = rows.latent
        last = len(rows.values) - 1
        for index, (layer, spec) in enumerate(
            zip(self.generator_layers, self.recipe.dense_layers, strict=True)
        ):
            output = rows.values[index]
            shown = (self._mask(passage, 0), buffers.fake.images) if index == last else None
            self.operations.linear_forward(
                values, layer.weight, layer.bias, spec.activation, output, shown
            )
            values = output

    def show_real(self, real: View | None, images: View) -> None:
        """Mask the batch, given or gathered, into D's rows of real images."""
        mask = self._mask(Passage.REAL, 0)
        if real is not None:
            self.operations.dropout(real, mask, images)
        else:
            self.operations.gather(self.images, self.order, self.clock.first, mask, images)

    def discriminate(self, rows: DiscriminatorBuffers, passes: RowPassages) -> None:
        """Take masked images to logits."""
        values = rows.images
        for index, (layer, spec) in enumerate(
            zip(self.maxout_layers, self.recipe.maxout_layers, strict=True)
        ):
            self.operations.maxout_forward(
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
        self.operations.linear_forward(
            values, self.output.weight, self.output.bias, "linear", rows.logits
        )

    def judge(self, buffers: StepBuffers, *, generator_only: bool = False) -> None:
        """Write the costs, and what each row's unit gradient counts for in them."""
        self.operations.costs(
            buffers.both.logits,
            self.recipe.cost,
            buffers.discriminator_scale,
            buffers.generator_scale,
            buffers.means,
            buffers.n_whole,
            generator_only=generator_only,
        )

    # Backward: a layer's input gradient is taken before its weights move

    def back_through_discriminator(
        self,
        buffers: StepBuffers,
        rows: DiscriminatorBuffers,
        passes: RowPassages,
        *,
        images: tuple[slice, Passage] | None,
        move: bool,
    ) -> None:
        """Bring the logits' unit gradients back, to some rows' images; ``move`` D by them.

        ``images`` says which rows were made by G in which pass: theirs end as the delta of G's last
        layer, in G's cost.
        """
        operations, layers = self.operations, self.maxout_layers
        inputs = [rows.images, *rows.values]
        unit = self.output.weight  # of one row: every logit has the same gradient
        if layers:
            top = Behind(self._masks(passes, len(layers)))
            operations.pass_behind(unit, top, rows.deltas[-1])
        elif images is not None:
            behind, delta = self._behind_images(buffers, images)
            operations.pass_behind(unit, behind, delta)
        if move:
            operations.linear_update(
                rows.ones, buffers.discriminator_scale, inputs[-1], *self.output, self._move()
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

    def back_through_generator(self, buffers: StepBuffers) -> None:
        """Move G by the delta of its last layer."""
        operations, rows = self.operations, buffers.generator
        inputs = [rows.latent, *rows.values]
        for index in reversed(range(len(self.generator_layers))):
            layer, delta = self.generator_layers[index], rows.deltas[index]
            if index > 0:
                activation = self.recipe.dense_layers[index - 1].activation
                behind = Behind((), None, activation, rows.values[index - 1])
                operations.linear_input_gradient(
                    delta, layer.weight, behind, rows.deltas[index - 1]
                )
            operations.linear_update(delta, None, inputs[index], *layer, self._move())

    def move_by_velocities(self, *, discriminator: bool, generator: bool) -> None:
        """Move weights by the velocities that there are."""
        layers = [*self.maxout_layers, self.output] if discriminator else []
        for layer in layers + (self.generator_layers if generator else []):
            self.operations.move_weight(layer.weight, layer.velocity, self.recipe.max_norm)
            self.operations.move_weight(layer.bias, layer.bias_velocity, None)
