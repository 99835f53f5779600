"""The report of a run: one HTML page that loads nothing, for a desk and a phone, light and dark.

It shows what the run folder holds and says plainly what is missing: ``recipe.toml`` and
``metrics.jsonl`` (of the training), ``evaluation.json`` or ``folds.json``, ``memorisation.json``,
``helvetica.json``, ``samples/*.png`` and ``figures/*``. Data flows one way: the folder is read into
:class:`~fastgan.report_inputs.Shown`, each section makes HTML of that alone, and the template takes
the sections.

The page holds one script, which only its Content-Security-Policy names by its SHA-256 digest; with
scripts off nothing but the slider and the mark in the contents is missing.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import importlib.resources
import os
import string
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

import fastgan
from fastgan import report_parts as parts
from fastgan.files import write_atomically
from fastgan.report_again import again
from fastgan.report_checks import memorised, varied
from fastgan.report_inputs import Shown, read_shown
from fastgan.report_recipe import recipe_section
from fastgan.report_score import comparison, hero, window
from fastgan.report_summary import facts, summary
from fastgan.report_training import training
from fastgan.report_walk import walk_section
from fastgan.runs import Run

# (anchor, name in the contents, heading, what gives the content; empty: no such section)
_SECTIONS: tuple[tuple[str, str, str, Callable[[Shown], str]], ...] = (
    ("summary", "In short", "In short", summary),
    ("walk", "Walk through z", "A walk through z", walk_section),
    ("table", "Table 1", "Table 1, with this run", comparison),
    ("training", "Training", "As training went", training),
    ("variety", "Variety", "How varied are the samples?", varied),
    ("memory", "Memorised?", "Is it memorised?", memorised),
    ("window", "Window", "The width of the window", window),
    ("recipe", "Recipe", "The recipe", recipe_section),
    ("again", "Do it again", "Do it again", again),
)


def write_report(
    run: Run | str | os.PathLike[str],
    *,
    commands: Sequence[str] | None = None,
    notes: Sequence[str] = (),
    source: str | None = None,
) -> Path:
    """Write ``report.html`` into a run folder.

    Parameters
    ----------
    run : Run, str or os.PathLike
        The run, or its folder.
    commands : sequence of str, optional
        What to type to do it again; ``fastgan reproduce`` with the recipe's name, seed and epochs
        if left out.
    notes : sequence of str
        Further sentences to set beside the warnings, such as seeds that collapsed before.
    source : str, optional
        What data was read (:attr:`fastgan.Dataset.source`).

    Returns
    -------
    Path
        The page.

    Raises
    ------
    FileNotFoundError
        If the folder holds no run.
    ValueError
        If a file of the run is damaged; it names the file.
    OSError
        If the page cannot be written.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    shown = read_shown(run, commands=commands, notes=notes, source=source)
    made = [
        (anchor, name, heading, content)
        for anchor, name, heading, give in _SECTIONS
        if (content := give(shown))
    ]
    script = _template("report.js").strip()
    body = parts.unbroken(
        "\n".join(
            parts.section(heading, content, anchor=anchor) for anchor, _, heading, content in made
        )
    )
    top = hero(shown)
    now = datetime.datetime.now(datetime.UTC)
    page = string.Template(_template("report.html")).substitute(
        title=escape(f"{shown.recipe.name}, seed {shown.recipe.seed} · fastgan"),
        policy=_policy(script),
        style=_template("report.css").strip(),
        heading=escape(shown.recipe.name),
        facts=facts(shown),
        contents=parts.contents([(anchor, name) for anchor, name, _, _ in made]),
        hero=top,
        body=body,
        weight=f"{max(0.1, (len(top) + len(body)) / 1e6):.1f} MB",
        version=escape(fastgan.__version__),
        date=now.strftime("%d %B %Y, %H:%M UTC").lstrip("0"),
        script=script,
    )
    return write_atomically(run.report_path, page.encode("utf-8"))


def _template(name: str) -> str:
    found = importlib.resources.files("fastgan").joinpath("templates", name)
    return found.read_text(encoding="utf-8")


def _policy(script: str) -> str:
    """Return the page's Content-Security-Policy: nothing is loaded, no script but this one runs.

    Source: W3C, *Content Security Policy Level 3*: a script element runs where the digest of its
    text is named.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
