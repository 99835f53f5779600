"""The report of a run: one HTML page that loads nothing, for a desk and a phone, light and dark.

It shows what the run folder holds and says plainly what is missing: ``recipe.toml`` and
``metrics.jsonl`` (of the training), ``evaluation.json``, ``memorisation.json``, ``samples/*.png``
and ``figures/*.png``.
"""

from __future__ import annotations

import datetime
import importlib.resources
import os
import platform
import re
import string
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch

import fastgan
from fastgan import backends
from fastgan import report_parts as parts
from fastgan.curves import curve_pictures, sigma_curve
from fastgan.files import write_atomically
from fastgan.memorisation_figure import memorisation_pictures
from fastgan.memorisation_result import Memorisation
from fastgan.runs import Run
from fastgan.scores import Evaluation

FIGURE_2 = "figure_2.png"  # in the run's folder of figures
FIGURE_3 = "figure_3.png"
MEMORISATION_FIGURE = "memorisation.png"  # in the run's folder of figures
NEAREST_PAIRS = "nearest_pairs.png"
N_GRIDS = 4  # sample grids shown, from the first to the last

_PNG = b"\x89PNG\r\n\x1a\n"


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
    evaluation = _read(run.evaluation_path, Evaluation)
    memorisation = _read(run.memorisation_path, Memorisation)
    records, warnings = run.metrics, run.warnings
    body = [
        _hero(run, evaluation),
        _warnings(records, warnings, notes),
        _results(run, evaluation),
        _walk(run),
        _training(run, records, warnings),
        _sigma(evaluation),
        _memorisation(memorisation, _png(run.figures_folder / NEAREST_PAIRS)),
        _again(run, commands, source, evaluation),
    ]
    now = datetime.datetime.now(datetime.UTC)
    template = importlib.resources.files("fastgan").joinpath("templates", "report.html")
    page = string.Template(template.read_text(encoding="utf-8")).substitute(
        title=escape(f"{run.recipe.name}, seed {run.recipe.seed} · fastgan"),
        heading=escape(run.recipe.name),
        facts=_facts(run, records),
        body="\n".join(part for part in body if part),
        version=escape(fastgan.__version__),
        date=now.strftime("%d %B %Y, %H:%M UTC").lstrip("0"),
    )
    return write_atomically(run.report_path, page.encode("utf-8"))


def _read(path: Path, kind: Any) -> Any:
    if not path.is_file():
        return None
    try:
        return kind.from_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _png(path: Path) -> bytes | None:
    if not path.is_file():
        return None
    content = path.read_bytes()
    if not content.startswith(_PNG) or len(content) < 33:
        raise ValueError(f"{path}: expected a PNG file")
    return content


def _facts(run: Run, records: Sequence[dict[str, Any]]) -> str:
    recipe = run.recipe
    facts = [("data", recipe.dataset), ("seed", str(recipe.seed))]
    if records:
        facts.append(("epochs", f"{records[-1]['epoch']} of {recipe.n_epochs}"))
        if isinstance(records[-1].get("seconds"), (int, float)):
            facts.append(("training", parts.duration(records[-1]["seconds"])))
    facts.append(("status", run.status))
    if run.recipe.averages or run.weights != "model":
        facts.append(("generator", _of_which_weights(run)))
    return "".join(f"<li>{escape(name)} <b>{escape(value)}</b></li>" for name, value in facts)


def _of_which_weights(run: Run) -> str:
    model = "average of the weights" if run.recipe.averages else "last weights"
    if run.weights == "last":
        return "last weights"
    if run.weights == "best":
        best = run.best_epoch
        return model.replace("last ", "") + (f" at epoch {best.epoch}" if best is not None else "")
    return model


def _hero(run: Run, evaluation: Evaluation | None) -> str:
    if evaluation is None:
        left = (
            '<div><p class="label">Mean log-likelihood of the test images</p>'
            '<p class="missing">Not evaluated yet: there is no evaluation.json in the run.</p>'
            "</div>"
        )
    else:
        left = parts.headline(evaluation)
    content = _png(run.figures_folder / FIGURE_2)
    if content is None:
        right = '<p class="missing">Figure 2 is not drawn yet.</p>'
    else:
        caption = (
            "<b>After Figure 2 of the paper.</b> Samples drawn, not chosen, five a row. Framed "
            '<span class="swatch"></span> the training image nearest to the sample left of it '
            "(squared L2 distance): a sample that equals it would be memorised."
        )
        alt = "Four rows of five samples, each row ended by a framed training image"
        right = parts.picture(content, alt, caption)
    return f'<div class="hero">{left}{right}</div>'


def _warnings(
    records: Sequence[dict[str, Any]], warnings: Sequence[dict[str, Any]], notes: Sequence[str]
) -> str:
    items = [f"Epoch {warning['epoch']}: {warning['message']}." for warning in warnings]
    if not records:
        return parts.note("plain", "No epoch is recorded yet.", list(notes))
    if not items:
        lead = "The collapse watch found nothing: no collapse, no saturation."
        return parts.note("plain" if notes else "good", lead, list(notes))
    lead = f"{len(items)} warning{'s' if len(items) > 1 else ''} of the collapse watch."
    return parts.note("bad", lead, [*items, *notes])


def _results(run: Run, evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return ""
    known = "".join(f"<li>{escape(sentence)}</li>" for sentence in evaluation.warnings())
    known = f'<ul class="know">{known}</ul>'
    if evaluation.comparable_to is None:
        return parts.section("What the score can be compared with", known)
    lead = parts.paragraph(
        f"Mean log-likelihood of the {evaluation.comparable_to} test images by Parzen windows, "
        "published rows with their standard errors over test images.",
        "lead",
    )
    table = parts.results_table(evaluation, run.recipe.name)
    return parts.section("Beside the published rows", lead, table) + parts.section(
        "What to know before comparing", known
    )


def _walk(run: Run) -> str:
    content = _png(run.figures_folder / FIGURE_3)
    if content is None:
        return ""
    caption = (
        "<b>After Figure 3 of the paper.</b> Each row is a straight line in z, in equal steps, "
        "from one drawn point to the next; the last row ends where the first began."
    )
    return parts.section(
        "A walk through z", parts.picture(content, "Samples along straight lines in z", caption)
    )


def _training(
    run: Run, records: Sequence[dict[str, Any]], warnings: Sequence[dict[str, Any]]
) -> str:
    if not records:
        return ""
    alts = {
        "costs": "Costs of discriminator and generator by epoch",
        "probabilities": "Mean of D on training images and on samples by epoch",
        "likelihood": "Validation log-likelihood and sigma by epoch",
        "deviation": "Standard deviation of samples over z by epoch",
    }
    rows = sorted([*records, *warnings], key=lambda row: row["epoch"])
    light, dark = curve_pictures(rows), curve_pictures(rows, theme="dark")
    panels = "".join(
        parts.picture(light[name], alts[name], dark=dark[name], kind="card") for name in light
    )
    return parts.section(
        "As training went", _grids(run), f'<div class="curves">{panels}</div>', _best(run)
    )


def _best(run: Run) -> str:
    best = run.best_epoch
    if best is None:
        return ""
    nats = f"{parts.number(best.validation_log_likelihood)} nats"
    rule = "The released code keeps the last epoch."
    if run.weights == "best":
        text = f"All that follows from samples here is of epoch {best.epoch}, which has the highest"
        return parts.paragraph(f"{text} validation log-likelihood, {nats}. {rule}")
    text = f"The highest validation log-likelihood, {nats}, is that of epoch {best.epoch}."
    return parts.paragraph(f"{text} It selects nothing. {rule}")


def _grids(run: Run) -> str:
    paths = sorted(run.samples_folder.glob("*.png"), key=_natural)
    if not paths:
        return ""
    places = np.unique(np.linspace(0, len(paths) - 1, min(N_GRIDS, len(paths))).round().astype(int))
    shown = []
    for path in (paths[place] for place in places):
        content = _png(path)
        if content is None:
            continue
        words = path.stem.replace("_", " ").replace("-", " ")
        words = re.sub(r"\b0+(?=\d)", "", words)
        shown.append(parts.picture(content, f"Grid of samples, {words}", escape(words)))
    return f'<div class="strip">{"".join(shown)}</div>'


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort "epoch-10" after "epoch-9"."""
    return [
        (int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)
    ]


def _sigma(evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return ""
    arguments = (evaluation.sigmas, evaluation.validation_means, evaluation.sigma)
    panel = parts.picture(
        sigma_curve(*arguments),
        "Validation log-likelihood over the grid of sigma",
        dark=sigma_curve(*arguments, theme="dark"),
        kind="card",
    )
    variant = (
        "as the GMMN paper does it, on validation images chosen at random"
        if evaluation.sigma_variant == "gmmn"
        else "as the paper does it"
    )
    text = parts.paragraph(
        "Every sample carries a Gaussian of one standard deviation, sigma. "
        f"It is chosen {variant}: the best of {len(evaluation.sigmas)} values on "
        f"{evaluation.n_validation:,} validation images, "
        f"{parts.number(evaluation.validation_log_likelihood)} nats there. No test image takes "
        "part, and the same draw of samples serves both."
    )
    if evaluation.at_edge:
        text += parts.note(
            "bad", "The chosen sigma is an end of its grid: a better one may lie outside."
        )
    return parts.section(
        "The width of the window", f'<div class="two"><div>{text}</div>{panel}</div>'
    )


def _memorisation(found: Memorisation | None, pairs: bytes | None) -> str:
    if found is None:
        return ""
    lead = (
        f"Euclidean distance to the nearest of {found.n_train:,} training images: of "
        f"{found.n_samples:,} samples, and of {found.n_held_out:,} test images, never seen in "
        "training. A copying generator would crowd its samples near 0."
    )
    alts = {
        "distances": "Share of samples and of test images within each distance",
        "nearest": "The same shares over powers of ten: the smallest distances",
    }
    light, dark = memorisation_pictures(found), memorisation_pictures(found, theme="dark")
    panels = "".join(
        parts.picture(light[name], alts[name], dark=dark[name], kind="card") for name in light
    )
    said = "".join(f"<li>{escape(sentence)}</li>" for sentence in found.sentences())
    return parts.section(
        "Is it memorised?",
        parts.paragraph(lead),
        f'<div class="curves">{panels}</div>',
        parts.quantile_table(found),
        f'<ul class="know">{said}</ul>',
        "" if pairs is None else _nearest_pairs(found, pairs),
        parts.note("plain", "What these distances do not show.", found.cautions()),
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


def _again(
    run: Run,
    commands: Sequence[str] | None,
    source: str | None,
    evaluation: Evaluation | None,
) -> str:
    recipe = run.recipe
    if commands is None:
        commands = [
            f"fastgan reproduce {recipe.name} --seed {recipe.seed} --epochs {recipe.n_epochs}"
        ]
        if run.weights != "model":
            folder = f"runs/{recipe.name}/seed-{recipe.seed}"
            commands += [
                f"fastgan {command} {folder} --weights {run.weights}"
                for command in ("evaluate", "figures")
            ]
    facts = [("fastgan", fastgan.__version__), *_environment()]
    if source is not None:
        facts.append(("data", source))
    if evaluation is not None:
        facts.append(("evaluation took", parts.duration(evaluation.seconds)))
    return parts.section(
        "Do it again",
        parts.folded("Commands", f"<pre>{escape(chr(10).join(commands))}</pre>", is_open=True),
        parts.folded(
            f"Recipe {recipe.name}",
            f"<pre>{escape(run.recipe_path.read_text(encoding='utf-8').strip())}</pre>",
        ),
        parts.folded("Versions and machine", parts.facts_table(facts)),
    )


def _environment() -> list[tuple[str, str]]:
    return [
        ("Python", platform.python_version()),
        ("PyTorch", str(torch.__version__)),
        ("NumPy", np.__version__),
        ("system", f"{platform.system()} {platform.machine()}"),
        ("vector instructions", backends.simd_level()),
        ("threads", str(torch.get_num_threads())),
    ]
