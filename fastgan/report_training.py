"""The report's section on training: the collapse watch, grids of samples, curves, best epoch."""

from __future__ import annotations

from html import escape

from fastgan import report_parts as parts
from fastgan.curves import curve_pictures
from fastgan.report_inputs import Shown

_ALTS = {
    "costs": "Costs of discriminator and generator by epoch",
    "probabilities": "Mean of D on training images and on samples by epoch",
    "likelihood": "Validation log-likelihood and sigma by epoch",
    "deviation": "Standard deviation of samples over z by epoch",
}


def collapse_watch(shown: Shown) -> tuple[str, str, list[str]]:
    """Return what the collapse watch found: a note's kind, its sentence, and the warnings."""
    items = [f"Epoch {warning['epoch']}: {warning['message']}." for warning in shown.warnings]
    if not shown.records:
        return "plain", "No epoch is recorded yet.", []
    if not items:
        lead = "The collapse watch found nothing: no collapse, no saturation."
        return "plain" if shown.notes else "good", lead, []
    many = "s" if len(items) > 1 else ""
    return "bad", f"{len(items)} warning{many} of the collapse watch.", items


def training(shown: Shown) -> str:
    """Return the collapse watch, grids of samples from first to last, curves, best epoch."""
    kind, lead, items = collapse_watch(shown)
    found = [parts.note(kind, lead, [*items, *shown.notes])]
    if shown.records:
        rows = sorted([*shown.records, *shown.warnings], key=lambda row: row["epoch"])
        light, dark = curve_pictures(rows), curve_pictures(rows, theme="dark")
        found += [_grids(shown), parts.panels(light, dark, _ALTS), _best(shown)]
    return "\n".join(found)


def _grids(shown: Shown) -> str:
    inner = "".join(
        parts.picture(content, f"Grid of samples, {words}", escape(words))
        for words, content in shown.grids
    )
    return f'<div class="strip">{inner}</div>' if inner else ""


def _best(shown: Shown) -> str:
    best = shown.best_epoch
    if best is None:
        return ""
    nats = f"{parts.number(best.validation_log_likelihood)} nats"
    rule = "The released code keeps the last epoch."
    if shown.run.weights == "best":
        text = f"All that follows from samples here is of epoch {best.epoch}, which has the highest"
        return parts.paragraph(f"{text} validation log-likelihood, {nats}. {rule}")
    text = f"The highest validation log-likelihood, {nats}, is that of epoch {best.epoch}."
    return parts.paragraph(f"{text} It selects nothing. {rule}")
