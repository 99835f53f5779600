"""What the suite measures: its parts, the command of each, and what each is known by.

A part's definition says what is compared, not how long: the document is out of date where it has
another one than the code.
"""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from benchmarks import harness
from benchmarks.run import NAMES
from benchmarks.suite import scaling_plan

Kind = Literal["bench", "scaling", "evaluate"]
MODULES = {
    "bench": "run",
    "scaling": "suite.scaling",
    "evaluate": "suite.evaluation",
}
EVALUATED_AT = {"1e6": 1_000_000, "1e7": 10_000_000}
QUICK_EVALUATED_AT = {"1e6": 11_000, "1e7": 20_000}


@dataclass(frozen=True)
class Part:
    """A piece that is measured in one go and written as it ends.

    ``minutes`` is what it took on two quiet cores, about: the plan adds them up.
    """

    name: str
    kind: Kind
    minutes: float
    n_rounds: int = 15
    budget_seconds: float = 20.0
    against: tuple[str, ...] = ()
    of_samples: bool = False
    of_run: bool = False

    def arguments(self, given: Inputs, out: Path) -> list[str]:
        """Return the arguments of the part's command, which writes ``<out>/<file name>.json``."""
        common = ["--out", str(out), "--name", self.file_name]
        common += ["--quick"] * given.quick
        if self.kind == "evaluate":
            counts = QUICK_EVALUATED_AT if given.quick else EVALUATED_AT
            n_samples = counts[self.name.partition(":")[2]]
            return [str(given.run), "--n-samples", str(n_samples), *common]
        if self.kind == "scaling":
            return [self.name.partition(":")[2], *common]
        found = [self.name, *common]
        if given.quick:
            found += ["--no-compile", "--rounds", "1"]
        else:
            found += ["--rounds", str(self.n_rounds), "--budget", f"{self.budget_seconds:g}"]
        found += ["--against", ",".join(self.against)] if self.against else []
        found += ["--samples", str(given.samples)] if self.of_samples and given.samples else []
        found += ["--run", str(given.run)] if self.of_run and given.run else []
        return found

    @property
    def file_name(self) -> str:
        """The part's name as a file may have it."""
        return self.name.replace(":", "-")

    def definition(self) -> dict[str, Any]:
        """Return what is compared: operations and their contenders, and where they are named."""
        if self.kind == "scaling":
            return scaling_plan.by_name(self.name.partition(":")[2]).definition()
        if self.kind == "evaluate":
            return {"n_samples": EVALUATED_AT[self.name.partition(":")[2]]}
        found: dict[str, Any] = {"contenders": contenders(self.name)}
        return {**found, "against": list(self.against)} if self.against else found


@dataclass(frozen=True)
class Inputs:
    """What the parts are measured on: a trained ``mnist`` run and a file of its samples."""

    run: Path | None = None
    samples: Path | None = None
    quick: bool = False


_bench = partial(Part, kind="bench")
_distances = partial(_bench, of_samples=True)
_of_few = ("torch.compile", "torch.mm", "faiss IndexFlatL2", "eager")
PARTS: tuple[Part, ...] = (
    _bench("philox", minutes=1),
    _bench("dropout", minutes=0.5),
    _bench("linear:forward", minutes=0.5, budget_seconds=8),
    _bench("linear:input_gradient", minutes=0.5, budget_seconds=8),
    _bench("linear:update", minutes=1, budget_seconds=8),
    _bench("maxout_linear", minutes=1),
    _bench("momentum_sgd", minutes=1),
    _distances("parzen:1e4", minutes=1, budget_seconds=40),
    _distances("parzen:1e6", minutes=13, n_rounds=2, against=("torch.compile", "torch.mm")),
    _distances("parzen:grid", minutes=0.5),
    _distances("parzen:dense", minutes=0.5),
    _bench("parzen:noise", minutes=0.5),
    _bench("parzen:protocol", minutes=0.5, n_rounds=3),
    _distances("neighbors:1", minutes=2.5),
    _distances("neighbors:5", minutes=0.5),
    _bench("neighbors:cifar10", minutes=7, n_rounds=2, against=_of_few),
    _bench("neighbors:noise", minutes=0.5),
    _bench("memory:in_memory", minutes=0.5, n_rounds=1),
    _distances("memory:from_file", minutes=0.5, n_rounds=1),
    _bench("memory:training", minutes=1.5),
    _bench("training_step:digits", minutes=0.5),
    _bench("training_step:mnist", minutes=0.5),
    _bench("training_step:mnist:trained", minutes=0.5, of_run=True),
    _bench("training_step:mnist:alternating", minutes=0.5),
    _bench("training_step:mnist:saturating", minutes=0.5),
    _bench("training_step:mnist:threads", minutes=0.3),
    _bench("training_step:tfd", minutes=1.5),
    _bench("training_step:cifar10-mlp", minutes=1.5),
    Part("evaluate:1e6", "evaluate", minutes=0.5, of_run=True),
    Part("evaluate:1e7", "evaluate", minutes=5, of_run=True),
    *(Part(f"scaling:{plan.name}", "scaling", minutes=plan.minutes) for plan in scaling_plan.PLANS),
)


def chosen(names: str | None) -> tuple[Part, ...]:
    """Return the parts named, all where none are; a name's beginning stands for all that have it.

    Raises
    ------
    ValueError
        If there is no such part.
    """
    if names is None:
        return PARTS
    found: list[Part] = []
    for name in names.split(","):
        here = [part for part in PARTS if part.name == name or part.name.startswith(f"{name}:")]
        if not here:
            known = ", ".join(part.name for part in PARTS)
            raise ValueError(f"only: no part is named {name!r}; expected some of {known}")
        found += here
    return tuple(part for part in PARTS if part in found)


def contenders(name: str) -> list[list[str]]:
    """Return the operations of a case at its smallest sizes, each with its contenders."""
    bench, _, case = name.partition(":")
    module = importlib.import_module(f"benchmarks.bench_{bench}")
    options = harness.Options(quick=True, cases=(case,) if case else ())
    found: list[list[str]] = []
    with _nothing_compiled():
        for work in module.comparisons(options):
            names = [work.operation, *_names(work)]
            if names not in found:
                found.append(names)
    return found


@contextmanager
def _nothing_compiled() -> Iterator[None]:
    """Make what is only asked for its names cheaply, and alike on every machine."""
    n_threads, compile_ = torch.get_num_threads(), torch.compile
    torch.set_num_threads(2)  # some names tell how threads are shared out
    torch.compile = lambda function, **_: function  # the compiler alone takes seconds to import
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch's of itself
            yield
    finally:
        torch.set_num_threads(n_threads)
        torch.compile = compile_


def _names(work: Any) -> Iterator[str]:
    if isinstance(work, harness.LeftOut):
        yield "all"
        return
    for one in getattr(work, "contenders", None) or getattr(work, "tasks", ()):
        yield one if isinstance(one, str) else one.name


def all_cases() -> set[str]:
    """Return every case that ``benchmarks.run`` knows."""
    found = set()
    for name in NAMES:
        cases: Sequence[str] = tuple(
            getattr(importlib.import_module(f"benchmarks.bench_{name}"), "CASES", ())
        )
        found |= {f"{name}:{case}" for case in cases} or {name}
    return found


def run_here(part: Part, given: Inputs, out: Path) -> int:
    """Run a part's command in this process: starting one takes longer than its smallest sizes."""
    main: Callable[[list[str]], int] = importlib.import_module(
        f"benchmarks.{MODULES[part.kind]}"
    ).main
    return main(part.arguments(given, out))


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Say whether two definitions are one, whichever came from JSON."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
