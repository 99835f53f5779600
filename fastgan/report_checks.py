"""The report's sections on how varied the samples are, and on whether they are memorised."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from fastgan import report_parts as parts
from fastgan.helvetica_figure import helvetica_pictures
from fastgan.memorisation_figure import memorisation_pictures
from fastgan.memorisation_result import TABLE_QUANTILES, Memorisation, distance, quantile_name
from fastgan.report_inputs import NEAREST_PAIRS, Shown

_VARIETY_ALTS = {
    "hits": "Different training images that are nearest to some of the images drawn, by how many "
    "are drawn: samples, held-out images, uniform draws",
    "spread": "Share of pairs of images within each distance: samples and training images",
    "classes": "Shares of classes among the nearest training images",
}
_MEMORY_ALTS = {
    "distances": "Share of samples and of test images within each distance",
    "nearest": "The same shares over powers of ten: the smallest distances",
}


def varied(shown: Shown) -> str:
    """Return the diagnosis of the Helvetica scenario, beside real images."""
    found = shown.helvetica
    if found is None:
        return ""
    lead = (
        "The paper's section 6 warns of “the Helvetica scenario”, in which G collapses too many "
        "values of z to the same value of x to have enough diversity to model the data. Here "
        f"{found.n_samples:,} samples stand beside {found.n_held_out:,} images never trained on: "
        "how many different training images are nearest to some of them, how far apart they lie, "
        "and how evenly the classes are hit."
    )
    headline, *rest = found.sentences()
    pictures = helvetica_pictures(found), helvetica_pictures(found, theme="dark")
    cautions = parts.note("plain", "What these measures do not show.", found.cautions())
    beside = len(pictures[0]) % 2 == 1  # there is a place beside the last panel
    return "\n".join(
        (
            parts.paragraph(lead),
            parts.paragraph(headline, "finding"),
            parts.listed(rest),
            parts.panels(*pictures, _VARIETY_ALTS, cautions if beside else ""),
            "" if beside else cautions,
        )
    )


def memorised(shown: Shown) -> str:
    """Return the check for memorised images."""
    found = shown.memorisation
    if found is None:
        return ""
    lead = (
        f"Euclidean distance to the nearest of {found.n_train:,} training images: of "
        f"{found.n_samples:,} samples, and of {found.n_held_out:,} test images, never seen in "
        "training. A copying generator would crowd its samples near 0."
    )
    pictures = memorisation_pictures(found), memorisation_pictures(found, theme="dark")
    pairs = shown.figures.get(NEAREST_PAIRS)
    return "\n".join(
        (
            parts.paragraph(lead),
            parts.panels(*pictures, _MEMORY_ALTS),
            quantile_table(found),
            parts.listed(found.sentences()),
            "" if pairs is None else _nearest_pairs(found, pairs),
            parts.note("plain", "What these distances do not show.", found.cautions()),
        )
    )


def _nearest_pairs(found: Memorisation, content: bytes) -> str:
    caption = (
        "<b>The nearest of all.</b> Above, the "
        f"{len(found.near_samples)} samples that lie nearest to a training image, nearest first; "
        "below, the "
        f"{len(found.near_held_out)} test images that do. Framed "
        '<span class="swatch"></span> the training image of each. Where the upper pairs are more '
        "alike than the lower ones, look twice."
    )
    alt = "Samples and test images, each beside its framed nearest training image"
    return parts.picture(content, alt, caption, kind="pairs")


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
        return f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>'

    heads = "".join(
        f'<th scope="col" class="{kind(q)}">{escape(quantile_name(q))}</th>' for q in levels
    )
    samples, held_out = found.quantile_rows(levels)
    return (
        '<div class="scroll"><table class="quantiles"><thead><tr>'
        + f'<th scope="col">Distance of</th>{heads}</tr></thead><tbody>'
        + row(f"{found.n_samples:,} samples", samples)
        + row(f"{found.n_held_out:,} test images", held_out)
        + "</tbody></table></div>"
    )
