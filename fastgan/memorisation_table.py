"""What the command line prints of a check for memorised images."""

from __future__ import annotations

from rich.table import Table

from fastgan.memorisation_result import Memorisation


def nearest(found: Memorisation) -> Table:
    """Compare distances to the nearest training image: of samples, and of test images."""
    table = Table(
        title=f"Distance to the nearest of {found.n_train:,} training images, {found.dataset}",
        title_justify="left",
    )
    table.add_column("")
    names = {0.0: "least", 0.5: "median", 1.0: "most"}
    for level in found.quantile_levels:
        table.add_column(names.get(level, f"{level:.0%}"), justify="right")
    for label, quantiles in (
        (f"{found.n_queries:,} samples", found.sample_quantiles),
        (f"{found.n_queries:,} test images", found.test_quantiles),
    ):
        table.add_row(label, *(f"{value:.3f}" for value in quantiles))
    return table


def copies(found: Memorisation) -> tuple[str, str]:
    """Say how many samples are, or come near to, training images."""
    return (
        f"Equal to a training image, number for number: {found.sample_copies:,} samples, "
        f"{found.test_copies:,} test images.",
        f"Nearer than the nearest hundredth of the test images: {found.nearer_than_test:.1%} of "
        "the samples. A smooth sample is near to many images: that alone proves no copying.",
    )
