"""Matrix products as tensor cores make them, in NumPy: operands split or cut, sums truncated.

What is emulated is what Triton 3.7 compiles ``tl.dot(..., input_precision=...)`` to, read off its
intermediate code (a ``tl.dot`` of two float32 tiles; tests read it again for sm_80):

- ``tf32``: the operands go to the tensor core as they are, which ignores their low 13 bits; the
  accumulator goes through it.
- ``tf32x3``: big = a rounded to tf32 (``cvt.rna``: to nearest, ties away from zero) and small =
  a - big, whose low bits the tensor core ignores in turn. From a zero accumulator small big, then
  big small, then big big; what a block makes is added to the kernel's accumulator in float32.
- ``bf16x3``, ``bf16x6``: two or three bfloat16 numbers, each rounded to nearest even from what the
  former left; products from the smallest to the largest, from zero and added outside likewise.
- ``ieee``: no tensor core on NVIDIA, a chain of fused multiply-adds in the order of the features;
  gfx942's ``v_mfma_f32_*_f32`` is taken for the same.

What is assumed of the tensor cores, as NVIDIA documents none of it: products are exact; a few of
them and the accumulator are aligned to the largest of all, cut off toward zero some bits below a
float32's last, added exactly, and the sum cut off toward zero to a float32 (Fasi, Higham, Mikaitis
and Pranesh, *Numerical behavior of NVIDIA tensor cores*, PeerJ Computer Science 7:e330, 2021;
Khattak and Mikaitis, *Accurate models of NVIDIA tensor cores*, arXiv:2512.07004, 2025). How many
products, and how many bits, depends on the chip. Those of B200 are taken for H100's, bfloat16 on
MI300X for A100's; ``COARSEST`` keeps no extra bit, as V100 did. Numbers below 2^-100 are not meant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
PRECISIONS = ("tf32", "tf32x3", "bf16x3", "bf16x6", "ieee")
# Which parts of the factors are multiplied, in turn; 0 is the largest.
ORDERS = {
    "tf32x3": ((1, 0), (0, 1), (0, 0)),
    "bf16x3": ((1, 0), (0, 1), (0, 0)),
    "bf16x6": ((1, 1), (2, 0), (0, 2), (1, 0), (0, 1), (0, 0)),
}
BLOCK_FEATURES = 32  # that a kernel's step takes at once
TILE = 64  # queries and samples at once: a step's products (256 KB) stay in a core's cache


@dataclass(frozen=True)
class TensorCore:
    """How a chip adds: so many products at once, cut off so many bits below a float32's last."""

    name: str
    tf32_terms: int
    bf16_terms: int
    extra_bits: int


COARSEST = TensorCore("coarsest", tf32_terms=4, bf16_terms=4, extra_bits=0)
CHIPS = {
    "sm_80": TensorCore("A100", tf32_terms=4, bf16_terms=8, extra_bits=1),
    "sm_90": TensorCore("H100", tf32_terms=8, bf16_terms=16, extra_bits=2),
    "sm_100": TensorCore("B200", tf32_terms=8, bf16_terms=16, extra_bits=2),
    "gfx942": TensorCore("MI300X", tf32_terms=4, bf16_terms=8, extra_bits=1),
}


def dot(a: Floats, b: Floats, accumulator: Floats, precision: str, chip: TensorCore) -> Floats:
    """Return ``a b + accumulator`` as one ``tl.dot`` makes it.

    Parameters
    ----------
    a : array of shape (n_rows, n_features), float32
    b : array of shape (n_features, n_columns), float32
    accumulator : array of shape (n_rows, n_columns), float32
    precision : str
        One of ``PRECISIONS``.
    chip : TensorCore

    Returns
    -------
    array of shape (n_rows, n_columns), float32

    Raises
    ------
    ValueError
        If the precision is unknown, or a number is not finite.
    """
    for name, values in (("a", a), ("b", b), ("accumulator", accumulator)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name}: expected finite numbers")
    if precision == "ieee":
        return _chain(a, b, accumulator)
    if precision == "tf32":
        return _summed(cut_to_tf32(a), cut_to_tf32(b), accumulator, chip.tf32_terms, chip)
    if precision not in ORDERS:
        known = ", ".join(PRECISIONS)
        raise ValueError(f"precision: expected one of {known}, got {precision!r}")
    order = ORDERS[precision]
    if precision == "tf32x3":
        left, right = (_split_tf32(values) for values in (a, b))
        n_terms = chip.tf32_terms
    else:
        n_parts = 1 + max(i for i, _ in order)
        left, right = (_split_bf16(values, n_parts) for values in (a, b))
        n_terms = chip.bf16_terms
    total = np.zeros_like(accumulator)
    for i, j in order:
        total = _summed(left[i], right[j], total, n_terms, chip)
    return total + accumulator


def product(queries: Floats, rows: Floats, precision: str, chip: TensorCore) -> Floats:
    """Return all scalar products, ``BLOCK_FEATURES`` at once as the kernels take them.

    Parameters
    ----------
    queries : array of shape (n_queries, n_features), float32
    rows : array of shape (n_rows, n_features), float32
    precision, chip
        As in :func:`dot`.

    Returns
    -------
    array of shape (n_queries, n_rows), float32
    """
    found = np.empty((len(queries), len(rows)), np.float32)
    for top in range(0, len(queries), TILE):
        for left in range(0, len(rows), TILE):
            asked, some = queries[top : top + TILE], rows[left : left + TILE]
            tile = np.zeros((len(asked), len(some)), np.float32)
            for first in range(0, queries.shape[1], BLOCK_FEATURES):
                block = slice(first, first + BLOCK_FEATURES)
                tile = dot(asked[:, block], some[:, block].T, tile, precision, chip)
            found[top : top + TILE, left : left + TILE] = tile
    return found


def cut_to_tf32(values: Floats) -> Floats:
    """Return float32 numbers without their low 13 bits: what a tensor core sees of them."""
    return _from_bits(_bits(values) & np.uint32(0xFFFFE000))


def round_to_tf32(values: Floats) -> Floats:
    """Round float32 numbers to tf32's 11 significant bits: to nearest, ties away from zero."""
    return _from_bits((_bits(values) + np.uint32(0x1000)) & np.uint32(0xFFFFE000))


def round_to_bf16(values: Floats) -> Floats:
    """Round float32 numbers to bfloat16's 8 significant bits: to nearest, ties to even."""
    bits = _bits(values)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    return _from_bits((bits + np.uint32(0x7FFF) + odd) & np.uint32(0xFFFF0000))


def cut_to_float32(values: NDArray[np.float64]) -> Floats:
    """Cut float64 numbers off to float32's 24 significant bits, toward zero."""
    bits = np.ascontiguousarray(values).view(np.uint64) & np.uint64(0xFFFFFFFFE0000000)
    return bits.view(np.float64).astype(np.float32)


def _split_tf32(values: Floats) -> tuple[Floats, ...]:
    big = round_to_tf32(values)
    return big, cut_to_tf32(values - big)


def _split_bf16(values: Floats, n_parts: int) -> tuple[Floats, ...]:
    parts, rest = [], values
    for _ in range(n_parts):
        parts.append(round_to_bf16(rest))
        rest = rest - parts[-1]
    return tuple(parts)


def _chain(a: Floats, b: Floats, accumulator: Floats) -> Floats:
    """Add product by product, each sum rounded to nearest (first to float64's 53 bits)."""
    left, right = a.astype(np.float64), b.astype(np.float64)
    total = accumulator
    for feature in range(a.shape[1]):
        sums = left[:, feature, None] * right[feature] + total
        total = sums.astype(np.float32)
    return total


def _summed(a: Floats, b: Floats, accumulator: Floats, n_terms: int, chip: TensorCore) -> Floats:
    """Add ``n_terms`` products and the accumulator at once, again and again."""
    left, right = a.T.astype(np.float64), b.astype(np.float64)
    total = accumulator
    for first in range(0, len(left), n_terms):
        block = slice(first, first + n_terms)
        products = left[block, :, None] * right[block, None, :]  # exact: 22 bits of 53
        start = total.astype(np.float64)
        largest = np.maximum(products.max(axis=0), -products.min(axis=0))
        unit = _power_below(np.maximum(largest, np.abs(start)))
        unit *= 2.0 ** -(23 + chip.extra_bits)
        np.maximum(unit, np.finfo(np.float32).tiny, out=unit)  # all zero: any unit will do
        scale = 1.0 / unit  # a power of two: exact
        products *= scale
        sums = np.trunc(products, out=products).sum(axis=0)  # of integers below 2^30: exact
        sums += np.trunc(start * scale)
        total = cut_to_float32(sums * unit)
    return total


def _power_below(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest power of two not above each number; 0 of 0."""
    return (values.view(np.uint64) & np.uint64(0x7FF0000000000000)).view(np.float64)


def _bits(values: Floats) -> NDArray[np.uint32]:
    return np.ascontiguousarray(values).view(np.uint32)


def _from_bits(bits: NDArray[np.uint32]) -> Floats:
    return bits.view(np.float32)
