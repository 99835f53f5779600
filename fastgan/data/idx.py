"""The IDX format of the MNIST files, plain or gzip.

Layout: two zero bytes, the type (0x08: unsigned byte, the only one read here), the number of
dimensions, each dimension as a big-endian uint32, then the numbers, the last dimension fastest.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fastgan.reading import (
    MOST_BYTES_A_DEFLATED_BYTE,
    MOST_UNPACKED_BYTES,
    RegularFile,
    open_regular,
    read_exactly,
)

_GZIP_MAGIC = b"\x1f\x8b"


def header(shape: tuple[int, ...]) -> bytes:
    """Make the header of an IDX file of unsigned bytes with this shape."""
    return struct.pack(f">HBB{len(shape)}I", 0, 0x08, len(shape), *shape)


def looks_like_idx(path: Path) -> bool:
    """Whether the first bytes are those of an IDX file, or of a gzip file."""
    with open_regular(path) as file:
        start = file.read(4)
    return start[:2] in (_GZIP_MAGIC, b"\0\0")


def read_idx(path: Path, n_dimensions: int) -> npt.NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes.

    Whether it is compressed is seen from its first bytes, not from its name. Memory is bounded by
    the file: a header that promises more than the file can hold is refused before anything is
    allocated, and reading stops one byte after what the header promises.

    Parameters
    ----------
    path : Path
    n_dimensions : int
        1 for labels, 3 for images.

    Returns
    -------
    ndarray of n_dimensions dimensions, uint8

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not an IDX file of n_dimensions dimensions, has too few or too many bytes,
        is empty, its gzip stream is damaged, or a compressed one holds more than 4 GiB.
    """
    with open_regular(path) as file:
        compressed = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        if not compressed:
            return _read(file, path, n_dimensions, file.n_bytes, compressed=False)
        try:
            with gzip.GzipFile(fileobj=file, mode="rb") as stream:
                return _read(stream, path, n_dimensions, file.n_bytes, compressed=True)
        except EOFError as error:
            raise ValueError(
                f"{path}: expected a whole gzip file, got one cut short after "
                f"{file.n_bytes:,} bytes; fetch it again"
            ) from error
        except (zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(
                f"{path}: expected a sound gzip file, got a damaged one ({error}); fetch it again"
            ) from error


def _read(
    stream: RegularFile | gzip.GzipFile,
    path: Path,
    n_dimensions: int,
    file_bytes: int,
    *,
    compressed: bool,
) -> npt.NDArray[np.uint8]:
    n_header_bytes = 4 + 4 * n_dimensions
    start = stream.read(n_header_bytes)
    magic = bytes([0, 0, 0x08, n_dimensions])
    if start[:4] != magic:
        raise ValueError(
            f"{path}: expected an IDX file of unsigned bytes with {n_dimensions} dimension(s), "
            f"magic {magic.hex(' ')}, got {start[:4].hex(' ') or 'an empty file'}"
        )
    if len(start) < n_header_bytes:
        raise ValueError(
            f"{path}: expected an IDX header of {n_header_bytes} bytes, got {len(start)}: "
            "the file is cut short"
        )
    shape = struct.unpack(f">{n_dimensions}I", start[4:])
    n_bytes = math.prod(shape)
    promised = f"{' x '.join(f'{size:,}' for size in shape)} = {n_bytes:,} bytes after the header"
    if n_bytes == 0:
        raise ValueError(f"{path}: expected at least one item of data, got {promised}")
    if compressed:
        if n_bytes > MOST_BYTES_A_DEFLATED_BYTE * file_bytes:
            raise ValueError(
                f"{path}: the header promises {promised}, more than a gzip file of "
                f"{file_bytes:,} bytes can hold"
            )
        if n_bytes > MOST_UNPACKED_BYTES:
            raise ValueError(
                f"{path}: the header promises {promised}, more than the {MOST_UNPACKED_BYTES:,} "
                "that are unpacked; unpack the file, or save the images with numpy.save"
            )
    elif n_bytes != file_bytes - n_header_bytes:
        n_present = file_bytes - n_header_bytes
        what = "cut short" if n_present < n_bytes else "too long"
        raise ValueError(f"{path}: expected {promised}, got {n_present:,}: the file is {what}")
    data = read_exactly(stream, n_bytes)
    if len(data) != n_bytes:
        raise ValueError(f"{path}: expected {promised}, got {len(data):,}: the file is cut short")
    if stream.read(1):  # also reaches the gzip trailer, so that its checksum is tested
        raise ValueError(f"{path}: expected {promised}, got more: the file is too long")
    return np.frombuffer(data, np.uint8).reshape(shape)
