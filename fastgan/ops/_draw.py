"""What every operation that draws takes: seed, step, stream and first row; checked once, here."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fastgan.checks import check_integer, check_scalar

UINT32_MAX = 2**32 - 1
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
N_WORDS_MAX = 2**62  # far below what 64 bits of block number hold


def check_draw(
    seed: Any, step: Any, stream: Any, first_row: Any, device: torch.device | None = None
) -> None:
    """Raise unless seed, step, stream and first row can say which numbers are drawn.

    ``device`` is where tensors of seed and step must be; ``None`` asks only that they agree.
    """
    _check_counter("seed", seed, INT64_MIN, INT64_MAX, device)
    _check_counter("step", step, 0, UINT32_MAX, device)
    check_integer("stream", stream, 0, UINT32_MAX)
    check_integer("first_row", first_row, 0)


def _check_counter(
    name: str, value: Any, minimum: int, maximum: int, device: torch.device | None
) -> None:
    if not isinstance(value, Tensor):
        check_integer(name, value, minimum, maximum)
        return
    check_scalar(name, value, torch.int64)
    if device is not None and value.device != device:
        raise ValueError(f"{name}: expected device {device} like input, got {value.device}")


def as_tensor(value: int | Tensor, device: torch.device) -> Tensor:
    """Return an int64 tensor of no dimension."""
    if isinstance(value, Tensor):
        return value
    return torch.tensor(int(value), dtype=torch.int64, device=device)


def as_key(seed: int | Tensor, step: int | Tensor) -> tuple[int, int]:
    """Return seed and step as numbers; a step beyond 32 bits raises ``ValueError``."""
    step_number = int(step)
    if not 0 <= step_number <= UINT32_MAX:
        raise ValueError(f"step: expected an integer from 0 to {UINT32_MAX}, got {step_number}")
    return int(seed), step_number


def check_span(first_row: int, n_rows: int, n_columns: int) -> None:
    """Raise ``ValueError`` where the last element's number is out of reach."""
    if (first_row + n_rows) * n_columns > N_WORDS_MAX:
        raise ValueError(
            f"first_row: expected (first_row + n_rows) * n_columns of at most {N_WORDS_MAX}, "
            f"got ({first_row} + {n_rows}) * {n_columns}"
        )
