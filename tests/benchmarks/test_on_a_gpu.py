"""Every contender's tensors live on the device: tried on "meta", where there is no GPU.

A meta tensor has a shape and a device but no numbers, and mixes with a CPU tensor as little as a
CUDA tensor does. Kernels are noted down, not launched.
"""

from __future__ import annotations

import importlib
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
