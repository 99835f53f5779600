"""Gaussian Parzen sums by differences, in float64."""

from __future__ import annotations

import torch
from torch import Tensor


def parzen_log_sums(
    queries: Tensor,
    samples: Tensor,
    sigmas: Tensor,
    block_size: int,
    own_offset: int | None = None,
) -> Tensor:
    """Return log sum_{i in block} exp(-d2 / (2 sigma^2)), (n_blocks, n_sigmas, n_queries).

    With ``own_offset`` sample ``q + own_offset``, where there is one, is left out for query q.
    """
    samples = samples.double()
    n_blocks = -(-samples.shape[0] // block_size)
    log_sums = samples.new_empty((n_blocks, sigmas.shape[0], queries.shape[0]))
    for q, x in enumerate(queries.double()):
        squared_distances = ((x - samples) ** 2).sum(1)
        if own_offset is not None and 0 <= q + own_offset < len(samples):
            squared_distances[q + own_offset] = torch.inf
        exponents = -squared_distances / (2 * sigmas[:, None] ** 2)
        for block, part in enumerate(exponents.split(block_size, 1)):
            log_sums[block, :, q] = torch.logsumexp(part, 1)
    return log_sums
