"""What the study trains: parts, each a list of runs that differ in one thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastgan import recipes
from fastgan.recipes import Recipe

# The recipe that a part starts from, its seeds, and its epochs (None: the recipe's own).
DEFAULTS: Mapping[str, tuple[str, tuple[int, ...], int | None]] = {
    "long": ("mnist-averaged", (0, 1, 2), None),
    "survival": ("mnist", tuple(range(8)), 10),
    "variants": ("mnist-averaged", (0,), 50),
    "departures": ("mnist", (0,), 100),
}
PARTS = tuple(DEFAULTS)

# Algorithm 1 of the paper alternates and prints the saturating cost, the released code neither.
VARIANTS: Mapping[str, Mapping[str, object]] = {
    f"{schedule}-{cost}": {"schedule": schedule, "cost": cost}
    for schedule in ("simultaneous", "alternating")
    for cost in ("non_saturating", "saturating")
}

# OURS: averages of G's weights of several lengths, and a learning rate that falls ten times faster
# (by a factor e in 25,000 updates, 50 epochs of MNIST, instead of 500), alone and with an average.
DEPARTURES: Mapping[str, Mapping[str, object]] = {
    "none": {},
    "average-99": {"average_decay": 0.99},
    "average-997": {"average_decay": 0.997},
    "average-999": {"average_decay": 0.999},
    "faster-decay": {"learning_rate_decay": 1.00004},
    "faster-decay-average-997": {"learning_rate_decay": 1.00004, "average_decay": 0.997},
}


@dataclass(frozen=True)
class PlannedRun:
    """One run of a part: its recipe, which holds the seed and the epochs, and what it varies."""

    part: str
    variant: str  # "" where the part varies nothing but the seed
    recipe: Recipe

    @property
    def place(self) -> Path:
        """The run's folder, within the study's: ``part/variant/seed-N``."""
        return Path(self.part, self.variant, f"seed-{self.recipe.seed}")


def variants_of(part: str) -> Mapping[str, Mapping[str, object]]:
    """Return what a part varies besides the seed: changes to the recipe by name."""
    return {"variants": VARIANTS, "departures": DEPARTURES}.get(part, {"": {}})


def plan(
    part: str,
    *,
    recipe: Recipe | None = None,
    seeds: Sequence[int] | None = None,
    n_epochs: int | None = None,
) -> list[PlannedRun]:
    """Return the runs of a part.

    Parameters
    ----------
    part : {"long", "survival", "variants", "departures"}
    recipe : Recipe, optional
        What to start from in place of the part's own; its name is kept, its seed is not.
    seeds : sequence of int, optional
        In place of the part's own.
    n_epochs : int, optional
        In place of the part's own.

    Raises
    ------
    ValueError
        If there is no such part, no seed, or a seed twice.
    """
    if part not in DEFAULTS:
        raise ValueError(f"part: expected one of {', '.join(PARTS)}, got {part!r}")
    name, own_seeds, own_epochs = DEFAULTS[part]
    base = recipes.by_name(name) if recipe is None else recipe
    seeds = own_seeds if seeds is None else tuple(seeds)
    if not seeds:
        raise ValueError("seeds: expected at least one, got none")
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds: expected each once, got {', '.join(map(str, seeds))}")
    epochs = n_epochs or own_epochs or base.n_epochs
    # Seeds outside: the first seed of all variants is there before the second of any.
    return [
        PlannedRun(part, variant, base.replace(seed=seed, n_epochs=epochs, **changes))
        for seed in seeds
        for variant, changes in variants_of(part).items()
    ]
