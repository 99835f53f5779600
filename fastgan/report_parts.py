"""Fragments of the report: small functions from plain values to escaped HTML."""

from __future__ import annotations

import base64
import io
import re
import struct
from collections.abc import Iterable, Sequence
from html import escape

from PIL import Image

MINUS = "\N{MINUS SIGN}"
SIGMA = "\N{GREEK SMALL LETTER SIGMA}"


def number(value: float, digits: int = 1) -> str:
    """Return a number for a reader: a true minus sign, thousands apart."""
    return f"{value:,.{digits}f}".replace("-", MINUS)


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


def section(heading: str, *parts: str, anchor: str) -> str:
    """Return a section with its heading, to which the contents lead; parts are HTML."""
    inner = "\n".join(parts)
    return (
        f'<section id="{anchor}" aria-labelledby="{anchor}-heading">\n'
        f'<h2 id="{anchor}-heading">{escape(heading)}</h2>\n{inner}\n</section>'
    )


def contents(entries: Iterable[tuple[str, str]]) -> str:
    """Return the page's contents: links to the sections, of (anchor, name)."""
    return "".join(f'<li><a href="#{anchor}">{escape(name)}</a></li>' for anchor, name in entries)


def paragraph(text: str, kind: str = "") -> str:
    """Return an escaped paragraph."""
    attribute = f' class="{kind}"' if kind else ""
    return f"<p{attribute}>{escape(text)}</p>"


def sentence(text: str) -> str:
    """Return a sentence that begins with a capital: some begin with a share in words."""
    return text[:1].upper() + text[1:]


def unbroken(page: str) -> str:
    """Keep a number and its error on one line: no-break spaces around the sign between them."""
    return re.sub(r"(?<=\d) ± (?=\d)", "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}", page)


def listed(sentences: Iterable[str]) -> str:
    """Return sentences as a list."""
    items = "".join(f"<li>{escape(sentence(text))}</li>" for text in sentences)
    return f'<ul class="know">{items}</ul>' if items else ""


def note(kind: str, lead: str, items: Sequence[str] = ()) -> str:
    """Return a marked note ("good", "bad" or "plain"): a sentence, and a list below it."""
    inner = "".join(f"<li>{escape(item)}</li>" for item in items)
    inner = f"<ul>{inner}</ul>" if inner else ""
    return f'<div class="note {kind}"><p><b>{escape(lead)}</b></p>{inner}</div>'


def picture_size(content: bytes) -> tuple[int, int]:
    """Return width and height in pixels that a PNG states."""
    width, height = struct.unpack(">II", content[16:24])
    return int(width), int(height)


def picture(
    content: bytes, alt: str, caption: str = "", *, dark: bytes | None = None, kind: str = ""
) -> str:
    """Return a figure with the PNG inside the page, at half its pixels: crisp on a 2x screen.

    ``caption`` is HTML; ``dark`` is the PNG for a dark page.
    """
    width, height = picture_size(content)
    image = (
        f'<img src="{data_address(content)}" alt="{escape(alt)}" width="{width // 2}" '
        f'height="{height // 2}">'
    )
    if dark is not None:
        source = f'<source srcset="{data_address(dark)}" media="(prefers-color-scheme: dark)">'
        image = f"<picture>{source}{image}</picture>"
    attribute = f' class="{kind}"' if kind else ""
    written = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f"<figure{attribute}>{image}{written}</figure>"


def panel(light: bytes, dark: bytes, alt: str) -> str:
    """Return a plot on a card, for a light and for a dark page, in fewer colours."""
    return picture(fewer_colours(light), alt, dark=fewer_colours(dark), kind="card")


def panels(
    light: dict[str, bytes], dark: dict[str, bytes], alts: dict[str, str], last: str = ""
) -> str:
    """Return the panels that a module of curves draws, side by side where there is room.

    ``last`` is HTML that takes the place after the last of them.
    """
    inner = "".join(panel(light[name], dark[name], alts[name]) for name in light)
    return f'<div class="curves">{inner}{last}</div>'


def fewer_colours(content: bytes) -> bytes:
    """Return the PNG of a plot in 256 colours: a third of the bytes.

    A plot has few hues; of its thousand colours nearly all are rims of lines, and what is left out
    changes a pixel by .02 of 255 on average. The median cut keeps the page's own colour exactly.
    """
    with Image.open(io.BytesIO(content)) as shown:
        reduced = shown.convert("RGB").quantize(
            256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
        )
    buffer = io.BytesIO()
    reduced.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def facts_table(facts: Iterable[tuple[str, str]]) -> str:
    """Return names and values as a plain table."""
    rows = "".join(
        f'<tr><th scope="row">{escape(a)}</th><td>{escape(b)}</td></tr>' for a, b in facts
    )
    return f'<table class="facts-table"><tbody>{rows}</tbody></table>'


def folded(summary: str, content: str, *, is_open: bool = False) -> str:
    """Return a part that opens on a click; ``content`` is HTML."""
    attribute = " open" if is_open else ""
    return f"<details{attribute}><summary>{escape(summary)}</summary>{content}</details>"


def data_address(content: bytes) -> str:
    """Return a PNG as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")
