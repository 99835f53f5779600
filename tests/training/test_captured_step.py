"""A step on a GPU never waits for the host: what it launches, where that lives, what it leaves out.

No GPU is needed. In the interpreter a graph is the list of a step's launches; and on torch's meta
device, whose tensors have no memory that could be asked for, a step runs at its real size with its
launches noted down.
"""

from collections import Counter

import pytest
import torch
from step_cases import ALTERNATING, RECIPES, TINY, batch_of, build, state_of
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from fastgan import backends

if not backends.has_triton():
    pytest.skip("triton is not installed", allow_module_level=True)

from fastgan.kernels.launch import Launch, recording

from fastgan.fused import FusedStep
from fastgan.fused.triton import DeviceClock
from fastgan.models import Discriminator, Generator
from fastgan.recipes import MNIST

interpreted = pytest.mark.skipif(torch.cuda.is_available(), reason="runs in the interpreter")
TRITON = ("fused", "triton")
VIEWS = {"detach", "slice", "select", "view", "unbind", "alias", "as_strided", "expand", "t"}


class Ops(TorchDispatchMode):
    """Note every operation of torch's."""

    def __init__(self):
        super().__init__()
        self.names = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def launches_are_not_looked_into(monkeypatch):
    """The interpreter copies tensors by torch's operations: they are not the step's."""
    plain = Launch.run

    def run(self):
        with _disable_current_modes():
            plain(self)

    monkeypatch.setattr(Launch, "run", run)


def epoch_of(recipe):
    images = torch.cat([batch_of(recipe, update)[0] for update in range(3)])
    order = torch.arange(len(images)).flip(0)
    return images, order


@interpreted
@pytest.mark.parametrize("name", ["tiny", "alternating k=2 saturating", "max-norm alternating"])
def test_a_step_is_launches_and_views_and_a_copy_of_its_costs(name):
    recipe = RECIPES[name]
    step = build(TRITON, recipe)
    images, order = epoch_of(recipe)
    for epoch in (1, 2, 3):
        step.epoch = epoch
        step.begin_epoch(images, order)
        for place in range(3):
            with Ops() as seen:
                step.next_batch()
            beside = {key: n for key, n in seen.names.items() if key not in VIEWS}
            if epoch == 3:  # all kinds of step are captured by now: two sizes, G moves or not
                # at an epoch's begin the host writes its number, and that it begins at row 0
                assert beside == {"clone": 1} | ({"fill_": 2} if place == 0 else {})
            assert not {"_local_scalar_dense", "item", "nonzero", "_to_copy"} & seen.names.keys()


@interpreted
def test_a_batch_that_is_given_is_copied_to_where_the_graph_reads_it():
    step = build(TRITON, TINY)
    batch, _ = batch_of(TINY, 0)
    for _ in range(2):
        step(batch)
    with Ops() as seen:
        step(batch)
    assert {key: n for key, n in seen.names.items() if key not in VIEWS} == {"copy_": 1, "clone": 1}


@interpreted
def test_a_replay_knows_what_a_step_does_through_launches_alone():
    """So the equality of replays proves that nothing else is done: here something else is."""
    step, wanted = build(TRITON, TINY), build(TRITON, TINY)
    batch, _ = batch_of(TINY, 0)
    plain = step._operations.costs

    def with_torch(*arguments, **options):
        plain(*arguments, **options)
        step._passes.maxout_layers[0].bias.add_(1.0)

    step._operations.costs = with_torch
    for _ in range(3):  # direct, captured, replayed
        step(batch)
    with torch.no_grad():
        for _ in range(3):
            wanted(batch)
    moved = step.discriminator.layers[0].bias - wanted.discriminator.layers[0].bias
    assert 1.5 < moved.mean() < 2.5  # by the first and while the second was captured


def without_memory(recipe, batches):
    """Return the launches and costs of some steps on the meta device, and the step."""
    generator = Generator(recipe, torch.full((recipe.n_features,), 0.5)).to("meta")
    discriminator = Discriminator(recipe).to("meta")
    step = FusedStep(generator, discriminator, recipe, impl="triton")
    found, costs = [], []
    for n_rows in batches:
        with recording() as launches:
            costs.append(step(torch.empty(n_rows, recipe.n_features, device="meta")))
        found.append(launches)
    return found, costs, step


@interpreted
@pytest.mark.parametrize("schedule", ["simultaneous", "alternating"])
def test_the_mnist_step_asks_its_device_for_nothing(schedule):
    recipe = MNIST.replace(schedule=schedule)
    found, costs, _ = without_memory(recipe, (100, 37))
    for launches, of_step in zip(found, costs, strict=True):
        # clock, z, G's 3 layers, batch, D's 2, logits, costs; D back: unit, output, 2 inputs, 2
        # layers; G back: 2 inputs, 3 layers. Or D back without images, and all of it for G again.
        assert (
            len(launches)
            == {"simultaneous": 10 + 6 + 5, "alternating": 10 + 5 + 8 + 3 + 5}[schedule]
        )
        for launch in launches:
            for name, argument in launch.arguments.items():
                if isinstance(argument, torch.Tensor):
                    assert argument.device.type == "meta", (launch.kernel.name, name)
        assert all(cost.device.type == "meta" and cost.shape == () for cost in of_step)
        with pytest.raises(RuntimeError, match="meta"):  # what the step would meet if it asked
            of_step[0].item()


@interpreted
def test_a_step_works_in_memory_that_was_there_before():
    """A graph's addresses: step after step the same tensors, none made on the way."""
    found, _, step = without_memory(TINY.replace(**ALTERNATING), (8, 8, 8))
    storages = [
        [
            argument.untyped_storage()._cdata
            for launch in launches
            for argument in launch.arguments.values()
            if isinstance(argument, torch.Tensor)
        ]
        for launches in found
    ]
    assert storages[0] == storages[1] == storages[2]
    assert step.update == 3


def test_the_devices_clock_tells_what_the_recipe_says(device):
    for recipe in (MNIST, RECIPES["decay, momentum"], TINY.replace(momentum_epochs=1)):
        clock = DeviceClock(recipe, 5, device)
        first = 0
        for update, epoch in (
            (0, 1),
            (1, 1),
            (2, 2),
            (5, 3),
            (6, 3),
            (10**6, 249),
            (4 * 10**6, 300),
        ):
            clock.set(5, update, epoch, first)
            clock.tick(7)
            clock.passed(7)
            assert (clock.seed.item(), clock.step.item()) == (5, update)
            assert clock.first.item() == first
            first += 7
            # an exponential of up to 16, and a quotient, each within some units of rounding
            lr, momentum = recipe.learning_rate_at(update), recipe.momentum_at(epoch)
            assert clock.lr.item() == pytest.approx(lr, rel=1e-14)
            assert clock.momentum.item() == pytest.approx(momentum, rel=1e-15)


def test_the_clock_writes_only_what_the_device_does_not_know(device):
    clock = DeviceClock(TINY, 3, device)
    written = []
    for update, epoch, first in ((0, 1, 0), (1, 1, 7), (2, 1, 14), (3, 2, 0), (4, 2, 7), (9, 2, 7)):
        with Ops() as seen:
            clock.set(3, update, epoch, first)
        written.append(seen.names["fill_"])
        clock.tick(7)
        clock.passed(7)
    assert written == [2, 0, 0, 2, 0, 2]  # seed and epoch; epoch and row; step and row


@interpreted
def test_graphs_follow_a_change_of_state_mode_and_memory():
    step, other = build(TRITON, TINY), build(("fused", "native"), TINY)
    batch, _ = batch_of(TINY, 0)
    for change in range(4):
        for _ in range(3):
            step(batch)
            other(batch)
        if change == 0:
            step.load_state_dict(state_of(other))
        elif change == 1:
            step.discriminator.eval()
            other.discriminator.eval()
        elif change == 2:
            for one in (step, other):
                for parameter in one.generator.parameters():
                    parameter.data = parameter.data.clone()
        step.seed = other.seed = 40 + change
        for key, value in other.state_dict().items():
            torch.testing.assert_close(step.state_dict()[key], value, rtol=1e-9, atol=1e-12)
