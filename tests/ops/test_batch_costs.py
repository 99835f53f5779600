"""batch_costs: the costs of a batch and their derivatives, to the ends of what a logit can be."""

import math

import numpy as np
import pytest
import torch

from fastgan import _core
from fastgan.costs import discriminator_cost, generator_cost, logit_gradients

DTYPES = [np.float32, np.float64]
COSTS = ["non_saturating", "saturating"]
FINITE = [0.0, -0.0, 1.0, -1.0, 0.3, -2.5, 17.0, -17.0, 40.0, -40.0, 100.0, -100.0, 1e4, -1e4]
ENDS = [*FINITE, math.inf, -math.inf]
EPS = np.finfo(np.float64).eps


def batch_costs(real, fake, cost, dtype=np.float64):
    """Return the four means and the two gradients; the logits are held unchanged."""
    logits = np.array([*real, *fake], dtype)[:, None]
    n = len(fake)
    gradients = [np.full(2 * n, np.nan, dtype), np.full(n, np.nan, dtype)]
    before = logits.copy()
    means = _core.batch_costs(logits, cost == "saturating", *gradients)
    np.testing.assert_array_equal(logits, before)
    return means, gradients


def exact(real, fake, cost):
    """Return the same by torch in float64, the gradients by autograd."""
    real, fake = (torch.tensor(of, dtype=torch.float64, requires_grad=True) for of in (real, fake))
    costs = [discriminator_cost(real, fake), generator_cost(fake, cost)]
    gradients = [
        torch.cat(torch.autograd.grad(costs[0], (real, fake))),
        *torch.autograd.grad(costs[1], fake),
    ]
    values = (*costs, real.sigmoid().mean(), fake.sigmoid().mean())
    means = [float(value.detach()) for value in values]
    return means, [gradient.numpy() for gradient in gradients]


@pytest.mark.parametrize("cost", COSTS)
def test_each_finite_logit(cost) -> None:
    """One row at a time: no large term hides a small one. Autograd's slope may cancel: 2 eps."""
    for real in FINITE:
        for fake in FINITE:
            means, gradients = batch_costs([real], [fake], cost)
            expected, expected_gradients = exact([real], [fake], cost)
            np.testing.assert_allclose(means, expected, rtol=8 * EPS, atol=0)
            for got, wanted in zip(gradients, expected_gradients, strict=True):
                np.testing.assert_allclose(got, wanted, rtol=8 * EPS, atol=2 * EPS)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cost", COSTS)
def test_gradients_are_right_to_their_last_places(cost, dtype) -> None:
    """By the formulas, whose sigmoids of a negative number keep every place."""
    real, fake = FINITE, FINITE[::-1]
    _, gradients = batch_costs(real, fake, cost, dtype)
    real, fake = (
        torch.from_numpy(np.array(of, dtype)).double() for of in (real, fake)
    )  # as the dtype holds them
    expected = logit_gradients(real, fake, cost)
    info = np.finfo(dtype)
    for got, wanted in zip(gradients, expected, strict=True):
        assert got.dtype == dtype
        np.testing.assert_allclose(
            got, wanted.numpy(), rtol=8 * EPS + info.eps / 2, atol=float(info.smallest_subnormal)
        )


@pytest.mark.parametrize("cost", COSTS)
def test_infinite_logits(cost) -> None:
    """As torch has it in float64: an infinite cost where it is infinite, and finite derivatives."""
    for real in ENDS:
        for fake in ENDS:
            means, gradients = batch_costs([real], [fake], cost)
            expected, _ = exact([real], [fake], cost)
            np.testing.assert_allclose(means, expected, rtol=8 * EPS, atol=0)
            formulas = logit_gradients(
                torch.tensor([real], dtype=torch.float64),
                torch.tensor([fake], dtype=torch.float64),
                cost,
            )
            for got, wanted in zip(gradients, formulas, strict=True):
                assert np.isfinite(got).all()
                np.testing.assert_allclose(got, wanted.numpy(), rtol=8 * EPS, atol=1e-323)
    assert batch_costs([0.0], [math.inf], "non_saturating")[0][:2] == (math.inf, 0.0)
    assert batch_costs([0.0], [math.inf], "saturating")[0][1] == -math.inf
    assert batch_costs([-math.inf], [-math.inf], "non_saturating")[0][1:] == (math.inf, 0.0, 0.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cost", COSTS)
def test_nan_reaches_its_own_means_and_derivatives_alone(cost, dtype) -> None:
    (of_d, of_g, real, fake), gradients = batch_costs([1, math.nan, 2], [3, 4, 5], cost, dtype)
    assert math.isnan(of_d)
    assert math.isnan(real)
    assert math.isfinite(of_g)
    assert math.isfinite(fake)
    np.testing.assert_array_equal(np.isnan(gradients[0]), [0, 1, 0, 0, 0, 0])
    assert not np.isnan(gradients[1]).any()
    (of_d, of_g, real, fake), gradients = batch_costs([1, 2, 3], [4, 5, math.nan], cost, dtype)
    assert math.isnan(of_d)
    assert math.isnan(of_g)
    assert math.isfinite(real)
    assert math.isnan(fake)
    np.testing.assert_array_equal(np.isnan(gradients[0]), [0, 0, 0, 0, 0, 1])
    np.testing.assert_array_equal(np.isnan(gradients[1]), [0, 0, 1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cost", COSTS)
def test_means_over_many_rows_are_taken_in_double(cost, dtype) -> None:
    """The terms of each mean have one sign: n roundings of float64 at most, in either dtype."""
    for n in (2, 7, 100, 20_000):
        logits = (3 * np.random.default_rng(n).standard_normal(2 * n)).astype(dtype)
        means, gradients = batch_costs(logits[:n], logits[n:], cost, dtype)
        expected, of_logits = exact(
            logits[:n].astype(np.float64), logits[n:].astype(np.float64), cost
        )
        np.testing.assert_allclose(means, expected, rtol=(n + 8) * EPS)
        for got, wanted in zip(gradients, of_logits, strict=True):
            rtol = 8 * EPS + np.finfo(dtype).eps / 2
            np.testing.assert_allclose(got, wanted, rtol=rtol, atol=2 * EPS / n)


def test_gradients_are_the_slopes_of_the_costs() -> None:
    """By central differences of the native costs themselves."""
    logits = np.random.default_rng(0).standard_normal(12)
    for cost in COSTS:
        means, gradients = batch_costs(logits[:6], logits[6:], cost)
        step = 1e-5
        for index in range(12):
            moved = [logits.copy(), logits.copy()]
            moved[0][index] += step
            moved[1][index] -= step
            high, low = (batch_costs(of[:6], of[6:], cost)[0] for of in moved)
            slopes = [(a - b) / (2 * step) for a, b in zip(high, low, strict=True)]
            assert slopes[0] == pytest.approx(gradients[0][index], abs=1e-9)
            of_generator = 0.0 if index < 6 else gradients[1][index - 6]
            assert slopes[1] == pytest.approx(of_generator, abs=1e-9)
        assert means[0] > 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_only_the_gradients_are_written(dtype) -> None:
    memory = np.full((5, 10), -7, dtype)
    memory[1, :6] = 1
    logits = memory[1, :6, None]
    _core.batch_costs(np.ascontiguousarray(logits), False, memory[2, 2:8], memory[3, 4:7])
    written = np.zeros_like(memory, dtype=bool)
    written[2, 2:8] = written[3, 4:7] = written[1, :6] = True
    assert (memory[~written] == -7).all()
    assert (memory[written] != -7).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["logits", "discriminator_gradient", "generator_gradient"])
def test_wrong_arrays_are_refused_by_name(name, dtype) -> None:
    def good():
        return {
            "logits": np.zeros((6, 1), dtype),
            "saturating": False,
            "discriminator_gradient": np.zeros(6, dtype),
            "generator_gradient": np.zeros(3, dtype),
        }

    array = good()[name]
    kind = f"{name}: expected a C-contiguous array of {array.ndim} dimensions"
    for wrong in (array.astype(np.float16), array[None], np.repeat(array, 2, axis=0)[::2]):
        with pytest.raises(ValueError, match=kind):
            _core.batch_costs(**{**good(), name: wrong})
    # n is the length of generator_gradient
    first = "logits" if name == "generator_gradient" else name
    with pytest.raises(ValueError, match=rf"{first}: expected size \d+, got \d+"):
        _core.batch_costs(**{**good(), name: np.zeros((8, *array.shape[1:]), dtype)})
    if name != "logits":
        array.flags.writeable = False
        with pytest.raises(ValueError, match="writeable"):
            _core.batch_costs(**{**good(), name: array})
    empty = {key: value[:0] for key, value in good().items() if key != "saturating"}
    with pytest.raises(ValueError, match="generator_gradient: expected at least 1 row"):
        _core.batch_costs(**empty, saturating=False)
