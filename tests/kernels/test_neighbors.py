"""Nearest neighbours by Triton: exact whatever the data, and however bad the products."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from point_families import cases, rounded_once

from fastgan import NeighborIndex, backends, ops

if not backends.has_triton():
    pytest.skip("triton is not installed", allow_module_level=True)

from distance_cases import SHIPPED, images, worst_products
from fastgan.kernels import distances, neighbors, rescoring
from fastgan.kernels.launch import forced
from fastgan.kernels.neighbors import nearest_neighbors

DTYPES = [torch.uint8, torch.float32, torch.float64]


def assert_exact(queries, data, k, exclude_self=False):
    """Against the native operation, which rational arithmetic has judged."""
    found = nearest_neighbors(queries, data, k, exclude_self)
    expected = ops.nearest_neighbors(
        queries.cpu(), data.cpu(), k, exclude_self=exclude_self, strategy="dense", impl="native"
    )
    assert torch.equal(found[1].cpu(), expected[1])
    assert torch.equal(found[0].cpu(), expected[0])


@pytest.mark.parametrize(
    ("dtype", "n_features"),
    [*itertools.product(DTYPES, [1, 2, 17, 33]), (torch.float64, 784), (torch.float32, 3072)],
)
def test_equals_rational_arithmetic(dtype, n_features, device, poisoned_memory):
    generator = np.random.default_rng(n_features)
    n_queries = 1 if n_features == 3072 else 4
    points = images(generator, 70 + n_queries, n_features, dtype).to(device)
    queries, data = points[70:], points[:70]
    data[40:45] = data[3:8]  # ties
    queries[0] = data[41]
    squared_distances, indices = nearest_neighbors(queries, data, 3, False)
    for q in range(len(queries)):
        exact = [rounded_once(queries[q].tolist(), row.tolist()) for row in data]
        order = sorted(range(70), key=lambda i: (exact[i], i))[:3]
        assert indices[q].tolist() == order
        assert squared_distances[q].tolist() == [exact[i] for i in order]


@settings(max_examples=20, deadline=None)
@given(cases(most_rows=257), st.integers(1, 70))
def test_families_of_points(case, k):
    queries, data = torch.from_numpy(case.queries), torch.from_numpy(case.data)
    assert_exact(queries, data, min(k, len(data)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_near_ties(dtype, offset, device):
    """Rows that differ in their last bits: sums in plain float64 do not tell which is nearer."""
    generator = np.random.default_rng(9)
    centre = offset + generator.standard_normal(9)
    jitter = generator.integers(-3, 4, (70, 9)) * torch.finfo(dtype).eps
    data = torch.from_numpy(centre * (1 + jitter)).to(device, dtype)
    queries = torch.from_numpy(centre + generator.standard_normal((6, 9))).to(device, dtype)
    assert_exact(queries, data, 8)


def test_a_tie_after_rounding_to_few_bits(device):
    """1.69 and 1.96 of the least number are 2 of them: the smaller row is the nearest."""
    data = torch.full((64, 1), 1.4 * 2.0**-537, dtype=torch.float64, device=device)
    data[32:] = 1.3 * 2.0**-537
    squared_distances, indices = nearest_neighbors(torch.zeros_like(data[:1]), data, 1, False)
    assert squared_distances.item() == 2.0**-1073
    assert indices.item() == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_more_neighbours_than_chunks(dtype, device):
    points = images(np.random.default_rng(0), 105, 6, dtype).to(device)
    for k in (3, 4, 5, 100):
        assert_exact(points[100:], points[:100], k)


@pytest.mark.parametrize("n_rows", [2, 33, 100])
def test_all_but_oneself(n_rows, device):
    points = images(np.random.default_rng(1), n_rows, 4).to(device)
    points[1] = points[0]
    assert_exact(points, points, min(5, n_rows - 1), exclude_self=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_all_rows_alike(dtype, device):
    """Ties go to the smaller row."""
    data = torch.ones(90, 5, dtype=dtype, device=device)
    squared_distances, indices = nearest_neighbors(data[:2] * 0, data, 40, False)
    assert (squared_distances == 5).all()
    assert torch.equal(indices, torch.arange(40, device=device).expand(2, 40))


def test_empty_queries_and_a_single_row(device):
    data = torch.rand(1, 3, device=device)
    squared_distances, indices = nearest_neighbors(data[:0], data, 1, False)
    assert squared_distances.shape == indices.shape == (0, 1)
    assert_exact(data + 1, data, 1)
    assert_exact(1e20 * data.double(), 1e-20 * data.double(), 1)  # past what is held beside data


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("offset", [1e6, 1e12])
def test_huge_translations(dtype, offset, device):
    generator = np.random.default_rng(2)
    points = torch.from_numpy(generator.random((80, 20)) + offset).to(device, dtype)
    assert_exact(points[70:], points[:70], 4)


def test_distances_past_float64_are_infinite(device):
    data = torch.tensor([[1e200], [0.0], [-1e308], [1e160]], dtype=torch.float64, device=device)
    queries = torch.tensor([[1e308], [0.0]], dtype=torch.float64, device=device)
    squared_distances, indices = nearest_neighbors(queries, data, 4, False)
    assert torch.isinf(squared_distances[0]).all()
    assert indices[0].tolist() == [0, 1, 2, 3]
    assert squared_distances[1].tolist() == [0.0, torch.inf, torch.inf, torch.inf]
    assert indices[1].tolist() == [1, 0, 2, 3]


@pytest.mark.parametrize(("architecture", "number"), SHIPPED)
def test_every_tile(architecture, number, device):
    points = images(np.random.default_rng(3), 154, 40).to(device)
    with forced(architecture, number):
        assert_exact(points[150:], points[:150], 3)
        assert_exact(points[:70], points[:70], 1, exclude_self=True)


def test_same_answer_for_any_groups(device, monkeypatch):
    points = images(np.random.default_rng(4), 330, 12).to(device)
    points[200:230] = points[10:40]
    expected = nearest_neighbors(points[300:], points[:300], 5, False)
    one = nearest_neighbors(points[303:304], points[:300], 5, False)
    assert torch.equal(one[0], expected[0][3:4])
    assert torch.equal(one[1], expected[1][3:4])
    monkeypatch.setattr(neighbors, "TABLE_BYTES", 3000)  # 9 queries
    monkeypatch.setattr(neighbors, "PAIRS_AT_ONCE", 10)
    monkeypatch.setattr(distances, "PACKED_BYTES", 1)
    found = nearest_neighbors(points[300:], points[:300], 5, False)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


def test_products_as_wrong_as_allowed(device, monkeypatch):
    """Chunks are ruled out by the bound of the error, and without it the answer would be wrong."""
    if device.type != "cpu":
        pytest.skip("products are replaced in the interpreter")
    generator = np.random.default_rng(5)
    # One row of each chunk lies on a shell about the queries, far from the mean: its distance
    # differs from the others' by less than the error, which is up in one chunk and down in the next
    data = generator.standard_normal((640, 64))
    data[:, 0] -= 10.0
    shell = generator.standard_normal((20, 64))
    shell *= (1.0 + 1e-5 * generator.random((20, 1))) / np.linalg.norm(shell, axis=1, keepdims=True)
    shell[:, 0] += 10.0
    data[[32 * chunk + chunk % 2 for chunk in range(20)]] = shell
    data = torch.from_numpy(data.astype(np.float32))
    queries = torch.zeros(6, 64)
    queries[:, 0] = 10.0
    worst_products(monkeypatch)
    assert_exact(queries, data, 3)
    n_scored = 0

    def count(*arguments):
        nonlocal n_scored
        n_scored += len(arguments[2])
        return rescoring.score_chunks(*arguments)

    monkeypatch.setattr(neighbors, "score_chunks", count)
    far = images(generator, 320, 64)
    assert_exact(far[300:], far[:300], 1)
    assert n_scored < 100  # of 200
    monkeypatch.setattr(neighbors, "allowance", lambda x, s, n: 0.0 * x * s)
    with pytest.raises(AssertionError):
        assert_exact(queries, data, 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1.0, 1e-19, 1e-30])
def test_pairs_are_rounded_once(dtype, scale, device):
    """Numbers of very different sizes, where a plain sum rounds many times."""
    generator = np.random.default_rng(6)
    points = generator.standard_normal((20, 97)) * 10.0 ** generator.uniform(-8, 0, (20, 97))
    points = torch.from_numpy(scale * points).to(device, dtype)
    pairs = torch.cartesian_prod(torch.arange(7), torch.arange(7, 20)).to(device)
    found = rescoring.score_pairs(points, points, pairs)
    expected = [rounded_once(points[i].tolist(), points[j].tolist()) for i, j in pairs.tolist()]
    assert found.tolist() == expected
    plain = [(points[i].double() - points[j].double()).square().sum().item() for i, j in pairs]
    assert found.tolist() != plain


def test_squares_that_underflow_are_rounded_once(device):
    """Between 2^-1074 and 2^-900: fewer bits than 53, and ties that what lies below decides."""
    generator = np.random.default_rng(7)
    points = generator.standard_normal((24, 5)) * 10.0 ** generator.uniform(-164, -138, (24, 1))
    points = torch.from_numpy(points).to(device)
    points[0] = 0.0
    unit = 2.0**-537  # whose square is the least number of all
    few = [[1.5, 0, 0, 0, 0], [1, 1, 0.5, 0.5, 0], [1, 1, 0.5, 0.5, 2.0**-50]]  # 2.25, 2.5, more
    points[1:4] = unit * torch.tensor(few, dtype=torch.float64)
    pairs = torch.tensor([[i, j] for i in range(24) for j in range(i)], device=device)
    found = rescoring.score_pairs(points, points, pairs)
    expected = [rounded_once(points[i].tolist(), points[j].tolist()) for i, j in pairs.tolist()]
    assert found.tolist() == expected
    by_pair = dict(zip(map(tuple, pairs.tolist()), found.tolist(), strict=True))
    assert [by_pair[i, 0] / 2.0**-1074 for i in (1, 2, 3)] == [2, 2, 3]  # down, to even, up


@pytest.mark.parametrize("is_numpy", [True, False])
def test_public_functions(is_numpy, device):
    points = images(np.random.default_rng(8), 130, 20).to(device)
    queries, data = points[100:], points[:100]
    expected = ops.nearest_neighbors(queries.cpu(), data.cpu(), 3, impl="native")
    if is_numpy:
        if device.type != "cpu":
            pytest.skip("NumPy arrays live on the CPU")
        queries, data = queries.numpy(), data.numpy()
    index = NeighborIndex(data, impl="triton")
    answers = [ops.nearest_neighbors(queries, data, 3, impl="triton"), index.query(queries, 3)]
    answers.append(index.query(queries, 3))  # from what the index keeps
    for found in answers:
        assert isinstance(found[0], np.ndarray) == is_numpy
        for one, other in zip(found, expected, strict=True):
            assert torch.equal(torch.as_tensor(one).cpu(), other)
    with pytest.raises(ValueError, match="strategy: 'pruned' needs impl 'native', but 'triton'"):
        ops.nearest_neighbors(queries, data, impl="triton", strategy="pruned")


def test_opcheck(device):
    points = torch.rand(40, 6, device=device)
    torch.library.opcheck(
        torch.ops.fastgan.nearest_neighbors_triton.default,
        (points[:3], points, 2, False, "auto"),
    )
