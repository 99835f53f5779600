"""Where a benchmark runs, by which clock, and the least time that the device's peaks allow.

On the CPU a call is timed by the wall clock. On a GPU it is timed as ``triton.testing.do_bench``
does: between two events on the stream, with the L2 cache emptied before each call, so that what is
read comes from memory. Emptying takes longer than a launch, so the host is ahead when the call's
first kernel starts; what a call itself waits for on the host counts.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from fastgan.kernels.aot.roofline import Device as Peaks

NAMES = ("cpu", "cuda")
LEAST_EMPTIED_BYTES = 256 * 2**20  # what do_bench writes: no cache of a GPU is larger
# The float32 products that kernels ship with (README of kernels/): split ones on NVIDIA.
PRECISIONS = {"gfx942": "ieee"}
NVIDIA_PRECISION = "tf32x3"


class NoDeviceError(ValueError):
    """The device asked for is not here."""


class Demand(NamedTuple):
    """What the operation itself takes, whoever does it: operations, and each tensor moved once."""

    product_flops: float = 0.0  # of float32 products, dense
    vector_flops: float = 0.0
    special_functions: float = 0.0
    n_bytes: float = 0.0


class Clock(Protocol):
    """How calls are timed; ``most_calls`` are made in a round."""

    most_calls: int

    def once(self, call: Callable[[], Any]) -> tuple[float, Any]:
        """Return the seconds until a call is done, and what it returned."""

    def each(self, call: Callable[[], Any], n_calls: int) -> float:
        """Return the mean seconds of so many calls."""


class WallClock:
    """The host's clock, for calls that are done when they return."""

    most_calls = 10_000

    def once(self, call: Callable[[], Any]) -> tuple[float, Any]:
        started = time.perf_counter()
        result = call()
        return time.perf_counter() - started, result

    def each(self, call: Callable[[], Any], n_calls: int) -> float:
        started = time.perf_counter()
        for _ in range(n_calls):
            call()
        return (time.perf_counter() - started) / n_calls


class Event(Protocol):
    """A moment on a GPU's stream."""

    def record(self) -> None:
        """Let the moment be when the work queued so far is done."""

    def elapsed_time(self, end: Any) -> float:
        """Return the milliseconds to a later event."""


class Stream(Protocol):
    """What a clock needs of a GPU."""

    def event(self) -> Event:
        """Return a new event."""

    def empty_cache(self) -> None:
        """Queue what drives everything else out of the L2 cache."""

    def synchronize(self) -> None:
        """Wait for all that was queued."""


class EventClock:
    """A GPU's clock: events around each call, on a cold L2 cache."""

    most_calls = 100  # emptying the cache takes a tenth of a millisecond each time

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def once(self, call: Callable[[], Any]) -> tuple[float, Any]:
        """Return what the host sees, launches and all."""
        self.stream.synchronize()
        started = time.perf_counter()
        result = call()
        self.stream.synchronize()
        return time.perf_counter() - started, result

    def each(self, call: Callable[[], Any], n_calls: int) -> float:
        pairs = [(self.stream.event(), self.stream.event()) for _ in range(n_calls)]
        for start, end in pairs:
            self.stream.empty_cache()
            start.record()
            call()
            end.record()
        self.stream.synchronize()
        return sum(start.elapsed_time(end) for start, end in pairs) / n_calls / 1e3


class CudaStream:
    """The current stream of torch's current CUDA (or ROCm) device."""

    def __init__(self) -> None:
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        cache_bytes = getattr(properties, "L2_cache_size", 0)
        n_bytes = max(LEAST_EMPTIED_BYTES, 2 * cache_bytes)
        self._written = torch.empty(n_bytes // 4, dtype=torch.int32, device="cuda")

    def event(self) -> Event:
        return torch.cuda.Event(enable_timing=True)

    def empty_cache(self) -> None:
        self._written.zero_()

    def synchronize(self) -> None:
        torch.cuda.synchronize()


@dataclass(frozen=True)
class Device:
    """A place to run, its clock, and its published peaks where they are known (GPUs)."""

    torch_device: torch.device
    clock: Clock
    name: str = ""  # of a GPU, as its driver gives it
    peaks: Peaks | None = None

    @property
    def is_gpu(self) -> bool:
        """Say whether tensors live on a GPU."""
        return self.torch_device.type != "cpu"

    def put(self, *tensors: Tensor) -> Any:
        """Return the tensors there (one alone, several as a tuple)."""
        moved = tuple(tensor.to(self.torch_device) for tensor in tensors)
        return moved[0] if len(moved) == 1 else moved

    def numbers(self, *values: float) -> Any:
        """Return numbers as an operation takes them there without waiting for the host.

        On a GPU int64 and float64 tensors of no dimension, as training keeps them; else themselves.
        """
        if not self.is_gpu:
            return values
        kinds = [torch.int64 if isinstance(value, int) else torch.float64 for value in values]
        return tuple(
            torch.tensor(value, dtype=kind, device=self.torch_device)
            for value, kind in zip(values, kinds, strict=True)
        )

    def least_seconds(self, demand: Demand | None) -> tuple[float, str] | None:
        """Return the roofline of some work and what sets it; None where no peaks are known.

        Products count in the precision that the kernels ship with for the device: a peer in plain
        TF32 may pass it, at TF32's error.
        """
        if demand is None or self.peaks is None:
            return None
        from fastgan.kernels.aot import roofline

        precision = PRECISIONS.get(self.peaks.architecture, NVIDIA_PRECISION)
        work = roofline.Work(
            demand.product_flops,
            precision,
            demand.vector_flops,
            demand.special_functions,
            demand.n_bytes,
        )
        found = roofline.roofline(work, self.peaks)
        if found.seconds <= 0.0:
            return None
        return found.seconds, found.bound


CPU = Device(torch.device("cpu"), WallClock())


def named(name: str) -> Device:
    """Return the device of a name.

    Raises
    ------
    NoDeviceError
        If it is ``cuda`` and torch sees none.
    ValueError
        If the name is none of ``NAMES``.
    """
    if name not in NAMES:
        raise ValueError(f"device: expected one of {', '.join(NAMES)}, got {name!r}")
    return CPU if name == "cpu" else _cuda()


def why_no_cuda() -> str:
    """Say why nothing can be measured on a GPU here; "" where it can."""
    if torch.cuda.is_available():
        return ""
    built = "with" if torch.version.cuda or torch.version.hip else "without"
    return f"no CUDA device: torch {torch.__version__}, built {built} CUDA or ROCm, sees none here"


@functools.cache  # its clock holds memory
def _cuda() -> Device:
    if reason := why_no_cuda():
        raise NoDeviceError(f"device: {reason}")
    from fastgan.kernels.aot import roofline

    name = torch.cuda.get_device_name()
    return Device(torch.device("cuda"), EventClock(CudaStream()), name, roofline.device_named(name))
