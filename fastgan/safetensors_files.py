"""Reading safetensors files: everything a header says is held against the file before it is used.

Eight bytes with the length of a JSON header, the header, the tensors' bytes one after the other.
Files are written by the safetensors library. They are read here, into memory of their own: that
library (0.8.0) maps a file, and a mapped file that another process cuts short kills the reader.
"""

from __future__ import annotations

import math
import os
import struct
from typing import Any

import torch
from torch import Tensor

from fastgan.reading import RegularFile, open_regular, parse_json

# The library's own limit is 100 MB; ours have a few kilobytes.
MOST_HEADER_BYTES = 16 * 2**20

_DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}
_MOST_DIMENSIONS = 32


def read_safetensors(
    path: str | os.PathLike[str], *, with_tensors: bool = True
) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Read the metadata of a safetensors file, and its tensors unless told not to.

    Returns
    -------
    metadata : dict of str
    tensors : dict of Tensor
        On the CPU, with memory of their own; bool, integers and floats of 8 to 64 bits.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not a whole safetensors file.
    """
    with open_regular(path) as file:
        header, n_data_bytes = _header(file, path)
        metadata = header.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not all(
            isinstance(value, str) for value in metadata.values()
        ):
            raise _damaged(path, "its metadata are not texts")
        entries = [_entry(path, name, value) for name, value in header.items()]
        place = 0
        for name, _, _, first, last in sorted(entries, key=lambda entry: entry[3:]):
            if first != place:
                raise _damaged(path, f"{name!r:.100} begins at byte {first}, not at {place}")
            place = last
        if place != n_data_bytes:
            raise _damaged(path, f"its tensors have {place:,} bytes, the file {n_data_bytes:,}")
        if not with_tensors:
            return metadata, {}
        start = file.tell()
        tensors = {
            name: _tensor(file, path, name, dtype, shape, start + first)
            for name, dtype, shape, first, _ in entries
        }
    return metadata, tensors


def _header(file: RegularFile, path: str | os.PathLike[str]) -> tuple[dict[str, Any], int]:
    start = file.read(8)
    if len(start) < 8:
        raise _damaged(path, f"it has only {len(start)} bytes")
    n_bytes = struct.unpack("<Q", start)[0]
    n_left = file.n_bytes - 8
    if n_bytes > min(n_left, MOST_HEADER_BYTES):
        raise _damaged(path, f"a header of {n_bytes:,} bytes, of {n_left:,} that are there")
    header = parse_json(
        file.read(n_bytes), f"{path}: not a whole safetensors file: header", unique=True
    )
    if not isinstance(header, dict):
        raise _damaged(path, "its header is no JSON object")
    return header, n_left - n_bytes


def _entry(
    path: str | os.PathLike[str], name: str, value: Any
) -> tuple[str, torch.dtype, list[int], int, int]:
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise _damaged(path, f"{name!r:.100}: expected dtype, shape and data_offsets, got others")
    shape, offsets = value["shape"], value["data_offsets"]
    dtype = _DTYPES.get(value["dtype"]) if isinstance(value["dtype"], str) else None
    if dtype is None:
        raise _damaged(path, f"{name!r:.100}: the dtype {value['dtype']!r:.100} is unknown")
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        raise _damaged(path, f"{name!r:.100}: shape and data_offsets are not whole numbers")
    first, last = offsets
    if len(shape) > _MOST_DIMENSIONS or math.prod(shape) * dtype.itemsize != last - first:
        raise _damaged(path, f"{name!r:.100}: {shape!s:.100} of {dtype} in {last - first:,} bytes")
    return name, dtype, shape, first, last


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(
        type(number) is int and 0 <= number < 2**63 for number in value
    )


def _tensor(
    file: RegularFile,
    path: str | os.PathLike[str],
    name: str,
    dtype: torch.dtype,
    shape: list[int],
    place: int,
) -> Tensor:
    n_bytes = math.prod(shape) * dtype.itemsize
    data = torch.empty(n_bytes, dtype=torch.uint8)
    if n_bytes:
        file.seek(place)
        if file.readinto(data.numpy().data) != n_bytes:
            raise _damaged(path, f"{name!r:.100}: the file was cut short while it was read")
    if dtype == torch.bool and n_bytes and int(data.max()) > 1:
        raise _damaged(path, f"{name!r:.100}: a truth value that is neither 0 nor 1")
    try:
        return data.view(dtype).reshape(shape)
    except RuntimeError as error:  # a shape with a zero, whose other sizes overflow
        raise _damaged(path, f"{name!r:.100}: {shape!s:.100}: no shape of a tensor") from error


def _damaged(path: str | os.PathLike[str], why: str) -> ValueError:
    return ValueError(
        f"{path}: not a whole safetensors file, but one that is damaged or of another kind: {why}"
    )
