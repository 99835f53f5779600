"""maxout_linear: values, winners and gradients against the reference; ties, NaN, fused dropout."""

import itertools
import re

import numpy as np
import pytest
import torch

from fastgan import _core, ops
from fastgan.ops.maxout_linear import maxout_linear_backward_op
from fastgan.reference.maxout_linear import maxout_linear as reference_maxout_linear

SIZES = [1, 3, 7, 15, 16, 17, 65, 1000]
SEED, STEP = torch.tensor(-3), torch.tensor(4)
DRAW = {"include_probability": 0.5, "seed": SEED, "step": STEP, "stream": 5, "first_row": 6}


def layer(
    n: int, n_features: int, n_units: int, n_pieces: int, dtype: torch.dtype = torch.float64
) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(n + 10 * n_features + 100 * n_units)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator).to(dtype)

    return [
        randn(n, n_features),
        randn(n_units * n_pieces, n_features) / n_features**0.5,
        randn(n_units * n_pieces),
    ]


def integer_layer(n: int, n_features: int, n_units: int, n_pieces: int, dtype: torch.dtype):
    """Small integers: every sum is exact in any order, so results must be equal in every bit."""
    generator = torch.Generator().manual_seed(n_units)
    return [
        torch.randint(-3, 4, shape, generator=generator).to(dtype)
        for shape in ((n, n_features), (n_units * n_pieces, n_features), (n_units * n_pieces,))
    ]


def drawn_on(device: torch.device) -> dict[str, object]:
    return {**DRAW, "seed": SEED.to(device), "step": STEP.to(device)}


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


@pytest.mark.parametrize("options", [{}, DRAW], ids=["plain", "dropout"])
@pytest.mark.parametrize("n_pieces", [2, 3, 5])
def test_gradcheck(n_pieces, options) -> None:
    inputs = [tensor.requires_grad_() for tensor in layer(6, 4, 3, n_pieces)]

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
    mm = torch.mm
    monkeypatch.setattr(torch, "mm", lambda a, b: products.append(1) or mm(a, b))
    gradients = torch.autograd.grad(values.sum(), chosen)
    assert len(products) == len(set(wanted) & {0, 1})
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


def good() -> dict[str, object]:
    return {
        "input": torch.ones(2, 3),
        "weight": torch.ones(8, 3),
        "bias": torch.ones(8),
        "n_pieces": 4,
    }


@pytest.mark.parametrize(
    ("wrong", "error", "sentence"),
    [
        ({"input": None}, TypeError, "input: expected a torch.Tensor, got NoneType"),
        (
            {"input": torch.ones(2, 3).half()},
            TypeError,
            "input: expected dtype float32 or float64, got float16",
        ),
        (
            {"input": torch.ones(3)},
            ValueError,
            "input: expected 2 dimensions (n, n_features), got shape (3,)",
        ),
        (
            {"input": torch.ones(2, 0), "weight": torch.ones(8, 0)},
            ValueError,
            "input: expected at least 1 feature, got shape (2, 0)",
        ),
        (
            {"weight": torch.ones(8, 3).double()},
            TypeError,
            "weight: expected dtype float32 like input, got float64",
        ),
        (
            {"weight": torch.ones(8, 3, device="meta")},
            ValueError,
            "weight: expected device cpu like input, got meta",
        ),
        (
            {"weight": torch.ones(8)},
            ValueError,
            "weight: expected 2 dimensions (n_units * n_pieces, n_features), got shape (8,)",
        ),
        (
            {"weight": torch.ones(8, 2)},
            ValueError,
            "weight: expected shape (n_units * n_pieces, n_features) = (8, 3), got shape (8, 2)",
        ),
        (
            {"weight": torch.ones(0, 3)},
            ValueError,
            "weight: expected a multiple of n_pieces = 4 rows, got shape (0, 3)",
        ),
        (
            {"n_pieces": 3},
            ValueError,
            "weight: expected a multiple of n_pieces = 3 rows, got shape (8, 3)",
        ),
        ({"n_pieces": 0}, ValueError, "n_pieces: expected an integer from 1 to 256, got 0"),
        ({"n_pieces": 257}, ValueError, "n_pieces: expected an integer from 1 to 256, got 257"),
        ({"n_pieces": 2.0}, TypeError, "n_pieces: expected an integer, got 2.0"),
        (
            {"bias": torch.ones(7)},
            ValueError,
            "bias: expected shape (n_units * n_pieces,) = (8,), got shape (7,)",
        ),
        ({"bias": None}, TypeError, "bias: expected a torch.Tensor, got NoneType"),
        (
            {"include_probability": -0.5},
            ValueError,
            "include_probability: expected a probability above 0 and at most 1, got -0.5",
        ),
        (
            {"include_probability": 0.5, "step": 1, "stream": 1},
            ValueError,
            "seed: expected a value as include_probability is below 1, got None",
        ),
        (
            {"include_probability": 0.5, "seed": 1, "stream": 1},
            ValueError,
            "step: expected a value as include_probability is below 1, got None",
        ),
        (
            {"include_probability": 0.5, "seed": 1, "step": 1},
            ValueError,
            "stream: expected a value as include_probability is below 1, got None",
        ),
        (
            {"include_probability": 0.5, "seed": 1, "step": -1, "stream": 1},
            ValueError,
            "step: expected an integer from 0 to 4294967295, got -1",
        ),
        (
            {"include_probability": 0.5, "seed": 1, "step": 1, "stream": 1, "first_row": 2**62},
            ValueError,
            "first_row: expected (first_row + n_rows) * n_columns of at most",
        ),
        (
            {"impl": "cuda"},
            ValueError,
            "impl: expected one of auto, reference, native, triton, got",
        ),
    ],
)
def test_wrong_inputs(wrong, error, sentence) -> None:
    with pytest.raises(error, match=re.escape(sentence)):
        ops.maxout_linear(**{**good(), **wrong})
