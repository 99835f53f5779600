"""Evaluations that are cut and continued: the same bits, whatever happened to the file between."""

from __future__ import annotations

import errno
import os

import pytest
from streaming import N_EVALUATED as N_SAMPLES
from streaming import Model, without_seconds

from fastgan import kept_evaluation, samples, streamed_evaluation
from fastgan.evaluation import evaluate
from fastgan.kept_evaluation import evaluate_and_keep
from fastgan.locks import FolderInUseError, hold
from fastgan.parzen_stream import ParzenStream

BLOCK = 247  # of the 50 that 12,345 samples are judged in


class Interrupted(Model):
    """A generator that is interrupted once, at the row given."""

    def __init__(self, rows, at):
        super().__init__(rows)
        self.at = at

    def sample(self, n_samples, seed, *, first_row=0):
        if first_row <= self.at < first_row + n_samples and n_samples < 10_000:
            self.at = -1
            raise KeyboardInterrupt
        return super().sample(n_samples, seed, first_row=first_row)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "evaluation.part"


def cut(rows, dataset, path, at=6_000):
    """Evaluate until a sample, and leave what is kept at a path."""
    with pytest.raises(KeyboardInterrupt, match="which are kept"):
        evaluate(Interrupted(rows, at), dataset, n_samples=N_SAMPLES, checkpoint=path)
    assert path.exists()


@pytest.mark.parametrize("at", [100, 5_000, 12_344])
def test_an_interrupted_evaluation_goes_on_to_the_same_bits(small, many, path, monkeypatch, at):
    monkeypatch.setattr(samples, "DRAWN_AT_ONCE", 170)
    model = Interrupted(many, at)
    told = "^$" if at == 100 else "interrupted after .* of 12,345 samples, which are kept"
    with pytest.raises(KeyboardInterrupt, match=told):
        evaluate(model, small, n_samples=N_SAMPLES, checkpoint=path)
    assert path.exists() is (at > 100)
    model.asked.clear()
    found = evaluate(model, small, n_samples=N_SAMPLES, checkpoint=path)
    assert without_seconds(found) == without_seconds(evaluate(many, small))
    again = [first for first, n_rows, _ in model.asked if 1 < n_rows < 10_000]
    assert again[0] == at // BLOCK * BLOCK  # from the block that was not whole
    assert not path.exists()


def test_the_pass_is_written_down_as_it_goes(small, many, tmp_path, monkeypatch):
    monkeypatch.setattr(streamed_evaluation, "SAVE_SECONDS", 0.0)
    saved = []
    save = ParzenStream.save
    monkeypatch.setattr(
        ParzenStream, "save", lambda self, path: (saved.append(self.n_samples), save(self, path))
    )
    evaluate(many, small, checkpoint=tmp_path / "part")
    assert saved == [BLOCK * number for number in range(1, 50)]  # the last block is a short one
    assert list(tmp_path.iterdir()) == []


def test_what_another_evaluation_wrote_down_is_moved_aside(small, many, path, caplog):
    cut(many, small, path)
    kept, other = path.read_bytes(), many.flip(0)
    found = evaluate(Model(other), small, n_samples=N_SAMPLES, checkpoint=path)
    assert without_seconds(found) == without_seconds(evaluate(other, small))
    assert f"holds {6_000 // BLOCK * BLOCK:,} samples of another evaluation" in caplog.text
    assert "kept as evaluation.part.other; this one begins anew" in caplog.text
    # where the other one goes on with it
    aside = path.with_name("evaluation.part.other")
    assert aside.read_bytes() == kept
    assert not path.exists()
    model = Model(many)
    found = evaluate(model, small, n_samples=N_SAMPLES, checkpoint=aside)
    assert without_seconds(found) == without_seconds(evaluate(many, small))
    assert min(first for first, n_rows, _ in model.asked if 1 < n_rows < 10_000) > 5_000


def _flip(content):
    """Change a number of the sums, which no format notices."""
    at = len(content) - 8 * 500
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize(
    "damage", [lambda _: b"not a stream", lambda content: content[:-9], lambda _: b"", _flip]
)
def test_a_damaged_part_is_moved_aside(small, many, path, caplog, damage):
    cut(many, small, path)
    path.write_bytes(damage(path.read_bytes()))
    found = evaluate(Model(many), small, n_samples=N_SAMPLES, checkpoint=path)
    assert without_seconds(found) == without_seconds(evaluate(many, small))
    assert "evaluation.part: cannot be gone on with (" in caplog.text
    assert [each.name for each in path.parent.iterdir()] == ["evaluation.part.other"]


def full_disk(monkeypatch, n_written):
    """Let the disk be full after some files were flushed to it."""
    sync, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > n_written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)


def test_on_a_full_disk_the_pass_goes_on(small, many, path, monkeypatch, caplog):
    monkeypatch.setattr(streamed_evaluation, "SAVE_SECONDS", 0.0)
    full_disk(monkeypatch, 4)  # two files and their folder
    with pytest.raises(KeyboardInterrupt):
        evaluate(Interrupted(many, 6_000), small, n_samples=N_SAMPLES, checkpoint=path)
    assert "cannot be written (No space left on device): the evaluation goes on" in caplog.text
    assert ParzenStream.load(path).n_samples == 2 * BLOCK  # what was written before
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    found = evaluate(Model(many), small, n_samples=N_SAMPLES, checkpoint=path)
    assert without_seconds(found) == without_seconds(evaluate(many, small))


@pytest.fixture
def paths(tmp_path):
    names = {"evaluation_path": "evaluation.json", "folds_path": "folds.json"}
    names["part_path"] = "evaluation.part.safetensors"
    return {argument: tmp_path / "kept" / name for argument, name in names.items()}


def test_what_is_done_stays_until_the_answer_is_written(small, many, paths, monkeypatch):
    monkeypatch.setattr(streamed_evaluation, "SAVE_SECONDS", 0.0)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(kept_evaluation, "write_atomically", full)
        with pytest.raises(OSError, match="No space left"):
            evaluate_and_keep(Model(many), [small], n_samples=N_SAMPLES, **paths)
    assert paths["part_path"].exists()
    left_over = paths["part_path"].with_name(".evaluation.json.1.1.part")
    left_over.write_bytes(b"of one that was killed")
    model = Model(many)
    found = evaluate_and_keep(model, [small], n_samples=N_SAMPLES, **paths)
    assert without_seconds(found) == without_seconds(evaluate(many, small))
    assert [first for first, n_rows, _ in model.asked if 1 < n_rows < 10_000] == [49 * BLOCK]
    assert paths["evaluation_path"].read_text() == found.to_json()
    assert not left_over.exists()
    assert not paths["part_path"].exists()


def test_a_second_evaluation_in_the_same_folder_is_refused(small, many, paths):
    folder = paths["part_path"].parent
    folder.mkdir()
    with hold(folder, "evaluation"), pytest.raises(FolderInUseError, match="evaluation is under"):
        evaluate_and_keep(many, [small], **paths)
    # other weights of the same run are other work
    paths["evaluation_path"] = folder / "evaluation-best.json"
    with hold(folder, "evaluation"):
        evaluate_and_keep(many[:100], [small], name="mine", **paths)
