"""The floors under the kernels do the work that they are said to do, and no less is compared."""

from __future__ import annotations

import ctypes
import importlib
import shutil
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch

from fastgan.ops import philox


@pytest.mark.skipif(shutil.which("c++") is None, reason="calls a C++ compiler")
def test_multiplications_are_made(harness: ModuleType) -> None:
    floor = importlib.import_module("benchmarks.philox_floor")
    multiplier, n_turns = 0xD2511F53, 7
    start = [(0x9E3779B97F4A7C15 * (i + 1)) % 2**64 for i in range(64)]
    numbers = (ctypes.c_uint64 * 64)(*start)
    floor.kernel()(n_turns, multiplier, numbers)
    for found, number in zip(numbers, start, strict=True):
        for _ in range(n_turns):
            number = (number & 0xFFFFFFFF) * multiplier
        assert found == number


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("n_words", [1, 64, 1_000, 123_457])
def test_as_many_multiplications_as_the_words_take(
    harness: ModuleType, n_words: int, n_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    floor = importlib.import_module("benchmarks.philox_floor")
    turns: list[int] = []
    monkeypatch.setattr(floor, "kernel", lambda: lambda n_turns, *_: turns.append(n_turns))
    floor.multiplications(n_words, n_threads)()
    assert len(turns) == n_threads
    products = sum(turns) * floor.PRODUCTS_A_TURN
    assert 0 <= products - 5 * n_words < n_threads * floor.PRODUCTS_A_TURN


def test_no_compiler_is_said(harness: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    floor = importlib.import_module("benchmarks.philox_floor")
    monkeypatch.setattr(floor.shutil, "which", lambda _: None)
    floor.kernel.cache_clear()
    with pytest.raises(harness.NotInstalledError, match=r"a C\+\+ compiler"):
        floor.multiplications(100, 1)()


@pytest.mark.parametrize("draw", [philox.uniform, philox.normal])
def test_every_number_is_compared_with_the_reference(
    harness: ModuleType, draw: Callable[..., torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = importlib.import_module("benchmarks.bench_philox")
    monkeypatch.setattr(bench, "CHECKED_AT_ONCE", 100)
    reference = getattr(bench.reference, draw.__name__)
    found = draw((250,), *bench.DRAW)
    assert bench.largest_difference(found, reference) <= 2e-6
    assert bench.units_apart(found, reference) <= 2.0
    for place in (0, 99, 100, 249):
        wrong = found.clone()
        wrong[place] = torch.nextafter(wrong[place], torch.tensor(9.0))
        assert 0.0 < bench.largest_difference(wrong, reference) < 1e-6
        assert bench.units_apart(wrong, reference) >= 0.5
        wrong[place] += 1e-3
        assert bench.units_apart(wrong, reference) > 1_000


def test_the_memory_traffic_of_an_update_changes_nothing(harness: ModuleType) -> None:
    bench = importlib.import_module("benchmarks.bench_momentum_sgd")
    start = [torch.randn(3, 5) for _ in range(3)]
    arrays = [t.clone() for t in start]
    bench.traffic(*arrays)
    assert torch.equal(arrays[0], -start[0])  # written
    assert torch.equal(arrays[1], -start[1])
    bench.traffic(*arrays)
    assert all(torch.equal(a, b) for a, b in zip(arrays, start, strict=True))


@pytest.mark.parametrize(("backward", "n_products"), [(False, 1), (True, 3)])
def test_products_of_a_maxout_layer(
    harness: ModuleType, backward: bool, n_products: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = importlib.import_module("benchmarks.bench_maxout_linear")
    sizes: list[tuple[int, ...]] = []
    multiply = torch.mm

    def counted(left: torch.Tensor, right: torch.Tensor, **rest: Any) -> torch.Tensor:
        sizes.append((*left.shape, right.shape[1]))
        return multiply(left, right, **rest)

    monkeypatch.setattr(torch, "mm", counted)
    tensors = (torch.randn(4, 6), torch.randn(10, 6), torch.randn(10))
    floor = bench._products(tensors, backward=backward)
    floor.call()
    assert sizes == [(4, 6, 10), (10, 4, 6), (4, 10, 6)][:n_products]
    assert floor.is_floor
    assert floor.remark(None) == f"{2 * n_products * 240 / 1e9:.3g} GFLOP"


def test_layers_are_as_sparse_as_they_say(harness: ModuleType) -> None:
    bench = importlib.import_module("benchmarks.bench_linear")
    maxout = bench.Layer(40, 30, 500, n_pieces=5, input_density=0.25)
    input, delta, weight, bias = maxout.tensors()
    assert (input.shape, delta.shape, weight.shape, bias.shape) == (
        (40, 30),
        (40, 500),
        (500, 30),
        (500,),
    )
    assert ((delta != 0).unflatten(1, (-1, 5)).sum(dim=2) == 1).all()
    assert float((input != 0).float().mean()) == pytest.approx(0.25, abs=0.05)
    assert maxout.words(with_input=True) == "40 x 30 x 500, 20% of delta, 25% of the input"
    _, delta, _, _ = bench.Layer(40, 30, 500, delta_density=0.12).tensors()
    assert float((delta != 0).float().mean()) == pytest.approx(0.12, abs=0.02)


@pytest.mark.parametrize("operation", ["linear_forward", "linear_input_gradient", "linear_update"])
def test_one_element_left_out_is_a_wrong_result(
    harness: ModuleType, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = importlib.import_module("benchmarks.bench_linear")
    right = getattr(bench.NativeOperations, operation)

    def wrong(self: Any, first: Any, *rest: Any) -> None:
        part = first.copy()  # the input of the forward pass, else the units' gradients
        part[3, part[3].nonzero()[0][0]] = 0.0
        right(self, part, *rest)

    monkeypatch.setattr(bench.NativeOperations, operation, wrong)
    options = harness.Options(quick=True, compile=False)
    (work,) = bench.comparisons(
        harness.Options(quick=True, compile=False, cases=(operation.removeprefix("linear_"),))
    )
    with pytest.raises(harness.WrongResultError):
        work.measure(n_rounds=1, block_seconds=0.0)
    make, layers = bench.CASES["input_gradient"]
    if operation == "linear_input_gradient":  # the loosest bound: of sums in one order
        with pytest.raises(harness.WrongResultError):
            make(layers[0], options).measure(n_rounds=1, block_seconds=0.0)
