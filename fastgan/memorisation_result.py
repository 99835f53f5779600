"""What a check for memorised images found: plain values that can be written, read and said."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from fastgan.flat_json import read_fields

NEAR_LEVEL = 0.01  # "the nearest 1 % of the test images"
N_PAIRS = 10  # nearest ones that are kept of each set, with their training images
TABLE_QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)  # those that tables show

SMOOTH_NOTE = (
    "A smooth or plain sample is near to many images at once: short distances alone prove no "
    "copying."
)
# Measured on MNIST, medians: 2,000 training images, shifted by one pixel, lie 5.2 from the
# original, test images 4.4 from their nearest one. 35% of the shifted ones find the original.
SHIFT_NOTE = (
    "Distance between pixels can miss a copy: a training image that is shifted by a pixel or two, "
    "turned or brightened a little can lie as far from the original as another image does."
)


@dataclass(frozen=True)
class Memorisation:
    """Distances to the nearest training image: of samples, and of held-out images beside them.

    Distances are Euclidean, in the scale the networks were trained in. The held-out images are the
    data set's test images, which no training has seen: where samples are copied, they lie nearer
    to the training images than the held-out ones do.

    ``nearer_probability`` is the probability that a sample lies nearer to its nearest training
    image than a held-out image to its own, ties counting half: the Mann-Whitney statistic U over
    the number of pairs. It is 1/2 where the two distributions are alike; more points to copying.
    This is the statistic of Meehan, Chaudhuri and Dasgupta, *A Non-Parametric Test to Detect
    Data-Copying in Generative Models* (AISTATS 2020), on the whole space as one cell.

    A training image is hit by a sample whose nearest one it is (of equal distances, the first).
    More samples hit more images, so the numbers of different images hit are also given for
    ``n_equal`` of each, the smaller of the two counts: the larger set's is the mean over all its
    subsets of that size (rarefaction, Hurlbert 1971), without drawing one.
    """

    dataset: str
    n_samples: int
    n_held_out: int
    n_train: int
    quantile_levels: tuple[float, ...]  # ascending from 0 to 1, dense enough to draw from
    sample_quantiles: tuple[float, ...]
    held_out_quantiles: tuple[float, ...]
    near_distance: float  # quantile NEAR_LEVEL of the held-out images' distances
    sample_near_share: float  # share of samples whose distance is at most that
    held_out_near_share: float  # of held-out images: NEAR_LEVEL but for ties
    nearer_probability: float
    sample_copies: int  # samples equal to a training image, number for number
    held_out_copies: int  # the same for held-out images: duplicates in the data
    sample_hits: int  # different training images that samples hit
    sample_most_hits: int  # how many samples hit the same training image, at most
    sample_most_hit: int  # number of that training image; the first of equals
    held_out_hits: int
    held_out_most_hits: int
    held_out_most_hit: int
    n_equal: int
    sample_equal_hits: float
    held_out_equal_hits: float
    near_samples: tuple[int, ...]  # numbers of those nearest to a training image, nearest first
    near_samples_images: tuple[int, ...]  # and of their training images
    near_held_out: tuple[int, ...]  # the same of the held-out images
    near_held_out_images: tuple[int, ...]

    def quantile_rows(
        self, levels: tuple[float, ...]
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the samples' and the held-out images' quantiles at some of the levels kept.

        Raises
        ------
        ValueError
            If a level is not among ``quantile_levels``.
        """
        for level in levels:
            if level not in self.quantile_levels:
                raise ValueError(f"levels: expected some of quantile_levels, got {level}")
        places = [self.quantile_levels.index(level) for level in levels]
        return (
            tuple(self.sample_quantiles[place] for place in places),
            tuple(self.held_out_quantiles[place] for place in places),
        )

    def sentences(self) -> tuple[str, ...]:
        """Say what was found, a sentence or two for each question; see also :meth:`cautions`."""
        hits = (
            f"The samples' nearest training images are {self.sample_hits:,} different ones of "
            f"{self.n_train:,}, the most-hit one {times(self.sample_most_hits)}; those of the test "
            f"images {self.held_out_hits:,}, the most-hit one {times(self.held_out_most_hits)}."
        )
        if self.n_samples != self.n_held_out:
            hits += (
                f" For {self.n_equal:,} of each: {self.sample_equal_hits:,.0f} and "
                f"{self.held_out_equal_hits:,.0f}."
            )
        return (
            "Equal to a training image, number for number: "
            f"{self.sample_copies:,} of {self.n_samples:,} samples, "
            f"{self.held_out_copies:,} of {self.n_held_out:,} test images.",
            f"{share(self.sample_near_share)} of the samples lie as near to a training image as "
            f"the nearest {NEAR_LEVEL:.0%} of the test images do (within "
            f"{distance(self.near_distance)}).",
            f"A sample lies nearer to the training images than a test image does in "
            f"{share(self.nearer_probability)} of all pairs of the two; 50% where they are alike, "
            "more where samples are copied (Meehan et al. 2020).",
            hits,
        )

    def cautions(self) -> tuple[str, ...]:
        """Say what these distances do not show."""
        return (SMOOTH_NOTE, SHIFT_NOTE)

    def to_json(self) -> str:
        """Return what was found as a JSON object, floats in full precision."""
        return json.dumps(dataclasses.asdict(self), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Memorisation:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        ValueError
            If the text is not JSON, or not such an object; the message names the field.
        """
        found = cls(**read_fields(cls, text, "memorisation"))
        for name in ("sample_quantiles", "held_out_quantiles"):
            n_quantiles, n_levels = len(getattr(found, name)), len(found.quantile_levels)
            if n_quantiles != n_levels or n_levels == 0:
                raise ValueError(
                    f"memorisation: {name}: expected a number for each of {n_levels} levels "
                    f"(at least one), got {n_quantiles}"
                )
        for name in ("near_samples", "near_held_out"):
            n_rows, n_images = len(getattr(found, name)), len(getattr(found, f"{name}_images"))
            if n_rows != n_images or n_rows == 0:
                raise ValueError(
                    f"memorisation: {name}_images: expected a number for each of {n_rows} in "
                    f"{name} (at least one), got {n_images}"
                )
        return found


def quantile_name(level: float) -> str:
    """Return what a table calls a quantile: "least", "1%", "median", "most"."""
    return {0.0: "least", 0.5: "median", 1.0: "most"}.get(level, f"{level:.0%}")


def distance(value: float) -> str:
    """Return a distance for a reader: three digits, thousands apart."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"


def share(value: float) -> str:
    """Return a share for a reader: "0%", "under 0.1%", "2.4%", "over 99.9%", "100%"."""
    if 0 < value < 0.001:
        return "under 0.1%"
    if 0.999 < value < 1:
        return "over 99.9%"
    return f"{value:.0%}" if value in (0, 1) else f"{value:.1%}"


def times(count: int) -> str:
    """Return how often: "once", "twice", "12 times"."""
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")
