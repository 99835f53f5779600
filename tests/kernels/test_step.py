"""What a captured step has beside its products, against plain PyTorch."""

import math

import pytest
import torch

from fastgan import backends, ops
from fastgan.costs import discriminator_cost, generator_cost, logit_gradients

if not backends.has_triton():
    pytest.skip("triton is not installed", allow_module_level=True)

from fastgan.kernels import step
from fastgan.kernels.launch import ARCHITECTURES, forced
from fastgan.kernels.masks import Mask

SEED, STEP = torch.tensor(-9), torch.tensor(7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("include_probability", [1.0, 0.8])
def test_gather_masks_rows_in_their_order(include_probability, dtype, device) -> None:
    random = torch.Generator().manual_seed(0)
    for n_images, n_rows, n_columns, first in ((3, 1, 1, 2), (9, 5, 7, 3), (11, 6, 36, 5)):
        images = torch.randn(n_images, n_columns, generator=random).to(dtype)
        order = torch.randperm(n_images, generator=random)
        output = torch.full((n_rows, n_columns), math.nan, dtype=dtype, device=device)
        step.gather(
            images.to(device),
            order.to(device),
            torch.tensor(first, device=device),
            Mask(include_probability, SEED.to(device), STEP.to(device), 3),
            output,
        )
        batch = images[order[first : first + n_rows]]
        wanted = ops.dropout(batch, include_probability, SEED, STEP, 3)
        assert torch.equal(output.cpu(), wanted)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a device takes its own configurations")
def test_gather_in_every_configuration_that_ships() -> None:
    images, order = torch.randn(9, 1030), torch.arange(9).flip(0)
    wanted = ops.dropout(images[order[2:8]], 0.5, SEED, STEP, 3)
    for architecture in ARCHITECTURES:
        for number in range(len(step.GATHER.configurations[architecture])):
            output = torch.full((6, 1030), math.nan)
            with forced(architecture, number):
                step.gather(images, order, torch.tensor(2), Mask(0.5, SEED, STEP, 3), output)
            assert torch.equal(output, wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cost", ["non_saturating", "saturating"])
@pytest.mark.parametrize("scale", [0.1, 4.0, 40.0])
def test_costs_and_their_derivatives(scale, cost, dtype, device) -> None:
    for n in (1, 4, 7, 13):
        random = torch.Generator().manual_seed(n)
        logits = scale * torch.randn(2 * n, 1, generator=random, dtype=torch.float64).to(dtype)
        real, fake = logits[:n, 0].double(), logits[n:, 0].double()
        outputs = [torch.full((k,), math.nan, dtype=dtype, device=device) for k in (2 * n, n, 4)]
        step.costs(logits.to(device), cost == "saturating", *outputs)
        # made in float64, then rounded once; float64 itself within some units
        eps = max(torch.finfo(dtype).eps, 16 * torch.finfo(torch.float64).eps)
        means = [
            discriminator_cost(real, fake),
            generator_cost(fake, cost),
            torch.sigmoid(real).mean(),
            torch.sigmoid(fake).mean(),
        ]
        wanted = (*logit_gradients(real, fake, cost), torch.stack(means))
        smallest = torch.finfo(dtype).smallest_normal  # below it a number has fewer bits
        for got, expected in zip(outputs, wanted, strict=True):
            torch.testing.assert_close(got.cpu().double(), expected, rtol=eps, atol=smallest)
        alone = torch.full((4,), 7.0, dtype=dtype, device=device)
        step.costs(
            logits.to(device), cost == "saturating", *outputs[:2], alone, generator_only=True
        )
        assert torch.equal(alone[1], outputs[2][1])
        assert alone[[0, 2, 3]].eq(7).all()


def test_a_logit_that_is_not_a_number_shows_in_the_costs(device) -> None:
    for place in (0, 3):
        logits = torch.zeros(4, 1, device=device)
        logits[place] = math.nan
        outputs = [torch.zeros(k, device=device) for k in (4, 2, 4)]
        step.costs(logits, False, *outputs)
        assert torch.isnan(outputs[2][0])
        assert torch.isnan(outputs[2][1]) == (place == 3)


def test_costs_of_logits_without_end(device) -> None:
    logits = torch.tensor([[math.inf], [-math.inf], [1e4], [-1e4]], device=device)
    by_discriminator, by_generator, means = (torch.zeros(k, device=device) for k in (4, 2, 4))
    step.costs(logits, False, by_discriminator, by_generator, means)
    assert by_discriminator.tolist() == [-0.0, -0.25, 0.25, 0.0]
    assert by_generator.tolist() == [-0.0, -0.5]
    assert means[0] == math.inf
    assert means[1] == 5e3
    assert means[2:].tolist() == [0.5, 0.5]
