"""``python -m benchmarks.split_precision``: what split products cost in nats, and what mends them.

No GPU is needed: products are made as tensor cores make them (``split_precision_products``), on
real images. The first table is the damage of the products alone; the second what the kernels that
ship return, rescoring and all, in Triton's interpreter (``split_precision_pipeline``).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import points
from benchmarks.machine import machine
from benchmarks.rows import SCRATCH
from benchmarks.split_precision.distances import N_NEAREST, Damage, Truth, damage
from benchmarks.split_precision.products import CHIPS, COARSEST, TensorCore

if TYPE_CHECKING:
    from benchmarks.split_precision.pipeline import Mended

# The protocol's grid up to 1, and .3.
SIGMAS = tuple(sorted({*(round(float(s), 10) for s in np.logspace(-1, 0, 10)), 0.3}))
SHOWN = (0.1, 0.2154434690, 0.3, 1.0)  # columns of the table; the file has all
PRODUCTS: tuple[tuple[str, TensorCore], ...] = (
    ("ieee", CHIPS["sm_80"]),
    ("tf32", CHIPS["sm_90"]),
    ("bf16x3", CHIPS["sm_90"]),
    ("tf32x3", CHIPS["sm_80"]),
    ("tf32x3", CHIPS["sm_90"]),
    ("tf32x3", COARSEST),
    ("bf16x6", CHIPS["sm_80"]),
    ("bf16x6", CHIPS["sm_90"]),
)


@dataclass(frozen=True)
class Points:
    """Queries and rows, float32, that distances are measured between."""

    name: str
    queries: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True)
class Unmended:
    """A row of the first table."""

    data: str
    precision: str
    chip: str
    damage: Damage


def real_points(
    n_queries: int, n_rows: int, file: Path | None, names: Sequence[str] = ("mnist", "cifar10")
) -> Iterator[Points]:
    """Yield test images, and training images with noise (MNIST: or a file's samples).

    MNIST and CIFAR-10 where they are at hand; scikit-learn's digits where MNIST is not.
    """
    if "mnist" in names:
        dataset = points.images()
        rows = points.samples(dataset, n_rows, file)
        queries = points.queries(dataset, n_queries)
        yield Points(points.source(dataset, file), queries.numpy(), rows.numpy())
    if "cifar10" in names:
        try:
            test, train = points.cifar10_pixels()
        except FileNotFoundError:
            return
        rows = points.noisy(train[:n_rows].float() / 255, n_rows)
        queries = test[:n_queries].float() / 255
        yield Points("cifar10, noisy training images", queries.numpy(), rows.numpy())


def unmended(data: Points, truth: Truth) -> Iterator[Unmended]:
    """Judge each kind of product by itself."""
    for precision, chip in PRODUCTS:
        found = damage(truth, SIGMAS, precision, chip)
        name = "any" if precision == "ieee" else chip.name
        yield Unmended(data.name, precision, name, found)


def first_table(rows: Sequence[Unmended]) -> str:
    """Return the damage of the products, as Markdown."""
    places = [SIGMAS.index(sigma) for sigma in SHOWN]
    sigmas = " | ".join(f"nats, sigma {sigma:.4g}" for sigma in SHOWN)
    lines = [
        f"| data | product | added as on | error of a distance | {sigmas} "
        f"| other {N_NEAREST} nearest |",
        "|---|---|---|---:|" + "---:|" * len(SHOWN) + "---:|",
    ]
    for row in rows:
        nats = " | ".join(f"{row.damage.nats[place]:.1e}" for place in places)
        lines.append(
            f"| {row.data} | {row.precision} | {row.chip} | {row.damage.of_length:.1e} "
            f"| {nats} | {row.damage.n_wrong} |"
        )
    return "\n".join(lines) + "\n"


def second_table(rows: Sequence[Mended]) -> str:
    """Return what the kernels return, as Markdown."""
    lines = [
        "| data | kernel | shipped for | tile | product | nats, worst sigma | other "
        f"{N_NEAREST} nearest | rescored | largest error, of its allowance |",
        "|---|---|---|---|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        one = row.configuration
        cells = [
            f"{max(row.nats):.1e}" if row.nats else "-",
            "-" if row.n_wrong is None else str(row.n_wrong),
            "-" if row.rescored is None else f"{row.rescored:.1%}",
            "-" if row.of_allowance is None else f"{row.of_allowance:.1%}",
        ]
        tile = "any" if row.kernel == "distances" else one.name
        lines.append(
            f"| {row.data} | {row.kernel} | {one.architecture} | {tile} | {one.precision} | "
            + " | ".join(cells)
            + " |"
        )
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Print both tables; 1 if a shipped configuration breaks its contract."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.split_precision", description=__doc__
    )
    parser.add_argument("--queries", type=int, default=32, help="test images (32)")
    parser.add_argument("--rows", type=int, default=1_000, help="samples (1,000)")
    parser.add_argument(
        "--samples", type=Path, metavar="FILE.npy", help="samples of a trained MNIST generator"
    )
    parser.add_argument(
        "--all-tiles", action="store_true", help="all that ship, not the first of each architecture"
    )
    parser.add_argument("--out", type=Path, default=SCRATCH, help="folder of the results")
    options = parser.parse_args(arguments)
    os.environ["TRITON_INTERPRET"] = "1"  # read when a kernel is first imported, below
    from benchmarks.split_precision import pipeline

    first: list[Unmended] = []
    second: list[Mended] = []
    for data in real_points(options.queries, options.rows, options.samples):
        print(f"{data.name} ...", file=sys.stderr, flush=True)
        truth = Truth.of(data.queries, data.rows)
        first += unmended(data, truth)
        second += pipeline.mended(data.name, truth, SIGMAS, all_tiles=options.all_tiles)
    text = (
        f"{options.queries:,} test images, {options.rows:,} samples; largest errors of "
        "log-likelihoods, and of squared distances in parts of (|x| + |s|)^2, both centred. "
        f"Products alone, emulated:\n\n{first_table(first)}\n"
        "The kernels that ship, interpreted with these products, rescoring and all "
        f"(sigma {SIGMAS[0]:g} to {SIGMAS[-1]:g}; {pipeline.BOUND_NATS:g} nats are promised, and "
        f"exact neighbours):\n\n{second_table(second)}"
    )
    print(text)
    options.out.mkdir(parents=True, exist_ok=True)
    content = {
        "sigmas": SIGMAS,
        "machine": machine(),
        "products": [dataclasses.asdict(row) for row in first],
        "kernels": [dataclasses.asdict(row) for row in second],
    }
    path = options.out / "split_precision.md"
    path.write_text(text, encoding="utf-8")
    path.with_suffix(".json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(f"written: {path} and {path.with_suffix('.json').name}", file=sys.stderr)
    broken = [row for row in second if not row.keeps_contract]
    for row in broken:
        print(f"BROKEN: {row}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
