"""Philox 4x32-10 inside a kernel: the words of consecutive elements."""

import triton
import triton.language as tl

PHILOX_ROUNDS = tl.constexpr(10)


@triton.jit
def words_of_blocks(first_block, seed, step, stream, BLOCK_PHILOX: tl.constexpr):
    """Return the words of elements 4 first_block ... 4 (first_block + BLOCK_PHILOX) - 1, uint32.

    first_block is int64, seed and step int64, stream any integer of 32 bits. The counters are given
    to tl.philox as 32-bit numbers: 64-bit ones would switch it to another generator, and tl.rand
    has no room for step and stream.
    """
    block = first_block + tl.arange(0, BLOCK_PHILOX).to(tl.int64)
    zero = tl.zeros([BLOCK_PHILOX], dtype=tl.uint32)
    w0, w1, w2, w3 = tl.philox(
        seed,
        (block & 0xFFFFFFFF).to(tl.uint32),
        (block >> 32 & 0xFFFFFFFF).to(tl.uint32),
        zero + (step & 0xFFFFFFFF).to(tl.uint32),
        zero + stream.to(tl.uint32),
        n_rounds=PHILOX_ROUNDS,
    )
    return tl.reshape(tl.join(tl.join(w0, w2), tl.join(w1, w3)), [4 * BLOCK_PHILOX])
