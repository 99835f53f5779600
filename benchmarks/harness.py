"""Measure contenders side by side, errors first.

Every contender computes the same thing. Before anything is timed, fastgan's result is compared with
a float64 reference; if its error passes the bound, :class:`WrongResultError` is raised and there is
no number. Then all are warmed up and timed in turn, A B C A B C ..., so that a machine that slows
down slows them all; a ratio is taken in each round, and the median with its spread is reported.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from benchmarks.devices import CPU, Clock, Demand, Device, named, why_no_cuda
from benchmarks.machine import machine
from benchmarks.rows import Row

# One of a few queries says little of many: an index built for one, a product of one row.
LEAST_PART = 20
SLOW = 20.0  # a peer this many times slower than fastgan runs once
# From a part of the queries that is believed at this many times only: scikit-learn's neighbours
# took 1.4 times as long for each of a hundred queries as for each of a thousand.
SURELY_SLOW = 60.0
LEAST_ROUNDS = 3
LONG_CALL_SECONDS = 60.0  # a call this long is not repeated to warm it up


class WrongResultError(Exception):
    """fastgan's own result is off by more than the bound: no speed is reported from it."""


class NotInstalledError(Exception):
    """A peer's package is not installed: its row says so."""


@dataclass(frozen=True)
class Options:
    """What a run of the benchmarks is asked for.

    ``samples`` is a ``.npy`` file of shape (n, 784), float32 in [0, 1], that a trained MNIST
    generator drew; ``run`` the folder of a training run, whose networks a step is also timed with;
    ``cases`` the cases of a benchmark to run (none: all of them); ``device`` where tensors live.
    """

    quick: bool = False
    compile: bool = True  # False leaves out what calls a compiler: torch.compile and KeOps
    samples: Path | None = None
    run: Path | None = None
    cases: tuple[str, ...] = ()
    device: Device = CPU


@dataclass(frozen=True)
class Part:
    """A contender on some of the queries, for one that may be too slow to run on all of them.

    ``call`` does all the work that does not depend on the queries, an index say, and ``share`` of
    the rest; ``error`` compares its result with that share of the reference.
    """

    call: Callable[[], Any]
    error: Callable[[Any], float] | None
    share: float
    words: str


def n_of_part(n_queries: int) -> int:
    """Return how many queries a peer that may be slow is tried on: a hundredth, at least 20."""
    return min(n_queries, max(LEAST_PART, n_queries // 100))


@dataclass(frozen=True)
class Contender:
    """One way to compute the same thing.

    ``error`` takes what ``call`` returned and gives its error against a float64 reference, in the
    comparison's unit; None for a floor, which does less than the whole work, and where random masks
    cannot be compared. ``remark`` takes the same and says something about it. ``build`` is what of
    the call makes an index; it is timed apart as well. ``part`` is tried first where it is given.
    """

    name: str
    call: Callable[[], Any]
    error: Callable[[Any], float] | None = None
    is_floor: bool = False
    build: Callable[[], Any] | None = None
    part: Part | None = None
    remark: Callable[[Any], str] | None = None


class Work(Protocol):
    """Something that can be measured: a :class:`Comparison`, say."""

    @property
    def operation(self) -> str:
        """Say what is measured."""

    @property
    def size(self) -> str:
        """Say at which size, and on what."""

    def measure(self, *, n_rounds: int, block_seconds: float, budget_seconds: float) -> list[Row]:
        """Return a row a contender."""


@dataclass(frozen=True)
class LeftOut:
    """A comparison that cannot be made here, and why."""

    operation: str
    size: str
    reason: str
    device: Device = CPU

    def measure(self, *, n_rounds: int, block_seconds: float, budget_seconds: float) -> list[Row]:
        """Return one row without numbers."""
        note = f"left out: {self.reason}"
        return [Row(self.operation, self.size, "all", note=note, machine=machine(self.device))]


@dataclass(frozen=True)
class Comparison:
    """fastgan (the first contender) and its peers at one size.

    ``bound`` is the largest error that fastgan's result may have; ``error_unit`` says of what.
    ``device`` has the clock; on one whose peaks are known each row says which part of the roofline
    of ``demand`` it reaches: what the whole operation takes, whoever does it.
    """

    operation: str
    size: str
    contenders: Sequence[Contender]
    bound: float
    error_unit: str
    device: Device = CPU
    demand: Demand | None = None

    def measure(
        self,
        *,
        n_rounds: int = 15,
        block_seconds: float = 0.2,
        budget_seconds: float = math.inf,
    ) -> list[Row]:
        """Check and time.

        Parameters
        ----------
        n_rounds : int
            Rounds of A B C ...; one ratio a round.
        block_seconds : float
            A contender is called in each round until about this time is filled, at least once.
        budget_seconds : float
            Fewer rounds are made where these would take longer, but not fewer than 3.

        Returns
        -------
        list of Row
            fastgan's first.

        Raises
        ------
        WrongResultError
            If fastgan's error is above the bound, or not a number.
        """
        ours = _Run(self.contenders[0], self.device.clock)
        ours.check()
        if ours.error is None or not ours.error <= self.bound:
            raise WrongResultError(
                f"{self.operation}, {self.size}: error {ours.error} {self.error_unit}, "
                f"the bound is {self.bound:g}: no time is reported"
            )
        ours.warm_up(block_seconds)
        runs = [ours]
        for contender in self.contenders[1:]:
            run = _Run(contender, self.device.clock)
            runs.append(run)
            try:
                if not run.is_surely_slow(SURELY_SLOW * ours.once):
                    run.check()
                    run.warm_up(block_seconds)
                    if run.once > SLOW * ours.once:
                        run.keep_once()
            except NotInstalledError as error:
                run.failure = f"not installed: {error}"
            except Exception as error:
                words = next(iter(str(error).splitlines()), "")
                run.failure = f"failed: {type(error).__name__}: {words}"
        timed = [run for run in runs if not run.failure and not run.slow_seconds]
        round_seconds = sum(run.n_calls * run.once for run in timed)
        fit = budget_seconds / round_seconds if round_seconds > 0 else math.inf
        n_rounds = int(min(n_rounds, max(LEAST_ROUNDS, fit)))
        for _ in range(n_rounds):
            for run in timed:
                run.time()
        return [self._row(run, ours) for run in runs]

    def _row(self, run: _Run, ours: _Run) -> Row:
        common = {
            "operation": self.operation,
            "size": self.size,
            "contender": run.contender.name,
            "is_floor": run.contender.is_floor,
            "machine": machine(self.device),
            "note": run.failure or run.remark,
        }
        if run.failure:
            return Row(**common)
        if run.slow_seconds:
            own = statistics.median(ours.seconds)
            times, ratios = [run.slow_seconds], [run.slow_seconds / own]
        else:
            times = run.seconds
            ratios = [a / b for a, b in zip(run.seconds, ours.seconds, strict=True)]
        seconds = statistics.median(times)
        least = None if run.contender.is_floor else self.device.least_seconds(self.demand)
        return Row(
            **common,
            seconds=seconds,
            roofline_fraction=least[0] / seconds if least and seconds > 0 else None,
            roofline_bound=least[1] if least else "",
            build_seconds=statistics.median(run.build_seconds) if run.build_seconds else None,
            ratio_median=statistics.median(ratios),
            ratio_low=quantile(ratios, 0.1),
            ratio_high=quantile(ratios, 0.9),
            error=run.error,
            bound=self.bound if run is ours else None,
            error_unit=self.error_unit,
            n_rounds=len(times),
            measured_on=run.measured_on,
        )


class _Run:
    """A contender with what has been found out about it."""

    def __init__(self, contender: Contender, clock: Clock) -> None:
        self.contender = contender
        self.clock = clock
        self.error: float | None = None
        self.remark = ""
        self.failure = ""
        self.once = 0.0  # seconds of one call
        self.n_calls = 1
        self.seconds: list[float] = []
        self.build_seconds: list[float] = []
        self.slow_seconds = 0.0  # where it is slow and not timed again: what all queries take
        self.measured_on = ""  # and from which of them it is known

    def check(self) -> None:
        """Call it for the first time and look at the result."""
        self.once, result = self.clock.once(self.contender.call)
        if self.contender.error is not None:
            self.error = self.contender.error(result)
        if self.contender.remark is not None:
            self.remark = self.contender.remark(result)

    def warm_up(self, block_seconds: float) -> None:
        """Find out how long a warm call takes and how many fill a block."""
        if self.once < LONG_CALL_SECONDS:
            self.once = max(self.clock.once(self.contender.call)[0], 1e-7)
        self.n_calls = max(1, min(self.clock.most_calls, round(block_seconds / self.once)))

    def keep_once(self) -> None:
        """Let the one call that was timed stand for all rounds."""
        self.slow_seconds = self.once
        self.measured_on = "all queries"
        if self.contender.build is not None:
            self.build_seconds.append(self.clock.once(self.contender.build)[0])

    def is_surely_slow(self, limit_seconds: float) -> bool:
        """Try a part of the work; if all of it would take longer than the limit, keep that."""
        part = self.contender.part
        if part is None:
            return False
        part.call()  # warms up; KeOps calls its compiler
        seconds, result = self.clock.once(part.call)
        built = 0.0 if self.contender.build is None else self.clock.once(self.contender.build)[0]
        whole = built + max(seconds - built, 0.0) / part.share
        if whole <= limit_seconds:
            return False
        self.slow_seconds = whole
        self.measured_on = part.words
        if self.contender.build is not None:
            self.build_seconds.append(built)
        if part.error is not None:
            self.error = part.error(result)
        return True

    def time(self) -> None:
        """Measure one round."""
        self.seconds.append(self.clock.each(self.contender.call, self.n_calls))
        if self.contender.build is not None:
            self.build_seconds.append(self.clock.once(self.contender.build)[0])


def time_with_pytest(benchmark: Any, work: Iterator[Work], name: str) -> None:
    """Time one contender of the first comparison under pytest-benchmark, errors checked first.

    pytest-benchmark has the host's clock alone: on a GPU it sees a call until it is done there, on
    a warm cache. The device's own seconds, on a cold one, and the part of the roofline that they
    reach stand in ``extra_info``.
    """
    comparison = next(work)
    if isinstance(comparison, LeftOut):
        pytest.skip(comparison.reason)
    if not isinstance(comparison, Comparison):
        raise TypeError(f"work: expected a Comparison first, got {type(comparison).__name__}")
    ours = comparison.contenders[0]
    (contender,) = [c for c in comparison.contenders if c.name == name]
    found = math.nan if ours.error is None else ours.error(ours.call())
    if not found <= comparison.bound:
        raise WrongResultError(
            f"{comparison.operation}: error {found}, the bound is {comparison.bound}"
        )
    own = contender.error(contender.call()) if contender.error is not None else None
    benchmark.extra_info.update(error=own, error_unit=comparison.error_unit, size=comparison.size)
    benchmark.group = f"{comparison.operation} {comparison.size}"
    device = comparison.device
    if not device.is_gpu:
        benchmark(contender.call)
        return
    seconds = device.clock.each(contender.call, device.clock.most_calls)
    least = device.least_seconds(comparison.demand)
    benchmark.extra_info.update(
        device=device.name,
        device_seconds=seconds,
        roofline_fraction=least[0] / seconds if least else None,
    )
    benchmark.group += f" on {device.name}"
    benchmark(device.clock.once, contender.call)


def on_each_device(function: Callable[..., None]) -> Callable[..., None]:
    """Run a test of pytest-benchmark on the CPU and on a GPU, as ``device``: its options' name."""
    reason = why_no_cuda()
    cuda = pytest.param("cuda", marks=pytest.mark.skipif(bool(reason), reason=reason))
    marked: Callable[..., None] = pytest.mark.parametrize("device", ["cpu", cuda])(function)
    return marked


def tiny(device: str) -> Options:
    """Return options of the smallest sizes, without what calls a compiler."""
    return Options(quick=True, compile=False, device=named(device))


def quantile(values: Sequence[float], level: float) -> float:
    """Return a quantile with linear interpolation."""
    ordered = sorted(values)
    place = level * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])
