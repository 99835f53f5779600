"""The colours of curves on a light and on a dark page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """Colours of one page, as CSS writes them."""

    paper: str
    ink: str
    muted: str
    grid: str
    discriminator: str  # blue, as D is in the paper's Figure 1
    generator: str  # green, as p_g is there
    likelihood: str
    warning: str
    saturated: str


THEMES = {
    "light": Theme(
        paper="#ffffff",
        ink="#1d1f24",
        muted="#6b7078",
        grid="#e6e7ea",
        discriminator="#1f5fbf",
        generator="#14804a",
        likelihood="#7a3fb0",
        warning="#c8321f",
        saturated="#c77700",
    ),
    "dark": Theme(
        paper="#1b1d22",
        ink="#e9eaed",
        muted="#9aa0aa",
        grid="#32353d",
        discriminator="#7fb2ff",
        generator="#5fd39a",
        likelihood="#c79bf2",
        warning="#ff7d6b",
        saturated="#f2b04a",
    ),
}
