"""Numbers of the document as words: times, ratios with their spread, errors, tables, paragraphs."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.rows import readable
from benchmarks.suite.document import Document, MissingError, Row

NONE = "-"
WIDTH = 105  # of the README's lines


def time_of(row: Row) -> str:
    """Return a time, and in brackets what of it an index took: ``149 ms (47)``."""
    text = readable(row["seconds"])
    if row["build_seconds"] is None:
        return text
    built = readable(row["build_seconds"])
    value, unit = built.split()
    return f"{text} ({value if unit == text.split()[1] else built})"


def ratio(row: Row) -> str:
    """Return times fastgan's time with quantiles .1 and .9, or on what it was timed once."""
    if row["measured_on"]:
        on = row["measured_on"]
        once = "once" if on == "all queries" else f"on {on.split()[0]} queries"
        return f"{row['ratio_median']:.3g} ({once})"
    return f"{times(row)} ({digits(row['ratio_low'])} to {digits(row['ratio_high'])})"


def times(row: Row) -> str:
    """Return the ratio without its spread."""
    return digits(row["ratio_median"])


def digits(value: float) -> str:
    """Return a ratio with three digits, two places at most: 0.97, 3.05, 11.7, 350."""
    if value < 9.995:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def error(row: Row, unit: str = "") -> str:
    """Return an error with one digit, and its unit."""
    return f"{_short(row['error'])} {unit or row['error_unit']}"


def _short(value: float) -> str:
    """Return a small number with one digit (two where the first is 1): 2e-10, 1.5e-03 as 1.5e-3."""
    if value == 0:
        return "0"
    text = f"{value:.1e}" if f"{value:.1e}".startswith("1") else f"{value:.0e}"
    mantissa, _, exponent = text.partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def megabytes(n_bytes: float) -> str:
    return f"{n_bytes / 1e6:.0f} MB"


def duration(seconds: float) -> str:
    """Return seconds as people say them: 31 s, 4 min 34 s."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def cell(make: Callable[[], str]) -> str:
    """Return a cell, "-" where the results hold nothing for it."""
    try:
        return make()
    except MissingError:
        return NONE


def table(head: Sequence[str], rows: Sequence[Sequence[str]], n_left: int = 1) -> str:
    """Return a Markdown table: the first columns to the left, the others to the right."""
    rule = ["---"] * n_left + ["---:"] * (len(head) - n_left)
    lines = [head, rule, *rows]
    made = ["| " + " | ".join(line) + " |" for line in lines]
    made[1] = "|" + "|".join(rule) + "|"
    return "\n".join(made)


def paragraph(text: str, *, bullet: bool = False) -> str:
    """Return a paragraph in lines of the README's width."""
    return textwrap.fill(
        " ".join(text.split()),
        width=WIDTH,
        initial_indent="- " if bullet else "",
        subsequent_indent="  " if bullet else "",
        break_long_words=False,
        break_on_hyphens=False,
    )


def bullets(texts: Sequence[str]) -> str:
    return "\n".join(paragraph(text, bullet=True) for text in texts)


def machine_words(document: Document) -> str:
    """Say on what was measured: cores, processor, versions, threads, and whether it was quiet."""
    here: dict[str, Any] = document.machine
    packages = [
        f"{name} {here[name]}"
        for name in ("numpy", "faiss-cpu", "pykeops", "scikit-learn")
        if here.get(name, "not installed") != "not installed"
    ]
    quiet = "nothing else running" if document.is_quiet else "on a machine that was NOT quiet"
    level = here["SIMD level"].upper().replace("_", " ").replace("AVX512", "AVX-512")
    processor = here["processor"].replace("(R)", "").removesuffix(" Processor")
    return (
        f"{here['cores']} cores, {processor} with {level} ({here['system'].split()[0]}, "
        f"Python {here['python'].rpartition('.')[0]}, torch {here['torch']} with "
        f"{here[_BLAS].split(':')[0]}, {', '.join(packages)}), {n_threads(document)}, {quiet}"
    )


def n_threads(document: Document) -> str:
    """Say with how many threads the comparisons ran."""
    counts = sorted({part["n_threads"] for part in document.parts})
    names = {1: "one thread", 2: "two threads"}
    return " or ".join(names.get(n, f"{n} threads") for n in counts)


_BLAS = "torch's BLAS"
