"""Fragments of the report: small functions from plain values to escaped HTML."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable, Sequence
from html import escape

from fastgan.memorisation_result import TABLE_QUANTILES, Memorisation, distance, quantile_name
from fastgan.published import ReferenceResult
from fastgan.scores import Evaluation

_SIGMA = "\N{GREEK SMALL LETTER SIGMA}"
_MINUS = "\N{MINUS SIGN}"
# The ends of the little plot beside the published scores, in nats
_PLOT_RANGE = {"MNIST": (0.0, 360.0), "TFD": (1800.0, 2300.0)}


def number(value: float, digits: int = 1) -> str:
    """Return a number for a reader: a true minus sign, thousands apart."""
    text = f"{value:,.{digits}f}"
    return text.replace("-", _MINUS)


def error(value: float) -> str:
    """Return a standard error with two digits that matter."""
    return number(value, 1 if value >= 1 else 2)


def duration(seconds: float) -> str:
    """Return a time in words: "42 s", "3 min 5 s", "2 h 10 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def section(heading: str, *parts: str) -> str:
    """Return a section with its heading; parts are HTML."""
    return f"<section>\n<h2>{escape(heading)}</h2>\n" + "\n".join(parts) + "\n</section>"


def paragraph(text: str, kind: str = "") -> str:
    """Return an escaped paragraph."""
    attribute = f' class="{kind}"' if kind else ""
    return f"<p{attribute}>{escape(text)}</p>"


def note(kind: str, lead: str, items: Sequence[str] = ()) -> str:
    """Return a marked note ("good", "bad" or "plain"): a sentence, and a list below it."""
    listed = "".join(f"<li>{escape(item)}</li>" for item in items)
    listed = f"<ul>{listed}</ul>" if listed else ""
    return f'<div class="note {kind}"><p><b>{escape(lead)}</b></p>{listed}</div>'


def picture(
    content: bytes, alt: str, caption: str = "", *, dark: bytes | None = None, kind: str = ""
) -> str:
    """Return a figure with the PNG inside the page, at half its pixels: crisp on a 2x screen.

    ``caption`` is HTML; ``dark`` is the PNG for a dark page.
    """
    width, height = struct.unpack(">II", content[16:24])
    image = (
        f'<img src="{_data(content)}" alt="{escape(alt)}" width="{width // 2}" '
        f'height="{height // 2}">'
    )
    if dark is not None:
        source = f'<source srcset="{_data(dark)}" media="(prefers-color-scheme: dark)">'
        image = f"<picture>{source}{image}</picture>"
    attribute = f' class="{kind}"' if kind else ""
    written = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f"<figure{attribute}>{image}{written}</figure>"


def headline(evaluation: Evaluation) -> str:
    """Return the score with both of its errors."""
    rows = [
        (
            f"± {error(evaluation.standard_error)}",
            f"over the {evaluation.n_test:,} test images (standard error)",
        )
    ]
    if evaluation.sample_standard_error is None:
        rows.append(("± ?", "over model samples: one sample cannot tell"))
    else:
        rows.append(
            (
                f"± {error(evaluation.sample_standard_error)}",
                f"over the {evaluation.n_samples:,} model samples (jackknife, "
                f"{evaluation.n_blocks} blocks)",
            )
        )
    edge = ", an end of the grid" if evaluation.at_edge else ""
    rows.append(
        (
            f"{_SIGMA} {evaluation.sigma:.4f}",
            f"chosen on {evaluation.n_validation:,} validation images{edge}",
        )
    )
    listed = "".join(f"<dt>{escape(a)}</dt><dd>{escape(b)}</dd>" for a, b in rows)
    return (
        '<div><p class="label">Mean log-likelihood of the test images</p>'
        f'<p class="score"><strong>{number(evaluation.mean)}</strong>'
        '<span class="unit">nats</span></p>'
        f'<dl class="errors">{listed}</dl></div>'
    )


def results_table(evaluation: Evaluation, recipe_name: str) -> str:
    """Return the published rows with this run's among them, ascending."""
    column = evaluation.comparable_to
    if column is None:
        return ""
    rows: list[tuple[float, str]] = []
    for reference in evaluation.references:
        score = reference.score(column)
        if score is not None:
            rows.append((score.mean, _published_row(reference, column)))
    for ours in evaluation.scores:
        source = f"{ours.n_samples:,} samples, {_SIGMA} {ours.sigma:.4f}"
        if ours.sample_standard_error is not None:
            source += f"; over samples ± {error(ours.sample_standard_error)}"
        row = (
            f'<tr class="ours"><td>This run, {escape(recipe_name)}</td>'
            f'<td class="number">{number(ours.mean)} ± {error(ours.standard_error)}</td>'
            f'<td class="plot">{_dot(ours.mean, ours.standard_error, column)}</td>'
            f'<td class="source">{escape(source)}</td></tr>'
        )
        rows.append((ours.mean, row))
    body = "".join(row for _, row in sorted(rows, key=lambda pair: pair[0]))
    return (
        '<table class="results"><thead><tr><th>Model</th>'
        f'<th class="number">{escape(column)}, nats</th><th class="plot"></th>'
        f"<th>Source</th></tr></thead><tbody>{body}</tbody></table>"
    )


def _published_row(reference: ReferenceResult, column: str) -> str:
    score = reference.score(column)
    if score is None:
        raise ValueError(f"column: {reference.model} has no score in {column!r}")
    tag = '<span class="tag">the paper</span>' if reference.of_the_paper else ""
    printed = f"<small>printed as {escape(score.printed)}</small>" if score.printed else ""
    return (
        f"<tr><td>{escape(reference.model)}{tag}</td>"
        f'<td class="number">{escape(str(score))}</td>'
        f'<td class="plot">{_dot(score.mean, score.standard_error or 0.0, column)}</td>'
        f'<td class="source">{escape(reference.source)}{printed}</td></tr>'
    )


def _dot(mean: float, plus_minus: float, column: str) -> str:
    """Return a dot with its error bar on the plot's range; nothing where it lies outside."""
    low, high = _PLOT_RANGE[column]
    if not low <= mean <= high:
        return ""
    left, middle, right = (
        100 * (min(max(value, low), high) - low) / (high - low)
        for value in (mean - plus_minus, mean, mean + plus_minus)
    )
    return (
        f'<span class="dot"><u style="left:{left:.2f}%;width:{right - left:.2f}%"></u>'
        f'<i style="left:{middle:.2f}%"></i></span>'
    )


def quantile_table(found: Memorisation) -> str:
    """Return quantiles of the distances to the nearest training image, a row for each set."""
    levels = TABLE_QUANTILES

    def kind(level: float) -> str:  # what a phone has no room for is left out there
        return "number" if level in (0.0, 0.25, 0.5, 0.75, 1.0) else "number wide"

    def row(name: str, values: Iterable[float]) -> str:
        cells = "".join(
            f'<td class="{kind(q)}">{distance(value)}</td>'
            for q, value in zip(levels, values, strict=True)
        )
        return f"<tr><td>{escape(name)}</td>{cells}</tr>"

    heads = "".join(f'<th class="{kind(q)}">{escape(quantile_name(q))}</th>' for q in levels)
    samples, held_out = found.quantile_rows(levels)
    return (
        '<div class="scroll"><table class="quantiles"><thead><tr>'
        + f"<th>Distance of</th>{heads}</tr></thead><tbody>"
        + row(f"{found.n_samples:,} samples", samples)
        + row(f"{found.n_held_out:,} test images", held_out)
        + "</tbody></table></div>"
    )


def facts_table(facts: Iterable[tuple[str, str]]) -> str:
    """Return names and values as a plain table."""
    rows = "".join(f"<tr><td>{escape(a)}</td><td>{escape(b)}</td></tr>" for a, b in facts)
    return f'<table class="facts-table">{rows}</table>'


def folded(summary: str, content: str, *, is_open: bool = False) -> str:
    """Return a part that opens on a click; ``content`` is HTML."""
    attribute = " open" if is_open else ""
    return f"<details{attribute}><summary>{escape(summary)}</summary>{content}</details>"


def _data(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")
