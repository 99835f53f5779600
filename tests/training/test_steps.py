"""What a step promises beside its arithmetic: costs, masks, any modules, state, messages."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from step_cases import TINY as PLAIN
from step_cases import build, each_kind, images_of, state_of
from torch import nn

from fastgan.costs import discriminator_cost, generator_cost
from fastgan.models import Discriminator, Generator
from fastgan.recipes import MNIST, Recipe
from fastgan.reference.training_step import training_step
from fastgan.steps import AutogradStep, apply_max_norm, make_step

TINY = PLAIN.replace(
    generator=(*PLAIN.generator[:2], dataclasses.replace(PLAIN.generator[2], bias_from_data=True))
)

IMAGES = torch.rand(20, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def tiny_step(recipe: Recipe, impl: str = "auto") -> AutogradStep:
    generator = Generator(recipe, IMAGES.mean(dim=0)).double()
    discriminator = Discriminator(recipe, impl=impl).double()
    return AutogradStep(generator, discriminator, recipe, impl=impl)


@pytest.mark.parametrize("cost", ["non_saturating", "saturating"])
def test_one_backward_pass_gives_what_two_give(cost):
    recipe = TINY.replace(cost=cost)

    class Unknown(Discriminator):
        """Not known to treat rows one by one: two backward passes."""

    one = tiny_step(recipe)
    unknown = Unknown(recipe).double()
    two = AutogradStep(Generator(recipe, IMAGES.mean(dim=0)).double(), unknown, recipe)
    for _ in range(30):
        one(IMAGES[:8])
        two(IMAGES[:8])
    for name, value in one.state_dict().items():
        torch.testing.assert_close(value, two.state_dict()[name], rtol=1e-10, atol=1e-14)


def test_discriminator_cost_has_the_half_and_is_taken_on_logits():
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 3.0])
    expected = 0.5 * (
        F.binary_cross_entropy_with_logits(real, torch.ones(2))
        + F.binary_cross_entropy_with_logits(fake, torch.zeros(2))
    )
    torch.testing.assert_close(discriminator_cost(real, fake), expected)


def test_costs_stay_finite_where_log_of_sigmoid_does_not():
    huge = torch.tensor([1e4, -1e4], requires_grad=True)
    for cost in (
        discriminator_cost(huge, huge),
        generator_cost(huge, "non_saturating"),
        generator_cost(huge, "saturating"),
    ):
        (gradient,) = torch.autograd.grad(cost, huge)
        assert torch.isfinite(cost)
        assert torch.isfinite(gradient).all()


@each_kind
def test_costs_are_means_over_the_actual_batch(kind):
    # A short batch is not divided by batch_size.
    step = build(kind, PLAIN)
    batch = images_of(PLAIN)[:3]
    _, wanted = training_step(PLAIN, state_of(step), batch)
    costs = step(batch)
    for name in costs._fields:
        assert getattr(costs, name).item() == pytest.approx(getattr(wanted, name).item(), rel=1e-9)
        assert getattr(costs, name).shape == ()


def test_real_and_fake_passes_have_their_own_masks():
    seen = []

    class Recording(Discriminator):
        def forward(self, images, draw=None):
            seen.append(draw.passage)
            return super().forward(images, draw)

    recipe = TINY.replace(schedule="alternating")
    step = AutogradStep(Generator(recipe, IMAGES.mean(0)), Recording(recipe), recipe)
    step(IMAGES[:8].float())
    assert [int(passage) for passage in seen] == [0, 1, 2]


def test_max_norm_before_training_is_applied_once_to_both_nets():
    recipe = TINY.replace(max_norm=0.3, max_norm_before_training=True)
    plain = Generator(recipe, IMAGES.mean(0)).double(), Discriminator(recipe).double()
    step = tiny_step(recipe)
    for module, before in zip((step.generator, step.discriminator), plain, strict=True):
        for ours, start in zip(module.parameters(), before.parameters(), strict=True):
            if ours.ndim == 1:
                assert torch.equal(ours, start)
                continue
            norm = start.norm(dim=1, keepdim=True)
            torch.testing.assert_close(
                ours, start * norm.clamp(max=0.3) / (1e-7 + norm), rtol=1e-14, atol=0
            )
            assert (ours.norm(dim=1) <= 0.3).all()


def test_max_norm_is_per_piece_not_per_unit():
    layer = Discriminator(TINY).double()
    apply_max_norm(layer, 0.5)
    weight = layer.layers[0].weight
    assert (weight.norm(dim=1) <= 0.5).all()
    assert (weight.reshape(4, -1).norm(dim=1) > 0.5).any()


class Foreign(nn.Module):
    """A discriminator that knows nothing of draws: torch's dropout, logits of shape (n, 1)."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(9, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 1))

    def forward(self, images):
        return self.layers(images)


def foreign_step(schedule="simultaneous"):
    torch.manual_seed(1)
    generator = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 9))
    return AutogradStep(generator, Foreign(), TINY.replace(schedule=schedule))


@pytest.mark.parametrize("schedule", ["simultaneous", "alternating"])
def test_foreign_modules_train_and_resume_with_torchs_generator(schedule):
    step = foreign_step(schedule)
    batch = IMAGES[:8].float()
    step(batch)
    state = {name: value.clone() for name, value in step.state_dict().items()}
    assert "torch_generator.cpu" in state
    first = [step(batch) for _ in range(5)]
    again = foreign_step(schedule)
    again.load_state_dict(state)
    second = [again(batch) for _ in range(5)]
    assert first == second
    for ours, theirs in zip(step.generator.parameters(), again.generator.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_our_modules_leave_torchs_generator_alone():
    before = torch.get_rng_state()
    step = tiny_step(TINY)
    step(IMAGES[:8])
    assert torch.equal(torch.get_rng_state(), before)
    assert "torch_generator.cpu" not in step.state_dict()


def test_frozen_parameters_stay_put():
    step = tiny_step(TINY)
    for parameter in step.generator.layers[0].parameters():
        parameter.requires_grad_(False)
    frozen = step.generator.layers[0].weight.clone()
    step = AutogradStep(step.generator, step.discriminator, TINY)
    step(IMAGES[:8])
    assert torch.equal(step.generator.layers[0].weight, frozen)


def test_state_goes_there_and_back_bit_for_bit():
    step = tiny_step(TINY)
    for _ in range(3):
        step(IMAGES[:8])
    state = {name: value.clone() for name, value in step.state_dict().items()}
    other = tiny_step(TINY.replace(seed=9))
    other.seed = 3
    other = AutogradStep(other.generator, other.discriminator, TINY)
    other.load_state_dict(state)
    assert (other.update, other.epoch) == (3, 1)
    assert step(IMAGES[:8]) == other(IMAGES[:8])


def test_a_bad_state_is_refused_and_changes_nothing():
    step = tiny_step(TINY)
    step(IMAGES[:8])
    good = {name: value.clone() for name, value in step.state_dict().items()}
    name = "generator.layers.0.weight"
    with pytest.raises(ValueError, match=f"state: the tensor '{name}' is missing"):
        step.load_state_dict({k: v for k, v in good.items() if k != name})
    with pytest.raises(ValueError, match="state: unknown tensor 'x'"):
        step.load_state_dict({**good, "x": good[name]})
    with pytest.raises(ValueError, match=r"expected torch.float64 of shape \(7, 5\), got"):
        step.load_state_dict({**good, name: torch.zeros(7, 6, dtype=torch.float64)})
    for key, value in step.state_dict().items():
        assert torch.equal(value, good[key])


def test_messages():
    with pytest.raises(ValueError, match="step: expected one of auto, fused, autograd, got 'x'"):
        make_step(TINY, step="x", image_mean=IMAGES.mean(0))
    with pytest.raises(ValueError, match="image_mean: the recipe 'mnist' takes"):
        make_step(MNIST)
    step = tiny_step(TINY)
    with pytest.raises(ValueError, match="batch: expected at least one image"):
        step(IMAGES[:0])
    with pytest.raises(ValueError, match="generator: expected a module with parameters"):
        AutogradStep(nn.ReLU(), step.discriminator, TINY)
    step = AutogradStep(nn.Linear(5, 9), nn.Linear(9, 2), TINY)
    with pytest.raises(ValueError, match=r"discriminator: expected logits of shape \(8,\) or"):
        step(IMAGES[:8].float())
