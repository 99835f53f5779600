"""What the command line prints of an evaluation by folds."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from fastgan.scores import FoldEvaluation


def fold_results(found: FoldEvaluation, model: str = "fastgan") -> Table:
    """Show each fold, and the mean over folds beside the published rows, if there are any."""
    table = Table(
        title=f"Parzen-window log-likelihood by folds, {found.dataset}, nats",
        title_justify="left",
    )
    table.add_column("model")
    table.add_column("mean ± standard error", justify="right")
    table.add_column("source")
    column = found.comparable_to
    for row in found.references:
        table.add_row(row.model, str(row.score(column)) if column else "", row.source)
    if found.references:
        table.add_section()
    for number, fold in enumerate(found.folds):
        table.add_row(
            f"fold {number}",
            f"{fold.mean:.1f} ± {fold.standard_error:.1f}",
            f"{fold.n_test:,} test images; sigma {fold.sigma:.4g}, chosen on "
            f"{fold.n_validation:,} others",
        )
    table.add_section()
    both = f"{found.mean:.1f} ± {found.standard_error:.1f}"
    source = f"mean of {len(found.folds)} folds, ± across folds; {found.n_samples:,} samples"
    table.add_row(escape(model), both, source, style="bold")
    return table


def fold_errors(found: FoldEvaluation) -> str:
    """Say in two lines what the errors are over."""
    n_folds = len(found.folds)
    lines = [
        f"± {found.standard_error:.2f} across folds: the standard deviation (ddof 0) of the "
        f"{n_folds} means / sqrt({n_folds})."
    ]
    errors = [fold.sample_standard_error for fold in found.folds]
    told = "Each fold's own ± is over its test images"
    known = [error for error in errors if error is not None]
    if len(known) == n_folds:
        blocks = found.folds[0].n_blocks
        told += (
            f"; over model samples it is ± {min(known):.2f} to {max(known):.2f} "
            f"(jackknife, {blocks} blocks)"
        )
    return "\n".join([*lines, f"{told}."])
