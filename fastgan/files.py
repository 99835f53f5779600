"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import threading
from pathlib import Path

# What some network file systems say of a folder: the rename itself is done.
_NOT_FLUSHED = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EROFS)


def write_atomically(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write ``content`` aside, flush it to the disk, and rename it to ``path``.

    A reader sees the old file or the new one, never a part; after an error (a full disk, say) the
    old file is still there and nothing is left beside it, or, where it was the folder that could
    not be flushed after the rename, the new one. The folder must exist.

    Parameters
    ----------
    path : str or os.PathLike
        The file to write or to replace.
    content : bytes

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    target = Path(path)
    aside = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise
    _flush_folder(target.parent)
    return target


def remove_left_over(path: str | os.PathLike[str]) -> None:
    """Remove what writers of ``path`` that were killed left beside it.

    To be called by who keeps others from writing it (:func:`fastgan.locks.hold`).
    """
    target = Path(path)
    for aside in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        aside.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folder
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NOT_FLUSHED:
            raise
    finally:
        os.close(descriptor)
