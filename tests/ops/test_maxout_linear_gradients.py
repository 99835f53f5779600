"""maxout_linear's gradients: by differences, second ones, those wanted alone; torch's opcheck."""

import itertools

import numpy as np
import pytest
import torch
from maxout_cases import DRAW, SEED, STEP, drawn_on, layer

from fastgan import _core, ops
from fastgan.ops import _maxout_linear_backward, _products
from fastgan.ops.maxout_linear import maxout_linear_backward_op


@pytest.mark.parametrize("options", [{}, DRAW], ids=["plain", "dropout"])
@pytest.mark.parametrize(("n_pieces", "n_features"), [(2, 4), (3, 4), (5, 4), (2, 19)])
def test_gradcheck(n_pieces, n_features, options, monkeypatch) -> None:
    monkeypatch.setattr(_products, "_LEAST_PRODUCTS", 1)
    inputs = [tensor.requires_grad_() for tensor in layer(6, n_features, 3, n_pieces)]

    def function(*tensors: torch.Tensor) -> torch.Tensor:
        return ops.maxout_linear(*tensors, n_pieces, **options)[0]

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("is_drawn", [False, True])
def test_gradcheck_by_triton(is_drawn, device) -> None:
    """In few dimensions, and along random ones: the interpreter takes a millisecond a call."""
    pytest.importorskip("triton")
    inputs = [tensor.to(device).requires_grad_() for tensor in layer(3, 2, 2, 3)]
    options = drawn_on(device) if is_drawn else {}

    def function(*tensors: torch.Tensor) -> torch.Tensor:
        return ops.maxout_linear(*tensors, 3, **options, impl="triton")[0]

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)


@pytest.mark.parametrize("fixed", [(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2)], ids=str)
def test_gradcheck_of_the_backward_pass(fixed) -> None:
    """By those of gradient, input and weight that are not fixed; all its results are wanted."""
    input, weight, _ = layer(4, 3, 3, 2)
    gradient, winner = torch.randn(4, 3).double(), torch.arange(12).reshape(4, 3) % 2
    tensors = [gradient, input, weight]
    free = [t.requires_grad_() for number, t in enumerate(tensors) if number not in fixed]

    def function(*_: torch.Tensor) -> tuple[torch.Tensor, ...]:
        others = (2, 0.5, SEED, STEP, 5, 6)
        return maxout_linear_backward_op(
            gradient, winner.to(torch.uint8), input, weight, True, *others
        )

    assert torch.autograd.gradcheck(function, free)
    assert torch.autograd.gradgradcheck(function, free)


WANTED = [number for number in itertools.product((False, True), repeat=3) if any(number)]


@pytest.mark.parametrize("wanted", WANTED, ids=str)
def test_second_derivatives_of_any_of_the_tensors(wanted, fused) -> None:
    """The backward op leaves out what is not wanted, and its own backward pass does too."""
    results = []
    for impl in ("reference", fused.impl):
        device = torch.device("cpu") if impl == "reference" else fused.device
        inputs = [tensor.to(device) for tensor in layer(7, 5, 4, 3)]
        chosen = [t.requires_grad_() for t, needed in zip(inputs, wanted, strict=True) if needed]
        values, _ = ops.maxout_linear(*inputs, 3, **drawn_on(device), impl=impl)
        gradients = torch.autograd.grad(values.sin().sum(), chosen, create_graph=True)
        total = sum(gradient.exp().sum() for gradient in gradients)
        second = torch.autograd.grad(total, chosen, create_graph=True)
        third = torch.autograd.grad(sum(part.square().sum() for part in second), chosen)
        results.append([part.cpu() for part in (*gradients, *second, *third)])
    for got, expected in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 2), (1, 2)])
def test_only_the_wanted_gradients_are_computed(wanted, monkeypatch) -> None:
    inputs = layer(6, 4, 3, 2)
    for number in wanted:
        inputs[number].requires_grad_()
    values, _ = ops.maxout_linear(*inputs, 2)
    expected, _ = ops.maxout_linear(*inputs, 2, impl="reference")
    chosen = [inputs[number] for number in wanted]
    wanted_gradients = torch.autograd.grad(expected.sum(), chosen)
    products = []
    for name in ("input_gradient", "weight_gradient"):
        product = getattr(_maxout_linear_backward, name)
        monkeypatch.setattr(
            _maxout_linear_backward,
            name,
            lambda a, b, product=product, name=name: products.append(name) or product(a, b),
        )
    gradients = torch.autograd.grad(values.sum(), chosen)
    names = {0: "input_gradient", 1: "weight_gradient"}
    assert products == [name for number, name in names.items() if number in wanted]
    for got, gradient in zip(gradients, wanted_gradients, strict=True):
        torch.testing.assert_close(got, gradient)
    assert all(tensor.grad is None for tensor in inputs)


def test_bias_gradient_is_summed_in_double(fused) -> None:
    """100,000 rows of .1: a float32 running sum would be off by 1e-3 and more; 5,000, by 1e-6."""
    n = 100_000 if fused.impl == "native" else 5_000
    op = getattr(torch.ops.fastgan, "maxout_linear_backward" + fused.suffix).default
    gradient = torch.full((n, 1), 0.1, device=fused.device)
    winner = torch.zeros(n, 1, dtype=torch.uint8, device=fused.device)
    of_bias = op(gradient, winner, None, None, True, 2, 1.0, None, None, 0, 0)[2]
    assert of_bias[0] == (n * torch.tensor(0.1).double()).float()
    assert of_bias[1] == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("include_probability", [1.0, 0.5])
def test_one_row_of_gradient_is_that_of_every_row(
    include_probability, dtype, simd_level, n_threads
) -> None:
    """Of the native core; with a bias gradient or without one, the delta is the same."""
    random = np.random.default_rng(0)
    for n, n_units, n_pieces in [(1, 1, 1), (5, 17, 2), (100, 33, 5), (40, 100, 7)]:
        winner = random.integers(0, n_pieces, (n, n_units), np.uint8)
        one_row = random.standard_normal((1, n_units)).astype(dtype)
        results = []
        for gradient in (one_row, np.repeat(one_row, n, axis=0)):
            for has_bias in (True, False):
                delta = np.full((n, n_units * n_pieces), np.nan, dtype)
                bias = np.full(n_units * n_pieces, np.nan, dtype) if has_bias else None
                mask = (include_probability, -3, 4, 5, 6)
                _core.maxout_backward(gradient, winner, delta, bias, n_pieces, *mask, n_threads)
                results.append(delta)
                if has_bias:
                    sums = delta.sum(axis=0, dtype=np.float64)
                    # in double, in another order, and rounded once
                    np.testing.assert_allclose(
                        bias, sums, rtol=np.finfo(dtype).eps, atol=n * 4e-16 * np.abs(delta).max()
                    )
        for delta in results:
            assert delta.tobytes() == results[0].tobytes()
        assert np.count_nonzero(delta) <= n * n_units


@pytest.mark.parametrize("wrong", [2, 0])
def test_gradient_of_another_number_of_rows_is_refused(wrong) -> None:
    arrays = [np.zeros((wrong, 3)), np.zeros((4, 3), np.uint8), np.zeros((4, 6)), None]
    with pytest.raises(ValueError, match=f"gradient: expected size 4, got {wrong}"):
        _core.maxout_backward(*arrays, 2, 1.0, 0, 0, 0, 0, 1)


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("is_drawn", [False, True])
def test_opcheck(is_drawn, requires_grad, fused) -> None:
    options: tuple = (1.0, None, None, 0, 0)
    if is_drawn:
        options = (0.5, SEED.to(fused.device), STEP.to(fused.device), 3, 1)
    op = getattr(torch.ops.fastgan, "maxout_linear" + fused.suffix).default
    for n in (5, 0):
        inputs = [
            tensor.to(fused.device).requires_grad_(requires_grad) for tensor in layer(n, 4, 3, 2)
        ]
        torch.library.opcheck(op, (*inputs, 2, *options))


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("wanted", WANTED, ids=str)
def test_opcheck_of_the_backward_pass(wanted, requires_grad, fused) -> None:
    needs_input, needs_weight, needs_bias = wanted
    op = getattr(torch.ops.fastgan, "maxout_linear_backward" + fused.suffix).default
    draw = (0.5, SEED.to(fused.device), STEP.to(fused.device), 3, 1)
    for n in (5, 0) if all(wanted) else (5,):
        input, weight, _ = (
            tensor.to(fused.device).requires_grad_(requires_grad) for tensor in layer(n, 4, 3, 2)
        )
        gradient = torch.randn(n, 3, dtype=torch.float64, device=fused.device)
        winner = torch.arange(n * 3, device=fused.device).reshape(n, 3) % 2
        arguments = (
            gradient.requires_grad_(requires_grad),
            winner.to(torch.uint8),
            input if needs_weight else None,
            weight if needs_input else None,
            needs_bias,
        )
        torch.library.opcheck(op, (*arguments, 2, *draw))
