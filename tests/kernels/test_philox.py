"""Philox's kernels: words, uniforms and sort keys with the reference's bits, normals the core's."""

import math

import numpy as np
import pytest
import torch

from fastgan import _core, backends
from fastgan.ops import philox as ops
from fastgan.reference import philox as reference

if not backends.has_triton():
    pytest.skip("triton is not installed", allow_module_level=True)

from fastgan.kernels import philox as kernels
from fastgan.kernels.launch import ARCHITECTURES, forced, recording

KERNELS = [kernels.PHILOX, kernels.SORT_KEYS]
SHIPPED = [
    (architecture, number)
    for architecture in ARCHITECTURES
    for number in range(max(len(kernel.configurations[architecture]) for kernel in KERNELS))
]
# of one and two words, signs, and counters that differ in every bit from a float's or an int32's
DRAWS = [(0, 0, 0), (1, 2, 3), (-1, 2**32 - 1, 2**32 - 1), (2**40 + 1, 2**31, 1), (-(2**63), 7, 16)]
SIZES = [1, 2, 3, 4, 5, 511, 512, 513, 1300]
FIRSTS = [0, 1, 2, 3, 2**31 - 2, 2**33 + 6, 2**34 - 9, 2**62 - 2000]


def at(device: torch.device, *numbers: int) -> list[torch.Tensor]:
    return [torch.tensor(number, dtype=torch.int64, device=device) for number in numbers]


MARGIN = 16  # elements, before and behind


def poisoned(n: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Return memory for n elements with margins, where nothing may be written."""
    fill = torch.nan if dtype.is_floating_point else -1
    return torch.full((MARGIN + n + MARGIN,), fill, dtype=dtype, device=device)


def drawn(kernel, n, dtype, device, seed, step, stream, *first) -> torch.Tensor:
    memory = poisoned(n, dtype, device)
    before, inside, behind = memory.split((MARGIN, n, MARGIN))
    kernel(inside, *at(device, seed, step), stream, *first)
    for margin in (before, behind):
        assert margin.nan_to_num(-1).eq(-1).all()
    return inside.cpu()


def native_normal(n: int, dtype: torch.dtype, seed: int, step: int, stream: int, first: int):
    out = torch.empty(n, dtype=dtype)
    _core.philox_normal(out.numpy(), seed, step, stream, first, 1)
    return out


@pytest.mark.parametrize("draw", DRAWS)
def test_words_have_the_references_bits(draw, device) -> None:
    for number, first in enumerate(FIRSTS):
        for n in SIZES[number % 3 :: 3]:
            got = drawn(kernels.words, n, torch.int64, device, *draw, first)
            assert torch.equal(got, reference.words(first, n, *draw)), (first, n)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("draw", DRAWS)
def test_uniform_has_the_references_bits(draw, dtype, device) -> None:
    for number, first in enumerate(FIRSTS):
        for n in SIZES[number % 3 :: 3]:
            got = drawn(kernels.uniform, n, dtype, device, *draw, first)
            expected = reference.words(first, n, *draw).bitwise_right_shift(8).to(dtype) * 2.0**-24
            assert torch.equal(got, expected), (first, n)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("draw", DRAWS)
def test_normal_has_the_native_cores_bits(draw, dtype, device) -> None:
    """Which is more than is promised: 2 float32 ulp of the reference."""
    for number, first in enumerate(FIRSTS):
        for n in SIZES[number % 3 :: 3]:
            got = drawn(kernels.normal, n, dtype, device, *draw, first)
            assert torch.equal(got, native_normal(n, dtype, *draw, first)), (first, n)


def test_normal_is_within_two_ulp_of_the_reference(device) -> None:
    n = 1 << 15
    got = drawn(kernels.normal, n, torch.float32, device, 5, 6, 7).numpy()
    expected = reference.normal((n,), 5, 6, 7, dtype=torch.float64).numpy()
    ulp = np.spacing(np.abs(expected.astype(np.float32)))
    assert (np.abs(got - expected) <= 2 * ulp).all()


@pytest.mark.parametrize(
    ("first", "quarters", "cosine", "sine"),
    [(143148, 0, 1, 0), (662390, 1, 0, 1), (15084618, 2, -1, 0), (11511198, 3, 0, -1)],
)
def test_normal_is_exact_at_quarters_of_a_turn(first, quarters, cosine, sine, device) -> None:
    """Elements of draw (5, 6, 7) whose second word is a quarter's multiple: one pair in 2^22."""
    u1, turn = (word >> 8 for word in reference.words(first, 2, 5, 6, 7).tolist())
    assert turn == quarters << 22
    radius = math.sqrt(-2 * math.log((u1 + 1) * 2.0**-24))
    got = drawn(kernels.normal, 2, torch.float64, device, 5, 6, 7, first)
    # a unit in the last place each of the logarithm and its root
    torch.testing.assert_close(
        got, radius * torch.tensor([cosine, sine], dtype=torch.float64), rtol=2**-51, atol=0
    )


@pytest.mark.parametrize(
    ("first", "first_word", "radius"),
    [(6454068, 0, math.sqrt(48 * math.log(2))), (112222352, 2**24 - 1, 0.0)],
)
def test_normal_is_finite_at_both_ends_of_u1(first, first_word, radius, device) -> None:
    """Elements of draw (5, 6, 7) with the largest and the least radius."""
    assert reference.words(first, 1, 5, 6, 7).item() >> 8 == first_word
    got = drawn(kernels.normal, 2, torch.float64, device, 5, 6, 7, first)
    assert got.norm().item() == pytest.approx(radius, rel=4 * 2.0**-52, abs=0)


@pytest.mark.parametrize("kind", ["uniform", "normal"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1, 1), (7, 100), (3, 341), (0, 5)])
def test_latent_is_the_steps_z(kind, dtype, shape, device) -> None:
    """Each operation rounded as in plain PyTorch: 2 u - 1 is exact, the product is not."""
    got = torch.full(shape, torch.nan, dtype=dtype, device=device)
    kernels.latent(kind, got, *at(device, -3, 9), 5)
    if kind == "uniform":
        expected = reference.uniform(shape, -3, 9, 5, dtype=dtype).mul_(2).sub_(1)
        expected.mul_(math.sqrt(3.0))
    else:
        expected = native_normal(got.numel(), dtype, -3, 9, 5, 0).view(shape)
    assert torch.equal(got.cpu(), expected)


def test_latent_launches_one_kernel_and_does_nothing_else(device) -> None:
    output = torch.zeros(4, 5, device=device)
    with recording() as launches:
        kernels.latent("normal", output, *at(device, 1, 2), 3)
    assert [launch.kernel for launch in launches] == [kernels.PHILOX]
    assert output.eq(0).all()


def test_latent_of_another_kind_is_refused(device) -> None:
    with pytest.raises(ValueError, match="kind: expected uniform or normal, got 'cauchy'"):
        kernels.latent("cauchy", torch.zeros(4, 5, device=device), *at(device, 1, 2), 3)


@pytest.mark.parametrize("draw", DRAWS)
def test_sort_keys_order_as_unsigned_words_do(draw, device) -> None:
    for n in (1, 2, 255, 256, 257, 1000):
        got = drawn(kernels.sort_keys, n, torch.int64, device, *draw)
        words = reference.words(0, 2 * n, *draw).reshape(-1, 2).tolist()
        unsigned = [low + (high << 32) - 2**63 for low, high in words]
        assert got.tolist() == unsigned


@pytest.mark.skipif(torch.cuda.is_available(), reason="a device takes its own configurations")
@pytest.mark.parametrize(("architecture", "number"), SHIPPED)
def test_each_shipped_configuration(architecture, number, device) -> None:
    with forced(architecture, number):
        for first in (3, 2**33 + 6):
            n, draw = 1300, (-3, 2**32 - 1, 2**32 - 1)
            assert torch.equal(
                drawn(kernels.words, n, torch.int64, device, *draw, first),
                reference.words(first, n, *draw),
            )
            assert torch.equal(
                drawn(kernels.normal, n, torch.float64, device, *draw, first),
                native_normal(n, torch.float64, *draw, first),
            )
        keys = drawn(kernels.sort_keys, 700, torch.int64, device, 1, 2, 3)
        assert torch.equal(keys.sort(stable=True).indices, reference.permutation(700, 1, 2, 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(0,), (1,), (17,), (3, 5), (7, 100), (0, 5), (5, 0), (2, 3, 4)])
def test_the_public_functions(shape, dtype, device, poisoned_memory) -> None:
    seed, step = at(device, -9, 2**32 - 1)
    for public, plain in (
        (ops.uniform, reference.uniform),
        (ops.normal, lambda *a, **k: ops.normal(*a, **k, impl="native")),
    ):
        expected = plain(shape, -9, 2**32 - 1, 5, first_row=11, dtype=dtype)
        got = public(shape, seed, step, 5, first_row=11, dtype=dtype, impl="triton")
        assert got.shape == shape
        assert got.dtype == dtype
        assert got.device.type == device.type
        assert torch.equal(got.cpu(), expected)


@pytest.mark.parametrize("n", [0, 1, 2, 257, 3000])
def test_the_public_permutation(n, device) -> None:
    got = ops.permutation(n, *at(device, 1, 2), 3, impl="triton")
    assert got.dtype == torch.int64
    assert torch.equal(got.cpu(), ops.permutation(n, 1, 2, 3, impl="native"))


def test_any_part_equals_the_whole(device) -> None:
    seed, step = at(device, 5, 6)
    for draw in (ops.uniform, ops.normal):
        whole = draw((50, 7), seed, step, 7, impl="triton")
        for size in (1, 3, 33):
            parts = [
                draw((min(size, 50 - row), 7), seed, step, 7, first_row=row, impl="triton")
                for row in range(0, 50, size)
            ]
            assert torch.equal(torch.cat(parts), whole)


@pytest.mark.gpu
def test_auto_on_a_device_is_the_kernel_and_copies_nothing(device) -> None:
    seed, step = at(device, 5, 6)
    ops.normal((3, 5), seed, step, 7)  # compiled
    torch.cuda.set_sync_debug_mode("error")
    try:
        got = ops.normal((300, 5), seed, step, 7)
        order = ops.permutation(1000, seed, step, 7)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(got.cpu(), ops.normal((300, 5), 5, 6, 7))
    assert torch.equal(order.cpu(), ops.permutation(1000, 5, 6, 7))
