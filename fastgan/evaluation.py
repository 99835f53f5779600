"""The Parzen protocol: sigma on validation data, mean log-likelihood, two standard errors.

Source: Goodfellow et al. 2014, section 5, and the authors' released ``parzen_ll.py``::

    log p(x) = logmeanexp_i(-|x - s_i|^2 / (2 sigma^2)) - d log(sigma sqrt(2 pi))       in nats

One draw of samples s_1 ... s_n serves the choice of sigma and the test. Nothing is rescaled, every
test image counts, and no test image takes part in the choice of sigma. Samples are read in blocks,
so a memory-mapped array of any length will do.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch.distributed as dist

from fastgan.data import Dataset, load_dataset, load_folds
from fastgan.ops.sharing import check_same_arguments
from fastgan.parzen_protocol import Options, Progress, checked_sigmas, choose, score, sigma_data
from fastgan.processes import Processes
from fastgan.published import (
    COMPARABILITY_WARNING,
    FOLD_ERROR_NOTE,
    GMMN_SIGMAS,
    N_SAMPLES_PUBLISHED,
    REAL_DATA_NOTE,
    REFERENCE_TABLE,
    STANDARD_ERROR_NOTE,
    ReferenceResult,
    Score,
)
from fastgan.samples import Array, Samples, draw_samples
from fastgan.scores import Evaluation, FoldEvaluation, SigmaChoice
from fastgan.streamed_evaluation import evaluate_stream, same_everywhere

__all__ = [
    "COMPARABILITY_WARNING",
    "FOLD_ERROR_NOTE",
    "GMMN_SIGMAS",
    "N_SAMPLES_PUBLISHED",
    "REAL_DATA_NOTE",
    "REFERENCE_TABLE",
    "STANDARD_ERROR_NOTE",
    "Evaluation",
    "FoldEvaluation",
    "ReferenceResult",
    "Score",
    "SigmaChoice",
    "aggregate_folds",
    "choose_sigma",
    "evaluate",
    "evaluate_folds",
]


def choose_sigma(
    validation: Array,
    samples: Array,
    sigmas: Sequence[float],
    *,
    impl: str = "auto",
    progress: Progress | None = None,
) -> SigmaChoice:
    """Choose the sigma of largest mean log-likelihood of the validation data.

    Parameters
    ----------
    validation : Tensor or ndarray of shape (n_validation, n_features), floating point
        Never test data. Converted to the samples' kind and dtype (float32 or float64).
    samples : Tensor or ndarray of shape (n_samples, n_features), floating point
        The samples that are tested afterwards. A memory-mapped array is read in blocks.
    sigmas : sequence of float
        The grid, in the units of the data, in any order.
    impl : {"auto", "reference", "native", "triton"}
    progress : callable (n_done, n_samples), optional
        Called after each group of blocks.

    Returns
    -------
    SigmaChoice
        The grid in ascending order, the mean log-likelihood in nats at each of its sigmas, and the
        chosen one: ties take the smallest. ``at_edge`` says that it is an end of the grid.

    Raises
    ------
    TypeError
        If an array is no array or not of a floating dtype.
    ValueError
        If a shape does not fit, the grid is empty or holds a sigma that is not positive and
        finite, there is no validation image or no sample, or a number is not finite.
    """
    grid = checked_sigmas(sigmas)
    return choose(validation, Samples(samples), grid, impl, progress, Processes())


def evaluate(
    model_or_samples: Any,
    dataset: Dataset | str,
    *,
    n_samples: int | None = None,
    sigmas: Sequence[float] | None = None,
    sigma_variant: str = "paper",
    seed: int = 0,
    n_blocks: int = 50,
    impl: str = "auto",
    progress: Progress | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    process_group: dist.ProcessGroup | None = None,
) -> Evaluation:
    """Return the Parzen-window log-likelihood of a data set's test images, with its errors.

    Parameters
    ----------
    model_or_samples : generator, callable or array
        A generator with ``sample(n_samples, seed)`` (a :class:`fastgan.Generator`, or your own),
        a plain function ``f(n_samples, seed)``, or the samples themselves: a Tensor or ndarray,
        memory-mapped if you like, of shape (n_samples, n_features) in the data set's scale.
        If ``sample`` or ``f`` also takes ``first_row``, the number of the first sample wanted, no
        more than some 50,000 samples are ever held, however many are asked for.
    dataset : Dataset or str
        What :func:`fastgan.load_dataset` returns, or a name or path for it.
    n_samples : int, optional
        How many samples to draw; 10,000 if left out. Of an array the first ``n_samples`` rows
        are used; all if left out.
    sigmas : sequence of float, optional
        The grid for sigma; the variant's own if left out.
    sigma_variant : {"paper", "gmmn"}
        "paper": the data set's grid (logspace(-1, 0, 10) for pixels in [0, 1]) on its
        ``sigma_images`` first validation images. "gmmn": the grid of Li, Swersky and Zemel 2015,
        .10 to .29 in steps of .01 (TFD: .05 to .24), on 5,000 validation images chosen at random
        from ``seed``; for pixels in [0, 1] only, unless ``sigmas`` is given.
    seed : int
        Seed of the draw of samples and of the choice of validation images.
    n_blocks : int, from 2 to 1,000
        Blocks of samples for the jackknife (fewer where there are fewer samples).
    impl : {"auto", "reference", "native", "triton"}
    progress : callable (n_done, n_total), optional
        Called as samples are worked through; they are worked through twice, for sigma and test,
        and once where there are more than 10,000. By the first process only.
    checkpoint : path, optional
        A file where a pass over more than 10,000 samples is written down every minute (at the end
        of a block of at most 50,000 samples) and when it is interrupted. The same call goes on with
        it, to the same bits; it is removed at the end. What is found there and is of another
        evaluation, or damaged, is moved aside with a warning. On a full disk the pass goes on, with
        a warning.
    process_group : torch.distributed.ProcessGroup, optional
        The processes that share the work: ``torch.distributed.group.WORLD``, or any group. Each of
        them calls with the same arguments and gets the same evaluation, to the bits of one process
        if the model draws the same samples in each (a :class:`fastgan.Generator` does). None: this
        process alone.

    Returns
    -------
    Evaluation
        ``mean`` in nats, ``standard_error`` over test images (std of ddof 0 / sqrt(n_test)) and
        ``sample_standard_error`` over model samples (delete-one-block jackknife at the chosen
        sigma; None with one sample). Above 10,000 samples sigma is chosen twice, at the first
        10,000 as published and at all of them, and the score at 1,000, 10,000, ... samples is a
        curve at the former: see :class:`Evaluation`.

    Raises
    ------
    TypeError
        If the model draws no samples, or an array is not of a floating dtype.
    ValueError
        If shapes do not fit the data set, ``n_samples`` is below 1 or more than the array holds,
        a number is not finite, or an option is unknown.
    fastgan.processes.ProcessFailedError
        (a RuntimeError) If another process of the group failed, or is gone.
    """
    path = None if checkpoint is None else Path(checkpoint)
    found = evaluate_keeping_part(
        model_or_samples,
        dataset,
        n_samples=n_samples,
        sigmas=sigmas,
        sigma_variant=sigma_variant,
        seed=seed,
        n_blocks=n_blocks,
        impl=impl,
        progress=progress,
        checkpoint=path,
        process_group=process_group,
    )
    if path is not None and Processes(process_group).is_first:
        path.unlink(missing_ok=True)
    return found


def evaluate_keeping_part(
    model_or_samples: Any,
    dataset: Dataset | str,
    *,
    n_samples: int | None = None,
    sigmas: Sequence[float] | None = None,
    sigma_variant: str = "paper",
    seed: int = 0,
    n_blocks: int = 50,
    impl: str = "auto",
    progress: Progress | None = None,
    checkpoint: Path | None = None,
    process_group: dist.ProcessGroup | None = None,
) -> Evaluation:
    """Do what :func:`evaluate` does, and leave the checkpoint for when the answer is safe."""
    started = time.perf_counter()
    processes = Processes(process_group)
    with processes.together():
        dataset = load_dataset(dataset) if isinstance(dataset, str) else dataset
        _check_n_blocks(n_blocks)
        images, grid = sigma_data(dataset, sigma_variant, sigmas, seed)
    _check_same(
        processes, model_or_samples, [dataset], n_samples, grid, sigma_variant, seed, n_blocks, impl
    )
    samples = _samples_of(model_or_samples, [dataset], n_samples, seed, processes)
    n = samples.n_samples
    if n > N_SAMPLES_PUBLISHED:
        options = Options(len(images), sigma_variant, seed, n_blocks, impl, progress, processes)
        return evaluate_stream(samples, dataset, images, grid, options, started, checkpoint)
    passes = [None if progress is None else _from(progress, start, 2 * n) for start in (0, n)]
    choice = choose(images, samples, grid, impl, passes[0], processes)
    options = Options(len(images), sigma_variant, seed, n_blocks, impl, passes[1], processes)
    found: Evaluation = same_everywhere(
        score(samples, dataset, choice, options, started), Evaluation, processes
    )
    return found


def evaluate_folds(
    model_or_samples: Any,
    datasets: Sequence[Dataset] | str,
    *,
    n_samples: int | None = None,
    sigmas: Sequence[float] | None = None,
    sigma_variant: str = "paper",
    seed: int = 0,
    n_blocks: int = 50,
    impl: str = "auto",
    progress: Progress | None = None,
    process_group: dist.ProcessGroup | None = None,
) -> FoldEvaluation:
    """Evaluate one model on every fold of a data set, and aggregate over the folds.

    One draw of samples serves all folds, since TFD's unlabeled training set is the same in each.
    With ``sigma_variant="paper"`` every fold chooses its own sigma; with "gmmn" ONE sigma, the
    best by the mean over folds of their validation means, serves all. ``datasets`` are the folds as
    :func:`fastgan.data.load_folds` returns them, or the name or path that it takes. Other
    arguments, results and errors are those of :func:`evaluate` and :func:`aggregate_folds`.
    """
    processes = Processes(process_group)
    with processes.together():
        datasets = load_folds(datasets) if isinstance(datasets, str) else datasets
        if not datasets:
            raise ValueError("datasets: expected at least one fold, got none")
        _check_n_blocks(n_blocks)
        of_folds = [sigma_data(dataset, sigma_variant, sigmas, seed) for dataset in datasets]
    grids = [grid for _, grid in of_folds]
    _check_same(
        processes, model_or_samples, datasets, n_samples, grids, sigma_variant, seed, n_blocks, impl
    )
    samples = _samples_of(model_or_samples, datasets, n_samples, seed, processes)
    n_passes = 2 * len(datasets)

    def part(number: int) -> Progress | None:
        n = samples.n_samples
        return None if progress is None else _from(progress, number * n, n_passes * n)

    n_images, choices, seconds = [], [], []
    for number, (images, grid) in enumerate(of_folds):
        started = time.perf_counter()
        n_images.append(len(images))
        choices.append(choose(images, samples, grid, impl, part(number), processes))
        seconds.append(time.perf_counter() - started)
    if sigma_variant == "gmmn":
        choices = _one_sigma(choices)
    folds = []
    for number, (dataset, choice) in enumerate(zip(datasets, choices, strict=True)):
        started = time.perf_counter() - seconds[number]
        passed = part(len(datasets) + number)
        options = Options(n_images[number], sigma_variant, seed, n_blocks, impl, passed, processes)
        folds.append(score(samples, dataset, choice, options, started))
    found: FoldEvaluation = same_everywhere(aggregate_folds(folds), FoldEvaluation, processes)
    return found


def aggregate_folds(folds: Sequence[Evaluation]) -> FoldEvaluation:
    """Return the mean over folds and its error, std(ddof 0) / sqrt(n_folds).

    The aggregator behind the paper's TFD column was never released; this one is ours.

    Raises
    ------
    ValueError
        If there is no fold, or folds differ in data set, sample count, sigma variant or column of
        the table.
    """
    return FoldEvaluation.of(folds)


def _one_sigma(choices: list[SigmaChoice]) -> list[SigmaChoice]:
    """Replace the folds' choices by the sigma of the best mean over folds."""
    grid = choices[0].sigmas
    best = int(np.argmax(np.mean([choice.means for choice in choices], axis=0)))
    edge = best in (0, len(grid) - 1)
    return [SigmaChoice(grid[best], grid, choice.means, edge) for choice in choices]


def _from(progress: Progress, start: int, n_total: int) -> Progress:
    return lambda n_done, _: progress(start + n_done, n_total)


def _check_n_blocks(n_blocks: int) -> None:
    # every block costs n_test float64 numbers
    if not 2 <= n_blocks <= 1_000:
        raise ValueError(f"n_blocks: expected a number from 2 to 1,000, got {n_blocks}")


def _samples_of(
    source: Any,
    datasets: Sequence[Dataset],
    n_samples: int | None,
    seed: int,
    processes: Processes,
) -> Samples:
    """Return the samples to judge, on every process, if they fit the data."""
    samples = draw_samples(source, n_samples, seed, processes)
    with processes.together():
        for dataset in datasets:
            _check_features(samples, dataset)
    return samples


def _check_same(
    processes: Processes, source: Any, datasets: Sequence[Dataset], *options: Any
) -> None:
    """Raise ``ValueError`` on every process where they were not asked the same."""
    if processes.size == 1:
        return
    shape = getattr(source, "shape", None)
    check_same_arguments(
        processes,
        samples=type(source).__name__ if shape is None else (tuple(shape), str(source.dtype)),
        datasets=[(d.name, *(tuple(x.shape) for x in (d.test, d.validation))) for d in datasets],
        options=options,
    )


def _check_features(samples: Samples, dataset: Dataset) -> None:
    expected = int(dataset.test.shape[1])
    if samples.n_features != expected:
        raise ValueError(
            f"{samples.name}: expected {expected} columns as in the data set {dataset.name!r}, "
            f"got shape {(samples.n_samples, samples.n_features)}"
        )
