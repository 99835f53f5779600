"""The emulated products, against the same rules in whole numbers and fractions."""

from __future__ import annotations

import importlib
import math
from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

EDGES = [0.0, 1.0, -1.0, 1.0 + 2**-11, 1.0 + 2**-12, -1.0 - 3 * 2**-11, 1.5, 3.0e7, 2.0 - 2**-23]
EDGES += [1.0 + 2**-8, 1.0 + 3 * 2**-8, 1.0 + 2**-8 + 2**-20, -(2.0 - 2**-9), 2.0**-60]


@pytest.fixture(scope="module")
def products(harness: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.split_precision.products")


def values(n: int, seed: int = 0) -> np.ndarray:
    """Return numbers of many magnitudes, some zero."""
    draw = np.random.default_rng(seed)
    found = draw.standard_normal(n) * 2.0 ** draw.integers(-6, 7, n) * (draw.random(n) < 0.9)
    return found.astype(np.float32)


def exponent(value: Fraction) -> int:
    """Return the exponent of the largest power of two not above a number's size."""
    return math.frexp(float(abs(value)))[1] - 1  # exact for what is tested: no rounding up


def cut(value: Fraction, last: int) -> Fraction:
    """Cut a number off below 2^last, toward zero."""
    whole = abs(value) / Fraction(2) ** last
    size = (whole.numerator // whole.denominator) * Fraction(2) ** last
    return size if value >= 0 else -size


def test_tf32_is_rounded_to_nearest_ties_away_or_cut(products: ModuleType) -> None:
    numbers = np.concatenate([np.array(EDGES, np.float32), values(2_000)])
    rounded, short = products.round_to_tf32(numbers), products.cut_to_tf32(numbers)
    for number, found, less in zip(numbers.tolist(), rounded.tolist(), short.tolist(), strict=True):
        if number == 0.0:
            assert (found, less) == (0.0, 0.0)
            continue
        last = exponent(Fraction(number)) - 10
        half = Fraction(2) ** (last - 1) * (1 if number > 0 else -1)
        assert Fraction(found) == cut(Fraction(number) + half, last)
        assert Fraction(less) == cut(Fraction(number), last)


def test_bf16_is_rounded_as_torch_rounds(products: ModuleType) -> None:
    numbers = np.concatenate([np.array(EDGES, np.float32), values(2_000)])
    expected = torch.from_numpy(numbers).to(torch.bfloat16).float().numpy()
    assert np.array_equal(products.round_to_bf16(numbers), expected)


def test_float64_is_cut_to_float32_toward_zero(products: ModuleType) -> None:
    wide = np.array([1.0 + 2**-24, -1.0 - 2**-24, 1.0 + 2**-23, 0.0, -(2.0 - 2**-30), 5e-20])
    found = products.cut_to_float32(wide)
    assert found[:5].tolist() == [1.0, -1.0, 1.0 + 2**-23, 0.0, -(2.0 - 2**-23)]
    assert 0 <= 5e-20 - float(found[5]) < 5e-20 * 2**-23


def summed(a: list[float], b: list[float], start: float, n_terms: int, extra_bits: int) -> float:
    """Add as the tensor core does, in fractions: the rule once more, number by number."""
    total = Fraction(start)
    for first in range(0, len(a), n_terms):
        pairs = zip(a[first : first + n_terms], b[first : first + n_terms], strict=True)
        terms = [total, *(Fraction(x) * Fraction(y) for x, y in pairs)]
        if not any(terms):
            continue
        last = max(exponent(term) for term in terms if term) - 23 - extra_bits
        total = sum((cut(term, last) for term in terms), start=Fraction(0))
        if total:
            total = cut(total, exponent(total) - 23)
    return float(total)


@pytest.mark.parametrize("chip", ["sm_80", "sm_90", "coarsest"])
@pytest.mark.parametrize("n_features", [1, 3, 8, 21])
def test_sums_are_cut_as_said(products: ModuleType, chip: str, n_features: int) -> None:
    core = products.COARSEST if chip == "coarsest" else products.CHIPS[chip]
    a = products.cut_to_tf32(values(5 * n_features)).reshape(5, n_features)
    b = products.cut_to_tf32(values(4 * n_features, seed=1)).reshape(n_features, 4)
    start = values(20, seed=2).reshape(5, 4)
    found = products.dot(a, b, start, "tf32", core)
    for i in range(5):
        for j in range(4):
            pair = a[i].tolist(), b[:, j].tolist()
            right = summed(*pair, float(start[i, j]), core.tf32_terms, core.extra_bits)
            assert float(found[i, j]) == right


def tf32_parts(products: ModuleType, value: np.float32) -> list[list[float]]:
    big = products.round_to_tf32(np.array([value]))
    return [big.tolist(), products.cut_to_tf32(np.array([value]) - big).tolist()]


def bf16_parts(_: ModuleType, value: np.float32) -> list[list[float]]:
    rest, found = torch.tensor([value]), []
    for _ in range(3):
        found.append(rest.to(torch.bfloat16).float())
        rest = rest - found[-1]
    return [part.tolist() for part in found]


@pytest.mark.parametrize(
    ("precision", "split", "n_terms", "order"),
    [
        ("tf32x3", tf32_parts, 4, ((1, 0), (0, 1), (0, 0))),
        ("bf16x3", bf16_parts, 8, ((1, 0), (0, 1), (0, 0))),
        ("bf16x6", bf16_parts, 8, ((1, 1), (2, 0), (0, 2), (1, 0), (0, 1), (0, 0))),
    ],
)
def test_a_split_product_adds_its_parts_from_the_smallest(
    products: ModuleType, precision: str, split: Any, n_terms: int, order: Any
) -> None:
    """Number by number: the order that Triton compiles, from zero; the accumulator last."""
    core = products.CHIPS["sm_80"]
    for x, y, start in values(150).reshape(50, 3):
        left, right = split(products, x), split(products, y)
        total = 0.0
        for i, j in order:
            total = summed(left[i], right[j], total, n_terms, 1)
        arrays = [np.array([[v]], np.float32) for v in (x, y, start)]
        assert products.dot(*arrays, precision, core)[0, 0] == np.float32(total) + start


def test_ieee_is_a_chain_in_the_order_of_the_features(products: ModuleType) -> None:
    a, b, start = values(9), values(9, seed=1), values(1, seed=2)
    total = float(start[0])
    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        total = float(np.float32(x * y + total))
    found = products.dot(a[None], b[:, None], start[None], "ieee", products.COARSEST)
    assert float(found[0, 0]) == total


@pytest.mark.parametrize("precision", ["tf32", "tf32x3", "bf16x3", "bf16x6", "ieee"])
def test_tiles_and_tails_do_not_change_a_product(products: ModuleType, precision: str) -> None:
    queries = values(70 * 75).reshape(70, 75)
    rows = values(66 * 75, seed=1).reshape(66, 75)
    core = products.CHIPS["sm_90"]
    found = products.product(queries, rows, precision, core)
    for i, j in ((0, 0), (63, 64), (69, 65), (64, 3)):
        total = np.zeros((1, 1), np.float32)
        for first in (0, 32, 64):
            a = queries[i : i + 1, first : first + 32]
            b = rows[j : j + 1, first : first + 32].T
            total = products.dot(a, b, total, precision, core)
        assert found[i, j] == total[0, 0]


# What the operands lose at most, in units of 2^-24 of the product's size. tf32: each is cut by
# 2^-10. bf16x3: each lacks 2^-17, and mid mid, 2^-18, is dropped. tf32x3: each small part, at most
# 2^-11, is cut by 2^-10 of itself; small small, 2^-22, is dropped. bf16x6: 2^-25 each, mid small.
OPERANDS = {"tf32": 2.0**15, "bf16x3": 2.0**8 + 2.0**6, "tf32x3": 20.0, "bf16x6": 2.0, "ieee": 0.0}
N_FEATURES = 160


@pytest.mark.parametrize("precision", list(OPERANDS))
@pytest.mark.parametrize("chip", ["sm_80", "sm_90", "sm_100"])
def test_each_product_is_as_good_as_its_bits(
    products: ModuleType, precision: str, chip: str
) -> None:
    draw = np.random.default_rng(3)
    queries, rows = (draw.standard_normal((40, N_FEATURES)).astype(np.float32) for _ in range(2))
    wide = [part.astype(np.float64) for part in (queries, rows)]

    def largest_error(precision: str) -> float:
        found = products.product(queries, rows, precision, products.CHIPS[chip])
        sizes = np.abs(wide[0]) @ np.abs(wide[1]).T
        return float((np.abs(found - wide[0] @ wide[1].T) / sizes).max()) * 2.0**24

    error = largest_error(precision)
    assert error <= OPERANDS[precision] + N_FEATURES  # a sum of n terms: n roundings
    if precision in ("tf32", "bf16x3"):  # the test can tell them apart
        assert error > 4 * largest_error("ieee")
    else:
        assert error <= 2 * largest_error("ieee")


@pytest.mark.parametrize("place", ["a", "b", "accumulator"])
def test_numbers_that_are_not_finite_are_refused(products: ModuleType, place: str) -> None:
    arrays = {name: np.ones((2, 2), np.float32) for name in ("a", "b", "accumulator")}
    arrays[place][1, 0] = np.inf
    with pytest.raises(ValueError, match=f"^{place}: expected finite numbers$"):
        products.dot(**arrays, precision="tf32x3", chip=products.COARSEST)


def test_an_unknown_precision_is_refused(products: ModuleType) -> None:
    one = np.ones((1, 1), np.float32)
    with pytest.raises(ValueError, match=r"^precision: expected one of tf32, .* got 'fp8'$"):
        products.dot(one, one, one, "fp8", products.COARSEST)
