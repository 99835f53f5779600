"""What a captured training step is made of beside its products: its clock, its batch, its costs."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from fastgan.kernels.launch import ARCHITECTURES, INTERPRETER, Configuration, Kernel
from fastgan.kernels.masks import MASK_NUMBERS, Mask, mask_arguments, masked_tile
from torch import Tensor


@triton.jit(do_not_specialize=["n_rows"])
def clock_kernel(counters_pointer, rates_pointer, schedule_pointer, n_rows):
    """Begin an update: one program.

    counters, int64: seed, epoch, this step, the next one, this batch's first row of the epoch, the
    next one's. rates, float64: this step's learning rate and momentum. schedule, float64: learning
    rate, log of its decay, its floor; momentum's first, last, and epochs of growth.
    """
    step = tl.load(counters_pointer + 3)
    tl.store(counters_pointer + 2, step)
    tl.store(counters_pointer + 3, step + 1)
    first = tl.load(counters_pointer + 5)
    tl.store(counters_pointer + 4, first)
    tl.store(counters_pointer + 5, first + n_rows)

    decayed = tl.load(schedule_pointer) * tl.exp(
        -step.to(tl.float64) * tl.load(schedule_pointer + 1)
    )
    tl.store(rates_pointer, tl.maximum(decayed, tl.load(schedule_pointer + 2)))
    least, most = tl.load(schedule_pointer + 3), tl.load(schedule_pointer + 4)
    n_grown = (tl.load(counters_pointer + 1) - 1).to(tl.float64)
    n_growing = tl.load(schedule_pointer + 5) - 1.0
    is_growing = n_grown < n_growing
    grown = tl.where(is_growing, n_grown / tl.where(is_growing, n_growing, 1.0), 1.0)
    tl.store(rates_pointer + 1, tl.where(grown < 1.0, least + (most - least) * grown, most))


@triton.jit(do_not_specialize=MASK_NUMBERS)
def gather_kernel(
    images_pointer,
    order_pointer,
    first_pointer,
    output_pointer,
    n_rows,
    n_columns,
    seed_pointer,
    step_pointer,
    stream,
    second_stream,
    n_first_rows,
    first_row,
    THRESHOLD: tl.constexpr,
    SCALE: tl.constexpr,
    WHOLE_BLOCKS: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
):
    """output[i] = mask(images[order[first + i]]), a tile a program."""
    rows = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    columns = tl.program_id(1) * BLOCK_COLUMNS + tl.arange(0, BLOCK_COLUMNS)
    first = tl.load(first_pointer)
    images = tl.load(order_pointer + first + rows, mask=rows < n_rows, other=0)
    inside = (rows < n_rows)[:, None] & (columns < n_columns)[None, :]
    values = tl.load(
        images_pointer + images[:, None] * n_columns + columns[None, :], mask=inside, other=0.0
    )
    values = masked_tile(
        values,
        rows,
        columns,
        n_columns,
        seed_pointer,
        step_pointer,
        stream,
        second_stream,
        n_first_rows,
        first_row,
        THRESHOLD,
        SCALE,
        WHOLE_BLOCKS,
    )
    at = rows.to(tl.int64)[:, None] * n_columns + columns[None, :]
    tl.store(output_pointer + at, values, mask=inside)


@triton.jit
def sigmoid_and_cross_entropy(logit):
    """Return s(l), s(-l) and -log s(l), float64, each to a few units of rounding.

    With e = exp(-|l|): s(|l|) = 1 / (1 + e), and log1p(e) by Kahan's quotient.
    """
    is_negative = logit < 0.0
    magnitude = tl.where(is_negative, -logit, logit)
    e = tl.exp(-magnitude)
    u = 1.0 + e
    log1p = tl.where(u == 1.0, e, tl.log(u) * (e / tl.where(u == 1.0, 1.0, u - 1.0)))
    large, small = 1.0 / u, e / u
    cross_entropy = log1p + tl.where(is_negative, magnitude, 0.0)
    return (
        tl.where(is_negative, small, large),
        tl.where(is_negative, large, small),
        cross_entropy,
    )


@triton.jit
def costs_kernel(
    logits_pointer,
    discriminator_gradient_pointer,
    generator_gradient_pointer,
    means_pointer,
    n,
    n_whole,
    IS_SATURATING: tl.constexpr,
    GENERATOR_ONLY: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Judge n real and, after them, n fake logits: one program, sums in float64 and in order.

    They are n of the n_whole that the batch has: means are over these, and what is written is the
    part of them.
    """
    zero = tl.zeros([BLOCK], dtype=tl.float64)
    of_discriminator, of_generator, real_probability, fake_probability = zero, zero, zero, zero
    for start in range(0, n, BLOCK):
        row = start + tl.arange(0, BLOCK)
        inside = row < n
        logit = tl.load(logits_pointer + n + row, mask=inside, other=0.0).to(tl.float64)
        fake, not_fake, cost_of_real = sigmoid_and_cross_entropy(logit)
        _, _, cost_of_fake = sigmoid_and_cross_entropy(-logit)
        by_generator = -fake if IS_SATURATING else -not_fake
        tl.store(generator_gradient_pointer + row, by_generator / n_whole, mask=inside)
        of_generator += tl.where(inside, -cost_of_fake if IS_SATURATING else cost_of_real, 0.0)
        tl.store(discriminator_gradient_pointer + n + row, fake / (2 * n_whole), mask=inside)
        if not GENERATOR_ONLY:
            of_discriminator += tl.where(inside, cost_of_fake, 0.0)
            fake_probability += tl.where(inside, fake, 0.0)
            logit = tl.load(logits_pointer + row, mask=inside, other=0.0).to(tl.float64)
            real, not_real, cost_of_real = sigmoid_and_cross_entropy(logit)
            tl.store(discriminator_gradient_pointer + row, -not_real / (2 * n_whole), mask=inside)
            of_discriminator += tl.where(inside, cost_of_real, 0.0)
            real_probability += tl.where(inside, real, 0.0)
    tl.store(means_pointer + 1, tl.sum(of_generator, axis=0) / n_whole)
    if not GENERATOR_ONLY:
        tl.store(means_pointer, 0.5 * tl.sum(of_discriminator, axis=0) / n_whole)
        tl.store(means_pointer + 2, tl.sum(real_probability, axis=0) / n_whole)
        tl.store(means_pointer + 3, tl.sum(fake_probability, axis=0) / n_whole)


_ONE = Configuration("1", {}, n_warps=1)
CLOCK = Kernel(
    clock_kernel,
    dict.fromkeys(ARCHITECTURES, (_ONE,)),
    restored=("counters_pointer",),
)
_TILES = (
    Configuration("4x256", {"BLOCK_ROWS": 4, "BLOCK_COLUMNS": 256}),
    Configuration("1x1024", {"BLOCK_ROWS": 1, "BLOCK_COLUMNS": 1024}),
)
GATHER = Kernel(
    gather_kernel,
    dict.fromkeys(ARCHITECTURES, _TILES)
    | {INTERPRETER: (Configuration("4x8", {"BLOCK_ROWS": 4, "BLOCK_COLUMNS": 8}),)},
    key=("n_rows", "n_columns"),
)
COSTS = Kernel(
    costs_kernel,
    dict.fromkeys(ARCHITECTURES, (Configuration("128", {"BLOCK": 128}),))
    | {INTERPRETER: (Configuration("4", {"BLOCK": 4}),)},
)


def tick(counters: Tensor, rates: Tensor, schedule: Tensor, n_rows: int) -> None:
    """Begin an update that takes ``n_rows`` rows of the epoch; see clock_kernel for the tensors."""
    CLOCK(
        (1,),
        counters_pointer=counters,
        rates_pointer=rates,
        schedule_pointer=schedule,
        n_rows=n_rows,
    )


def gather(images: Tensor, order: Tensor, first: Tensor, mask: Mask, output: Tensor) -> None:
    """Write images[order[first + i]], masked, into row i of ``output``.

    images (n, n_columns), order int64 (n,), first int64 0-d, output (n_rows, n_columns), all
    contiguous. Rows are numbered within the batch.
    """
    n_rows, n_columns = output.shape
    GATHER(
        lambda meta: (
            triton.cdiv(n_rows, meta["BLOCK_ROWS"]),
            triton.cdiv(n_columns, meta["BLOCK_COLUMNS"]),
        ),
        images_pointer=images,
        order_pointer=order,
        first_pointer=first,
        output_pointer=output,
        n_rows=n_rows,
        n_columns=n_columns,
        **mask_arguments(mask, n_columns),
    )


def costs(
    logits: Tensor,
    is_saturating: bool,
    discriminator_gradient: Tensor,
    generator_gradient: Tensor,
    means: Tensor,
    *,
    n_whole: int | None = None,
    generator_only: bool = False,
) -> None:
    """Write the derivatives of both costs by each logit, and the means of the costs.

    logits (2 n, 1), real ones first; discriminator_gradient (2 n,); generator_gradient (n,), by the
    fake logits; means (4,): D's cost, G's cost, mean D(x), mean D(G(z)). With ``generator_only``
    the real logits are not looked at, and of the means G's cost alone is written. Where the n rows
    are part of a batch of ``n_whole``, their part of the means over that.
    """
    COSTS(
        (1,),
        logits_pointer=logits,
        discriminator_gradient_pointer=discriminator_gradient,
        generator_gradient_pointer=generator_gradient,
        means_pointer=means,
        n=len(generator_gradient),
        n_whole=len(generator_gradient) if n_whole is None else n_whole,
        IS_SATURATING=is_saturating,
        GENERATOR_ONLY=generator_only,
    )


def epoch_counters(device: torch.device) -> Tensor:
    """Return the counters of a clock, all zero: int64 (6,)."""
    return torch.zeros(6, dtype=torch.int64, device=device)
