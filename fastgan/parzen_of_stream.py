"""Parzen-window log-likelihoods of a stream of samples, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastgan.batches import batches_of, is_array
from fastgan.parzen_stream import ParzenStream


def parzen_log_likelihood_of_stream(
    queries: Any,
    samples: Any,
    sigma: float | Sequence[float] | Any,
    *,
    n_samples: int | None = None,
    tolerance: float = 1e-6,
    return_bound: bool = False,
    exclude_self: bool = False,
    strategy: str = "auto",
    impl: str = "auto",
) -> Any:
    """Return the log-likelihood of each query under samples that are never held together.

    Parameters
    ----------
    queries : array or tensor of shape (n_queries, n_features), uint8, float32 or float64
    samples : iterable of batches, or array of shape (n_samples, n_features)
        Batches are arrays or tensors of shape (any n, n_features), of the queries' kind and dtype.
        An array may be memory-mapped and larger than memory: it is read block by block.
    sigma, tolerance, return_bound, exclude_self, strategy, impl
        As in :func:`fastgan.parzen_log_likelihood`.
    n_samples : int, optional
        How many samples the batches hold, where that is known; see :class:`ParzenStream`.

    Returns
    -------
    As :func:`fastgan.parzen_log_likelihood`.

    Raises
    ------
    TypeError, ValueError
        As :func:`fastgan.parzen_log_likelihood`, and ValueError where there is no sample.
    """
    if is_array(samples) and n_samples is None and len(samples.shape) and len(samples):
        n_samples = len(samples)
    stream = ParzenStream(
        queries,
        sigma,
        tolerance=tolerance,
        n_samples=n_samples,
        exclude_self=exclude_self,
        strategy=strategy,
        impl=impl,
    )
    for batch in batches_of(samples, stream.block_size):
        stream.update(batch)
    values = stream.log_likelihood()
    return (values, stream.bound()) if return_bound else values
