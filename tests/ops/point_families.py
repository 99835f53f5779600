"""Points of many kinds for the tests of pruned engines, and ways to run them."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from fastgan import backends
from fastgan.ops import index, parzen_sums
from fastgan.ops import parzen as parzen_operation


def rounded_once(x, y):
    """sum (x - y)^2 in rational arithmetic, rounded once."""
    return float(
        sum((Fraction(float(a)) - Fraction(float(b))) ** 2 for a, b in zip(x, y, strict=True))
    )


Shape = Callable[[np.random.Generator, int, int], np.ndarray]


def uniform(generator, n, d):
    return generator.random((n, d))


def clustered(generator, n, d):
    prototypes = generator.random((6, d))
    return prototypes[generator.integers(0, 6, n)] + 0.03 * generator.standard_normal((n, d))


def duplicated(generator, n, d):
    rows = generator.random((1 + n // 7, d))
    return rows[generator.integers(0, len(rows), n)]


def constant(generator, n, d):
    return np.repeat(generator.random((1, d)), n, 0)


def zero(generator, n, d):
    return np.zeros((n, d))


def few_values(generator, n, d):
    """Whole numbers: many pairs at exactly the same distance."""
    return generator.integers(0, 2, (n, d)).astype(float)


def line(generator, n, d):
    """On a line, where the bound is as close as it gets; some pairs lie very close together."""
    along = generator.random((n, 1)) ** 3
    return along * generator.standard_normal((1, d)) + generator.random((1, d))


def low_rank(generator, n, d):
    return generator.standard_normal((n, 3)) @ generator.standard_normal((3, d))


def one_outlier(generator, n, d):
    points = generator.standard_normal((n, d))
    points[n // 2] *= 1e6
    return points


def outliers(generator, n, d):
    points = clustered(generator, n, d)
    points[generator.random(n) < 0.3] *= 1e4
    return points


def every_size(generator, n, d):
    """Norms over twelve orders of magnitude, about the origin."""
    return generator.standard_normal((n, d)) * 10.0 ** generator.uniform(-6, 6, (n, 1))


SHAPES: tuple[Shape, ...] = (
    *(uniform, clustered, duplicated, constant, zero, few_values, line, low_rank),
    *(one_outlier, outliers, every_size),
)


@dataclass(frozen=True)
class Form:
    """A dtype, and what the points of a shape are multiplied by and moved by (in that order)."""

    dtype: type
    scale: float = 1.0
    offset: float = 0.0

    def __call__(self, points: np.ndarray) -> np.ndarray:
        if self.dtype is np.uint8:
            spread = float(np.ptp(points)) or 1.0
            return (255 * ((points - points.min()) / spread)).round().astype(np.uint8)
        return (self.scale * points + self.offset).astype(self.dtype)


FORMS = (
    Form(np.uint8),
    *(Form(np.float32, scale) for scale in (1.0, 1e-30, 1e-42, 1e25)),
    *(Form(np.float32, 1.0, offset) for offset in (1e3, 1e8)),
    # 1e-163: squares underflow, here to zero and there to a few bits; 1e-310: no normal number.
    *(Form(np.float64, scale) for scale in (1.0, 1e-30, 1e-161, 1e-163, 1e-310, 1e30, 1e147)),
    *(Form(np.float64, 1.0, offset) for offset in (1e3, 1e8)),
)


@dataclass(frozen=True)
class Case:
    queries: np.ndarray
    data: np.ndarray
    form: Form
    generator: np.random.Generator


@st.composite
def cases(draw, most_rows=700):
    """Draw data, and queries of which some are rows, some lie between rows, some far away."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.sampled_from(SHAPES))
    form = draw(st.sampled_from(FORMS))
    sizes = (1, 2, 31, 32, 33, 63, 64, 65, 100, 257, 700, 2048, 2049)
    n_rows = draw(st.sampled_from([n for n in sizes if n <= most_rows]))
    n_queries = draw(st.sampled_from([1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 25]))
    d = draw(st.sampled_from([1, 2, 3, 17, 63, 64, 65, 96, 130]))
    points = shape(generator, n_rows + n_queries, d)
    data = points[:n_rows]
    others = [points[n_rows:], data[generator.integers(0, n_rows, n_queries)]]
    others += [(others[1] + data[generator.integers(0, n_rows, n_queries)]) / 2, 30 * others[0] + 1]
    kinds = generator.integers(0, draw(st.sampled_from([1, 3, 4])), n_queries)
    queries = np.choose(kinds[:, None], others)
    both = form(np.concatenate([data, queries]))
    return Case(both[n_rows:].copy(), both[:n_rows].copy(), form, generator)


@dataclass(frozen=True)
class Run:
    """How an operation runs; the sizes make few rows come in many blocks."""

    level: str = "auto"
    n_threads: int = 2
    block_rows: int | None = None  # sketched together, and summed together in Parzen's sums
    chunk_queries: int | None = None

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        level, n_threads = backends.simd_level(), torch.get_num_threads()
        with pytest.MonkeyPatch.context() as patch:
            if self.block_rows is not None:
                patch.setattr(index, "BLOCK_ROWS", self.block_rows)
                patch.setattr(parzen_sums, "BLOCK_ROWS", self.block_rows)
                patch.setattr(parzen_operation, "BLOCK_SIZE", self.block_rows)
            if self.chunk_queries is not None:
                patch.setattr(index, "_CHUNK_QUERIES", self.chunk_queries)
            backends.force_simd_level(self.level)
            torch.set_num_threads(self.n_threads)
            try:
                yield
            finally:
                backends.force_simd_level(level)
                torch.set_num_threads(n_threads)


RUNS = st.builds(
    Run,
    st.sampled_from(backends.simd_levels()),
    st.sampled_from([1, 2]),
    st.sampled_from([None, 50, 64]),
    st.sampled_from([None, 7, 24]),
)
