"""The bound that exactness rests on: the tiles' squared distances against the true ones."""

import numpy as np
import pytest
import torch

from fastgan import _core
from fastgan.data import load_dataset


def error_and_bound(queries, samples, in_float64):
    shape = (len(queries), len(samples))
    found, bound = np.full(shape, np.nan), np.full(shape, np.nan)
    _core.approximate_distances(queries, samples, in_float64, found, bound)
    wide = np.longdouble if in_float64 else np.float64
    true = ((queries[:, None].astype(wide) - samples.astype(wide)) ** 2).sum(2)
    return np.abs(found.astype(wide) - true).astype(np.float64), bound


@pytest.mark.parametrize("in_float64", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("n_features", [1, 2, 17, 63, 64, 65, 200, 784, 3072])
def test_error_is_within_its_bound(simd_level, n_features, dtype, in_float64):
    generator = np.random.default_rng(n_features)
    for scale, shift in ((1, 0), (255, 0), (1, 1000), (1e-6, 0), (1e6, -1e7)):
        if dtype is np.uint8 and (scale, shift) != (255, 0):
            continue
        points = (scale * generator.random((40, n_features)) + shift).astype(dtype)
        error, bound = error_and_bound(points[:13], points[13:], in_float64)
        assert (error <= bound).all()


def test_error_of_one_sign(simd_level):
    """Terms of one sign and one size, so that roundings add up instead of cancelling."""
    for value in (np.float32(1 / 3), np.float32(0.1), np.float32(1 - 2**-24)):
        queries = np.full((1, 3072), value, np.float32)
        samples = np.zeros((3, 3072), np.float32)
        samples[1] = -value
        samples[2] = value * np.float32(0.7)
        error, bound = error_and_bound(queries, samples, in_float64=False)
        assert (error <= bound).all()


@pytest.mark.data
def test_bound_on_real_images_is_not_idle(data_folder, simd_level):
    """On MNIST, where squared distances are about 100, it is below 2e-3 and above the error."""
    mnist = load_dataset("mnist", folder=data_folder)
    queries, samples = mnist.test[:30].numpy(), mnist.train[:500].numpy()
    error, bound = error_and_bound(queries, samples, in_float64=False)
    assert (error <= bound).all()
    assert bound.max() < 2e-3
    assert torch.tensor(error).median() > 0
