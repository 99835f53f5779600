"""Tiles with which the products of dense layers ship, for each architecture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import triton
from fastgan.kernels.launch import INTERPRETER, Configuration

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


def _with_interpreter(
    sm_80: Sequence[Configuration],
    sm_90: Sequence[Configuration],
    sm_100: Sequence[Configuration],
    gfx942: Sequence[Configuration],
) -> Configurations:
    """Return lists for every architecture, and a tile that small tests fill and cross."""
    lists = {"sm_80": sm_80, "sm_90": sm_90, "sm_100": sm_100, "gfx942": gfx942}
    return {**lists, INTERPRETER: [tile(32, 64, 16, "ieee")]}


# The smallest come first: batches are of 100 or 200 rows, and layers of 240 units leave most of a
# device idle under large tiles. From 64 rows on, sm_90 and sm_100 use their wide instructions.
HOPPER = [
    tile(32, 32, 32, "tf32x3", 4, 3),
    tile(64, 32, 32, "tf32x3", 4, 3),
    tile(64, 64, 32, "tf32x3", 4, 3),
    tile(128, 64, 32, "tf32x3", 8, 3),
]
INSTINCT = [tile(32, 32, 32, "ieee"), tile(64, 32, 32, "ieee"), tile(64, 64, 32, "ieee")]

FORWARD = _with_interpreter(
    [
        tile(32, 32, 32, "tf32x3", 4, 3),
        tile(64, 32, 32, "tf32x3", 4, 3),
        tile(64, 64, 16, "tf32x3", 4, 4),  # of 32 features: 255 registers where 16 do not divide
        tile(128, 64, 32, "tf32x3", 8, 3),
    ],
    HOPPER,
    [
        tile(32, 32, 32, "tf32x3", 4, 3),
        tile(64, 32, 32, "tf32x3", 8, 3),  # of 4 warps, ptxas keeps 80 registers and spills
        tile(64, 64, 32, "tf32x3", 4, 3),
        tile(128, 64, 32, "tf32x3", 8, 3),
    ],
    INSTINCT,
)
# The maximum so far and its piece are registers beside the sums.
MAXOUT_FORWARD = _with_interpreter(
    [
        tile(16, 32, 32, "tf32x3", 4, 4),
        tile(32, 32, 16, "tf32x3", 4, 4),
        tile(64, 32, 16, "tf32x3", 4, 4),
    ],
    [
        tile(16, 32, 32, "tf32x3", 4, 4),
        tile(64, 32, 32, "tf32x3", 4, 3),
        tile(64, 64, 32, "tf32x3", 8, 3),
    ],
    [
        tile(16, 32, 32, "tf32x3", 4, 4),
        tile(64, 32, 32, "tf32x3", 8, 3),
        tile(64, 64, 32, "tf32x3", 8, 3),
    ],
    [tile(16, 32, 32, "ieee"), tile(32, 16, 64, "ieee"), tile(16, 64, 32, "ieee")],
)
INPUT_GRADIENT = _with_interpreter(
    [
        tile(32, 32, 32, "tf32x3", 4, 3),
        tile(64, 32, 32, "tf32x3", 4, 3),
        tile(64, 128, 32, "tf32x3", 8, 3),
    ],
    HOPPER,
    HOPPER,
    INSTINCT,
)
UPDATE = _with_interpreter(
    [
        tile(32, 32, 32, "tf32x3", 4, 3),
        tile(64, 32, 32, "tf32x3", 4, 3),
        tile(128, 32, 32, "tf32x3", 8, 3),
    ],
    HOPPER,
    HOPPER,
    INSTINCT,
)
