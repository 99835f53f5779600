"""The top of the report: facts of the run in a line, and what was found in a few sentences."""

from __future__ import annotations

from html import escape

from fastgan.report_inputs import Shown
from fastgan.report_parts import duration, sentence
from fastgan.report_score import score_in_words
from fastgan.report_training import collapse_watch
from fastgan.runs import Run


def facts(shown: Shown) -> str:
    """Return what the run is, as items of a list."""
    recipe, run = shown.recipe, shown.run
    found = [("data", recipe.dataset), ("seed", str(recipe.seed))]
    if shown.records:
        last = shown.records[-1]
        found.append(("epochs", f"{last['epoch']:,} of {recipe.n_epochs:,}"))
        if isinstance(last.get("seconds"), (int, float)):
            found.append(("training", duration(run.training_seconds)))
    found.append(("status", run.status))
    if recipe.averages or run.weights != "model":
        found.append(("generator", _of_which_weights(run)))
    return "".join(f"<li>{escape(name)} <b>{escape(value)}</b></li>" for name, value in found)


def _of_which_weights(run: Run) -> str:
    model = "average of the weights" if run.recipe.averages else "last weights"
    if run.weights == "last":
        return "last weights"
    if run.weights == "best":
        best = run.best_epoch
        return model.replace("last ", "") + (f" at epoch {best.epoch}" if best is not None else "")
    return model


def summary(shown: Shown) -> str:
    """Return what was found in words: score, training, collapse watch, variety, memorisation."""
    found = [("Score", "", _score(shown)), ("Training", "", _training(shown))]
    kind, lead, items = collapse_watch(shown)
    found.append(("Collapse watch", kind, " ".join([lead, *items[:1], *shown.notes])))
    if shown.helvetica is not None:
        found.append(("Variety", "", shown.helvetica.headline))
    if shown.memorisation is not None:
        said = " ".join(sentence(text) for text in shown.memorisation.sentences()[:2])
        found.append(("Memorised?", "", said))
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>"
        f"{escape(text)}</dd>"
        for name, kind, text in found
    )
    return f'<dl class="short">{rows}</dl>'


def _score(shown: Shown) -> str:
    if shown.evaluation is None:
        return "Not evaluated yet."
    return score_in_words(shown.evaluation)


def _training(shown: Shown) -> str:
    if not shown.records:
        return "No epoch is recorded yet."
    last, recipe = shown.records[-1], shown.recipe
    schedule = {
        "simultaneous": "both networks in every step",
        "alternating": f"{recipe.k} of D, then one of G",
    }[recipe.schedule]
    cost = {"non_saturating": "non-saturating", "saturating": "saturating"}[recipe.cost]
    said = (
        f"{last['epoch']:,} of {recipe.n_epochs:,} epochs, {last['step']:,} batches of "
        f"{recipe.batch_size}: {schedule}, the {cost} cost for G"
    )
    first = shown.run.first_stage
    n_before = len(first.metrics) if first is not None else 0
    if n_before:
        said += f"; before them {n_before:,} epoch{'s' * (n_before > 1)} of a first stage"
    if isinstance(last.get("seconds"), (int, float)):
        said += f", in {duration(shown.run.training_seconds)}"
    return f"{said}. The run is {shown.run.status}."
