"""What an evaluation found: plain values that can be written, read and printed."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fastgan.flat_json import checked_fields, read_fields, read_object
from fastgan.published import (
    COMPARABILITY_WARNING,
    FOLD_ERROR_NOTE,
    N_SAMPLES_PUBLISHED,
    REAL_DATA_NOTE,
    REFERENCE_TABLE,
    STANDARD_ERROR_NOTE,
    ReferenceResult,
)


@dataclass(frozen=True)
class SigmaChoice:
    """A sigma chosen on validation data, and the grid it was chosen from.

    ``sigmas`` ascend; ``means`` are the mean log-likelihoods of the validation data in nats, one a
    sigma. ``at_edge`` says that the chosen sigma is an end of the grid, so that a better one may
    lie outside it.
    """

    sigma: float
    sigmas: tuple[float, ...]
    means: tuple[float, ...]
    at_edge: bool


class CountedScore(NamedTuple):
    """A mean log-likelihood of test images, in nats, at a number of samples and a sigma."""

    n_samples: int
    sigma: float
    mean: float
    standard_error: float
    sample_standard_error: float | None


@dataclass(frozen=True)
class Evaluation:
    """The Parzen log-likelihood of a data set's test images, in nats, with what it rests on.

    ``standard_error`` is over test images: std(ddof 0) / sqrt(n_test). ``sample_standard_error``
    is over model samples: a jackknife that leaves out one of ``n_blocks`` blocks of samples at a
    time, at the chosen sigma; None where there is one sample only. Neither covers the seed of the
    training run.

    Above 10,000 samples sigma is chosen twice: at the first 10,000 as published
    (``protocol_sigma``) and again at all of them (``sigma``). The curve is at the former, so that
    nothing but the count changes along it. ``sigmas`` and ``validation_means`` are then those of
    the grid that could still win.
    """

    dataset: str
    comparable_to: str | None  # column of the table of results: "MNIST", "TFD" or None
    n_samples: int
    n_test: int
    n_validation: int  # images that chose sigma
    n_features: int
    sigma: float
    sigmas: tuple[float, ...]
    validation_means: tuple[float, ...]
    at_edge: bool
    sigma_variant: str  # "paper" or "gmmn"
    mean: float
    standard_error: float
    sample_standard_error: float | None
    n_blocks: int
    seed: int
    sample_range: tuple[float, float]  # lowest and highest number among the samples
    data_range: tuple[float, float]  # and among the test images
    seconds: float
    dropped_nats: float = 0.0  # the most that the mean may be too low for samples left out
    protocol_sigma: float | None = (
        None  # chosen at the first 10,000 samples; None: there are no more
    )
    protocol_sample_standard_error: float | None = None  # at that sigma and all samples
    curve_n_samples: tuple[int, ...] = ()  # 10^3, 10^4, ... and all; the rest at protocol_sigma
    curve_means: tuple[float, ...] = ()
    curve_standard_errors: tuple[float, ...] = ()  # over test images

    @property
    def validation_log_likelihood(self) -> float:
        """Mean log-likelihood of the validation images at the chosen sigma, in nats."""
        return self.validation_means[self.sigmas.index(self.sigma)]

    @property
    def scores(self) -> tuple[CountedScore, ...]:
        """The score, after that at the published 10,000 samples where there are more."""
        whole = CountedScore(
            self.n_samples, self.sigma, self.mean, self.standard_error, self.sample_standard_error
        )
        if self.protocol_sigma is None:
            return (whole,)
        at = self.curve_n_samples.index(N_SAMPLES_PUBLISHED)
        mean, error = self.curve_means[at], self.curve_standard_errors[at]
        first = CountedScore(N_SAMPLES_PUBLISHED, self.protocol_sigma, mean, error, None)
        return first, whole

    @property
    def references(self) -> tuple[ReferenceResult, ...]:
        """Published rows to set beside this score; none where the data set has no column."""
        return _references(self.comparable_to)

    def warnings(self) -> tuple[str, ...]:
        """Return what to know before this score is set beside another, most pressing first."""
        found = [*self.faults(), *_comparisons(self), COMPARABILITY_WARNING]
        if self.comparable_to == "MNIST":
            found.append(REAL_DATA_NOTE)
        if self.comparable_to is not None:
            found.append(STANDARD_ERROR_NOTE)
        return tuple(found)

    def faults(self) -> tuple[str, ...]:
        """Return what may be wrong with the samples or the grid of sigmas, in sentences."""
        found = []
        low, high = self.data_range
        width = high - low
        if self.sample_range[0] < low - width or self.sample_range[1] > high + width:
            found.append(
                f"The samples lie in [{self.sample_range[0]:g}, {self.sample_range[1]:g}], the "
                f"test images in [{low:g}, {high:g}]: nothing was rescaled."
            )
        if self.at_edge:
            found.append(
                f"The chosen sigma {self.sigma:.4g} is an end of its grid: "
                "a better one may lie outside."
            )
        return tuple(found)

    def to_json(self) -> str:
        """Return the evaluation as a JSON object, floats in full precision."""
        return json.dumps(dataclasses.asdict(self), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Evaluation:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        ValueError
            If the text is not JSON, or not an evaluation; the message names the field.
        """
        return cls(**read_fields(cls, text, "evaluation"))


@dataclass(frozen=True)
class FoldEvaluation:
    """Evaluations of one model on the folds of a data set, and their aggregate in nats.

    ``standard_error`` is std(ddof 0) / sqrt(n_folds) of the folds' means. The paper's own
    aggregator was not released: this one is ours.
    """

    folds: tuple[Evaluation, ...]
    mean: float
    standard_error: float

    @classmethod
    def of(cls, folds: Sequence[Evaluation]) -> FoldEvaluation:
        """Aggregate; see :func:`fastgan.evaluation.aggregate_folds`."""
        if not folds:
            raise ValueError("folds: expected at least one evaluation, got none")
        for name in ("dataset", "n_samples", "sigma_variant", "comparable_to"):
            values = {getattr(fold, name) for fold in folds}
            if len(values) > 1:
                listed = ", ".join(sorted(str(value) for value in values))
                raise ValueError(f"folds: expected one {name} for all folds, got {listed}")
        means = np.array([fold.mean for fold in folds])
        error = float(means.std(ddof=0) / math.sqrt(len(folds)))
        return cls(tuple(folds), float(means.mean()), error)

    @property
    def sigmas(self) -> tuple[float, ...]:
        """The sigma of each fold."""
        return tuple(fold.sigma for fold in self.folds)

    @property
    def dataset(self) -> str:
        """The data set's name."""
        return self.folds[0].dataset

    @property
    def comparable_to(self) -> str | None:
        """The column of the table of results: "TFD" or None."""
        return self.folds[0].comparable_to

    @property
    def n_samples(self) -> int:
        """Model samples, the same in every fold."""
        return self.folds[0].n_samples

    @property
    def n_test(self) -> int:
        """Test images of all folds together."""
        return sum(fold.n_test for fold in self.folds)

    @property
    def n_features(self) -> int:
        """Numbers in an image."""
        return self.folds[0].n_features

    @property
    def sigma_variant(self) -> str:
        """How sigma was chosen: "paper" or "gmmn"."""
        return self.folds[0].sigma_variant

    @property
    def seed(self) -> int:
        """The seed of the samples."""
        return self.folds[0].seed

    @property
    def seconds(self) -> float:
        """Time of all folds together."""
        return math.fsum(fold.seconds for fold in self.folds)

    @property
    def references(self) -> tuple[ReferenceResult, ...]:
        """Published rows to set beside this score; none where the data set has no column."""
        return _references(self.comparable_to)

    def faults(self) -> tuple[str, ...]:
        """Return what may be wrong with the samples or a fold's grid of sigmas, in sentences."""
        numbers: dict[str, list[str]] = {}
        for number, fold in enumerate(self.folds):
            for sentence in fold.faults():
                numbers.setdefault(sentence, []).append(str(number))
        return tuple(
            f"Fold{'s' if len(which) > 1 else ''} {', '.join(which)}: {sentence}"
            for sentence, which in numbers.items()
        )

    def warnings(self) -> tuple[str, ...]:
        """Return what to know before this score is set beside another, most pressing first."""
        return (*self.faults(), *_comparisons(self), COMPARABILITY_WARNING, FOLD_ERROR_NOTE)

    def to_json(self) -> str:
        """Return the folds and their aggregate as a JSON object, floats in full precision."""
        return json.dumps(dataclasses.asdict(self), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> FoldEvaluation:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        ValueError
            If the text is not JSON, or not an evaluation by folds, or the aggregate is not that of
            the folds; the message names the field.
        """
        what = "evaluation by folds"
        values = read_object(text, what)
        folds = values.get("folds")
        if not isinstance(folds, list):
            raise ValueError(f"{what}: folds: expected a list of evaluations, got {folds!r:.80}")
        read = tuple(
            Evaluation(**checked_fields(Evaluation, fold, f"{what}: folds[{number}]"))
            for number, fold in enumerate(folds)
        )
        rest = {name: value for name, value in values.items() if name != "folds"}
        said = _Aggregate(**checked_fields(_Aggregate, rest, what))
        try:
            found = cls.of(read)
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from error
        for name in ("mean", "standard_error"):
            ours, theirs = getattr(found, name), getattr(said, name)
            # rounding of a mean of numbers of the size of ``mean``, in any order of summation
            if abs(ours - theirs) > 1e-12 * max(1.0, abs(found.mean)):
                raise ValueError(
                    f"{what}: {name}: expected that of the folds, {ours!r}, got {theirs!r}"
                )
        return found


@dataclass(frozen=True)
class _Aggregate:
    mean: float
    standard_error: float


def _references(column: str | None) -> tuple[ReferenceResult, ...]:
    if column is None:
        return ()
    return tuple(row for row in REFERENCE_TABLE if row.score(column) is not None)


def _comparisons(found: Evaluation | FoldEvaluation) -> list[str]:
    """Say why a score cannot be set beside the published ones, or only with care."""
    said = []
    if found.comparable_to is None:
        said.append(
            f"The data set {found.dataset!r} has no published column: this score cannot be set "
            "beside the paper's."
        )
    elif found.n_samples != N_SAMPLES_PUBLISHED:
        said.append(
            f"The published rows rest on {N_SAMPLES_PUBLISHED:,} samples, this score on "
            f"{found.n_samples:,}: they cannot be compared."
        )
    if found.sigma_variant == "gmmn":
        said.append(
            "Sigma was chosen as in the GMMN paper; the rows of Goodfellow et al. 2014 use "
            "another grid and other validation images."
        )
    return said
