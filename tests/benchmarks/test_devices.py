"""Where a benchmark runs: the GPU's clock and roofline, with a stand-in for the GPU."""

from __future__ import annotations

import dataclasses
import importlib
from types import ModuleType
from typing import Any

import pytest
import torch


class FakeEvent:
    def __init__(self, stream: FakeStream) -> None:
        self.stream, self.at = stream, None

    def record(self) -> None:
        self.stream.log.append("event")
        self.at = self.stream.now

    def elapsed_time(self, end: FakeEvent) -> float:
        assert self.stream.log[-1] == "synchronize"  # events are not known before
        return 1e3 * (end.at - self.at)


class FakeStream:
    """A GPU whose work takes as long as the test says; it notes what was asked of it."""

    def __init__(self) -> None:
        self.now, self.log = 50.0, []

    def event(self) -> FakeEvent:
        return FakeEvent(self)

    def empty_cache(self) -> None:
        self.log.append("empty")
        self.now += 1.0

    def synchronize(self) -> None:
        self.log.append("synchronize")

    def work(self, name: str, seconds: float) -> str:
        self.log.append(name)
        self.now += seconds
        return name


@pytest.fixture
def devices(harness: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.devices")


@pytest.fixture
def stream() -> FakeStream:
    return FakeStream()


@pytest.fixture
def gpu(devices: ModuleType, stream: FakeStream) -> Any:
    """Return a device that calls itself an H100, and whose tensors stay on the CPU."""
    roofline = importlib.import_module("fastgan.kernels.aot.roofline")
    name = "NVIDIA H100 80GB HBM3"
    peaks = roofline.device_named(name)
    clock = devices.EventClock(stream)
    return devices.Device(torch.device("cuda"), clock, name, peaks)


def test_each_call_lies_between_events_on_a_cold_cache(
    devices: ModuleType, stream: FakeStream
) -> None:
    clock = devices.EventClock(stream)
    seconds = clock.each(lambda: stream.work("call", 0.25), 3)
    assert seconds == pytest.approx(0.25)  # and not the second that emptying takes
    assert stream.log == ["empty", "event", "call", "event"] * 3 + ["synchronize"]


def test_one_call_is_timed_by_the_host_until_the_device_is_done(
    devices: ModuleType, clock: Any
) -> None:
    """The launch returns at once; what was queued before does not count."""
    waits = iter([7.0, 2.0])

    class Queue(FakeStream):
        def synchronize(self) -> None:
            clock.sleep(next(waits))

    seconds, result = devices.EventClock(Queue()).once(lambda: clock.sleep(0.5) or "done")
    assert (seconds, result) == (pytest.approx(2.5), "done")


def contender(harness: ModuleType, stream: FakeStream, name: str, seconds: float) -> Any:
    error = (lambda _: 0.0) if name == "fastgan" else None
    return harness.Contender(
        name, lambda: stream.work(name, seconds), error, is_floor=name == "floor"
    )


def test_rows_of_a_gpu_say_their_part_of_the_roofline(
    harness: ModuleType, devices: ModuleType, stream: FakeStream, gpu: Any, clock: Any
) -> None:
    """1e12 float32 operations of products: 494.7e12 / 3 a second in tf32x3."""
    comparison = harness.Comparison(
        "wait",
        "1",
        [contender(harness, stream, n, s) for n, s in (("fastgan", 0.01), ("peer", 0.04))]
        + [contender(harness, stream, "floor", 0.005)],
        bound=1e-3,
        error_unit="units",
        device=gpu,
        demand=devices.Demand(product_flops=1e12, n_bytes=1e9),
    )
    rows = comparison.measure(n_rounds=3, block_seconds=1e-9)
    least = 1e12 / (494.7e12 / 3)
    assert [row.seconds for row in rows] == pytest.approx([0.01, 0.04, 0.005])
    assert rows[1].ratio_median == pytest.approx(4.0)
    assert rows[0].roofline_fraction == pytest.approx(least / 0.01)
    assert rows[1].roofline_fraction == pytest.approx(least / 0.04)
    assert rows[2].roofline_fraction is None  # a floor does less than the whole work
    results = importlib.import_module("benchmarks.rows")
    assert f"| {least / 0.01:.2g} (products) |" in results.line(rows[0])
    assert rows[0].machine["GPU"] == "NVIDIA H100 80GB HBM3"
    assert "a model" in rows[0].machine["roofline"]
    order = [word for word in stream.log if word in ("fastgan", "peer", "floor")]
    assert order[-9:] == ["fastgan", "peer", "floor"] * 3  # still A B C A B C


def test_the_roofline_is_set_by_what_takes_longest(devices: ModuleType, gpu: Any) -> None:
    Demand = devices.Demand  # noqa: N806
    assert gpu.least_seconds(Demand(n_bytes=3.35e12)) == (pytest.approx(1.0), "memory")
    many = Demand(product_flops=1.0, special_functions=1e15, n_bytes=1.0)
    assert gpu.least_seconds(many)[1] == "special functions"
    assert gpu.least_seconds(None) is None
    assert gpu.least_seconds(Demand()) is None
    unknown = dataclasses.replace(gpu, peaks=None)
    assert unknown.least_seconds(many) is None
    machine = importlib.import_module("benchmarks.machine")
    assert machine.gpu(unknown)["roofline"].endswith("no peaks known, so no roofline")
    assert devices.CPU.least_seconds(many) is None
    assert machine.gpu(devices.CPU) == {}


def test_numbers_are_tensors_on_a_gpu_alone(devices: ModuleType) -> None:
    assert devices.CPU.numbers(1, 0.5) == (1, 0.5)
    meta = dataclasses.replace(devices.CPU, torch_device=torch.device("meta"))
    step, rate = meta.numbers(1, 0.5)
    assert (step.dtype, step.shape, step.is_meta) == (torch.int64, (), True)
    assert (rate.dtype, rate.shape, rate.is_meta) == (torch.float64, (), True)


def test_amd_counts_products_in_float32(devices: ModuleType, gpu: Any) -> None:
    roofline = importlib.import_module("fastgan.kernels.aot.roofline")
    amd = dataclasses.replace(gpu, peaks=roofline.device_named("AMD Instinct MI300X"))
    assert amd.least_seconds(devices.Demand(product_flops=163.4e12))[0] == pytest.approx(1.0)


def test_the_products_counted_are_those_that_the_kernels_ship_with(devices: ModuleType) -> None:
    """No kernel of an architecture makes float32 products in a precision that counts otherwise."""
    pytest.importorskip("triton")
    launch = importlib.import_module("fastgan.kernels.launch")
    roofline = importlib.import_module("fastgan.kernels.aot.roofline")
    linear = importlib.import_module("fastgan.kernels.linear")
    kernels = [k for k in vars(linear).values() if isinstance(k, launch.Kernel)]
    assert kernels
    for device in roofline.DEVICES.values():
        named = devices.PRECISIONS.get(device.architecture, devices.NVIDIA_PRECISION)
        for kernel in kernels:
            for one in kernel.configurations[device.architecture]:
                shipped = str(one.constants["PRECISION"])
                assert device.product_flops(shipped) == device.product_flops(named)


def test_a_gpu_that_is_not_here_is_refused(
    harness: ModuleType,
    devices: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(devices.NoDeviceError, match=r"^device: no CUDA device: torch .* sees none"):
        devices.named("cuda")
    with pytest.raises(ValueError, match=r"^device: expected one of cpu, cuda, got 'tpu'$"):
        devices.named("tpu")
    assert devices.named("cpu") is devices.CPU
    run = importlib.import_module("benchmarks.run")
    with pytest.raises(SystemExit) as raised:
        run.main(["dropout", "--device", "cuda"])
    assert raised.value.code == 2
    assert "no CUDA device" in capsys.readouterr().err


def test_entries_of_pytest_say_why_they_skip_a_gpu(
    harness: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "why_no_cuda", lambda: "no CUDA device here")

    @harness.on_each_device
    def entry(device: str) -> None:
        raise AssertionError

    (mark,) = entry.pytestmark
    cpu, cuda = mark.args[1]
    assert (mark.args[0], cpu, cuda.values) == ("device", "cpu", ("cuda",))
    (skip,) = cuda.marks
    assert skip.args == (True,)
    assert skip.kwargs == {"reason": "no CUDA device here"}


class FakeBenchmark:
    def __init__(self) -> None:
        self.extra_info: dict[str, Any] = {}
        self.group = ""

    def __call__(self, function: Any, *arguments: Any) -> None:
        self.called = function(*arguments)


def test_pytest_benchmark_keeps_the_seconds_of_the_device(
    harness: ModuleType, devices: ModuleType, stream: FakeStream, gpu: Any, clock: Any
) -> None:
    work = harness.Comparison(
        "wait",
        "1",
        [contender(harness, stream, "fastgan", 0.01)],
        1e-3,
        "units",
        gpu,
        devices.Demand(n_bytes=3.35e10),
    )
    found = FakeBenchmark()
    harness.time_with_pytest(found, iter([work]), "fastgan")
    assert found.extra_info["device_seconds"] == pytest.approx(0.01)
    assert found.extra_info["roofline_fraction"] == pytest.approx(1.0)
    assert found.group == "wait 1 on NVIDIA H100 80GB HBM3"
    assert found.called[1] == "fastgan"  # the host's clock, until the device is done
    assert stream.log[-1] == "synchronize"
    with pytest.raises(harness.WrongResultError):
        harness.time_with_pytest(found, iter([dataclasses.replace(work, bound=-1.0)]), "fastgan")


def test_peers_come_in_tf32_too_where_there_is_tf32(
    harness: ModuleType, devices: ModuleType, gpu: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tf32 = importlib.import_module("benchmarks.tf32")
    seen = []

    def call() -> None:
        seen.append(torch.get_float32_matmul_precision())

    names = ("fastgan", "eager", "eager, CUDA graph")
    contenders = [harness.Contender(name, call) for name in names]
    found = tf32.also_in_tf32(contenders, gpu)
    assert [one.name for one in found] == ["fastgan", "eager", "eager, TF32", "eager, CUDA graph"]
    for one in found:
        one.call()
    assert seen == ["highest", "highest", "high", "highest"]
    assert tf32.also_in_tf32(contenders, devices.CPU) == contenders
    monkeypatch.setattr(torch.version, "hip", "6.2")
    assert tf32.also_in_tf32(contenders, gpu) == contenders

    def broken() -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        tf32.in_tf32(broken)()
    assert torch.get_float32_matmul_precision() == "highest"


def test_a_captured_step_replays_on_the_next_batch(
    harness: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    captured = importlib.import_module("benchmarks.training_steps.captured")
    seen: list[float] = []
    steps: list[Any] = []

    class Context:
        def __init__(self, *_: Any) -> None:
            pass

        def __enter__(self) -> None:
            pass

        def __exit__(self, *_: Any) -> None:
            pass

        def wait_stream(self, _: Any) -> None:
            pass

    class Graph:
        def replay(self) -> None:
            seen.append(float(steps[-1][0]))  # of the memory that was captured

    for name in ("Stream", "stream", "graph"):
        monkeypatch.setattr(torch.cuda, name, Context)
    monkeypatch.setattr(torch.cuda, "current_stream", Context)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    batches = [torch.full((2,), float(i)) for i in range(3)]
    run = captured.captured(steps.append, iter(batches))
    for _ in batches:
        run()
    assert seen == [0.0, 1.0, 2.0]
    assert len(steps) == captured.N_WARM_UP + 1
    assert len({step.data_ptr() for step in steps}) == 1
    assert [float(batch[0]) for batch in batches] == [0.0, 1.0, 2.0]  # left as they were
