"""What a report shows, read once from a run's folder: every section takes it, and reads nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastgan.best_weights import BestEpoch
from fastgan.helvetica_result import Helvetica
from fastgan.kept_evaluation import read_evaluation
from fastgan.memorisation_result import Memorisation
from fastgan.recipes import Recipe, by_name, names
from fastgan.report_parts import picture_size
from fastgan.runs import Run
from fastgan.scores import Evaluation, FoldEvaluation
from fastgan.table_1_entries import entries_of_run, table_of
from fastgan.table_1_result import Table1
from fastgan.walk import WALK, WALK_PICTURE, Walk

FIGURE_2 = "figure_2.png"  # in the run's folder of figures
FIGURE_3 = "figure_3.png"
MEMORISATION_FIGURE = "memorisation.png"
NEAREST_PAIRS = "nearest_pairs.png"
N_GRIDS = 4  # sample grids shown, from the first to the last

_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Shown:
    """All that a report shows; None or empty is what the run does not have (yet)."""

    run: Run
    records: tuple[dict[str, Any], ...]  # of the epochs, in order
    warnings: tuple[dict[str, Any], ...]  # of the collapse watch
    best_epoch: BestEpoch | None
    evaluation: Evaluation | FoldEvaluation | None
    table: Table1 | None  # the paper's Table 1 with this run's row
    memorisation: Memorisation | None
    helvetica: Helvetica | None
    walk: Walk | None
    walk_picture: bytes | None
    figures: dict[str, bytes]  # PNG by file name
    grids: tuple[tuple[str, bytes], ...]  # words and PNG, in the order of training
    recipe_text: str  # recipe.toml
    commands: tuple[str, ...]  # what to type to do it again
    notes: tuple[str, ...]  # further sentences beside the warnings
    source: str | None  # what data was read

    @property
    def recipe(self) -> Recipe:
        """The run's recipe."""
        return self.run.recipe


def read_shown(
    run: Run, *, commands: Sequence[str] | None, notes: Sequence[str], source: str | None
) -> Shown:
    """Read what a run's folder holds.

    Raises
    ------
    ValueError
        If a file is damaged; it names the file.
    """
    kept = read_evaluation(run.evaluation_path, run.folds_path)
    walk = _read(run.figures_folder / WALK, Walk)
    pictures = (FIGURE_2, FIGURE_3, NEAREST_PAIRS)
    found = {name: _png(run.figures_folder / name) for name in pictures}
    return Shown(
        run=run,
        records=tuple(run.metrics),
        warnings=tuple(run.warnings),
        best_epoch=run.best_epoch,
        evaluation=None if kept is None else kept[0],
        table=None if kept is None else table_of(entries_of_run(run)),
        memorisation=_read(run.memorisation_path, Memorisation),
        helvetica=_read(run.helvetica_path, Helvetica),
        walk=walk,
        walk_picture=None if walk is None else _walk_picture(run, walk),
        figures={name: content for name, content in found.items() if content is not None},
        grids=_grids(run.samples_folder),
        recipe_text=run.recipe_path.read_text(encoding="utf-8").strip(),
        commands=tuple(_commands(run) if commands is None else commands),
        notes=(*_first_stage_warnings(run), *notes),
        source=source,
    )


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


def _walk_picture(run: Run, walk: Walk) -> bytes:
    path = run.figures_folder / WALK_PICTURE
    content = _png(path)
    if content is None:
        raise ValueError(f"{path}: expected the picture of {WALK}, got no file")
    expected = (2 * walk.width, walk.n_samples * walk.height)
    if picture_size(content) != expected:
        raise ValueError(
            f"{path}: expected {expected[0]} x {expected[1]} pixels, as {WALK} says, got "
            f"{' x '.join(str(size) for size in picture_size(content))}"
        )
    return content


def _grids(folder: Path) -> tuple[tuple[str, bytes], ...]:
    paths = sorted(folder.glob("*.png"), key=_natural)
    if not paths:
        return ()
    places = np.unique(np.linspace(0, len(paths) - 1, min(N_GRIDS, len(paths))).round().astype(int))
    shown = []
    for path in (paths[place] for place in places):
        content = _png(path)
        if content is not None:
            words = path.stem.replace("_", " ").replace("-", " ")
            shown.append((re.sub(r"\b0+(?=\d)", "", words), content))
    return tuple(shown)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort "epoch-10" after "epoch-9"."""
    return [
        (int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)
    ]


def _first_stage_warnings(run: Run) -> list[str]:
    first = run.first_stage
    return [
        f"First stage, epoch {warning['epoch']}: {warning['message']}."
        for warning in ([] if first is None else first.warnings)
    ]


def _what(run: Run) -> str:
    """Return the recipe's name, or the run's own file where no option makes its epochs of it."""
    recipe = run.recipe
    counts = [stage.n_epochs for stage in recipe.stages]
    known = [by_name(name) for name in names() if name == recipe.name]
    if len(set(counts)) == 1 or counts in [[s.n_epochs for s in r.stages] for r in known]:
        return recipe.name
    return str(run.recipe_path)


def _epochs(recipe: Recipe) -> str:
    """Return the option that sets the epochs, which are every stage's, where they are all equal."""
    equal = len({stage.n_epochs for stage in recipe.stages}) == 1
    return f" --epochs {recipe.n_epochs}" if equal else ""


def _commands(run: Run) -> list[str]:
    recipe = run.recipe
    commands = [f"fastgan reproduce {_what(run)} --seed {recipe.seed}{_epochs(recipe)}"]
    if run.weights != "model":
        folder = f"runs/{recipe.name}/seed-{recipe.seed}"
        commands += [
            f"fastgan {command} {folder} --weights {run.weights}"
            for command in ("evaluate", "figures")
        ]
    return commands
