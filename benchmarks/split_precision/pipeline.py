"""The kernels that ship, in Triton's interpreter, with every ``tl.dot`` as a chip would make it.

The interpreter multiplies float32 tiles in float32 whatever precision a kernel asks for. Here its
``create_dot`` is replaced by the emulation, so that what is measured is the whole of what ships:
tiles, epilogues, allowance, choice of what is rescored, rescoring, merge. Needs a process in which
``TRITON_INTERPRET=1`` was set before a kernel was imported.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from fastgan.kernels import distances, launch, neighbors, parzen, parzen_chunks
from torch import Tensor
from triton.runtime import interpreter

from benchmarks.split_precision import products
from benchmarks.split_precision.distances import N_NEAREST, Truth, log_sums, nearest

BOUND_NATS = 1e-4  # the contract of Parzen sums
BLOCK_SIZE = 65_536  # samples, as fastgan.parzen_log_likelihood asks


@dataclass
class Asked:
    """Which precisions the kernels asked for, and in how many ``tl.dot``."""

    precisions: set[str]
    n_dots: int


@contextlib.contextmanager
def emulated(chip: products.TensorCore, precision: str | None = None) -> Iterator[Asked]:
    """Let the interpreter's ``tl.dot`` of float32 tiles be a chip's.

    Parameters
    ----------
    chip : TensorCore
    precision : str, optional
        In place of what each kernel asks for.

    Yields
    ------
    Asked
        Filled in while kernels run.
    """
    builder = interpreter.interpreter_builder
    of_float32, options = interpreter.InterpreterBuilder.create_dot, builder.options
    asked = Asked(set(), 0)

    def create_dot(self: Any, a: Any, b: Any, d: Any, input_precision: Any, imprecise: Any) -> Any:
        if a.data.dtype != np.float32:
            return of_float32(self, a, b, d, input_precision, imprecise)
        wanted = input_precision.name.lower()
        asked.precisions.add(wanted)
        asked.n_dots += 1
        found = products.dot(a.data, b.data, d.data, precision or wanted, chip)
        return interpreter.TensorHandle(found, d.dtype.scalar)

    builder.options = dataclasses.replace(options, allowed_dot_input_precisions=products.PRECISIONS)
    interpreter.InterpreterBuilder.create_dot = create_dot
    try:
        yield asked
    finally:
        interpreter.InterpreterBuilder.create_dot = of_float32
        builder.options = options


@contextlib.contextmanager
def rescored(module: ModuleType) -> Iterator[list[float]]:
    """Note down which share of its (query, chunk) pairs a module of kernels scores again."""
    shares: list[float] = []
    choose = module.flagged_pairs

    def noted(flags: Tensor) -> Tensor:
        shares.append(float(flags.double().mean()))
        return choose(flags)

    module.flagged_pairs = noted  # type: ignore[attr-defined]
    try:
        yield shares
    finally:
        module.flagged_pairs = choose  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Shipped:
    """A configuration of a kernel: the architecture whose list holds it, its place and name."""

    architecture: str
    number: int
    name: str
    precision: str


@dataclass(frozen=True)
class Mended:
    """What the kernels return in a shipped configuration.

    ``nats`` is the largest error of a query's log-likelihood at each sigma (Parzen sums);
    ``n_wrong`` how many queries got other neighbours than the true ones, or in another order;
    ``rescored`` which share of the pairs of a query and a chunk of samples was scored again;
    ``of_allowance`` the largest error of a tile's squared distance, of what is allowed for it.
    """

    data: str
    kernel: str
    configuration: Shipped
    nats: tuple[float, ...] = ()
    n_wrong: int | None = None
    rescored: float | None = None
    of_allowance: float | None = None

    @property
    def keeps_contract(self) -> bool:
        """Say whether every result is as right as is promised."""
        return (
            all(error <= BOUND_NATS for error in self.nats)  # not of NaN
            and not self.n_wrong
            and (self.of_allowance is None or self.of_allowance <= 1.0)
        )


def shipped(kernel: launch.Kernel) -> list[Shipped]:
    """Return every configuration that a kernel ships with for a device."""
    return [
        Shipped(architecture, number, one.name, str(one.constants["PRECISION"]))
        for architecture in launch.ARCHITECTURES
        for number, one in enumerate(kernel.configurations[architecture])
    ]


@contextlib.contextmanager
def interpreted_as(kernel: launch.Kernel, configuration: Shipped) -> Iterator[None]:
    """Let the interpreter run one kernel in a shipped configuration; the others keep its own."""
    of_interpreter = kernel.configurations[launch.INTERPRETER]
    chosen = kernel.configurations[configuration.architecture][configuration.number]
    kernel.configurations[launch.INTERPRETER] = (chosen,)
    try:
        yield
    finally:
        kernel.configurations[launch.INTERPRETER] = of_interpreter


def mended(
    data: str, truth: Truth, sigmas: Sequence[float], *, all_tiles: bool = True
) -> Iterator[Mended]:
    """Run both kernels in the configurations that ship, each on its architecture's chip.

    ``all_tiles=False``: the first of each architecture's list alone.
    """
    for one in shipped(parzen_chunks.PARZEN_CHUNKS):
        if all_tiles or one.number == 0:
            yield of_parzen(data, truth, sigmas, one)
    for one in shipped(neighbors.NEAREST_CHUNKS):
        if all_tiles or one.number == 0:
            yield of_neighbors(data, truth, one)
    seen = set()
    for one in shipped(parzen_chunks.PARZEN_CHUNKS):
        kind = (one.architecture, one.precision)
        if kind not in seen:
            seen.add(kind)
            yield of_distances(data, truth, one)


def of_parzen(
    data: str,
    truth: Truth,
    sigmas: Sequence[float],
    configuration: Shipped,
    precision: str | None = None,
) -> Mended:
    """Return how far Parzen sums are off; ``precision`` stands in for what the kernel asks for."""
    chip = products.CHIPS[configuration.architecture]
    queries, rows = (torch.from_numpy(part) for part in (truth.queries, truth.rows))
    with (
        interpreted_as(parzen_chunks.PARZEN_CHUNKS, configuration),
        emulated(chip, precision) as asked,
        rescored(parzen) as shares,
    ):
        found = parzen.parzen_log_sums(
            queries, rows, torch.tensor(sigmas, dtype=torch.float64), BLOCK_SIZE
        )
    _check(asked, configuration)
    errors = [
        float(np.abs(found[:, i].logsumexp(0).numpy() - log_sums(truth.squared, sigma)).max())
        for i, sigma in enumerate(sigmas)
    ]
    return Mended(data, "parzen", configuration, tuple(errors), rescored=float(np.mean(shares)))


def of_neighbors(
    data: str, truth: Truth, configuration: Shipped, precision: str | None = None
) -> Mended:
    """Return how many queries got wrong neighbours."""
    chip = products.CHIPS[configuration.architecture]
    queries, rows = (torch.from_numpy(part) for part in (truth.queries, truth.rows))
    with (
        interpreted_as(neighbors.NEAREST_CHUNKS, configuration),
        emulated(chip, precision) as asked,
        rescored(neighbors) as shares,
    ):
        _, found = neighbors.nearest_neighbors(queries, rows, N_NEAREST, False)
    _check(asked, configuration)
    n_wrong = int((found.numpy() != nearest(truth.squared)).any(axis=1).sum())
    share = float(np.mean(shares))
    return Mended(data, "neighbors", configuration, n_wrong=n_wrong, rescored=share)


def of_distances(
    data: str, truth: Truth, configuration: Shipped, precision: str | None = None
) -> Mended:
    """Return how much of the allowance the errors of a tile's squared distances take.

    Of the architecture's chip and of the coarsest, whichever takes more.
    """
    queries, rows = (torch.from_numpy(part) for part in (truth.queries, truth.rows))
    n_queries, n_rows = truth.squared.shape
    chunks = distances.Chunks(rows, n_rows)
    asked = distances.pack_queries(queries, chunks.frame)
    ((_, n_chunks, some),) = chunks.spans()
    largest = distances.largest_norms(some, n_chunks).repeat_interleave(distances.CHUNK)[:n_rows]
    allowed = distances.allowance(
        asked.norms[:n_queries, None], largest, truth.queries.shape[1]
    ).numpy()
    squares = asked.squared_norms[:n_queries, None] + some.squared_norms[:n_rows]
    expected = truth.squared / float(chunks.frame.unit) ** 2
    share = 0.0
    for chip in (products.CHIPS[configuration.architecture], products.COARSEST):
        found = products.product(
            asked.values[:n_queries].numpy(),
            some.values[:n_rows].numpy(),
            precision or configuration.precision,
            chip,
        )
        tile = np.maximum(squares.numpy() - np.float32(2.0) * found, np.float32(0.0))
        share = max(share, float((np.abs(tile - expected) / allowed).max()))
    return Mended(data, "distances", configuration, of_allowance=share)


def _check(asked: Asked, configuration: Shipped) -> None:
    """Raise RuntimeError unless the kernels asked for the products that they ship with."""
    if asked.precisions != {configuration.precision}:
        raise RuntimeError(
            f"{configuration}: expected every tl.dot to ask for {configuration.precision}, "
            f"got {sorted(asked.precisions)}"
        )
