"""The loop: what a run leaves, how it stops, how it goes on, and what it refuses."""

import subprocess
import sys

import pytest
import torch
from tiny_run import TINY, assert_same_run, step_class, tiny_dataset, weights

from fastgan.data import Dataset
from fastgan.evaluation import choose_sigma
from fastgan.models import sample_from
from fastgan.recipes import DenseLayer
from fastgan.runs import Run
from fastgan.training import TrainingOptions, train


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train(TINY, dataset=tiny_dataset(), folder=tmp_path_factory.mktemp("whole") / "run")


def test_what_a_run_leaves(whole):
    names = {path.relative_to(whole.folder).as_posix() for path in whole.folder.rglob("*")}
    assert names == {
        ".training.lock",
        "recipe.toml",
        "metrics.jsonl",
        "checkpoint.safetensors",
        "best.safetensors",
        "samples",
        "samples/epoch-0002.png",
        "samples/epoch-0004.png",
    }
    assert whole.status == "finished"
    assert Run.open(whole.folder).recipe == TINY


def test_metrics_have_the_fields(whole):
    records = whole.metrics
    assert [record["epoch"] for record in records] == [1, 2, 3, 4]
    assert [record["step"] for record in records] == [4, 8, 12, 16]
    always = {
        "epoch",
        "step",
        "discriminator_cost",
        "generator_cost",
        "real_probability",
        "fake_probability",
        "sample_mean",
        "sample_deviation",
        "learning_rate",
        "momentum",
        "seconds",
    }
    assert records[0].keys() == always
    assert records[1].keys() == always | {"validation_log_likelihood", "sigma"}
    assert records[3]["learning_rate"] == TINY.learning_rate_at(15)
    assert [record["momentum"] for record in records] == [TINY.momentum_at(e) for e in (1, 2, 3, 4)]
    seconds = [record["seconds"] for record in records]
    assert seconds == sorted(seconds)


def test_the_figures_of_an_epoch_are_those_of_its_samples(whole):
    dataset = tiny_dataset()
    samples = sample_from(whole.generator, TINY, 1000, TINY.seed)
    last = whole.metrics[-1]
    assert last["sample_mean"] == pytest.approx(samples.mean().item(), rel=1e-5)
    deviation = samples.double().sub(samples.double().mean(0)).square().mean(0).sqrt().mean()
    assert last["sample_deviation"] == pytest.approx(deviation.item(), rel=1e-9)
    choice = choose_sigma(dataset.validation, samples, dataset.sigma_grid)
    assert last["sigma"] == choice.sigma
    assert last["validation_log_likelihood"] == pytest.approx(max(choice.means), abs=1e-3)


def test_the_generator_comes_back_from_the_folder(whole):
    again = Run.open(whole.folder).generator
    for ours, theirs in zip(whole.generator.parameters(), again.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert not again.training
    discriminator = whole.load_discriminator()
    assert torch.equal(discriminator.output.weight, weights(whole)["discriminator.output.weight"])


def next_images(step):
    return step._images[step._order[step._first :][: step.recipe.batch_size]]


def test_every_epoch_is_a_fresh_permutation_and_uses_the_short_batch(tmp_path, monkeypatch):
    seen = []
    plain = step_class().next_batch

    def keeping(self):
        seen.append((self.epoch, next_images(self)))
        return plain(self)

    monkeypatch.setattr(step_class(), "next_batch", keeping)
    dataset = tiny_dataset()
    train(TINY, dataset=dataset, folder=tmp_path, n_epochs=3)
    assert [len(batch) for _, batch in seen] == [10, 10, 10, 4] * 3
    orders = []
    for epoch in (1, 2, 3):
        rows = torch.cat([batch for number, batch in seen if number == epoch])
        order = (rows[:, None] == dataset.train[None]).all(dim=2).int().argmax(dim=1).tolist()
        assert sorted(order) == list(range(34))  # no image twice, none left out
        orders.append(order)
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert list(range(34)) not in orders


def test_epoch_costs_weigh_images_not_batches(tmp_path, monkeypatch):
    costs = []
    plain = step_class().next_batch

    def keeping(self):
        n_rows = len(next_images(self))
        result = plain(self)
        costs.append((float(result.discriminator), n_rows))
        return result

    monkeypatch.setattr(step_class(), "next_batch", keeping)
    run = train(TINY, dataset=tiny_dataset(), folder=tmp_path, n_epochs=1)
    expected = sum(cost * n for cost, n in costs) / 34
    assert run.metrics[0]["discriminator_cost"] == pytest.approx(expected, rel=1e-6)


def test_two_runs_are_equal_and_another_seed_is_not(whole, tmp_path):
    again = train(TINY, dataset=tiny_dataset(), folder=tmp_path / "a")
    assert_same_run(again, whole)
    other = train(TINY, dataset=tiny_dataset(), folder=tmp_path / "b", seed=4)
    name = "generator.layers.0.weight"
    assert not torch.equal(weights(other)[name], weights(whole)[name])
    assert Run.open(tmp_path / "b").recipe.seed == 4


def test_how_often_is_saved_and_evaluated_changes_nothing(whole, tmp_path):
    run = train(
        TINY,
        dataset=tiny_dataset(),
        folder=tmp_path,
        checkpoint_every_seconds=0.0,
        sample_grids=False,
    )
    assert_same_run(run, whole)
    assert list(run.samples_folder.iterdir()) == []


def test_the_thread_count_is_put_back(tmp_path):
    before = torch.get_num_threads()
    train(TINY, dataset=tiny_dataset(), folder=tmp_path, n_epochs=1, n_threads=before + 1)
    assert torch.get_num_threads() == before


def test_data_that_does_not_fit(tmp_path):
    rows = torch.rand(9, 4)
    dataset = Dataset(name="four", train=rows, validation=rows, test=rows, image_shape=(2, 2, 1))
    with pytest.raises(ValueError, match=r"dataset: the recipe 'tiny' makes images of 9 numbers"):
        train(TINY, dataset=dataset, folder=tmp_path)


def test_options_are_checked():
    with pytest.raises(ValueError, match="checkpoint_every_seconds: expected a number of at least"):
        TrainingOptions(checkpoint_every_seconds=float("nan"))
    with pytest.raises(ValueError, match="n_threads: expected an integer of at least 1, got 0"):
        TrainingOptions(n_threads=0)
    with pytest.raises(ValueError, match="name: expected the name of one folder, got 'a/b'"):
        TrainingOptions(name="a/b")
    with pytest.raises(TypeError, match="no_such_option"):
        train(TINY, no_such_option=1)


def test_default_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = train(TINY, dataset=tiny_dataset(), n_epochs=1)
    assert run.folder.as_posix() == "runs/tiny/seed-3"
    assert train(TINY, dataset=tiny_dataset(), n_epochs=1, name="x").folder.name == "x"


# The collapse watch

DARK = TINY.replace(
    generator=(
        DenseLayer(16, "relu", initial_range=0.001),
        DenseLayer(9, "sigmoid", initial_range=0.001, bias_from_data=True),
    ),
    learning_rate=1e-4,
)


def test_a_collapsed_run_says_so_and_goes_on(tmp_path, caplog):
    with caplog.at_level("WARNING", logger="fastgan"):
        run = train(DARK, dataset=tiny_dataset(), folder=tmp_path)
    assert (run.status, len(run.metrics), run.collapsed) == ("finished", 4, True)
    assert [(line["epoch"], line["warning"]) for line in run.warnings] == [(2, "collapse")]
    assert "epoch 2: the samples hardly vary with z (the Helvetica scenario)" in caplog.text


def test_stop_on_collapse(tmp_path):
    run = train(DARK, dataset=tiny_dataset(), folder=tmp_path, stop_on_collapse=True)
    assert (run.status, len(run.metrics)) == ("stopped", 2)
    assert Run.open(tmp_path).status == "stopped"


def test_a_diverged_run_ends(tmp_path):
    wild = TINY.replace(learning_rate=1e30)
    run = train(wild, dataset=tiny_dataset(), folder=tmp_path)
    assert run.status == "diverged"
    assert run.warnings[-1]["warning"] == "diverged"
    assert len(run.metrics) < 4


# The recipe of our own


@pytest.mark.parametrize("seed", [0, 1])
def test_digits_learns(tmp_path, seed):
    run = train("digits", seed=seed, folder=tmp_path, n_epochs=50, sample_grids=False)
    last = run.metrics[-1]
    # An untrained generator scores -7 nats; epoch 50 of seeds 0, 1 and 2 had 10 to 12.
    assert last["validation_log_likelihood"] > 5.0
    assert last["sample_deviation"] > 0.1
    assert run.warnings == []


# What is shown


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    run = train(TINY, dataset=tiny_dataset(), folder=tmp_path, n_epochs=1, tensorboard=True)
    assert list((run.folder / "tensorboard").iterdir())


def test_tensorboard_is_imported_only_if_asked():
    program = (
        "import sys, fastgan.training; "
        "print([m for m in ('tensorboard', 'matplotlib', 'triton') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=120
    )
    assert found.stdout.strip() == "[]"


def test_the_bar_shows_time_left_only_where_asked(tmp_path, capsys):
    train(TINY, dataset=tiny_dataset(), folder=tmp_path / "a", n_epochs=1)
    assert capsys.readouterr().err == ""
    train(DARK, dataset=tiny_dataset(), folder=tmp_path / "b", n_epochs=2, progress=True)
    shown = capsys.readouterr().err
    assert "tiny epoch 2/2" in shown
    assert "0:00:00 left" in shown
    assert "nats" in shown
    assert "Helvetica" in shown.replace("\n", " ")
