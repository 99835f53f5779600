"""A dense layer of maxout units: product, bias, maximum over pieces, winner, dropout."""

from __future__ import annotations

import functools
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
from fastgan.ops._autocast import as_single, switched_off
from fastgan.ops._draw import as_tensor, check_draw, check_span
from fastgan.ops._maxout_linear_backward import (
    maxout_linear_backward_op,
    maxout_linear_backward_triton_op,
    native_mask,
    plain,
)
from fastgan.ops._products import forward_product
from fastgan.ops._registry import array, register
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
        ``auto``, ``reference``, ``native`` or ``triton``.

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
    Under ``torch.autocast`` tensors of float16 and bfloat16 are taken as float32; the products are
    of float32, and so are the values.

    Source: Goodfellow et al., *Maxout Networks*, ICML 2013.
    """
    input, weight, bias = as_single(input, weight, bias)
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
    chosen = backends.resolve_impl("maxout_linear", impl, input.device)
    if chosen == "reference":
        with switched_off(input.device):
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
    op = maxout_linear_op if chosen == "native" or input.is_cuda else maxout_linear_triton_op
    values, winner = op(
        input,
        weight,
        bias,
        n_pieces,
        include_probability,
        None if seed is None else as_tensor(seed, input.device),
        None if step is None else as_tensor(step, input.device),
        0 if stream is None else stream,
        first_row,
    )
    return values, winner


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
    products = forward_product(input, weight)
    n_units = bias.shape[0] // n_pieces
    values = torch.empty((input.shape[0], n_units), dtype=input.dtype)
    winner = torch.empty((input.shape[0], n_units), dtype=torch.uint8)
    _core.maxout_forward(
        array(products),
        array(bias),
        values.numpy(),
        winner.numpy(),
        n_pieces,
        *native_mask(include_probability, seed, step, stream, first_row * n_units),
    )
    return values, winner


def _triton(
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
    from fastgan.kernels.masks import Mask  # triton, only when asked for
    from fastgan.kernels.maxout_linear import maxout_forward

    mask = None
    if include_probability < 1 and seed is not None and step is not None:
        mask = Mask(include_probability, seed, step, stream, first_row=first_row)
    values, winner = _fake(input, weight, bias, n_pieces)
    input, weight, bias = plain(input, weight, bias)
    maxout_forward(input, weight, bias, n_pieces, mask, values, winner)
    return values, winner


def _fake(
    input: Tensor, weight: Tensor, bias: Tensor, n_pieces: int, *_: Any
) -> tuple[Tensor, Tensor]:
    shape = (input.shape[0], bias.shape[0] // n_pieces)
    return input.new_empty(shape), input.new_empty(shape, dtype=torch.uint8)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    input, weight, _, *options = inputs
    _, winner = output
    ctx.mark_non_differentiable(winner)
    ctx.set_materialize_grads(False)
    needs_input, needs_weight = ctx.needs_input_grad[:2]
    ctx.save_for_backward(winner, input if needs_weight else None, weight if needs_input else None)
    ctx.options = options


def _backward(
    by_triton: bool, ctx: Any, gradient: Tensor | None, _: Any
) -> tuple[Tensor | None, ...]:
    none: tuple[Tensor | None, ...] = (None,) * 9
    if gradient is None:
        return none
    winner, input, weight = ctx.saved_tensors
    op = maxout_linear_backward_triton_op if by_triton else maxout_linear_backward_op
    gradients = op(gradient, winner, input, weight, ctx.needs_input_grad[2], *ctx.options)
    wanted = zip(gradients, ctx.needs_input_grad, strict=False)
    return (*(found if needed else None for found, needed in wanted), *none[3:])


_ARGUMENTS = (
    "(Tensor input, Tensor weight, Tensor bias, int n_pieces, "
    "float include_probability, Tensor? seed, Tensor? step, int stream, SymInt first_row) "
    "-> (Tensor, Tensor)"
)
maxout_linear_op = register(
    "maxout_linear" + _ARGUMENTS,
    cpu=_cpu,
    cuda=_triton,
    fake=_fake,
    backward=functools.partial(_backward, False),
    setup_context=_setup_context,
    in_single_precision=True,
)
# By Triton on every device: for the CPU, where that is Triton's interpreter.
maxout_linear_triton_op = register(
    "maxout_linear_triton" + _ARGUMENTS,
    every_device=_triton,
    fake=_fake,
    backward=functools.partial(_backward, True),
    setup_context=_setup_context,
    in_single_precision=True,
)
