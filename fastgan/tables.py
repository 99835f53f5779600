"""What the command line prints: tables of results and of what is here."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from rich.markup import escape
from rich.table import Table

import fastgan
from fastgan import backends
from fastgan.fold_table import fold_errors, fold_results
from fastgan.published import N_SAMPLES_PUBLISHED
from fastgan.scores import Evaluation, FoldEvaluation


def scores(found: Evaluation | FoldEvaluation, model: str = "fastgan") -> list[Table | str]:
    """Return all that is printed of an evaluation but what to know before comparing it."""
    if isinstance(found, FoldEvaluation):
        return [fold_results(found, model), fold_errors(found)]
    return [results(found, model), *curve(found), errors(found)]


def results(evaluation: Evaluation, model: str = "fastgan") -> Table:
    """Set an evaluation beside the published rows of its data set, if it has any."""
    column = evaluation.comparable_to
    table = Table(
        title=f"Parzen-window log-likelihood, {evaluation.dataset}, nats", title_justify="left"
    )
    table.add_column("model")
    table.add_column("mean ± standard error", justify="right")
    table.add_column("source")
    for row in evaluation.references:
        score = row.score(column) if column else None
        table.add_row(row.model, str(score), row.source)
    if evaluation.references:
        table.add_section()
    for found in evaluation.scores:
        source = (
            f"this model; sigma {found.sigma:.4g}, {found.n_samples:,} samples, "
            f"{evaluation.n_test:,} test images"
        )
        both = f"{found.mean:.1f} ± {found.standard_error:.1f}"
        table.add_row(escape(model), both, source, style="bold")
    return table


def curve(evaluation: Evaluation) -> list[Table | str]:
    """Show the score at 1,000, 10,000, ... samples; nothing where there are 10,000 or fewer."""
    if evaluation.protocol_sigma is None:
        return []
    table = Table(title="The score as samples are added, nats", title_justify="left")
    for name in ("samples", "mean ± standard error", "sigma"):
        table.add_column(name, justify="right")
    for n_samples, mean, error in zip(
        evaluation.curve_n_samples,
        evaluation.curve_means,
        evaluation.curve_standard_errors,
        strict=True,
    ):
        table.add_row(
            f"{n_samples:,}", f"{mean:.2f} ± {error:.2f}", f"{evaluation.protocol_sigma:.4g}"
        )
    if evaluation.sigma != evaluation.protocol_sigma:
        table.add_section()
        both = f"{evaluation.mean:.2f} ± {evaluation.standard_error:.2f}"
        table.add_row(f"{evaluation.n_samples:,}", both, f"{evaluation.sigma:.4g}")
    chosen = (
        f"Sigma {evaluation.protocol_sigma:.4g} is chosen on {evaluation.n_validation:,} "
        f"validation images at {N_SAMPLES_PUBLISHED:,} samples, as published; "
    )
    if evaluation.sigma == evaluation.protocol_sigma:
        chosen += f"chosen again at {evaluation.n_samples:,}, it is the same."
    else:
        chosen += f"chosen again at {evaluation.n_samples:,}, it is {evaluation.sigma:.4g}."
    return [table, f"{chosen} Evaluated in {duration(evaluation.seconds)}."]


def errors(evaluation: Evaluation) -> str:
    """Say in a line what the two standard errors are over."""
    text = f"± {evaluation.standard_error:.2f} over test images"
    if evaluation.sample_standard_error is not None:
        text += (
            f", ± {evaluation.sample_standard_error:.2f} over model samples "
            f"(jackknife, {evaluation.n_blocks} blocks)"
        )
    text += f"; validation {evaluation.validation_log_likelihood:.2f} nats"
    if evaluation.dropped_nats > 0:
        text += f"; at most {evaluation.dropped_nats:.1g} nats too low for samples left out"
    return f"{text}."


def environment(data: Sequence[tuple[str, str]], cache: Path) -> Table:
    """Say what is here: versions, SIMD levels, threads, devices, data."""
    levels = ", ".join(backends.simd_levels())
    devices = ["cpu"]
    if torch.cuda.is_available():
        devices += [
            f"cuda:{number} {torch.cuda.get_device_name(number)}"
            for number in range(torch.cuda.device_count())
        ]
    rows: list[tuple[str, Any]] = [
        ("fastgan", fastgan.__version__),
        ("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        ("torch", torch.__version__),
        ("numpy", installed("numpy")),
        ("triton", installed("triton")),
        ("SIMD level", f"{backends.simd_level()} (of {levels}; FASTGAN_SIMD_LEVEL forces one)"),
        ("threads", f"{torch.get_num_threads()} (--threads, or torch.set_num_threads)"),
        ("devices", "\n".join(devices)),
        *((f"data: {name}", where) for name, where in data),
        ("cache", cache),
    ]
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, str(value))
    return table


def installed(package: str) -> str:
    """Return a package's version, or say that it is not installed, without importing it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def duration(seconds: float) -> str:
    """Return a time as ``1 h 02 min``, ``2 min 05 s`` or ``3.1 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(math.floor(seconds), 60)
    return (
        f"{minutes} min {rest:02d} s"
        if minutes < 60
        else f"{minutes // 60} h {minutes % 60:02d} min"
    )
