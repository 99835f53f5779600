"""A write error at each point of a run: what was there stays whole, and the run goes on from it."""

import contextlib
import errno
import os
import stat
from pathlib import Path

import pytest
from tiny_run import TINY, assert_same_run, tiny_dataset

from fastgan import training
from fastgan.locks import FolderInUseError, hold
from fastgan.training import train

# Two epochs of 4 batches, both evaluated, a checkpoint after each batch.
SHORT = TINY.replace(n_epochs=2, evaluate_every=1)
OPTIONS = {"checkpoint_every_seconds": 0.0}


class CutShort:
    """A file whose write takes half of what it is given, and then no more."""

    def __init__(self, file, fails):
        self.file, self.fails = file, fails

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, content):
        if self.fails():
            self.file.write(content[: len(content) // 2])
            self.file.flush()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(content)


@contextlib.contextmanager
def failing(monkeypatch, kind, number):
    """Let the operation of a kind fail, the one of that number; give the count of them."""
    count = [0]

    def fails():
        count[0] += 1
        return count[0] == number + 1

    def broken(plain, applies=lambda *_: True):
        def call(*arguments):
            if applies(*arguments) and fails():
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return plain(*arguments)

        return call

    plain_open = Path.open

    def cut_short(self, mode="r", *arguments, **options):
        file = plain_open(self, mode, *arguments, **options)
        return CutShort(file, fails) if mode[0] in "wa" and "+" not in mode else file

    def is_folder(descriptor):
        return stat.S_ISDIR(os.fstat(descriptor).st_mode)

    with monkeypatch.context() as patch:
        if kind == "write":
            patch.setattr(Path, "open", cut_short)
        elif kind == "fsync":
            patch.setattr(os, "fsync", broken(os.fsync, lambda d: not is_folder(d)))
        elif kind == "fsync of the folder":
            patch.setattr(os, "fsync", broken(os.fsync, is_folder))
        else:
            patch.setattr(Path, "replace", broken(Path.replace))
        yield count


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train(SHORT, dataset=tiny_dataset(), folder=tmp_path_factory.mktemp("whole") / "run")


@pytest.mark.parametrize("kind", ["write", "fsync", "fsync of the folder", "rename"])
def test_an_error_at_each_point_of_a_run(whole, kind, tmp_path, monkeypatch):
    data = tiny_dataset()
    with failing(monkeypatch, kind, 10**9) as count:
        train(SHORT, dataset=data, folder=tmp_path / "counted", **OPTIONS)
    assert count[0] > 10
    for number in range(count[0]):
        folder = tmp_path / str(number)
        with failing(monkeypatch, kind, number), pytest.raises(OSError, match=r"Errno"):
            train(SHORT, dataset=data, folder=folder, **OPTIONS)
        assert not list(folder.rglob("*.part"))
        if (folder / "recipe.toml").exists():
            resumed = training.resume(folder, dataset=data)
        else:
            resumed = train(SHORT, dataset=data, folder=folder)
        assert_same_run(resumed, whole)
        assert not list(folder.rglob("*next*"))


def test_an_error_while_a_run_is_taken_up_again(whole, tmp_path, monkeypatch):
    data = tiny_dataset()
    for kind in ("write", "rename"):
        folder = tmp_path / kind
        train(SHORT.replace(n_epochs=1), dataset=data, folder=folder)
        for number in range(3):  # recipe, metrics, checkpoint
            with failing(monkeypatch, kind, number), pytest.raises(OSError, match=r"Errno"):
                training.resume(folder, dataset=data, n_epochs=2)
            assert not list(folder.rglob("*.part"))
        assert_same_run(training.resume(folder, dataset=data, n_epochs=2), whole)


def test_a_folder_in_use_is_refused(tmp_path):
    with hold(tmp_path, "training"), pytest.raises(FolderInUseError, match="training is under way"):
        train(SHORT, dataset=tiny_dataset(), folder=tmp_path)
    run = train(SHORT, dataset=tiny_dataset(), folder=tmp_path)
    with (
        hold(tmp_path, "training"),
        pytest.raises(OSError, match="wait for its end, or take another folder"),
    ):
        training.resume(run.folder, dataset=tiny_dataset())
