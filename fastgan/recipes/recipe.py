"""The recipe: everything that decides a training run."""

from __future__ import annotations

import dataclasses
import functools
import math
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fastgan.checks import check_integer, check_number, check_positive, check_probability
from fastgan.recipes.layers import (
    DenseLayer,
    DiscriminatorLayer,
    GeneratorLayer,
    MaxoutLayer,
    at_least,
    one_of,
)

Latent = Literal["uniform", "normal"]
Cost = Literal["non_saturating", "saturating"]
Schedule = Literal["simultaneous", "alternating"]

_STAGE_SEED = 2**32  # between the keys of two stages


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run: two runs of equal recipes are equal.

    Fields without a default differ between the published recipes; those with one are common to all
    four (the released code's yaml files) unless the comment says otherwise.
    """

    name: str
    dataset: str  # what ``fastgan.load_dataset`` is asked for
    n_latent: int
    latent: Latent  # "uniform" is U(-sqrt 3, sqrt 3), "normal" is N(0, 1): both of variance 1
    generator: tuple[GeneratorLayer, ...]
    discriminator: tuple[DiscriminatorLayer, ...]
    output_include_probability: float  # dropout on the input of D's output unit
    output_initial_range: float  # D's output weights start as U(-range, range), its bias at 0
    batch_size: int
    learning_rate: float  # of update 0, for both nets
    n_epochs: int
    evaluate_every: int  # epochs between two validation log-likelihoods; ours
    learning_rate_decay: float = 1.000004  # update t uses learning_rate / decay^t ...
    learning_rate_floor: float = 1e-6  # ... but never less than this
    momentum_first: float = 0.5  # classical momentum of epoch 1 ...
    momentum_last: float = 0.7  # ... growing linearly to this ...
    momentum_epochs: int = 250  # ... which it has from this epoch on
    max_norm: float | None = None  # limit of each unit's (maxout: piece's) incoming weight vector
    max_norm_before_training: bool = False  # apply the limit once to the initial weights too
    cost: Cost = "non_saturating"  # the released code's; Algorithm 1 prints the other
    schedule: Schedule = "simultaneous"  # the released code's; Algorithm 1 is "alternating"
    k: int = 1  # alternating only: batches of D for each update of G (the paper used 1)
    average_decay: float = 0.0  # of the exponential average of G's weights; 0: none, as published
    average_every: int = 10  # updates between two steps of that average
    n_samples: int = 10_000  # samples under a Parzen estimate (the paper, section 5)
    # The first that may be called collapsed (fastgan.collapse): G starts nearly constant. Ours.
    collapse_first_epoch: int = 2
    seed: int = 0  # key of every random number of the run; ours
    # Trained before, and its generator is this one's last layers, which train on; D, rates and
    # velocities start anew. Its data set and its seed are not looked at: see ``stages``.
    first_stage: Recipe | None = None

    def __post_init__(self) -> None:
        if not self.name or not self.name.replace("-", "").replace("_", "").isalnum():
            raise ValueError(
                f"name: expected letters, digits, '-' and '_' (a folder's name), got {self.name!r}"
            )
        if not self.dataset:
            raise ValueError("dataset: expected a name or a path, got an empty string")
        for field in ("n_latent", "batch_size", "n_epochs", "evaluate_every", "k", "n_samples"):
            check_integer(field, getattr(self, field), 1)
        for field in ("momentum_epochs", "average_every", "collapse_first_epoch"):
            check_integer(field, getattr(self, field), 1)
        one_of("latent", self.latent, ("uniform", "normal"))
        one_of("cost", self.cost, ("non_saturating", "saturating"))
        one_of("schedule", self.schedule, ("simultaneous", "alternating"))
        if not self.generator:
            raise ValueError("generator: expected at least one layer, got none")
        check_probability("output_include_probability", self.output_include_probability)
        at_least("output_initial_range", self.output_initial_range, 0.0)
        check_positive("learning_rate", self.learning_rate)
        at_least("learning_rate_decay", self.learning_rate_decay, 1.0)
        at_least("learning_rate_floor", self.learning_rate_floor, 0.0)
        for field in ("momentum_first", "momentum_last", "average_decay"):
            value = getattr(self, field)
            check_number(field, value)
            if not 0.0 <= value < 1.0:
                raise ValueError(f"{field}: expected a number in [0, 1), got {value}")
        if self.max_norm is not None:
            check_positive("max_norm", self.max_norm)
        elif self.max_norm_before_training:
            raise ValueError("max_norm_before_training: expected a max_norm to apply, got None")
        if self.schedule == "simultaneous" and self.k != 1:
            raise ValueError(f"k: the simultaneous schedule knows only k = 1, got {self.k}")
        check_integer("seed", self.seed, 0, 2**63 - 1)
        _check_widths("generator", self.n_latent, self.generator)
        _check_widths("discriminator", self.n_features, self.discriminator)
        if self.first_stage is not None:
            self._check_first_stage(self.first_stage)

    def _check_first_stage(self, first: Recipe) -> None:
        n_new = len(self.generator) - len(first.generator)
        if n_new < 0 or self.generator[n_new:] != first.generator:
            raise ValueError(
                "first_stage: expected its generator's layers to be this one's last ones, got "
                f"{len(first.generator)} others"
            )
        width = self.generator[n_new - 1].n_units if n_new else self.n_latent
        if first.n_latent != width:
            raise ValueError(
                f"first_stage: expected an n_latent of {width}, what its first layer takes here, "
                f"got {first.n_latent}"
            )

    @property
    def stages(self) -> tuple[Recipe, ...]:
        """The recipes to train one after the other, the last of them this one.

        Each earlier stage has this recipe's data set, and a seed 2^32 higher (modulo 2^63) than the
        stage after it, so that no two draw the same numbers.
        """
        if self.first_stage is None:
            return (self,)
        seed = (self.seed + _STAGE_SEED) % 2**63
        return (*self.first_stage.replace(dataset=self.dataset, seed=seed).stages, self)

    def for_epochs(self, n_epochs: int) -> Recipe:
        """Return a copy that trains so many epochs, in every stage."""
        first = None if self.first_stage is None else self.first_stage.for_epochs(n_epochs)
        return self.replace(n_epochs=n_epochs, first_stage=first)

    @functools.cached_property
    def dense_layers(self) -> tuple[DenseLayer, ...]:
        """The generator's layers, where all are dense; TypeError otherwise."""
        for layer in self.generator:
            if not isinstance(layer, DenseLayer):
                raise TypeError(f"generator: expected dense layers, got a {type(layer).__name__}")
        return typing.cast("tuple[DenseLayer, ...]", self.generator)

    @functools.cached_property
    def maxout_layers(self) -> tuple[MaxoutLayer, ...]:
        """The discriminator's layers, where all are plain maxout; TypeError otherwise."""
        for layer in self.discriminator:
            if not isinstance(layer, MaxoutLayer):
                raise TypeError(
                    f"discriminator: expected maxout layers, got a {type(layer).__name__}"
                )
        return typing.cast("tuple[MaxoutLayer, ...]", self.discriminator)

    @property
    def needs_image_mean(self) -> bool:
        """Whether the generator's first biases come from the training images."""
        return any(isinstance(g, DenseLayer) and g.bias_from_data for g in self.generator)

    @property
    def averages(self) -> bool:
        """Whether the run's model is the average of G's weights (:mod:`fastgan.averaging`)."""
        return self.average_decay > 0.0

    @property
    def n_features(self) -> int:
        """Numbers an image has: the width of the generator's output and of D's input."""
        return self.generator[-1].n_units

    def learning_rate_at(self, update: int) -> float:
        """Return the learning rate of update ``update`` (from 0): max(floor, lr0 / decay^update).

        Source: pylearn2's ``ExponentialDecay`` as the released recipes set it (decay 1.000004, an
        update being a batch, minimum 1e-6).
        """
        check_integer("update", update, 0)
        if update * math.log(self.learning_rate_decay) > 700.0:  # decay^update overflows a float64
            return self.learning_rate_floor
        rate = self.learning_rate / self.learning_rate_decay**update
        return max(self.learning_rate_floor, rate)

    def momentum_at(self, epoch: int) -> float:
        """Return the momentum of epoch ``epoch`` (from 1): linear from first to last.

        Source: pylearn2's ``MomentumAdjustor`` as the released recipes set it (start 1, saturate
        250, final .7): m = .5 + .2 min(1, (e - 1) / 249).
        """
        check_integer("epoch", epoch, 1)
        if self.momentum_epochs == 1:
            return self.momentum_last
        progress = min(1.0, (epoch - 1) / (self.momentum_epochs - 1))
        return self.momentum_first + (self.momentum_last - self.momentum_first) * progress

    def replace(self, **changes: object) -> Recipe:
        """Return a copy with some fields changed, checked like a new one."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


def _check_widths(
    name: str, width: int, layers: Sequence[GeneratorLayer | DiscriminatorLayer]
) -> None:
    """Raise ValueError where a layer that wants an image gets a row of another width."""
    for index, layer in enumerate(layers):
        if layer.n_inputs is not None and layer.n_inputs != width:
            raise ValueError(
                f"{name}[{index}]: takes {layer.n_inputs:,} numbers, as its input_size and "
                f"input_channels say, got {width:,} from what comes before"
            )
        width = layer.n_units
