"""The report's sections that compare: seeds that survive, variants, departures, times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scipy.stats import binomtest

from benchmarks.mnist_study.findings import Found
from benchmarks.mnist_study.markdown import NOTHING, Section, listed, nats, score, table
from benchmarks.mnist_study.reached import LEVEL_NATS, PAPER, comparable, reached
from benchmarks.mnist_study.sections import kinds_of, name_of
from fastgan.collapse import (
    COLLAPSE_DEVIATION,
    SATURATED_EPOCHS,
    SATURATED_FAKE_PROBABILITY,
    SATURATED_REAL_PROBABILITY,
)
from fastgan.runs import Weights
from fastgan.tables import duration


def survival(runs: Sequence[Found]) -> Section:
    """Say which share of the seeds the collapse watch found nothing in."""
    section = Section()
    if not runs:
        return section
    horizon = max(run.recipe.n_epochs for run in runs)
    rows, survived = [], []
    for run in runs:
        found = run.watched(horizon)
        if run.n_epochs < horizon and not found:
            section.missing.append(
                f"survival, {name_of(run)}: only {run.n_epochs} of {horizon} epochs"
            )
            continue
        survived.append(not found)
        last = run.records[-1]
        rows.append(
            (
                name_of(run),
                found or "nothing",
                nats(run.validation().get(last["epoch"])),
                *(
                    NOTHING if last[key] is None else f"{last[key]:.3f}"
                    for key in ("real_probability", "fake_probability", "sample_deviation")
                ),
            )
        )
    if not rows:
        return section
    n_survived = sum(survived)
    interval = binomtest(n_survived, len(survived)).proportion_ci(0.95, method="exact")
    header = (
        "run", "the watch found", f"validation, epoch {horizon}",
        "D(x)", "D(G(z))", "deviation over z",
    )  # fmt: skip
    section.lines += [
        f"## Survival of the first {horizon} epochs",
        "",
        f"**{n_survived} of {len(survived)} seeds** of the `{runs[0].recipe.name}` recipe (exact "
        f"95 % interval of the share: {100 * interval.low:.0f} to {100 * interval.high:.0f} %). A "
        "seed survives if the collapse watch says nothing: the samples' standard deviation over z "
        f"never below {COLLAPSE_DEVIATION:g}, the discriminator never nearly certain (D(x) above "
        f"{SATURATED_REAL_PROBABILITY:g}, D(G(z)) below {SATURATED_FAKE_PROBABILITY:g}) for "
        f"{SATURATED_EPOCHS} epochs on end, every number finite.",
        "",
        *table(header, rows, n_words=2),
        "",
    ]
    return section


def variants(runs: Sequence[Found]) -> Section:
    """Compare the schedules and the costs."""
    rows = [
        (run.recipe.schedule, run.recipe.cost.replace("_", "-"), *_compared(run)) for run in runs
    ]
    header = ("schedule", "cost of G", *_COMPARED)
    words = (
        "The released code updates both nets together with the non-saturating cost; Algorithm 1 of "
        "the paper alternates, and prints the saturating cost. An epoch is the same number of "
        "batches in all. Nats."
    )
    return _comparison("Schedules and costs", header, rows, words, runs)


def departures(runs: Sequence[Found]) -> Section:
    """Compare departures from the recipe of the paper."""
    rows = [
        (
            f"{run.recipe.learning_rate_decay:.8g}",
            f"{run.recipe.average_decay:g}" if run.averages else "none",
            *_compared(run),
        )
        for run in runs
    ]
    header = ("learning rate over (an update)", "average of G's weights (decay)", *_COMPARED)
    words = (
        "Both are departures of ours; the paper's recipe divides by 1.000004 and averages nothing."
    )
    return _comparison("Departures", header, rows, words, runs)


_COMPARED = (
    "run", "epochs", "last weights, validation", "last weights, test",
    "average, validation", "average, test", "the watch found",
)  # fmt: skip


def _compared(run: Found) -> tuple[str, ...]:
    end = run.n_epochs
    return (
        name_of(run),
        str(end),
        nats(run.validation(of_last_weights=True).get(end)),
        score(run.test("last")),
        nats(run.validation().get(end)) if run.averages else NOTHING,
        score(run.test("model")) if run.averages else NOTHING,
        run.watched(end) or "nothing",
    )


def _comparison(
    heading: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    words: str,
    runs: Sequence[Found],
) -> Section:
    section = Section()
    if not rows:
        return section
    lengths = {run.n_epochs for run in runs}
    section.lines += [f"## {heading}", "", *table(header, rows, n_words=2), "", words, ""]
    if len(lengths) > 1:
        section.lines += ["The rows differ in epochs: compare those of equal ones.", ""]
    section.missing += [
        f"{run.part}/{run.variant}, {name_of(run)}: no test score at epoch {run.n_epochs}"
        for run in runs
        if run.test("model") is None
    ]
    return section


def times(runs: Sequence[Found], step_ms: Mapping[str, float]) -> Section:
    """Say how long each seed took to the paper's number, and would take at other steps."""
    section = Section()
    rows = []
    for run, weights, name in _judged(runs):
        found = reached(run, weights)
        if found is None:
            best = max(run.tests[weights].values(), key=lambda test: test.mean)
            if comparable(best):
                section.missing.append(
                    f"time to {LEVEL_NATS:g} nats, {name}: not reached in {run.n_epochs} epochs; "
                    f"the best test score measured is {best.mean:.1f}"
                )
            continue
        rows.append(
            (
                name,
                str(found.epoch),
                f"{found.n_updates:,}",
                nats(found.validation),
                f"{score(found.test)} (epoch {found.test_epoch})",
                duration(found.training_seconds),
                NOTHING if found.seconds is None else duration(found.seconds),
                *(duration(found.n_updates * ms / 1000) for ms in step_ms.values()),
            )
        )
    if not rows:
        return section
    header = (
        "run", "epoch", "updates", "validation", "test", "training, measured",
        "wall-clock, measured",
        *(f"extrapolated: {name}" for name in step_ms),
    )  # fmt: skip
    section.lines += [
        "## Time to the paper's number",
        "",
        *table(header, rows),
        "",
        f"The first epoch whose validation log-likelihood is at least the one at which the test "
        f"score was first measured at {LEVEL_NATS:g} ({PAPER.mean:g} less its standard error) or "
        f"above. Training is the batches alone, {_carried_out(runs)}. Wall-clock adds evaluation, "
        "checkpoints and starting, in proportion over the whole run.",
        "",
    ]
    if step_ms:
        steps = listed([f"{ms:g} ms ({name})" for name, ms in step_ms.items()])
        section.lines += [
            f"Extrapolated is not measured: the updates times a step of {steps}, each measured by "
            "itself (`benchmarks.run training_step`); compare these with training alone.",
            "",
        ]
    return section


def _judged(runs: Sequence[Found]) -> list[tuple[Found, Weights, str]]:
    """Return the kinds of weights that were tested, each with its name; averages first."""
    judged = [
        (run, weights, f"{name_of(run)}, {what}")
        for run in runs
        for weights, what in kinds_of(run)
        if run.tests.get(weights)
    ]
    return sorted(judged, key=lambda one: one[2].endswith("last weights"))


def _carried_out(runs: Sequence[Found]) -> str:
    """Say with how many threads, and beside how many others, the runs went."""
    ways = {
        (int(slice_["n_processes"]), int(slice_["n_threads"]))
        for run in runs
        for slice_ in run.slices
        if "n_processes" in slice_
    }
    if not ways:
        return "on threads that no file tells of"
    return listed(
        [
            f"{side} run{'s' if side > 1 else ''} side by side with {threads} "
            f"thread{'s' if threads > 1 else ''} each"
            for side, threads in sorted(ways)
        ]
    )
