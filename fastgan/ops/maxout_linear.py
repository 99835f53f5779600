"""A dense layer of maxout units: product, bias, maximum over pieces, winner, dropout."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fastgan import _core, backends
from fastgan.checks import (
    check_floating,
    check_integer,
    check_matrix,
    check_probability,
    check_same_device,
    check_same_dtype,
    check_shape,
)
from fastgan.ops._draw import as_key, as_tensor, check_draw, check_span
from fastgan.ops._registry import array, register
from fastgan.ops.dropout import dropout_op
from fastgan.reference.maxout_linear import maxout_linear as reference_maxout_linear

N_PIECES_MAX = 256  # the winner is a uint8


def maxout_linear(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    n_pieces: int,
    *,
    include_probability: float = 1.0,
    seed: int | Tensor | None = None,
    step: int | Tensor | None = None,
    stream: int | None = None,
    first_row: int = 0,
    impl: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Return the maximum of each unit's linear pieces, and which piece it was.

    ``values[i, u] = max over j of input[i] . weight[u * n_pieces + j] + bias[u * n_pieces + j]``,
    followed by dropout of the values where ``include_probability`` is below 1 (the next layer's
    input dropout, see :func:`fastgan.ops.dropout`). Of equal pieces the lowest wins; a NaN wins
    over numbers. The gradient flows through the values, to the winning piece alone.

    Parameters
    ----------
    input : Tensor of shape (n, n_features), float32 or float64
    weight : Tensor of shape (n_units * n_pieces, n_features)
        Unit u owns the rows u * n_pieces to u * n_pieces + n_pieces - 1.
    bias : Tensor of shape (n_units * n_pieces,)
    n_pieces : int
        1 to 256.
    include_probability : float
        The probability of KEEPING a value, above 0 and at most 1.
    seed, step, stream : optional
        What the mask is drawn from, as in :func:`fastgan.ops.dropout`; needed where
        ``include_probability`` is below 1.
    first_row : int
        The number of the first row within the whole batch.
    impl : str
        ``auto``, ``reference`` or ``native``.

    Returns
    -------
    values : Tensor of shape (n, n_units)
    winner : Tensor of shape (n, n_units), uint8
        The winning piece, of dropped units too.

    Raises
    ------
    TypeError
        If a tensor is not of float32 or float64, or not all are of one dtype.
    ValueError
        If shapes do not fit, a number is out of its range, or seed, step or stream is missing.

    Notes
    -----
    Source: Goodfellow et al., *Maxout Networks*, ICML 2013.
    """
    check_floating("input", input)
    check_matrix("input", input, "n", "n_features")
    for name, value in (("weight", weight), ("bias", bias)):
        check_floating(name, value)
        check_same_dtype(name, value, "input", input)
        check_same_device(name, value, "input", input)
    n, n_features = input.shape
    check_matrix("weight", weight, "n_units * n_pieces", "n_features")
    check_integer("n_pieces", n_pieces, 1, N_PIECES_MAX)
    if n_features == 0:
        raise ValueError(f"input: expected at least 1 feature, got shape {tuple(input.shape)}")
    if weight.shape[0] == 0 or weight.shape[0] % n_pieces != 0:
        raise ValueError(
            f"weight: expected a multiple of n_pieces = {n_pieces} rows, "
            f"got shape {tuple(weight.shape)}"
        )
    check_shape("weight", weight, (weight.shape[0], n_features), "(n_units * n_pieces, n_features)")
    check_shape("bias", bias, (weight.shape[0],), "(n_units * n_pieces,)")
    check_probability("include_probability", include_probability)
    if include_probability < 1:
        for name, given in (("seed", seed), ("step", step), ("stream", stream)):
            if given is None:
                raise ValueError(
                    f"{name}: expected a value as include_probability is below 1, got None"
                )
        check_draw(seed, step, stream, first_row, input.device)
        check_span(first_row, n, weight.shape[0] // n_pieces)
    if backends.resolve_impl("maxout_linear", impl, input.device) == "reference":
        return reference_maxout_linear(
            input,
            weight,
            bias,
            n_pieces,
            include_probability=include_probability,
            seed=seed,
            step=step,
            stream=stream,
            first_row=first_row,
        )
    seed_tensor = None if seed is None else as_tensor(seed, input.device)
    step_tensor = None if step is None else as_tensor(step, input.device)
    values, winner = maxout_linear_op(
        input,
        weight,
        bias,
        n_pieces,
        include_probability,
        seed_tensor,
        step_tensor,
        0 if stream is None else stream,
        first_row,
    )
    return values, winner


def _mask(
    include_probability: float,
    seed: Tensor | None,
    step: Tensor | None,
    stream: int,
    first: int,
) -> tuple[float, int, int, int, int, int]:
    """Return what the native kernels take to draw a mask."""
    drawn = (0, 0) if seed is None or step is None else as_key(seed, step)
    return include_probability, *drawn, stream, first, torch.get_num_threads()


def _cpu(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    n_pieces: int,
    include_probability: float,
    seed: Tensor | None,
    step: Tensor | None,
    stream: int,
    first_row: int,
) -> tuple[Tensor, Tensor]:
    products = torch.mm(input, weight.t())
    n_units = bias.shape[0] // n_pieces
    values = torch.empty((input.shape[0], n_units), dtype=input.dtype)
    winner = torch.empty((input.shape[0], n_units), dtype=torch.uint8)
    _core.maxout_forward(
        array(products),
        array(bias),
        values.numpy(),
        winner.numpy(),
        n_pieces,
        *_mask(include_probability, seed, step, stream, first_row * n_units),
    )
    return values, winner


def _fake(
    input: Tensor, weight: Tensor, bias: Tensor, n_pieces: int, *_: Any
) -> tuple[Tensor, Tensor]:
    shape = (input.shape[0], bias.shape[0] // n_pieces)
    return input.new_empty(shape), input.new_empty(shape, dtype=torch.uint8)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    input, weight, _, n_pieces, include_probability, seed, step, stream, first_row = inputs
    _, winner = output
    ctx.mark_non_differentiable(winner)
    ctx.set_materialize_grads(False)
    needs_input, needs_weight = ctx.needs_input_grad[:2]
    ctx.save_for_backward(winner, input if needs_weight else None, weight if needs_input else None)
    ctx.options = (n_pieces, include_probability, seed, step, stream, first_row)


def _backward(ctx: Any, gradient: Tensor | None, _: Any) -> tuple[Tensor | None, ...]:
    none: tuple[Tensor | None, ...] = (None,) * 9
    if gradient is None:
        return none
    winner, input, weight = ctx.saved_tensors
    needs_input, needs_weight, needs_bias = ctx.needs_input_grad[:3]
    delta, of_bias = maxout_linear_backward_op(gradient, winner, *ctx.options)
    return (
        torch.mm(delta, weight) if needs_input else None,
        torch.mm(delta.t(), input) if needs_weight else None,
        of_bias if needs_bias else None,
        *none[3:],
    )


def _backward_cpu(
    gradient: Tensor,
    winner: Tensor,
    n_pieces: int,
    include_probability: float,
    seed: Tensor | None,
    step: Tensor | None,
    stream: int,
    first_row: int,
) -> tuple[Tensor, Tensor]:
    n, n_units = winner.shape
    delta = torch.empty((n, n_units * n_pieces), dtype=gradient.dtype)
    of_bias = torch.empty(n_units * n_pieces, dtype=gradient.dtype)
    _core.maxout_backward(
        array(gradient),
        array(winner),
        delta.numpy(),
        of_bias.numpy(),
        n_pieces,
        *_mask(include_probability, seed, step, stream, first_row * n_units),
    )
    return delta, of_bias


def _backward_fake(
    gradient: Tensor, winner: Tensor, n_pieces: int, *_: Any
) -> tuple[Tensor, Tensor]:
    n, n_units = winner.shape
    return gradient.new_empty((n, n_units * n_pieces)), gradient.new_empty(n_units * n_pieces)


def _backward_setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    _, winner, *options = inputs
    ctx.save_for_backward(winner)
    ctx.set_materialize_grads(False)
    ctx.options = options


def _backward_backward(
    ctx: Any, of_delta: Tensor | None, of_bias: Tensor | None
) -> tuple[Tensor | None, ...]:
    """Turn the (linear) backward pass around: the winners' entries, through the same mask."""
    none: tuple[Tensor | None, ...] = (None,) * 8
    (winner,) = ctx.saved_tensors
    n_pieces, include_probability, seed, step, stream, first_row = ctx.options
    if of_bias is not None:
        of_delta = of_bias.expand(winner.shape[0], -1) if of_delta is None else of_delta + of_bias
    if of_delta is None:
        return none
    pieces = of_delta.reshape(*winner.shape, n_pieces)
    won = pieces.gather(2, winner.long().unsqueeze(2)).squeeze(2)
    if include_probability < 1:
        won = dropout_op(won, include_probability, seed, step, stream, first_row)
    return won, *none[1:]


maxout_linear_op = register(
    "maxout_linear(Tensor input, Tensor weight, Tensor bias, int n_pieces, "
    "float include_probability, Tensor? seed, Tensor? step, int stream, SymInt first_row) "
    "-> (Tensor, Tensor)",
    cpu=_cpu,
    fake=_fake,
    backward=_backward,
    setup_context=_setup_context,
)

# The gradient of the products (zero but at the winners) and its sum over rows, the bias gradient.
maxout_linear_backward_op = register(
    "maxout_linear_backward(Tensor gradient, Tensor winner, int n_pieces, "
    "float include_probability, Tensor? seed, Tensor? step, int stream, SymInt first_row) "
    "-> (Tensor, Tensor)",
    cpu=_backward_cpu,
    fake=_backward_fake,
    backward=_backward_backward,
    setup_context=_backward_setup_context,
)
