"""The operations of a fused step by the C++ core, on CPU tensors."""

from __future__ import annotations

import math

from torch import Tensor

from fastgan import _core
from fastgan.fused.operations import Behind, Draw, Mask, Move, Number, Operations, RowMasks, View
from fastgan.recipes import Cost, Latent

_WHOLE = slice(None)
_KEEP_ALL = Mask(1.0, 0, 0, 0)


class NativeOperations(Operations):
    """The operations by the C++ core; views are NumPy arrays."""

    def view(self, tensor: Tensor) -> View:
        return tensor.detach().numpy()

    def latent(self, kind: Latent, draw: Draw, output: View) -> None:
        flat = output.reshape(-1)
        seed, step, stream, first_row = draw
        first = first_row * output.shape[1]
        if kind == "normal":
            _core.philox_normal(flat, seed, step, stream, first, self.n_threads)
        else:
            _core.philox_uniform(flat, seed, step, stream, first, self.n_threads)
            flat *= 2.0
            flat -= 1.0
            flat *= math.sqrt(3.0)

    def dropout(self, input: View, mask: Mask, output: View) -> None:
        place = _place(mask, output.shape[1])
        _core.dropout(input.reshape(-1), output.reshape(-1), *place, self.n_threads)

    def gather(self, images: View, order: View, first: Number, mask: Mask, output: View) -> None:
        self.dropout(images[order[first : first + len(output)]], mask, output)

    def linear_forward(
        self,
        input: View,
        weight: View,
        bias: View | None,
        activation: str,
        output: View,
        shown: tuple[Mask, View] | None = None,
    ) -> None:
        _core.linear_forward(input, weight, bias, activation, output, self.n_threads)
        if shown is not None:
            self.dropout(output, *shown)

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
        assert products is not None  # what StepBuffers made for these operations
        _core.linear_forward(input, weight, None, "linear", products, self.n_threads)
        for rows, mask in masks:
            _core.maxout_forward(
                products[rows],
                bias,
                values[rows],
                winner[rows],
                n_pieces,
                *_place(mask, values.shape[1]),
                self.n_threads,
            )

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
        found = _core.batch_costs(
            logits, cost == "saturating", discriminator_gradient, generator_gradient, n_whole
        )
        if generator_only:
            means[1] = found[1]
        else:
            means[:] = found

    def pass_behind(self, gradient: View, behind: Behind, output: View) -> None:
        masks, row_scale, activation, values = behind
        is_one_row = len(gradient) == 1
        for rows, mask in masks or ((_WHOLE, _KEEP_ALL),):
            include_probability, seed, step, stream, first = _place(mask, output.shape[1])
            _core.activation_delta(
                gradient if is_one_row else gradient[rows],
                None if row_scale is None else row_scale[rows],
                include_probability,
                seed,
                step,
                stream,
                activation,
                output[rows] if values is None else values[rows],
                output[rows],
                self.n_threads,
                first,
            )

    def maxout_input_gradient(
        self,
        delta: View,
        winner: View,
        n_pieces: int,
        weight: View,
        behind: Behind,
        gradient: View,
    ) -> None:
        _core.maxout_input_gradient(delta, winner, n_pieces, weight, gradient, self.n_threads)
        self._pass_behind_in_place(behind, gradient)

    def linear_input_gradient(
        self, delta: View, weight: View, behind: Behind, gradient: View
    ) -> None:
        _core.linear_input_gradient(delta, weight, gradient, self.n_threads)
        self._pass_behind_in_place(behind, gradient)

    def _pass_behind_in_place(self, behind: Behind, gradient: View) -> None:
        if not behind.is_empty:
            self.pass_behind(gradient, behind, gradient)

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
        _core.maxout_update(
            delta,
            winner,
            n_pieces,
            row_scale,
            input,
            weight,
            velocity,
            bias,
            bias_velocity,
            move.lr,
            move.momentum,
            _limit(move.max_norm),
            self.n_threads,
            move.velocity_only,
        )

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
        _core.linear_update(
            delta,
            row_scale,
            input,
            weight,
            velocity,
            bias,
            bias_velocity,
            move.lr,
            move.momentum,
            _limit(move.max_norm),
            self.n_threads,
            move.velocity_only,
        )

    def move_weight(self, weight: View, velocity: View, max_norm: float | None) -> None:
        shape = weight.shape if weight.ndim == 2 else (1, len(weight))  # a bias is one row
        limit = _limit(max_norm if weight.ndim == 2 else None)
        _core.move_weight(weight.reshape(shape), velocity.reshape(shape), limit, self.n_threads)


def _place(mask: Mask, n_columns: int) -> tuple[float, int, int, int, int]:
    """Return a mask as the native core takes it: the number of its first element at the end."""
    include_probability, seed, step, stream, first_row = mask
    return include_probability, seed, step, stream, first_row * n_columns


def _limit(max_norm: float | None) -> float:
    """Return a limit as the native core takes it: none is an infinite one."""
    return math.inf if max_norm is None else max_norm
