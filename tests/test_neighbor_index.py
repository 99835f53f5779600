"""An index answers as the function does, call after call, and travels without what it prepared."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from fastgan import NeighborIndex, nearest_neighbors


@pytest.fixture
def rows():
    return np.random.default_rng(0).random((90, 5))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_neighbors_are_exact(rows, dtype):
    data = (255 * rows).astype(dtype)
    index = NeighborIndex(data[:60])
    squared, numbers = index.query(data[60:], k=3)
    exact = ((data[60:, None].astype(float) - data[None, :60].astype(float)) ** 2).sum(axis=2)
    assert_array_equal(numbers, np.argsort(exact, axis=1, kind="stable")[:, :3])
    assert_allclose(squared, np.sort(exact, axis=1)[:, :3], rtol=1e-14)
    assert squared.dtype == np.float64
    assert numbers.dtype == np.int64


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_a_query_does_not_depend_on_its_company(data):
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    # few distinct numbers: many ties, many duplicates
    rows = random.integers(0, 3, (70, data.draw(st.integers(1, 20)))).astype(np.float32)
    index = NeighborIndex(rows[:40])
    k = data.draw(st.integers(1, 40))
    squared, numbers = index.query(rows, k)
    chosen = data.draw(st.lists(st.integers(0, 69), max_size=90))
    some_squared, some_numbers = index.query(rows[chosen], k)
    assert_array_equal(some_squared, squared[chosen])
    assert_array_equal(some_numbers, numbers[chosen])
    exact = ((rows[:, None] - rows[None, :40]) ** 2).sum(2)  # whole numbers: exact in float32
    assert_array_equal(numbers, np.argsort(exact, axis=1, kind="stable")[:, :k])


@pytest.mark.parametrize("exclude_self", [False, True])
def test_engines_agree_to_the_bit(exclude_self):
    random = np.random.default_rng(1)
    centres = random.random((20, 100)).astype(np.float32)
    # whole groups of equal rows: ties take the smaller index with either engine
    data = np.repeat(centres[random.integers(0, 20, 1_500)], 3, axis=0)
    data[::3] += 0.05 * random.standard_normal((1_500, 100)).astype(np.float32)
    queries = data if exclude_self else data[::7] + np.float32(0.01)
    answers = [
        NeighborIndex(data, strategy=strategy).query(queries, 4, exclude_self=exclude_self)
        for strategy in ("dense", "pruned", "auto")
    ]
    for squared, numbers in answers[1:]:
        assert_array_equal(squared, answers[0][0])
        assert_array_equal(numbers, answers[0][1])


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_neighbors_of_the_data_themselves(rows, kind):
    index = NeighborIndex(kind(rows))
    assert type(index.data) is type(kind(rows))
    squared, numbers = index.query(index.data)
    assert type(squared) is type(index.data)
    assert numbers[:, 0].tolist() == list(range(90))
    assert not squared.any()
    squared, numbers = index.query(index.data, 89, exclude_self=True)
    exact = ((rows[:, None] - rows[None]) ** 2).sum(2)
    np.fill_diagonal(exact, math.inf)
    assert_array_equal(numbers, np.argsort(exact, axis=1, kind="stable")[:, :89])
    with pytest.raises(ValueError, match=r"k: expected at most 89, .* got 90"):
        index.query(index.data, 90, exclude_self=True)
    with pytest.raises(ValueError, match="exclude_self: expected queries to be the 90 rows of"):
        index.query(index.data[:3], exclude_self=True)


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_an_index_pickles_and_copies(rows, kind):
    index = NeighborIndex(kind(rows[:60]), strategy="dense", impl="native")
    expected = index.query(kind(rows[60:]), 2)
    for other in (pickle.loads(pickle.dumps(index)), copy.deepcopy(index), copy.copy(index)):
        assert (other.strategy, other.impl) == ("dense", "native")
        for found, same in zip(other.query(kind(rows[60:]), 2), expected, strict=True):
            assert_array_equal(found, same)
    # little travels but the data
    assert len(pickle.dumps(index)) < rows[:60].nbytes + 1000


def test_data_are_not_copied_where_contiguous(rows, tmp_path):
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    tensor = torch.tensor(rows)
    assert np.shares_memory(NeighborIndex(mapped).data, mapped)
    assert NeighborIndex(tensor).data.data_ptr() == tensor.data_ptr()
    for across in (rows.T.copy().T, torch.tensor(rows.T.copy()).T):
        index = NeighborIndex(across)
        assert_array_equal(index.data, rows)
        queries = rows[:7] if isinstance(across, np.ndarray) else tensor[:7]
        assert_array_equal(index.query(queries, 4)[1], nearest_neighbors(rows[:7], rows, 4)[1])


def test_length_and_words(rows):
    index = NeighborIndex(rows)
    assert len(index) == 90
    assert repr(index) == "NeighborIndex(n_data=90, n_features=5, dtype=float64)"
    assert repr(NeighborIndex(torch.ones(2, 3))) == (
        "NeighborIndex(n_data=2, n_features=3, dtype=float32)"
    )


@pytest.mark.parametrize(
    ("data", "options", "error", "sentence"),
    [
        ([[0.0]], {}, TypeError, "data: expected a NumPy array or a torch.Tensor, got list"),
        (np.zeros(9), {}, ValueError, r"data: expected 2 dimensions \(n_data, .* shape \(9,\)"),
        (np.zeros((0, 2)), {}, ValueError, r"data: expected at least 1 row .* shape \(0, 2\)"),
        (torch.ones(2, 0), {}, ValueError, r"data: .* and 1 feature, got shape \(2, 0\)"),
        (np.zeros((2, 2), int), {}, TypeError, "data: expected dtype uint8, .*, got int64"),
        (torch.ones(2, 2).half(), {}, TypeError, "data: .* float32 or float64, got float16"),
        (
            torch.tensor([[0.0, 1.0], [2.0, math.nan]]),
            {},
            ValueError,
            "data: expected finite numbers, got nan in row 1, column 1",
        ),
        (np.full((1, 1), math.inf), {}, ValueError, "data: expected finite numbers, got inf"),
        (torch.ones(2, 2, requires_grad=True), {}, ValueError, "data: .* without gradient"),
        (np.zeros((2, 2)), {"strategy": "quick"}, ValueError, "strategy: .* got 'quick'"),
        (
            np.zeros((2, 2)),
            {"strategy": "pruned", "impl": "reference"},
            ValueError,
            "strategy: 'pruned' needs impl 'native', but 'reference' runs here",
        ),
        (np.zeros((2, 2)), {"impl": "fast"}, ValueError, "impl: .* got 'fast'"),
    ],
)
def test_data_and_options_are_refused_at_once(data, options, error, sentence):
    with pytest.raises(error, match=sentence):
        NeighborIndex(data, **options)


def test_queries_are_refused(rows):
    index = NeighborIndex(rows)
    with pytest.raises(ValueError, match=r"k: expected at most 90, .* got 91"):
        index.query(rows, k=91)
    with pytest.raises(TypeError, match=r"data: expected a torch.Tensor like queries"):
        index.query(torch.tensor(rows))
    with pytest.raises(TypeError, match="data: expected dtype float32 like queries, got float64"):
        index.query(rows.astype(np.float32))
    with pytest.raises(ValueError, match="queries: expected 5 features like data"):
        index.query(rows[:, :3])
    squared, numbers = index.query(rows[:0], 2)
    assert squared.shape == numbers.shape == (0, 2)


@pytest.mark.parametrize(("option", "wrong"), [("strategy", "quick"), ("impl", "fast")])
def test_options_reach_the_search(rows, option, wrong):
    index = NeighborIndex(rows)
    setattr(index, option, wrong)
    with pytest.raises(ValueError, match=f"{option}: "):
        index.query(rows)
