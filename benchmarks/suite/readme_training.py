"""The README's numbers of training: a step, its layers, its memory."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from benchmarks.rows import readable
from benchmarks.suite.document import Document, Row
from benchmarks.suite.readme_distances import trained_epochs
from benchmarks.suite.words import cell, digits, megabytes, paragraph, ratio, table, times


class Column(NamedTuple):
    """A column of the table: where its numbers are."""

    heading: str
    case: str


COLUMNS = (
    Column("`digits`", "digits"),
    Column("`mnist` at its start", "mnist"),
    Column("`mnist` after {} epochs", "mnist:trained"),
    Column("`mnist`, alternating", "mnist:alternating"),
    Column("`tfd` sizes", "tfd"),
    Column("`cifar10-mlp` sizes", "cifar10-mlp"),
)
PEERS = {
    "eager modules, `SGD(fused=True)`": "eager, SGD fused",
    "eager by hand, no autograd": "eager, without autograd",
    "`torch.compile`, modules": "torch.compile, modules and SGD fused",
    "`torch.compile`, whole step": "torch.compile, whole step",
    "`torch.compile`, by hand": "torch.compile, without autograd",
    "its dense products alone, `torch.mm`": "torch.mm of its products",
}
# The layer whose products the text tells: trained G's, few of its gradients not zero.
SPARSE = "100 x 1200 x 1200, 12% of delta"


def steps(document: Document) -> str:
    """Return the table of whole training steps."""

    def of(column: Column, contender: str) -> Row:
        return document.row(f"training_step:{column.case}", contender)

    lines = [
        ["**fastgan**", *(cell(lambda c=c: readable(of(c, "fastgan")["seconds"])) for c in COLUMNS)]
    ]
    for words, name in PEERS.items():
        lines.append([words, *(cell(lambda c=c, n=name: ratio(of(c, n))) for c in COLUMNS)])
    epochs = trained_epochs(document)
    return table(["a step", *(column.heading.format(epochs) for column in COLUMNS)], lines)


def steps_notes(document: Document) -> str:
    """Return what the table of steps has no room for."""
    step = partial(document.row, operation="training step")
    trained = "training_step:mnist:trained"
    floor, whole = step(trained, "torch.mm of its products"), step(trained, "fastgan")
    by_hand = {
        name: times(step(f"training_step:{name}", "eager, without autograd"))
        for name in ("tfd", "cifar10-mlp")
    }
    shared = next(
        row
        for row in document.rows("training_step:mnist:threads")
        if row["contender"].startswith("fastgan: ") and row["ratio_median"] != 1.0
    )
    work = (floor["note"] or "").rpartition(", ")[2] or floor["note"]
    return paragraph(
        f"The dense products alone of a trained `mnist`'s step ({work}) take {times(floor)} times "
        f"as long as the step, {readable(whole['seconds'])}. Large layers are bound by memory: "
        f"there a step by hand takes {by_hand['tfd']} (`tfd`) and {by_hand['cifar10-mlp']} "
        "(`cifar10-mlp`) times as long. With as many threads of torch as of the core a "
        f"step and the gathering of its batch take {ratio(shared)} times as long as with "
        "one of torch (`training_step:mnist:threads`), so `train` leaves torch one."
    )


def layers(document: Document) -> str:
    """Return the text on the pieces of a step: products, random numbers, updates."""
    row = document.row
    update = partial(row, "linear:update", size=SPARSE)
    back = partial(row, "linear:input_gradient", size=SPARSE)
    forward = [
        (digits(one["ratio_median"]), one["size"])
        for one in document.rows("linear:forward")
        if one["contender"] == "torch.mm"
    ]
    told = ", ".join(f"{value} ({size})" for value, size in forward)
    uniform = partial(row, "philox", operation="philox.uniform", size="2,000,000")
    moved = partial(row, "momentum_sgd", size="8000 x 2304, max-norm")
    maxout = partial(
        row, "maxout_linear", operation="maxout_linear, forward and backward", size="200 x 784"
    )
    return paragraph(
        "`python -m benchmarks.run linear philox momentum_sgd maxout_linear`: a ReLU layer's "
        "weight gradient and update at 12 % nonzeros (100 x 1200 x 1200) takes "
        f"{readable(update('fastgan')['seconds'])}, the bare dense product "
        f"{times(update('torch.mm'))} times that, with `addmm_` into the velocity and the update "
        f"{times(update('eager, addmm_'))}; its input gradient "
        f"{readable(back('fastgan')['seconds'])}, the product {times(back('torch.mm'))}. Forward, "
        f"where nothing is zero, the product is {told} of ours. Uniform numbers take "
        f"{readable(uniform('fastgan')['seconds'])} for 2,000,000, Philox's multiplications alone "
        f"{_multiplications(document)} of that. The update of 8000 x 2304 with max-norm takes "
        f"{readable(moved('fastgan')['seconds'])}, moving as many bytes "
        f"{times(moved('its memory traffic'))} times that. Beside the differentiable "
        "`maxout_linear` (200 x 784 to 240 units of 5 pieces, forward and backward) eager PyTorch "
        f"takes {times(maxout('eager'))}, `torch.compile` {times(maxout('torch.compile'))}."
    )


def _multiplications(document: Document) -> str:
    return cell(
        lambda: times(
            document.row("philox", "Philox's multiplications", "philox.uniform", "2,000,000")
        )
    )


def memory(document: Document) -> str:
    """Return what training holds."""
    held = partial(document.row, "memory:training", operation="memory of training steps")
    whole = document.row("memory:training", "fastgan", "memory of a training run")
    grown = held("fastgan")["error"]
    growth = "grow by nothing" if grown <= 0 else f"grow by {grown / 1e3:.0f} kB"
    return paragraph(
        f"1,000 steps of `mnist` hold {megabytes(held('fastgan')['extra_bytes'])} at most (eager "
        f"{megabytes(held('eager, SGD fused')['extra_bytes'])}) and {growth}; a whole "
        f"`{whole['size']}` {megabytes(whole['extra_bytes'])}, data and libraries counted "
        "(`memory:training`)."
    )
