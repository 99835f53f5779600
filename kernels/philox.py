"""Philox 4x32-10 inside a kernel, and the kernel that writes the numbers made of its words."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from fastgan.kernels.launch import ARCHITECTURES, Configuration, Kernel

PHILOX_ROUNDS = tl.constexpr(10)
SQRT_3 = tl.constexpr(1.7320508075688772)
LN_2 = tl.constexpr(0.6931471805599453)
TURN = tl.constexpr(6.283185307179586 * 2.0**-24)  # 2 pi in units of 2^-24 of a turn


@triton.jit
def four_words(block, seed, step, stream):
    """Return the four words of each block, uint32 tensors of its shape.

    block is an int64 tensor, seed and step are int64 scalars, stream is a scalar or a tensor of
    integers of 32 bits. The counters are given to tl.philox as 32-bit numbers: 64-bit ones would
    switch it to another generator, and tl.rand has no room for step and stream.
    """
    zero = (block * 0).to(tl.uint32)
    return tl.philox(
        seed,
        (block & 0xFFFFFFFF).to(tl.uint32),
        (block >> 32 & 0xFFFFFFFF).to(tl.uint32),
        zero + (step & 0xFFFFFFFF).to(tl.uint32),
        zero + stream.to(tl.uint32),
        n_rounds=PHILOX_ROUNDS,
    )


@triton.jit
def words_of_blocks(first_block, seed, step, stream, BLOCK_PHILOX: tl.constexpr):
    """Return the words of elements 4 first_block ... 4 (first_block + BLOCK_PHILOX) - 1, uint32.

    first_block is an int64 scalar; the others are those of four_words.
    """
    block = first_block + tl.arange(0, BLOCK_PHILOX).to(tl.int64)
    w0, w1, w2, w3 = four_words(block, seed, step, stream)
    return tl.reshape(tl.join(tl.join(w0, w2), tl.join(w1, w3)), [4 * BLOCK_PHILOX])


@triton.jit
def log_of_24_bits(k):
    """Return ln(k 2^-24), float64, for k from 1 to 2^24, int32.

    k = m 2^e with m in [sqrt(1/2), sqrt(2)); then ln m = 2 artanh(s), s = (m - 1) / (m + 1), by
    Taylor's series, cut where the next term is below 2^-55 of the sum: |s| < 0.1716. These are the
    native core's operations in their order, so the two have the same bits.
    """
    # 0x3FE6A09E667F3BCD: the bits of sqrt(1/2); 0x3FF0000000000000: of 1
    bits = k.to(tl.float64).to(tl.int64, bitcast=True) + (0x3FF0000000000000 - 0x3FE6A09E667F3BCD)
    e = ((bits >> 52) - (1023 + 24)).to(tl.float64)
    m = ((bits & 0x000FFFFFFFFFFFFF) + 0x3FE6A09E667F3BCD).to(tl.float64, bitcast=True)
    s = (m - 1.0) / (m + 1.0)
    s2 = s * s
    series = s2 * (1.0 / 21.0) + 1.0 / 19.0
    series = series * s2 + 1.0 / 17.0
    series = series * s2 + 1.0 / 15.0
    series = series * s2 + 1.0 / 13.0
    series = series * s2 + 1.0 / 11.0
    series = series * s2 + 1.0 / 9.0
    series = series * s2 + 1.0 / 7.0
    series = series * s2 + 1.0 / 5.0
    series = series * s2 + 1.0 / 3.0
    twice = s * 2.0
    return e * LN_2 + (twice + twice * (series * s2))


@triton.jit
def sine(x, x2):
    """Return sin x, float64, for |x| of at most pi / 4, with x2 = x x: Taylor's series."""
    series = x2 * (1.0 / 355687428096000.0) - 1.0 / 1307674368000.0  # 17!, 15!
    series = series * x2 + 1.0 / 6227020800.0
    series = series * x2 - 1.0 / 39916800.0
    series = series * x2 + 1.0 / 362880.0
    series = series * x2 - 1.0 / 5040.0
    series = series * x2 + 1.0 / 120.0
    series = series * x2 - 1.0 / 6.0
    return x + x * (series * x2)


@triton.jit
def cosine(x2):
    """Return cos x, float64, for |x| of at most pi / 4, of x2 = x x: Taylor's series."""
    series = x2 * (1.0 / 20922789888000.0) - 1.0 / 87178291200.0  # 16!, 14!
    series = series * x2 + 1.0 / 479001600.0
    series = series * x2 - 1.0 / 3628800.0
    series = series * x2 + 1.0 / 40320.0
    series = series * x2 - 1.0 / 720.0
    series = series * x2 + 1.0 / 24.0
    return 1.0 - (x2 * 0.5 - (x2 * x2) * series)


@triton.jit
def box_muller(first, second):
    """Return both normal numbers, float64, of each pair of words, uint32.

    sqrt(-2 ln u1) times cos(2 pi u2) and sin(2 pi u2), u1 of the first word's leading 24 bits, in
    (0, 1], and u2 of the second's, in [0, 1). The nearest quarter of a turn is taken off exactly
    before 2 pi is multiplied in.
    """
    radius = tl.sqrt(log_of_24_bits((first >> 8).to(tl.int32) + 1) * -2.0)
    turn = (second >> 8).to(tl.int32)
    quarter = (turn + (1 << 21)) >> 22
    x = (turn - quarter * (1 << 22)).to(tl.float64) * TURN
    x2 = x * x
    s = sine(x, x2)
    c = cosine(x2)
    odd = (quarter & 1) != 0
    cosine_sign = (1 - ((quarter + 1) & 2)).to(tl.float64)
    sine_sign = (1 - (quarter & 2)).to(tl.float64)
    return radius * (tl.where(odd, s, c) * cosine_sign), radius * (tl.where(odd, c, s) * sine_sign)


# Not specialised: 1 would become a constant, and multiples of 16 would get a kernel of their own.
@triton.jit(do_not_specialize=["stream", "first", "n"])
def philox_kernel(
    output_pointer,
    seed_pointer,
    step_pointer,
    stream,
    first,
    n,
    KIND: tl.constexpr,
    BLOCK_PHILOX: tl.constexpr,
):
    """output[i] = the number of element first + i, for i < n.

    KIND is "words" (0 to 2^32 - 1), "uniform" (in [0, 1)), "centred" ((2 u - 1) sqrt 3 of the
    uniform u) or "normal". A program makes whole blocks of words, each once: its elements start at
    a multiple of four. Seed and step are read from the device, so a captured graph does not freeze
    them.
    """
    dtype = output_pointer.dtype.element_ty
    seed = tl.load(seed_pointer)
    step = tl.load(step_pointer)
    first_block = first // 4 + tl.program_id(0).to(tl.int64) * BLOCK_PHILOX
    index = (first_block * 4 - first) + tl.arange(0, 4 * BLOCK_PHILOX).to(tl.int64)
    inside = (index >= 0) & (index < n)
    if KIND == "normal":
        block = first_block + tl.arange(0, BLOCK_PHILOX).to(tl.int64)
        w0, w1, w2, w3 = four_words(block, seed, step, stream)
        even, odd = box_muller(tl.join(w0, w2), tl.join(w1, w3))
        value = tl.reshape(tl.join(even, odd), [4 * BLOCK_PHILOX]).to(dtype)
    else:
        words = words_of_blocks(first_block, seed, step, stream, BLOCK_PHILOX)
        if KIND == "words":
            value = words.to(dtype)
        else:
            # 24 bits: the conversion is exact, and so are the scalings and the difference
            uniform = (words >> 8).to(tl.int32).to(dtype) * (2.0**-24)
            value = uniform if KIND == "uniform" else (uniform * 2.0 - 1.0) * SQRT_3
    tl.store(output_pointer + index, value, mask=inside)


# Not specialised, as above.
@triton.jit(do_not_specialize=["stream", "n"])
def sort_keys_kernel(
    output_pointer, seed_pointer, step_pointer, stream, n, BLOCK_PHILOX: tl.constexpr
):
    """output[i] = word(2 i) + word(2 i + 1) 2^32 - 2^63, for i < n: unsigned, in signed order."""
    seed = tl.load(seed_pointer)
    step = tl.load(step_pointer)
    first_block = tl.program_id(0).to(tl.int64) * BLOCK_PHILOX
    block = first_block + tl.arange(0, BLOCK_PHILOX).to(tl.int64)
    w0, w1, w2, w3 = four_words(block, seed, step, stream)
    low = tl.reshape(tl.join(w0, w2), [2 * BLOCK_PHILOX]).to(tl.int64)
    high = tl.reshape(tl.join(w1, w3), [2 * BLOCK_PHILOX])
    key = (high ^ 0x80000000).to(tl.int32, bitcast=True).to(tl.int64) * 4294967296 + low
    index = first_block * 2 + tl.arange(0, 2 * BLOCK_PHILOX).to(tl.int64)
    tl.store(output_pointer + index, key, mask=index < n)


# One block of words a thread; a draw is too short for tiles to matter.
_CONFIGURATIONS = dict.fromkeys(ARCHITECTURES, (Configuration("128", {"BLOCK_PHILOX": 128}),))

PHILOX = Kernel(
    philox_kernel,
    _CONFIGURATIONS,
    key=["n"],
    options={"enable_fp_fusion": False},  # each operation is rounded, as on the CPU
)
SORT_KEYS = Kernel(sort_keys_kernel, _CONFIGURATIONS, key=["n"])


def words(
    output: torch.Tensor, seed: torch.Tensor, step: torch.Tensor, stream: int, first: int = 0
) -> None:
    """Write the words of elements first, first + 1, ... into ``output``, int64, contiguous.

    ``seed`` and ``step`` are int64 tensors of no dimension on its device, here and below.
    """
    _draw("words", output, seed, step, stream, first)


def uniform(
    output: torch.Tensor, seed: torch.Tensor, step: torch.Tensor, stream: int, first: int = 0
) -> None:
    """Write uniform numbers in [0, 1) into ``output``, float32 or float64, contiguous."""
    _draw("uniform", output, seed, step, stream, first)


def normal(
    output: torch.Tensor, seed: torch.Tensor, step: torch.Tensor, stream: int, first: int = 0
) -> None:
    """Write standard normal numbers into ``output``, float32 or float64, contiguous."""
    _draw("normal", output, seed, step, stream, first)


def latent(
    kind: str,
    output: torch.Tensor,
    seed: torch.Tensor,
    step: torch.Tensor,
    stream: int,
    first: int = 0,
) -> None:
    """Write z, (n, n_latent), float32 or float64, contiguous: a launch and nothing else.

    ``kind`` is "uniform", on (-sqrt 3, sqrt 3), or "normal": mean 0 and variance 1 in both.
    ``first`` is the number of the first element within the whole batch.
    """
    kinds = {"uniform": "centred", "normal": "normal"}
    if kind not in kinds:
        raise ValueError(f"kind: expected uniform or normal, got {kind!r}")
    _draw(kinds[kind], output, seed, step, stream, first)


def sort_keys(output: torch.Tensor, seed: torch.Tensor, step: torch.Tensor, stream: int) -> None:
    """Write what a permutation is the stable order of into ``output``, int64 (n,), contiguous."""
    n = output.numel()
    if n > 0:
        SORT_KEYS(
            lambda meta: (triton.cdiv(n, 2 * meta["BLOCK_PHILOX"]),),
            output_pointer=output,
            seed_pointer=seed,
            step_pointer=step,
            stream=stream,
            n=n,
        )


def _draw(
    kind: str,
    output: torch.Tensor,
    seed: torch.Tensor,
    step: torch.Tensor,
    stream: int,
    first: int,
) -> None:
    n = output.numel()
    if n == 0:
        return
    n_blocks = (first + n + 3) // 4 - first // 4
    PHILOX(
        lambda meta: (triton.cdiv(n_blocks, meta["BLOCK_PHILOX"]),),
        output_pointer=output,
        seed_pointer=seed,
        step_pointer=step,
        stream=stream,
        first=first,
        n=n,
        KIND=kind,
    )
