"""What the command line prints of a check for memorised images."""

from __future__ import annotations

from rich.table import Table

from fastgan.memorisation_result import TABLE_QUANTILES, Memorisation, distance, quantile_name


def nearest(found: Memorisation) -> Table:
    """Compare distances to the nearest training image: of samples, and of test images."""
    table = Table(
        title=f"Distance to the nearest training image, {found.dataset}",
        title_justify="left",
    )
    table.add_column("")
    table.add_column(f"{found.n_samples:,} samples", justify="right")
    table.add_column(f"{found.n_held_out:,} test images", justify="right")
    for level, *pair in zip(TABLE_QUANTILES, *found.quantile_rows(TABLE_QUANTILES), strict=True):
        table.add_row(quantile_name(level), *(distance(value) for value in pair))
    return table
