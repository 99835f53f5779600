"""Philox: the published vectors, then everything made of words against the reference."""

import math
import re

import numpy as np
import pytest
import torch

from fastgan import _core
from fastgan.ops import philox
from fastgan.reference import philox as reference

# Random123 1.14, tests/kat_vectors, "philox4x32 10": counter, key, result.
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (
        (0xFFFFFFFF,) * 4,
        (0xFFFFFFFF,) * 2,
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
SIZES = [1, 3, 7, 15, 16, 17, 1000]
SEEDS = [0, 1, -1, 2**63 - 1, -(2**63), 0x0123456789ABCDEF]


def native_words(n: int, seed: int, step: int, stream: int, first: int) -> torch.Tensor:
    out = np.full(n, 0xDEADBEEF, np.uint32)
    _core.philox_words(out, seed, step, stream, first, torch.get_num_threads())
    return torch.from_numpy(out.astype(np.int64))


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN_ANSWERS)
def test_known_answers_reference(counter, key, result) -> None:
    got = reference.philox(
        tuple(torch.tensor([word]) for word in counter),
        tuple(torch.tensor([word]) for word in key),
    )
    assert tuple(int(word) for word in got) == result


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN_ANSWERS)
def test_known_answers_native(counter, key, result, simd_level) -> None:
    seed = key[0] | key[1] << 32
    out = np.zeros(4, np.uint32)
    _core.philox_block(
        out,
        seed - 2**64 if seed >= 2**63 else seed,
        counter[2],
        counter[3],
        counter[0] | counter[1] << 32,
    )
    assert tuple(int(word) for word in out) == result


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("first", [0, 1, 2, 3, 2**34 - 9, 2**62 - 2000])
def test_words(seed: int, first: int, simd_level) -> None:
    for n in (*SIZES, 2047, 2048, 2049, 5000):
        if first + n > 2**62:
            continue
        expected = reference.words(first, n, seed, 2**32 - 1, 0xFEDCBA98)
        assert torch.equal(native_words(n, seed, 2**32 - 1, 0xFEDCBA98, first), expected)


def test_words_for_any_thread_count(n_threads) -> None:
    n = 200_003
    assert torch.equal(native_words(n, 7, 8, 9, 1), reference.words(1, n, 7, 8, 9))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(0,), (1,), (17,), (3, 5), (7, 1000), (0, 5), (5, 0), (2, 3, 4)])
def test_uniform(shape, dtype, simd_level, poisoned_memory) -> None:
    expected = reference.uniform(shape, 3, 4, 5, first_row=11, dtype=dtype)
    got = philox.uniform(shape, 3, 4, 5, first_row=11, dtype=dtype, impl="native")
    assert got.shape == shape
    assert got.dtype == dtype
    assert torch.equal(got, expected)
    assert torch.equal(got, philox.uniform(shape, 3, 4, 5, first_row=11, dtype=dtype))
    assert torch.equal(
        got, philox.uniform(shape, 3, 4, 5, first_row=11, dtype=dtype, impl="reference")
    )


def test_uniform_values_and_range() -> None:
    drawn = philox.uniform((100_000,), 0, 0, 0)
    assert torch.equal(
        drawn[:4].double() * 2**24,
        torch.tensor([0x6627E8, 0xE169C5, 0xBC57AC, 0x9B00DB], dtype=torch.float64),
    )
    assert drawn.min() >= 0
    assert drawn.max() < 1
    # mean and variance within 5 standard errors of 1/2 and 1/12
    assert abs(drawn.double().mean() - 0.5) < 5 * math.sqrt(1 / 12 / 100_000)
    assert abs(drawn.double().var() - 1 / 12) < 5 * math.sqrt(1 / 180 / 100_000)


@pytest.mark.parametrize("shape", [(0,), (1,), (2,), (17,), (3, 5), (7, 1000), (5000,), (9, 1023)])
@pytest.mark.parametrize("first_row", [0, 1, 3])
def test_normal(shape, first_row, simd_level, poisoned_memory) -> None:
    expected = reference.normal(shape, 3, 4, 5, first_row=first_row, dtype=torch.float64)
    got = philox.normal(shape, 3, 4, 5, first_row=first_row, dtype=torch.float64, impl="native")
    # Each side: ln and its root, 2 units of 2^-53; cosine, 1; product, 1; all relative to r < 5.8.
    assert torch.allclose(got, expected, rtol=0, atol=2 * 4 * 2.0**-53 * 5.8)
    single = philox.normal(shape, 3, 4, 5, first_row=first_row, impl="native").numpy()
    # rounded once from the float64 value
    np.testing.assert_array_equal(single, got.numpy().astype(np.float32))
    difference = np.abs(single.astype(np.float64) - expected.numpy())
    assert (difference <= 2 * np.spacing(np.abs(expected.numpy().astype(np.float32)))).all()


def test_normal_at_quarter_turns_and_extremes() -> None:
    """Where cosine or sine vanish the result is exactly zero, and the ends of u1 are finite."""
    turns = torch.tensor([0, 1, 2, 3], dtype=torch.float64) / 4
    cosine, sine = reference._cos_sin_of_turns(turns)
    assert cosine.tolist() == [1, 0, -1, 0]
    assert sine.tolist() == [0, 1, 0, -1]
    drawn = philox.normal((2_000_000,), 1, 2, 3)
    assert torch.isfinite(drawn).all()
    assert drawn.abs().max() <= math.sqrt(48 * math.log(2))  # u1 >= 2^-24
    n = drawn.numel()
    z = drawn.double()
    assert abs(z.mean()) < 5 / math.sqrt(n)
    assert abs(z.square().mean() - 1) < 5 * math.sqrt(2 / n)
    assert abs(z.pow(3).mean()) < 5 * math.sqrt(15 / n)
    assert abs(z.pow(4).mean() - 3) < 5 * math.sqrt(96 / n)


def test_normal_bits_do_not_depend_on_level(monkeypatch) -> None:
    from fastgan import backends

    drawn = []
    for level in backends.simd_levels():
        backends.force_simd_level(level)
        drawn.append(philox.normal((3, 3001), 9, 8, 7, dtype=torch.float64))
    backends.force_simd_level("auto")
    assert all(torch.equal(one, drawn[0]) for one in drawn)


@pytest.mark.parametrize("draw", [philox.uniform, philox.normal])
@pytest.mark.parametrize("n_columns", [1, 3, 6, 1001])
def test_any_part_equals_the_whole(draw, n_columns, n_threads) -> None:
    whole = draw((100, n_columns), 5, 6, 7)
    for size in (1, 7, 33):
        parts = [
            draw((min(size, 100 - row), n_columns), 5, 6, 7, first_row=row)
            for row in range(0, 100, size)
        ]
        assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("n", [0, 1, 2, *SIZES, 60_000])
def test_permutation(n, simd_level) -> None:
    got = philox.permutation(n, 1, 2, 3, impl="native")
    assert got.dtype == torch.int64
    assert torch.equal(got.sort().values, torch.arange(n))
    assert torch.equal(got, philox.permutation(n, 1, 2, 3, impl="reference"))


def test_permutation_orders_by_unsigned_keys() -> None:
    words = reference.words(0, 200, 1, 2, 3).reshape(-1, 2).tolist()
    keys = [low + (high << 32) for low, high in words]
    assert any(key >= 2**63 for key in keys)
    expected = sorted(range(100), key=keys.__getitem__)
    assert philox.permutation(100, 1, 2, 3).tolist() == expected


def test_permutation_for_any_thread_count(n_threads) -> None:
    assert torch.equal(
        philox.permutation(100_000, 4, 5, 6), philox.permutation(100_000, 4, 5, 6, impl="reference")
    )


def test_every_argument_matters() -> None:
    base = philox.uniform((64,), 1, 2, 3)
    for seed, step, stream in [(2, 2, 3), (1 + 2**32, 2, 3), (1, 3, 3), (1, 2, 4)]:
        assert (philox.uniform((64,), seed, step, stream) != base).sum() >= 60


@pytest.mark.parametrize("impl", ["native", "reference"])
def test_tensors_and_numbers_agree(impl) -> None:
    seed, step = torch.tensor(-9), torch.tensor(2**32 - 1)
    for draw in (philox.uniform, philox.normal):
        assert torch.equal(
            draw((5, 3), seed, step, 3, impl=impl), draw((5, 3), -9, 2**32 - 1, 3, impl=impl)
        )
    assert torch.equal(
        philox.permutation(9, seed, step, 3, impl=impl),
        philox.permutation(9, np.int64(-9), np.uint32(2**32 - 1), 3, impl=impl),
    )


GOOD = {"shape": (2, 3), "seed": 1, "step": 2, "stream": 3}


@pytest.mark.parametrize("draw", [philox.uniform, philox.normal])
@pytest.mark.parametrize(
    ("wrong", "error", "sentence"),
    [
        ({"shape": 5}, TypeError, "shape: expected a sequence of integers, got 5"),
        ({"shape": ()}, ValueError, "shape: expected (n_rows,) or (n_rows, n_columns), got ()"),
        ({"shape": (-1,)}, ValueError, "shape: expected an integer of at least 0, got -1"),
        ({"shape": (1.5,)}, TypeError, "shape: expected an integer, got 1.5"),
        (
            {"seed": 2**63},
            ValueError,
            f"seed: expected an integer from {-(2**63)} to {2**63 - 1}, got {2**63}",
        ),
        ({"seed": 1.0}, TypeError, "seed: expected an integer, got 1.0"),
        ({"seed": True}, TypeError, "seed: expected an integer, got True"),
        (
            {"seed": torch.tensor([1])},
            ValueError,
            "seed: expected 0 dimensions, got shape (1,)",
        ),
        (
            {"step": torch.tensor(1, dtype=torch.int32)},
            TypeError,
            "step: expected dtype int64, got int32",
        ),
        ({"step": -1}, ValueError, "step: expected an integer from 0 to 4294967295, got -1"),
        ({"step": 2**32}, ValueError, "step: expected an integer from 0 to 4294967295, got 42949"),
        (
            {"step": torch.tensor(-1)},
            ValueError,
            "step: expected an integer from 0 to 4294967295, got -1",
        ),
        ({"stream": -1}, ValueError, "stream: expected an integer from 0 to 4294967295, got -1"),
        ({"stream": None}, TypeError, "stream: expected an integer, got None"),
        ({"first_row": -1}, ValueError, "first_row: expected an integer of at least 0, got -1"),
        (
            {"first_row": 2**61},
            ValueError,
            f"first_row: expected (first_row + n_rows) * n_columns of at most {2**62}, "
            f"got ({2**61} + 2) * 3",
        ),
        (
            {"dtype": torch.float16},
            TypeError,
            "dtype: expected torch.float32 or torch.float64, got torch.float16",
        ),
        (
            {"impl": "fast"},
            ValueError,
            "impl: expected one of auto, reference, native, triton, got 'fast'",
        ),
    ],
)
def test_wrong_inputs(draw, wrong, error, sentence) -> None:
    with pytest.raises(error, match=re.escape(sentence)):
        draw(**{**GOOD, **wrong})


@pytest.mark.parametrize(
    ("n", "error", "sentence"),
    [
        (-1, ValueError, "n: expected an integer of at least 0, got -1"),
        (2.0, TypeError, "n: expected an integer, got 2.0"),
    ],
)
def test_wrong_permutation(n, error, sentence) -> None:
    with pytest.raises(error, match=re.escape(sentence)):
        philox.permutation(n, 1, 2, 3)


@pytest.mark.parametrize("kernel", [_core.philox_words, _core.philox_uniform, _core.philox_normal])
def test_native_refuses_wrong_arrays(kernel) -> None:
    for wrong in (np.zeros((2, 2), np.float32), np.zeros(4, np.int16), np.zeros(8, "f4")[::2]):
        with pytest.raises(ValueError, match="out: expected a C-contiguous array"):
            kernel(wrong, 0, 0, 0, 0, 1)
