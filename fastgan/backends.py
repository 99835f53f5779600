"""What can run here, and how ``impl=`` is resolved.

``impl`` is one of ``auto``, ``reference``, ``native``, ``triton``. ``auto`` may choose, and says in
the log, once, what it chose; a forced one works or raises and says why. Nothing falls back in
silence.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import os

import torch

from fastgan import _core

TRITON_OPERATIONS = frozenset({"dropout", "momentum_sgd"})  # that have a kernel in kernels/
IMPLEMENTATIONS = ("auto", "reference", "native", "triton")
STRATEGIES = ("auto", "pruned", "dense")

logger = logging.getLogger("fastgan")


def simd_level() -> str:
    """Return the SIMD level in force (``FASTGAN_SIMD_LEVEL`` or :func:`force_simd_level`)."""
    return _core.simd_level()


def simd_levels() -> list[str]:
    """Return the SIMD levels that this build holds and this processor can run, ascending."""
    return _core.simd_levels()


def force_simd_level(name: str) -> None:
    """Put one of :func:`simd_levels` in force for the whole process; ``"auto"`` is the highest."""
    _core.force_simd_level(name)


def has_triton() -> bool:
    """Say whether triton can be imported here, without importing it."""
    return importlib.util.find_spec("triton") is not None


@functools.cache
def log_once(message: str) -> None:
    """Log a message at level INFO, the first time only."""
    logger.info(message)


def resolve_impl(operation: str, impl: str, device: torch.device) -> str:
    """Return the implementation, ``reference``, ``native`` or ``triton``, that ``impl`` asks for.

    Parameters
    ----------
    operation : str
        The operation's name, for messages.
    impl : str
        ``auto``, ``reference``, ``native`` or ``triton``.
    device : torch.device
        Where the inputs are.

    Raises
    ------
    ValueError
        If ``impl`` is unknown, or forced where it cannot run.
    """
    if impl not in IMPLEMENTATIONS:
        raise ValueError(f"impl: expected one of {', '.join(IMPLEMENTATIONS)}, got {impl!r}")
    if impl == "auto":
        if device.type == "cpu":
            return "native"
        log_once(
            f"{operation}: plain PyTorch on {device.type}; this version's Triton kernels, where it "
            "has one, run only when asked for"
        )
        return "reference"
    if impl == "native" and device.type != "cpu":
        raise ValueError(f"impl: 'native' runs on the CPU, but the inputs are on {device}")
    if impl == "triton":
        _check_triton(operation, device)
    return impl


def _check_triton(operation: str, device: torch.device) -> None:
    """Raise ``ValueError`` where the operation's Triton kernel cannot run."""
    if operation not in TRITON_OPERATIONS:
        raise ValueError(f"impl: this version has no Triton kernel for {operation}")
    if not has_triton():
        raise ValueError("impl: 'triton' needs the package triton, which is not installed")
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        raise ValueError(
            "impl: 'triton' runs on a CUDA or ROCm device, or anywhere in Triton's interpreter "
            f"(TRITON_INTERPRET=1), but the inputs are on {device}"
        )


def check_strategy(strategy: str, *, impl: str = "native") -> None:
    """Raise ``ValueError`` if a strategy is unknown, or is forced where there is no choice."""
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy: expected one of {', '.join(STRATEGIES)}, got {strategy!r}")
    if strategy == "pruned" and impl != "native":
        raise ValueError(f"strategy: 'pruned' needs impl 'native', but {impl!r} runs here")
