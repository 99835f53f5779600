"""The tiles that distances are multiplied in, for each architecture."""

from __future__ import annotations

from fastgan.kernels.launch import INTERPRETER, Configuration


def _tiles(precision: str, *tiles: tuple[int, int, int, int]) -> list[Configuration]:
    """Return configurations of (queries, samples, warps, stages) a tile.

    32 features a block for all: the bound of the error holds for these, and the least distances,
    and sums in whole numbers, do not depend on the rest.
    """
    return [
        Configuration(
            f"{n_queries}x{n_samples}x32",
            {
                "BLOCK_QUERIES": n_queries,
                "BLOCK_SAMPLES": n_samples,
                "BLOCK_FEATURES": 32,
                "PRECISION": precision,
            },
            n_warps,
            n_stages,
        )
        for n_queries, n_samples, n_warps, n_stages in tiles
    ]


def product_tiles() -> dict[str, list[Configuration]]:
    """Return the configurations of kernels that multiply queries by samples, by architecture."""
    return {
        # 128x128 spills on sm_80, and on sm_100 where a query is left out of its own sum
        "sm_80": _tiles("tf32x3", (128, 64, 8, 3), (64, 64, 4, 3), (32, 64, 4, 3)),
        "sm_90": _tiles("tf32x3", (128, 128, 8, 3), (128, 64, 8, 3), (64, 64, 4, 3)),
        "sm_100": _tiles("tf32x3", (128, 64, 4, 3), (64, 128, 8, 3), (64, 64, 4, 3)),
        "gfx942": _tiles("ieee", (128, 64, 4, 2), (64, 64, 4, 2), (32, 64, 4, 2)),
        INTERPRETER: _tiles("ieee", (32, 64, 4, 1)),
    }
