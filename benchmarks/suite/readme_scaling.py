"""The README's numbers of scaling: the largest sizes, and what a second worker brings."""

from __future__ import annotations

from typing import Any

from benchmarks.rows import readable
from benchmarks.suite.document import Document, MissingError, Row
from benchmarks.suite.scaling_pictures import NAMES, fastest, speedups
from benchmarks.suite.words import digits, error, paragraph

WIDTH, COMMON = 784, 1_000_000  # where workers are compared: the largest that all measured
WORKERS = {"two threads": (2, 1), "two processes": (1, 2)}
WORDS = {"parzen": "Parzen sums", "neighbors": "nearest neighbours"}


def scaling(document: Document) -> str:
    """Return the picture of the curves and a paragraph on their ends."""
    lines = [
        "<picture>",
        '<source srcset="benchmarks/results/scaling-parzen-dark.png" '
        'media="(prefers-color-scheme: dark)">',
        '<img src="benchmarks/results/scaling-parzen.png" '
        f'alt="{NAMES["parzen"]}: time against the number of samples">',
        "</picture>",
        "",
    ]
    last = {name: _largest(name, document) for name in WORDS}
    told = " and ".join(
        f"{words} {readable(last[name]['seconds'])} (error "
        f"{error(last[name], '' if name == 'parzen' else 'of d2')})"
        for name, words in WORDS.items()
    )
    n_queries, n_samples = last["parzen"]["n_queries"], last["parzen"]["n_samples"]
    brought = "; ".join(_workers(name, words, document) for name, words in WORDS.items())
    return "\n".join(
        [
            *lines,
            paragraph(
                "Time against the number of samples, 16 to 3,072 numbers each "
                "([all curves](benchmarks/results/README.md#scaling); hollow: made block by block; "
                f"dashed: `torch.mm` alone). {n_queries:,} queries against {n_samples:,} samples "
                f"of {WIDTH} numbers take {told}. Times as fast as one thread at {WIDTH} numbers "
                f"and {COMMON:,} samples: {brought}."
            ),
        ]
    )


def _points(operation: str, document: Document) -> list[Row]:
    return [point for point in document.points(operation) if point["seconds"] is not None]


def _largest(operation: str, document: Document) -> Row:
    here = [p for p in fastest(_points(operation, document)) if p["n_features"] == WIDTH]
    if not here:
        raise MissingError(f"results: no curve of {operation} at {WIDTH} numbers a sample")
    return max(here, key=lambda point: point["n_samples"])


def _workers(operation: str, words: str, document: Document) -> str:
    points = _points(operation, document)
    found = []
    for name, workers in WORKERS.items():
        curve: dict[Any, Any] = dict(speedups(points, *workers).get(WIDTH, ()))
        if COMMON in curve:
            found.append(f"{digits(curve[COMMON])} by {name}")
    return f"{words} " + (" and ".join(found) or "not measured")
