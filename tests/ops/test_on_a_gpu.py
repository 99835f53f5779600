"""The torch ops on a real device: opcheck, no wait for it, and captured in a graph."""

import pytest
import torch

from fastgan import ops

pytestmark = pytest.mark.gpu


def counters(device: torch.device) -> list[torch.Tensor]:
    return [torch.tensor(number, device=device) for number in (-3, 4)]


def layer(device: torch.device, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    shapes = ((33, 20), (15, 20), (15,))
    return [torch.randn(shape, dtype=dtype, device=device).requires_grad_() for shape in shapes]


def test_opcheck(device) -> None:
    draw = (0.5, *counters(device), 3, 1)
    own = torch.ops.fastgan
    input, weight, bias = layer(device)
    torch.library.opcheck(own.dropout.default, (input, *draw))
    torch.library.opcheck(own.maxout_linear.default, (input, weight, bias, 3, *draw))
    gradient = torch.randn(33, 5, dtype=torch.float64, device=device).requires_grad_()
    winner = torch.arange(165, device=device).reshape(33, 5).remainder(3).to(torch.uint8)
    for wanted in ((input, weight, True), (None, weight, False), (input, None, False)):
        arguments = (gradient, winner, *wanted, 3, *draw)
        torch.library.opcheck(own.maxout_linear_backward.default, arguments)
    state = [torch.randn(4, 5, device=device) for _ in range(3)]
    lr = torch.tensor(0.1, dtype=torch.float64, device=device)
    torch.library.opcheck(own.momentum_sgd.default, (*state, lr, lr, 1.0))


def training(device: torch.device):
    """Return a small step of everything, and the tensors that it changes."""
    input, weight, bias = layer(device, torch.float32)
    velocity = torch.zeros_like(weight)
    seed, step = counters(device)
    lr = torch.tensor(0.1, dtype=torch.float64, device=device)

    def run() -> None:
        values, _ = ops.maxout_linear(
            ops.dropout(input, 0.8, seed, step, 2),
            weight,
            bias,
            3,
            include_probability=0.5,
            seed=seed,
            step=step,
            stream=3,
        )
        gradient, _ = torch.autograd.grad(values.square().sum(), [weight, bias])
        ops.momentum_sgd(weight, velocity, gradient, lr, lr, 1.0)
        step.add_(1)

    return run, [weight, velocity, step]


def test_nothing_waits_for_the_device(device) -> None:
    run, _ = training(device)
    run()  # compiled and tuned
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        run()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_captured_graph_draws_anew_at_each_replay(device) -> None:
    """Seed and step are read on the device: three replays are three steps."""
    run, state = training(device)
    run()  # compiled and tuned
    begin = [tensor.detach().clone() for tensor in state]
    expected = []
    for _ in range(3):
        run()
        expected.append([tensor.detach().clone() for tensor in state])
    for tensor, value in zip(state, begin, strict=True):
        tensor.detach().copy_(value)
    graph = torch.cuda.CUDAGraph()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        run()
    torch.cuda.current_stream().wait_stream(stream)
    for tensor, value in zip(state, begin, strict=True):
        tensor.detach().copy_(value)
    with torch.cuda.graph(graph):
        run()
    for wanted in expected:
        graph.replay()
        for tensor, value in zip(state, wanted, strict=True):
            assert torch.equal(tensor, value)
