"""The torch ops on a CUDA device, seen without one: which run, what they launch, that none waits.

Fake tensors have a device, shapes and no memory: whatever asks for a number, as ``.item()`` does,
raises. Kernels are noted down instead of being launched; torch built for CPUs cannot slice fake
tensors of a CUDA device, so the implementations are given fake ones of the CPU.
"""

from __future__ import annotations

import sys

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from fastgan import backends, ops

if not backends.has_triton():
    pytest.skip("triton is not installed", allow_module_level=True)

from fastgan.kernels.launch import recording

CUDA = torch.device("cuda:0")
NAMES = ["dropout", "maxout_linear", "maxout_linear_backward", "momentum_sgd"]


class Seen(TorchDispatchMode):
    """Notes down every torch op, and where its tensors are."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.devices: set[str] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.names.append(function.name())
        flat = torch.utils._pytree.tree_leaves((args, kwargs, result))
        self.devices |= {leaf.device.type for leaf in flat if isinstance(leaf, torch.Tensor)}
        return result

    @property
    def own(self) -> list[str]:
        """Return the names of fastgan's ops."""
        return [name.split("::")[1] for name in self.names if name.startswith("fastgan::")]


def maker_on(device):
    with FakeTensorMode():
        yield lambda *shape, dtype=torch.float32: torch.empty(shape, dtype=dtype, device=device)


@pytest.fixture
def fake():
    """Return a maker of fake tensors on a CUDA device."""
    yield from maker_on(CUDA)


@pytest.fixture
def fake_here():
    """Return a maker of fake tensors on the CPU."""
    yield from maker_on("cpu")


def tensors(fake) -> dict[str, torch.Tensor]:
    return {
        "input": fake(6, 4),
        "weight": fake(15, 4),
        "bias": fake(15),
        "seed": fake(dtype=torch.int64),
        "step": fake(dtype=torch.int64),
        "lr": fake(dtype=torch.float64),
    }


@pytest.mark.parametrize("name", NAMES)
def test_each_op_has_a_kernel_on_both_devices_and_an_autocast_rule(name) -> None:
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    for suffix, keys in (("", ("CPU", "CUDA")), ("_triton", ("CompositeExplicitAutograd",))):
        for key in keys:
            assert has(f"fastgan::{name}{suffix}", key)
        # what is written in place is not handed over as another tensor
        casts = name != "momentum_sgd"
        for key in ("AutocastCPU", "AutocastCUDA"):
            assert has(f"fastgan::{name}{suffix}", key) == casts


def test_auto_runs_the_kernels_and_every_tensor_stays_on_the_device(fake, monkeypatch) -> None:
    monkeypatch.setattr(backends, "has_triton", lambda: True)
    t = tensors(fake)
    with Seen() as seen:
        values, winner = ops.maxout_linear(
            t["input"],
            t["weight"],
            t["bias"],
            5,
            include_probability=0.5,
            seed=t["seed"],
            step=t["step"],
            stream=3,
        )
        dropped = ops.dropout(values, 0.5, t["seed"], t["step"], 4)
        ops.momentum_sgd(t["weight"], fake(15, 4), fake(15, 4), t["lr"], t["lr"], 1.0)
    assert (values.shape, winner.shape, dropped.shape) == ((6, 3),) * 3
    assert winner.dtype == torch.uint8
    assert seen.own == ["maxout_linear", "dropout", "momentum_sgd"]
    assert seen.devices == {"cuda"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="kernels are not for the interpreter then")
@pytest.mark.parametrize("impl", ["native", "triton"])
def test_a_forced_implementation_runs_in_both_directions(impl) -> None:
    """On the CPU: forward, backward and backward again, nothing is done by the other one."""
    weight = torch.arange(24.0).reshape(6, 4).requires_grad_()
    input, bias = torch.ones(2, 4, requires_grad=True), torch.zeros(6, requires_grad=True)
    seed, step = torch.tensor(1), torch.tensor(2)
    with Seen() as seen:
        values, _ = ops.maxout_linear(
            input,
            weight,
            bias,
            3,
            include_probability=0.5,
            seed=seed,
            step=step,
            stream=3,
            impl=impl,
        )
        dropped = ops.dropout(values, 0.5, seed, step, 4, impl=impl)
        leaves = [input, weight, bias]
        gradients = torch.autograd.grad(dropped.square().sum(), leaves, create_graph=True)
        torch.autograd.grad(sum(gradient.square().sum() for gradient in gradients), leaves)
    names = {name for name in seen.own if name.endswith("_triton") == (impl == "triton")}
    assert names == set(seen.own)
    assert {name.removesuffix("_triton") for name in names} == set(NAMES) - {"momentum_sgd"}


def launched(function, *arguments) -> tuple[list[str], Seen]:
    """Return the names of the kernels that an op's CUDA implementation launches, and its ops."""
    with Seen() as seen, recording() as launches:
        function(*arguments)
    assert len(seen.devices) <= 1
    assert not seen.own
    for launch in launches:
        given = [a for a in launch.arguments.values() if isinstance(a, torch.Tensor)]
        assert len(given) >= 3
        assert all(tensor.is_contiguous() for tensor in given)
    return [launch.kernel.name for launch in launches], seen


@pytest.mark.parametrize("include_probability", [0.5, 1.0])
def test_what_the_implementations_launch(include_probability, fake_here) -> None:
    """No product by torch, no matrix of all pieces, no look at a number."""
    fake = fake_here
    t = tensors(fake)
    draw = (include_probability, t["seed"], t["step"], 3, 0)
    mask = ["dropout_kernel"] if include_probability < 1 else []
    forward = sys.modules["fastgan.ops.maxout_linear"]._triton
    backward = sys.modules["fastgan.ops._maxout_linear_backward"]._triton
    layer = (fake(4, 6).t(), t["weight"], t["bias"])
    names, seen = launched(forward, *layer, 5, *draw)
    assert names == ["maxout_forward_kernel"]
    assert "aten::mm" not in seen.names
    gradient, winner = fake(6, 3), fake(6, 3, dtype=torch.uint8)
    for input, weight, needs_bias, products in (
        (t["input"], t["weight"], True, ["input_gradient_kernel", "update_kernel"]),
        (t["input"], None, False, ["update_kernel"]),
        (None, t["weight"], False, ["input_gradient_kernel"]),
        (None, None, True, ["update_kernel"]),
    ):
        arguments = (gradient, winner, input, weight, needs_bias, 5, *draw)
        names, seen = launched(backward, *arguments)
        assert names == mask + products
        assert "aten::mm" not in seen.names
    dropout = sys.modules["fastgan.ops.dropout"]._triton
    assert launched(dropout, fake(6, 3), *draw)[0] == ["dropout_kernel"]


@pytest.mark.parametrize("max_norm", [None, 1.0])
def test_what_an_update_launches(max_norm, fake_here) -> None:
    t = tensors(fake_here)
    update = sys.modules["fastgan.ops.momentum_sgd"]._triton
    state = [fake_here(15, 4) for _ in range(3)]
    assert launched(update, *state, t["lr"], t["lr"], max_norm)[0] == ["momentum_sgd_kernel"]


def test_random_numbers_are_made_where_the_seed_is(fake, monkeypatch) -> None:
    monkeypatch.setattr(backends, "has_triton", lambda: True)
    t = tensors(fake)
    draw = (t["seed"], t["step"], 3)
    for function, kernel in (
        (lambda: ops.philox.uniform((3, 4), *draw), "philox_kernel"),
        (lambda: ops.philox.normal((3, 4), *draw), "philox_kernel"),
        (lambda: ops.philox.permutation(8, *draw), "sort_keys_kernel"),
    ):
        assert launched(function)[0] == [kernel]


def test_a_wait_for_the_device_would_be_seen(fake) -> None:
    seed = tensors(fake)["seed"]
    with pytest.raises(Exception, match=r"data-dependent|DataDependent|_local_scalar_dense"):
        launched(seed.item)
