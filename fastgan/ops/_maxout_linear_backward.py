"""The backward pass of a layer of maxout units, and its own: torch ops beside maxout_linear's."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from fastgan import _core
from fastgan.ops._autocast import switched_off
from fastgan.ops._draw import as_key
from fastgan.ops._products import input_gradient, weight_gradient
from fastgan.ops._registry import array, register
from fastgan.ops.dropout import dropout_op, dropout_triton_op


def native_mask(
    include_probability: float,
    seed: Tensor | None,
    step: Tensor | None,
    stream: int,
    first: int,
) -> tuple[float, int, int, int, int, int]:
    """Return what the native kernels take to draw a mask."""
    drawn = (0, 0) if seed is None or step is None else as_key(seed, step)
    return include_probability, *drawn, stream, first, torch.get_num_threads()


def plain(*tensors: Tensor) -> list[Tensor]:
    """Return tensors as kernels take them: contiguous, without a tape."""
    return [tensor.detach().contiguous() for tensor in tensors]


def _cpu(
    gradient: Tensor,
    winner: Tensor,
    input: Tensor | None,
    weight: Tensor | None,
    needs_bias: bool,
    n_pieces: int,
    include_probability: float,
    seed: Tensor | None,
    step: Tensor | None,
    stream: int,
    first_row: int,
) -> tuple[Tensor, Tensor, Tensor]:
    n, n_units = winner.shape
    delta = torch.empty((n, n_units * n_pieces), dtype=gradient.dtype)
    of_bias = torch.empty(n_units * n_pieces if needs_bias else 0, dtype=gradient.dtype)
    _core.maxout_backward(
        array(gradient),
        array(winner),
        delta.numpy(),
        of_bias.numpy() if needs_bias else None,
        n_pieces,
        *native_mask(include_probability, seed, step, stream, first_row * n_units),
    )
    nothing = torch.empty(0, dtype=gradient.dtype)
    of_input = nothing if weight is None else input_gradient(delta, weight)
    of_weight = nothing.clone() if input is None else weight_gradient(delta, input)
    return of_input, of_weight, of_bias


def _triton(
    gradient: Tensor,
    winner: Tensor,
    input: Tensor | None,
    weight: Tensor | None,
    needs_bias: bool,
    n_pieces: int,
    include_probability: float,
    seed: Tensor | None,
    step: Tensor | None,
    stream: int,
    first_row: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """As the native one, without its matrix of all pieces."""
    from fastgan.kernels.dropout import dropout as masked  # triton, only when asked for
    from fastgan.kernels.gradients import Behind, maxout_input_gradient
    from fastgan.kernels.update import maxout_weight_gradient

    of_input, of_weight, of_bias = _fake(gradient, winner, input, weight, needs_bias, n_pieces)
    delta, winner = plain(gradient, winner)
    if include_probability < 1 and seed is not None and step is not None:
        delta = masked(delta, include_probability, seed, step, stream, first_row)
    if weight is not None:
        (weight,) = plain(weight)
        maxout_input_gradient(delta, winner, n_pieces, weight, Behind(), of_input)
    if input is not None or needs_bias:
        if input is None:  # the bias gradient alone: of a layer of one feature, 0 in every row
            input = delta.new_zeros((delta.shape[0], 1))
            into = delta.new_empty((of_bias.shape[0], 1))
        else:
            into = of_weight
        (input,) = plain(input)
        maxout_weight_gradient(
            delta, winner, n_pieces, input, into, of_bias if needs_bias else None
        )
    return of_input, of_weight, of_bias


def _fake(
    gradient: Tensor,
    winner: Tensor,
    input: Tensor | None,
    weight: Tensor | None,
    needs_bias: bool,
    n_pieces: int,
    *_: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    n, n_units = winner.shape
    n_rows = n_units * n_pieces
    return (
        gradient.new_empty(0 if weight is None else (n, weight.shape[1])),
        gradient.new_empty(0 if input is None else (n_rows, input.shape[1])),
        gradient.new_empty(n_rows if needs_bias else 0),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    gradient, winner, input, weight, *options = inputs
    ctx.save_for_backward(gradient, winner, input, weight)
    ctx.set_materialize_grads(False)
    ctx.options = options


def _backward(
    by_triton: bool,
    ctx: Any,
    of_input: Tensor | None,
    of_weight: Tensor | None,
    of_bias: Tensor | None,
) -> tuple[Tensor | None, ...]:
    """Turn the backward pass around; it is linear in each: the gradient, the input, the weight.

    With D the gradient of the pieces (zero but at the winners), it returns D weight, D^T input and
    the sum of D's rows. So the gradient's own is, of each unit's winning piece and through the
    same mask, of_input weight^T + input of_weight^T + of_bias; and those of input and weight,
    D of_weight and D^T of_input, are a backward pass of the two in each other's place.
    """
    none: tuple[Tensor | None, ...] = (None,) * 11
    gradient, winner, input, weight = ctx.saved_tensors
    needs_bias, n_pieces, include_probability, *draw = ctx.options
    of_input = None if weight is None else of_input
    of_weight = None if input is None else of_weight
    of_bias = of_bias if needs_bias else None
    needs_gradient, _, needs_input, needs_weight = ctx.needs_input_grad[:4]
    won = None
    with switched_off(winner.device):
        if needs_gradient:
            parts = []
            if of_input is not None:
                parts.append(torch.mm(of_input, weight.t()))
            if of_weight is not None:
                parts.append(torch.mm(input, of_weight.t()))
            if of_bias is not None:
                parts.append(of_bias.expand(winner.shape[0], -1))
            if parts:
                pieces = functools.reduce(torch.add, parts).reshape(*winner.shape, n_pieces)
                won = pieces.gather(2, winner.long().unsqueeze(2)).squeeze(2)
                if include_probability < 1:
                    op = dropout_triton_op if by_triton else dropout_op
                    won = op(won, include_probability, *draw)
        new_input = of_input if needs_weight else None
        new_weight = of_weight if needs_input else None
        if new_input is None and new_weight is None:
            return won, *none[1:]
        op = maxout_linear_backward_triton_op if by_triton else maxout_linear_backward_op
        options = (n_pieces, include_probability, *draw)
        of_new = op(gradient, winner, new_input, new_weight, False, *options)
    return (
        won,
        None,
        None if new_weight is None else of_new[0],
        None if new_input is None else of_new[1],
        *none[4:],
    )


# The gradients of input (where weight is given), weight (where input is) and bias (if it needs
# one), by that of the values; an empty tensor in place of one that is not wanted.
_ARGUMENTS = (
    "(Tensor gradient, Tensor winner, Tensor? input, Tensor? weight, bool needs_bias, "
    "int n_pieces, float include_probability, Tensor? seed, Tensor? step, int stream, "
    "SymInt first_row) -> (Tensor, Tensor, Tensor)"
)
maxout_linear_backward_op = register(
    "maxout_linear_backward" + _ARGUMENTS,
    cpu=_cpu,
    cuda=_triton,
    fake=_fake,
    backward=functools.partial(_backward, False),
    setup_context=_setup_context,
    in_single_precision=True,
)
maxout_linear_backward_triton_op = register(
    "maxout_linear_backward_triton" + _ARGUMENTS,
    every_device=_triton,
    fake=_fake,
    backward=functools.partial(_backward, True),
    setup_context=_setup_context,
    in_single_precision=True,
)
