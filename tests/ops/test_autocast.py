"""Under torch.autocast: half precision comes in, float32 is computed and goes out."""

import pytest
import torch

from fastgan import ops
from fastgan.ops import _autocast
from fastgan.ops.dropout import dropout_op
from fastgan.ops.maxout_linear import maxout_linear_op

HALF = [torch.float16, torch.bfloat16]


@pytest.fixture(params=["reference", "native", "triton"])
def place(request, device) -> tuple[str, torch.device]:
    """Return an implementation and the device whose tensors it takes in a test."""
    if request.param == "triton":
        pytest.importorskip("triton")
        return "triton", device
    return request.param, torch.device("cpu")


def randn(*shape: int, device: torch.device, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator).to(device)


def draw(device: torch.device) -> dict[str, object]:
    counters = {name: torch.tensor(n, device=device) for name, n in (("seed", -3), ("step", 4))}
    return {"include_probability": 0.5, **counters, "stream": 5, "first_row": 6}


def layer(device: torch.device) -> list[torch.Tensor]:
    """Return input, weight and bias, of 5 units of 3 pieces: bfloat16 would be visibly off."""
    shapes = ((7, 20), (15, 20), (15,))
    return [randn(*shape, device=device, seed=seed) for seed, shape in enumerate(shapes)]


@pytest.mark.parametrize("half", HALF)
def test_dropout(half, place) -> None:
    impl, device = place
    input = randn(9, 5, device=device).to(half).requires_grad_()
    single = input.detach().float().requires_grad_()
    expected = ops.dropout(single, **draw(device), impl=impl)
    with torch.autocast(device.type, dtype=half):
        got = ops.dropout(input, **draw(device), impl=impl)
        assert ops.dropout(input, 1.0, 1, 2, 3, impl=impl).dtype == torch.float32
    assert got.dtype == torch.float32
    assert torch.equal(got, expected)
    gradient = randn(9, 5, device=device, seed=1)
    (of_half,) = torch.autograd.grad(got, input, gradient)
    (of_single,) = torch.autograd.grad(expected, single, gradient)
    assert torch.equal(of_half, of_single.to(half))


@pytest.mark.parametrize("half", HALF)
@pytest.mark.parametrize("is_half", [(True, False, False), (True, True, True)], ids=str)
def test_maxout_linear_is_computed_in_float32(half, is_half, place) -> None:
    impl, device = place
    inputs = [
        (tensor.to(half) if small else tensor).requires_grad_()
        for tensor, small in zip(layer(device), is_half, strict=True)
    ]
    singles = [tensor.detach().float().requires_grad_() for tensor in inputs]
    expected, expected_winner = ops.maxout_linear(*singles, 3, **draw(device), impl=impl)
    with torch.autocast(device.type, dtype=half):
        values, winner = ops.maxout_linear(*inputs, 3, **draw(device), impl=impl)
    assert values.dtype == torch.float32
    assert torch.equal(values, expected)
    assert torch.equal(winner, expected_winner)
    gradient = randn(*values.shape, device=device, seed=4)
    for tensor, got, wanted in zip(
        inputs,
        torch.autograd.grad(values, inputs, gradient),
        torch.autograd.grad(expected, singles, gradient),
        strict=True,
    ):
        assert torch.equal(got, wanted.to(tensor.dtype))


@pytest.mark.parametrize("half", HALF)
def test_gradients_taken_under_autocast_are_of_float32_too(half, fused) -> None:
    """Of the first and of the second order: no product inside is one of half precision."""
    results = []
    for enabled in (False, True):
        inputs = [tensor.requires_grad_() for tensor in layer(fused.device)]
        with torch.autocast(fused.device.type, dtype=half, enabled=enabled):
            values, _ = ops.maxout_linear(*inputs, 3, **draw(fused.device), impl=fused.impl)
            gradients = torch.autograd.grad(values.square().sum(), inputs, create_graph=True)
            total = sum(gradient.square().sum() for gradient in gradients)
            second = torch.autograd.grad(total, inputs)
        results.append((*gradients, *second))
    for got, expected in zip(results[1], results[0], strict=True):
        assert got.dtype == torch.float32
        assert torch.equal(got, expected)


@pytest.mark.parametrize("half", HALF)
def test_the_torch_ops_themselves_have_the_rule(half) -> None:
    inputs = layer(torch.device("cpu"))
    mask = (0.5, torch.tensor(1), torch.tensor(2), 3, 0)
    with torch.autocast("cpu", dtype=half):
        values, winner = maxout_linear_op(*(tensor.to(half) for tensor in inputs), 3, *mask)
        dropped = dropout_op(inputs[0].to(half), *mask)
    singles = [tensor.to(half).float() for tensor in inputs]
    expected, expected_winner = maxout_linear_op(*singles, 3, *mask)
    assert torch.equal(values, expected)
    assert torch.equal(winner, expected_winner)
    assert torch.equal(dropped, dropout_op(singles[0], *mask))


@pytest.mark.parametrize("half", HALF)
def test_momentum_sgd_takes_a_gradient_of_half_precision(half, place) -> None:
    impl, device = place
    results = []
    gradient = randn(4, 6, device=device, seed=2).to(half)
    for enabled in (False, True):
        weight, velocity = randn(2, 4, 6, device=device).unbind()
        given = gradient if enabled else gradient.float()
        with torch.autocast(device.type, dtype=half, enabled=enabled):
            ops.momentum_sgd(weight, velocity, given, 0.1, 0.5, 1.0, impl=impl)
        results.append((weight, velocity))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    small = gradient.clone()
    with (
        torch.autocast(device.type, dtype=half),
        pytest.raises(TypeError, match="weight: expected dtype float32 or float64, got"),
    ):
        ops.momentum_sgd(small, small.clone(), gradient, 0.1, 0.5, impl=impl)
    assert torch.equal(small, gradient)


def test_float64_stays_float64_and_may_not_be_mixed(place) -> None:
    impl, device = place
    inputs = [tensor.double() for tensor in layer(device)]
    expected, _ = ops.maxout_linear(*inputs, 3, impl=impl)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        values, _ = ops.maxout_linear(*inputs, 3, impl=impl)
        assert ops.dropout(inputs[0], **draw(device), impl=impl).dtype == torch.float64
        with pytest.raises(TypeError, match="weight: expected dtype float32 like input, got float"):
            ops.maxout_linear(inputs[0].bfloat16(), *inputs[1:], 3, impl=impl)
    assert torch.equal(values, expected)


def test_without_autocast_half_precision_is_refused(place) -> None:
    impl, device = place
    with pytest.raises(TypeError, match="input: expected dtype float32 or float64, got bfloat16"):
        ops.dropout(randn(2, 3, device=device).bfloat16(), **draw(device), impl=impl)


def test_a_device_that_autocast_does_not_know() -> None:
    meta = torch.device("meta")
    assert not _autocast.is_on(meta)
    half = torch.empty(2, 3, device=meta, dtype=torch.float16)
    with torch.autocast("cpu", dtype=torch.bfloat16), _autocast.switched_off(meta):
        assert _autocast.as_single(half, None, 1.5) == (half, None, 1.5)
        assert _autocast.is_on(torch.device("cpu"))
    with torch.autocast("cpu"), _autocast.switched_off(torch.device("cpu")):
        assert not _autocast.is_on(torch.device("cpu"))


def test_compiles_whole(compiled, fused) -> None:
    """Half precision as inputs: what is rounded and widened inside, inductor leaves unrounded."""
    input, weight, bias = layer(fused.device)
    other = randn(6, 5, device=fused.device, seed=8).bfloat16()
    inputs = [tensor.requires_grad_() for tensor in (input.bfloat16(), weight, bias, other)]

    def function(input, weight, bias, other, seed, step):
        with torch.autocast(fused.device.type, dtype=torch.bfloat16):
            values, _ = ops.maxout_linear(
                input,
                weight,
                bias,
                3,
                include_probability=0.5,
                seed=seed,
                step=step,
                stream=3,
                impl=fused.impl,
            )
            return values, ops.dropout(other, 0.5, seed, step, 4, impl=fused.impl)

    whole = compiled(function)
    for step in range(3):
        counters = [torch.tensor(number, device=fused.device) for number in (7, step)]
        results = []
        for called in (function, whole):
            values, dropped = called(*inputs, *counters)
            gradients = torch.autograd.grad(values.sum() + dropped.sum(), inputs)
            results.append((values, dropped, *gradients))
        for expected, got in zip(*results, strict=True):
            assert got.dtype == expected.dtype
            assert torch.equal(got, expected)
        assert results[1][0].dtype == results[1][1].dtype == torch.float32
    assert compiled.n_late == 0
