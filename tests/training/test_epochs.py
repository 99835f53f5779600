"""An epoch that a step is given whole: the same steps as batch by batch, from any batch on."""

import re

import pytest
import torch
from step_cases import (
    RECIPES,
    assert_equal_bits,
    batch_of,
    build,
    each_kind,
    images_of,
    state_of,
)

from fastgan.steps import make_step

NAME = "max-norm alternating"
RECIPE = RECIPES[NAME]
IMAGES = images_of(RECIPE)
ORDER = torch.randperm(len(IMAGES), generator=torch.Generator().manual_seed(0))


@each_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_epochs_batches_are_those_of_its_order(dtype, kind):
    of_epochs, of_batches = build(kind, RECIPE, dtype), build(kind, RECIPE, dtype)
    images = IMAGES.to(dtype)
    for epoch, order in ((1, ORDER), (2, ORDER.flip(0)), (3, ORDER)):
        of_epochs.epoch = of_batches.epoch = epoch
        of_epochs.begin_epoch(images, order)
        for rows in order.split(RECIPE.batch_size):
            costs = of_epochs.next_batch()
            assert torch.equal(torch.stack(costs), torch.stack(of_batches(images[rows])))
        with pytest.raises(RuntimeError, match=f"all {len(ORDER)} images of the epoch have passed"):
            of_epochs.next_batch()
    assert of_epochs.update == of_batches.update == 9
    assert_equal_bits(of_epochs.state_dict(), of_batches.state_dict())


@each_kind
def test_an_epoch_is_gone_on_with_from_any_batch(kind):
    whole = build(kind, RECIPE)
    whole.begin_epoch(IMAGES, ORDER)
    whole.next_batch()
    part = build(kind, RECIPE)
    part.load_state_dict(state_of(whole))
    part.begin_epoch(IMAGES, ORDER, 1)
    for _ in range(2):
        assert torch.equal(torch.stack(whole.next_batch()), torch.stack(part.next_batch()))
    assert_equal_bits(part.state_dict(), whole.state_dict())


@each_kind
def test_batches_given_and_batches_of_an_epoch_may_take_turns(kind):
    mixed, plain = build(kind, RECIPE), build(kind, RECIPE)
    mixed.begin_epoch(IMAGES, ORDER)
    for rows in ORDER.split(RECIPE.batch_size):
        mixed.next_batch()
        plain(IMAGES[rows])
        for step in (mixed, plain):
            step(batch_of(RECIPE, 0)[0])
    assert_equal_bits(mixed.state_dict(), plain.state_dict())


@each_kind
def test_other_images_and_an_order_of_another_length(kind):
    step, plain = build(kind, RECIPE), build(kind, RECIPE)
    for images, order in (
        (IMAGES, ORDER),
        (IMAGES.flip(1).contiguous(), ORDER),
        (IMAGES.T.contiguous().T, ORDER[:-3]),
        (IMAGES[:5], torch.arange(5).repeat(3)),
    ):
        step.begin_epoch(images, order)
        for rows in order.split(RECIPE.batch_size):
            step.next_batch()
            plain(images[rows])
    assert_equal_bits(step.state_dict(), plain.state_dict())


@each_kind
def test_images_that_change_between_epochs_are_read_anew(kind):
    step, plain = build(kind, RECIPE), build(kind, RECIPE)
    for images in (IMAGES.clone(), IMAGES.T.contiguous().T):
        for change in ("none", "in place", "other memory"):
            if change == "in place":
                images.mul_(0.5)
            elif change == "other memory":
                images.data = images.data.flip(0)
            step.begin_epoch(images, ORDER)
            step.next_batch()
            plain(images[ORDER[: RECIPE.batch_size]])
    assert_equal_bits(step.state_dict(), plain.state_dict())


@each_kind
@pytest.mark.parametrize(
    ("images", "order", "first", "error", "message"),
    [
        (IMAGES[:, 1:], ORDER, 0, ValueError, "images: expected shape (n, 9), got (20, 8)"),
        (IMAGES.float(), ORDER, 0, TypeError, "images: expected dtype float64 like the networks"),
        (IMAGES, ORDER.tolist(), 0, TypeError, "order: expected a torch.Tensor, got list"),
        (IMAGES, ORDER.int(), 0, TypeError, "order: expected dtype int64, got int32"),
        (IMAGES, ORDER[None], 0, ValueError, "order: expected shape (n_rows,), got (1, 20)"),
        (IMAGES, ORDER[:0], 0, ValueError, "order: expected shape (n_rows,), got (0,)"),
        (IMAGES[:19], ORDER, 0, ValueError, "order: expected numbers of images from 0 to 18, got"),
        (
            IMAGES,
            ORDER - 1,
            0,
            ValueError,
            "order: expected numbers of images from 0 to 19, got -1",
        ),
        (IMAGES, ORDER, -1, ValueError, "first_batch: expected an integer of at least 0, got -1"),
    ],
)
def test_an_epoch_that_cannot_be(images, order, first, error, message, kind):
    step = build(kind, RECIPE)
    with pytest.raises(error, match=re.escape(message)):
        step.begin_epoch(images, order, first)
    with pytest.raises(RuntimeError, match="no epoch was begun"):
        step.next_batch()


def test_the_networks_are_moved_to_a_device_that_is_there():
    step = make_step(RECIPE, device="cpu")
    assert step.device == torch.device("cpu")
    assert make_step(RECIPE, device="auto").device.type in ("cpu", "cuda")
    for wrong, message in (
        ("tpu?", "device: expected cpu, cuda, cuda:N or auto, got 'tpu?'"),
        ("meta", "device: expected cpu, cuda, cuda:N or auto, got 'meta'"),
        ("cuda:99", "device: 'cuda:99' is asked for, and torch sees"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            make_step(RECIPE, device=wrong)
