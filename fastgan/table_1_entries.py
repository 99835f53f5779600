"""Table 1 of folders: the paper's rows, and one for each run or set of samples evaluated here.

What stands beside the paper's numbers is told when it is not the same measurement: another number
of samples, another choice of sigma, one fold for a mean of folds, a run that collapsed. Data
without a published column have a column of their own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from fastgan.kept_evaluation import EVALUATION, FOLDS, MODEL, read_evaluation, read_model_name
from fastgan.published import (
    BEST_OF_FOLDS_NOTE,
    COMPARABILITY_WARNING,
    FOLD_ERROR_NOTE,
    N_SAMPLES_PUBLISHED,
    REAL_DATA_NOTE,
    REFERENCE_TABLE,
    STAND_IN_NOTES,
    ReferenceResult,
)
from fastgan.runs import Run, Weights
from fastgan.scores import Evaluation, FoldEvaluation
from fastgan.table_1_formats import check_format, render
from fastgan.table_1_result import Cell, Row, Table1

PUBLISHED_COLUMNS = ("MNIST", "TFD")
RUNS = Path("runs")

_WEIGHTS: tuple[tuple[Weights, str], ...] = (
    ("model", ""),
    ("best", ", best validation epoch"),
    ("last", ", last weights"),
)


@dataclass(frozen=True)
class Entry:
    """One evaluation: whose, of what, where it is, and what is wrong with the run, if anything."""

    model: str
    found: Evaluation | FoldEvaluation
    folder: Path
    troubles: tuple[str, ...] = ()


class _Column(NamedTuple):
    name: str  # of the published column, or of a data set without one
    is_published: bool
    n_features: int = 0
    n_test: int = 0
    n_folds: int = 0


def table_1(
    folders: Iterable[str | os.PathLike[str]] | str | os.PathLike[str] | None = None,
    format: str = "text",
    *,
    all_published: bool = False,
    relative_to: str | os.PathLike[str] | None = None,
) -> str:
    """Return the paper's Table 1 with rows of one's own.

    Parameters
    ----------
    folders : iterable of path, or a path, optional
        Run folders, folders that ``fastgan evaluate --samples ... --out`` made, or folders that
        hold some of either at any depth. By default every finished run and every evaluated set of
        samples under ``runs``, of which there may be none.
    format : {"text", "markdown", "latex", "html"}
        ``latex`` is a ``table`` environment that needs no package (links, where ``hyperref`` is
        loaded); ``html`` is a whole page.
    all_published : bool, default=False
        Whether all published rows are wanted, not the paper's own four only.
    relative_to : path, optional
        The folder that the text will lie in, for its links; by default the current one.

    Returns
    -------
    str
        Each own number is a link to the folder it is from. Published numbers are marked as such,
        with their source.

    Raises
    ------
    ValueError
        If the format is unknown, a folder that is named holds nothing evaluated, or a file in one
        is damaged; the message names the file.
    FileNotFoundError
        If a folder that is named does not exist.
    """
    check_format(format)  # before any folder is read
    table = collect_table_1(folders, all_published=all_published)
    return render(table, format, Path.cwd() if relative_to is None else Path(relative_to))


def collect_table_1(
    folders: Iterable[str | os.PathLike[str]] | str | os.PathLike[str] | None = None,
    *,
    all_published: bool = False,
) -> Table1:
    """Return the table of :func:`table_1` as values; parameters and errors are the same."""
    if isinstance(folders, str | os.PathLike):
        folders = [folders]
    entries: list[Entry] = []
    left_out: list[str] = []
    if folders is None:
        for folder in _holders(RUNS) if RUNS.is_dir() else ():
            entries += _entries_if_finished(folder, left_out)
        if not entries:
            left_out.append(f"Nothing is evaluated in {RUNS} yet; `fastgan reproduce` changes it.")
    else:
        for folder in (Path(folder) for folder in folders):
            if not folder.is_dir():
                raise FileNotFoundError(f"folders: {folder}: no such folder")
            if _is_holder(folder):
                found = entries_of(folder)
                if not found:
                    raise ValueError(
                        f"folders: {folder}: expected an evaluated run, got one without "
                        f"{EVALUATION} or {FOLDS}; `fastgan evaluate {folder}` makes it"
                    )
                entries += found
                continue
            inside = list(_holders(folder))
            if not inside:
                raise ValueError(
                    f"folders: {folder}: expected a run folder, one that `fastgan evaluate "
                    "--samples ... --out` made, or one that holds some, got none of these"
                )
            for holder in inside:
                entries += _entries_if_finished(holder, left_out)
    return table_of(entries, all_published=all_published, left_out=left_out)


def entries_of(folder: Path) -> list[Entry]:
    """Return the evaluations in a folder of a run (of each of its weights) or of samples.

    Raises
    ------
    ValueError
        If a file is damaged; the message names it.
    """
    if not (folder / "recipe.toml").is_file():
        kept = read_evaluation(folder / EVALUATION, folder / FOLDS)
        name = read_model_name(folder)
        return [] if kept is None or name is None else [Entry(name, kept[0], folder)]
    found = []
    for weights, _ in _WEIGHTS:
        found += entries_of_run(Run.open(folder, weights))
    return found


def entries_of_run(run: Run) -> list[Entry]:
    """Return the evaluation of a run's weights as a list of one; of none where there is none."""
    kept = read_evaluation(run.evaluation_path, run.folds_path)
    if kept is None:
        return []
    model = f"{run.recipe.name}, seed {run.recipe.seed}{dict(_WEIGHTS)[run.weights]}"
    if run.collapsed and run.weights != "best":
        model += " (collapsed)"
    troubles = _troubles(run)
    if run.weights == "best" and isinstance(kept[0], FoldEvaluation):
        troubles = (BEST_OF_FOLDS_NOTE, *troubles)
    return [Entry(model, kept[0], run.folder, troubles)]


def table_of(
    entries: Sequence[Entry], *, all_published: bool = False, left_out: Sequence[str] = ()
) -> Table1:
    """Arrange entries under the published rows; ``left_out`` are sentences on runs without one."""
    filled = list(dict.fromkeys(_column(entry.found) for entry in entries))
    published = [_Column(name, is_published=True) for name in PUBLISHED_COLUMNS]
    own = [column for column in filled if not column.is_published]
    columns = [*published, *own]
    notes: list[str] = []
    rows = [
        Row(
            row.model,
            tuple(
                Cell(str(row.score(column.name)))
                if column.is_published and row.score(column.name) is not None
                else None
                for column in columns
            ),
            f"published: {row.source}{_printed(row)}",
            is_published=True,
        )
        for row in REFERENCE_TABLE
        if row.of_the_paper or all_published
    ]
    for model, group in _rows(entries):
        cells = {_column(entry.found): _cell(entry, notes) for entry in group}
        counts = dict.fromkeys(f"{_shown(entry.found)[1]:,} samples" for entry in group)
        source = f"measured here, {', '.join(counts)}"
        rows.append(
            Row(model, tuple(cells.get(column) for column in columns), source, is_published=False)
        )
    remarks = [COMPARABILITY_WARNING]
    if published[0] in filled or all_published:
        remarks.append(REAL_DATA_NOTE)
    titles = _titles(own)
    if own:
        listed = ", ".join(titles)
        remarks.append(
            f"No number was published for {listed}: what stands there cannot be set beside the "
            "paper's columns."
        )
        names = dict.fromkeys(column.name for column in own)
        remarks += [STAND_IN_NOTES[name] for name in names if name in STAND_IN_NOTES]
    if any(isinstance(entry.found, FoldEvaluation) for entry in entries):
        remarks.append(FOLD_ERROR_NOTE)
    return Table1((*PUBLISHED_COLUMNS, *titles), tuple(rows), tuple(notes), (*remarks, *left_out))


def _printed(row: ReferenceResult) -> str:
    forms = [score.printed for score in (row.mnist, row.tfd) if score and score.printed]
    return f", printed as {' and '.join(forms)}" if forms else ""


def _rows(entries: Sequence[Entry]) -> list[tuple[str, list[Entry]]]:
    """Join what bears one name and fills different columns, as the paper's rows do.

    Only of samples: a run's row is its own.
    """
    rows: list[tuple[str, list[Entry]]] = []
    for entry in entries:
        is_run = (entry.folder / "recipe.toml").is_file()
        for model, group in rows:
            taken = {_column(other.found) for other in group}
            if model == entry.model and not is_run and _column(entry.found) not in taken:
                group.append(entry)
                break
        else:
            rows.append((entry.model, [entry]))
    return rows


def _column(found: Evaluation | FoldEvaluation) -> _Column:
    """Say which column a score goes to: scores on other images never share one."""
    if found.comparable_to in PUBLISHED_COLUMNS:
        return _Column(found.comparable_to, is_published=True)
    n_folds = len(found.folds) if isinstance(found, FoldEvaluation) else 1
    return _Column(found.dataset, False, found.n_features, found.n_test, n_folds)


def _titles(columns: Sequence[_Column]) -> list[str]:
    """Head each own column by its data set's name; if that is not enough, by what is tested."""
    names = [*PUBLISHED_COLUMNS, *(column.name for column in columns)]
    titles = []
    for column in columns:
        title = column.name
        if names.count(title) > 1:
            title += f" ({column.n_test:,} test images of {column.n_features:,} numbers"
            title += f", {column.n_folds} folds)" if column.n_folds > 1 else ")"
        titles.append(title)
    return titles


def _shown(found: Evaluation | FoldEvaluation) -> tuple[str, int]:
    """Return the score at the published number of samples where it is known, and the number."""
    mean, error, n_samples = found.mean, found.standard_error, found.n_samples
    if isinstance(found, Evaluation):
        first = found.scores[0]
        mean, error, n_samples = first.mean, first.standard_error, first.n_samples
    return f"{mean:.1f} ± {error:.1f}", n_samples


def _cell(entry: Entry, notes: list[str]) -> Cell:
    found = entry.found
    text, n_samples = _shown(found)
    said = list(entry.troubles)
    if n_samples != N_SAMPLES_PUBLISHED:
        said.append(
            f"Of {n_samples:,} samples, not the {N_SAMPLES_PUBLISHED:,} of the published rows: "
            "comparable only to scores of as many."
        )
    elif found.n_samples != n_samples:
        said.append(
            f"At {N_SAMPLES_PUBLISHED:,} samples, as published; at all {found.n_samples:,} it is "
            f"{found.mean:.1f} ± {found.standard_error:.1f}, which is not comparable."
        )
    if found.comparable_to == "TFD" and isinstance(found, Evaluation):
        said.append("Of one fold; the published numbers are means over folds.")
    if found.comparable_to == "MNIST" and isinstance(found, FoldEvaluation):
        said.append("A mean over folds; the published numbers are of one test set.")
    if found.sigma_variant == "gmmn":
        said.append("Sigma chosen as in the GMMN paper, not as in this one.")
    said += found.faults()
    for sentence in said:
        if sentence not in notes:
            notes.append(sentence)
    marks = tuple(sorted(notes.index(sentence) + 1 for sentence in said))
    return Cell(text, entry.folder, marks)


def _troubles(run: Run) -> tuple[str, ...]:
    """Say what the collapse watch found, and whether the run came to its end."""
    said = []
    status = run.status
    warnings = run.warnings
    if run.collapsed:
        said.append("This run collapsed: at its end the samples hardly varied with z.")
    elif warnings:
        first = warnings[0]
        more = f", and {len(warnings) - 1} more" if len(warnings) > 1 else ""
        said.append(
            "The collapse watch warned of this run, though it did not end collapsed: epoch "
            f"{first['epoch']}: {first['message']}{more}."
        )
    if status != "finished":
        said.append(f"This run did not come to its end: it is {status}.")
    return tuple(said)


def _is_holder(folder: Path) -> bool:
    return (folder / "recipe.toml").is_file() or (folder / MODEL).is_file()


def _holders(folder: Path) -> Iterator[Path]:
    """Yield the folders of runs and of samples below one, in the order of their names."""
    for child in sorted(folder.iterdir(), key=_natural):
        if child.is_dir() and not child.is_symlink():
            if _is_holder(child):
                yield child
            else:
                yield from _holders(child)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort "seed-10" after "seed-9"."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _entries_if_finished(folder: Path, left_out: list[str]) -> list[Entry]:
    status = Run.open(folder).status if (folder / "recipe.toml").is_file() else "finished"
    name = folder.as_posix()
    if status != "finished":
        left_out.append(f"Left out: {name}, a run that is {status}.")
        return []
    found = entries_of(folder)
    if not found:
        left_out.append(f"Left out: {name}, not evaluated (`fastgan evaluate {name}`).")
    return found
