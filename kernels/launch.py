"""The one door through which kernels are launched, tuned, or only noted down.

A kernel has a short list of named configurations for each architecture; on a device Triton times
them once for each size and keeps the fastest. Elsewhere nothing is timed: the interpreter takes the
first of a list, and a recording keeps what would have been launched.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import triton

ARCHITECTURES = ("sm_80", "sm_90", "sm_100", "gfx942")
INTERPRETER = "interpreter"

Grid = tuple[int, ...] | Callable[[Mapping[str, Any]], tuple[int, ...]]


@dataclass(frozen=True)
class Configuration:
    """Tiles and resources of a kernel: its ``BLOCK_*`` and other constants, warps, stages."""

    name: str
    constants: Mapping[str, int | str]
    n_warps: int = 4
    n_stages: int = 2
    options: Mapping[str, Any] = field(
        default_factory=dict
    )  # of the compiler, such as waves_per_eu


class Kernel:
    """A jitted function, the configurations it ships with, and what tuning has to know of it.

    Parameters
    ----------
    function
        What ``triton.jit`` returned.
    configurations : mapping of str to sequence of Configuration
        An entry for each of ``ARCHITECTURES``; the interpreter has its own or takes the first's.
    key : sequence of str
        Arguments whose values decide which configuration is the fastest.
    restored : sequence of str
        Arguments that the kernel both reads and overwrites: trials must find them as they were.
    options : mapping
        Of the compiler, in every configuration.
    """

    def __init__(
        self,
        function: Any,
        configurations: Mapping[str, Sequence[Configuration]],
        *,
        key: Sequence[str] = (),
        restored: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
    ) -> None:
        missing = [name for name in ARCHITECTURES if not configurations.get(name)]
        if missing:
            raise ValueError(f"configurations: expected at least one for {', '.join(missing)}")
        self.function = function
        self.name = function.__name__
        self.configurations = {name: tuple(found) for name, found in configurations.items()}
        self.configurations.setdefault(INTERPRETER, self.configurations[ARCHITECTURES[0]])
        self.key = tuple(key)
        self.restored = tuple(restored)
        self.options = dict(options or {})
        self._tuned = functools.cache(self._tune)

    def __call__(self, grid: Grid, **arguments: Any) -> None:
        """Launch with all arguments but those of the configuration, by name."""
        Launch(self, grid, arguments)()

    def _tune(self, architecture: str) -> Any:
        """Return the function as Triton tunes it, over the architecture's configurations."""
        configurations = [
            triton.Config({**c.constants, **c.options}, num_warps=c.n_warps, num_stages=c.n_stages)
            for c in self.configurations[architecture]
        ]
        # not restore_value: it would copy an argument that is None
        saved: dict[str, torch.Tensor] = {}

        def save(arguments: Mapping[str, Any], reset_only: bool = False) -> None:
            if not reset_only:
                given = {name: arguments[name] for name in self.restored}
                saved.update({n: a.clone() for n, a in given.items() if a is not None})

        def restore(arguments: Mapping[str, Any], exception: Exception | None) -> None:
            for name, content in saved.items():
                arguments[name].copy_(content)
            saved.clear()

        return triton.autotune(
            configs=configurations, key=list(self.key), pre_hook=save, post_hook=restore
        )(self.function)


@dataclass(frozen=True)
class Launch:
    """A kernel with its grid and arguments, to be launched once or again."""

    kernel: Kernel
    grid: Grid
    arguments: Mapping[str, Any]

    def __call__(self) -> None:
        """Run the kernel, or inside :func:`recording` note it down."""
        if _recordings:
            _recordings[-1].append(self)
        else:
            self.run()

    def run(self) -> None:
        """Run the kernel, on the device of its tensors or in the interpreter."""
        kernel = self.kernel
        options = kernel.options
        if interpreting():
            forced = _forced[-1] if _forced else (INTERPRETER, 0)
            configuration = kernel.configurations[forced[0]]
            chosen = configuration[min(forced[1], len(configuration) - 1)]
            kernel.function[self.grid](**self.arguments, **chosen.constants, **options)
            return
        device = next(a.device for a in self.arguments.values() if isinstance(a, torch.Tensor))
        with torch.cuda.device(device):
            tuned = kernel._tuned(architecture_of(device))
            leading, named = self.as_called()
            tuned[self.grid](*leading, **named, **options)

    def as_called(self) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments by position as far as they come first, and the rest by name.

        A keyword such as ``stream`` would be taken for an option of the launch.
        """
        names = self.kernel.function.arg_names
        n_leading = next(
            (i for i, name in enumerate(names) if name not in self.arguments), len(names)
        )
        leading = [self.arguments[name] for name in names[:n_leading]]
        named = {n: a for n, a in self.arguments.items() if n not in names[:n_leading]}
        return leading, named

    def grid_of(self, configuration: Configuration) -> tuple[int, ...]:
        """Return how many programs a configuration makes."""
        if callable(self.grid):
            return self.grid({**self.arguments, **configuration.constants})
        return self.grid


def interpreting() -> bool:
    """Say whether kernels run in Triton's interpreter, on the CPU."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@functools.cache
def architecture_of(device: torch.device) -> str:
    """Return which architecture's configurations a device takes.

    Devices that are not listed take those of sm_80 (NVIDIA) or gfx942 (AMD): the smallest tiles.
    """
    if torch.version.hip is not None:
        return "gfx942"
    major, minor = torch.cuda.get_device_capability(device)
    name = f"sm_{major}{minor}"
    if name in ARCHITECTURES:
        return name
    return "sm_100" if major == 10 else "sm_80"


_recordings: list[list[Launch]] = []
_forced: list[tuple[str, int]] = []


@contextlib.contextmanager
def recording() -> Iterator[list[Launch]]:
    """Note launches down instead of running them, as a graph's capture does."""
    launches: list[Launch] = []
    _recordings.append(launches)
    try:
        yield launches
    finally:
        _recordings.remove(launches)


@contextlib.contextmanager
def forced(architecture: str, number: int = 0) -> Iterator[None]:
    """Let the interpreter take a shipped configuration: that of an architecture, by its number."""
    _forced.append((architecture, number))
    try:
        yield
    finally:
        _forced.pop()
