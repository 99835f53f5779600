"""Arrays of real numbers in a MATLAB 5 file; nothing else in it is looked at.

A file is a header of 128 bytes and one element a variable: a tag (type, bytes) and a matrix, which
may be deflated. A matrix is again a row of elements: flags, dimensions, name, numbers. Source:
*MAT-File Format*, The MathWorks, level 5.

scipy 1.17.1 follows cells within cells on the C stack (100,000 of them, in a file of 200 kB, end
the process in a segmentation fault), and makes room for what a tag says before it reads (4 GiB for
a file of 192 bytes). Here every length is held against the file first.
"""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastgan.reading import (
    MOST_BYTES_A_DEFLATED_BYTE,
    MOST_UNPACKED_BYTES,
    RegularFile,
    Stream,
    damage_told,
    open_regular,
    read_exactly,
)

_HEADER_BYTES = 128
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8"} | {
    12: "i8",
    13: "u8",
}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4"} | {
    14: "i8",
    15: "u8",
}
_OTHERS = {1: "a cell array", 2: "a struct", 3: "an object", 4: "text", 5: "a sparse matrix"} | {
    16: "a function",
    17: "an object",
}
_OPAQUE = 17  # has its name elsewhere
_COMPLEX = 0x0800
_MOST_DIMENSIONS = 32
_MOST_NAME_BYTES = 1024
_PACKED_CHUNK_BYTES = 1 << 16


class _Part:
    """The next ``n_bytes`` of a file."""

    def __init__(self, file: RegularFile, n_bytes: int) -> None:
        self._file, self._left = file, n_bytes
        self.most_bytes = n_bytes  # that it can still give

    def read(self, size: int, /) -> bytes:
        data = self._file.read(min(size, self._left))
        self._left -= len(data)
        return data


class _Inflated:
    """The next ``n_bytes`` of a file, inflated as they are read."""

    def __init__(self, file: RegularFile, n_bytes: int) -> None:
        self._part = _Part(file, n_bytes)
        self._zlib = zlib.decompressobj()
        self.most_bytes = min(n_bytes * MOST_BYTES_A_DEFLATED_BYTE, MOST_UNPACKED_BYTES)

    def read(self, size: int, /) -> bytes:
        data = bytearray()
        while len(data) < size and not self._zlib.eof:
            packed = self._zlib.unconsumed_tail or self._part.read(_PACKED_CHUNK_BYTES)
            came = self._zlib.decompress(packed, size - len(data))
            data += came
            if not packed and not came:
                raise EOFError("a compressed variable is cut short")
        return bytes(data)


class _Matrix(NamedTuple):
    name: str
    kind: int
    is_complex: bool
    shape: tuple[int, ...]


def read_numbers(
    path: Path, wanted: tuple[str, ...]
) -> tuple[dict[str, npt.NDArray[Any]], list[str]]:
    """Read the variables of some names.

    Returns
    -------
    arrays : dict
        Those that are there, in MATLAB's shape (at least two dimensions) and type.
    names : list of str
        All variables of the file.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is no whole MATLAB 5 file, or a wanted variable is not an array of real numbers.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    names: list[str] = []
    with open_regular(path) as file, damage_told(path, "a MATLAB 5 file"):
        order = _byte_order(file.read(_HEADER_BYTES))
        while tag := file.read(8):
            kind, n_bytes = struct.unpack(f"{order}II", tag)
            end = file.tell() + n_bytes
            if end > file.n_bytes:
                raise EOFError(f"a variable of {n_bytes:,} bytes is cut short")
            if kind not in (_MATRIX, _COMPRESSED):
                raise ValueError(f"an element of type {kind} where a variable is expected")
            stream = (_Part if kind == _MATRIX else _Inflated)(file, n_bytes)
            if kind == _COMPRESSED and _tag(stream, order)[0] != _MATRIX:
                raise ValueError("a compressed element that is no variable")
            matrix = _matrix(stream, order)
            if matrix is not None:
                names.append(matrix.name)
                if matrix.name in wanted:
                    if matrix.name in arrays:
                        raise ValueError(f"{path}: {matrix.name}: expected it once, got it twice")
                    where = f"{path}: {matrix.name}"
                    arrays[matrix.name] = _numbers(stream, order, matrix, where)
            file.seek(end)
    return arrays, names


def _byte_order(header: bytes) -> str:
    order = {b"IM": "<", b"MI": ">"}.get(header[126:128])
    if order is None or struct.unpack(f"{order}H", header[124:126]) != (0x0100,):
        raise ValueError("its header is another one")
    return order


def _tag(stream: Stream, order: str) -> tuple[int, int, bytes | bytearray | None]:
    """Return type and length of an element, and its data where it is small enough for the tag."""
    tag = _exactly(stream, 8)
    kind, n_bytes = struct.unpack(f"{order}II", tag)
    if kind >> 16:
        kind, n_bytes = kind & 0xFFFF, kind >> 16
        if n_bytes > 4:
            raise ValueError(f"a small element of {n_bytes} bytes")
        return kind, n_bytes, tag[4 : 4 + n_bytes]
    return kind, n_bytes, None


def _element(
    stream: Stream, order: str, kind: int, most_bytes: int, what: str
) -> bytes | bytearray:
    found, n_bytes, data = _tag(stream, order)
    if found != kind or n_bytes > most_bytes:
        raise ValueError(f"{n_bytes:,} bytes of type {found} where {what} is expected")
    if data is None:
        data = _exactly(stream, n_bytes)
        _exactly(stream, -n_bytes % 8)
    return data


def _matrix(stream: Stream, order: str) -> _Matrix | None:
    flags = _element(stream, order, _UINT32, 8, "the flags of a variable")
    if len(flags) != 8:
        raise ValueError("flags of a variable that are too short")
    (word,) = struct.unpack(f"{order}I", flags[:4])
    kind = word & 0xFF
    if kind == _OPAQUE:
        return None
    sizes = _element(stream, order, _INT32, 4 * _MOST_DIMENSIONS, "the shape of a variable")
    if len(sizes) % 4 or len(sizes) < 8:
        raise ValueError(f"a shape of {len(sizes)} bytes")
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    name = _element(stream, order, _INT8, _MOST_NAME_BYTES, "the name of a variable")
    return _Matrix(name.decode("latin-1"), kind, bool(word & _COMPLEX), shape)


def _numbers(
    stream: _Part | _Inflated, order: str, matrix: _Matrix, where: str
) -> npt.NDArray[Any]:
    if matrix.kind not in _CLASSES or matrix.is_complex:
        got = "complex ones" if matrix.is_complex else _OTHERS.get(matrix.kind, "another thing")
        raise ValueError(f"{where}: expected an array of real numbers, got {got}")
    stored, n_bytes, data = _tag(stream, order)
    target = np.dtype(_CLASSES[matrix.kind])
    if stored not in _STORED or not np.can_cast(np.dtype(_STORED[stored]), target):
        raise ValueError(f"{where}: expected {target} numbers, got some of type {stored}")
    dtype = np.dtype(order + _STORED[stored])
    if min(matrix.shape) < 0 or math.prod(matrix.shape) * dtype.itemsize != n_bytes:
        raise ValueError(
            f"{where}: expected shape {matrix.shape} of {dtype.itemsize} bytes each, "
            f"got {n_bytes:,} bytes"
        )
    if n_bytes > stream.most_bytes:
        raise ValueError(
            f"{where}: expected at most {stream.most_bytes:,} bytes, got a variable that promises "
            f"{n_bytes:,}"
        )
    if data is None:
        data = _exactly(stream, n_bytes)
        # padding, and for a compressed one its checksum, which is tested at the end
        if len(stream.read(8)) == 8:
            raise ValueError(f"{where}: expected {n_bytes:,} bytes of numbers, got more")
    array = np.frombuffer(data, dtype).astype(target, copy=False)
    return array.reshape(matrix.shape, order="F")


def _exactly(stream: Stream, n_bytes: int) -> bytearray:
    data = read_exactly(stream, n_bytes)
    if len(data) != n_bytes:
        raise EOFError("a variable is cut short")
    return data
