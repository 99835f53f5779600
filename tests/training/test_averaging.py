"""The average of the generator's weights: its formula, its place in a run, training untouched."""

import pytest
import torch
from tiny_run import TINY, assert_same_run, tiny_dataset, weights
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from fastgan import curves, recipes, training
from fastgan.averaging import WeightAverage
from fastgan.evaluation import choose_sigma
from fastgan.models import Generator, sample_from
from fastgan.recipes import MNIST, MNIST_AVERAGED
from fastgan.runs import Run
from fastgan.training import train

AVERAGED = TINY.replace(name="tiny-averaged", average_decay=0.9, average_every=3)


def walk(module, n_updates, average):
    """Move a module's parameters at random; return the path of its first one, in float64."""
    random = torch.Generator().manual_seed(1)
    path = []
    for update in range(1, n_updates + 1):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter += torch.rand(parameter.shape, generator=random) - 0.4
        average.update(update)
        path.append(next(module.parameters()).detach().double().clone())
    return path


@pytest.mark.parametrize("every", [1, 3, 10])
@pytest.mark.parametrize("decay", [0.3, 0.5, 0.997])
def test_it_is_the_exponential_average(every, decay):
    module = nn.Linear(7, 3)
    average = WeightAverage(module, decay, every)
    path = walk(module, 47, average)
    taken = path[every - 1 :: every]
    expected = taken[0]
    for weight in taken[1:]:
        expected = decay * expected + (1.0 - decay) * weight
    # At most 4 roundings a step, of numbers of at most 20: the decay forgets none of them sooner.
    tolerance = len(taken) * 4 * torch.finfo(torch.float32).eps * 20
    difference = (average.generator.weight.double() - expected).abs().max()
    assert difference < tolerance
    assert (average.generator.weight.double() - path[-1]).abs().max() > 100 * tolerance


def test_up_to_its_first_step_it_is_the_weights_themselves():
    module = nn.Linear(7, 3)
    average = WeightAverage(module, 0.997, 10)
    for n_updates in (0, 1, 9, 10):
        path = walk(module, n_updates, average)
        if path:
            assert torch.equal(average.generator.weight, path[-1].float())
    walk(module, 11, average)
    assert not torch.equal(average.generator.weight, module.weight)


def test_it_writes_nothing_to_the_generator_and_shares_nothing_with_it():
    module = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Dropout(0.5))
    average = WeightAverage(module, 0.5, 1)
    assert module.training
    assert not average.generator.training
    assert not any(parameter.requires_grad for parameter in average.generator.parameters())
    assert all(parameter.requires_grad for parameter in module.parameters())
    before = {name: value.clone() for name, value in module.state_dict().items()}
    for n_updates in range(1, 5):
        average.update(n_updates)
    with torch.no_grad():
        for value in average.generator.state_dict().values():
            value.zero_()
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_buffers_are_taken_over():
    module = nn.BatchNorm1d(5)
    average = WeightAverage(module, 0.5, 2)
    for n_updates in range(1, 5):
        module(torch.randn(8, 5, generator=torch.Generator().manual_seed(n_updates)))
        average.update(n_updates)
    assert torch.equal(average.generator.running_mean, module.running_mean)
    assert int(average.generator.num_batches_tracked) == 4


def test_a_state_there_and_back():
    module = nn.Linear(3, 2)
    average = WeightAverage(module, 0.5, 1)
    walk(module, 5, average)
    state = {name: value.clone() for name, value in average.state_dict().items()}
    assert set(state) == {"average.weight", "average.bias"}
    other = WeightAverage(nn.Linear(3, 2), 0.5, 1)
    other.load_state_dict(state)
    assert torch.equal(other.generator.weight, average.generator.weight)
    before = other.generator.bias.clone()
    for wrong, message in (
        ({"average.weight": state["average.weight"]}, "the tensor 'average.bias' is missing"),
        ({**state, "average.x": before}, "unknown tensor 'average.x'"),
        ({**state, "average.weight": torch.zeros(2)}, r"'average.weight': expected .*\(2, 3\)"),
    ):
        with pytest.raises(ValueError, match=message):
            other.load_state_dict(wrong)
        assert torch.equal(other.generator.bias, before)


@pytest.mark.parametrize(
    ("decay", "every", "message"),
    [
        (0.0, 10, "decay: expected a number between 0 and 1, got 0.0"),
        (1.0, 10, "decay: expected a number between 0 and 1, got 1.0"),
        (0.9, 0, "every: expected an integer of at least 1, got 0"),
    ],
)
def test_refusals(decay, every, message):
    with pytest.raises(ValueError, match=message):
        WeightAverage(nn.Linear(2, 2), decay, every)


# In a run


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return train(TINY, dataset=tiny_dataset(), folder=tmp_path_factory.mktemp("plain") / "run")


@pytest.fixture(scope="module")
def averaged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("averaged") / "run"
    return train(AVERAGED, dataset=tiny_dataset(), folder=folder)


def test_training_is_that_of_the_plain_recipe_bit_for_bit(plain, averaged):
    found = weights(averaged)
    for name, value in weights(plain).items():
        assert torch.equal(found[name], value), name
    judged = ("validation_log_likelihood", "sigma")
    of_last = {f"{name}_of_last_weights": name for name in judged}
    for ours, theirs in zip(averaged.metrics, plain.metrics, strict=True):
        trained = {of_last.get(k, k): v for k, v in ours.items() if k not in judged}
        assert {**trained, "seconds": 0} == {**theirs, "seconds": 0}


def test_the_average_in_the_checkpoint_is_that_of_the_weights(averaged, monkeypatch):
    seen = []
    update = WeightAverage.update

    def keeping(self, n_updates):
        update(self, n_updates)
        seen.append([parameter.detach().double().clone() for parameter in self._weights])

    monkeypatch.setattr(WeightAverage, "update", keeping)
    train(AVERAGED, dataset=tiny_dataset(), folder=averaged.folder.with_name("again"))
    assert len(seen) == 16
    expected = seen[2]  # updates 3, 6, ... 15
    for step in (5, 8, 11, 14):
        expected = [
            0.9 * mean + 0.1 * weight for mean, weight in zip(expected, seen[step], strict=True)
        ]
    found = averaged.load_generator(weights="model")
    for mean, parameter in zip(expected, found.parameters(), strict=True):
        assert torch.allclose(parameter.double(), mean, rtol=0, atol=5 * 4 * 1.2e-7 * 5)


def test_the_runs_model_is_the_average(averaged):
    run = Run.open(averaged.folder)
    assert averaged.recipe.averages
    for ours, theirs in zip(
        run.generator.parameters(), averaged.generator.parameters(), strict=True
    ):
        assert torch.equal(ours, theirs)
    state = weights(averaged)
    name = "layers.0.weight"
    assert torch.equal(run.generator.state_dict()[name], state[f"average.{name}"])
    assert torch.equal(run.last_generator.state_dict()[name], state[f"generator.{name}"])
    assert not torch.equal(state[f"average.{name}"], state[f"generator.{name}"])
    last = Run.open(averaged.folder, weights="last").generator
    assert torch.equal(last.state_dict()[name], state[f"generator.{name}"])


@pytest.mark.parametrize("suffix", ["", "_of_last_weights"])
def test_both_are_scored(averaged, suffix):
    dataset, last = tiny_dataset(), averaged.metrics[-1]
    generator = averaged.load_generator(weights="last" if suffix else "model")
    samples = sample_from(generator, AVERAGED, 1000, AVERAGED.seed)
    choice = choose_sigma(dataset.validation, samples, dataset.sigma_grid)
    assert last[f"sigma{suffix}"] == choice.sigma
    assert last[f"validation_log_likelihood{suffix}"] == pytest.approx(max(choice.means), abs=1e-3)


def test_the_watch_looks_at_the_weights_that_are_trained(averaged):
    samples = sample_from(averaged.last_generator, AVERAGED, 1000, AVERAGED.seed)
    deviation = samples.double().std(dim=0, unbiased=False).mean()
    assert averaged.metrics[-1]["sample_deviation"] == pytest.approx(deviation.item(), rel=1e-9)


def test_it_goes_on_as_if_never_stopped(averaged, tmp_path):
    train(AVERAGED, dataset=tiny_dataset(), folder=tmp_path, n_epochs=2)
    assert_same_run(training.resume(tmp_path, dataset=tiny_dataset(), n_epochs=4), averaged)


def test_a_run_with_an_average_is_not_gone_on_with_without(averaged):
    with pytest.raises(ValueError, match=r"average_decay is 0\.9 there and 0\.0 here"):
        train(
            AVERAGED.replace(average_decay=0.0),
            dataset=tiny_dataset(),
            folder=averaged.folder,
            resume=True,
        )


def test_users_modules_are_averaged_too(tmp_path):
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(4, 9), nn.BatchNorm1d(9), nn.Sigmoid())
    recipe = AVERAGED.replace(average_every=4)  # so that the last of 16 updates is averaged
    run = train(recipe, dataset=tiny_dataset(), folder=tmp_path, generator=generator)
    assert run.generator is not generator
    assert torch.equal(run.generator[1].running_mean, generator[1].running_mean)
    assert not torch.equal(run.generator[0].weight, generator[0].weight)


def test_the_curve_shows_the_average_and_the_last_weights(averaged, monkeypatch):
    # that panel alone: drawing takes a second each
    monkeypatch.setattr(curves, "_PANELS", {"likelihood": curves._PANELS["likelihood"]})
    both = curves.curve_pictures(averaged.metrics)["likelihood"]
    one = [
        {key: value for key, value in record.items() if not key.endswith("_of_last_weights")}
        for record in averaged.metrics
    ]
    assert both != curves.curve_pictures(one)["likelihood"]


# The recipe


def test_mnist_averaged_is_mnist_but_for_the_average():
    same = MNIST_AVERAGED.replace(name="mnist", average_decay=0.0)
    assert same == MNIST
    assert (MNIST_AVERAGED.average_decay, MNIST_AVERAGED.average_every) == (0.9995, 10)
    assert recipes.by_name("mnist-averaged") is MNIST_AVERAGED
    assert not MNIST.averages


class Operations(TorchDispatchMode):
    """Keeps the names of the operations that run."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.names.append(operation.__name__)
        return operation(*args, **(kwargs or {}))


def test_a_step_is_one_operation_in_place_and_between_two_there_is_none():
    average = WeightAverage(Generator(TINY), 0.997, 10)
    average.update(10)
    places = [tensor.data_ptr() for tensor in average.state_dict().values()]
    with Operations() as operations:
        for n_updates in range(11, 31):
            average.update(n_updates)
    assert operations.names == ["_foreach_lerp_.Scalar"] * 2
    assert [tensor.data_ptr() for tensor in average.state_dict().values()] == places
