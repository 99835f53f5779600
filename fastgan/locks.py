"""A lock on work in a folder, which dies with the process that holds it, however that ends."""

from __future__ import annotations

import contextlib
import datetime
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

logger = logging.getLogger("fastgan")

# A process's locks never refuse it itself: those it holds are known here, with its number, as a
# forked child inherits this but not the locks.
_held: set[tuple[int, Path]] = set()
_guard = threading.Lock()


class FolderInUseError(OSError):
    """The same work is under way in the same folder."""


@contextlib.contextmanager
def hold(folder: Path, work: str) -> Iterator[None]:
    """Keep others from the same work in a folder, as long as the context lasts.

    The operating system keeps the lock (a record lock on the file ``.<work>.lock``) and takes it
    back when the process ends, by ``kill -9`` too. A forked child does not hold it. The file stays
    and says who was there last; it means nothing by itself. Where the file system has no locks, a
    warning is logged and the work goes on.

    Parameters
    ----------
    folder : Path
        Must exist.
    work : str
        What is done there, in a word: "training".

    Raises
    ------
    FolderInUseError
        (an OSError) If another process, or another thread of this one, is at it.
    OSError
        If the file cannot be made.
    """
    path = folder / f".{work}.lock"
    key = (os.getpid(), path.resolve())
    with _guard:
        if key in _held:
            raise FolderInUseError(_refusal(folder, work, "this process"))
        _held.add(key)
    try:
        with path.open("a+b") as file:
            if not _lock(file):
                file.seek(0)
                owner = file.read(200).decode(errors="replace").strip() or "another process"
                raise FolderInUseError(_refusal(folder, work, owner))
            file.truncate(0)
            file.write(_this_process().encode())
            file.flush()
            yield
    finally:
        with _guard:
            _held.discard(key)


def _refusal(folder: Path, work: str, owner: str) -> str:
    return (
        f"folder: {work} is under way in {folder}, by {owner}: wait for its end, or take another "
        "folder"
    )


def _this_process() -> str:
    now = datetime.datetime.now(datetime.UTC).isoformat(sep=" ", timespec="seconds")
    return f"process {os.getpid()} on {socket.gethostname()} since {now}\n"


def _lock(file: BinaryIO) -> bool:
    """Lock a file until it is closed; False if another process has it locked."""
    try:
        if sys.platform == "win32":
            file.seek(1 << 20)  # far behind what is read
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, as the system likes
        return False
    except OSError as error:
        logger.warning("%s: cannot be locked (%s): nobody is kept out", file.name, error.strerror)
    return True
