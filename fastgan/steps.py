"""The one place where a recipe becomes two networks and the step that trains them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from fastgan.autograd_step import AutogradStep
from fastgan.backends import resolve_device
from fastgan.fused import FusedStep, why_not_fused
from fastgan.models import Discriminator, Generator
from fastgan.processes import Processes
from fastgan.recipes import Recipe
from fastgan.training_step import TrainingStep, apply_max_norm

if TYPE_CHECKING:
    from fastgan.data import Dataset

__all__ = ["AutogradStep", "FusedStep", "TrainingStep", "apply_max_norm", "make_step"]

logger = logging.getLogger("fastgan")


def make_step(
    recipe: Recipe,
    step: Literal["auto", "fused", "autograd"] = "auto",
    impl: str = "auto",
    seed: int | None = None,
    *,
    dataset: Dataset | None = None,
    image_mean: Tensor | None = None,
    generator: nn.Module | None = None,
    discriminator: nn.Module | None = None,
    device: str | torch.device | None = None,
    processes: Processes | None = None,
) -> TrainingStep:
    """Build the two networks of a recipe (or take yours) and the step that trains them.

    Parameters
    ----------
    recipe : Recipe
    step : str
        ``fused`` works without autograd on preallocated buffers, for the recipe's own kind of
        networks (:class:`Generator`, :class:`Discriminator`); ``autograd`` works for any modules;
        ``auto`` takes the fused step where it can, and says in the log what it took.
    impl : str
        ``auto``, ``reference``, ``native`` or ``triton``.
    seed : int, optional
        Philox key of everything random; the recipe's by default.
    dataset : Dataset, optional
        Its training images give the output bias's marginals.
    image_mean : Tensor of shape (n_features,), optional
        The same, given directly.
    generator, discriminator : nn.Module, optional
        Used in place of the recipe's own.
    device : str or torch.device, optional
        Where both are moved: ``cpu``, ``cuda``, ``cuda:N`` or ``auto``. Left out, modules of yours
        stay where they are, and the recipe's own are made on the CPU. The initial weights are the
        same on every device.
    processes : Processes, optional
        That share each batch (``fastgan.processes.Processes(process_group)``); each of them makes
        this call.

    Raises
    ------
    ValueError
        If ``step`` is unknown, or is ``fused`` where that cannot be, if ``device`` is not here, or
        if the recipe's generator takes its output bias from the data and neither ``dataset`` nor
        ``image_mean`` is given.
    """
    if step not in ("auto", "fused", "autograd"):
        raise ValueError(f"step: expected one of auto, fused, autograd, got {step!r}")
    key = recipe.seed if seed is None else seed
    if generator is None:
        if image_mean is None and dataset is not None:
            image_mean = dataset.train.to(torch.float64).mean(dim=0)
        if image_mean is None and recipe.needs_image_mean:
            raise ValueError(
                f"image_mean: the recipe {recipe.name!r} takes the generator's output bias from "
                "the mean of the training images: give dataset= or image_mean="
            )
        generator = Generator(recipe, image_mean, seed=key, impl=impl)
    if discriminator is None:
        discriminator = Discriminator(recipe, seed=key, impl=impl)
    if device is not None:
        where = resolve_device(device)
        generator, discriminator = generator.to(where), discriminator.to(where)
    obstacle = why_not_fused(generator, discriminator, recipe, impl)
    if step == "fused" and obstacle is not None:
        raise ValueError(f"step: 'fused' cannot be: {obstacle}")
    if step == "auto":
        logger.info("step: %s", "fused" if obstacle is None else f"autograd, as {obstacle}")
    if step != "autograd" and obstacle is None:
        return FusedStep(generator, discriminator, recipe, key, impl=impl, processes=processes)
    return AutogradStep(generator, discriminator, recipe, key, impl=impl, processes=processes)
