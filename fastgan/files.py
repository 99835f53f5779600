"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import os
import threading
from pathlib import Path


def write_atomically(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write ``content`` aside, flush it to the disk, and rename it to ``path``.

    A reader sees the old file or the new one, never a part; after an error (a full disk, say) the
    old file is still there and nothing is left beside it. The folder must exist.

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
    # Windows opens no folder, and some network file systems flush none: the rename itself is done.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
