"""Kernels that must not ship, each for one reason; the proof is to find it."""

import torch
import triton
import triton.language as tl
from fastgan.kernels.launch import ARCHITECTURES, Configuration, Kernel


@triton.jit
def product_kernel(
    left_pointer,
    right_pointer,
    output_pointer,
    n_inner,
    BLOCK: tl.constexpr,
    BLOCK_INNER: tl.constexpr,
    PRECISION: tl.constexpr,
):
    rows = tl.arange(0, BLOCK)
    inner = tl.arange(0, BLOCK_INNER)
    sums = tl.zeros([BLOCK, BLOCK], dtype=tl.float32)
    for start in range(0, n_inner, BLOCK_INNER):
        at = rows[:, None] * n_inner + start + inner[None, :]
        left = tl.load(left_pointer + at)
        right = tl.load(right_pointer + at)
        sums = tl.dot(left, right.T, sums, input_precision=PRECISION)
    tl.store(output_pointer + rows[:, None] * BLOCK + rows[None, :], sums)


@triton.jit
def refused_kernel(output_pointer, BLOCK: tl.constexpr):
    tl.static_assert(BLOCK < 8, "BLOCK is too large")
    tl.store(output_pointer + tl.arange(0, BLOCK), 0.0)


@triton.jit
def fine_kernel(output_pointer, n, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(output_pointer + index, tl.exp2(index.to(tl.float32)), mask=index < n)


@triton.jit
def dying_kernel(output_pointer, n, BLOCK: tl.constexpr):
    """What the compiler dies of: see the test."""
    tl.store(output_pointer + tl.arange(0, BLOCK), 0.0, mask=tl.arange(0, BLOCK) < n)


def kernel(function, n_warps: int = 4, n_stages: int = 2, **constants: int | str) -> Kernel:
    found = [Configuration("one", constants, n_warps, n_stages)]
    return Kernel(function, dict.fromkeys(ARCHITECTURES, found))


PRODUCTS = {
    "spilling": kernel(product_kernel, 4, BLOCK=128, BLOCK_INNER=32, PRECISION="tf32x3"),
    "without tensor cores": kernel(product_kernel, BLOCK=32, BLOCK_INNER=32, PRECISION="ieee"),
    "large": kernel(product_kernel, 8, 4, BLOCK=128, BLOCK_INNER=64, PRECISION="tf32"),
    "good": kernel(product_kernel, BLOCK=32, BLOCK_INNER=32, PRECISION="tf32x3"),
}
REFUSED = kernel(refused_kernel, BLOCK=8)
FINE = kernel(fine_kernel, BLOCK=128)
DYING = kernel(dying_kernel, BLOCK=128)


def launch_product(found: Kernel) -> None:
    left, right, output = torch.empty(3, 128, 128, device="meta")
    found((1,), left_pointer=left, right_pointer=right, output_pointer=output, n_inner=128)


def launch_refused() -> None:
    REFUSED((1,), output_pointer=torch.empty(8, device="meta"))


def launch(found: Kernel) -> None:
    output = torch.empty(1000, device="meta")
    found(lambda meta: (triton.cdiv(1000, meta["BLOCK"]),), output_pointer=output, n=1000)
