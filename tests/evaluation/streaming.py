"""What the tests of streams share: short blocks, batches, a generator, and equality of bits."""

from __future__ import annotations

import dataclasses

import numpy as np

from fastgan.parzen_stream import ParzenStream

PARZEN_NATS = 1e-4  # what parzen_log_likelihood promises
BLOCK = 32
N_SAMPLES = 211
N_EVALUATED = 12_345  # more than the protocol prescribes


def streamed(queries, batches, sigma=0.3, **options):
    stream = ParzenStream(queries, sigma, **{"block_size": BLOCK, **options})
    for batch in batches:
        stream.update(batch)
    return stream


def cut(rows, sizes):
    """Rows in consecutive batches of these sizes, the rest as a last one."""
    edges = np.minimum(np.cumsum([0, *sizes]), len(rows)).tolist()
    return [rows[a:b] for a, b in zip(edges, [*edges[1:], len(rows)], strict=True)]


def same_bits(a, b):
    return np.array_equal(np.asarray(a), np.asarray(b))


class Model:
    """A generator of given rows, which remembers what it was asked for."""

    def __init__(self, rows):
        self.rows, self.asked = rows, []

    def sample(self, n_samples, seed, *, first_row=0):
        self.asked.append((first_row, n_samples, seed))
        return self.rows[first_row : first_row + n_samples]


def without_seconds(found):
    return dataclasses.replace(found, seconds=0.0)
