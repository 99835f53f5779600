"""Launching, noting down and forcing configurations, in the interpreter or on a GPU."""

import pytest
import torch

from fastgan import backends

if not backends.has_triton():
    pytest.skip("triton is not installed", allow_module_level=True)

import triton
import triton.language as tl
from fastgan.kernels.launch import (
    ARCHITECTURES,
    Configuration,
    Kernel,
    Launch,
    forced,
    recording,
)


@triton.jit
def add_kernel(values_pointer, n, BLOCK: tl.constexpr, AMOUNT: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    values = tl.load(values_pointer + index, mask=index < n)
    tl.store(values_pointer + index, values + AMOUNT, mask=index < n)


def configurations(amount: int) -> list[Configuration]:
    return [
        Configuration("8", {"BLOCK": 8, "AMOUNT": amount}),
        Configuration("16", {"BLOCK": 16, "AMOUNT": amount + 1}),
    ]


ADD = Kernel(
    add_kernel,
    {name: configurations(10 * number) for number, name in enumerate(ARCHITECTURES)},
    key=["n"],
    restored=["values_pointer"],
)


def launch(values: torch.Tensor) -> None:
    n = len(values)
    ADD(lambda meta: (triton.cdiv(n, meta["BLOCK"]),), values_pointer=values, n=n)


def test_a_recording_runs_nothing_and_can_be_replayed(device) -> None:
    values = torch.zeros(21, device=device)
    with recording() as launches:
        launch(values)
        launch(values)
    assert values.eq(0).all()
    assert [note.kernel.name for note in launches] == ["add_kernel"] * 2
    assert launches[0].grid_of(ADD.configurations["sm_80"][1]) == (2,)
    for note in launches:
        note.run()
    assert (values[0] == values).all()


@pytest.mark.skipif(torch.cuda.is_available(), reason="a device takes its own configurations")
def test_a_forced_configuration_is_taken() -> None:
    values = torch.zeros(21)
    launch(values)  # the interpreter's: the first of sm_80
    assert values.eq(0).all()
    with forced("gfx942", 1):
        launch(values)
    assert values.eq(31).all()
    with forced("sm_90"):
        launch(values)
    assert values.eq(41).all()


def test_every_architecture_needs_a_configuration() -> None:
    with pytest.raises(ValueError, match="expected at least one for sm_100, gfx942"):
        Kernel(add_kernel, dict.fromkeys(("sm_80", "sm_90"), configurations(0)))


def test_a_device_times_each_configuration_once_and_leaves_no_trace(monkeypatch) -> None:
    """Triton's own tuning, over our lists: with a clock of ours, and in the interpreter."""
    seconds = {8: 3.0, 16: 2.0}
    timed = []
    tuned = ADD._tune("sm_90")

    def bench(call, quantiles):
        call()
        timed.append(seconds[[8, 16][len(timed) % 2]])
        return [timed[-1]] * 3

    monkeypatch.setattr(tuned, "_do_bench", bench)
    values = torch.zeros(21)
    leading, named = Launch(ADD, (3,), {"values_pointer": values, "n": 21}).as_called()
    assert (leading, named) == ([values, 21], {})
    for n_runs in (1, 2, 3):
        tuned[lambda meta: (triton.cdiv(21, meta["BLOCK"]),)](*leading)
        assert values.eq(11 * n_runs).all()  # the second, which is the faster, and no trial more
    assert timed == [3.0, 2.0]
    longer = torch.zeros(40)
    tuned[lambda meta: (triton.cdiv(40, meta["BLOCK"]),)](longer, 40)
    assert len(timed) == 4
    assert longer.eq(11).all()
