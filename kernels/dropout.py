"""Dropout: mask, scale and select in one pass; its own backward pass."""

import torch
import triton
import triton.language as tl
from fastgan.kernels.launch import ARCHITECTURES, INTERPRETER, Configuration, Kernel
from fastgan.kernels.philox import words_of_blocks


# Not specialised: 1 would become a constant, and multiples of 16 would get a kernel of their own.
@triton.jit(do_not_specialize=["stream", "first", "n"])
def dropout_kernel(
    input_pointer,
    output_pointer,
    seed_pointer,
    step_pointer,
    stream,
    first,
    n,
    THRESHOLD: tl.constexpr,
    SCALE: tl.constexpr,
    BLOCK_PHILOX: tl.constexpr,
):
    """output[i] = word(first + i) < THRESHOLD ? input[i] * SCALE : 0, for i < n.

    A program makes whole blocks of words, each once: its elements start at a multiple of four.
    Seed and step are read from the device, so a captured graph does not freeze them.
    """
    seed = tl.load(seed_pointer)
    step = tl.load(step_pointer)
    first_block = first // 4 + tl.program_id(0).to(tl.int64) * BLOCK_PHILOX
    words = words_of_blocks(first_block, seed, step, stream, BLOCK_PHILOX)
    index = (first_block * 4 - first) + tl.arange(0, 4 * BLOCK_PHILOX).to(tl.int64)
    inside = (index >= 0) & (index < n)
    value = tl.load(input_pointer + index, mask=inside, other=0.0)
    kept = words.to(tl.int64) < THRESHOLD
    tl.store(output_pointer + index, tl.where(kept, value * SCALE, 0.0), mask=inside)


DROPOUT = Kernel(
    dropout_kernel,
    {
        **{
            name: [Configuration(f"{n}", {"BLOCK_PHILOX": n}) for n in (128, 256)]
            for name in ARCHITECTURES
        },
        INTERPRETER: [Configuration("256", {"BLOCK_PHILOX": 256})],
    },
    key=["n"],
)


def dropout(
    input: torch.Tensor,
    include_probability: float,
    seed: torch.Tensor,
    step: torch.Tensor,
    stream: int,
    first_row: int = 0,
) -> torch.Tensor:
    """Return dropout of a tensor of shape (n_rows, ...); arguments as in fastgan.ops.dropout."""
    input = input.contiguous()
    output = torch.empty_like(input)
    n = input.numel()
    if n == 0:
        return output
    first = first_row * input.shape[1:].numel()
    n_blocks = (first + n + 3) // 4 - first // 4
    DROPOUT(
        lambda meta: (triton.cdiv(n_blocks, meta["BLOCK_PHILOX"]),),
        input_pointer=input,
        output_pointer=output,
        seed_pointer=seed,
        step_pointer=step,
        stream=stream,
        first=first,
        n=n,
        THRESHOLD=round(include_probability * 2.0**32),
        SCALE=1.0 / include_probability,
    )
    return output
