"""What the command line prints of a check for memorised images."""

from __future__ import annotations

from rich.table import Table

from fastgan.memorisation_result import TABLE_QUANTILES, Memorisation, distance, quantile_name


def nearest(found: Memorisation) -> Table:
    """Compare distances to the nearest training image: of samples, and of test images."""
    table = Table(
        title=f"Distance to the nearest of {found.n_train:,} training images, {found.dataset}",
        title_justify="left",
        pad_edge=False,
    )
    table.add_column("", no_wrap=True)
    for level in TABLE_QUANTILES:
        table.add_column(quantile_name(level), justify="right")
    samples, held_out = found.quantile_rows(TABLE_QUANTILES)
    for label, quantiles in (
        (f"{found.n_samples:,} samples", samples),
        (f"{found.n_held_out:,} test images", held_out),
    ):
        table.add_row(label, *(distance(value) for value in quantiles))
    return table
