"""What the command line prints of the Helvetica diagnosis."""

from __future__ import annotations

from rich.table import Table

from fastgan.helvetica_result import Helvetica, with_error
from fastgan.memorisation_result import share


def varied(found: Helvetica) -> Table:
    """Compare how varied samples and real images are, a measure a line."""
    table = Table(
        title=f"How varied the samples are, {found.dataset}",
        title_justify="left",
    )
    table.add_column("")
    table.add_column("samples", justify="right")
    table.add_column("real images", justify="right")
    table.add_row(
        f"training images hit, by {found.n_equal:,} of each",
        with_error(found.sample_equal_hits, found.sample_equal_hits_error),
        with_error(found.held_out_equal_hits, found.held_out_equal_hits_error),
    )
    table.add_row(
        "the same by uniform draws",
        "",
        with_error(found.uniform_equal_hits, found.uniform_equal_hits_error),
    )
    table.add_row(
        "distance between two images",
        with_error(found.sample_pair_distance, found.sample_pair_distance_error),
        with_error(found.train_pair_distance, found.train_pair_distance_error),
    )
    table.add_row(
        "standard deviation, mean over features",
        f"{found.sample_deviation:.3g}",
        f"{found.train_deviation:.3g}",
    )
    if found.path_length is not None and found.path_length_error is not None:
        table.add_row(
            "way along a straight line in z",
            with_error(found.path_length, found.path_length_error),
            "",
        )
    if found.class_difference is not None and found.held_out_class_difference is not None:
        table.add_row(
            "classes away from the training labels",
            share(found.class_difference),
            share(found.held_out_class_difference),
        )
    return table
