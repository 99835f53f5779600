"""The page of the results: ``README.md`` beside ``results.json``, and its pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.rows import readable
from benchmarks.suite import ratio_pictures, scaling_pictures
from benchmarks.suite.document import Document, Row, written
from benchmarks.suite.parts import PARTS
from benchmarks.suite.words import (
    digits,
    duration,
    error,
    machine_words,
    megabytes,
    paragraph,
    table,
)
from fastgan.plots import theme_of
from fastgan.report_parts import fewer_colours
from fastgan.themes import Theme

THEMES = ("light", "dark")
Draw = Callable[[Document, Theme], bytes | None]
PICTURES: dict[str, tuple[str, Draw]] = {
    **{
        name: (title, partial(lambda document, colours, name: ratio_pictures.picture(
            document, name, colours), name=name))
        for name, (title, _) in ratio_pictures.PICTURES.items()
    },
    **{
        f"scaling-{name}": (f"{title} against the number of samples", partial(
            lambda document, colours, name: scaling_pictures.picture(document, name, colours),
            name=name))
        for name, title in scaling_pictures.NAMES.items()
    },
}  # fmt: skip
# The page's sections: heading, what it means, its picture, its parts.
SECTIONS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    (
        "Parzen sums",
        "Test images against samples of the `mnist` recipe, at one sigma or the protocol's ten. "
        "`index kept` is the call without building the index; `torch.mm`, the bare product of all "
        "pairs, is what no one can pass who computes them all.",
        "parzen",
        ("parzen",),
    ),
    (
        "Nearest neighbours",
        "Exact, so the error is that of a distance; a peer's remark says how many of its "
        "neighbours are wrong.",
        "neighbors",
        ("neighbors",),
    ),
    (
        "A training step",
        "One whole step of a recipe, both networks moved. The floor is its dense products alone, "
        "which a step that skips zeros may pass.",
        "training-step",
        ("training_step",),
    ),
    (
        "The layers of a step",
        "The products of the `mnist` recipe, as sparse as training makes them.",
        "layers",
        ("linear",),
    ),
    (
        "Random numbers, dropout, maxout, update",
        "Each with the floor of what it must at least write or multiply.",
        "pieces",
        ("philox", "dropout", "maxout_linear", "momentum_sgd"),
    ),
    ("Memory", "Anonymous memory, seen from outside, at its peak.", "", ("memory",)),
)
SCALING = (
    "Real images as queries: MNIST, averaged down to 4 x 4, 8 x 8 and 16 x 16 pixels for the "
    "widths 16, 64 and 256, as it is for 784, and CIFAR-10's 3,072 numbers. Samples are training "
    "images, in turn, each with noise of .1 of its own, so that no two are alike. Up to 3.2 GB of "
    "them are held and given in one call; beyond (hollow) they are made block by block, which the "
    "clock does not see, and go through `ParzenStream`, or are searched block by block. Sigma is "
    "what other test images choose at 10,000 samples. Every call builds its index anew. Errors are "
    "those of the first 16 queries, against float64. Dashed: the bare product `torch.mm` of all "
    "pairs; dotted: time in proportion to samples."
)


def write(document: Document, folder: Path) -> list[Path]:
    """Write the pictures and the page into a folder, and return their paths."""
    drawn: list[Path] = []
    names: set[str] = set()
    for name, (_, draw) in PICTURES.items():
        for theme in THEMES:
            content = draw(document, theme_of(theme))
            path = folder / f"{_file(name, theme)}"
            if content is None:
                path.unlink(missing_ok=True)
                continue
            folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(fewer_colours(content))
            drawn.append(path)
            names.add(name)
    return [*drawn, written(folder / "README.md", text(document, names))]


def text(document: Document, pictures: set[str]) -> str:
    """Return the page in Markdown."""
    lines = ["# Speed and error, measured", ""]
    lines += [paragraph(f"Measured on {machine_words(document)}; commit {document.commit}."), ""]
    noisy = [f"`{part['name']}`" for part in document.parts if not part["is_quiet"]]
    if noisy:
        where = ", ".join(noisy) if len(noisy) < len(document.parts) else "all"
        words = "Other programs ran meanwhile: times and ratios are not to be trusted.** Errors are"
        lines += [paragraph(f"**{words}. Parts: {where}."), ""]
    lines += [
        paragraph(
            "A ratio is the contender's time over fastgan's, the median over interleaved rounds, "
            'in brackets the quantiles .1 and .9; 2 is half as fast as fastgan. "once" marks '
            "more than 20 times slower, timed in one call on the queries that it names. Floors do "
            "less than the whole work. Errors are the largest over all queries, against float64."
        ),
        "",
        f"Made by `{document.command}`; how, and why so: [benchmarks](../README.md). Every number: "
        "[results.json](results.json).",
        "",
        *_missing(document),
    ]
    for heading, words, picture, prefixes in SECTIONS:
        parts = [p for p in document.parts if p["name"].partition(":")[0] in prefixes]
        if parts:
            lines += [f"## {heading}", "", paragraph(words), ""]
            lines += _picture(picture, heading) if picture in pictures else []
            lines += [line for part in parts for line in _part(part)]
    lines += _evaluations(document)
    lines += _scaling(document, pictures)
    lines += ["## The parts", "", _parts(document), ""]
    lines += ["; ".join(f"{key} {value}" for key, value in document.machine.items()) + "."]
    return "\n".join(lines) + "\n"


def _missing(document: Document) -> list[str]:
    names = {part["name"] for part in document.parts}
    missing = [part.name for part in PARTS if part.name not in names]
    return [f"**Not measured:** {', '.join(missing)}.", ""] if missing else []


def _file(name: str, theme: str) -> str:
    return f"{name}{'-dark' * (theme == 'dark')}.png"


def _picture(name: str, words: str) -> list[str]:
    return [
        "<picture>",
        f'<source srcset="{_file(name, "dark")}" media="(prefers-color-scheme: dark)">',
        f'<img src="{_file(name, "light")}" alt="{words}">',
        "</picture>",
        "",
    ]


def _part(part: Row) -> Iterator[str]:
    """Yield a table for each comparison of a part."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in part["rows"]:
        found.setdefault((row["operation"], row["size"]), []).append(row)
    for (operation, size), rows in found.items():
        yield f"**{operation}**, {size} (`{part['name']}`)"
        yield ""
        if rows[0]["seconds"] is None:
            yield rows[0]["note"]
        else:
            # What no row of the comparison has is left out of its table.
            cells = [_cells(row) for row in rows]
            kept = [i for i in range(len(HEAD)) if any(line[i] != "-" for line in cells)]
            yield table([HEAD[i] for i in kept], [[line[i] for i in kept] for line in cells])
        yield ""


HEAD = (
    "contender", "time", "of it building", "times fastgan's", "error", "extra memory", "rounds",
    "remarks",
)  # fmt: skip


def _cells(row: Row) -> list[str]:
    if row["seconds"] is None:
        return [row["contender"], "-", "-", "-", "-", "-", "-", row["note"] or "-"]
    ratio = "-"
    if row["bound"] is not None:
        ratio = "1"
    elif row["measured_on"]:
        ratio = f"{row['ratio_median']:.3g} (once)"
    elif row["ratio_median"] is not None:
        low, high = digits(row["ratio_low"]), digits(row["ratio_high"])
        ratio = f"{digits(row['ratio_median'])} ({low} to {high})"
    remarks = [f"once, on {row['measured_on']}"] if row["measured_on"] else []
    remarks += [row["note"]] if row["note"] else []
    return [
        f"{row['contender']} (floor)" if row["is_floor"] else row["contender"],
        readable(row["seconds"]),
        "-" if row["build_seconds"] is None else readable(row["build_seconds"]),
        ratio,
        "-" if row["error"] is None else error(row),
        "-" if row["extra_bytes"] is None else megabytes(row["extra_bytes"]),
        str(row["n_rounds"] or "-"),
        "; ".join(remarks) or "-",
    ]


def _evaluations(document: Document) -> list[str]:
    rows = [row for p in document.parts if p["name"].startswith("evaluate:") for row in p["rows"]]
    if not rows:
        return []
    lines = [
        [
            f"{row['n_samples']:,}", f"{row['sigma']:.4f}",
            f"{row['mean']:.2f} ± {row['standard_error']:.2f}", f"{row['dropped_nats']:.0e}",
            duration(row["seconds"]), megabytes(row["peak_bytes"]),
        ]
        for row in rows
    ]  # fmt: skip
    head = ["samples", "sigma", "mean, nats", "left out", "time of the command", "its memory"]
    words = (
        "`fastgan evaluate RUN --n-samples N`: samples of the run drawn as they are needed, "
        f"against all {rows[0]['n_test']:,} test images, sigma chosen at so many samples. By "
        "at most so many nats is the mean too low, for samples too far away that were left out."
    )
    return ["## Evaluation", "", paragraph(words), "", table(head, lines, n_left=0), ""]


def _scaling(document: Document, pictures: set[str]) -> list[str]:
    lines: list[str] = []
    for operation, title in scaling_pictures.NAMES.items():
        points = document.points(operation)
        if not points:
            continue
        name = f"scaling-{operation}"
        lines += [f"### {title}", ""]
        lines += _picture(name, PICTURES[name][0]) if name in pictures else []
        lines += [table(SCALING_HEAD, [_point(p) for p in points if p["seconds"] is not None])]
        lines += ["", *_left_out(points)]
    steps = document.points("training_step")
    if steps:
        lines += ["### A step of the `mnist` recipe", ""]
        rows = [
            [
                f"{step['n_threads']}", f"{step['n_processes']}", readable(step["seconds"]),
                f"{readable(step['low'])} to {readable(step['high'])}",
                _floor(step),
            ]
            for step in steps
            if step["seconds"] is not None
        ]  # fmt: skip
        head = ["threads", "processes", "a step", ".1 to .9", "its dense products, `torch.mm`"]
        lines += [table(head, rows, n_left=0), "", *_left_out(steps)]
    return ["## Scaling", "", paragraph(SCALING), "", *lines] if lines else []


SCALING_HEAD = (
    "numbers a sample", "samples", "threads", "processes", "time", ".1 to .9", "a pair",
    "`torch.mm`", "error",
)  # fmt: skip


def _point(point: Row) -> list[str]:
    pairs = point["n_queries"] * point["n_samples"]
    return [
        f"{point['n_features']:,}",
        f"{point['n_samples']:,}" + ", in blocks" * (not point["is_held"]),
        str(point["n_threads"]),
        str(point["n_processes"]),
        readable(point["seconds"]),
        f"{readable(point['low'])} to {readable(point['high'])}"
        if point["n_rounds"] > 1
        else "once",
        readable(point["seconds"] / pairs),
        _floor(point),
        error(point),
    ]


def _floor(point: Row) -> str:
    return "-" if point["floor_seconds"] is None else readable(point["floor_seconds"])


def _left_out(points: list[Row]) -> list[str]:
    """Say which points have no numbers, and why."""
    lines = []
    for point in points:
        if point["seconds"] is None:
            where = f"{point['n_features']:,} numbers a sample, " if point["n_features"] else ""
            workers = [f"{point['n_threads']} thread", f"{point['n_processes']} process"]
            workers[0] += "s" * (point["n_threads"] > 1)
            workers[1] += "es" * (point["n_processes"] > 1)
            lines.append(f"Left out: {where}{', '.join(workers)}: {point['note']}.")
    return [*lines, ""] if lines else []


def _parts(document: Document) -> str:
    rows = [
        [f"`{part['name']}`", f"`{part['command']}`", part["date"], duration(part["seconds"])]
        for part in document.parts
    ]
    return table(["part", "command", "begun", "took"], rows, n_left=3)
