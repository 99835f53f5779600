"""What a fused step is made of: native and reference operations do the same into given buffers."""

import inspect
import math

import pytest
import torch

from fastgan import backends
from fastgan.fused.native import NativeOperations
from fastgan.fused.operations import Behind, Draw, Mask, Move, Operations
from fastgan.fused.reference import ReferenceOperations

KINDS = [NativeOperations, ReferenceOperations]
if backends.has_triton():
    from fastgan.fused.triton import TritonOperations

    KINDS.append(TritonOperations)

DTYPES = [torch.float32, torch.float64]
THREADS = [1, 2, 5, 1, 2]  # of the native core, shape by shape
OPEN = Mask(1.0, 0, 0, 0)
MASKS = [OPEN, Mask(0.5, 11, 3, 7), Mask(0.8, -5, 0, 1)]
SHAPES = [(1, 1), (3, 17), (7, 48), (100, 33), (2, 1200)]
LAYERS = [(1, 1, 1, 1), (7, 17, 5, 2), (100, 100, 83, 1), (100, 257, 120, 5)]


def randn(*shape, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(*shape, dtype=torch.float64, generator=generator).to(dtype)


def whole(*shape, dtype=torch.float64, seed=0):
    """Small whole numbers: their sums are exact, and some of them are equal."""
    return randn(*shape, seed=seed).mul(2).round().clamp(-4, 4).to(dtype)


def unwritten(*shape, dtype=torch.float64):
    """Rows within a larger tensor, of NaN (or 255): what is left unwritten is noticed."""
    whole_tensor = torch.full((shape[0] + 2, *shape[1:]), 255 if dtype == torch.uint8 else math.nan)
    return whole_tensor.to(dtype)[1:-1]


def run(name, n_threads, *arguments):
    """Call the operation of both kinds on copies; return the tensors as each left them."""
    left = []
    for kind in (NativeOperations, ReferenceOperations):
        operations = kind()
        operations.n_threads = n_threads
        copies = [
            argument.clone() if isinstance(argument, torch.Tensor) else argument
            for argument in arguments
        ]
        result = getattr(operations, name)(*(viewed(operations, copy) for copy in copies))
        left.append(([copy for copy in copies if isinstance(copy, torch.Tensor)], result))
    return left


def viewed(operations, argument):
    """Return an argument as the operations take it: tensors within a Behind too."""
    if isinstance(argument, torch.Tensor):
        return operations.view(argument)
    if isinstance(argument, Behind):
        return Behind(*(viewed(operations, part) for part in argument))
    return argument


def assert_equal(name, n_threads, *arguments):
    """Assert that both kinds leave the same bits, and that no number was left unwritten."""
    (native, _), (reference, _) = run(name, n_threads, *arguments)
    for got, wanted in zip(native, reference, strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=0)
        assert not torch.isnan(got).any()
    return native


def test_both_kinds_have_every_operation_of_the_same_face() -> None:
    names = Operations.__abstractmethods__
    assert {"maxout_forward", "linear_update", "costs"} < names
    for name in names:
        signature = inspect.signature(getattr(Operations, name))
        for kind in KINDS:
            assert inspect.signature(getattr(kind, name)) == signature
    with pytest.raises(TypeError, match="abstract"):
        Operations()


def test_views_are_over_the_tensors_memory() -> None:
    for kind in KINDS:
        operations = kind()
        assert operations.n_threads == 1
        tensor = torch.zeros(4, 3, requires_grad=True)
        view = operations.view(tensor)
        view[1:3] = 5
        assert tensor.detach()[1:3].eq(5).all()
        assert tensor.detach()[::3].eq(0).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_latent(kind, dtype, simd_level) -> None:
    for shape, n_threads in zip(SHAPES, THREADS, strict=True):
        output = unwritten(*shape, dtype=dtype)
        ((native,), _), ((reference,), _) = run("latent", n_threads, kind, Draw(-7, 5, 9), output)
        if kind == "uniform":
            assert torch.equal(native, reference)
            assert native.abs().max() <= math.sqrt(3.0)
        else:  # logarithm, sine and cosine of float32: within the two's last places
            eps = torch.finfo(dtype).eps
            torch.testing.assert_close(native, reference, rtol=16 * eps, atol=16 * eps)
    for draw in (Draw(-8, 5, 9), Draw(-7, 6, 9), Draw(-7, 5, 8)):
        (other,), _ = run("latent", n_threads, kind, draw, output)[0]
        assert (other == native).sum() < 10


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mask", MASKS)
def test_dropout(mask, dtype, simd_level) -> None:
    for shape, n_threads in zip(SHAPES, THREADS, strict=True):
        input = randn(*shape, dtype=dtype)
        unchanged, output = assert_equal(
            "dropout", n_threads, input, mask, unwritten(*shape, dtype=dtype)
        )
        assert torch.equal(unchanged, input)
    share = (output != 0).double().mean().item()
    # five standard deviations of 2,400 draws
    assert abs(share - mask.include_probability) <= 5 * math.sqrt(0.25 / output.numel())
    assert mask is not OPEN or share == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ["linear", "relu"])
@pytest.mark.parametrize("has_bias", [False, True])
def test_linear_forward(has_bias, activation, dtype) -> None:
    for n, n_features, n_units, n_threads in LAYERS:
        arguments = [
            whole(n, n_features, dtype=dtype),
            whole(n_units, n_features, dtype=dtype, seed=1),
            whole(n_units, dtype=dtype) if has_bias else None,
        ]
        output = unwritten(n, n_units, dtype=dtype)
        assert_equal("linear_forward", n_threads, *arguments, activation, output)


def test_linear_forward_shows_its_output_masked() -> None:
    mask = Mask(0.5, 11, 3, 7)
    for kind in (NativeOperations, ReferenceOperations):
        operations = kind()
        view = operations.view
        output, shown, wanted = (unwritten(7, 5) for _ in range(3))
        operations.linear_forward(
            view(whole(7, 9)), view(whole(5, 9)), None, "relu", view(output), (mask, view(shown))
        )
        operations.dropout(view(output), mask, view(wanted))
        assert torch.equal(shown, wanted)
        assert not torch.equal(shown, output)


def test_gather_shows_images_in_their_order() -> None:
    images, order = randn(9, 5), torch.tensor([4, 0, 8, 8, 2, 7])
    for kind in (NativeOperations, ReferenceOperations):
        operations = kind()
        view = operations.view
        for mask in MASKS:
            output, wanted = unwritten(4, 5), unwritten(4, 5)
            operations.gather(view(images), view(order), 2, mask, view(output))
            operations.dropout(view(images[order[2:6]]), mask, view(wanted))
            assert torch.equal(output, wanted)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("n_pieces", [1, 2, 3, 5])
def test_maxout_forward(n_pieces, mask, dtype, simd_level) -> None:
    """With ties; a mask for each of two parts of the rows."""
    for n, n_units, n_threads in [(1, 1, 1), (4, 16, 2), (7, 17, 1), (300, 33, 1), (300, 33, 5)]:
        input = whole(n, 5, dtype=dtype)
        weight = whole(n_units * n_pieces, 5, dtype=dtype)
        bias = whole(n_units * n_pieces, dtype=dtype)
        second = mask if mask is OPEN else mask._replace(stream=9)
        masks = [(slice(0, n // 2), mask), (slice(n // 2, n), second)][n < 2 :]
        # the native core works in memory of the products
        products = torch.zeros(n, n_units * n_pieces, dtype=dtype)
        left = run(
            "maxout_forward",
            n_threads,
            input,
            weight,
            bias,
            n_pieces,
            masks,
            products,
            unwritten(n, n_units, dtype=dtype),
            unwritten(n, n_units, dtype=torch.uint8),
        )
        (*_, native, winner), (*_, reference, same_winner) = left[0][0], left[1][0]
        assert torch.equal(native, reference)
        assert torch.equal(winner, same_winner)
        pieces = (input @ weight.t() + bias).reshape(n, n_units, n_pieces)
        lowest = (pieces == pieces.amax(dim=2, keepdim=True)).int().argmax(dim=2)
        assert torch.equal(winner.long(), lowest)
        best = pieces.amax(dim=2)
        operations = NativeOperations()
        for rows, of_rows in masks:
            wanted = torch.empty_like(best[rows])
            operations.dropout(best[rows].numpy(), of_rows, wanted.numpy())
            assert torch.equal(native[rows], wanted)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_pieces", [1, 2, 5])
@pytest.mark.parametrize("is_scaled", [False, True])
def test_products_of_winners(is_scaled, n_pieces, dtype) -> None:
    """Of a delta of the winning pieces: the same as those of the delta of all pieces."""
    for n, n_features, n_units, n_threads in LAYERS:
        delta = whole(n, n_units, dtype=dtype)
        random = torch.Generator().manual_seed(n)
        winner = torch.randint(n_pieces, delta.shape, generator=random, dtype=torch.uint8)
        pieces = torch.zeros(n, n_units, n_pieces, dtype=dtype)
        pieces = pieces.scatter(2, winner.long()[..., None], delta[..., None]).reshape(n, -1)
        weight = whole(n_units * n_pieces, n_features, dtype=dtype, seed=1)
        gradient = unwritten(n, n_features, dtype=dtype)
        behind = Behind()
        *_, got = assert_equal(
            "maxout_input_gradient", n_threads, delta, winner, n_pieces, weight, behind, gradient
        )
        assert torch.equal(got, pieces @ weight)
        moved = (
            whole(n, dtype=dtype) if is_scaled else None,
            whole(n, n_features, dtype=dtype, seed=2),
            weight,
            whole(n_units * n_pieces, n_features, dtype=dtype, seed=4),
            whole(n_units * n_pieces, dtype=dtype, seed=5),
            whole(n_units * n_pieces, dtype=dtype, seed=6),
            Move(0.25, 0.5, None),
        )
        short = assert_equal("maxout_update", n_threads, delta, winner, n_pieces, *moved)
        long = assert_equal("linear_update", n_threads, pieces, *moved)
        for got, wanted in zip(short[-4:], long[-4:], strict=True):
            assert torch.equal(got, wanted)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("activation", ["linear", "relu", "sigmoid"])
def test_pass_behind(activation, mask, dtype, simd_level) -> None:
    """A gradient of one row is that of every row; each element has its own draw."""
    for n, n_columns, n_threads in [(1, 1, 1), (3, 17, 2), (7, 48, 1), (300, 64, 1), (300, 64, 5)]:
        masks = [(slice(0, n // 2), mask), (slice(n // 2, n), mask)][n < 2 :]
        for row_scale in (None, randn(n, dtype=dtype)):
            values = randn(n, n_columns, dtype=dtype, seed=1).clamp(0, 1)
            behind = Behind(masks, row_scale, activation, values)
            output = unwritten(n, n_columns, dtype=dtype)
            one_row = randn(1, n_columns, dtype=dtype)
            *_, of_one = assert_equal("pass_behind", n_threads, one_row, behind, output)
            rows = one_row.repeat(n, 1)
            *_, of_rows = assert_equal("pass_behind", n_threads, rows, behind, output)
            assert torch.equal(of_one, of_rows)
            for kind in (NativeOperations, ReferenceOperations):
                operations, in_place = kind(), rows.clone()
                view = operations.view(in_place)
                operations.pass_behind(view, viewed(operations, behind), view)
                assert torch.equal(in_place, of_rows)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("is_sparse", [False, True])
def test_linear_input_gradient(is_sparse, dtype) -> None:
    for n, n_features, n_units, n_threads in LAYERS:
        delta = whole(n, n_units, dtype=dtype)
        if is_sparse:
            delta[:, torch.arange(n_units) % 5 > 0] = 0
        weight = whole(n_units, n_features, dtype=dtype, seed=1)
        gradient = unwritten(n, n_features, dtype=dtype)
        *_, plain = assert_equal(
            "linear_input_gradient", n_threads, delta, weight, Behind(), gradient
        )
        behind = Behind((), whole(n, dtype=dtype), "relu", whole(n, n_features, dtype=dtype))
        *_, passed = assert_equal(
            "linear_input_gradient", n_threads, delta, weight, behind, gradient
        )
        scaled = plain * behind.row_scale[:, None]
        assert torch.equal(passed, torch.where(behind.values <= 0, 0, scaled))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("max_norm", [None, 3.0])
@pytest.mark.parametrize("is_scaled", [False, True])
def test_linear_update(is_scaled, max_norm, dtype) -> None:
    for n, n_features, n_units, n_threads in LAYERS:
        arguments = (
            whole(n, n_units, dtype=dtype),
            whole(n, dtype=dtype) if is_scaled else None,
            whole(n, n_features, dtype=dtype, seed=2),
            whole(n_units, n_features, dtype=dtype, seed=3),
            whole(n_units, n_features, dtype=dtype, seed=4),
            whole(n_units, dtype=dtype, seed=5),
            whole(n_units, dtype=dtype, seed=6),
            Move(0.25, 0.5, max_norm),
        )
        (native, _), (reference, _) = run("linear_update", n_threads, *arguments)
        for got, wanted in zip(native, reference, strict=True):
            # the norm's square root and quotient, and the factor's rounding
            rtol = 0 if max_norm is None else 4 * torch.finfo(dtype).eps
            torch.testing.assert_close(got, wanted, rtol=rtol, atol=0)
        for moved, before in zip(native[-4:], arguments[3:7], strict=True):
            assert not torch.equal(moved, before)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cost", ["non_saturating", "saturating"])
def test_costs(cost, dtype) -> None:
    for n in (1, 7, 100):
        logits = 4 * randn(2 * n, 1, dtype=dtype)
        outputs = [unwritten(size, dtype=dtype) for size in (2 * n, n, 4)]
        (native, _), (reference, _) = run("costs", 1, logits, cost, *outputs, n)
        assert torch.equal(native[0], logits)
        # one rounding of each of n terms of one sign, and of what they are made of
        eps = torch.finfo(dtype).eps
        torch.testing.assert_close(native[3], reference[3], rtol=(n + 16) * eps, atol=0)
        for got, wanted in zip(native[1:3], reference[1:3], strict=True):
            torch.testing.assert_close(got, wanted, rtol=16 * eps, atol=0)
        for kind in (NativeOperations, ReferenceOperations):
            operations, means = kind(), torch.full((4,), 7.0, dtype=dtype)
            views = [operations.view(t) for t in (logits, *outputs[:2])]
            operations.costs(
                views[0], cost, *views[1:], operations.view(means), n, generator_only=True
            )
            assert means[[0, 2, 3]].eq(7).all()
            torch.testing.assert_close(means[1], reference[3][1], rtol=(n + 16) * eps, atol=0)
            # rows that are a fifth of a batch: a fifth of each derivative and each mean
            operations.costs(views[0], cost, *views[1:], operations.view(means), 5 * n)
            for got, wanted in zip((*outputs[:2], means), reference[1:], strict=True):
                torch.testing.assert_close(5 * got, wanted, rtol=(n + 18) * eps, atol=0)
