"""Compile every configuration of every launch for every architecture, and judge the result."""

from __future__ import annotations

import contextlib
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
    def multiplies(self) -> bool:
        """Whether tensor cores are meant: the kernel has a PRECISION, and this one a product."""
        names = self.launch.kernel.function.arg_names
        return "PRECISION" in names and (self.tile is None or self.tile.product_flops > 0)

    @property
    def is_double(self) -> bool:
        """Whether its products are of float64: kept right, not fast."""
        return self.tile is not None and self.tile.precision == "fp64"

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
    of ``THRESHOLD`` (but 2^32: no mask), ``SCALE`` and ``MAX_NORM`` change no instruction.
    """
    found: dict[str, Variant] = {}
    for case in cases:
        for launch in case.launches:
            if kernel_names and launch.kernel.name not in kernel_names:
                continue
            for architecture in architectures:
                for configuration in launch.kernel.configurations[architecture]:
                    special = compiling.specialise(launch, configuration, architecture)
                    key = f"{launch.kernel.name} {_key(special)}"
                    if key in found:
                        if case.name not in found[key].case_names:
                            found[key].case_names.append(case.name)
                    else:
                        found[key] = Variant(
                            launch, configuration, architecture, special, [case.name]
                        )
    return list(found.values())


def _key(special: compiling.Specialisation) -> str:
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
    return repr((constants, *(s for i, s in enumerate(special) if i not in (0, 2))))


def prove(
    found: Sequence[Variant], *, n_jobs: int = 1, report: Callable[[Variant], None] | None = None
) -> None:
    """Compile every variant and fill in its facts and problems.

    Each is compiled in a process of its own, ``n_jobs`` at a time: a compiler that aborts is a
    problem of one variant, not the end of the proof.
    """
    context = multiprocessing.get_context("fork")
    waiting = list(enumerate(found))[::-1]
    running: dict[Any, tuple[int, Any]] = {}  # pipe -> variant, process
    while waiting or running:
        while waiting and len(running) < n_jobs:
            number, variant = waiting.pop()
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_compile_in_child, args=(variant, sender))
            process.start()
            sender.close()
            running[receiver] = (number, process)
        for receiver in multiprocessing.connection.wait(list(running)):
            number, process = running.pop(receiver)
            variant = found[number]
            outcome: Any = None
            with contextlib.suppress(EOFError):
                outcome = receiver.recv()
            receiver.close()
            process.join()
            _judge(variant, outcome, process.exitcode)
            if report is not None:
                report(variant)


def _compile_in_child(variant: Variant, sender: Any) -> None:
    """Compile, and send (facts, tile) or the message of what went wrong."""
    with Path(os.devnull).open("w") as nowhere:  # a compiler's dump of its own state
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    try:
        facts, ttir = compiling.compile_and_read(variant.specialisation)
        grid = variant.launch.grid_of(variant.configuration)
        arguments = {**variant.launch.arguments, **variant.configuration.constants}
        sender.send((facts, count_tile(ttir, arguments, grid)))
    except Exception as error:
        while error.__cause__ is not None:
            error = error.__cause__
        sender.send(f"{type(error).__name__}: {error}")
    sender.close()


def _judge(variant: Variant, outcome: Any, exit_code: int | None) -> None:
    """Fill in what compiling gave, and what is wrong with it."""
    if outcome is None:
        variant.problems.append(f"the compiler died, exit code {exit_code}")
        return
    if isinstance(outcome, str):
        variant.problems.append(f"does not compile: {outcome}")
        return
    variant.facts, variant.tile = outcome
    wrong = limits.problems(
        variant.facts,
        variant.architecture,
        needs_tensor_cores=variant.multiplies and not variant.is_double,
    )
    if variant.is_double:  # float64 is for checks of gradients: it must work, not be fast
        variant.notes.extend(w for w in wrong if w.startswith(("spills", "registers")))
        wrong = [w for w in wrong if w not in variant.notes]
    variant.problems.extend(wrong)
