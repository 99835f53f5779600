"""Nearest neighbours that several processes look for together: the answer of one process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from launching import run

from fastgan.ops.index import BLOCK_ROWS
from fastgan.ops.shared_neighbors import _without
from fastgan.ops.sharing import by_centres

CASES = """
import itertools, json
import numpy as np
from fastgan import NeighborIndex, nearest_neighbors
from fastgan.ops import index as indices, shared_neighbors
from fastgan.processes import ProcessFailedError

group = processes.group
random = np.random.Generator(np.random.Philox(3))
rows = random.integers(0, 6, (9_000, 100)).astype(np.float64)  # whole numbers: many ties
rows[5_000:5_100] = rows[0]
queries = np.concatenate([rows[::500], random.integers(0, 6, (600, 100))])
shared_neighbors.BLOCK_ROWS = indices.BLOCK_ROWS = 2_048  # five blocks


def same(one, other):
    return all(type(a) is type(b) and np.array_equal(np.asarray(a), np.asarray(b))
               and a.dtype == b.dtype for a, b in zip(one, other, strict=True))


differing = []
for by_rows in (False, True):
    shared_neighbors.by_centres = lambda *shape, by_rows=by_rows: by_rows
    for dtype, strategy in itertools.product(["uint8", "float32", "float64"],
                                             ["auto", "pruned", "dense"]):
        x, y = queries.astype(dtype), rows.astype(dtype)
        for k in (1, 5):
            of_one = nearest_neighbors(x, y, k, strategy=strategy)
            found = nearest_neighbors(x, y, k, strategy=strategy, process_group=group)
            differing += [f"{dtype} {strategy} {k} {by_rows}"] * (not same(found, of_one))
    x, y = torch.from_numpy(queries), torch.from_numpy(rows)
    for name, arguments, options in (
        ("all rows", (x[:3], y[:6], 6), {}),
        ("no query", (x[:0], y, 2), {}),
        ("one query", (x[:1], y, 64), {}),
        ("reference", (x[:7], y[:2_500], 3), {"impl": "reference"}),
    ):
        found = nearest_neighbors(*arguments, **options, process_group=group)
        differing += [name] * (not same(found, nearest_neighbors(*arguments, **options)))
    index = NeighborIndex(rows)
    for k in (1, 3):
        found = index.query(queries, k, process_group=group)
        differing += [f"index {by_rows}"] * (not same(found, index.query(queries, k)))
shared_neighbors.by_centres = lambda *shape: False
for k, strategy, impl in ((1, "pruned", "auto"), (4, "dense", "auto"), (150, "auto", "auto"),
                          (2, "auto", "reference")):
    y = rows[4_800:5_300] if impl == "reference" else rows  # a hundred copies of one row
    options = {"exclude_self": True, "strategy": strategy, "impl": impl}
    found = nearest_neighbors(y, y, k, **options, process_group=group)
    differing += [f"self {k} {strategy}"] * (not same(found, nearest_neighbors(y, y, k, **options)))

refused = []
other = processes.rank == processes.size - 1
for x, y, k in ((queries, rows, 1 + other), (queries, rows, 0 if other else 1)):
    try:
        nearest_neighbors(x, y, k, process_group=group)
        refused.append("")
    except (ValueError, ProcessFailedError) as error:
        refused.append(f"{type(error).__name__}: {error}")
print(json.dumps([differing, refused]))
del group
"""


@pytest.mark.parametrize("n_processes", [2, 3, 4])
def test_every_process_gets_the_neighbours_of_one(n_processes: int, tmp_path: Path) -> None:
    found = [json.loads(text) for text in run(CASES, n_processes, tmp_path)]
    for rank, (differing, refused) in enumerate(found):
        assert differing == []
        assert refused[0].startswith("ValueError: process_group: arguments: expected the same on")
        own = rank == n_processes - 1
        assert refused[1].startswith("ValueError: k" if own else "ElsewhereError: process")
        assert "k: expected" in refused[1]


def test_blocks_are_shared_where_they_are_many_against_queries() -> None:
    for n_first in (0, BLOCK_ROWS):  # neighbours, Parzen sums
        assert not by_centres(10_000, 60_000, 784, 2, BLOCK_ROWS, n_first)  # one block
        assert by_centres(1_000, 10_000_000, 784, 2, BLOCK_ROWS, n_first)
        assert not by_centres(1_000_000, 200_000, 784, 2, BLOCK_ROWS, n_first)
        # a process would have none
        assert not by_centres(40_000, 3 * BLOCK_ROWS, 784, 4, BLOCK_ROWS, n_first)
    assert by_centres(1_000, 100_000, 784, 2, BLOCK_ROWS, 0)
    assert not by_centres(1_000, 100_000, 784, 2, BLOCK_ROWS, BLOCK_ROWS)  # one block is left


def test_a_query_that_is_not_among_its_nearest_rows_loses_the_last() -> None:
    rows = torch.tensor([[5, 2, 7], [0, 1, 4]])
    squared = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    found = _without(squared, rows, slice(2, 4))
    assert found[0].tolist() == [[0.0, 1.0], [0.0, 0.0]]
    assert found[1].tolist() == [[5, 7], [0, 1]]
