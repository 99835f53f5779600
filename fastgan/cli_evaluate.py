"""``fastgan evaluate``: a run, or a file of anybody's samples, by the Parzen protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

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
    samples is printed too. Ctrl-C keeps what is done: the same command goes on.
    """
    import numpy as np
    import torch

    from fastgan import tables
    from fastgan.backends import resolve_device
    from fastgan.kept_evaluation import (
        check_samples_folder,
        evaluate_each_fold,
        keep_evaluation,
        keep_samples_evaluation,
    )
    from fastgan.progress import counting
    from fastgan.published import BEST_OF_FOLDS_NOTE
    from fastgan.scores import FoldEvaluation

    set_up(threads, True)
    where = resolve_device(device)
    source: Any
    checkpoint = None
    if run is not None and samples is None:
        if name is not None or out is not None:
            raise ValueError("evaluate: --name and --out are for --samples; a run keeps its own")
        opened = run_of(run, weights)
        folds = folds_of(data or opened.recipe.dataset, folder)
        source = opened.generator.to(where)
        seed = opened.recipe.seed if seed is None else seed
        n_samples = opened.recipe.n_samples if n_samples is None else n_samples
        checkpoint = opened.evaluation_part_path
    elif samples is not None and run is None:
        if data is None:
            raise ValueError("data: expected the data set that the samples are of (--data)")
        name = samples.stem if name is None else name
        if out is not None:
            check_samples_folder(out, name)
        source, folds = read_samples(samples), folds_of(data, folder)
        if where.type != "cpu":  # all of them, as far as its memory goes
            source = torch.from_numpy(np.ascontiguousarray(source)).to(where)
    else:
        raise ValueError("evaluate: expected a run folder or --samples, one of the two")
    with counting("samples") as progress:
        found = evaluate_each_fold(
            source,
            folds,
            n_samples=n_samples,
            sigma_variant=sigma_variant,
            seed=seed or 0,
            impl=impl,
            progress=progress,
            checkpoint=checkpoint,
        )
    if run is not None:
        keep_evaluation(found, opened.evaluation_path, opened.folds_path)
    if out is not None and name is not None:
        keep_samples_evaluation(found, out, name)
    if json:
        typer.echo(found.to_json(), nl=False)
        return
    show(*tables.scores(found, name or "fastgan"))
    if run is not None and opened.weights == "best" and isinstance(found, FoldEvaluation):
        show(BEST_OF_FOLDS_NOTE)
    show(*found.warnings())
    if out is not None:
        show(f"kept in {out}: a row for `fastgan table`")
