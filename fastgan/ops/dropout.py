"""Dropout whose mask is never stored: it is a function of seed, step, stream and position."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from fastgan import _core, backends
from fastgan.checks import check_floating, check_probability
from fastgan.ops._autocast import as_single
from fastgan.ops._draw import as_key, as_tensor, check_draw, check_span
from fastgan.ops._registry import array, register
from fastgan.reference.dropout import dropout as reference_dropout


def dropout(
    input: Tensor,
    include_probability: float,
    seed: int | Tensor,
    step: int | Tensor,
    stream: int,
    first_row: int = 0,
    *,
    impl: str = "auto",
) -> Tensor:
    """Keep each element with a probability and scale what is kept; the rest becomes zero.

    ``output = input * (1 / include_probability)`` where
    ``word(e) < round(include_probability * 2**32)``, else 0 (a dropped NaN too), with
    ``e = (first_row + row) * n_columns + column``. The backward pass draws the mask again.

    Parameters
    ----------
    input : Tensor of shape (n_rows, ...), float32 or float64
        Dimensions after the first count as columns.
    include_probability : float
        The probability of KEEPING an element, above 0 and at most 1. With 1 the input itself is
        returned, untouched.
    seed : int or int64 tensor of no dimension
        Any 64-bit number.
    step : int or int64 tensor of no dimension
        0 to 2**32 - 1.
    stream : int
        0 to 2**32 - 1; see :func:`fastgan.streams.stream`.
    first_row : int
        The number of the first row within the whole batch.
    impl : str
        ``auto``, ``reference``, ``native`` or ``triton``.

    Returns
    -------
    Tensor
        Of the shape and dtype of ``input``.

    Raises
    ------
    TypeError
        If ``input`` is not a float32 or float64 tensor, or a number is of the wrong kind.
    ValueError
        If an argument is out of its range.

    Notes
    -----
    Under ``torch.autocast`` a float16 or bfloat16 input is taken as float32, and so is the result.

    Source: Srivastava et al., *Dropout*, JMLR 2014; include probability and scale as in the paper's
    released recipes.
    """
    (input,) = as_single(input)
    check_floating("input", input)
    if input.ndim == 0:
        raise ValueError("input: expected shape (n_rows, ...), got shape ()")
    check_probability("include_probability", include_probability)
    check_draw(seed, step, stream, first_row, input.device)
    n_rows = input.shape[0]
    check_span(first_row, n_rows, input.shape[1:].numel())
    chosen = backends.resolve_impl("dropout", impl, input.device)
    if include_probability == 1:
        return input
    if chosen == "reference":
        return reference_dropout(input, include_probability, seed, step, stream, first_row)
    seed, step = as_tensor(seed, input.device), as_tensor(step, input.device)
    op = dropout_op if chosen == "native" or input.is_cuda else dropout_triton_op
    result: Tensor = op(input, include_probability, seed, step, stream, first_row)
    return result


def _cpu(
    input: Tensor,
    include_probability: float,
    seed: Tensor,
    step: Tensor,
    stream: int,
    first_row: int,
) -> Tensor:
    output = torch.empty(input.shape, dtype=input.dtype)
    _core.dropout(
        array(input).reshape(-1),
        output.numpy().reshape(-1),
        include_probability,
        *as_key(seed, step),
        stream,
        first_row * input.shape[1:].numel(),
        torch.get_num_threads(),
    )
    return output


def _fake(input: Tensor, *_: Any) -> Tensor:
    return torch.empty(input.shape, dtype=input.dtype, device=input.device)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.draw = inputs[1:]


# A product with the same mask, so each op is its own backward pass (and that one's, and so on).
def _backward(by_triton: bool, ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    op = dropout_triton_op if by_triton else dropout_op
    return op(gradient, *ctx.draw), None, None, None, None, None


def _triton(input: Tensor, *draw: Any) -> Tensor:
    from fastgan.kernels.dropout import dropout as launch  # triton, only when asked for

    output: Tensor = launch(input.detach(), *draw)
    return output


_ARGUMENTS = (
    "(Tensor input, float include_probability, Tensor seed, Tensor step, int stream, "
    "SymInt first_row) -> Tensor"
)
dropout_op = register(
    "dropout" + _ARGUMENTS,
    cpu=_cpu,
    cuda=_triton,
    fake=_fake,
    backward=functools.partial(_backward, False),
    setup_context=_setup_context,
    in_single_precision=True,
)
# By Triton on every device: for the CPU, where that is Triton's interpreter.
dropout_triton_op = register(
    "dropout_triton" + _ARGUMENTS,
    every_device=_triton,
    fake=_fake,
    backward=functools.partial(_backward, True),
    setup_context=_setup_context,
    in_single_precision=True,
)
