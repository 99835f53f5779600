"""``fastgan evaluate``: a run, or a file of anybody's samples, by the Parzen protocol."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastgan.cli_processes import launched_command
from fastgan.cli_shared import (
    Data,
    Device,
    Folder,
    Impl,
    NSamples,
    Threads,
    Weights,
    folds_of,
    read_samples,
    run_of,
    set_up,
    show,
)

if TYPE_CHECKING:  # imported where they are used: `fastgan --help` answers at once
    from fastgan.data import Dataset
    from fastgan.scores import Evaluation, FoldEvaluation

EXAMPLES = (
    "Examples: `fastgan evaluate runs/mnist/seed-0`, "
    "`fastgan evaluate runs/mnist/seed-0 --weights best`, "
    "`fastgan evaluate runs/mnist/seed-0 --n-samples 1e7`, "
    "`fastgan evaluate --samples samples.npy --data mnist --name 'my model' --out runs/mine`"
)


def evaluate(
    run: Annotated[Path | None, typer.Argument(help="A run folder.")] = None,
    samples: Annotated[
        Path | None, typer.Option(help="A .npy file of samples, in the data's scale.")
    ] = None,
    data: Data = None,
    folder: Folder = None,
    name: Annotated[
        str | None,
        typer.Option(help="Of --samples: what the table calls them; the file's name by default."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Of --samples: keeps the evaluation there, a row for `fastgan table`."),
    ] = None,
    n_samples: NSamples = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Draws the samples.")] = None,
    weights: Weights = "model",
    sigma_variant: Annotated[str, typer.Option(help="paper, or gmmn.")] = "paper",
    json: Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")] = False,
    impl: Impl = "auto",
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Score a run, or a file of samples, by the Parzen protocol, beside the published results.

    A data set with folds (tfd, faces) is scored by folds, with the error across them. Above 10,000
    samples they are drawn as they are needed and never held; the score at 1,000, 10,000, ...
    samples is printed too. What is done is kept every minute and by Ctrl-C: the same command goes
    on. Started by torchrun, its processes share the work, and the first of them writes and speaks.
    """
    from fastgan.kept_evaluation import evaluate_and_keep, evaluate_each_fold
    from fastgan.progress import counting

    with launched_command(device) as (processes, own_device):
        set_up(threads, True)
        with processes.together():
            if (run is None) == (samples is None):
                raise ValueError("evaluate: expected a run folder or --samples, one of the two")
            if run is not None and (name is not None or out is not None):
                raise ValueError(
                    "evaluate: --name and --out are for --samples; a run keeps its own"
                )
            if run is not None:
                work = _of_run(run, weights, data, folder, own_device)
            elif samples is not None:
                work = _of_samples(samples, data, folder, name, out, own_device)
        options: dict[str, Any] = {
            "n_samples": work.n_samples if n_samples is None else n_samples,
            "seed": work.seed if seed is None else seed,
            "sigma_variant": sigma_variant,
            "impl": impl,
        }
        speaks = processes.is_first
        with counting("samples") if speaks else contextlib.nullcontext() as progress:
            options["progress"] = progress
            if work.kept:
                options |= {"processes": processes, **work.kept}
                found = evaluate_and_keep(work.source, work.folds, **options)
            else:
                options["process_group"] = processes.group
                found = evaluate_each_fold(work.source, work.folds, **options)
    if speaks and json:
        typer.echo(found.to_json(), nl=False)
    elif speaks:
        _show(found, work)


@dataclass
class _Work:
    """What is to be evaluated, and where that is kept."""

    title: str  # of its row in the table
    source: Any
    folds: tuple[Dataset, ...]
    kept: dict[str, Any]  # arguments of evaluate_and_keep; none where nothing is kept
    n_samples: int | None = None
    seed: int = 0
    is_of_best: bool = False  # epoch by validation log-likelihood
    out: Path | None = None


def _of_run(run: Path, weights: str, data: str | None, folder: Path | None, device: str) -> _Work:
    from fastgan.backends import resolve_device

    opened = run_of(run, weights)
    return _Work(
        title="fastgan",
        source=opened.generator.to(resolve_device(device)),
        folds=folds_of(data or opened.recipe.dataset, folder),
        kept={
            "evaluation_path": opened.evaluation_path,
            "folds_path": opened.folds_path,
            "part_path": opened.evaluation_part_path,
        },
        n_samples=opened.recipe.n_samples,
        seed=opened.recipe.seed,
        is_of_best=opened.weights == "best",
    )


def _of_samples(
    samples: Path,
    data: str | None,
    folder: Path | None,
    name: str | None,
    out: Path | None,
    device: str,
) -> _Work:
    import numpy as np
    import torch

    from fastgan.backends import resolve_device
    from fastgan.kept_evaluation import EVALUATION, FOLDS, PART, check_samples_folder

    if data is None:
        raise ValueError("data: expected the data set that the samples are of (--data)")
    name = samples.stem if name is None else name
    kept: dict[str, Any] = {}
    if out is not None:
        check_samples_folder(out, name)
        paths = {"evaluation_path": EVALUATION, "folds_path": FOLDS, "part_path": PART}
        kept = {"name": name} | {argument: out / file for argument, file in paths.items()}
    source, where = read_samples(samples), resolve_device(device)
    if where.type != "cpu":  # all of them, as far as its memory goes
        source = torch.from_numpy(np.ascontiguousarray(source)).to(where)
    return _Work(title=name, source=source, folds=folds_of(data, folder), kept=kept, out=out)


def _show(found: Evaluation | FoldEvaluation, work: _Work) -> None:
    from fastgan import tables
    from fastgan.published import BEST_OF_FOLDS_NOTE
    from fastgan.scores import FoldEvaluation

    show(*tables.scores(found, work.title))
    if work.is_of_best and isinstance(found, FoldEvaluation):
        show(BEST_OF_FOLDS_NOTE)
    show(*found.warnings())
    if work.out is not None:
        show(f"kept in {work.out}: a row for `fastgan table`")
