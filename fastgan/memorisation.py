"""Is a sample a memorised training image? Distances to the nearest one, with a yardstick.

Figure 2 of the paper shows the nearest training image of four samples. Here every distance is
measured for many samples, and for as many test images, which the training never saw: a generator
that copies stands out by samples much nearer to the training set than unseen real images are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastgan import ops
from fastgan.data import Dataset
from fastgan.memorisation_result import Memorisation
from fastgan.samples import Samples

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_NEAR = 0.01  # "nearer than the nearest hundredth of test images"


def check_memorisation(
    samples: NDArray[Any] | Tensor,
    dataset: Dataset,
    *,
    n_queries: int = 1_000,
    impl: str = "auto",
) -> Memorisation:
    """Measure how near samples and test images come to their nearest training images.

    Parameters
    ----------
    samples : Tensor or ndarray of shape (n_samples, n_features), floating point
        The first ``n_queries`` are asked about; as many test images are.
    dataset : Dataset
    n_queries : int
        At most; fewer where there are fewer samples or test images.
    impl : {"auto", "reference", "native", "triton"}

    Returns
    -------
    Memorisation
        Quantiles of the Euclidean distances, and the share of samples that lie nearer to a
        training image than all but the nearest hundredth of the test images do. A smooth sample is
        near to many images: a large share alone proves no copying.

    Raises
    ------
    TypeError, ValueError
        If an array or a number does not fit, or a sample is not finite.
    """
    if n_queries < 1:
        raise ValueError(f"n_queries: expected at least 1, got {n_queries}")
    checked = Samples(samples)
    n = min(n_queries, checked.n_samples, len(dataset.test))
    if checked.n_features != dataset.n_features:
        raise ValueError(
            f"samples: expected {dataset.n_features} columns as in the data set "
            f"{dataset.name!r}, got shape {(checked.n_samples, checked.n_features)}"
        )
    asked = torch.as_tensor(np.array(_numpy(checked.block(0, n)))).to(dataset.train.dtype)
    of_samples = _distances(asked, dataset.train, impl)
    of_test = _distances(dataset.test[:n].contiguous(), dataset.train, impl)
    return Memorisation(
        dataset=dataset.name,
        n_queries=n,
        n_train=len(dataset.train),
        quantile_levels=QUANTILES,
        sample_quantiles=tuple(np.quantile(of_samples, QUANTILES).tolist()),
        test_quantiles=tuple(np.quantile(of_test, QUANTILES).tolist()),
        sample_copies=int((of_samples == 0).sum()),
        test_copies=int((of_test == 0).sum()),
        nearer_than_test=float((of_samples < np.quantile(of_test, _NEAR)).mean()),
    )


def _distances(queries: Tensor, train: Tensor, impl: str) -> NDArray[np.float64]:
    squared, _ = ops.nearest_neighbors(queries, train, k=1, impl=impl)
    distances: NDArray[np.float64] = np.sqrt(_numpy(squared)[:, 0])
    return distances


def _numpy(rows: NDArray[Any] | Tensor) -> NDArray[Any]:
    return rows.numpy(force=True) if isinstance(rows, Tensor) else rows
