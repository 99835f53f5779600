"""What the diagnosis of the Helvetica scenario found: plain values to write, read and say."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass

from fastgan.flat_json import read_fields
from fastgan.memorisation_result import distance, share

CHANCE = 0.001  # how rarely chance alone exceeds ``class_difference_bound``
_SCENARIO = 0.1  # of what held-out images hit; ours: below, the scenario is called by its name
_FAR_LESS = 0.5
_ERRORS = 3.0  # so many standard errors apart are a difference

# Measured on CIFAR-10: means of two training images, no model at all, hit 128% of what as many
# held-out images hit.
QUALITY_NOTE = (
    "Hitting many training images shows that samples differ from each other, not that they are "
    "good: the log-likelihood and a look at them say that."
)
HUB_NOTE = (
    "In many dimensions a few images are nearest to many others, so that even real images hit "
    "fewer than uniform draws of the training images would: compare with the held-out images."
)
CLASS_NOTE = (
    "The class of the nearest training image is not the class of the sample: the held-out images' "
    "line shows how far this measure is off where the classes are right."
)
ERROR_NOTE = (
    "The errors are over other samples of the same generator (jackknife), not over trainings: "
    "another seed may collapse where this one did not."
)


@dataclass(frozen=True)
class Helvetica:
    """How varied a generator's samples are, beside real images: mode collapse by four measures.

    Section 6 of the paper: "G must not be trained too much without updating D, in order to avoid
    'the Helvetica scenario' in which G collapses too many values of z to the same value of x to
    have enough diversity to model p_data". Held-out images are the test and the validation images.
    Distances are Euclidean, in the scale the networks were trained in. Every ``*_error`` is a
    standard error.

    *Hits*: a training image is hit by a sample whose nearest one it is. ``*_equal_hits`` are for
    ``n_equal`` of each, by rarefaction (Hurlbert 1971); uniform draws are of training images, each
    equally likely. ``equivalent_held_out`` is how many held-out images hit as many as ``n_equal``
    samples do; None where all of them hit no more. ``*_same_hit``: the probability that two hit the
    same training image (Simpson 1949), which does not depend on how many there are; compare the
    birthday paradox test of Arora, Risteski and Zhang, *Do GANs Learn the Distribution?* (ICLR
    2018).

    *Spread*: the standard deviation over images, mean over features, and the distance between two
    images drawn at random (mean, and quantiles at 0, 1/100, ..., 1), of up to 10,000 samples and
    training images.

    *Lines*: straight from one z to another in ``n_line_steps`` equal steps, as the paper's Figure 3
    goes. ``path_length`` is the sum of the distances that the sample moves, ``chord_length`` that
    between its ends, ``largest_step`` the longest step's share of the path: 1 over the number of
    steps where the sample moves evenly, near 1 where it stays in one place and jumps to another.
    None where no generator was given.

    *Classes*: labels of the nearest training images. ``class_difference`` is the total variation
    distance to the training labels, ``*_by_chance`` what as many independent draws of training
    labels show on average, ``class_difference_bound`` what they exceed at most once in a thousand
    times (McDiarmid's inequality). ``effective_classes``: as many equally frequent classes have the
    same entropy. Empty or None where the data set has no training labels.
    """

    dataset: str
    n_samples: int
    n_held_out: int
    n_train: int
    sample_hits: int
    held_out_hits: int
    n_equal: int
    sample_equal_hits: float
    sample_equal_hits_error: float
    held_out_equal_hits: float
    held_out_equal_hits_error: float
    uniform_equal_hits: float
    uniform_equal_hits_error: float
    equivalent_held_out: float | None
    sample_same_hit: float
    sample_same_hit_error: float
    held_out_same_hit: float
    held_out_same_hit_error: float
    sample_curve_sizes: tuple[int, ...]  # so many samples ...
    sample_curve_hits: tuple[float, ...]  # ... hit so many training images, on average
    held_out_curve_sizes: tuple[int, ...]
    held_out_curve_hits: tuple[float, ...]
    sample_deviation: float
    train_deviation: float
    sample_pair_distance: float
    sample_pair_distance_error: float
    train_pair_distance: float
    train_pair_distance_error: float
    sample_pair_quantiles: tuple[float, ...]
    train_pair_quantiles: tuple[float, ...]
    n_lines: int  # 0 where no generator was given
    n_line_steps: int
    latent_distance: float | None  # between the ends of a line in z, mean
    path_length: float | None
    path_length_error: float | None
    chord_length: float | None
    chord_length_error: float | None
    largest_step: float | None
    largest_step_error: float | None
    class_numbers: tuple[int, ...]
    train_classes: tuple[int, ...]  # training images of each class
    sample_classes: tuple[int, ...]  # samples whose nearest training image is of that class
    held_out_classes: tuple[int, ...]
    class_difference: float | None
    class_difference_by_chance: float | None
    class_difference_bound: float | None
    held_out_class_difference: float | None
    held_out_class_difference_by_chance: float | None
    effective_classes: float | None
    effective_classes_by_chance: float | None

    @property
    def hit_ratio(self) -> float:
        """Training images that samples hit over those that as many held-out images hit."""
        return self.sample_equal_hits / self.held_out_equal_hits

    @property
    def hit_ratio_error(self) -> float:
        """Standard error of :attr:`hit_ratio`, to first order in both errors."""
        return self.hit_ratio * math.hypot(
            self.sample_equal_hits_error / self.sample_equal_hits,
            self.held_out_equal_hits_error / self.held_out_equal_hits,
        )

    @property
    def headline(self) -> str:
        """The finding in one sentence: collapsed, less varied, or as varied as real images."""
        ratio, error = self.hit_ratio, self.hit_ratio_error
        measured = (
            f"{100 * ratio:.1f} ± {100 * error:.1f}% of the training images that as many held-out "
            "images hit."
        )
        if ratio < _SCENARIO:
            return f"The Helvetica scenario: samples hit {measured}"
        if ratio + _ERRORS * error < 1:
            less = "Far less" if ratio < _FAR_LESS else "Less"
            return f"{less} varied than real images: samples hit {measured}"
        more = "More varied than" if ratio - _ERRORS * error > 1 else "As varied as"
        return f"{more} real images: samples hit {measured}"

    def sentences(self) -> tuple[str, ...]:
        """Say what was found, the headline first; see also :meth:`cautions`."""
        return (self.headline, *self._on_hits(), *self._on_spread(), *self._on_classes())

    def cautions(self) -> tuple[str, ...]:
        """Say what these measures do not show."""
        on_classes = (CLASS_NOTE,) if self.class_numbers else ()
        return (QUALITY_NOTE, HUB_NOTE, *on_classes, ERROR_NOTE)

    def _on_hits(self) -> tuple[str, ...]:
        hits = (
            f"{self.n_equal:,} samples are nearest to "
            f"{with_error(self.sample_equal_hits, self.sample_equal_hits_error)} different ones of "
            f"the {self.n_train:,} training images; as many held-out images to "
            f"{with_error(self.held_out_equal_hits, self.held_out_equal_hits_error)}, and as many "
            "uniform draws would hit "
            f"{with_error(self.uniform_equal_hits, self.uniform_equal_hits_error)}."
        )
        if self.equivalent_held_out is None:
            alike = (
                f"All {self.n_held_out:,} held-out images hit no more than {self.n_equal:,} "
                "samples do."
            )
        else:
            alike = f"About {self.equivalent_held_out:,.0f} held-out images hit as many."
        pairs = (
            "Two samples have the same nearest training image "
            f"{_one_in(self.sample_same_hit)}, two held-out images "
            f"{_one_in(self.held_out_same_hit)}."
        )
        return (f"{hits} {alike}", pairs)

    def _on_spread(self) -> tuple[str, ...]:
        spread = (
            f"Over z a sample's numbers have a standard deviation of {self.sample_deviation:.3g}, "
            f"mean over features (training images {self.train_deviation:.3g}); two samples lie "
            f"{with_error(self.sample_pair_distance, self.sample_pair_distance_error)} apart (two "
            "training images "
            f"{with_error(self.train_pair_distance, self.train_pair_distance_error)})."
        )
        if (
            self.path_length is None
            or self.path_length_error is None
            or self.chord_length is None
            or self.chord_length_error is None
            or self.latent_distance is None
            or self.largest_step is None
        ):
            return (spread,)
        lines = (
            f"Along a straight line from one z to another, {distance(self.latent_distance)} long, "
            f"the sample moves {with_error(self.path_length, self.path_length_error)}, "
            f"{self.path_length / self.latent_distance:.2g} for each unit of z; the ends lie "
            f"{with_error(self.chord_length, self.chord_length_error)} apart. The largest of "
            f"{self.n_line_steps} steps makes {share(self.largest_step)} of the way "
            f"({1 / self.n_line_steps:.0%} where all are equal)."
        )
        return (spread, lines)

    def _on_classes(self) -> tuple[str, ...]:
        if (
            self.class_difference is None
            or self.class_difference_by_chance is None
            or self.class_difference_bound is None
            or self.held_out_class_difference is None
            or self.effective_classes is None
        ):
            return ()
        n_hit = sum(count > 0 for count in self.sample_classes)
        if self.class_difference > self.class_difference_bound:
            judged = f"chance alone exceeds {share(self.class_difference_bound)} once in a thousand"
        else:
            judged = "within what chance explains"
        return (
            f"The samples' nearest training images are of {n_hit} of {len(self.class_numbers)} "
            f"classes, as evenly spread as {self.effective_classes:.2f} equally frequent ones. "
            f"{share(self.class_difference)} of the samples would have to change class to have the "
            "training labels' balance (total variation), "
            f"{share(self.class_difference_by_chance)} by chance alone ({judged}); of the held-out "
            f"images {share(self.held_out_class_difference)}.",
        )

    def to_json(self) -> str:
        """Return what was found as a JSON object, floats in full precision."""
        return json.dumps(dataclasses.asdict(self), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Helvetica:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        ValueError
            If the text is not JSON, or not such an object; the message names the field.
        """
        found = cls(**read_fields(cls, text, "helvetica"))
        for name, other, least in (
            ("sample_curve_hits", "sample_curve_sizes", 1),
            ("held_out_curve_hits", "held_out_curve_sizes", 1),
            ("train_pair_quantiles", "sample_pair_quantiles", 2),
            ("train_classes", "class_numbers", 0),
            ("sample_classes", "class_numbers", 0),
            ("held_out_classes", "class_numbers", 0),
        ):
            n, n_other = len(getattr(found, name)), len(getattr(found, other))
            if n != n_other or n < least:
                raise ValueError(
                    f"helvetica: {name}: expected a number for each of {n_other} in {other} (at "
                    f"least {least}), got {n}"
                )
        for name in ("sample_equal_hits", "held_out_equal_hits"):
            if getattr(found, name) < 1:
                raise ValueError(
                    f"helvetica: {name}: expected at least 1, got {getattr(found, name)}"
                )
        return found


def with_error(value: float, error: float) -> str:
    """Return a value and its error for a reader: "6,021 ± 34", "9.87 ± 0.03"."""
    if 0 < error < 1:
        digits = min(4, -math.floor(math.log10(error)))  # the first digit of the error
    else:
        digits = 2 if error == 0 and value != round(value) else 0
    return f"{value:,.{digits}f} ± {error:,.{digits}f}"


def _one_in(probability: float) -> str:
    return "in no pair" if probability == 0 else f"in one of {1 / probability:,.0f} pairs"
