"""The Parzen protocol for more samples than it prescribes, in one pass that never holds them.

The first 10,000 samples are judged as published. Then the sums of the test and validation images
over all samples are gathered block by block: at the sigma of the 10,000, for a curve along which
only the count changes, and at all others that may turn out best on validation at the full count.
Each block's sum is right on its own, as the jackknife leaves blocks out in turn.

Several processes share the queries of the first samples, and the blocks of all of them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastgan.data import Dataset
from fastgan.evaluation_part import EvaluationPart
from fastgan.ops.parzen_sums import merge_blocks
from fastgan.parzen_protocol import (
    Options,
    choose,
    log_sums,
    normalised,
    score,
    standard_error,
    values_and_error,
)
from fastgan.parzen_rounds import work_in_rounds
from fastgan.parzen_stream import ParzenStream
from fastgan.processes import Processes
from fastgan.published import N_SAMPLES_PUBLISHED
from fastgan.samples import Array, Samples
from fastgan.scores import Evaluation, SigmaChoice

# Samples in a block: 10^5, 10^6, ... are whole numbers of them. Fewer where the jackknife's blocks
# are smaller than that.
BLOCK_SIZE = 50_000
FIRST_COUNT = 1_000  # the curve begins here and goes on by factors of ten
SAVE_SECONDS = 60.0  # between two times that the pass is written down, at the ends of blocks

_WRITTEN = 2  # of what a pass writes down: another number is another evaluation

# Two means that are compared are each right to 1e-4 nats, and samples are left out to 1e-6.
_ROUNDING_NATS = 1e-3


def evaluate_stream(
    samples: Samples,
    dataset: Dataset,
    images: Tensor,
    grid: tuple[float, ...],
    options: Options,
    started: float,
    checkpoint: Path | None = None,
) -> Evaluation:
    """Score every test image under more than 10,000 samples; the same answer on every process.

    Parameters
    ----------
    samples : Samples
        Read once from the first to the last; the first 10,000 once more.
    dataset : Dataset
    images : Tensor of shape (n_validation, n_features)
        The validation images that choose sigma.
    grid : tuple of float
        Ascending.
    options : Options
    started : float
        ``time.perf_counter()`` at the beginning.
    checkpoint : Path, optional
        Where the first process writes the pass down every minute (at the end of a block, which may
        take longer) and when it is interrupted. What is found there of the same evaluation is gone
        on with, to the same bits, by any number of processes. Not removed at the end: only the
        caller knows when the answer is safe.

    Raises
    ------
    TypeError, ValueError
        As :func:`fastgan.evaluate`.
    """
    n, n_features = samples.n_samples, samples.n_features
    processes = options.processes
    first = samples.first(N_SAMPLES_PUBLISHED)
    quiet = dataclasses.replace(options, progress=None)
    choice = choose(images, first, grid, options.impl, None, processes)
    published = score(first, dataset, choice, quiet, started)
    sigmas = contenders(choice, first.n_samples, n, n_features)

    test = samples.convert(dataset.test, "dataset.test")
    validation = samples.convert(images, "validation")
    n_test = len(test)
    counts = [count for count in powers_of_ten(n) if count > N_SAMPLES_PUBLISHED]
    queries = _joined(test, validation)
    stream = ParzenStream(
        queries,
        sigmas,
        n_samples=n,
        counts=counts,
        block_size=min(BLOCK_SIZE, -(-n // options.n_blocks)),
        each_block=True,
        impl=options.impl,
    )
    name = hashlib.sha256(repr((_WRITTEN, sigmas, n, n_test, stream.block_size, counts)).encode())
    for rows in (queries, first.array):
        name.update(np.ascontiguousarray(_as_array(rows)).data)
    begin = _begin(test, first, choice.sigma, options)
    part = EvaluationPart(checkpoint, name.hexdigest())
    stream = _pass_over(stream, samples, part, options)
    found = None
    with processes.together():
        if processes.is_first:
            found = _evaluation(stream, samples, published, choice, begin, grid, n_test, options)
            found = dataclasses.replace(found, seconds=time.perf_counter() - started)
    whole: Evaluation = same_everywhere(found, Evaluation, processes)
    return whole


def same_everywhere(found: Any, kind: Any, processes: Processes) -> Any:
    """Return the first process's Evaluation or FoldEvaluation on every process."""
    if processes.size == 1:
        return found
    text = processes.from_first(found.to_json() if processes.is_first else "")
    return kind.from_json(text)


def _evaluation(
    stream: ParzenStream,
    samples: Samples,
    published: Evaluation,
    choice: SigmaChoice,
    begin: tuple[float, float],
    grid: tuple[float, ...],
    n_test: int,
    options: Options,
) -> Evaluation:
    """Return what the whole pass comes to, beside what was published of the first samples."""
    sigmas = tuple(stream.sigmas.tolist())
    own = sigmas.index(choice.sigma)
    n_features = samples.n_features
    final = _as_array(stream.log_likelihood())
    means = final[:, n_test:].mean(axis=1)
    best = int(np.argmax(means))  # the first of equal maxima, and sigmas ascend
    sums, sizes = _grouped(*stream.block_log_sums(), options.n_blocks)
    errors = {
        number: values_and_error(sums[:, number, :n_test], sizes, sigmas[number], n_features)[1]
        for number in {own, best}
    }
    curve = {count: _as_array(values)[own, :n_test] for count, values in stream.curve().items()}
    curve_means = {FIRST_COUNT: begin}
    curve_means[N_SAMPLES_PUBLISHED] = (published.mean, published.standard_error)
    for count, values in curve.items():
        curve_means[count] = (float(values.mean()), standard_error(values))
    return dataclasses.replace(
        published,
        n_samples=samples.n_samples,
        sigma=sigmas[best],
        sigmas=sigmas,
        validation_means=tuple(float(mean) for mean in means),
        at_edge=sigmas[best] in (grid[0], grid[-1]),
        mean=float(final[best, :n_test].mean()),
        standard_error=standard_error(final[best, :n_test]),
        sample_standard_error=errors[best],
        n_blocks=len(sizes),
        sample_range=(samples.lowest, samples.highest),
        dropped_nats=float(_as_array(stream.bound())[best, :n_test].mean()),
        protocol_sigma=choice.sigma,
        protocol_sample_standard_error=errors[own],
        curve_n_samples=tuple(curve_means),
        curve_means=tuple(mean for mean, _ in curve_means.values()),
        curve_standard_errors=tuple(error for _, error in curve_means.values()),
    )


def contenders(
    choice: SigmaChoice, n_first: int, n_samples: int, n_features: int
) -> tuple[float, ...]:
    """Return the sigmas that may be best at the full count, from what the first samples say.

    No log-likelihood is above the peak of a Gaussian, ``-d log(sigma sqrt(2 pi))``, and none falls
    by more than ``log(n_samples / n_first)`` as samples are added, as the sum only grows. So a
    sigma whose peak lies below what the best one is sure to keep cannot win: the wide ones, whose
    sums would cost the most.
    """
    kept = max(choice.means) - math.log(n_samples / n_first) - _ROUNDING_NATS
    return tuple(
        sigma
        for sigma in choice.sigmas
        if -n_features * math.log(sigma * math.sqrt(2 * math.pi)) >= kept
    )


def powers_of_ten(n_samples: int) -> list[int]:
    """Return 1,000, 10,000, ... up to a number of samples."""
    counts = []
    count = FIRST_COUNT
    while count <= n_samples:
        counts.append(count)
        count *= 10
    return counts


def _pass_over(
    stream: ParzenStream, samples: Samples, part: EvaluationPart, options: Options
) -> ParzenStream:
    """Take all samples, from where the part that was written down ends; return the stream.

    That of the first process is the one that has taken them.
    """
    processes, progress = options.processes, options.progress
    with processes.together():
        if processes.is_first:
            stream = part.go_on(stream, samples)
    last_saved, n_saved = time.monotonic(), stream.n_blocks

    def after_round(n_done: int) -> None:
        nonlocal last_saved, n_saved
        _exchange_range(samples, processes)
        if not processes.is_first:
            return
        if progress is not None:
            progress(n_done, samples.n_samples)
        if time.monotonic() - last_saved > SAVE_SECONDS and stream.n_blocks > n_saved:
            part.save(stream, samples)
            last_saved, n_saved = time.monotonic(), stream.n_blocks

    try:
        work_in_rounds(stream, processes, samples.own_block, samples.n_samples, after_round)
    except BaseException as error:
        is_kept = part.path is not None and stream.n_blocks > 0
        if processes.is_first and stream.n_blocks > n_saved:
            is_kept = part.save(stream, samples)
        if isinstance(error, KeyboardInterrupt) and processes.is_first and is_kept:
            raise KeyboardInterrupt(
                f"interrupted after {stream.n_blocks * stream.block_size:,} of "
                f"{samples.n_samples:,} samples, which are kept: the same evaluation goes on from "
                "there"
            ) from None
        raise
    return stream


def _exchange_range(samples: Samples, processes: Processes) -> None:
    """Let all know the lowest and the highest number of the rows that any has read."""
    both = torch.tensor([samples.lowest, -samples.highest], dtype=torch.float64)
    lowest, negative = torch.stack(processes.gather(both)).amin(0).tolist()
    samples.lowest, samples.highest = lowest, -negative


def _begin(test: Array, first: Samples, sigma: float, options: Options) -> tuple[float, float]:
    """Return the mean and the standard error at the first count of the curve."""
    begin = first.first(FIRST_COUNT)
    parts = log_sums(test, begin, (sigma,), begin.n_samples, options.impl, None, options.processes)
    values = normalised(next(parts)[0], (sigma,), begin.n_samples, begin.n_features)[0]
    return float(values.mean()), standard_error(values)


def _grouped(
    log_sums_of_blocks: Any, sizes: Any, n_groups: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Merge consecutive blocks into groups of equally many, no more than ``n_groups``."""
    blocks = torch.as_tensor(log_sums_of_blocks).cpu()
    n_together = -(-len(blocks) // n_groups)
    if n_together > 1:
        blocks = torch.stack([merge_blocks(part) for part in blocks.split(n_together)])
    counted = np.add.reduceat(_as_array(sizes), np.arange(0, len(sizes), n_together))
    return blocks.numpy(), counted


def _joined(test: Array, validation: Array) -> Array:
    if isinstance(test, Tensor) and isinstance(validation, Tensor):
        return torch.cat([test, validation])
    return np.concatenate([test, validation])


def _as_array(values: Any) -> NDArray[Any]:
    array: NDArray[Any] = values.numpy(force=True) if isinstance(values, Tensor) else values
    return array
