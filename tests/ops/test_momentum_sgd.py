"""momentum_sgd: the update and the limit on row norms against the reference, in place."""

import copy
import re

import pytest
import torch

from fastgan import backends, ops
from fastgan.reference.momentum_sgd import NORM_EPSILON

SIZES = [1, 3, 7, 15, 16, 17, 1000]


def number(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def state(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(*shape, dtype=torch.float64, generator=generator).to(dtype) for _ in range(3)
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_columns", SIZES)
def test_update_equals_reference(n_columns, dtype, simd_level) -> None:
    """Each operation is rounded once on both sides: equal bits."""
    for shape in ((n_columns,), (3, n_columns), (0, n_columns), (2, 3, n_columns)):
        weight, velocity, gradient = state(*shape, dtype=dtype)
        expected = [weight.clone(), velocity.clone()]
        ops.momentum_sgd(*expected, gradient, 0.1, 0.7, impl="reference")
        kept = gradient.clone()
        assert ops.momentum_sgd(weight, velocity, gradient, 0.1, 0.7, impl="native") is None
        assert torch.equal(weight, expected[0])
        assert torch.equal(velocity, expected[1])
        assert torch.equal(gradient, kept)


@pytest.mark.parametrize("n_columns", SIZES)
@pytest.mark.parametrize("max_norm", [0.5, 1.9365, 100.0])
def test_max_norm_equals_reference(n_columns, max_norm, simd_level) -> None:
    weight, velocity, gradient = state(5, n_columns)
    expected = [weight.clone(), velocity.clone()]
    ops.momentum_sgd(*expected, gradient, 0.1, 0.7, max_norm, impl="reference")
    ops.momentum_sgd(weight, velocity, gradient, 0.1, 0.7, max_norm, impl="native")
    assert torch.equal(velocity, expected[1])
    # The norm's sum, in another order: n_columns 2^-53 at most (half of it after the root); the
    # factor and the product: 3 more.
    torch.testing.assert_close(weight, expected[0], rtol=(n_columns + 6) * 2.0**-53, atol=0)
    assert (weight.norm(dim=1) <= max_norm).all()


@pytest.mark.parametrize("max_norm", [None, 1.9365])
def test_float32_error_is_at_most_twice_torchs(max_norm) -> None:
    exact = state(20, 784)
    exact = [tensor.float().double() for tensor in exact]
    single = {impl: [tensor.float() for tensor in exact] for impl in ("native", "reference")}
    for _ in range(5):
        ops.momentum_sgd(*exact, 0.1, 0.7, max_norm, impl="reference")
        for impl, tensors in single.items():
            ops.momentum_sgd(*tensors, 0.1, 0.7, max_norm, impl=impl)
    for number_of_tensor in (0, 1):
        native, plain = (
            (single[impl][number_of_tensor].double() - exact[number_of_tensor]).abs().max()
            for impl in ("native", "reference")
        )
        assert native <= 2 * plain


def test_formula_by_hand() -> None:
    weight = torch.tensor([[3.0, 4.0], [0.3, 0.4]], dtype=torch.float64)
    velocity = torch.tensor([[1.0, 2.0], [0.0, 0.0]], dtype=torch.float64)
    gradient = torch.tensor([[10.0, 20.0], [0.0, 0.0]], dtype=torch.float64)
    ops.momentum_sgd(weight, velocity, gradient, 0.05, 0.5, 2.5)
    # v = .5 v - .05 g = 0; w stays, norms 5 and .5
    assert torch.equal(velocity, torch.zeros(2, 2, dtype=torch.float64))
    expected = torch.tensor(
        [
            [3 * 2.5 / (NORM_EPSILON + 5), 4 * 2.5 / (NORM_EPSILON + 5)],
            [0.3 * 0.5 / (NORM_EPSILON + 0.5), 0.4 * 0.5 / (NORM_EPSILON + 0.5)],
        ],
        dtype=torch.float64,
    )
    torch.testing.assert_close(weight, expected, rtol=1e-15, atol=0)


def test_a_zero_row_stays_zero_and_nan_stays_in_its_row() -> None:
    for impl in ("native", "reference"):
        weight, velocity, gradient = torch.zeros(3, 5), torch.zeros(3, 5), torch.zeros(3, 5)
        gradient[1, 2] = torch.nan
        ops.momentum_sgd(weight, velocity, gradient, 0.1, 0.5, 1.0, impl=impl)
        assert torch.isnan(weight[1]).all()  # its norm is NaN, and it shows
        assert (weight[[0, 2]] == 0).all()


def test_large_rows_do_not_overflow_float32() -> None:
    for impl in ("native", "reference"):
        weight = torch.full((1, 4), 1e30)
        ops.momentum_sgd(weight, torch.zeros(1, 4), torch.zeros(1, 4), 0.1, 0.5, 2.0, impl=impl)
        torch.testing.assert_close(weight, torch.ones(1, 4))


@pytest.mark.parametrize("max_norm", [None, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_same_bits_for_any_thread_count_and_level(max_norm, dtype) -> None:
    results = []
    before = torch.get_num_threads()
    for level in backends.simd_levels():
        backends.force_simd_level(level)
        for n_threads in (1, 2, 3, 8):
            torch.set_num_threads(n_threads)
            weight, velocity, gradient = state(300, 701, dtype=dtype)
            ops.momentum_sgd(weight, velocity, gradient, 0.1, 0.7, max_norm)
            results.append((weight, velocity))
    torch.set_num_threads(before)
    backends.force_simd_level("auto")
    for weight, velocity in results[1:]:
        assert torch.equal(weight, results[0][0])
        assert torch.equal(velocity, results[0][1])


@pytest.mark.parametrize("impl", ["native", "reference"])
def test_parameters_are_updated_without_a_tape(impl) -> None:
    weight = torch.nn.Parameter(torch.ones(3, 4))
    velocity, gradient = torch.zeros(3, 4), torch.ones(3, 4)
    version = weight._version
    ops.momentum_sgd(weight, velocity, gradient, 0.5, 0.5, 100.0, impl=impl)
    torch.testing.assert_close(weight.detach(), torch.full((3, 4), 0.5))
    assert weight.grad_fn is None
    assert weight.requires_grad
    assert weight._version > version


@pytest.mark.parametrize("impl", ["native", "reference"])
def test_overwriting_a_saved_tensor_is_noticed(impl) -> None:
    weight = torch.nn.Parameter(torch.ones(3, 4))
    output = (torch.ones(2, 3) @ weight).exp() @ weight.t()
    ops.momentum_sgd(weight, torch.zeros(3, 4), torch.ones(3, 4), 0.5, 0.5, impl=impl)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


def test_in_inference_mode() -> None:
    with torch.inference_mode():
        weight, velocity = torch.ones(2, 2), torch.zeros(2, 2)
        ops.momentum_sgd(weight, velocity, torch.ones(2, 2), 0.5, 0.5)
        assert (weight == 0.5).all()


@pytest.mark.parametrize("impl", ["native", "reference"])
def test_tensors_and_numbers_agree(impl) -> None:
    numbers, tensors = state(4, 5), state(4, 5)
    ops.momentum_sgd(*numbers, 0.1, 0.7, 1.0, impl=impl)
    ops.momentum_sgd(*tensors, number(0.1), number(0.7), 1.0, impl=impl)
    assert torch.equal(numbers[0], tensors[0])


def test_gradient_need_not_be_contiguous() -> None:
    weight, velocity, gradient = state(6, 5)
    expected = [weight.clone(), velocity.clone()]
    ops.momentum_sgd(*expected, gradient, 0.1, 0.7, 1.0)
    ops.momentum_sgd(weight, velocity, gradient.t().contiguous().t(), 0.1, 0.7, 1.0)
    assert torch.equal(weight, expected[0])


def test_opcheck(fused) -> None:
    op = getattr(torch.ops.fastgan, "momentum_sgd" + fused.suffix).default
    numbers = [number(value).to(fused.device) for value in (0.1, 0.7)]
    for shape, max_norm in (((4, 5), 1.0), ((4, 5), None), ((7,), None), ((0, 3), 1.0)):
        tensors = [tensor.to(fused.device) for tensor in state(*shape)]
        torch.library.opcheck(op, (*tensors, *numbers, max_norm))


def test_compiles_whole_and_once(compiled, fused) -> None:
    def function(weight, velocity, gradient, lr, momentum):
        ops.momentum_sgd(weight, velocity, gradient * 2, lr, momentum, 1.0, impl=fused.impl)
        return weight.sum()

    whole = compiled(function)
    plain, fast = ([tensor.to(fused.device) for tensor in state(4, 5)] for _ in range(2))
    for update in range(4):
        numbers = [
            number(value).to(fused.device) for value in (0.1 / (update + 1), 0.5 + update / 10)
        ]
        torch.testing.assert_close(
            whole(*fast, *numbers), function(*plain, *numbers), rtol=1e-14, atol=1e-14
        )
        torch.testing.assert_close(fast, plain, rtol=1e-14, atol=1e-14)
    assert compiled.n_late == 0


def good() -> dict[str, object]:
    return {
        "weight": torch.ones(2, 3),
        "velocity": torch.ones(2, 3),
        "gradient": torch.ones(2, 3),
        "lr": 0.1,
        "momentum": 0.5,
    }


@pytest.mark.parametrize(
    ("wrong", "error", "sentence"),
    [
        ({"weight": 1.0}, TypeError, "weight: expected a torch.Tensor, got float"),
        (
            {"weight": torch.ones(2, 3, dtype=torch.int32)},
            TypeError,
            "weight: expected dtype float32 or float64, got int32",
        ),
        (
            {"velocity": torch.ones(2, 3).double()},
            TypeError,
            "velocity: expected dtype float32 like weight, got float64",
        ),
        (
            {"velocity": torch.ones(3, 2)},
            ValueError,
            "velocity: expected shape that of weight = (2, 3), got shape (3, 2)",
        ),
        (
            {"gradient": torch.ones(6)},
            ValueError,
            "gradient: expected shape that of weight = (2, 3), got shape (6,)",
        ),
        (
            {"gradient": torch.ones(2, 3, device="meta")},
            ValueError,
            "gradient: expected device cpu like weight, got meta",
        ),
        (
            {"weight": torch.ones(3, 2).t()},
            ValueError,
            "weight: expected a contiguous tensor, as it is written in place, "
            "got strides (1, 2) for shape (2, 3)",
        ),
        ({"velocity": torch.ones(3, 2).t()}, ValueError, "velocity: expected a contiguous tensor"),
        ({"lr": float("nan")}, ValueError, "lr: expected a finite number, got nan"),
        ({"momentum": float("inf")}, ValueError, "momentum: expected a finite number, got inf"),
        ({"lr": "fast"}, TypeError, "lr: expected a number, got 'fast'"),
        ({"lr": number(float("nan"))}, ValueError, "lr: expected a finite number, got nan"),
        ({"lr": torch.tensor(0.1)}, TypeError, "lr: expected dtype float64, got float32"),
        (
            {"momentum": number(0.5)[None]},
            ValueError,
            "momentum: expected 0 dimensions, got shape (1,)",
        ),
        ({"max_norm": 0}, ValueError, "max_norm: expected a number above 0, got 0"),
        (
            {"max_norm": float("inf")},
            ValueError,
            "max_norm: expected a finite number, got inf",
        ),
        (
            {
                "weight": torch.ones(6),
                "velocity": torch.ones(6),
                "gradient": torch.ones(6),
                "max_norm": 1.0,
            },
            ValueError,
            "weight: expected 2 dimensions (n_rows, n_features) with max_norm, got shape (6,)",
        ),
        ({"impl": ""}, ValueError, "impl: expected one of auto, reference, native, triton, got ''"),
    ],
)
def test_wrong_inputs(wrong, error, sentence) -> None:
    arguments = {**good(), **wrong}
    before = copy.deepcopy(arguments["weight"])
    with pytest.raises(error, match=re.escape(sentence)):
        ops.momentum_sgd(**arguments)
    if isinstance(before, torch.Tensor):
        assert torch.equal(arguments["weight"], before)
