"""The members of a tar archive, one after the other, as far as the archive of CIFAR-10 needs it.

Python's ``tarfile`` follows extended headers wherever they lead: in CPython 3.11.7, 2,000 long
names in a row (8 kB of gzip) end in a ``RecursionError``, and a pax header of a megabyte of digits
(1 kB of gzip) is searched for more than a minute. Here they are stepped over; names of at most 100
bytes do not need them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from fastgan.reading import Stream, read_exactly

BLOCK_BYTES = 512
# What may follow the end of the archive: tar fills up a record of, by default, 20 blocks.
_MOST_PADDING_BYTES = 1 << 20


class Member(NamedTuple):
    """The header of one member."""

    name: str
    n_bytes: int
    is_file: bool


def members(
    stream: Stream, where: str, most_members: int, most_bytes: int
) -> Iterator[tuple[Member, bytes]]:
    """Yield each member with its content, read in order; the stream is read to its end.

    Headers that describe another member (pax, GNU) count as members. ``where`` is the archive, for
    errors.

    Raises
    ------
    EOFError
        If the archive ends within a member.
    ValueError
        If a header is damaged, there are more than ``most_members``
        members, or one has more than ``most_bytes``.
    """
    number = 0
    while any(block := _read(stream, BLOCK_BYTES)):
        member = _member(block)
        if number >= most_members or member.n_bytes > most_bytes:
            raise ValueError(
                f"{where}: expected at most {most_members} members of at most {most_bytes:,} "
                f"bytes, got member {number} {member.name!r} of {member.n_bytes:,}"
            )
        content = _read(stream, member.n_bytes)
        _read(stream, -member.n_bytes % BLOCK_BYTES)
        yield member, bytes(content)
        number += 1
    if len(read_exactly(stream, _MOST_PADDING_BYTES)) == _MOST_PADDING_BYTES:
        raise ValueError("expected nothing after the last member, got more than a megabyte")


def _read(stream: Stream, n_bytes: int) -> bytearray:
    data = read_exactly(stream, n_bytes)
    if len(data) != n_bytes:
        raise EOFError("the archive ends within a member")
    return data


def _member(block: bytearray) -> Member:
    # the checksum is the sum of all bytes, its own eight counted as spaces
    if _octal(block[148:156]) != sum(block[:148]) + 8 * ord(" ") + sum(block[156:]):
        raise ValueError("the checksum of a member's header is wrong")
    kind = bytes(block[156:157])
    name, prefix = _text(block[:100]), _text(block[345:500])
    if block[257:263] == b"ustar\0" and prefix:
        name = f"{prefix}/{name}"
    # only files, and headers that describe another member, have content
    has_content = kind in b"\x000xgLK"
    n_bytes = _octal(block[124:136]) if has_content else 0
    return Member(name, n_bytes, is_file=kind in b"\x000")


def _text(field: bytearray) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace")


def _octal(field: bytearray) -> int:
    if field[0] & 0x80:  # GNU's notation of what eleven octal digits cannot hold
        return int.from_bytes(field) & ((1 << (8 * len(field) - 1)) - 1)
    digits = field.strip(b" \0")
    if not digits:
        return 0
    if not all(digit in b"01234567" for digit in digits):
        raise ValueError("a number of a member's header is not octal")
    return int(digits, 8)
