"""The record of an epoch: its costs, its samples, and on evaluated epochs its log-likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fastgan.data import Dataset
from fastgan.evaluation import choose_sigma
from fastgan.models import sample_from
from fastgan.recipes import Recipe

# How many samples an epoch's sample_mean and sample_deviation are taken over.
N_WATCHED_SAMPLES = 1_000


def is_evaluated(epoch: int, recipe: Recipe) -> bool:
    """Say whether an epoch, from 1, ends with a validation log-likelihood."""
    return epoch % recipe.evaluate_every == 0 or epoch == recipe.n_epochs


def epoch_record(
    epoch: int,
    update: int,
    means: Sequence[float],
    seconds: float,
    *,
    recipe: Recipe,
    dataset: Dataset,
    generator: nn.Module,
    average: nn.Module | None,
    impl: str,
) -> tuple[dict[str, Any], Tensor | None]:
    """Draw samples at the end of an epoch and measure them.

    The samples have the same z every time, so epochs can be compared.

    Parameters
    ----------
    epoch, update : int
        The epoch that has ended, from 1, and the batches so far.
    means : sequence of 4 numbers
        Means over the epoch's images: costs of D and G, D(x), D(G(z)).
    seconds : float
        Of training so far.
    generator : nn.Module
        With the weights that are trained. ``sample_mean`` and ``sample_deviation`` are theirs, so
        the collapse watch sees training itself, and the same with and without an average.
    average : nn.Module, optional
        With the averaged weights, where the recipe averages: then the run's model.

    Returns
    -------
    record : dict
        As :attr:`fastgan.runs.Run.metrics` describes it.
    samples : Tensor of shape (n_samples, n_features) or None
        The model's, where the epoch is evaluated and they are finite.
    """
    evaluating = is_evaluated(epoch, recipe)

    def draw(module: nn.Module, n_samples: int) -> Tensor:
        return sample_from(module, recipe, n_samples, recipe.seed, impl=impl)

    n_drawn = max(recipe.n_samples, N_WATCHED_SAMPLES) if evaluating else N_WATCHED_SAMPLES
    samples = draw(generator, n_drawn)
    watched = samples[:N_WATCHED_SAMPLES]
    record: dict[str, Any] = {
        "epoch": epoch,
        "step": update,
        "discriminator_cost": means[0],
        "generator_cost": means[1],
        "real_probability": means[2],
        "fake_probability": means[3],
        "sample_mean": float(watched.mean(dtype=torch.float64)),
        "sample_deviation": float(watched.double().std(dim=0, unbiased=False).mean()),
        "learning_rate": recipe.learning_rate_at(update - 1),
        "momentum": recipe.momentum_at(epoch),
        "seconds": seconds,
    }
    if not evaluating:
        return record, None
    if average is not None:
        _measure(record, "_of_last_weights", samples, recipe, dataset, impl)
        samples = draw(average, n_drawn)
    measured = _measure(record, "", samples, recipe, dataset, impl)
    return record, samples if measured else None


def _measure(
    record: dict[str, Any],
    suffix: str,
    samples: Tensor,
    recipe: Recipe,
    dataset: Dataset,
    impl: str,
) -> bool:
    """Add the validation log-likelihood and sigma of samples; False, if they are not finite."""
    if not bool(torch.isfinite(samples).all()):
        return False
    choice = choose_sigma(
        dataset.validation[: dataset.sigma_images],
        samples[: recipe.n_samples],
        dataset.sigma_grid,
        impl=impl,
    )
    record[f"validation_log_likelihood{suffix}"] = max(choice.means)
    record[f"sigma{suffix}"] = choice.sigma
    return True
