"""dropout: masks bit-equal to the reference everywhere, drawn again in the backward pass."""

import re

import pytest
import torch

from fastgan import ops
from fastgan.ops import _registry  # noqa: F401  registers the ops
from fastgan.reference import philox
from fastgan.reference.dropout import dropout as reference_dropout

dropout_op = torch.ops.fastgan.dropout.default

SIZES = [1, 3, 7, 15, 16, 17, 1000]
SEED, STEP = torch.tensor(-3), torch.tensor(4)


def randn(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_columns", SIZES)
def test_equals_reference(n_columns, dtype, simd_level, poisoned_memory) -> None:
    for n_rows in (0, 1, 3, 17):
        for include_probability in (0.8, 0.5, 1 / 3, 1e-3):
            input = randn(n_rows, n_columns, dtype=dtype).requires_grad_()
            gradient = randn(n_rows, n_columns, dtype=dtype).flip(0)
            arguments = (input, include_probability, SEED, STEP, 5, 6)
            expected = ops.dropout(*arguments, impl="reference")
            got = ops.dropout(*arguments, impl="native")
            assert got.dtype == dtype
            assert torch.equal(got, expected)
            assert torch.equal(
                torch.autograd.grad(got, input, gradient)[0],
                torch.autograd.grad(expected, input, gradient)[0],
            )


def test_values_are_scaled_or_zero() -> None:
    input = torch.ones(1000, 100)
    output = ops.dropout(input, 0.8, 1, 2, 3)
    assert set(output.unique().tolist()) == {0.0, 1.25}
    kept = (output != 0).double().mean()
    assert abs(kept - 0.8) < 5 * (0.8 * 0.2 / input.numel()) ** 0.5


def test_threshold() -> None:
    assert philox.threshold(1.0) == 2**32
    assert philox.threshold(0.5) == 2**31
    assert philox.threshold(1 - 2**-33) == 2**32  # half to even
    assert philox.threshold(2**-33) == 0
    assert philox.threshold(1.5 * 2**-32) == 2


@pytest.mark.parametrize("impl", ["native", "reference"])
@pytest.mark.parametrize(
    ("include_probability", "n_kept"), [(1 - 2**-40, 4096), (2**-40, 0), (1.0, 4096)]
)
def test_probabilities_at_the_ends(include_probability, n_kept, impl, simd_level) -> None:
    output = ops.dropout(torch.ones(64, 64), include_probability, 1, 2, 3, impl=impl)
    assert int((output != 0).sum()) == n_kept


def test_the_word_at_the_threshold_is_dropped() -> None:
    """A word is kept below the threshold only: both sides of it, for the smallest word drawn."""
    words = philox.words(0, 1000, 1, 2, 3)
    smallest = int(words.min())
    at = int(words.argmin())
    for impl in ("native", "reference"):
        for threshold, n_kept in ((smallest, 0), (smallest + 1, 1)):
            output = ops.dropout(torch.ones(1000), threshold / 2**32, 1, 2, 3, impl=impl)
            assert int((output != 0).sum()) == n_kept
        assert output[at] != 0


def test_probability_one_returns_the_input() -> None:
    input = randn(3, 4)
    assert ops.dropout(input, 1, 1, 2, 3) is input
    assert torch.equal(dropout_op(input, 1.0, SEED, STEP, 3, 0), input)


@pytest.mark.parametrize("impl", ["native", "reference"])
def test_dropped_nan_becomes_zero(impl) -> None:
    output = ops.dropout(torch.full((100,), torch.nan), 0.5, 1, 2, 3, impl=impl)
    kept = philox.keep(0, 100, 0.5, 1, 2, 3)
    assert torch.equal(torch.isnan(output), kept)
    assert torch.equal(output == 0, ~kept)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_part_and_thread_count(dtype, n_threads) -> None:
    input = randn(100, 1003, dtype=dtype)
    whole = reference_dropout(input, 0.5, 1, 2, 3, 7)
    assert torch.equal(ops.dropout(input, 0.5, 1, 2, 3, 7), whole)
    for size in (1, 7, 33):
        parts = [
            ops.dropout(part, 0.5, 1, 2, 3, 7 + size * number)
            for number, part in enumerate(input.split(size))
        ]
        assert torch.equal(torch.cat(parts), whole)


def test_further_dimensions_count_as_columns() -> None:
    input = randn(5, 2, 3, 4)
    flat = ops.dropout(input.flatten(1), 0.5, 1, 2, 3, 9)
    assert torch.equal(ops.dropout(input, 0.5, 1, 2, 3, 9).flatten(1), flat)
    assert torch.equal(ops.dropout(input, 0.5, 1, 2, 3, 9, impl="reference").flatten(1), flat)


def test_not_contiguous() -> None:
    input = randn(30, 20).t()
    gradient = randn(30, 20).t()
    assert not input.is_contiguous()
    expected = ops.dropout(input.contiguous(), 0.5, 1, 2, 3)
    input.requires_grad_()
    got = ops.dropout(input, 0.5, 1, 2, 3)
    assert torch.equal(got, expected)
    got.backward(gradient)
    assert torch.equal(input.grad, ops.dropout(gradient, 0.5, 1, 2, 3))


def test_gradcheck(fused) -> None:
    input = randn(3, 5, dtype=torch.float64).to(fused.device).requires_grad_()
    seed, step = SEED.to(fused.device), STEP.to(fused.device)

    def function(x: torch.Tensor) -> torch.Tensor:
        return ops.dropout(x, 0.6, seed, step, 3, 2, impl=fused.impl)

    assert torch.autograd.gradcheck(function, input)
    assert torch.autograd.gradgradcheck(function, input)


@pytest.mark.parametrize("requires_grad", [False, True])
def test_opcheck(requires_grad, fused) -> None:
    op = getattr(torch.ops.fastgan, "dropout" + fused.suffix).default
    seed, step = SEED.to(fused.device), STEP.to(fused.device)
    for shape in ((5, 7), (0, 3), (4,)):
        input = randn(*shape).to(fused.device).requires_grad_(requires_grad)
        torch.library.opcheck(op, (input, 0.5, seed, step, 3, 1))


def test_compiles_whole_and_once(compiled, fused) -> None:
    def function(x, seed, step):
        return ops.dropout(x * 2, 0.5, seed, step, 3, impl=fused.impl).sin()

    whole = compiled(function)
    for step in range(4):
        x = randn(6, 5).to(fused.device).requires_grad_()
        draw = [torch.tensor(number, device=fused.device) for number in (11 - step, step)]
        expected = function(x, *draw)
        got = whole(x, *draw)
        torch.testing.assert_close(got, expected)
        torch.testing.assert_close(
            torch.autograd.grad(got.sum(), x)[0], torch.autograd.grad(expected.sum(), x)[0]
        )
    assert compiled.n_late == 0


GOOD = {"input": torch.ones(2, 3), "include_probability": 0.5, "seed": 1, "step": 2, "stream": 3}


@pytest.mark.parametrize(
    ("wrong", "error", "sentence"),
    [
        ({"input": [1.0]}, TypeError, "input: expected a torch.Tensor, got list"),
        (
            {"input": torch.ones(2, dtype=torch.int64)},
            TypeError,
            "input: expected dtype float32 or float64, got int64",
        ),
        (
            {"input": torch.ones(2, dtype=torch.complex64)},
            TypeError,
            "input: expected dtype float32 or float64, got complex64",
        ),
        ({"input": torch.tensor(1.0)}, ValueError, "input: expected shape (n_rows, ...), got sha"),
        (
            {"include_probability": 0},
            ValueError,
            "include_probability: expected a probability above 0 and at most 1, got 0",
        ),
        (
            {"include_probability": 1.01},
            ValueError,
            "include_probability: expected a probability above 0 and at most 1, got 1.01",
        ),
        (
            {"include_probability": float("nan")},
            ValueError,
            "include_probability: expected a finite number, got nan",
        ),
        (
            {"include_probability": "half"},
            TypeError,
            "include_probability: expected a number, got 'half'",
        ),
        (
            {"include_probability": True},
            TypeError,
            "include_probability: expected a number, got True",
        ),
        ({"seed": None}, TypeError, "seed: expected an integer, got None"),
        (
            {"seed": torch.tensor(1, device="meta")},
            ValueError,
            "seed: expected device cpu like input, got meta",
        ),
        ({"step": 2**32}, ValueError, "step: expected an integer from 0 to 4294967295, got 42949"),
        (
            {"step": torch.tensor(2**32)},
            ValueError,
            "step: expected an integer from 0 to 4294967295, got 4294967296",
        ),
        ({"stream": 2**32}, ValueError, "stream: expected an integer from 0 to 4294967295, got"),
        ({"first_row": -1}, ValueError, "first_row: expected an integer of at least 0, got -1"),
        ({"first_row": 2**62}, ValueError, "first_row: expected (first_row + n_rows) * n_columns"),
        (
            {"input": torch.ones(2, 3, device="meta"), "impl": "native"},
            ValueError,
            "impl: 'native' runs on the CPU, but the inputs are on meta",
        ),
    ],
)
def test_wrong_inputs(wrong, error, sentence) -> None:
    with pytest.raises(error, match=re.escape(sentence)):
        ops.dropout(**{**GOOD, **wrong})
