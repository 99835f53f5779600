"""Reading files that nobody vouches for: regular ones only, no more memory than they fill.

A reader built on this gives a right object or raises ``ValueError`` or ``OSError`` with the path,
whatever the bytes are.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import stat
from collections.abc import Iterator
from typing import Any, Protocol

# The most that a compressed array may become. Files larger than this are no case for compression:
# a .npy file is mapped, not read.
MOST_UNPACKED_BYTES = 2**32
# deflate turns 1 byte into at most 1,032 (a length-258 match in two bits)
MOST_BYTES_A_DEFLATED_BYTE = 1032
# Documents (JSON, TOML) are small; parsers take several times their size, and some take the square.
MOST_JSON_BYTES = 64 * 2**20

_CHUNK_BYTES = 1 << 20
# How the system says that a disk failed or a permission is missing, whatever the bytes were. A
# parser that seeks where a damaged file tells it to meets EINVAL, and that is the bytes' fault.
_BYTES_FAULT = (None, errno.EINVAL, errno.EOVERFLOW)
_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class Stream(Protocol):
    """What gives bytes."""

    def read(self, size: int, /) -> bytes:
        """Give ``size`` bytes, or fewer at the end."""


class RegularFile(io.BufferedReader):
    """A file open for reading whose ``read(n)`` makes room for what is there, not for n bytes.

    io's own reader allocates n bytes first, and n often comes from a header.
    """

    def __init__(self, descriptor: int, n_bytes: int) -> None:
        super().__init__(io.FileIO(descriptor, "rb"))
        self.n_bytes = n_bytes

    def read(self, size: int | None = -1, /) -> bytes:
        """Read ``size`` bytes, or what is left of the length that the file had when opened."""
        left = max(0, self.n_bytes - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


def open_regular(path: str | os.PathLike[str]) -> RegularFile:
    """Open a file to read its bytes.

    Raises
    ------
    OSError
        If it cannot be opened; ``IsADirectoryError`` for a folder.
    ValueError
        If it is a named pipe, a socket or a device, which may never end or never begin.
    """
    # without O_NONBLOCK, opening a pipe waits for somebody who writes into it
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except ValueError as error:  # a null byte
        raise ValueError(f"{os.fspath(path)!r}: no path of a file: {error}") from error
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise ValueError(f"{path}: expected a regular file, got a socket or a device") from None
        raise
    try:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, "expected a file, got a folder", os.fspath(path))
        if not stat.S_ISREG(found.st_mode):
            kind = next((name for fits, name in _KINDS if fits(found.st_mode)), "something else")
            raise ValueError(f"{path}: expected a regular file, got {kind}")
        return RegularFile(descriptor, found.st_size)
    except BaseException:
        os.close(descriptor)
        raise


def read_exactly(stream: Stream, n_bytes: int) -> bytearray:
    """Read ``n_bytes``, or fewer where the stream ends before; memory grows with what comes."""
    data = bytearray()
    while len(data) < n_bytes:
        chunk = stream.read(min(_CHUNK_BYTES, n_bytes - len(data)))
        if not chunk:
            break
        data += chunk
    return data


def read_small(path: str | os.PathLike[str], most_bytes: int = MOST_JSON_BYTES) -> bytes:
    """Read a whole file of at most ``most_bytes``; ValueError if it is longer."""
    with open_regular(path) as file:
        if file.n_bytes > most_bytes:
            raise ValueError(
                f"{path}: expected at most {most_bytes:,} bytes, got a file of {file.n_bytes:,}"
            )
        return file.read()


def read_text(path: str | os.PathLike[str], most_bytes: int = MOST_JSON_BYTES) -> str:
    """Read a whole UTF-8 text of at most ``most_bytes``; ValueError if it is another thing."""
    content = read_small(path, most_bytes)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected UTF-8 text, {error.reason} at {error.start}") from error


def parse_json(text: str | bytes | bytearray, what: str, *, unique: bool = False) -> Any:
    """Return what JSON text holds; ValueError, which calls it ``what``, if it is none.

    Also for text that Python's parser refuses in other ways: nested too deeply, numbers too long.
    With ``unique``, an object that has a name twice is none.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique if unique else None)
    except RecursionError as error:
        raise ValueError(f"{what}: expected JSON, got one nested too deeply") from error
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise ValueError(f"{what}: expected JSON, got {error}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object that has a name twice")
    return found


@contextlib.contextmanager
def damage_told(path: str | os.PathLike[str], expected: str) -> Iterator[None]:
    """Turn whatever a parser raises over damaged bytes into a ValueError with the path.

    Libraries meet such bytes with whatever their first false step raises. What already names the
    path passes, and so does what is not the bytes' fault: a disk that fails, too little memory.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in _BYTES_FAULT:
            raise
        if isinstance(error, ValueError) and str(error).startswith(str(path)):
            raise
        words = str(error) or type(error).__name__
        raise ValueError(
            f"{path}: expected {expected}, got one that is cut short, damaged or of another kind "
            f"({words.splitlines()[0]:.200})"
        ) from error
