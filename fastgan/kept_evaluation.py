"""An evaluation in a folder: evaluated by folds where there are any, written, and read again.

A folder keeps ONE: ``evaluation.json``, or ``folds.json`` of a data set with folds. It is a run's
(:class:`fastgan.runs.Run`), or that of any model's samples, whose name ``model.json`` holds.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastgan.data import Dataset
from fastgan.evaluation import evaluate_folds, evaluate_keeping_part
from fastgan.files import remove_left_over, write_atomically
from fastgan.flat_json import read_object
from fastgan.locks import hold
from fastgan.processes import Processes
from fastgan.scores import Evaluation, FoldEvaluation

EVALUATION = "evaluation.json"
PART = "evaluation.part.safetensors"  # of one that is under way
FOLDS = "folds.json"
MODEL = "model.json"


def evaluate_each_fold(
    model_or_samples: Any,
    datasets: Sequence[Dataset],
    *,
    part_path: Path | None = None,
    **options: Any,
) -> Evaluation | FoldEvaluation:
    """Evaluate as :func:`fastgan.evaluate`, or by folds where a data set has more than one.

    The options are those that both functions take; see :func:`evaluate_and_keep`.
    """
    if len(datasets) > 1:
        return evaluate_folds(model_or_samples, datasets, **options)
    return evaluate_keeping_part(model_or_samples, datasets[0], checkpoint=part_path, **options)


def evaluate_and_keep(
    model_or_samples: Any,
    datasets: Sequence[Dataset],
    *,
    evaluation_path: Path,
    folds_path: Path,
    part_path: Path,
    name: str | None = None,
    processes: Processes | None = None,
    **options: Any,
) -> Evaluation | FoldEvaluation:
    """Evaluate, by folds where a data set has more than one, and write the answer to its folder.

    The first process holds a lock on what it writes (one for each ``evaluation_path``), which dies
    with it. What an evaluation has done so far stays in ``part_path`` until its answer is written:
    if that fails (a full disk), the same evaluation goes on from there.

    Parameters
    ----------
    model_or_samples
        As :func:`fastgan.evaluate`.
    datasets : sequence of Dataset
        All folds of a data set, or the one that has none.
    evaluation_path, folds_path : Path
        As :func:`keep_evaluation`. Their folder is made if it is missing.
    part_path : Path
        Beside them, the ``checkpoint`` of :func:`fastgan.evaluate`; folds have none.
    name : str, optional
        Of a model that is no run: written too, as :func:`keep_samples_evaluation` does.
    processes : Processes, optional
        Those that share the work; this one alone if left out.
    options
        Those that :func:`fastgan.evaluate` and :func:`fastgan.evaluate_folds` both take.

    Raises
    ------
    FolderInUseError
        (of ``fastgan.locks``, an OSError) If another process evaluates the same.
    OSError
        If a file cannot be written.
    ElsewhereError
        (of ``fastgan.processes``, a RuntimeError) If another of the processes has one of these.
    """
    processes = Processes() if processes is None else processes
    folder = evaluation_path.parent
    with contextlib.ExitStack() as held:
        with processes.together():
            if processes.is_first:
                folder.mkdir(parents=True, exist_ok=True)
                held.enter_context(hold(folder, evaluation_path.stem))
                for path in (evaluation_path, folds_path, part_path, folder / MODEL):
                    remove_left_over(path)
        options |= {"process_group": processes.group}
        found = evaluate_each_fold(model_or_samples, datasets, part_path=part_path, **options)
        with processes.together():
            if processes.is_first:
                if name is None:
                    keep_evaluation(found, evaluation_path, folds_path)
                else:
                    keep_samples_evaluation(found, folder, name)
                part_path.unlink(missing_ok=True)
    return found


def keep_evaluation(
    found: Evaluation | FoldEvaluation, evaluation_path: Path, folds_path: Path
) -> Path:
    """Write an evaluation to the path of its kind, remove the other's file; return the path.

    Raises
    ------
    OSError
        If a file cannot be written or removed.
    """
    paths = evaluation_path, folds_path
    path, other = reversed(paths) if isinstance(found, FoldEvaluation) else paths
    write_atomically(path, found.to_json().encode())
    other.unlink(missing_ok=True)
    return path


def read_evaluation(
    evaluation_path: Path, folds_path: Path
) -> tuple[Evaluation | FoldEvaluation, Path] | None:
    """Read what :func:`keep_evaluation` wrote, and say where it was; None if there is nothing.

    Raises
    ------
    ValueError
        If a file is damaged, or both are there; the message names the file.
    """
    there = [path for path in (evaluation_path, folds_path) if path.is_file()]
    if not there:
        return None
    if len(there) > 1:
        raise ValueError(
            f"{evaluation_path}: expected it or {folds_path.name} beside it, got both: one is of "
            "an earlier evaluation; evaluate again, or remove it"
        )
    path = there[0]
    kind = FoldEvaluation if path == folds_path else Evaluation
    try:
        return kind.from_json(path.read_bytes()), path
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def check_samples_folder(folder: Path, name: str) -> None:
    """Check what :func:`keep_samples_evaluation` would refuse, before anything is computed.

    Raises
    ------
    ValueError
        If the folder holds a training run, or the name is empty or not a line of printable text.
    """
    if not _is_name(name):
        raise ValueError(f"name: expected a line of printable text, got {name!r}")
    if (folder / "recipe.toml").exists():
        raise ValueError(f"out: expected a folder without a training run, got {folder}")


def keep_samples_evaluation(
    found: Evaluation | FoldEvaluation, folder: Path, name: str
) -> tuple[Path, Path]:
    """Write a model's evaluation and its name into a folder, made if missing; return both paths.

    Such a folder gives :func:`fastgan.table_1` a row.

    Raises
    ------
    ValueError
        As :func:`check_samples_folder`.
    OSError
        If a file cannot be written.
    """
    check_samples_folder(folder, name)
    folder.mkdir(parents=True, exist_ok=True)
    kept = keep_evaluation(found, folder / EVALUATION, folder / FOLDS)
    text = json.dumps({"name": name}, indent=2, ensure_ascii=False) + "\n"
    return kept, write_atomically(folder / MODEL, text.encode())


def read_model_name(folder: Path) -> str | None:
    """Return the name in a folder's ``model.json``; None if there is no such file.

    Raises
    ------
    ValueError
        If it is damaged, or the name is none that :func:`keep_samples_evaluation` writes; the
        message names the file.
    """
    path = folder / MODEL
    if not path.is_file():
        return None
    values = read_object(path.read_bytes(), str(path))
    name = values.get("name")
    if set(values) != {"name"} or not isinstance(name, str):
        raise ValueError(f"{path}: expected an object with a name only, got {values!r:.80}")
    if not _is_name(name):
        raise ValueError(f"{path}: name: expected a line of printable text, got {name!r:.80}")
    return name


def _is_name(name: str) -> bool:
    return bool(name.strip()) and name.isprintable()
