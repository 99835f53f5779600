"""The README's numbers of distances: Parzen sums, nearest neighbours, ten million samples."""

from __future__ import annotations

import re
from functools import partial
from typing import NamedTuple

from benchmarks.suite.document import Document, MissingError
from benchmarks.suite.words import (
    bullets,
    cell,
    duration,
    error,
    machine_words,
    megabytes,
    paragraph,
    ratio,
    table,
    time_of,
)


class Column(NamedTuple):
    """A column of the table: where its numbers are."""

    heading: str
    part: str
    size: str = ""


COLUMNS = (
    Column("Parzen, MNIST test images against 10,000 samples", "parzen:1e4"),
    Column("Parzen, against 10^6 samples", "parzen:1e6"),
    Column("nearest of 60,000 MNIST images to 10,000 samples", "neighbors:1"),
    Column(
        "nearest of 50,000 CIFAR-10 images (3,072 pixels) to 10,000", "neighbors:cifar10", "float32"
    ),
)
# What the README calls a peer, and its names in the rows.
PEERS = {
    "the product alone, `torch.mm`": ("torch.mm",),
    "`torch.compile` of the chunk": ("torch.compile",),
    "chunked eager PyTorch": ("eager",),
    "`torch.cdist`": ("torch.cdist",),
    "faiss `IndexFlatL2`": ("faiss IndexFlatL2",),
    "scikit-learn": ("scikit-learn KernelDensity, one leaf", "scikit-learn brute"),
    "KeOps": ("KeOps",),
}
PIXELS = ("neighbors:cifar10", "uint8")


def machine(document: Document) -> str:
    """Say where all was measured."""
    return paragraph(
        f"Measured on {machine_words(document)}. A number is the peer's time over fastgan's, "
        "median of interleaved rounds with the quantiles .1 and .9; errors are the largest over "
        "all queries, against float64. fastgan's times count everything, building its index too "
        "(shown apart in brackets)."
    )


def compared(document: Document) -> str:
    """Return the table of Parzen sums and neighbours against all peers, and how it was made."""

    def find(column: Column, names: tuple[str, ...]) -> str:
        part, size = column.part, column.size
        rows = document.rows(part, size=size)
        here = [row for row in rows if row["contender"] in names and row["seconds"] is not None]
        return ratio(here[0]) if here else "-"

    def ours(column: Column) -> str:
        return time_of(document.row(column.part, "fastgan", size=column.size))

    def own_error(column: Column) -> str:
        row = document.row(column.part, "fastgan", size=column.size)
        return error(row) if row["operation"] == "parzen" else f"exact; {error(row, 'of d2')}"

    def peers_error(column: Column) -> str:
        row = document.row(column.part, "torch.compile", size=column.size)
        return error(row, "" if row["operation"] == "parzen" else "of d2")

    lines = [["**fastgan**", *(cell(partial(ours, column)) for column in COLUMNS)]]
    for words, names in PEERS.items():
        lines.append([words, *(find(column, names) for column in COLUMNS)])
    lines.append(["error: fastgan", *(cell(partial(own_error, c)) for c in COLUMNS)])
    lines.append(["error: `torch.compile`", *(cell(partial(peers_error, c)) for c in COLUMNS)])
    made = paragraph(
        f"`FASTGAN_DATA=<folder> {document.command}` (editable install, "
        "[all results and pictures](benchmarks/results/README.md), [how](benchmarks/README.md)); a "
        "peer more than 20 times slower was timed once. The samples are those of the `mnist` "
        f"recipe after {trained_epochs(document)} epochs, sigma .2154, float32:"
    )
    return made + "\n\n" + table(["", *(column.heading for column in COLUMNS)], lines)


def trained_epochs(document: Document) -> str:
    """Return after how many epochs the trained run of the suite was taken."""
    size = document.row("training_step:mnist:trained", "fastgan")["size"]
    found = re.search(r"after (\d+) epochs", size)
    if found is None:
        raise MissingError(f"results: no number of epochs in {size!r}")
    return found[1]


def notes(document: Document) -> str:
    """Return what the table has no room for."""
    row = document.row
    part, size = PIXELS
    of_pixels = row(part, "fastgan", size=size)
    against = "; ".join(
        f"{words} {ratio(row(part, name, size=size))}"
        for name, words in (
            ("torch.mm", "`torch.mm` of the float32 numbers"),
            ("faiss IndexFlatL2", "faiss"),
            ("torch.compile", "`torch.compile`"),
        )
    )
    largest = row("parzen:grid", "fastgan, largest sigma alone")
    probes = [
        100 * (1 / row(f"{name}:noise", "fastgan, dense")["ratio_median"] - 1)
        for name in ("parzen", "neighbors")
    ]
    memory = {
        (name, where): megabytes(
            row(f"memory:{where}", "fastgan", f"memory of {name}")["extra_bytes"]
        )
        for name in ("neighbors", "parzen")
        for where in ("in_memory", "from_file")
    }
    return bullets(
        [
            f"CIFAR-10 as raw bytes (uint8): {time_of(of_pixels)}; {against}; exact.",
            "The ten sigmas of the protocol on 1,000 images cost "
            f"{1 / largest['ratio_median']:.2f} times the largest alone (`parzen:grid`).",
            "Where nothing can be pruned (isotropic noise, 10,000 x 10,000 x 784) the probe costs "
            f"{probes[0]:.0f} % of the dense engine for Parzen and {probes[1]:.0f} % for "
            "neighbours (`parzen:noise`, `neighbors:noise`). Beside the dense engine the bare "
            f"product, `torch.mm`, takes {ratio(row('parzen:dense', 'torch.mm'))} "
            "(`parzen:dense`).",
            "Anonymous memory beyond inputs and outputs: "
            f"{memory['neighbors', 'in_memory']} for neighbours and "
            f"{memory['parzen', 'in_memory']} for Parzen at 10,000 x 60,000; "
            f"{memory['neighbors', 'from_file']} and {memory['parzen', 'from_file']} at 10,000 x "
            "1,000,000 from a memory map (`memory`).",
            _few(document),
            _protocol(document),
        ]
    )


def _few(document: Document) -> str:
    compiled = document.row("neighbors:5", "torch.compile")
    return (
        "With fewer queries an index gains less: for the five nearest images of 1,000 samples "
        f"`torch.compile` takes {ratio(compiled)} (`neighbors:5`)."
    )


def _protocol(document: Document) -> str:
    found = document.row("parzen:protocol", "fastgan")
    note = found["note"].replace("+-", "±")
    return (
        f'Protocol with training images 0 to 9,999 as the "model": {note}, and the same '
        f"by float64 brute force, to {error(found, 'nats')} (`parzen:protocol`)."
    )


def samples(document: Document) -> str:
    """Return the curve of the score against the number of samples, with what it took."""
    few, many = (document.part(f"evaluate:{n}")["rows"][0] for n in ("1e6", "1e7"))
    again = {row["n_samples"]: row for row in (few, many)}
    lines = []
    for n, mean, spread in zip(
        many["curve_n_samples"], many["curve_means"], many["curve_standard_errors"], strict=True
    ):
        words, took = f"{mean:.1f} ± {spread:.1f}", ""
        if n in again:
            row = again[n]
            words += f"; sigma chosen again, {row['sigma']:.4f}".replace(" 0.", " .")
            words += f": {row['mean']:.1f} ± {row['standard_error']:.1f}"
            took = duration(row["seconds"])
        lines.append([f"{n:,}" + ", as published" * (n == 10_000), words, took])
    sigma = f"{many['protocol_sigma']:.4f}".removeprefix("0")
    gained = many["mean"] - many["curve_means"][many["curve_n_samples"].index(10_000)]
    made = table(["samples", f"mean, nats, at sigma {sigma}", "time in all"], lines, n_left=0)
    return "\n".join(
        [
            made,
            "",
            paragraph(
                f"The same model gains {gained:.0f} nats by sampling more: never compare scores "
                f"across sample counts. The last took {megabytes(many['peak_bytes'])} of memory, "
                "Python and data counted; its mean is too low by at most "
                f"{many['dropped_nats']:.0e} nats, for samples too far away that were left out."
            ),
        ]
    )
