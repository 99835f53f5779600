"""Anonymous memory of training: of a step, whether it grows, and of a whole run."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.harness import WrongResultError
from benchmarks.machine import machine
from benchmarks.memory import CHILD, Watch, anonymous_bytes, expect, say
from benchmarks.rows import Row

N_FIRST = 100  # steps in which buffers, pools and caches come into being
N_STEPS = 1_000

# A kilobyte a step. What a step could leave behind is larger: a mask or an activation of one layer
# is 96 kB in the mnist recipe. What the allocator takes for itself in so many steps is smaller.
GROWTH_BOUND_BYTES = 1024 * N_STEPS


@dataclass(frozen=True)
class StepMemory:
    """What a step of fastgan (the first contender) and its peers take, and whether it grows.

    A process each. Reported are the peak beyond a process that has imported the packages, weights
    and velocities counted, and as the error the growth over 1,000 steps after the first 100.

    Attributes
    ----------
    shape : str
        See ``step_settings.by_shape``; with ``is_tiny``, of the same layers and little width.
    contenders : sequence of str
        ``fastgan``, ``fastgan, autograd`` or ``eager, SGD fused``.
    """

    shape: str
    is_tiny: bool
    contenders: Sequence[str] = ("fastgan", "fastgan, autograd", "eager, SGD fused")
    n_steps: int = N_STEPS
    bound: float = float(GROWTH_BOUND_BYTES)

    operation = "memory of training steps"

    @property
    def size(self) -> str:
        """Say at which size."""
        return f"{'tiny ' if self.is_tiny else ''}{self.shape}, {self.n_steps:,} steps"

    def measure(
        self, *, n_rounds: int = 1, block_seconds: float = 0.0, budget_seconds: float = 0.0
    ) -> list[Row]:
        """Train in a process for each contender.

        Raises
        ------
        WrongResultError
            If fastgan's memory grows by more than the bound.
        """
        if not Path("/proc/self/status").exists():
            return [_left_out(self.operation, self.size)]
        rows: list[Row] = []
        own_seconds = 0.0
        for name in self.contenders:
            seconds, peak, growth = self._train(name)
            if not rows and not growth <= self.bound:
                raise WrongResultError(
                    f"{self.operation}, {self.size}: grew by {growth:,} bytes, "
                    f"the bound is {self.bound:,.0f}: nothing is reported"
                )
            own_seconds = own_seconds or seconds
            ratio = seconds / own_seconds
            rows.append(
                Row(
                    self.operation,
                    self.size,
                    name,
                    seconds=seconds,
                    ratio_median=ratio,
                    ratio_low=ratio,
                    ratio_high=ratio,
                    error=float(growth),
                    bound=None if rows else self.bound,
                    error_unit="bytes grown",
                    extra_bytes=peak,
                    n_rounds=1,
                    note="the mean step of a process of its own",
                    machine=machine(),
                )
            )
        return rows

    def _train(self, contender: str) -> tuple[float, int, int]:
        """Return seconds a step, the peak in bytes beyond the imports, and the growth in bytes."""
        asked = {
            "module": "training_steps.training_child",
            "contender": contender,
            "shape": self.shape,
            "is_tiny": self.is_tiny,
            "n_first": N_FIRST,
            "n_steps": self.n_steps,
            "n_threads": torch.get_num_threads(),
        }
        process = subprocess.Popen(
            [sys.executable, str(CHILD), json.dumps(asked)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            expect(process, "ready")
            at_start = anonymous_bytes(process.pid)
            with Watch(process.pid) as watch:
                say(process, "go")
                expect(process, "warm")
                before = anonymous_bytes(process.pid)
                say(process, "go")
                _, seconds = expect(process, "done")
                after = anonymous_bytes(process.pid)
            say(process, "end")
            process.wait()
        return float(seconds), watch.peak_bytes - at_start, after - before


@dataclass(frozen=True)
class RunMemory:
    """What a whole ``fastgan train`` takes: Python, torch, data, training and evaluation.

    ``arguments`` are those of ``fastgan train``; the run's folder is a temporary one.
    """

    arguments: Sequence[str]

    operation = "memory of a training run"

    @property
    def size(self) -> str:
        """Give the command."""
        return " ".join(["fastgan", "train", *self.arguments])

    def measure(
        self, *, n_rounds: int = 1, block_seconds: float = 0.0, budget_seconds: float = 0.0
    ) -> list[Row]:
        """Run the command once, and say how long it took and what it held at its peak.

        Raises
        ------
        RuntimeError
            If it fails; the message holds what it wrote.
        """
        if not Path("/proc/self/status").exists():
            return [_left_out(self.operation, self.size)]
        with tempfile.TemporaryDirectory() as folder:
            out = str(Path(folder) / "run")
            started = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, "-m", "fastgan", "train", *self.arguments, "--out", out],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            with Watch(process.pid) as watch:
                written, _ = process.communicate()
            seconds = time.perf_counter() - started
        if process.returncode != 0:
            raise RuntimeError(f"the measured command failed: {written.strip()[-2_000:]}")
        return [
            Row(
                self.operation,
                self.size,
                "fastgan",
                seconds=seconds,
                extra_bytes=watch.peak_bytes,
                n_rounds=1,
                note="all anonymous memory of the process, start and end counted",
                machine=machine(),
            )
        ]


def _left_out(operation: str, size: str) -> Row:
    return Row(operation, size, "all", note="left out: needs Linux's /proc", machine=machine())
