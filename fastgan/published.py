"""Published Parzen log-likelihoods, each with its source, and what to know before comparing.

The numbers are mean log-likelihoods of the test images in nats, of 10,000 samples, with the
standard error as printed. Two rows were printed in bits; the printed numbers are kept beside them.
"""

from __future__ import annotations

from dataclasses import dataclass

# Every row below; the paper leaves the count to the authors' released parzen_ll.py.
N_SAMPLES_PUBLISHED = 10_000

# Li, Swersky and Zemel 2015 (GMMN): grids in steps of .01, by column of the table of results.
GMMN_SIGMAS: dict[str, tuple[float, ...]] = {
    "MNIST": tuple(round(0.10 + 0.01 * i, 2) for i in range(20)),
    "TFD": tuple(round(0.05 + 0.01 * i, 2) for i in range(20)),
}
GMMN_SIGMA_IMAGES = 5_000

COMPARABILITY_WARNING = (
    "Parzen scores are comparable only at equal sample counts: "
    "more samples raise the score of the same model. Never compare across sample counts."
)
REAL_DATA_NOTE = (
    "Real data itself, used as the model, scores about 242 on MNIST: a higher score rewards "
    "smooth, prototype-like samples, not better ones."
)
STANDARD_ERROR_NOTE = (
    "The published ±2 covers the choice of test images only: neither the draw of the samples nor "
    "the seed of the training run."
)
FOLD_ERROR_NOTE = (
    "The error across folds is the standard deviation (ddof 0) of the folds' means, divided by the "
    "square root of their number. The paper's TFD column has such an error too; how it was "
    "aggregated was not released, this rule is ours. It covers neither the draw of the samples nor "
    "the seed of the training run."
)
BEST_OF_FOLDS_NOTE = (
    "The best epoch was chosen on the validation images of fold 0, which are test images of other "
    "folds: this score is too good by an unknown amount."
)
STAND_IN_NOTES: dict[str, str] = {
    name: f"{name} is FER2013, a stand-in for TFD: other images, so a column of its own."
    for name in ("faces", "fer2013")
}


@dataclass(frozen=True)
class Score:
    """A published score: mean log-likelihood and its standard error, in nats.

    ``standard_error`` is None where none was printed in nats. ``printed`` holds the printed form
    where it is not the same as ``mean ± standard_error``.
    """

    mean: float
    standard_error: float | None = None
    printed: str | None = None

    def __str__(self) -> str:
        if self.standard_error is None:
            return f"{self.mean:g}"
        return f"{self.mean:g} ± {self.standard_error:g}"


@dataclass(frozen=True)
class ReferenceResult:
    """One row of the table: a model, its score a data set, and where it was published."""

    model: str
    mnist: Score | None
    tfd: Score | None
    source: str
    of_the_paper: bool  # printed in Table 1 of "Generative Adversarial Nets"

    def score(self, column: str) -> Score | None:
        """Return the score in a column, "MNIST" or "TFD"; None where none was published."""
        if column == "MNIST":
            return self.mnist
        if column == "TFD":
            return self.tfd
        raise ValueError(f"column: expected 'MNIST' or 'TFD', got {column!r}")


_PAPER = "Goodfellow et al. 2014, Table 1 (arXiv 1406.2661)"
_DIFFUSION = "Sohl-Dickstein et al. 2015 (arXiv 1503.03585)"

REFERENCE_TABLE: tuple[ReferenceResult, ...] = (
    ReferenceResult("DBN", Score(138, 2), Score(1909, 66), _PAPER, True),
    ReferenceResult("Stacked CAE", Score(121, 1.6), Score(2110, 50), _PAPER, True),
    ReferenceResult("Deep GSN", Score(214, 1.1), Score(1890, 29), _PAPER, True),
    ReferenceResult("Adversarial nets", Score(225, 2), Score(2057, 26), _PAPER, True),
    ReferenceResult("Diffusion", Score(220, printed="317 ± 2.7 bits"), None, _DIFFUSION, False),
    ReferenceResult(
        "True data as the model", Score(242, printed="349 ± 3.3 bits"), None, _DIFFUSION, False
    ),
    ReferenceResult(
        "GMMN + autoencoder",
        Score(282, 2),
        Score(2204, 20),
        "Li, Swersky and Zemel 2015 (arXiv 1502.02761)",
        False,
    ),
    ReferenceResult(
        "Adversarial autoencoder",
        Score(340, 2),
        Score(2252, 16),
        "Makhzani et al. 2015 (arXiv 1511.05644)",
        False,
    ),
)
