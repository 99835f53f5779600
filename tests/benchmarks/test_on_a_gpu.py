"""Every contender's tensors live on the device: tried on "meta", where there is no GPU.

A meta tensor has a shape and a device but no numbers, and mixes with a CPU tensor as little as a
CUDA tensor does. Kernels are noted down, not launched.
"""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from fastgan.data import locate

pytest.importorskip("triton")
launch = importlib.import_module("fastgan.kernels.launch")

# Needs a device that computes: an optimizer's fused update, a graph.
NOT_ON_META = ("SGD fused", "SGD, fused", "CUDA graph")


def of_meta(call: Callable[[Tensor], Any], otherwise: Callable[[Tensor], Any]) -> Any:
    return lambda tensor: call(tensor) if tensor.is_meta else otherwise(tensor)


@pytest.fixture
def meta(harness: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a device whose tensors have no numbers: whoever asks for one is told 1."""
    devices = importlib.import_module("benchmarks.devices")
    answers = {"__float__": 1.0, "__int__": 1, "__bool__": True}
    for name, answer in answers.items():
        own = getattr(Tensor, name)
        monkeypatch.setattr(Tensor, name, of_meta(lambda _, a=answer: a, own))
    ones = of_meta(lambda t: torch.ones(t.shape, dtype=t.dtype), Tensor.cpu)
    monkeypatch.setattr(Tensor, "cpu", ones)
    return devices.Device(torch.device("meta"), devices.EventClock(None), "a GPU")


def not_right(*_: Any) -> Any:
    """Stand in for the right neighbours, which only numbers have."""
    return None, None


class NotRight:
    """What is compared with the right neighbours, and is not called here."""

    def __init__(self, *_: Any) -> None:
        pass

    def first(self, n: int) -> NotRight:
        return self

    error = exact_error = words = None


@pytest.mark.parametrize(
    "name",
    [
        "philox",
        "dropout",
        "linear",
        "maxout_linear",
        "momentum_sgd",
        "parzen",
        "neighbors",
        "training_step",
    ],
)
def test_every_contender_stays_on_the_device(
    harness: ModuleType, meta: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FASTGAN_DATA", raising=False)
    monkeypatch.setattr(locate, "cache_folder", lambda name: Path("absent") / name)
    bench = importlib.import_module(f"benchmarks.bench_{name}")
    if name == "neighbors":
        monkeypatch.setattr(bench.reference, "nearest", not_right)
        monkeypatch.setattr(bench, "Right", NotRight)
    options = harness.Options(quick=True, compile=False, device=meta)
    n_called = 0
    for work in bench.comparisons(options):
        if isinstance(work, harness.LeftOut):
            continue
        assert work.device is meta
        names = [one.name for one in work.contenders]
        assert len(names) == len(set(names))
        assert not [n for n in names if "scikit" in n or "faiss" in n or "NumPy" in n]
        for one in work.contenders:
            if any(word in one.name for word in NOT_ON_META):
                continue
            with launch.recording():
                found = one.call()
            for part in torch.utils._pytree.tree_leaves(found):
                assert not isinstance(part, Tensor) or part.is_meta, one.name
            n_called += 1
    assert n_called >= 2


class WallStream:
    """A stream without a GPU behind it: an event is now."""

    class Event:
        def record(self) -> None:
            self.at = time.perf_counter()

        def elapsed_time(self, end: WallStream.Event) -> float:
            return 1e3 * (end.at - self.at)

    def event(self) -> WallStream.Event:
        return self.Event()

    def empty_cache(self) -> None:
        pass

    def synchronize(self) -> None:
        pass


@pytest.mark.skipif(not launch.interpreting(), reason="kernels run on CPU tensors here")
@pytest.mark.parametrize(
    "name",
    [
        "dropout",
        "linear",
        "maxout_linear",
        "momentum_sgd",
        "neighbors:noise",
        "parzen:grid",
        "philox",
        "training_step:digits",
    ],
)
def test_what_a_gpu_is_asked_to_compute_is_right(
    harness: ModuleType, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole run as on a GPU, with checked errors: its numbers, though, are the CPU's."""
    monkeypatch.delenv("FASTGAN_DATA", raising=False)
    monkeypatch.setattr(locate, "cache_folder", lambda name: Path("absent") / name)
    devices = importlib.import_module("benchmarks.devices")
    roofline = importlib.import_module("fastgan.kernels.aot.roofline")

    class Pretended(devices.Device):
        is_gpu = True

    pretended = Pretended(
        torch.device("cpu"),
        devices.EventClock(WallStream()),
        "NVIDIA H100 80GB HBM3",
        roofline.DEVICES["H100"],
    )
    monkeypatch.setattr(devices, "named", lambda _: pretended)
    run = importlib.import_module("benchmarks.run")
    arguments = [name, "--device", "cuda", "--quick", "--no-compile", "--rounds", "1"]
    assert run.main([*arguments, "--out", str(tmp_path)]) == 0
    (file,) = tmp_path.glob("*-cuda-quick.json")
    rows = json.loads(file.read_text(encoding="utf-8"))
    ours = [row for row in rows if row["bound"] is not None]
    assert ours
    assert all(row["error"] <= row["bound"] for row in ours)
    for row in rows:
        if "CUDA graph" in row["contender"]:  # which asks for a GPU, and says so in its row
            assert row["note"].startswith("failed: ")
            continue
        assert row["seconds"] is not None, row
        assert (row["roofline_fraction"] is None) == row["is_floor"]
        assert row["machine"]["GPU"] == "NVIDIA H100 80GB HBM3"
    if name in ("linear", "maxout_linear", "parzen:grid"):
        assert any(row["contender"].endswith(", TF32") for row in rows)
