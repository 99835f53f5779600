"""Measure contenders side by side, errors first.

Every contender computes the same thing. Before anything is timed, fastgan's result is compared with
a float64 reference; if its error passes the bound, :class:`WrongResultError` is raised and there is
no number. Then all are warmed up and timed in turn, A B C A B C ..., so that a machine that slows
down slows them all; a ratio is taken in each round, and the median with its spread is reported.
"""

from __future__ import annotations

import datetime
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from fastgan import backends

RESULTS = Path(__file__).parent / "results"


class WrongResultError(Exception):
    """fastgan's own result is off by more than the bound: no speed is reported from it."""


@dataclass(frozen=True)
class Contender:
    """One way to compute the same thing.

    ``error`` recomputes with it and returns the error against a float64 reference, in the
    comparison's unit; None for a floor, which does less than the whole work, and where random masks
    cannot be compared.
    """

    name: str
    call: Callable[[], Any]
    error: Callable[[], float] | None = None
    is_floor: bool = False


@dataclass(frozen=True)
class Comparison:
    """fastgan (the first contender) and its peers at one size.

    ``bound`` is the largest error that fastgan's result may have; ``error_unit`` says of what.
    """

    operation: str
    size: str
    contenders: Sequence[Contender]
    bound: float
    error_unit: str


@dataclass(frozen=True)
class Row:
    """One contender's result; ratios are its time over fastgan's: 2 is half as fast as fastgan.

    A contender that failed has a ``note`` and no numbers.
    """

    operation: str
    size: str
    contender: str
    is_floor: bool = False
    seconds: float | None = None
    ratio_median: float | None = None
    ratio_low: float | None = None  # quantile .1 over rounds
    ratio_high: float | None = None  # quantile .9
    error: float | None = None
    bound: float | None = None
    error_unit: str = ""
    n_rounds: int = 0
    note: str = ""
    machine: dict[str, str] = field(default_factory=dict)


def measure(comparison: Comparison, *, n_rounds: int = 15, block_seconds: float = 0.2) -> list[Row]:
    """Check and time one comparison.

    Parameters
    ----------
    comparison : Comparison
    n_rounds : int
        Rounds of A B C ...; one ratio a round.
    block_seconds : float
        A contender is called in each round until about this time is filled, at least once.

    Returns
    -------
    list of Row
        fastgan's first.

    Raises
    ------
    WrongResultError
        If fastgan's error is above the bound, or not a number.
    """
    ours = comparison.contenders[0]
    errors: dict[str, float | None] = {}
    notes: dict[str, str] = {}
    for contender in comparison.contenders:
        try:
            contender.call()
            errors[contender.name] = None if contender.error is None else contender.error()
        except Exception as error:
            if contender is ours:
                raise
            notes[contender.name] = f"failed: {type(error).__name__}: {str(error).splitlines()[:1]}"
    found = errors[ours.name]
    if found is None or not found <= comparison.bound:
        raise WrongResultError(
            f"{comparison.operation}, {comparison.size}: error {found} {comparison.error_unit}, "
            f"the bound is {comparison.bound:g}: no time is reported"
        )
    running = [c for c in comparison.contenders if c.name not in notes]
    n_calls = {c.name: _calls_to_fill(c.call, block_seconds) for c in running}  # warms up too
    times: dict[str, list[float]] = {c.name: [] for c in running}
    for _ in range(n_rounds):
        for contender in running:
            started = time.perf_counter()
            for _ in range(n_calls[contender.name]):
                contender.call()
            elapsed = time.perf_counter() - started
            times[contender.name].append(elapsed / n_calls[contender.name])
    here = machine()
    rows = []
    for contender in comparison.contenders:
        common = {
            "operation": comparison.operation,
            "size": comparison.size,
            "contender": contender.name,
            "is_floor": contender.is_floor,
            "machine": here,
        }
        if contender.name in notes:
            rows.append(Row(**common, note=notes[contender.name]))
            continue
        ratios = [
            theirs / own
            for theirs, own in zip(times[contender.name], times[ours.name], strict=True)
        ]
        rows.append(
            Row(
                **common,
                seconds=statistics.median(times[contender.name]),
                ratio_median=statistics.median(ratios),
                ratio_low=quantile(ratios, 0.1),
                ratio_high=quantile(ratios, 0.9),
                error=errors[contender.name],
                bound=comparison.bound if contender is ours else None,
                error_unit=comparison.error_unit,
                n_rounds=n_rounds,
            )
        )
    return rows


def time_with_pytest(benchmark: Any, comparison: Comparison, name: str) -> None:
    """Time one contender under pytest-benchmark, after the same check of fastgan's error."""
    ours = comparison.contenders[0]
    (contender,) = [c for c in comparison.contenders if c.name == name]
    found = math.nan if ours.error is None else ours.error()
    if not found <= comparison.bound:
        raise WrongResultError(
            f"{comparison.operation}: error {found}, the bound is {comparison.bound}"
        )
    own = contender.error() if contender.error is not None else None
    benchmark.extra_info.update(error=own, error_unit=comparison.error_unit, size=comparison.size)
    benchmark.group = f"{comparison.operation} {comparison.size}"
    benchmark(contender.call)


def quantile(values: Sequence[float], level: float) -> float:
    """Return a quantile with linear interpolation."""
    ordered = sorted(values)
    place = level * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def machine() -> dict[str, str]:
    """Say on what, and with which versions, a row was measured."""
    packages = ("fastgan", "torch", "numpy", "scikit-learn")
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "SIMD level": backends.simd_level(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: _installed(name) for name in packages},
    }


def markdown(rows: Iterable[Row]) -> str:
    """Return a table for people: times, ratios with their spread, errors, machine and versions."""
    rows = list(rows)
    lines = [
        "| operation | size | contender | time | times fastgan's | error |",
        "|---|---|---|---:|---:|---:|",
    ]
    for row in rows:
        name = f"{row.contender} (floor)" if row.is_floor else row.contender
        if row.seconds is None:
            lines.append(f"| {row.operation} | {row.size} | {name} | - | - | {row.note} |")
            continue
        ratio = f"{row.ratio_median:.2f} ({row.ratio_low:.2f} to {row.ratio_high:.2f})"
        error = "-" if row.error is None else f"{row.error:.1e} {row.error_unit}"
        lines.append(
            f"| {row.operation} | {row.size} | {name} | {readable(row.seconds)} "
            f"| {'1' if row.bound is not None else ratio} | {error} |"
        )
    if rows:
        lines.append("")
        lines.append("; ".join(f"{key} {value}" for key, value in rows[0].machine.items()) + ".")
        lines.append(f"Medians of {max(row.n_rounds for row in rows)} interleaved rounds; "
                     "in brackets the quantiles .1 and .9.")  # fmt: skip
    return "\n".join(lines) + "\n"


def write(rows: Sequence[Row], name: str, folder: Path = RESULTS) -> Path:
    """Write rows as ``<name>.json`` and ``<name>.md`` into a folder, and return the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps([asdict(row) for row in rows], indent=2)
    (folder / f"{name}.json").write_text(content + "\n", encoding="utf-8")
    path = folder / f"{name}.md"
    path.write_text(markdown(rows), encoding="utf-8")
    return path


def readable(seconds: float) -> str:
    """Return a time with three digits and a unit."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def _calls_to_fill(call: Callable[[], Any], block_seconds: float) -> int:
    call()
    started = time.perf_counter()
    call()
    once = max(time.perf_counter() - started, 1e-7)
    return max(1, min(10_000, round(block_seconds / once)))


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
