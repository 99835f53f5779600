"""The products of a dense layer on the CPU: those of torch.mm, in whatever shape."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fastgan.ops import _products
from fastgan.ops._products import forward_product, input_gradient, weight_gradient

FEATURES = [1, 15, 16, 17, 100]  # by torch.mm, by the native core


@pytest.fixture(autouse=True)
def by_the_core(monkeypatch) -> None:
    """Leave only empty products to torch, of those that are small."""
    monkeypatch.setattr(_products, "_LEAST_PRODUCTS", 1)


def drawn(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("n_features", FEATURES)
@pytest.mark.parametrize("n", [0, 1, 7, 401, 513])
def test_values(n, n_features) -> None:
    """Strided matrices, too, and a delta that is mostly zero."""
    input, weight = drawn(n_features, n).t(), drawn(11, 2 * n_features)[:, ::2]
    delta = drawn(n, 11) * (drawn(n, 11) > 1)
    for got, expected in (
        (forward_product(input, weight), input @ weight.t()),
        (input_gradient(delta, weight), delta @ weight),
        (weight_gradient(delta, input), delta.t() @ input),
    ):
        torch.testing.assert_close(got, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("n_features", FEATURES[2:])
def test_a_long_sum_rounds_seldom(n_features) -> None:
    """100,000 times .1: one running sum in float32 would be off by 1e-3."""
    delta, input = torch.ones(100_000, 3), torch.full((100_000, n_features), 0.1)
    found = weight_gradient(delta, input).double()
    torch.testing.assert_close(
        found, torch.full_like(found, 1e5 * float(input[0, 0])), rtol=2e-5, atol=0.0
    )


@pytest.mark.parametrize("n_features", FEATURES)
def test_errors_beside_torchs(n_features) -> None:
    input, weight, delta = drawn(600, n_features), drawn(240, n_features), drawn(600, 240)
    delta *= drawn(600, 240) > 0.8
    for product, plain, factors in (
        (forward_product, lambda a, b: a @ b.t(), (input, weight)),
        (input_gradient, lambda a, b: a @ b, (delta, weight)),
        (weight_gradient, lambda a, b: a.t() @ b, (delta, input)),
    ):
        single = [factor.float() for factor in factors]
        exact = plain(*(factor.double() for factor in single))
        ours, torchs = ((f(*single).double() - exact).abs().max() for f in (product, plain))
        assert ours <= 2 * torchs
