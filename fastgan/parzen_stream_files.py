"""A Parzen stream as a safetensors file: what it holds is checked before it is taken. No pickle."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from fastgan.files import write_atomically

FORMAT = "fastgan parzen stream 1"

_DTYPES = (torch.uint8, torch.float32, torch.float64)


def write_stream(
    path: str | os.PathLike[str], options: dict[str, Any], tensors: dict[str, Tensor]
) -> Path:
    """Write options (what JSON takes; floats in full) and tensors; whole or not at all.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    # one entry: safetensors writes several in any order, and the same stream is the same file
    metadata = {FORMAT: json.dumps(options, allow_nan=False)}
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    return write_atomically(path, safetensors.torch.save(whole, metadata))


def read_stream(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read what :func:`write_stream` wrote.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not a whole file of a stream: another format, or sums that do not fit together.
    """
    path = Path(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if FORMAT not in metadata:
                raise ValueError(f"{path}: expected a {FORMAT!r}, got metadata {sorted(metadata)}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file: {error}") from error
    try:
        options = json.loads(metadata[FORMAT])
    except ValueError as error:
        raise ValueError(f"{path}: its options cannot be read: {error!r}") from error
    if not isinstance(options, dict):
        raise ValueError(f"{path}: its options cannot be read: {options!r}")
    _check_shapes(path, tensors)
    return options, tensors


def _check_shapes(path: Path, tensors: dict[str, Tensor]) -> None:
    """Raise ``ValueError`` unless the tensors of a stream fit together."""
    for name, n_dimensions in (
        ("queries", 2),
        ("sigmas", 1),
        ("buffer", 2),
        ("log_sums", 3),
        ("log_dropped", 3),
    ):
        if name not in tensors:
            raise ValueError(f"{path}: the tensor {name!r} is missing")
        if tensors[name].ndim != n_dimensions:
            raise ValueError(
                f"{path}: {name}: expected {n_dimensions} dimensions, "
                f"got shape {tuple(tensors[name].shape)}"
            )
    queries, n_sigmas = tensors["queries"], len(tensors["sigmas"])
    n_blocks = len(tensors["log_sums"])
    sums = (n_sigmas, len(queries))
    expected: dict[str, tuple[tuple[int, ...], tuple[torch.dtype, ...]]] = {
        "queries": (tuple(queries.shape), _DTYPES),
        "sigmas": ((n_sigmas,), (torch.float64,)),
        "buffer": ((len(tensors["buffer"]), queries.shape[1]), (queries.dtype,)),
        "log_sums": ((n_blocks, *sums), (torch.float64,)),
        "log_dropped": ((n_blocks, *sums), (torch.float64,)),
    }
    for name in tensors:
        if name.startswith("kept."):
            expected[name] = ((2, *sums), (torch.float64,))
    for name, (shape, dtypes) in expected.items():
        value = tensors[name]
        if tuple(value.shape) != shape or value.dtype not in dtypes:
            raise ValueError(
                f"{path}: {name}: expected shape {shape} of {dtypes[0]}, "
                f"got {tuple(value.shape)} of {value.dtype}"
            )
