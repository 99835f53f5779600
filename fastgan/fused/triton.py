"""The operations of a fused step by Triton kernels: launches on fixed memory and nothing else.

So a step can be captured as one graph. What changes from step to step lives on the device.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fastgan.fused.clock import Clock
from fastgan.fused.operations import (
    Behind,
    Draw,
    Mask,
    Move,
    Number,
    Operations,
    RowMasks,
    View,
)
from fastgan.kernels import gradients, linear, maxout_linear, philox, step, update
from fastgan.kernels.gradients import Behind as KernelBehind
from fastgan.kernels.masks import Mask as KernelMask
from fastgan.kernels.momentum_sgd import limit_norms, move_weight
from fastgan.recipes import Cost, Latent, Recipe


class DeviceClock(Clock):
    """The clock of a captured step: counters on the device, which a kernel moves on.

    The host knows what they will be, and writes to them only where something else is wanted: after
    a resume, say, or at an epoch's begin.
    """

    _SEED, _EPOCH, _STEP, _NEXT_STEP, _FIRST, _NEXT_FIRST = range(6)

    def __init__(
        self, recipe: Recipe, seed: int, device: torch.device, n_processes: int = 1
    ) -> None:
        self._counters = step.epoch_counters(device)
        self._rates = torch.zeros(2, dtype=torch.float64, device=device)
        self._schedule = torch.tensor(
            [
                recipe.learning_rate,
                math.log(recipe.learning_rate_decay),
                recipe.learning_rate_floor,
                recipe.momentum_first / n_processes,
                recipe.momentum_last / n_processes,
                recipe.momentum_epochs,
            ],
            dtype=torch.float64,
            device=device,
        )
        self._known = dict.fromkeys((self._SEED, self._EPOCH, self._NEXT_STEP, self._NEXT_FIRST), 0)
        self.seed = self._counters[self._SEED]
        self.step = self._counters[self._STEP]
        self.first = self._counters[self._FIRST]
        self.lr, self.momentum = self._rates.unbind()

    def set(self, seed: int, update: int, epoch: int, first: int) -> None:
        """Write what the device does not know yet."""
        wanted = {
            self._SEED: seed,
            self._EPOCH: epoch,
            self._NEXT_STEP: update,
            self._NEXT_FIRST: first,
        }
        for place, value in wanted.items():
            if self._known[place] != value:
                self._counters[place].fill_(value)
                self._known[place] = value

    def tick(self, n_rows: int) -> None:
        """Begin an update, on the device."""
        step.tick(self._counters, self._rates, self._schedule, n_rows)

    def passed(self, n_rows: int) -> None:
        """Know what the device did."""
        self._known[self._NEXT_STEP] += 1
        self._known[self._NEXT_FIRST] += n_rows


class TritonOperations(Operations):
    """The operations by Triton kernels, on a GPU or in the interpreter; views are tensors."""

    needs_products = False
    is_captured = True

    def clock(self, recipe: Recipe, seed: int, device: torch.device, n_processes: int = 1) -> Clock:
        return DeviceClock(recipe, seed, device, n_processes)

    def view(self, tensor: Tensor) -> View:
        return tensor.detach()

    def latent(self, kind: Latent, draw: Draw, output: View) -> None:
        first = draw.first_row * output.shape[1]
        philox.latent(kind, output, draw.seed, draw.step, draw.stream, first)

    def dropout(self, input: View, mask: Mask, output: View) -> None:
        behind = KernelBehind(_whole(mask), None, "linear", None)
        gradients.pass_behind(input, behind, output)

    def gather(self, images: View, order: View, first: Number, mask: Mask, output: View) -> None:
        step.gather(images, order, first, _whole(mask), output)

    def linear_forward(
        self,
        input: View,
        weight: View,
        bias: View | None,
        activation: str,
        output: View,
        shown: tuple[Mask, View] | None = None,
    ) -> None:
        if shown is None:
            linear.linear_forward(input, weight, bias, activation, output)
        else:
            mask, masked = shown
            linear.linear_forward(input, weight, bias, activation, output, _whole(mask), masked)

    def maxout_forward(
        self,
        input: View,
        weight: View,
        bias: View,
        n_pieces: int,
        masks: RowMasks,
        products: View | None,
        values: View,
        winner: View,
    ) -> None:
        maxout_linear.maxout_forward(input, weight, bias, n_pieces, _joined(masks), values, winner)

    def costs(
        self,
        logits: View,
        cost: Cost,
        discriminator_gradient: View,
        generator_gradient: View,
        means: View,
        n_whole: int,
        *,
        generator_only: bool = False,
    ) -> None:
        step.costs(
            logits,
            cost == "saturating",
            discriminator_gradient,
            generator_gradient,
            means,
            n_whole=n_whole,
            generator_only=generator_only,
        )

    def pass_behind(self, gradient: View, behind: Behind, output: View) -> None:
        gradients.pass_behind(gradient, _behind(behind), output)

    def maxout_input_gradient(
        self,
        delta: View,
        winner: View,
        n_pieces: int,
        weight: View,
        behind: Behind,
        gradient: View,
    ) -> None:
        gradients.maxout_input_gradient(delta, winner, n_pieces, weight, _behind(behind), gradient)

    def linear_input_gradient(
        self, delta: View, weight: View, behind: Behind, gradient: View
    ) -> None:
        gradients.linear_input_gradient(delta, weight, _behind(behind), gradient)

    def maxout_update(
        self,
        delta: View,
        winner: View,
        n_pieces: int,
        row_scale: View | None,
        input: View,
        weight: View,
        velocity: View,
        bias: View,
        bias_velocity: View,
        move: Move,
    ) -> None:
        lr, momentum, max_norm, velocity_only = move
        update.maxout_update(
            delta,
            winner,
            n_pieces,
            row_scale,
            input,
            None if velocity_only else weight,
            velocity,
            None if velocity_only else bias,
            bias_velocity,
            lr,
            momentum,
        )
        if max_norm is not None and not velocity_only:
            limit_norms(weight, max_norm)

    def linear_update(
        self,
        delta: View,
        row_scale: View | None,
        input: View,
        weight: View,
        velocity: View,
        bias: View,
        bias_velocity: View,
        move: Move,
    ) -> None:
        lr, momentum, max_norm, velocity_only = move
        update.linear_update(
            delta,
            row_scale,
            input,
            None if velocity_only else weight,
            velocity,
            None if velocity_only else bias,
            bias_velocity,
            lr,
            momentum,
        )
        if max_norm is not None and not velocity_only:
            limit_norms(weight, max_norm)

    def move_weight(self, weight: View, velocity: View, max_norm: float | None) -> None:
        move_weight(weight, velocity, max_norm)


def _whole(mask: Mask) -> KernelMask:
    """Return the mask of rows of one pass."""
    return KernelMask(
        mask.include_probability, mask.seed, mask.step, mask.stream, first_row=mask.first_row
    )


def _joined(masks: RowMasks) -> KernelMask | None:
    """Return one mask of the rows of one pass, or of two, one after the other."""
    if not masks:
        return None
    (rows, first), *others = masks
    if not others:
        return _whole(first)
    ((_, second),) = others
    return _whole(first)._replace(second_stream=second.stream, n_first_rows=rows.stop)


def _behind(behind: Behind) -> KernelBehind:
    masks, row_scale, activation, values = behind
    return KernelBehind(_joined(masks), row_scale, activation, values)
