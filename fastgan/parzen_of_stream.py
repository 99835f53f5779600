"""Parzen-window log-likelihoods of a stream of samples, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.distributed as dist
from torch import Tensor

from fastgan.batches import batches_of, is_array
from fastgan.checks import check_matrix
from fastgan.ops._points import as_tensor
from fastgan.ops.sharing import check_same_arguments, gather_queries
from fastgan.parzen_stream import ParzenStream
from fastgan.processes import Processes


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
    process_group: dist.ProcessGroup | None = None,
) -> Any:
    """Return the log-likelihood of each query under samples that are never held together.

    Parameters
    ----------
    queries : array or tensor of shape (n_queries, n_features), uint8, float32 or float64
    samples : iterable of batches, or array of shape (n_samples, n_features)
        Batches are arrays or tensors of shape (any n, n_features), of the queries' kind and dtype.
        An array may be memory-mapped and larger than memory: it is read block by block.
    sigma, tolerance, return_bound, exclude_self, strategy, impl, process_group
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
    options: dict[str, Any] = {
        "tolerance": tolerance,
        "n_samples": n_samples,
        "exclude_self": exclude_self,
        "strategy": strategy,
        "impl": impl,
    }
    processes = Processes(process_group)
    own, part_of = queries, None
    with processes.together():
        if processes.size > 1:
            check_matrix("queries", queries, "n_queries", "n_features")
            share = processes.share(len(queries))
            own, part_of = queries[share], (share.start, len(queries))
        stream = ParzenStream(own, sigma, part_of=part_of, **options)
    if processes.size > 1:
        check_same_arguments(
            processes, queries=queries, sigma=stream.sigmas, return_bound=return_bound, **options
        )
    with processes.together():
        for batch in batches_of(samples, stream.block_size):
            stream.update(batch)
        answers = [stream.log_likelihood(), stream.bound()]
    if processes.size > 1:
        gathered = (gather_queries(processes, as_tensor(a), len(queries)) for a in answers)
        is_numpy = not isinstance(queries, Tensor)
        answers = [answer.numpy() if is_numpy else answer for answer in gathered]
    return (answers[0], answers[1]) if return_bound else answers[0]
