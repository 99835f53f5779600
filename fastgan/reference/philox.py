"""Philox 4x32-10 in 64-bit integer arithmetic, and the numbers that are made of its words.

Source: Salmon, Moraes, Dror, Shaw, *Parallel Random Numbers: As Easy as 1, 2, 3*, SC 2011.

The key is (seed low, seed high), the counter (block low, block high, step, stream). Element ``e``
takes word ``e % 4`` of block ``e // 4``, where ``e`` counts the elements of the whole batch row by
row. A 32-bit word is held in an int64 tensor, from 0 to 2**32 - 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_INCREMENTS = (0x9E3779B9, 0xBB67AE85)  # the golden ratio and sqrt(3) - 1
N_ROUNDS = 10
MASK = 0xFFFFFFFF

Words = tuple[Tensor, Tensor, Tensor, Tensor]


def philox(counter: Words, key: tuple[Tensor, Tensor]) -> Words:
    """Return the four words of each counter: ten rounds of the bijection.

    A product of two 32-bit words may pass 2**63; int64 then wraps, and its 64 bits are still the
    product's.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(N_ROUNDS):
        product_0 = c0 * MULTIPLIERS[0]
        product_1 = c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            (product_1 >> 32 & MASK) ^ c1 ^ k0,
            product_1 & MASK,
            (product_0 >> 32 & MASK) ^ c3 ^ k1,
            product_0 & MASK,
        )
        k0 = (k0 + KEY_INCREMENTS[0]) & MASK
        k1 = (k1 + KEY_INCREMENTS[1]) & MASK
    return c0, c1, c2, c3


def words(first: int, n: int, seed: int | Tensor, step: int | Tensor, stream: int) -> Tensor:
    """Return the words of elements ``first`` to ``first + n - 1``: int64 (n,)."""
    seed = as_scalar(seed)
    step = as_scalar(step).to(seed.device)  # drawn where the seed is
    first_block = first // 4
    n_blocks = -(-(first + n) // 4) - first_block
    block = first_block + torch.arange(n_blocks, dtype=torch.int64, device=seed.device)
    counter = (
        block & MASK,
        block >> 32,
        (step & MASK).expand(n_blocks),
        torch.full_like(block, stream),
    )
    four = philox(counter, (seed & MASK, seed >> 32 & MASK))
    skip = first - 4 * first_block
    return torch.stack(four, dim=1).reshape(-1)[skip : skip + n]


def uniform(
    shape: Sequence[int],
    seed: int | Tensor,
    step: int | Tensor,
    stream: int,
    *,
    first_row: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return numbers in [0, 1): ``(word >> 8) * 2**-24``."""
    first, n = _span(shape, first_row)
    drawn = words(first, n, seed, step, stream)
    return ((drawn >> 8).to(dtype) * 2.0**-24).reshape(tuple(shape))


def normal(
    shape: Sequence[int],
    seed: int | Tensor,
    step: int | Tensor,
    stream: int,
    *,
    first_row: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return standard normal numbers by Box and Muller's transform of the words of each pair.

    Elements ``2p`` and ``2p + 1`` are ``r cos(2 pi u2)`` and ``r sin(2 pi u2)`` with
    ``r = sqrt(-2 ln u1)``, ``u1 = ((w[2p] >> 8) + 1) * 2**-24`` and
    ``u2 = (w[2p + 1] >> 8) * 2**-24``.
    Computed in float64, then rounded to ``dtype``.
    """
    first, n = _span(shape, first_row)
    skip = first % 2
    pairs = words(first - skip, n + skip + (n + skip) % 2, seed, step, stream).reshape(-1, 2)
    u1 = ((pairs[:, 0] >> 8) + 1).double() * 2.0**-24
    u2 = (pairs[:, 1] >> 8).double() * 2.0**-24
    radius = torch.sqrt(-2.0 * torch.log(u1))
    cosine, sine = _cos_sin_of_turns(u2)
    both = torch.stack((radius * cosine, radius * sine), dim=1).reshape(-1)
    return both[skip : skip + n].to(dtype).reshape(tuple(shape))


def permutation(n: int, seed: int | Tensor, step: int | Tensor, stream: int) -> Tensor:
    """Return the stable order of ``n`` unsigned 64-bit keys (low ``w[2i]``, high ``w[2i + 1]``)."""
    drawn = words(0, 2 * n, seed, step, stream).reshape(-1, 2)
    # An unsigned order is the signed order with the highest bit turned over.
    key = (drawn[:, 1] << 32 | drawn[:, 0]) ^ torch.iinfo(torch.int64).min
    return torch.argsort(key, stable=True)


def keep(
    first: int,
    n: int,
    include_probability: float,
    seed: int | Tensor,
    step: int | Tensor,
    stream: int,
) -> Tensor:
    """Return which of elements ``first`` to ``first + n - 1`` are kept: bool (n,)."""
    return words(first, n, seed, step, stream) < threshold(include_probability)


def threshold(include_probability: float) -> int:
    """Return ``round(include_probability * 2**32)``: a word below it keeps its element.

    The product is exact (a scaling by a power of two), so only the rounding to the nearest integer
    (halves to even) rounds. Probability 1 gives 2**32, which keeps every word.
    """
    return round(include_probability * 2.0**32)


def as_scalar(value: int | Tensor) -> Tensor:
    """Return an int64 tensor of no dimension."""
    return value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.int64)


def _span(shape: Sequence[int], first_row: int) -> tuple[int, int]:
    """Return the number of the first element and how many there are."""
    n_columns = math.prod(shape[1:])
    return first_row * n_columns, shape[0] * n_columns


def _cos_sin_of_turns(turns: Tensor) -> tuple[Tensor, Tensor]:
    """Return cos and sin of ``2 pi turns``, reduced to an eighth of a turn before 2 pi rounds.

    A plain ``cos(2 * pi * u)`` gives 6e-17 at a quarter of a turn, where the value is 0.
    """
    quarter = torch.round(4.0 * turns)
    rest = 2.0 * math.pi * (turns - 0.25 * quarter)  # the difference is exact
    cosine, sine = torch.cos(rest), torch.sin(rest)
    quarter = quarter.long() % 4
    return (
        torch.where(quarter % 2 == 0, cosine, sine) * torch.where((quarter + 1) % 4 < 2, 1.0, -1.0),
        torch.where(quarter % 2 == 0, sine, cosine) * torch.where(quarter < 2, 1.0, -1.0),
    )
