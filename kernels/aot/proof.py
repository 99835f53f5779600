"""Compile every configuration of every launch for every architecture, and judge the result."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from fastgan.kernels.aot import compiling, limits
from fastgan.kernels.aot.cases import Case
from fastgan.kernels.aot.roofline import DEVICES, Roofline, Work, roofline
from fastgan.kernels.aot.work import Tile, count_tile
from fastgan.kernels.launch import Configuration, Launch

_BATCH = 24  # variants a process compiles


@dataclass
class Variant:
    """A kernel compiled one way, and all launches that share its machine code."""

    launch: Launch  # the first of them
    configuration: Configuration
    architecture: str
    specialisation: compiling.Specialisation
    case_names: list[str]
    facts: compiling.Facts | None = None
    tile: Tile | None = None
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Return a name for messages: kernel, configuration, architecture and case."""
        kernel, configuration = self.launch.kernel.name, self.configuration.name
        return f"{kernel} {configuration} on {self.architecture} ({self.case_names[0]})"

    @property
    def key(self) -> str:
        """Equal for variants that share their machine code."""
        return _key(self.launch, self.specialisation)

    @property
    def is_double(self) -> bool:
        """Whether its products are of float64: kept right, not fast."""
        return _multiplies_double(self.launch)

    @property
    def needs_tensor_cores(self) -> bool:
        """Whether tensor cores are meant: the kernel has a PRECISION, for products of float32."""
        return "PRECISION" in self.launch.kernel.function.arg_names and not self.is_double

    @property
    def n_programs(self) -> int:
        """How many programs the launch has."""
        n = 1
        for size in self.launch.grid_of(self.configuration):
            n *= size
        return n

    def work(self) -> Work:
        """Return what the launch has to do, tails of tiles included."""
        if self.tile is None:
            raise ValueError(f"variant: expected one that was compiled, got {self.name}")
        n = self.n_programs
        n_bytes = 0.0
        for asked in (self.tile.read, self.tile.written):
            for argument, tile_bytes in asked.items():
                tensor = self.launch.arguments.get(argument)
                size = tensor.nbytes if isinstance(tensor, torch.Tensor) else n * tile_bytes
                n_bytes += min(size, n * tile_bytes)
        return Work(
            n * self.tile.product_flops,
            self.tile.precision,
            n * self.tile.vector_flops,
            n * self.tile.special_functions,
            n_bytes,
            n * self.tile.double_flops,
        )

    def roofline(self) -> Roofline:
        """Return the model's least time on the device of the architecture."""
        device = next(d for d in DEVICES.values() if d.architecture == self.architecture)
        return roofline(self.work(), device)


def variants(
    cases: Iterable[Case], architectures: Sequence[str], kernel_names: Sequence[str] = ()
) -> list[Variant]:
    """Return what there is to compile: launches that share their machine code only once.

    Launches whose constants differ by another probability or limit alone count as one: the numbers
    of ``THRESHOLD`` (but 2^32: no mask), ``SCALE`` and ``MAX_NORM`` change no instruction. Products
    of float64, in which no training step runs, are compiled in the first configuration only.
    """
    found: dict[str, Variant] = {}
    for case in cases:
        for launch in case.launches:
            if kernel_names and launch.kernel.name not in kernel_names:
                continue
            for architecture in architectures:
                configurations = launch.kernel.configurations[architecture]
                if _multiplies_double(launch):
                    configurations = configurations[:1]
                for configuration in configurations:
                    special = compiling.specialise(launch, configuration, architecture)
                    variant = Variant(launch, configuration, architecture, special, [])
                    names = found.setdefault(variant.key, variant).case_names
                    if case.name not in names:
                        names.append(case.name)
    return list(found.values())


def _multiplies_double(launch: Launch) -> bool:
    """Say whether a launch's products are of float64: their first factor comes first of all."""
    first = next((a for a in launch.arguments.values() if isinstance(a, torch.Tensor)), None)
    has_precision = "PRECISION" in launch.kernel.function.arg_names
    return has_precision and first is not None and first.dtype == torch.float64


def _key(launch: Launch, special: compiling.Specialisation) -> str:
    """Return what decides the instructions of a kernel."""
    names = special.function.arg_names
    constants = []
    for path, value in special.constants.items():
        name = names[path[0]]
        if name == "THRESHOLD":
            value = value < 2**32
        elif name in ("SCALE", "MAX_NORM"):
            value = value is not None
        constants.append((path, value))
    others = (special.signature, special.attributes, special.options, special.architecture)
    return repr((launch.kernel.name, constants, *others))


def prove(
    found: Sequence[Variant], *, n_jobs: int = 1, report: Callable[[Variant], None] | None = None
) -> None:
    """Compile every variant and fill in its facts and problems.

    ``n_jobs`` processes compile, a few variants each before a new one begins: a compiler that
    aborts is a problem of one variant, not the end of the proof.
    """
    context = multiprocessing.get_context("fork")
    waiting = [list(found[i : i + _BATCH]) for i in range(0, len(found), _BATCH)]
    running: dict[Any, tuple[list[Variant], Any]] = {}  # pipe -> variants to come, process
    while waiting or running:
        while waiting and len(running) < n_jobs:
            batch = waiting.pop(0)
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_compile_in_child, args=(batch, sender))
            process.start()
            sender.close()
            running[receiver] = (list(batch), process)
        for receiver in multiprocessing.connection.wait(list(running)):
            batch, process = running[receiver]
            try:
                outcome = receiver.recv()
            except EOFError:
                del running[receiver]
                receiver.close()
                process.join()
                if not batch:
                    continue
                outcome = f"the compiler died, exit code {process.exitcode}"
                if batch[1:]:
                    waiting.append(batch[1:])
            variant = batch.pop(0)
            _judge(variant, outcome)
            if report is not None:
                report(variant)


def _compile_in_child(batch: Sequence[Variant], sender: Any) -> None:
    """Compile, and send for each (facts, tile) or the message of what went wrong."""
    with Path(os.devnull).open("w") as nowhere:  # a dying compiler dumps its state
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    for variant in batch:
        try:
            facts, ttir = compiling.compile_and_read(variant.specialisation)
            grid = variant.launch.grid_of(variant.configuration)
            arguments = {**variant.launch.arguments, **variant.configuration.constants}
            outcome: Any = (facts, count_tile(ttir, arguments, grid))
        except Exception as error:
            while error.__cause__ is not None and isinstance(error.__cause__, Exception):
                error = error.__cause__
            outcome = f"does not compile: {type(error).__name__}: {error}"
        sender.send(outcome)
    sender.close()


def _judge(variant: Variant, outcome: tuple[compiling.Facts, Tile] | str) -> None:
    """Fill in what compiling gave, and what is wrong with it."""
    if isinstance(outcome, str):
        variant.problems.append(outcome)
        return
    variant.facts, variant.tile = outcome
    wrong = limits.problems(
        variant.facts,
        variant.architecture,
        needs_tensor_cores=variant.needs_tensor_cores,
    )
    if variant.is_double:  # float64 is for checks of gradients: it must work, not be fast
        variant.notes.extend(w for w in wrong if w.startswith(("spills", "registers")))
        wrong = [w for w in wrong if w not in variant.notes]
    variant.problems.extend(wrong)
