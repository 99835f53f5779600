"""Files that appear whole or not at all: errors at each point, and kills."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fastgan.files import remove_left_over, write_atomically


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class FullDisk:
    """A file that takes some bytes and then no more."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def __enter__(self) -> FullDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, content: bytes) -> None:
        self.file.write(content[: len(content) // 2])
        self.file.flush()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("at", ["open", "write", "fsync", "rename"])
def test_an_error_leaves_the_old_file_and_nothing_beside_it(
    at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept"
    write_atomically(path, b"old")
    plain = Path.open

    def full(self: Path, *arguments: Any, **options: Any) -> Any:
        if at == "open":
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return FullDisk(plain(self, *arguments, **options))

    def failing(*_: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        if at in ("open", "write"):
            patched.setattr(Path, "open", full)
        elif at == "fsync":
            patched.setattr(os, "fsync", failing)
        else:
            patched.setattr(Path, "replace", failing)
        with pytest.raises(OSError, match=r"Errno"):
            write_atomically(path, b"new, and longer")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["kept"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "kept [1].json"
    write_atomically(path, b"old")
    program = (
        "import os, signal, sys; from pathlib import Path; from fastgan.files import *\n"
        "Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_atomically(sys.argv[1], b'new')"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(path)], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    (tmp_path / ".kept [2].json.1.1.part").touch()
    (tmp_path / "kept [1].json.1.1.part").touch()
    assert len(names(tmp_path)) == 4
    remove_left_over(path)
    assert names(tmp_path) == [
        ".kept [2].json.1.1.part",
        "kept [1].json",
        "kept [1].json.1.1.part",
    ]
