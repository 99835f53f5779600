"""A Parzen stream as a safetensors file: what it holds is checked before it is taken. No pickle."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from fastgan.files import write_atomically
from fastgan.reading import parse_json
from fastgan.safetensors_files import read_safetensors

FORMAT = "fastgan parzen stream 1"

# a block is worked through in memory at once
_MOST_BLOCK_SIZE = 2**31
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
    metadata, tensors = read_safetensors(path)
    if FORMAT not in metadata:
        raise ValueError(f"{path}: expected a {FORMAT!r}, got metadata {sorted(metadata)}")
    options = parse_json(metadata[FORMAT], f"{path}: options")
    if not isinstance(options, dict) or not isinstance(options.get("arguments"), dict):
        raise ValueError(f"{path}: its options cannot be read: {options!r:.100}")
    _check_shapes(path, tensors)
    _check_options(path, options, tensors)
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
    if n_blocks:
        expected["settled.strategy"] = expected["settled.precision"] = ((), (torch.int64,))
    if "settled.least" in tensors:
        expected["settled.least"] = ((len(queries),), (torch.float64,))
    for name in expected.keys() ^ tensors.keys():
        there = "missing" if name in expected else "unknown"
        raise ValueError(f"{path}: the tensor {name!r:.100} is {there}")
    for name, (shape, dtypes) in expected.items():
        value = tensors[name]
        if tuple(value.shape) != shape or value.dtype not in dtypes:
            raise ValueError(
                f"{path}: {name}: expected shape {shape} of {dtypes[0]}, "
                f"got {tuple(value.shape)} of {value.dtype}"
            )
        numbers = name not in ("queries", "sigmas") and value.is_floating_point()
        if numbers and (value.isnan().any() or value.isposinf().any()):
            raise ValueError(f"{path}: {name}: expected no NaN and no infinity, got one")
    if not n_sigmas:
        raise ValueError(f"{path}: sigmas: expected at least one, got none")


def _check_options(path: Path, options: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Raise ``ValueError`` unless what the stream says of itself fits its tensors.

    What the options are for themselves is checked where they are taken.
    """
    arguments, n_blocks = options["arguments"], len(tensors["log_sums"])
    block_size, counts = arguments.get("block_size"), arguments.get("counts")
    if type(block_size) is not int or not 1 <= block_size <= _MOST_BLOCK_SIZE:
        raise ValueError(
            f"{path}: block_size: expected 1 to {_MOST_BLOCK_SIZE:,}, got {block_size!r:.100}"
        )
    if not isinstance(counts, list) or any(type(count) is not int for count in counts):
        raise ValueError(f"{path}: counts: expected whole numbers, got {counts!r:.100}")
    n_in_blocks, n_left = n_blocks * block_size, len(tensors["buffer"])
    n_samples = arguments.get("n_samples")
    most = block_size if n_samples is None else n_samples - n_in_blocks
    if type(most) is not int or n_left > min(most, block_size):
        raise ValueError(
            f"{path}: buffer: expected at most a block of {block_size:,} samples, and with the "
            f"{n_blocks:,} before at most {n_samples!r:.50}, got {n_left:,}"
        )
    kept = {f"kept.{count}" for count in counts if count <= n_in_blocks}
    if kept != {name for name in tensors if name.startswith("kept.")}:
        raise ValueError(f"{path}: kept: expected the sums of {sorted(kept)!s:.100}, got others")
    if n_blocks:
        strategy = int(tensors["settled.strategy"])
        has_least = strategy == 2 and not arguments.get("each_block")
        if strategy not in (1, 2) or int(tensors["settled.precision"]) not in (0, 1, 2):
            raise ValueError(f"{path}: settled: an engine that is unknown")
        if has_least != ("settled.least" in tensors):
            raise ValueError(f"{path}: settled: the bounds of the distances do not fit the engine")
    for name in ("is_numpy", "is_scalar"):
        if not isinstance(options.get(name), bool):
            raise ValueError(f"{path}: {name}: expected true or false, got {options.get(name)!r}")
    if options["is_scalar"] and len(tensors["sigmas"]) != 1:
        raise ValueError(f"{path}: sigmas: expected one, got {len(tensors['sigmas'])}")
