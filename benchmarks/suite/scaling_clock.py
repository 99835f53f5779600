"""The clock of the scaling curves: one point after the other, a floor in turn, errors first."""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

import fastgan
from benchmarks import harness, peers
from benchmarks.suite.scaling_plan import Plan, block_rows, is_held
from benchmarks.suite.scaling_points import (
    Images,
    NearestTruth,
    ParzenTruth,
    images,
    nearer,
)
from benchmarks.training_steps import step_products, step_settings
from fastgan.processes import Processes

ROUND_SECONDS, MOST_ROUNDS, LEAST_ROUNDS = 4.0, 15, 3
LONG_CALL_SECONDS = 20.0  # longer ones are made once


@dataclass(frozen=True)
class Point:
    """Time of one size; ``seconds`` is the median of the rounds, ``low`` and ``high`` .1 and .9.

    ``floor_seconds`` is the bare product ``torch.mm`` of all queries and samples, made in turn with
    it by as many threads; None where it was not made. ``note`` of a point without numbers says why.
    """

    operation: str
    n_threads: int
    n_processes: int
    n_features: int = 0
    n_queries: int = 0
    n_samples: int = 0
    data: str = ""
    sigma: float | None = None
    is_held: bool = True  # given in one call; else made and given block by block
    seconds: float | None = None
    low: float | None = None
    high: float | None = None
    n_rounds: int = 0
    floor_seconds: float | None = None
    error: float | None = None
    error_unit: str = ""
    note: str = ""


def left_out(plan: Plan, reason: str, **size: Any) -> Point:
    """Return a point without numbers."""
    return Point(plan.operation, plan.n_threads, plan.n_processes, **size, note=reason)


def measure(plan: Plan, group: Any, *, quick: bool) -> Iterator[Point]:
    """Yield the points of Parzen sums or neighbours.

    Raises
    ------
    WrongResultError
        If a result is off by more than its contract: no time is reported.
    """
    for width in plan.widths:
        try:
            found = images(width, plan.n_queries, quick=quick)
        except FileNotFoundError as error:
            yield left_out(plan, str(error).splitlines()[0], n_features=width)
            continue
        sigma = found.sigma()
        counts = [count for n_features, count in plan.points() if n_features == width]
        most = max((count for count in counts if is_held(width, count)), default=0)
        held = found.held(most)
        for count in counts:
            if count > most:
                held = held[:0].clone()  # its memory, before blocks take theirs
            if count <= most:
                point = _of_held(plan, found, held[:count], sigma, group)
            else:
                point = _of_blocks(plan, found, count, sigma)
            if group is None or group.rank() == 0:
                print(f"{plan.name}: {width} x {count:,}: {point.seconds:.4g} s", file=sys.stderr)
            yield point
        del held


def _of_held(plan: Plan, found: Images, samples: Tensor, sigma: float, group: Any) -> Point:
    """One call on samples in memory, in turn with the bare product."""
    options = {} if group is None else {"process_group": group}
    if plan.operation == "parzen":
        call = partial(fastgan.parzen_log_likelihood, found.queries, samples, sigma, **options)
    else:
        call = partial(fastgan.nearest_neighbors, found.queries, samples, **options)
    once, result = _timed(call, group)
    truth = _truth(plan, found, sigma)
    truth.add(samples)
    error = checked(truth, result, f"{plan.name}, {tuple(samples.shape)}")
    calls = [call]
    if group is None:
        width = peers.SAMPLES
        calls.append(partial(peers.product, found.queries, samples, n_columns=width))
    n_rounds = 1
    times: list[list[float]] = [[once], []]
    if once <= LONG_CALL_SECONDS:  # the first call warmed up
        once = _timed(call, group)[0]
        n_rounds = int(min(MOST_ROUNDS, max(LEAST_ROUNDS, ROUND_SECONDS / max(once, 1e-6))))
        n_rounds = _agreed(n_rounds, group)
        times = [[], []]
        for _ in range(n_rounds):
            for seconds, one in zip(times, calls, strict=False):
                seconds.append(_timed(one, group)[0])
    elif len(calls) > 1:
        times[1].append(_timed(calls[1], group)[0])
    return _point(plan, found, len(samples), sigma, times, error, truth.unit)


def _of_blocks(plan: Plan, found: Images, n_samples: int, sigma: float) -> Point:
    """Samples that are made block by block, which the clock does not see, and never held."""
    rows = block_rows(plan.operation, found.queries.shape[1])
    truth = _truth(plan, found, sigma)
    seconds = 0.0
    result: Any
    if plan.operation == "parzen":
        stream = fastgan.ParzenStream(found.queries, sigma, n_samples=n_samples)
        for block in found.blocks(n_samples, rows):
            seconds += _timed(partial(stream.update, block), None)[0]
            truth.add(block)
        last, result = _timed(stream.log_likelihood, None)
        seconds += last
    else:
        result = (
            torch.full((len(found.queries), 1), math.inf, dtype=torch.float64),
            torch.zeros(len(found.queries), 1, dtype=torch.int64),
        )
        first = 0
        for block in found.blocks(n_samples, rows):
            taken, here = _timed(partial(fastgan.nearest_neighbors, found.queries, block), None)
            result = nearer(result, here, first)
            seconds += taken
            truth.add(block)
            first += len(block)
    error = checked(truth, result, f"{plan.name}, {n_samples:,} samples in blocks")
    times = [[seconds], []]
    return _point(plan, found, n_samples, sigma, times, error, truth.unit, is_held=False)


def measure_step(plan: Plan, group: Any, *, quick: bool) -> Point:
    """A step of the mnist recipe at its start; alone, in turn with its dense products alone."""
    recipe = step_settings.by_shape("mnist").replace(**step_settings.STILL)
    recipe = step_settings.tiny(recipe) if quick else recipe
    setting = step_settings.fresh(recipe, "mnist")
    processes = Processes(group)
    step = setting.step("fused", processes=processes)
    step.n_threads = plan.n_threads
    turns = setting.turns()
    calls: list[Callable[[], Any]] = [lambda: step(next(turns))]
    if processes.size == 1:
        nets = (step.generator, step.discriminator)
        weights = [[p for p in net.parameters() if p.ndim == 2] for net in nets]
        calls.append(step_products.make_products(recipe, *weights))
    n_calls = 2 if quick else 20
    times: list[list[float]] = [[], []]
    for number in range(1 + (3 if quick else MOST_ROUNDS)):
        for seconds, call in zip(times, calls, strict=False):
            taken = _timed(partial(_repeat, call, n_calls), group)[0]
            if number:  # the first round warms up
                seconds.append(taken / n_calls)
    processes.leave()
    return Point(
        plan.operation,
        plan.n_threads,
        plan.n_processes,
        n_features=recipe.n_features,
        data=setting.words,
        **_statistics(times),
    )


def _repeat(call: Callable[[], Any], n_calls: int) -> None:
    for _ in range(n_calls):
        call()


def checked(truth: ParzenTruth | NearestTruth, result: Any, words: str) -> float:
    """Return a result's error; WrongResultError above its contract."""
    error = truth.error(result)
    if not error <= truth.bound:
        raise harness.WrongResultError(
            f"{words}: error {error} {truth.unit}, the bound is {truth.bound:g}"
        )
    return error


def _truth(plan: Plan, found: Images, sigma: float) -> ParzenTruth | NearestTruth:
    kind = ParzenTruth if plan.operation == "parzen" else NearestTruth
    return kind(found.queries, sigma)


def _point(
    plan: Plan,
    found: Images,
    n_samples: int,
    sigma: float,
    times: list[list[float]],
    error: float,
    unit: str,
    *,
    is_held: bool = True,
) -> Point:
    n_queries, n_features = found.queries.shape
    return Point(
        plan.operation,
        plan.n_threads,
        plan.n_processes,
        n_features,
        n_queries,
        n_samples,
        found.words,
        sigma if plan.operation == "parzen" else None,
        is_held,
        **_statistics(times),
        error=error,
        error_unit=unit,
    )


def _statistics(times: list[list[float]]) -> dict[str, Any]:
    ours, floor = times
    return {
        "seconds": statistics.median(ours),
        "low": harness.quantile(ours, 0.1),
        "high": harness.quantile(ours, 0.9),
        "n_rounds": len(ours),
        "floor_seconds": statistics.median(floor) if floor else None,
    }


def _timed(call: Callable[[], Any], group: Any) -> tuple[float, Any]:
    """Return the seconds until all processes are done, and what the call returned here."""
    if group is not None:
        torch.distributed.barrier(group)
    started = time.perf_counter()
    result = call()
    if group is not None:
        torch.distributed.barrier(group)
    return time.perf_counter() - started, result


def _agreed(n_rounds: int, group: Any) -> int:
    """Return the first process's number of rounds."""
    if group is None:
        return n_rounds
    shared = torch.tensor([n_rounds])
    torch.distributed.broadcast(shared, 0, group)
    return int(shared)
