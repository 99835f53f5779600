"""The weights of the best validation epoch are those of the metrics, whatever happens."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import safetensors.torch
import torch
from tiny_run import TINY, assert_same_run, step_class, tiny_dataset
from torch import nn

from fastgan import training
from fastgan.best_weights import (
    BestEpoch,
    best_epoch,
    drop_best,
    keep_best,
    load_best,
    settle_best,
)
from fastgan.evaluation import choose_sigma
from fastgan.models import sample_from
from fastgan.runs import Run
from fastgan.training import train

# Its validation log-likelihood rises and falls: an early epoch is the best.
FALLING = TINY.replace(name="falling", learning_rate=0.4, n_epochs=6, evaluate_every=1)
AVERAGED = FALLING.replace(average_decay=0.5, average_every=2)


def record(epoch, value=None):
    found = {"epoch": epoch, "step": 10 * epoch}
    return found if value is None else {**found, "validation_log_likelihood": value, "sigma": 0.2}


def test_best_epoch_is_the_first_of_the_highest():
    assert best_epoch([]) is None
    assert best_epoch([record(1)]) is None
    records = [record(1, -3.0), record(2), record(3, 5.0), record(4, 5.0), record(5, 4.0)]
    assert best_epoch(records) == BestEpoch(3, 30, 5.0, 0.2)
    assert best_epoch([record(1, None), {**record(2), "validation_log_likelihood": None}]) is None


def test_what_is_written_aside_waits_for_a_checkpoint(tmp_path):
    module = nn.Linear(2, 1)
    assert keep_best(tmp_path, module, [record(1, 1.0)])
    first = module.weight.clone()
    with pytest.raises(FileNotFoundError, match=r"holds no best\.safetensors"):
        load_best(tmp_path)
    settle_best(
        tmp_path, 9
    )  # a checkpoint of before the epoch: killed, and gone on with from there
    assert list(tmp_path.iterdir()) == []
    keep_best(tmp_path, module, [record(1, 1.0)])
    settle_best(tmp_path, 10)
    with torch.no_grad():
        module.weight.add_(1.0)
    assert not keep_best(tmp_path, module, [record(1, 1.0), record(2, 0.5)])
    assert not keep_best(tmp_path, module, [record(1, 1.0), record(2)])
    assert keep_best(tmp_path, module, [record(1, 1.0), record(2, 1.5)])
    found, tensors = load_best(tmp_path)
    assert found == BestEpoch(1, 10, 1.0, 0.2)
    assert torch.equal(tensors["weight"], first)
    settle_best(tmp_path, 20)
    found, tensors = load_best(tmp_path)
    assert found.epoch == 2
    assert torch.equal(tensors["weight"], module.weight)
    keep_best(tmp_path, module, [record(3, 2.0)])
    drop_best(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_damage_is_told(tmp_path):
    keep_best(tmp_path, nn.Linear(2, 1), [record(1, 1.0)])
    settle_best(tmp_path, 10)
    path = tmp_path / "best.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-3])
    with pytest.raises(ValueError, match=r"best\.safetensors: not a whole safetensors file"):
        load_best(tmp_path)
    safetensors.torch.save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="expected weights of format 'fastgan weights 1', found"):
        load_best(tmp_path)
    metadata = {"format": "fastgan weights 1", "best": json.dumps({"epoch": 1})}
    safetensors.torch.save_file({"a": torch.zeros(1)}, path, metadata)
    with pytest.raises(ValueError, match="damaged metadata"):
        load_best(tmp_path)


def assert_best_is_that_of_the_metrics(run):
    """Score the stored weights anew: they must give the highest number of the metrics."""
    best = run.best_epoch
    records = [r for r in run.metrics if "validation_log_likelihood" in r]
    assert best.validation_log_likelihood == max(r["validation_log_likelihood"] for r in records)
    assert load_best(run.folder)[0] == best
    dataset = tiny_dataset()
    samples = sample_from(run.best_generator, run.recipe, 1000, run.recipe.seed)
    choice = choose_sigma(dataset.validation, samples, dataset.sigma_grid)
    assert max(choice.means) == pytest.approx(best.validation_log_likelihood, abs=1e-9)
    assert choice.sigma == best.sigma


def assert_same_best(one, other):
    (ours, our_tensors), (theirs, their_tensors) = load_best(one.folder), load_best(other.folder)
    assert ours == theirs
    assert our_tensors.keys() == their_tensors.keys()
    for name, value in our_tensors.items():
        assert torch.equal(value, their_tensors[name]), name


@pytest.fixture(scope="module", params=[FALLING, AVERAGED], ids=["plain", "averaged"])
def whole(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    return train(request.param, dataset=tiny_dataset(), folder=folder, sample_grids=False)


def test_a_run_keeps_its_best_epoch(whole):
    assert_best_is_that_of_the_metrics(whole)
    assert not (whole.folder / "best.next.safetensors").exists()
    best = Run.open(whole.folder, weights="best").generator
    kept = whole.best_generator
    for ours, theirs in zip(best.parameters(), kept.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_best_of_these_runs_is_not_the_last(whole):
    # else nothing here would show that the right one is kept
    assert whole.best_epoch.epoch < whole.recipe.n_epochs
    name = "layers.0.weight"
    best = whole.best_generator.state_dict()[name]
    assert not torch.equal(best, whole.generator.state_dict()[name])


@pytest.mark.parametrize("update", [3, 7, 12, 21])
@pytest.mark.parametrize("every", [0.0, 1e9])
def test_stopped_anywhere_and_gone_on_with(whole, tmp_path, monkeypatch, update, every):
    plain = step_class().next_batch

    def interrupted(self):
        if self.update == update:
            raise RuntimeError("stopped")  # no checkpoint is written on the way out
        return plain(self)

    with monkeypatch.context() as patch:
        patch.setattr(step_class(), "next_batch", interrupted)
        with pytest.raises(RuntimeError, match="stopped"):
            train(
                whole.recipe,
                dataset=tiny_dataset(),
                folder=tmp_path / "run",
                sample_grids=False,
                checkpoint_every_seconds=every,
            )
    part = Run.open(tmp_path / "run")
    if every == 0.0 and update > 4:
        # What a reader sees of a killed run is of the checkpoint's past too.
        assert load_best(part.folder)[0].step <= part.load_checkpoint().update
    resumed = training.resume(part.folder, dataset=tiny_dataset(), sample_grids=False)
    assert_same_run(resumed, whole)
    assert_best_is_that_of_the_metrics(resumed)
    assert_same_best(resumed, whole)
    assert not (resumed.folder / "best.next.safetensors").exists()


def test_a_best_epoch_after_the_checkpoint_does_not_survive_it(whole, tmp_path):
    # The folder as a kill leaves it: the checkpoint of epoch 1, and a better epoch written aside.
    early = train(whole.recipe, dataset=tiny_dataset(), folder=tmp_path / "run", n_epochs=1)
    before = early.best_path.read_bytes()
    shutil.copy(whole.best_path, early.folder / "best.next.safetensors")
    assert whole.best_epoch.step > early.load_checkpoint().update
    training.resume(early.folder, dataset=tiny_dataset())  # it is finished: nothing is trained
    assert early.best_path.read_bytes() == before
    assert not (early.folder / "best.next.safetensors").exists()


KILLED = """
    import os, signal, sys
    sys.path.insert(0, {tests!r})
    import fastgan.training_files
    from test_best_weights import {recipe}
    from tiny_run import tiny_dataset
    from fastgan.training import train

    plain = fastgan.training_files.keep_best
    def fatal(folder, generator, records):
        plain(folder, generator, records)
        if len(records) == {epoch}:
            os.kill(os.getpid(), signal.SIGKILL)
    fastgan.training_files.keep_best = fatal
    train({recipe}, dataset=tiny_dataset(), folder=sys.argv[1], sample_grids=False,
          checkpoint_every_seconds=0.0)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_killed_right_after_the_best_was_written_aside(whole, tmp_path):
    recipe = "AVERAGED" if whole.recipe.averages else "FALLING"
    epoch = whole.best_epoch.epoch
    program = KILLED.format(tests=str(Path(__file__).parent), recipe=recipe, epoch=epoch)
    folder = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(folder)],
        check=False,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == -signal.SIGKILL
    assert (folder / "best.next.safetensors").exists()
    resumed = training.resume(folder, dataset=tiny_dataset(), sample_grids=False)
    assert_same_run(resumed, whole)
    assert_same_best(resumed, whole)


def test_a_run_without_an_evaluated_epoch_has_none(tmp_path):
    wild = TINY.replace(learning_rate=1e30)
    run = train(wild, dataset=tiny_dataset(), folder=tmp_path)
    assert run.best_epoch is None
    with pytest.raises(FileNotFoundError, match=r"holds no best\.safetensors"):
        run.best_generator  # noqa: B018


def test_weights_are_named():
    with pytest.raises(ValueError, match="weights: expected one of model, last, best, got 'first'"):
        Run("nowhere", TINY, weights="first")
    with pytest.raises(ValueError, match="weights: expected one of model, last, best, got 'first'"):
        Run("nowhere", TINY).load_generator(weights="first")
