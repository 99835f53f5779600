"""Training by several processes: one set of files, one end, and what goes on from it."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest
import torch
from launching import run as run_program
from launching import start

from fastgan import training
from fastgan.runs import Run
from fastgan.training import train

TRAINING = Path(__file__).parents[1] / "training"
sys.path.insert(0, str(TRAINING))

from tiny_run import TINY, assert_same_run, tiny_dataset, weights  # noqa: E402

HELPERS = f"""
import errno, hashlib, json, os, signal, sys
sys.path.insert(0, {str(TRAINING)!r})
from tiny_run import TINY, step_class, tiny_dataset
from fastgan import training
from fastgan.recipes import DenseLayer
from fastgan.restarts import train_with_restarts
from fastgan.training import train

base, told = sys.argv[1], {{}}
plain = step_class().next_batch

def go(name, recipe=TINY, **options):
    return train(recipe, dataset=tiny_dataset(), folder=f"{{base}}/{{name}}",
                 process_group=processes.group, **options)

def go_on(name, **options):
    return training.resume(f"{{base}}/{{name}}", dataset=tiny_dataset(),
                           process_group=processes.group, **options)

def digest_of(run):
    parts = [p.detach().numpy().tobytes() for p in run.generator.parameters()]
    return hashlib.sha256(b"".join(parts)).hexdigest()

def error_of(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except BaseException as error:
        return f"{{type(error).__name__}}: {{error}}"
"""

GOOD = (
    HELPERS
    + """
told["whole"] = digest_of(go("whole"))
go("part", n_epochs=2)
told["part"] = digest_of(go_on("part", n_epochs=4))
go("for one", n_epochs=2)
told["averaged"] = digest_of(go("averaged", TINY.replace(average_decay=0.9, average_every=4)))
go("autograd", step="autograd", n_epochs=1)
two = TINY.replace(
    name="two", n_latent=5, generator=(DenseLayer(4, "linear", 0.5), *TINY.generator),
    first_stage=TINY.replace(n_epochs=1), n_epochs=1,
)
told["two stages"] = digest_of(go("two stages", two))
constant = TINY.replace(
    generator=(DenseLayer(9, "sigmoid", initial_range=1e-6),), learning_rate=1e-9,
    learning_rate_floor=0.0, n_epochs=3,
)
done = train_with_restarts(constant, 1, dataset=tiny_dataset(), folder=base + "/restarts",
                           process_group=processes.group)
told["restarts"] = [done.run.recipe.seed, done.collapsed, [lost.seed for lost in done.lost],
                    digest_of(done.run)]
print(json.dumps(told))
"""
)


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the runs of two processes, which told the same of each."""
    folder = tmp_path_factory.mktemp("of two")
    first, second = (json.loads(text) for text in run_program(GOOD, 2, folder, folder))
    assert first == second
    assert first["restarts"][:3] == [4, True, [3]]
    return folder


def test_one_folder_as_of_one_process(of_two: Path, tmp_path: Path) -> None:
    whole = Run.open(of_two / "whole")
    assert whole.status == "finished"
    assert whole.load_checkpoint().n_processes == 2
    assert [record["epoch"] for record in whole.metrics] == [1, 2, 3, 4]
    names = {path.name for path in whole.folder.iterdir()}
    alone = train(TINY, dataset=tiny_dataset(), folder=tmp_path / "alone")
    assert names == {path.name for path in alone.folder.iterdir()}
    assert {p.name for p in (whole.folder / "samples").iterdir()} == {
        p.name for p in (alone.folder / "samples").iterdir()
    }


# 16 steps in float32. Sums of some 20 terms in another order differ by about 2^-24 sqrt(20) = 3e-7
# of a step, and 16 steps that build on each other by 16 times that at worst, 5e-6 of the movement
# (seen: 1e-6). Four times this are allowed; a wrong mask, weight or row would be off by a tenth of
# it. The same trajectory over 100 steps, to 1e-9 in float64: test_training_steps.
@pytest.mark.parametrize("name", ["whole", "averaged"])
def test_the_run_is_that_of_one_process_up_to_rounding(
    of_two: Path, tmp_path: Path, name: str
) -> None:
    ours = Run.open(of_two / name)
    alone = train(ours.recipe, dataset=tiny_dataset(), folder=tmp_path / "alone")
    start_of = train(
        ours.recipe, dataset=tiny_dataset(), folder=tmp_path / "start", n_epochs=1
    )  # not the start itself, but within a quarter of the way
    before, theirs = weights(start_of), weights(alone)
    for key, value in weights(ours).items():
        if value.is_floating_point():
            error = (value - theirs[key]).norm()
            assert error <= 2e-5 * (theirs[key] - before[key]).norm(), key
    for mine, yours in zip(ours.metrics, alone.metrics, strict=True):
        for cost in ("discriminator_cost", "generator_cost", "real_probability"):
            assert mine[cost] == pytest.approx(yours[cost], rel=1e-6)


def test_two_processes_that_go_on_have_the_bits_of_two_that_never_stopped(of_two: Path) -> None:
    assert_same_run(Run.open(of_two / "part"), Run.open(of_two / "whole"))


def test_a_checkpoint_is_resumed_by_another_number_of_processes(
    of_two: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING", logger="fastgan"):
        run = training.resume(of_two / "for one", dataset=tiny_dataset(), n_epochs=4)
    assert "saved with n_processes 2, n_threads 1" in caplog.text
    assert "resumed with 1, 1" in caplog.text
    assert run.load_checkpoint().n_processes == 1
    for key, value in weights(Run.open(of_two / "whole")).items():
        torch.testing.assert_close(weights(run)[key], value, rtol=1e-3, atol=1e-4)


def test_stages_and_restarts(of_two: Path) -> None:
    assert Run.open(of_two / "two stages").first_stage is not None
    assert Run.open(of_two / "two stages").status == "finished"
    record = json.loads((of_two / "restarts" / "restarts.json").read_text())["3"]
    assert (record["result"], [lost["seed"] for lost in record["lost"]]) == (4, [3])
    assert Run.open(of_two / "restarts" / "seed-3").status == "stopped"


BAD = (
    HELPERS
    + """
from fastgan.locks import hold
from pathlib import Path

def interrupted(self):
    if self.update == 9 and processes.rank == 1:
        signal.raise_signal(signal.SIGINT)
    return plain(self)

step_class().next_batch = interrupted
told["interrupted"] = error_of(go, "interrupted")
step_class().next_batch = plain
go_on("interrupted")

sync, calls = os.fsync, []
def full(descriptor):
    calls.append(descriptor)
    if processes.is_first and len(calls) > 12:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    sync(descriptor)
os.fsync = full
told["full"] = error_of(go, "full", checkpoint_every_seconds=0.0)
os.fsync = sync
go_on("full")

Path(base + "/held").mkdir()
if processes.rank == 1:
    import contextlib
    lock = hold(Path(base + "/held"), "training")
    lock.__enter__()
processes.barrier()
told["held"] = error_of(go, "held")
told["other seed"] = error_of(go, "other", TINY.replace(seed=processes.rank))
told["no run"] = error_of(go_on, "nowhere")
print(json.dumps(told))
"""
)


def test_all_processes_end_where_one_does(of_two: Path, tmp_path: Path) -> None:
    first, second = (json.loads(text) for text in run_program(BAD.replace(
        'Path(base + "/held").mkdir()', 'Path(base + "/held").mkdir(exist_ok=True)'
    ), 2, tmp_path, tmp_path))  # fmt: skip
    for told in (first, second):
        assert told["interrupted"].startswith("TrainingInterrupted: stopped in epoch 3 of 4")
        assert "recipe: expected the same on every process" in told["other seed"]
    assert "the disk is full. The last checkpoint is untouched" in first["full"]
    assert first["full"].startswith("OSError")
    assert second["full"].startswith("ElsewhereError: process 0 of 2 failed: OSError: [Errno 28]")
    assert first["held"].startswith("FolderInUseError: folder: training is under way in")
    assert second["held"].startswith("ElsewhereError: process 0 of 2 failed: FolderInUseError")
    assert "holds no run" in first["no run"]
    whole = Run.open(of_two / "whole")
    assert_same_run(Run.open(tmp_path / "interrupted"), whole)
    assert_same_run(Run.open(tmp_path / "full"), whole)


KILLED = (
    HELPERS
    + """
def fatal(self):
    if self.update == 10 and processes.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(self)
step_class().next_batch = fatal
go("killed", checkpoint_every_seconds=0.0)
"""
)
RESUMED = HELPERS + 'go_on("killed")\n'


def test_a_killed_process_ends_the_others_and_the_run_goes_on(of_two: Path, tmp_path: Path) -> None:
    import textwrap

    from launching import PRELUDE

    program = tmp_path / "killed.py"
    program.write_text(PRELUDE + textwrap.indent(KILLED, "    "), encoding="utf-8")
    children = start([sys.executable, str(program), str(tmp_path)], 2, tmp_path)
    codes = [child.wait(timeout=120) for child in children]
    for child in children:
        child.communicate()
    assert codes[1] == -signal.SIGKILL
    assert codes[0] != 0
    run_program(RESUMED, 2, tmp_path, tmp_path)
    assert_same_run(Run.open(tmp_path / "killed"), Run.open(of_two / "whole"))
