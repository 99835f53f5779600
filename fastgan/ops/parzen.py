"""Gaussian Parzen-window log-likelihoods, exact to float64, in one pass for a grid of sigmas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from fastgan import backends
from fastgan.batches import is_array, is_stream, one_row_like
from fastgan.checks import check_integer, check_number
from fastgan.ops._points import Points, check_exclude_self, check_points
from fastgan.ops._registry import register
from fastgan.ops.parzen_sums import ParzenSums, merge_blocks
from fastgan.ops.shared_parzen import Centres, shared_log_sums
from fastgan.ops.sharing import check_same_arguments
from fastgan.processes import Processes

BLOCK_SIZE = 65536
# 1 / (2 sigma^2) and d2 / (2 sigma^2) must be normal float64 numbers.
SIGMA_LEAST, SIGMA_MOST = 1e-150, 1e150


def _sums(
    queries: Tensor,
    samples: Tensor,
    sigmas: Tensor,
    block_size: int,
    tolerance: float,
    exclude_self: bool,
    strategy: str,
    impl: str,
) -> tuple[Tensor, Tensor]:
    sums = ParzenSums(
        queries,
        sigmas,
        tolerance=tolerance,
        n_samples=len(samples),
        exclude_self=exclude_self,
        strategy=strategy,
        impl=impl,
    )
    return sums.add(samples, 0, block_size)


def _empty(
    queries: Tensor, samples: Tensor, sigmas: Tensor, block_size: int, *_: object
) -> tuple[Tensor, Tensor]:
    n_blocks = (samples.shape[0] + block_size - 1) // block_size
    shape = (n_blocks, sigmas.shape[0], queries.shape[0])
    return (
        queries.new_empty(shape, dtype=torch.float64),
        queries.new_empty(shape, dtype=torch.float64),
    )


_op = register(
    "parzen_log_sums(Tensor queries, Tensor samples, Tensor sigmas, int block_size, "
    "float tolerance, bool exclude_self, str strategy, str impl)"
    " -> (Tensor log_sums, Tensor log_dropped)",
    every_device=_sums,
    fake=_empty,
)
_merge = register(
    "parzen_merge(Tensor log_sums) -> Tensor",
    every_device=merge_blocks,
    fake=lambda log_sums: torch.empty_like(log_sums[0]),
)


def parzen_log_likelihood(
    queries: Any,
    samples: Any,
    sigma: float | Sequence[float] | Any,
    *,
    tolerance: float = 1e-6,
    return_bound: bool = False,
    exclude_self: bool = False,
    strategy: str = "auto",
    impl: str = "auto",
    process_group: dist.ProcessGroup | None = None,
) -> Any:
    """Return the log-likelihood of each query under a Gaussian Parzen window on the samples.

    ``log p(x) = log mean_i exp(-|x - s_i|^2 / (2 sigma^2)) - d log(sigma sqrt(2 pi))``, in nats.

    Parameters
    ----------
    queries : array or tensor of shape (n_queries, n_features), uint8, float32 or float64
        The points whose likelihood is asked. uint8 means the numbers 0..255, never rescaled.
    samples : array or tensor of shape (n_samples, n_features), or an iterator of batches
        The centres of the Gaussians; NumPy or torch, dtype and device as ``queries``. A
        memory-mapped array and batches from an iterator are read block by block and may be larger
        than memory; :class:`fastgan.ParzenStream` can also be cut and continued.
    sigma : float or sequence of floats
        Standard deviation of each Gaussian, in the units of the data. A sequence is answered in one
        pass.
    tolerance : float
        The most, in nats, that any value may be too low because samples too far to matter were left
        out. 0 asks for the dense sum. (The dense engine leaves out nothing.)
    return_bound : bool
        Return also, for each value, an upper limit in nats on what was left out.
    exclude_self : bool
        The queries are the samples: sample i is left out of the mean of query i (leave one out).
    strategy : str
        ``auto``, ``pruned`` or ``dense``.
    impl : str
        ``auto``, ``reference``, ``native`` or ``triton``.
    process_group : torch.distributed.ProcessGroup, optional
        The processes that share the work: ``torch.distributed.group.WORLD``, or any group. Each of
        them calls with the same arguments (an iterator gives each the same batches) and gets the
        whole answer, to the bits of one process. None, also where torch.distributed is in use: this
        process alone. (An evaluation that only one process makes must not wait for the others.)

    Returns
    -------
    float64 array or tensor of shape (n_queries,), or (n_sigmas, n_queries) for a sequence
        Nats. With ``return_bound`` a pair of two such.

    Raises
    ------
    TypeError
        For kinds and dtypes that are not taken, or a mixture of them.
    ValueError
        For wrong shapes, NaN or infinity, a sigma that is not a positive finite number, or an
        option that is unknown; on every process, if their arguments differ.
    fastgan.processes.ProcessFailedError
        (a RuntimeError) If another process of the group failed, or is gone.

    Notes
    -----
    Right to within ``max(1e-4 nats, 1e-12 |value|)`` of the formula on the inputs as given. The
    bits depend on inputs, options and SIMD level (on a GPU: its architecture) alone: not on how
    queries are grouped into calls and not on the number of threads or processes.

    Source: Goodfellow et al., *Generative Adversarial Nets*, 2014, section 5; their
    ``parzen_ll.py``; Breuleux et al., 2011.

    Examples
    --------
    >>> import numpy as np
    >>> queries, samples = np.zeros((1, 2)), np.zeros((3, 2))
    >>> parzen_log_likelihood(queries, samples, 1.0)  # -log(2 pi)
    array([-1.83787707])
    """
    options: dict[str, Any] = {
        "tolerance": tolerance,
        "exclude_self": exclude_self,
        "strategy": strategy,
        "impl": impl,
    }
    is_mapped = is_stream(samples) and is_array(samples)
    if is_stream(samples) and not (is_mapped and process_group is not None):
        from fastgan.parzen_of_stream import parzen_log_likelihood_of_stream

        return parzen_log_likelihood_of_stream(
            queries,
            samples,
            sigma,
            return_bound=return_bound,
            process_group=process_group,
            **options,
        )
    processes = Processes(process_group)
    with processes.together():
        check_number("tolerance", tolerance)
        if tolerance < 0:
            raise ValueError(f"tolerance: expected a number of nats of at least 0, got {tolerance}")
        backends.check_strategy(strategy)
        mapped = samples if is_mapped and len(samples.shape) == 2 and len(samples) else None
        of_samples = samples if mapped is None else one_row_like(samples)
        points = check_points(queries, of_samples, "samples", "n_samples")
        sigmas, is_scalar = check_sigmas(sigma)
        n_samples = len(points.others if mapped is None else mapped)
        if exclude_self:
            check_exclude_self(points, n_rows=n_samples)
            if n_samples < 2:
                raise ValueError("exclude_self: expected at least 2 samples, got 1")
    if processes.size > 1:
        given = samples if points.index is None else points.index.given
        check_same_arguments(
            processes,
            queries=queries,
            samples=given,
            sigma=sigmas,
            device=points.queries.device,
            return_bound=return_bound,
            **options,
        )
    log_sums, log_dropped = _sums_of_all(processes, points, mapped, sigmas, n_samples, options)
    n_features = points.others.shape[1]
    normalisers = [
        math.log(n_samples - exclude_self) + n_features * math.log(value * math.sqrt(2 * math.pi))
        for value in sigmas.tolist()
    ]
    sums = _merge(log_sums)
    values = sums - sums.new_tensor(normalisers)[:, None]
    if is_scalar:
        values = values[0]
    if not return_bound:
        return points.answer(values)
    dropped = _merge(log_dropped)
    bound = torch.where(dropped == -torch.inf, 0.0, torch.log1p(torch.exp(dropped - sums)))
    return points.answer(values), points.answer(bound[0] if is_scalar else bound)


def _sums_of_all(
    processes: Processes,
    points: Points,
    mapped: Any,
    sigmas: Tensor,
    n_samples: int,
    options: dict[str, Any],
) -> tuple[Tensor, Tensor]:
    """Return the sums of all blocks, and what was left out of them."""
    tolerance, exclude_self = float(options["tolerance"]), bool(options["exclude_self"])
    strategy, impl = options["strategy"], options["impl"]
    if processes.size == 1 and points.index is None and mapped is None:
        found: tuple[Tensor, Tensor] = _op(
            points.queries,
            points.others,
            sigmas,
            BLOCK_SIZE,
            tolerance,
            exclude_self,
            strategy,
            impl,
        )
        return found

    def make(own: slice) -> ParzenSums:
        return ParzenSums(
            points.queries[own],
            sigmas,
            tolerance=tolerance,
            n_samples=n_samples,
            exclude_self=exclude_self,
            first_query=own.start,
            strategy=strategy,
            impl=impl,
        )

    centres = Centres(points, mapped, BLOCK_SIZE)
    return shared_log_sums(processes, points.queries, centres, make, BLOCK_SIZE)


def parzen_log_sums(
    queries: Any,
    samples: Any,
    sigmas: Sequence[float] | Any,
    *,
    block_size: int = BLOCK_SIZE,
    impl: str = "auto",
) -> Any:
    """Return the Parzen sums of consecutive blocks of samples, to be put together in any way.

    ``log sum_{i in block} exp(-|x - s_i|^2 / (2 sigma^2))``. The log-sum-exp over all blocks is the
    sum over all samples; over all but one, what the jackknife needs.

    Parameters
    ----------
    queries : array or tensor of shape (n_queries, n_features), uint8, float32 or float64
    samples : array or tensor of shape (n_samples, n_features)
    sigmas : sequence of floats
    block_size : int
        Samples in a block; the last block may be short.
    impl : str
        ``auto``, ``reference``, ``native`` or ``triton``.

    Returns
    -------
    float64 array or tensor of shape (n_blocks, n_sigmas, n_queries)

    Raises
    ------
    TypeError, ValueError
        As :func:`parzen_log_likelihood`.
    """
    check_integer("block_size", block_size, 1)
    points = check_points(queries, samples, "samples", "n_samples")
    values, is_scalar = check_sigmas(sigmas, name="sigmas")
    if is_scalar:
        raise TypeError(f"sigmas: expected a sequence of numbers, got {sigmas!r}")
    log_sums, _ = _op(
        points.queries, points.others, values, int(block_size), 0.0, False, "dense", impl
    )
    return points.answer(log_sums)


def check_sigmas(sigma: Any, name: str = "sigma") -> tuple[Tensor, bool]:
    """Return sigma as a float64 tensor of shape (n_sigmas,), and whether it was one number.

    Raises
    ------
    TypeError
        If it is neither a number nor a one-dimensional sequence of numbers.
    ValueError
        If there is none, or one is not a positive finite number.
    """
    if isinstance(sigma, Tensor):
        sigma = sigma.detach().cpu().numpy()
    array = np.asarray(sigma)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name}: expected a number or a sequence of numbers, got {sigma!r}")
    if array.ndim > 1 or array.size == 0:
        raise ValueError(
            f"{name}: expected a number or a sequence of at least one, got shape {array.shape}"
        )
    values = array.astype(np.float64).reshape(-1)
    for value in values:
        if not SIGMA_LEAST <= value <= SIGMA_MOST:
            raise ValueError(
                f"{name}: expected positive finite numbers "
                f"from {SIGMA_LEAST} to {SIGMA_MOST}, got {value}"
            )
    return torch.from_numpy(values), array.ndim == 0
