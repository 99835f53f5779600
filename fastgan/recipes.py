"""Recipes: everything that decides a training run, each number with its source.

"The paper" is Goodfellow et al., *Generative Adversarial Nets* (2014, arXiv 1406.2661); "the
released code" is ``goodfeli/adversarial`` with its yaml recipes, run on ``lisa-lab/pylearn2`` of
June 2014. "include probability" is the probability of KEEPING a unit.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

from fastgan.checks import check_integer, check_number, check_positive, check_probability

Activation = Literal["relu", "sigmoid", "linear"]
Latent = Literal["uniform", "normal"]
Cost = Literal["non_saturating", "saturating"]
Schedule = Literal["simultaneous", "alternating"]


def _one_of(field: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        choices = ", ".join(repr(choice) for choice in allowed)
        raise ValueError(f"{field}: expected one of {choices}, got {value!r}")


def _at_least(field: str, value: float, minimum: float) -> None:
    check_number(field, value)
    if value < minimum:
        raise ValueError(f"{field}: expected a number of at least {minimum}, got {value}")


@dataclass(frozen=True)
class DenseLayer:
    """A layer of the generator: activation(weight x + bias)."""

    n_units: int
    activation: Activation
    initial_range: float  # weights start as U(-range, range)
    bias_from_data: bool = False  # the bias starts at the logit of the mean training pixel, else 0

    def __post_init__(self) -> None:
        check_integer("n_units", self.n_units, 1)
        _one_of("activation", self.activation, ("relu", "sigmoid", "linear"))
        _at_least("initial_range", self.initial_range, 0.0)
        if self.bias_from_data and self.activation != "sigmoid":
            raise ValueError(
                "bias_from_data: a logit is the bias of a sigmoid, "
                f"got activation {self.activation!r}"
            )


@dataclass(frozen=True)
class MaxoutLayer:
    """A hidden layer of the discriminator: the maximum of ``n_pieces`` linear pieces a unit."""

    n_units: int
    n_pieces: int
    include_probability: float  # dropout on the layer's INPUT: kept with this probability
    initial_range: float  # weights start as U(-range, range), biases at 0

    def __post_init__(self) -> None:
        check_integer("n_units", self.n_units, 1)
        check_integer("n_pieces", self.n_pieces, 1, 256)
        check_probability("include_probability", self.include_probability)
        _at_least("initial_range", self.initial_range, 0.0)


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
    generator: tuple[DenseLayer, ...]
    discriminator: tuple[MaxoutLayer, ...]
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
    seed: int = 0  # key of every random number of the run; ours

    def __post_init__(self) -> None:
        if not self.name or not self.name.replace("-", "").replace("_", "").isalnum():
            raise ValueError(
                f"name: expected letters, digits, '-' and '_' (a folder's name), got {self.name!r}"
            )
        if not self.dataset:
            raise ValueError("dataset: expected a name or a path, got an empty string")
        for field in ("n_latent", "batch_size", "n_epochs", "evaluate_every", "k", "n_samples"):
            check_integer(field, getattr(self, field), 1)
        for field in ("momentum_epochs", "average_every"):
            check_integer(field, getattr(self, field), 1)
        _one_of("latent", self.latent, ("uniform", "normal"))
        _one_of("cost", self.cost, ("non_saturating", "saturating"))
        _one_of("schedule", self.schedule, ("simultaneous", "alternating"))
        if not self.generator:
            raise ValueError("generator: expected at least one layer, got none")
        check_probability("output_include_probability", self.output_include_probability)
        _at_least("output_initial_range", self.output_initial_range, 0.0)
        check_positive("learning_rate", self.learning_rate)
        _at_least("learning_rate_decay", self.learning_rate_decay, 1.0)
        _at_least("learning_rate_floor", self.learning_rate_floor, 0.0)
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


# The released code's mnist.yaml, line by line; what it does not state is marked as ours.
MNIST = Recipe(
    name="mnist",
    dataset="mnist",
    n_latent=100,  # noise_dim: 100
    latent="uniform",  # U(-sqrt 3, sqrt 3)
    generator=(
        DenseLayer(1200, "relu", initial_range=0.05),  # h0: RectifiedLinear, irange .05
        DenseLayer(1200, "relu", initial_range=0.05),  # h1: the same
        # y: Sigmoid 784, irange .05, init_bias_target_marginals
        DenseLayer(784, "sigmoid", initial_range=0.05, bias_from_data=True),
    ),
    discriminator=(
        # h0: Maxout, 240 units of 5 pieces, irange .005; input_include_probs h0: .8
        MaxoutLayer(240, 5, include_probability=0.8, initial_range=0.005),
        # h1: the same; default_input_include_prob .5
        MaxoutLayer(240, 5, include_probability=0.5, initial_range=0.005),
    ),
    output_include_probability=0.5,  # the default reaches y: Sigmoid 1 too
    output_initial_range=0.005,  # y: irange .005
    batch_size=100,  # SGD batch_size: 100
    learning_rate=0.1,  # SGD learning_rate: .1
    # OURS: the released recipe states no end. At this one the validation score still rises slowly.
    n_epochs=200,
    evaluate_every=5,  # OURS
)

# MNIST, and one departure of OUR OWN: the model that is kept is an exponential average of G's
# weights. Training is untouched by it, bit for bit.
MNIST_AVERAGED = MNIST.replace(
    name="mnist-averaged",
    # OURS. A memory of 1 / (1 - .9995) x 10 updates: 20,000, or 40 epochs. In trials on validation
    # images (seed 0, epoch 175, begun late) .99, .997, .999, .9995, .9998: 197, 207, 214, 215, 214.
    average_decay=0.9995,
    average_every=10,  # OURS: a tenth of the cost of averaging after every update
    # As long as MNIST. The score is highest near epoch 60 (248 and 256 on two seeds, above real
    # images' 241), and hollow: the average then holds many early weights, and its samples are
    # smooth and few of a kind (recall .03 of the test pixels; here .57). See docs/mnist.md.
    n_epochs=200,
)

# A recipe of OUR OWN for scikit-learn's 8x8 digits: the paper has none. The shape follows MNIST's
# (ReLU generator, maxout discriminator, simultaneous steps, non-saturating cost, the same momentum)
# at a size that trains in a minute or so. Every number below is ours, chosen by the log-likelihood
# of validation images alone; the figures are means of those trials, in nats, 10,000 samples.
DIGITS = Recipe(
    name="digits",
    dataset="digits",
    n_latent=20,
    latent="uniform",
    generator=(
        # sqrt(6 / 256) = .153 keeps a ReLU layer's variance (He et al. 2015). With .1 the samples
        # hardly vary at first, and the collapse watch would speak before anything was learned.
        DenseLayer(256, "relu", initial_range=0.15),
        DenseLayer(256, "relu", initial_range=0.15),
        DenseLayer(64, "sigmoid", initial_range=0.15, bias_from_data=True),
    ),
    discriminator=(
        MaxoutLayer(64, 5, include_probability=0.8, initial_range=0.05),
        # .5 on this small a layer costs 7 nats
        MaxoutLayer(64, 5, include_probability=0.8, initial_range=0.05),
    ),
    output_include_probability=0.8,
    output_initial_range=0.05,
    batch_size=50,  # 24 updates an epoch
    learning_rate=0.2,  # .1 with batches of 50 or 100 lets D saturate and G go dark
    learning_rate_decay=1.0001,  # to a seventh over the run; 1.000004 ends 4 nats lower
    n_epochs=800,
    evaluate_every=50,
)

_BY_NAME = {recipe.name: recipe for recipe in (MNIST, MNIST_AVERAGED, DIGITS)}


def names() -> tuple[str, ...]:
    """Return the names that :func:`by_name` knows."""
    return tuple(_BY_NAME)


def by_name(name: str) -> Recipe:
    """Return the recipe of that name; ValueError with the known names otherwise."""
    try:
        return _BY_NAME[name]
    except KeyError:
        known = ", ".join(_BY_NAME)
        raise ValueError(f"recipe: expected one of {known}, got {name!r}") from None


def to_toml(recipe: Recipe) -> str:
    """Return the recipe as a TOML document; every field is written, None as the string "none"."""
    from fastgan.recipe_files import recipe_to_toml

    return recipe_to_toml(recipe)


def from_toml(text: str) -> Recipe:
    """Return the recipe that a TOML document describes.

    Every field must be there and of its type, and nothing else: a ValueError or TypeError names the
    key, what was expected and what came. TOML that does not parse is a ValueError with the line.
    The fields of the average alone may be missing, from documents older than they are: no average.
    """
    from fastgan.recipe_files import recipe_from_toml

    return recipe_from_toml(text)
