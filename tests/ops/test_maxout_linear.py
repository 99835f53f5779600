"""maxout_linear: values and winners against the reference; ties, NaN, fused dropout, threads."""

import pytest
import torch
from maxout_cases import DRAW, SEED, STEP, drawn_on, integer_layer, layer

from fastgan import ops
from fastgan.reference.maxout_linear import maxout_linear as reference_maxout_linear

SIZES = [1, 3, 7, 15, 16, 17, 65, 1000]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", [{}, DRAW], ids=["plain", "dropout"])
@pytest.mark.parametrize("n_pieces", [1, 2, 3, 5, 8])
def test_exact_numbers_give_equal_bits(
    n_pieces, options, dtype, simd_level, poisoned_memory
) -> None:
    """With many ties, as the numbers are few."""
    for n_units in SIZES:
        for n in (0, 1, 17, 40) if n_units == 17 else (5,):
            inputs = integer_layer(n, 4, n_units, n_pieces, dtype)
            for tensor in inputs:
                tensor.requires_grad_()
            expected, expected_winner = ops.maxout_linear(
                *inputs, n_pieces, **options, impl="reference"
            )
            values, winner = ops.maxout_linear(*inputs, n_pieces, **options, impl="native")
            assert values.dtype == dtype
            assert winner.dtype == torch.uint8
            assert not winner.requires_grad
            assert torch.equal(values, expected)
            assert torch.equal(winner, expected_winner)
            gradient = torch.arange(n * n_units, dtype=dtype).reshape(n, n_units) % 7 - 3
            for got, wanted in zip(
                torch.autograd.grad(values, inputs, gradient),
                torch.autograd.grad(expected, inputs, gradient),
                strict=True,
            ):
                assert torch.equal(got, wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("is_drawn", [False, True])
@pytest.mark.parametrize("n_pieces", [1, 2, 3, 5, 8])
def test_exact_numbers_give_equal_bits_by_triton(
    n_pieces, is_drawn, dtype, device, poisoned_memory
) -> None:
    pytest.importorskip("triton")
    for n, n_units in ((0, 3), (1, 1), (19, 17)):
        inputs = integer_layer(n, 4, n_units, n_pieces, dtype)
        gradient = torch.arange(n * n_units, dtype=dtype).reshape(n, n_units) % 7 - 3
        results = []
        for impl, place in (("reference", torch.device("cpu")), ("triton", device)):
            tensors = [tensor.to(place).requires_grad_() for tensor in inputs]
            options = drawn_on(place) if is_drawn else {}
            values, winner = ops.maxout_linear(*tensors, n_pieces, **options, impl=impl)
            assert not winner.requires_grad
            gradients = torch.autograd.grad(values, tensors, gradient.to(place))
            results.append([tensor.cpu() for tensor in (values, winner, *gradients)])
        for expected, got in zip(*results, strict=True):
            assert got.dtype == expected.dtype
            assert torch.equal(got, expected)


@pytest.mark.parametrize("n_pieces", [2, 5, 7])
@pytest.mark.parametrize("n_features", [1, 17, 784])
def test_float32_error_is_at_most_twice_torchs(n_pieces, n_features) -> None:
    exact = [tensor.requires_grad_() for tensor in layer(50, n_features, 33, n_pieces)]
    gradient = torch.randn(50, 33, dtype=torch.float64)
    truth, winner = reference_maxout_linear(*exact, n_pieces, **DRAW)
    truths = [truth, *torch.autograd.grad(truth, exact, gradient)]

    def errors(impl: str) -> list[float]:
        inputs = [tensor.detach().float().requires_grad_() for tensor in exact]
        values, won = ops.maxout_linear(*inputs, n_pieces, **DRAW, impl=impl)
        assert torch.equal(won, winner)
        results = [values, *torch.autograd.grad(values, inputs, gradient.float())]
        return [
            (got.double() - wanted).abs().max().item()
            for got, wanted in zip(results, truths, strict=True)
        ]

    for native, plain in zip(errors("native"), errors("reference"), strict=True):
        assert native <= 2 * plain


def test_lowest_of_equal_pieces_wins() -> None:
    for n_pieces in (2, 3, 5):
        inputs = [torch.ones(4, 3), torch.ones(20 * n_pieces, 3), torch.zeros(20 * n_pieces)]
        for impl in ("native", "reference"):
            values, winner = ops.maxout_linear(*inputs, n_pieces, impl=impl)
            assert (winner == 0).all()
            assert (values == 3).all()
    inputs[2][:5] = torch.tensor([0.0, 1.0, 0.0, 1.0, 1.0])
    _, winner = ops.maxout_linear(*inputs, 5)
    assert (winner[:, 0] == 1).all()


@pytest.mark.parametrize("n_pieces", [2, 3, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nan_and_infinity(n_pieces, dtype, simd_level) -> None:
    """The first NaN wins, as in torch.max; infinities are numbers like others."""
    generator = torch.Generator().manual_seed(0)
    choice = torch.tensor([torch.nan, torch.inf, -torch.inf, 0, 1], dtype=dtype)
    bias = choice[torch.randint(0, 5, (200 * n_pieces,), generator=generator)]
    inputs = [torch.zeros(2, 1, dtype=dtype), torch.zeros(200 * n_pieces, 1, dtype=dtype), bias]
    expected, expected_winner = ops.maxout_linear(*inputs, n_pieces, impl="reference")
    values, winner = ops.maxout_linear(*inputs, n_pieces, impl="native")
    assert torch.isnan(values).any()
    torch.testing.assert_close(values, expected, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(winner, expected_winner)


def test_dropout_is_that_of_the_values(simd_level) -> None:
    inputs = layer(30, 5, 17, 3)
    values, winner = ops.maxout_linear(*inputs, 3)
    dropped, same_winner = ops.maxout_linear(*inputs, 3, **DRAW)
    assert torch.equal(dropped, ops.dropout(values, 0.5, SEED, STEP, 5, 6))
    assert torch.equal(winner, same_winner)


@pytest.mark.parametrize("options", [{}, DRAW], ids=["plain", "dropout"])
@pytest.mark.parametrize("n", [100, 3000])
def test_same_bits_for_any_thread_count(n, options) -> None:
    """The layer's own passes; the products are torch's, here of exact numbers."""
    inputs = [tensor.requires_grad_() for tensor in integer_layer(n, 4, 50, 5, torch.float32)]
    gradient = torch.randn(n, 50, generator=torch.Generator().manual_seed(1))
    results = []
    before = torch.get_num_threads()
    for n_threads in (1, 2, 3, 8):
        torch.set_num_threads(n_threads)
        values, winner = ops.maxout_linear(*inputs, 5, **options)
        (of_bias,) = torch.autograd.grad(values, inputs[2:], gradient)
        results.append((values, winner, of_bias))
    torch.set_num_threads(before)
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))


def test_any_part_equals_the_whole() -> None:
    inputs = integer_layer(100, 4, 33, 5, torch.float32)
    whole, winner = ops.maxout_linear(*inputs, 5, **DRAW)
    for size in (1, 7, 33):
        parts = [
            ops.maxout_linear(part, *inputs[1:], 5, **{**DRAW, "first_row": 6 + size * number})
            for number, part in enumerate(inputs[0].split(size))
        ]
        assert torch.equal(torch.cat([values for values, _ in parts]), whole)
        assert torch.equal(torch.cat([won for _, won in parts]), winner)


def test_not_contiguous() -> None:
    input, weight, bias = integer_layer(12, 4, 6, 3, torch.float64)
    expected = ops.maxout_linear(input, weight, bias, 3)
    strided = [
        input.t().contiguous().t(),
        weight.t().contiguous().t(),
        torch.stack((bias, bias), dim=1)[:, 0],
    ]
    assert not any(tensor.is_contiguous() for tensor in strided)
    got = ops.maxout_linear(*strided, 3)
    assert torch.equal(got[0], expected[0])
    assert torch.equal(got[1], expected[1])
    strided = [tensor.requires_grad_() for tensor in strided]
    ops.maxout_linear(*strided, 3)[0].sum().backward()  # an expanded, non-contiguous gradient


def test_compiles_whole_and_once(compiled, fused) -> None:
    inputs = [tensor.to(fused.device).requires_grad_() for tensor in layer(6, 4, 3, 5)]

    def function(input, weight, bias, seed, step):
        values, _ = ops.maxout_linear(
            input * 2,
            weight,
            bias,
            5,
            include_probability=0.5,
            seed=seed,
            step=step,
            stream=3,
            impl=fused.impl,
        )
        return values.sin()

    whole = compiled(function)
    for step in range(4):
        draw = [torch.tensor(value, device=fused.device) for value in (11 - step, step)]
        expected, got = function(*inputs, *draw), whole(*inputs, *draw)
        torch.testing.assert_close(got, expected)
        for one, other in zip(
            torch.autograd.grad(got.sum(), inputs),
            torch.autograd.grad(expected.sum(), inputs),
            strict=True,
        ):
            torch.testing.assert_close(one, other)
    assert compiled.n_late == 0
