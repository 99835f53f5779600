"""The header of NumPy's ``.npy`` format, read by a grammar: nothing in it is evaluated.

NumPy's own reader makes room for as many bytes as the header says it has (2.4.6: 4 GiB for a file
of 13 bytes), and hands them to Python's parser. Every writer of the format prints the same three
entries, which is all that is taken here.
"""

from __future__ import annotations

import math
import re
import struct
from typing import Any, NamedTuple

import numpy as np

from fastgan.reading import Stream

_MAGIC = b"\x93NUMPY"
_MOST_HEADER_BYTES = 1 << 16
_ENTRY = (
    rb"(?:(?P<descr>'descr' ?: ?'(?P<dtype>[^'\\]{1,40})')"
    rb"|(?P<order>'fortran_order' ?: ?(?P<fortran>True|False))"
    rb"|(?P<sizes>'shape' ?: ?\((?P<shape>[0-9L, -]*)\)))"
)
_ENTRIES = re.compile(_ENTRY)
_HEADER = re.compile(
    rb"\{ ?" + rb", ?".join([re.sub(rb"\?P<\w+>", b"?:", _ENTRY)] * 3) + rb",? ?\}\s*"
)
_SIZE = re.compile(rb" *(-?[0-9]{1,20})L? *")
_NUMBERS = re.compile(r"[<>=|]?(?:\?|b1|[iu][1248]|f(?:2|4|8|12|16))")


class Header(NamedTuple):
    """What the header says of the array, and where its numbers begin."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]
    n_bytes: int
    offset: int


def read_header(stream: Stream, where: str, n_stream_bytes: int) -> Header:
    """Read the header of an .npy stream and hold it against what the stream holds.

    Parameters
    ----------
    stream : binary file
        At its beginning; left at the first number.
    where : str
        File and array, for errors.
    n_stream_bytes : int
        What the stream holds in all.

    Raises
    ------
    ValueError
        If it is no header of an array of real numbers, or the stream is not as long as it says.
    """
    text, version = _text(stream, where)
    found = _HEADER.fullmatch(text)
    entries: dict[str, bytes] = {}
    for entry in _ENTRIES.finditer(text) if found else ():
        entries |= {name: value for name, value in entry.groupdict().items() if value is not None}
    if not {"dtype", "fortran", "shape"} <= entries.keys():
        if fields := re.search(rb"'descr' ?: ?(\[.{1,200}?\])", text):
            raise ValueError(
                f"{where}: expected real numbers, got dtype {fields[1].decode('latin-1')}"
            )
        raise _wrong(where, f"{text.strip().decode('latin-1'):.100}")
    dtype = _dtype(entries["dtype"].decode("latin-1"), where)
    sizes = [_SIZE.fullmatch(size) for size in entries["shape"].split(b",")]
    if sizes[-1] is None and not entries["shape"].split(b",")[-1].strip():
        sizes.pop()  # (3,) and ()
    if any(size is None for size in sizes):
        raise _wrong(where, f"shape ({entries['shape'].decode('latin-1'):.100})")
    shape = tuple(int(size[1]) for size in sizes if size is not None)
    if len(shape) > 32:
        raise _wrong(where, f"an array of {len(shape)} dimensions")
    n_bytes = math.prod(shape) * dtype.itemsize
    offset = len(_MAGIC) + 2 + (2 if version == 1 else 4) + len(text)
    n_present = n_stream_bytes - offset
    if min(shape, default=0) < 0 or n_bytes != n_present:
        raise ValueError(
            f"{where}: expected shape {shape} of {dtype} = {n_bytes:,} bytes after the header, "
            f"got {n_present:,}: the file is {'cut short' if n_present < n_bytes else 'too long'}"
        )
    return Header(shape, entries["fortran"] == b"True", dtype, n_bytes, offset)


def _text(stream: Stream, where: str) -> tuple[bytes, int]:
    start = stream.read(8)
    if start[:6] != _MAGIC or len(start) < 8:
        raise _wrong(where, f"a file that begins with {start.hex(' ') or 'nothing'}")
    if start[6:] not in (b"\1\0", b"\2\0"):
        raise _wrong(where, f"format version ({start[6]}, {start[7]})")
    length = stream.read(2 if start[6] == 1 else 4)
    if len(length) < (2 if start[6] == 1 else 4):
        raise _wrong(where, "a header that is cut short")
    n_bytes: int = struct.unpack("<H" if start[6] == 1 else "<I", length)[0]
    if n_bytes > _MOST_HEADER_BYTES:
        raise _wrong(where, f"a header of {n_bytes:,} bytes")
    text = stream.read(n_bytes)
    if len(text) < n_bytes:
        raise _wrong(where, f"a header of {len(text):,} bytes that promises {n_bytes:,}")
    return text, start[6]


def _dtype(name: str, where: str) -> np.dtype[Any]:
    if name.strip("<>=|")[:1] == "O":
        raise ValueError(
            f"{where}: expected numbers, got an array of Python objects, which is a pickle "
            "and never read"
        )
    if not _NUMBERS.fullmatch(name):
        raise ValueError(f"{where}: expected real numbers, got dtype {_named(name)}")
    try:
        return np.dtype(name)
    except TypeError as error:  # no such float on this machine
        raise ValueError(f"{where}: expected real numbers, got dtype {name!r}") from error


def _named(name: str) -> str:
    """Return a dtype's name as NumPy prints it, of the kinds that have no parts."""
    if re.fullmatch(r"[<>=|]?(?:c(?:8|16)|[USV][0-9]{1,6}|[mM]8(?:\[[a-z]{1,2}\])?)", name):
        return str(np.dtype(name))
    return repr(name)


def _wrong(where: str, got: str) -> ValueError:
    return ValueError(
        f"{where}: expected an array in NumPy's .npy format, version 1.0 or 2.0, got: {got}"
    )
