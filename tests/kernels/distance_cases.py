"""What the tests of distances, Parzen sums and neighbours share."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from fastgan.kernels import distances
from fastgan.kernels.launch import ARCHITECTURES
from fastgan.kernels.tile_configurations import product_tiles

SHIPPED = [
    (architecture, number)
    for architecture in ARCHITECTURES
    for number in range(len(product_tiles()[architecture]))
]


def images(generator, n, n_features, dtype=torch.float32):
    """Points near a few prototypes, as images are: some close, most far."""
    prototypes = generator.random((5, n_features))
    points = prototypes[generator.integers(0, 5, n)]
    points = (points + 0.1 * generator.standard_normal((n, n_features))).clip(0, 1)
    if dtype == torch.uint8:
        points = np.round(255 * points)
    return torch.from_numpy(points).to(dtype)


def exact_squared_distance(x, y):
    """sum (x - y)^2 in rational arithmetic."""
    return sum(
        (Fraction(a) - Fraction(b)) ** 2 for a, b in zip(x.tolist(), y.tolist(), strict=True)
    )


def assert_within_contract(log_sums, expected):
    """Within max(1e-4 nats, 1e-12 of the value); infinities equal."""
    finite = torch.isfinite(expected)
    assert torch.equal(log_sums[~finite], expected[~finite])
    error = (log_sums - expected)[finite].abs()
    allowed = torch.clamp(1e-12 * expected[finite].abs(), min=1e-4)
    assert (error <= allowed).all(), f"error {(error / allowed).max():.3g} of what is allowed"


def worst_products(monkeypatch, share=0.95):
    """Let the interpreter's products be as wrong as the allowance says that they may be.

    Each product of 32 features is off by ``share`` of 160 units of |x||s|, for half of the pairs up
    and for half of them down.
    """
    interpreter = pytest.importorskip("triton.runtime.interpreter")
    unit = distances._PRODUCT_UNITS * distances._UNIT

    def create_dot(self, a, b, d, input_precision, max_num_imprecise_acc):
        x, s = a.data.astype(np.float64), b.data.astype(np.float64)
        norms = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(s, axis=0)
        signs = 1.0 - 2.0 * (np.indices(norms.shape).sum(0) % 2)
        product = (x @ s + share * unit * signs * norms).astype(np.float32)
        return interpreter.TensorHandle(product + d.data, d.dtype.scalar)

    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_dot", create_dot)
