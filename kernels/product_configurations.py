"""Tiles with which the products of dense layers ship, for each architecture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import triton
from fastgan.kernels.launch import Configuration

Configurations = Mapping[str, Sequence[Configuration]]


def tile(
    n_rows: int, n_columns: int, n_inner: int, precision: str, n_warps: int = 4, n_stages: int = 2
) -> Configuration:
    """Return a configuration of a product, named by its tile."""
    return Configuration(
        f"{n_rows}x{n_columns}x{n_inner}",
        {
            "BLOCK_ROWS": n_rows,
            "BLOCK_COLUMNS": n_columns,
            "BLOCK_INNER": n_inner,
            "PRECISION": precision,
        },
        n_warps,
        n_stages,
    )


def blocks(n_rows: int, n_columns: int, *others: int) -> Callable[..., tuple[int, ...]]:
    """Return the grid of a matrix: its tiles down, across, and whatever else is counted."""

    def grid(constants: Mapping[str, Any]) -> tuple[int, ...]:
        return (
            triton.cdiv(n_rows, constants["BLOCK_ROWS"]),
            triton.cdiv(n_columns, constants["BLOCK_COLUMNS"]),
            *others,
        )

    return grid


FORWARD: Configurations = {
    "sm_80": [tile(64, 32, 32, "tf32x3")],
    "sm_90": [tile(64, 32, 32, "tf32x3")],
    "sm_100": [tile(64, 32, 32, "tf32x3")],
    "gfx942": [tile(64, 32, 32, "ieee")],
    "interpreter": [tile(32, 16, 8, "ieee")],
}
INPUT_GRADIENT = FORWARD
UPDATE = FORWARD
