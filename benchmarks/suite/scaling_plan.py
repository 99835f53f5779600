"""Which curves are drawn: operations, sizes, threads and processes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

COUNTS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
WIDTHS = (16, 64, 256, 784, 3_072)
N_QUERIES = 1_000
# Samples that take more are not held but made block by block.
HELD_BYTES = 3_200_000_000
BLOCK_BYTES = 1_000_000_000
BLOCK_ROWS = 65_536  # a block's rows are a multiple: fastgan's own blocks

Operation = Literal["parzen", "neighbors", "training_step"]


@dataclass(frozen=True)
class Plan:
    """One part of the suite: an operation at every size, on so many threads and processes.

    ``most`` gives a width another largest count. A training step has neither widths nor counts.
    """

    operation: Operation
    n_threads: int = 1
    n_processes: int = 1
    minutes: float = 1.0
    widths: tuple[int, ...] = WIDTHS
    counts: tuple[int, ...] = COUNTS
    most: tuple[tuple[int, int], ...] = ()
    n_queries: int = N_QUERIES

    @property
    def name(self) -> str:
        """The operation, and who works."""
        if self.n_processes > 1:
            return f"{self.operation}:{self.n_processes}-processes"
        return f"{self.operation}:{self.n_threads}-thread" + "s" * (self.n_threads > 1)

    def points(self) -> list[tuple[int, int]]:
        """Return the widths, each with its counts: (n_features, n_samples)."""
        most = dict(self.most)
        return [
            (width, count)
            for width in self.widths
            for count in self.counts
            if count <= most.get(width, self.counts[-1])
        ]

    def definition(self) -> dict[str, Any]:
        """Return all but how long it takes."""
        return {name: value for name, value in asdict(self).items() if name != "minutes"}


def is_held(n_features: int, n_samples: int) -> bool:
    """Say whether so many float32 samples are held in memory, and given in one call."""
    return 4 * n_features * n_samples <= HELD_BYTES


def block_rows(operation: Operation, n_features: int) -> int:
    """Return how many samples are made at a time where they are not held."""
    if operation == "parzen":
        return BLOCK_ROWS
    return max(1, BLOCK_BYTES // (4 * n_features * BLOCK_ROWS)) * BLOCK_ROWS


def _most(n_features: int) -> int:
    """Return the largest count of the plan that is held."""
    return max(count for count in COUNTS if is_held(n_features, count))


# One thread alone would take too long beyond; processes share out samples that each of them holds.
_LESS = tuple((width, 1_000_000) for width in WIDTHS)
_HELD = tuple((width, min(1_000_000, _most(width))) for width in WIDTHS)
PLANS: tuple[Plan, ...] = (
    Plan("parzen", 1, minutes=4.5, most=_LESS),
    Plan("parzen", 2, minutes=15),
    Plan("parzen", n_processes=2, minutes=1.5, most=_HELD),
    Plan("neighbors", 1, minutes=4.5, most=_LESS),
    Plan("neighbors", 2, minutes=17),
    Plan("neighbors", n_processes=2, minutes=2, most=_HELD),
    Plan("training_step", 1, minutes=0.3, widths=(), counts=()),
    Plan("training_step", 2, minutes=0.3, widths=(), counts=()),
    Plan("training_step", n_processes=2, minutes=0.3, widths=(), counts=()),
)


def by_name(name: str) -> Plan:
    """Return a plan; ValueError with the known names if there is none of that name."""
    for plan in PLANS:
        if plan.name == name:
            return plan
    known = ", ".join(plan.name for plan in PLANS)
    raise ValueError(f"scaling: no curve is named {name!r}; expected one of {known}")
