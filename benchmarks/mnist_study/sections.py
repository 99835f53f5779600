"""The report's sections about how good the models are: each from runs to Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.mnist_study.findings import Found
from benchmarks.mnist_study.markdown import NOTHING, Section, listed, nats, score, table
from benchmarks.mnist_study.reached import LEVEL_NATS, PAPER, comparable, mean_and_deviation
from fastgan.published import COMPARABILITY_WARNING, REAL_DATA_NOTE, STANDARD_ERROR_NOTE
from fastgan.runs import Weights
from fastgan.scores import Evaluation

MOST_ROWS = 20  # of the table by epoch
_SIGMA = "\N{GREEK SMALL LETTER SIGMA}"


def name_of(run: Found) -> str:
    """Return what the report calls a run."""
    return f"seed {run.recipe.seed}"


def kinds_of(run: Found) -> list[tuple[Weights, str]]:
    """Return the kinds of weights that a run has by epoch, and what they are."""
    if run.averages:
        return [("last", "last weights"), ("model", "average")]
    return [("model", "last weights")]


def average_in_words(run: Found) -> str:
    """Say what the model of a run that averages is."""
    recipe = run.recipe
    return (
        f"an exponential average of G's weights (decay {recipe.average_decay:g} every "
        f"{recipe.average_every} updates)"
    )


def headline(runs: Sequence[Found]) -> Section:
    """Say in a paragraph how far the long runs came, beside the paper's number."""
    averaging = [run for run in runs if run.averages]
    with_average = " or ".join(sorted({average_in_words(run) for run in averaging}))
    lines = _in_words("the last weights of G", runs, "last")
    n_there, _ = _there(runs, "last")
    if averaging:
        what = f"{with_average}, which leaves training itself untouched"
        lines += _in_words(what, averaging, "model")
        n_averages_there, n_averages = _there(averaging, "model")
        if n_averages_there and not n_there:
            lines += [
                f"In so many epochs the last weights stay short of the paper's number; averaging "
                f"them is the departure that reaches it, in {n_averages_there} of {n_averages} "
                f"{'seed' if n_averages == 1 else 'seeds'}.",
                "",
            ]
    return Section(lines)


def _in_words(what: str, runs: Sequence[Found], weights: Weights) -> list[str]:
    """Say what the runs score on the test images; nothing where no run was tested."""
    tested = [(run.n_epochs, test.mean) for run in runs if (test := run.test(weights)) is not None]
    if not tested:
        return []
    first, last = min(tested)[0], max(tested)[0]
    means = [mean for _, mean in tested]
    is_one = len(means) == 1
    words = (
        f"With {what}, {len(means)} {'seed scores' if is_one else 'seeds score'} "
        f"{listed([nats(mean) for mean in means])} nats on the test images after "
        f"{first if first == last else f'{first} to {last}'} epochs"
    )
    if not is_one:
        mean, deviation = mean_and_deviation(means)
        words += f" (mean {mean:.1f}, standard deviation over seeds {deviation:.1f})"
    n_there, n_comparable = _there(runs, weights)
    if n_comparable == len(means):
        words += f"; {n_there} of {n_comparable} at {LEVEL_NATS:g} or above (the paper: {PAPER})"
    return [f"{words}.", ""]


def _there(runs: Sequence[Found], weights: Weights) -> tuple[int, int]:
    """Return how many runs end at the paper's number, and how many may be set beside it."""
    tests = [test for run in runs if (test := run.test(weights)) is not None and comparable(test)]
    return sum(test.mean >= LEVEL_NATS for test in tests), len(tests)


def scores(runs: Sequence[Found]) -> Section:
    """Set each seed's score on the test images beside the paper's."""
    section = Section()
    rows: list[Sequence[str]] = []
    for run in runs:
        model, last = run.test("model"), run.test("last")
        section.missing += _unmeasured(run, ("model", "last"))
        shown = model or last
        rows.append(
            (
                name_of(run),
                str(run.n_epochs),
                nats(_at_end(run, of_last_weights=True)),
                score(last),
                nats(_at_end(run)) if run.averages else NOTHING,
                score(model) if run.averages else NOTHING,
                NOTHING if shown is None else f"{shown.sigma:.4f}",
                _over_samples(shown),
            )
        )
    tests = [test for run in runs if (test := run.test("model")) is not None]
    if tests and all(map(comparable, tests)):
        paper = f"**{PAPER.mean:g} ± {PAPER.standard_error:g}**"
        rows.append(("**the paper, Table 1**", "not stated", "", paper, *[""] * 4))
    header = (
        "run", "epochs", "last weights, validation", "last weights, test",
        "average, validation", "average, test", f"{_SIGMA} (average)", "± over samples",
    )  # fmt: skip
    section.lines += ["## Test log-likelihood", "", *table(header, rows), ""]
    if tests:
        one = tests[0]
        section.lines += [
            f"Nats; {one.n_samples:,} samples, {_SIGMA} chosen on {one.n_validation:,} validation "
            f"images, {one.n_test:,} test images, ± the standard error over them; the last column "
            "is a jackknife over samples.",
            "",
        ]
        if all(map(comparable, tests)):
            notes = (COMPARABILITY_WARNING, REAL_DATA_NOTE, STANDARD_ERROR_NOTE)
            section.lines += [" ".join(notes), ""]
    watched = [f"{name_of(run)}: {run.watched()}" for run in runs if run.watched()]
    words = "; ".join(watched) if watched else "nothing in these runs"
    section.lines += [f"The collapse watch found {words}.", ""]
    return section


def by_epoch(runs: Sequence[Found]) -> Section:
    """Show how the log-likelihoods rise, a row an epoch."""
    section = Section()
    measured = {epoch for run in runs for epoch in run.tests.get("model", {})}
    evaluated = sorted({epoch for run in runs for epoch in run.validation()})
    epochs = sorted(measured | set(evaluated[:1])) if measured else evaluated
    if not epochs:
        section.missing.append("log-likelihoods by epoch: no epoch was evaluated")
        return section
    header, columns, errors = ["epoch"], [], []
    for run in runs:
        for weights, what in kinds_of(run):
            tests = run.tests.get(weights, {})
            values = run.validation(of_last_weights=what == "last weights")
            header += [f"{name_of(run)}, {what}: validation", "test"]
            columns += [values, {epoch: test.mean for epoch, test in tests.items()}]
            errors += [test.standard_error for test in tests.values()]
    rows = [
        (str(epoch), *(nats(column.get(epoch)) for column in columns))
        for epoch in thinned(epochs, MOST_ROWS)
    ]
    section.lines += ["## By epoch", "", *table(header, rows, n_words=0), ""]
    if errors:
        section.lines += [
            f"Nats; the standard errors of the test scores are {min(errors):.1f} to "
            f"{max(errors):.1f}.",
            "",
        ]
    return section


def best_epochs(runs: Sequence[Found]) -> Section:
    """Set the last epoch, the released code's rule, beside the best validation epoch."""
    section = Section()
    rows = []
    for run in runs:
        best, last, at_best = run.best_epoch, run.test("model"), run.test("best")
        section.missing += _unmeasured(run, ("best",))
        if best is None:
            continue
        gain = NOTHING if last is None or at_best is None else f"{at_best.mean - last.mean:+.1f}"
        rows.append(
            (
                name_of(run),
                str(run.n_epochs),
                nats(_at_end(run)),
                score(last),
                str(best),
                nats(run.validation()[best]),
                score(at_best),
                gain,
            )
        )
    if rows:
        header = (
            "run", "last epoch", "validation", "test",
            "best validation epoch", "validation", "test", "gain",
        )  # fmt: skip
        section.lines += [
            "## Last epoch against best validation epoch",
            "",
            *table(header, rows),
            "",
            "The released code keeps the last epoch; the lab's sister paper stopped at the best "
            "validation log-likelihood. The model is the average where the recipe has one.",
            "",
        ]
    return section


def thinned(epochs: Sequence[int], n_most: int) -> list[int]:
    """Return at most ``n_most`` of the epochs: the first, and in equal strides up to the last."""
    stride = -(-(len(epochs) - 1) // (n_most - 1)) or 1
    kept = set(epochs[::-1][::stride]) | set(epochs[:1])
    return sorted(kept)


def _at_end(run: Found, *, of_last_weights: bool = False) -> float | None:
    value = run.validation(of_last_weights=of_last_weights).get(run.n_epochs)
    return value if value is None or math.isfinite(value) else None


def _over_samples(evaluation: Evaluation | None) -> str:
    if evaluation is None or evaluation.sample_standard_error is None:
        return NOTHING
    return f"{evaluation.sample_standard_error:.2f}"


def _unmeasured(run: Found, kinds: Sequence[Weights]) -> list[str]:
    names = {"model": "the model", "last": "the last weights", "best": "the best validation epoch"}
    place = "/".join(part for part in (run.part, run.variant) if part)
    return [
        f"{place}, {name_of(run)}: no test score of {names[kind]} at epoch {run.n_epochs}"
        for kind in kinds
        if run.test(kind) is None and (kind != "last" or run.averages)
    ]
