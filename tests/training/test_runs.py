"""The run folder: checkpoints that are whole or refused, metrics without torn or doubled lines."""

import errno
import json
import os

import pytest
import torch

from fastgan.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from fastgan.recipes import DIGITS
from fastgan.runs import Run, holds_run, read_metrics

STATE = {
    "generator.weight": torch.arange(6.0, dtype=torch.float32).reshape(2, 3),
    "update": torch.tensor(12),
    "epoch": torch.tensor(3),
}


def a_checkpoint(**changes):
    values = {
        "recipe": DIGITS,
        "state": STATE,
        "position": 4,
        "sums": (0.1, 1 / 3, 1e-300, -2.5),
        "seconds": 0.1 + 0.2,
        "status": "running",
        "data_digest": "abc",
        "n_threads": 2,
        "torch_version": "2",
    }
    return Checkpoint(**{**values, **changes})


def test_there_and_back_bit_for_bit(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, a_checkpoint())
    found = load_checkpoint(path)
    assert found.state.keys() == STATE.keys()
    for name, value in STATE.items():
        assert torch.equal(found.state[name], value)
    assert (found.sums, found.seconds) == ((0.1, 1 / 3, 1e-300, -2.5), 0.1 + 0.2)
    assert (found.update, found.epoch, found.position) == (12, 3, 4)
    assert (found.recipe, found.status, found.n_threads) == (DIGITS, "running", 2)
    assert list(tmp_path.iterdir()) == [path]


def test_floats_are_hexadecimal_in_the_metadata(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, a_checkpoint())
    header = path.read_bytes()
    length = int.from_bytes(header[:8], "little")
    metadata = json.loads(header[8 : 8 + length])["__metadata__"]
    assert metadata["seconds"] == (0.1 + 0.2).hex()


def test_tied_weights_can_be_saved(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, a_checkpoint(state={**STATE, "tied": STATE["generator.weight"]}))
    assert torch.equal(load_checkpoint(path).state["tied"], STATE["generator.weight"])


@pytest.mark.parametrize("n_bytes", [0, 4, 60, 600, -1])
def test_a_checkpoint_cut_short_is_refused(tmp_path, n_bytes):
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, a_checkpoint())
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors: not a whole safetensors file"):
        load_checkpoint(path)


def test_a_foreign_safetensors_file_is_refused(tmp_path):
    import safetensors.torch

    path = tmp_path / "checkpoint.safetensors"
    safetensors.torch.save_file(STATE, path)
    with pytest.raises(ValueError, match="expected a checkpoint of format 'fastgan run 1', found"):
        load_checkpoint(path)
    metadata = {"format": "fastgan run 1"}
    safetensors.torch.save_file(STATE, path, metadata)
    with pytest.raises(ValueError, match=r"the counter 'position' .* is missing"):
        load_checkpoint(path)
    safetensors.torch.save_file({**STATE, "position": torch.tensor(0)}, path, metadata)
    with pytest.raises(ValueError, match="the metadata 'recipe' is missing"):
        load_checkpoint(path)


def raise_no_space(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_the_previous_checkpoint_whole(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, a_checkpoint())
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", raise_no_space)
    with pytest.raises(OSError, match=r"cannot write .*: the disk is full. The last checkpoint is"):
        save_checkpoint(path, a_checkpoint(position=5))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]  # nothing is left beside it


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write .*file.run: Not a directory"):
        Run.create(tmp_path / "file" / "run", DIGITS)


def test_open_says_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no run"):
        Run.open(tmp_path)
    assert not holds_run(tmp_path)
    run = Run.create(tmp_path, DIGITS.replace(seed=4))
    assert holds_run(tmp_path)
    assert Run.open(tmp_path).recipe == DIGITS.replace(seed=4)
    assert (run.status, run.metrics, run.warnings, run.collapsed) == ("new", [], [], False)
    with pytest.raises(FileNotFoundError, match="holds no checkpoint yet"):
        run.load_checkpoint()


def record(epoch, **changes):
    return {"epoch": epoch, "step": 10 * epoch, "sample_deviation": 0.2, **changes}


def test_metrics_are_cut_to_a_step(tmp_path):
    run = Run.create(tmp_path, DIGITS)
    for epoch in (1, 2, 3):
        run.append_metrics(record(epoch))
    run.append_metrics({"epoch": 3, "step": 30, "warning": "collapse", "message": "x"})
    with run.metrics_path.open("a") as file:
        file.write('{"epoch": 4, "st')  # torn
    assert [line["epoch"] for line in run.metrics] == [1, 2, 3]
    run.cut_metrics(20)
    assert run.metrics == [record(1), record(2)]
    assert run.warnings == []
    assert run.metrics_path.read_text().endswith("}\n")


def test_a_torn_last_line_with_its_end_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps(record(1)) + '\n{"epo\n')
    assert read_metrics(path) == [record(1)]


def test_damage_elsewhere_is_told(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("{\n" + json.dumps(record(1)) + "\n")
    with pytest.raises(ValueError, match="line 1: expected JSON"):
        read_metrics(path)
    path.write_text("[]\n" + json.dumps(record(1)) + "\n")
    with pytest.raises(ValueError, match=r"line 1: expected an object, got \[\]"):
        read_metrics(path)


@pytest.mark.parametrize(
    ("name", "line"),
    [("epoch", '{"step": 1}'), ("epoch", '{"step": 1, "epoch": 1.5}'), ("step", '{"epoch": true}')],
)
def test_a_line_without_its_place_is_told(tmp_path, name, line):
    path = tmp_path / "metrics.jsonl"
    path.write_text(line + "\n" + json.dumps(record(2)) + "\n")
    sentence = rf"metrics\.jsonl: line 1: {name}: expected a whole number, got"
    with pytest.raises(ValueError, match=sentence):
        read_metrics(path)


def test_numbers_that_are_not_finite_become_null(tmp_path):
    run = Run.create(tmp_path, DIGITS)
    run.append_metrics(record(1, discriminator_cost=float("nan")))
    assert "NaN" not in run.metrics_path.read_text()
    assert run.metrics[0]["discriminator_cost"] is None


def test_a_full_disk_while_metrics_are_written(tmp_path, monkeypatch):
    run = Run.create(tmp_path, DIGITS)
    run.append_metrics(record(1))
    monkeypatch.setattr(os, "fsync", raise_no_space)
    with pytest.raises(OSError, match=r"cannot write .*metrics\.jsonl: the disk is full"):
        run.flush_metrics()
    assert run.metrics == [record(1)]
