"""A folder's lock: who is refused, with what words, and that it dies with its owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fastgan.locks import FolderInUseError, hold

HOLDER = """
import sys, pathlib
from fastgan.locks import hold
with hold(pathlib.Path(sys.argv[1]), "training"):
    print("held", flush=True)
    sys.stdin.readline()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """Start a process that holds the lock until it is told to end, and wait until it does."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=30)


def test_another_process_is_refused_by_name_until_the_first_ends(tmp_path: Path) -> None:
    process = holder(tmp_path)
    try:
        with pytest.raises(FolderInUseError) as caught, hold(tmp_path, "training"):
            pass
    finally:
        end(process)
    assert str(tmp_path) in str(caught.value)
    assert f"process {process.pid} on " in str(caught.value)
    with hold(tmp_path, "training"):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_owner_leaves_nothing_behind(tmp_path: Path) -> None:
    process = holder(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    with hold(tmp_path, "training"):
        pass


def test_other_work_and_other_folders_are_not_kept_out(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with (
        hold(tmp_path, "training"),
        hold(tmp_path, "evaluation"),
        hold(tmp_path / "other", "training"),
    ):
        pass


def test_another_thread_of_the_same_process_is_refused(tmp_path: Path) -> None:
    caught: list[BaseException] = []

    def work() -> None:
        try:
            with hold(tmp_path / ".." / tmp_path.name, "training"):
                pass
        except OSError as error:
            caught.append(error)

    with hold(tmp_path, "training"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    (error,) = caught
    assert isinstance(error, FolderInUseError)
    assert "this process" in str(error)
    work()
    assert len(caught) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_does_not_hold_it_and_is_refused_while_its_parent_does(
    tmp_path: Path,
) -> None:
    with hold(tmp_path, "training"):
        child = os.fork()
        if child == 0:
            try:
                with hold(tmp_path, "training"):
                    os._exit(1)
            except FolderInUseError:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        process = subprocess.run(
            [sys.executable, "-c", HOLDER, str(tmp_path)], capture_output=True, text=True
        )
        assert "FolderInUseError" in process.stderr  # the child's end has not let go of it


def test_an_error_lets_go_of_it(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), hold(tmp_path, "training"):
        raise RuntimeError
    with hold(tmp_path, "training"):
        pass


def test_a_folder_that_is_not_there_or_not_writable_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), hold(tmp_path / "missing", "training"):
        pass
    (tmp_path / ".training.lock").mkdir()
    with pytest.raises(IsADirectoryError), hold(tmp_path, "training"):
        pass
