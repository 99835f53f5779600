"""Stopping in every way, and going on as if the run had never stopped."""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
import torch
from tiny_run import TINY, assert_same_run, step_class, tiny_dataset, weights
from torch import nn

from fastgan import training
from fastgan.checkpoints import load_checkpoint
from fastgan.interruption import Interruption, TrainingInterrupted
from fastgan.runs import Run
from fastgan.training import train


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train(TINY, dataset=tiny_dataset(), folder=tmp_path_factory.mktemp("whole") / "run")


def test_a_run_is_never_overwritten(whole):
    before = whole.checkpoint_path.read_bytes()
    with pytest.raises(FileExistsError, match=r"folder: .* already holds a run; set resume"):
        train(TINY, dataset=tiny_dataset(), folder=whole.folder)
    assert whole.checkpoint_path.read_bytes() == before


def test_resume_without_a_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"resume: .* holds no run"):
        train(TINY, dataset=tiny_dataset(), folder=tmp_path, resume=True)


def test_resume_goes_on_for_longer(whole, tmp_path):
    short = train(TINY, dataset=tiny_dataset(), folder=tmp_path / "run", n_epochs=2)
    assert short.status == "finished"
    longer = training.resume(tmp_path / "run", dataset=tiny_dataset(), n_epochs=4)
    assert_same_run(longer, whole)
    assert Run.open(tmp_path / "run").recipe.n_epochs == 4


def test_resume_refuses_fewer_epochs_than_there_are(tmp_path):
    run = train(TINY, dataset=tiny_dataset(), folder=tmp_path, n_epochs=3)
    paths = run.checkpoint_path, run.metrics_path, run.recipe_path
    before = [path.read_bytes() for path in paths]
    with pytest.raises(ValueError, match=r"n_epochs: expected at least 3, .* got 2"):
        training.resume(tmp_path, dataset=tiny_dataset(), n_epochs=2)
    assert [path.read_bytes() for path in paths] == before


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    run = train(TINY, dataset=tiny_dataset(), folder=tmp_path, n_epochs=2)
    before = run.metrics_path.read_text(), weights(run)
    again = training.resume(tmp_path, dataset=tiny_dataset())
    assert (again.metrics_path.read_text(), again.status) == (before[0], "finished")
    assert all(torch.equal(value, before[1][name]) for name, value in weights(again).items())


def test_resume_refuses_another_recipe_and_other_data(whole):
    other = TINY.replace(learning_rate=0.2)
    with pytest.raises(
        ValueError, match=r"of another recipe: learning_rate is 0\.1 there and 0\.2"
    ):
        train(other, dataset=tiny_dataset(), folder=whole.folder, resume=True)
    with pytest.raises(ValueError, match="this run was trained on other images than those given"):
        train(TINY, dataset=tiny_dataset(1), folder=whole.folder, resume=True)


def test_resume_refuses_a_checkpoint_of_other_shapes_or_cut_short(tmp_path):
    run = train(TINY, dataset=tiny_dataset(), folder=tmp_path, n_epochs=1)
    generator = nn.Sequential(nn.Linear(4, 9), nn.Sigmoid())
    with pytest.raises(ValueError, match=r"this checkpoint does not fit the modules: state: "):
        training.resume(tmp_path, dataset=tiny_dataset(), generator=generator)
    content = run.checkpoint_path.read_bytes()
    run.checkpoint_path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"not a whole safetensors file"):
        training.resume(tmp_path, dataset=tiny_dataset())


@pytest.mark.parametrize("step", ["autograd", "fused"])
def test_another_thread_count_is_told_where_it_matters(tmp_path, caplog, step):
    options = {"dataset": tiny_dataset(), "step": step}
    train(TINY, folder=tmp_path, n_epochs=1, n_threads=1, **options)
    with caplog.at_level("WARNING", logger="fastgan"):
        training.resume(tmp_path, n_epochs=2, n_threads=2, **options)
    told = "resume: saved with n_processes 1, n_threads 1 and torch" in caplog.text
    assert told == (step == "autograd")  # the fused step has the same bits for any number


# Stopping and going on

KILLED = """
    import os, signal, sys
    sys.path.insert(0, {tests!r})
    from {module} import TINY, step_class, tiny_dataset
    from fastgan.training import train

    plain = step_class().next_batch
    def fatal(self):
        if self.update == {update}:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(self)
    step_class().next_batch = fatal
    train(TINY.replace(**{changes}), dataset=tiny_dataset(), folder=sys.argv[1],
          checkpoint_every_seconds={every})
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize(
    ("every", "checkpointed"), [(0.0, 10), (1e9, 0)], ids=["mid-epoch", "from the start"]
)
def test_kill_9_and_resume_give_the_same_bits(whole, tmp_path, every, checkpointed):
    program = KILLED.format(
        tests=str(Path(__file__).parent),
        module="tiny_run",
        update=10,  # in the third of four epochs
        every=every,
        changes={},
    )
    folder = tmp_path / "run"
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(folder)], check=False, timeout=120
    )
    assert result.returncode == -signal.SIGKILL
    assert load_checkpoint(folder / "checkpoint.safetensors").update == checkpointed
    assert Run.open(folder).status == "running"
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "step": 1')  # what a kill within a write leaves
    resumed = training.resume(folder, dataset=tiny_dataset())
    assert_same_run(resumed, whole)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines if "warning" not in line] == [1, 2, 3, 4]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize("update", [2, 10], ids=["before the first average", "after it"])
def test_kill_9_with_an_average_gives_the_same_bits(tmp_path, update):
    changes = {"average_decay": 0.9, "average_every": 4}
    program = KILLED.format(
        tests=str(Path(__file__).parent),
        module="tiny_run",
        update=update,
        every=0.0,
        changes=changes,
    )
    folder = tmp_path / "run"
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(folder)], check=False, timeout=120
    )
    assert result.returncode == -signal.SIGKILL
    resumed = training.resume(folder, dataset=tiny_dataset())
    recipe = TINY.replace(**changes)
    assert resumed.recipe == recipe
    whole = train(recipe, dataset=tiny_dataset(), folder=tmp_path / "whole")
    assert_same_run(resumed, whole)
    assert any(name.startswith("average.") for name in weights(resumed))


@pytest.mark.parametrize("update", [0, 9, 11], ids=["first", "mid-epoch", "end of an epoch"])
def test_ctrl_c_saves_and_says_how_to_resume(whole, tmp_path, monkeypatch, update):
    plain = step_class().next_batch

    def interrupted(self):
        if self.update == update:
            signal.raise_signal(signal.SIGINT)
        return plain(self)

    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(step_class(), "next_batch", interrupted)
        with pytest.raises(TrainingInterrupted, match=r"stopped in epoch . of 4; .* is saved in"):
            train(TINY, dataset=tiny_dataset(), folder=tmp_path / "run")
    assert signal.getsignal(signal.SIGINT) is before
    run = Run.open(tmp_path / "run")
    assert run.status == "interrupted"
    assert run.load_checkpoint().update == update + 1
    assert_same_run(training.resume(run.folder, dataset=tiny_dataset()), whole)


def test_a_second_ctrl_c_acts_at_once():
    # a shell that runs pytest in the background has it ignore Ctrl-C
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        _interrupt_twice()
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupt_twice():
    with pytest.raises(KeyboardInterrupt), Interruption() as interruption:  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        assert interruption.requested
        signal.raise_signal(signal.SIGINT)


def test_training_works_outside_the_main_thread(tmp_path):
    results = []

    def work():
        results.append(train(TINY, dataset=tiny_dataset(), folder=tmp_path, n_epochs=1).status)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert results == ["finished"]


def test_a_full_disk_ends_the_run_and_it_resumes(whole, tmp_path, monkeypatch):
    plain, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > 12:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        plain(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"the disk is full. The last checkpoint is untouched"):
            train(TINY, dataset=tiny_dataset(), folder=tmp_path, checkpoint_every_seconds=0.0)
    assert 0 < load_checkpoint(tmp_path / "checkpoint.safetensors").update < 16
    assert_same_run(training.resume(tmp_path, dataset=tiny_dataset()), whole)


def test_an_output_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write .*: Not a directory"):
        train(TINY, dataset=tiny_dataset(), folder=tmp_path / "file" / "run")


# A user's own modules


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(9, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 1))

    def forward(self, images):
        return self.layers(images)


def own_pair():
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.1), nn.Linear(8, 9))
    return {"generator": generator, "discriminator": Plain()}


def test_own_modules_resume_bit_for_bit(tmp_path, monkeypatch):
    whole = train(TINY, dataset=tiny_dataset(), folder=tmp_path / "whole", **own_pair())
    plain = step_class(**own_pair()).next_batch

    def interrupted(self):
        if self.update == 5:
            signal.raise_signal(signal.SIGINT)
        return plain(self)

    with monkeypatch.context() as patch:
        patch.setattr(step_class(**own_pair()), "next_batch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(TINY, dataset=tiny_dataset(), folder=tmp_path / "part", **own_pair())
    torch.manual_seed(12345)  # whatever happened in between
    resumed = training.resume(tmp_path / "part", dataset=tiny_dataset(), **own_pair())
    assert_same_run(resumed, whole)
    with pytest.raises(ValueError, match=r"is unknown to the module|is missing from"):
        Run.open(tmp_path / "part").generator  # noqa: B018
    module = Run.open(tmp_path / "part").load_generator(own_pair()["generator"])
    assert torch.equal(module[0].weight, whole.generator[0].weight)
