"""Random numbers that are functions of (seed, step, stream, position): Philox 4x32-10.

Key = (seed low, seed high), counter = (block low, block high, step, stream). Element ``e`` takes
word ``e % 4`` of block ``e // 4``, where ``e = (first_row + row) * n_columns + column``, so a part
of a batch draws what the whole would have drawn. The same bits come on every device, SIMD level,
thread count and chunking; normal numbers agree to 2 units in the last place of float32.

Source: Salmon, Moraes, Dror, Shaw, *Parallel Random Numbers: As Easy as 1, 2, 3*, SC 2011.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from fastgan import _core, backends
from fastgan.checks import FLOATING, check_integer
from fastgan.ops._draw import as_key, as_tensor, check_draw, check_span
from fastgan.reference import philox as reference

CPU = torch.device("cpu")


def uniform(
    shape: Sequence[int],
    seed: int | Tensor,
    step: int | Tensor,
    stream: int,
    *,
    first_row: int = 0,
    dtype: torch.dtype = torch.float32,
    impl: str = "auto",
) -> Tensor:
    """Return uniform numbers in [0, 1): ``(word >> 8) * 2**-24``, in either dtype.

    Parameters
    ----------
    shape : sequence of int
        (n_rows,) or (n_rows, n_columns); further dimensions count as columns.
    seed : int or int64 tensor of no dimension
        Any 64-bit number. A tensor's device is where the result is made.
    step : int or int64 tensor of no dimension
        0 to 2**32 - 1.
    stream : int
        0 to 2**32 - 1; see :func:`fastgan.streams.stream`.
    first_row : int
        The number of the first row within the whole batch.
    dtype : torch.dtype
        float32 or float64.
    impl : str
        ``auto``, ``reference``, ``native`` or ``triton``.

    Returns
    -------
    Tensor
        Of the given shape and dtype.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range or of the wrong kind.
    """
    device = _check(shape, seed, step, stream, first_row, dtype)
    chosen = backends.resolve_impl("uniform", impl, device)
    if chosen == "reference":
        return reference.uniform(shape, seed, step, stream, first_row=first_row, dtype=dtype)
    if chosen == "triton":
        from fastgan.kernels.philox import uniform as launch  # triton, only when asked for

        return _launch(launch, shape, seed, step, stream, first_row, dtype, device)
    return _fill(_core.philox_uniform, shape, seed, step, stream, first_row, dtype)


def normal(
    shape: Sequence[int],
    seed: int | Tensor,
    step: int | Tensor,
    stream: int,
    *,
    first_row: int = 0,
    dtype: torch.dtype = torch.float32,
    impl: str = "auto",
) -> Tensor:
    """Return standard normal numbers by the transform of Box and Muller.

    Elements ``2p`` and ``2p + 1`` use words ``2p`` and ``2p + 1``, with ``u1`` in (0, 1] and ``u2``
    in [0, 1) of 24 bits each: ``sqrt(-2 ln u1)`` times ``cos(2 pi u2)`` and ``sin(2 pi u2)``. The
    largest magnitude is 5.77.

    Parameters, result and errors are those of :func:`uniform`.
    """
    device = _check(shape, seed, step, stream, first_row, dtype)
    chosen = backends.resolve_impl("normal", impl, device)
    if chosen == "reference":
        return reference.normal(shape, seed, step, stream, first_row=first_row, dtype=dtype)
    if chosen == "triton":
        from fastgan.kernels.philox import normal as launch  # triton, only when asked for

        return _launch(launch, shape, seed, step, stream, first_row, dtype, device)
    return _fill(_core.philox_normal, shape, seed, step, stream, first_row, dtype)


def permutation(
    n: int, seed: int | Tensor, step: int | Tensor, stream: int, *, impl: str = "auto"
) -> Tensor:
    """Return a random order of the numbers 0 to ``n - 1``.

    It is the stable order of ``n`` unsigned 64-bit words, so it is the same everywhere.

    Parameters
    ----------
    n : int
        How many, 0 or more.
    seed, step, stream, impl
        As in :func:`uniform`.

    Returns
    -------
    Tensor
        int64, shape (n,).
    """
    check_integer("n", n, 0)
    device = _check((n, 2), seed, step, stream, 0, torch.float32)
    chosen = backends.resolve_impl("permutation", impl, device)
    if chosen == "reference":
        return reference.permutation(n, seed, step, stream)
    if chosen == "triton":
        from fastgan.kernels.philox import sort_keys  # triton, only when asked for

        keys = torch.empty(n, dtype=torch.int64, device=device)
        sort_keys(keys, as_tensor(seed, device), as_tensor(step, device), stream)
        return torch.sort(keys, stable=True).indices
    out = torch.empty(n, dtype=torch.int64)
    _core.philox_permutation(out.numpy(), *as_key(seed, step), stream, torch.get_num_threads())
    return out


def _fill(
    kernel: Callable[..., None],
    shape: Sequence[int],
    seed: int | Tensor,
    step: int | Tensor,
    stream: int,
    first_row: int,
    dtype: torch.dtype,
) -> Tensor:
    out = torch.empty(tuple(shape), dtype=dtype)
    first = first_row * math.prod(shape[1:])
    kernel(out.view(-1).numpy(), *as_key(seed, step), stream, first, torch.get_num_threads())
    return out


def _launch(
    kernel: Callable[..., None],
    shape: Sequence[int],
    seed: int | Tensor,
    step: int | Tensor,
    stream: int,
    first_row: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    out = torch.empty(tuple(shape), dtype=dtype, device=device)
    first = first_row * math.prod(shape[1:])
    kernel(out, as_tensor(seed, device), as_tensor(step, device), stream, first)
    return out


def _check(
    shape: Any, seed: Any, step: Any, stream: Any, first_row: Any, dtype: Any
) -> torch.device:
    """Raise unless the arguments are right; return the device of the result."""
    if not isinstance(shape, Sequence):
        raise TypeError(f"shape: expected a sequence of integers, got {shape!r}")
    if len(shape) == 0:
        raise ValueError(f"shape: expected (n_rows,) or (n_rows, n_columns), got {shape!r}")
    for size in shape:
        check_integer("shape", size, 0)
    if dtype not in FLOATING:
        raise TypeError(f"dtype: expected torch.float32 or torch.float64, got {dtype!r}")
    check_draw(seed, step, stream, first_row)
    check_span(first_row, shape[0], math.prod(shape[1:]))
    devices = [value.device for value in (seed, step) if isinstance(value, Tensor)]
    if len(devices) == 2 and devices[0] != devices[1]:
        raise ValueError(f"step: expected device {devices[0]} like seed, got {devices[1]}")
    return devices[0] if devices else CPU
