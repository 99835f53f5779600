"""Memory and threads that the system refuses; csrc/tests/memory.cpp fails every allocation."""

from __future__ import annotations

import sys

import pytest
from children import run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")

LIMITED = """
import contextlib, os, resource
import numpy as np
from fastgan import _core

@contextlib.contextmanager
def at_most(n_more_bytes):
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + n_more_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)

def words(n_threads):
    out = np.empty(1 << 18, np.uint32)
    _core.philox_words(out, 5, 0, 0, 0, n_threads)
    return out

expected = words(1)
"""


@pytest.mark.parametrize("n_threads", [1, 2])
def test_memory_that_runs_out_is_a_memory_error(n_threads: int) -> None:
    program = f"""
n_threads = {n_threads}
words(n_threads)
order = np.empty(1 << 25, np.int64)
data, queries = np.zeros((40_000_000, 1), np.uint8), np.zeros((2_100, 1), np.uint8)
radii, per_query = np.zeros(2_100), np.zeros(2_100, np.int64)
per_row = np.zeros(40_000_000, np.int64)
calls = [
    lambda: _core.philox_permutation(order, 0, 0, 0, n_threads),
    # each of its tasks counts rows in memory of its own
    lambda: _core.count_within(queries, data, radii, None, n_threads, per_query, per_row),
]
for call in calls:
    with at_most(100 << 20):
        try:
            call()
            raise SystemExit("it had memory enough")
        except MemoryError:
            pass
    assert (words(n_threads) == expected).all()
"""
    run(LIMITED + program)


def test_threads_that_cannot_be_had_are_done_without() -> None:
    program = """
n_before = len(os.listdir("/proc/self/task"))
out = np.empty(1 << 18, np.uint32)
with at_most(1 << 20):  # less than the stack of a thread
    _core.philox_words(out, 5, 0, 0, 0, 4)
assert len(os.listdir("/proc/self/task")) == n_before
assert (out == expected).all()
assert (words(4) == expected).all()
assert len(os.listdir("/proc/self/task")) == n_before + 3
"""
    run(LIMITED + program)
