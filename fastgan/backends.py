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

TRITON_OPERATIONS = frozenset(  # that have a kernel in kernels/
    {
        "dropout",
        "fused_step",
        "maxout_linear",
        "momentum_sgd",
        "neighbors",
        "normal",
        "parzen",
        "permutation",
        "uniform",
    }
)
HOW_TO_INSTALL = (
    "pip install triton, on Linux (x86-64 or ARM); PyTorch for ROCm brings its own, and there is "
    "none for macOS or Windows"
)
IMPLEMENTATIONS = ("auto", "reference", "native", "triton")
STRATEGIES = ("auto", "pruned", "dense")

logger = logging.getLogger("fastgan")


def _settle_vector_functions() -> None:
    """Let MKL choose its vector functions (exp, log, sqrt, ...) here, on one thread.

    It chooses at their first call in a process. Where several threads make that one together, one
    of them may get a function of lower accuracy: with MKL 2024.2, in torch 2.13, half the values of
    a first ``torch.exp`` were off by up to 4e-10 of themselves, in one of 4 to 20 processes, and
    right ever after (pytorch/pytorch#188792).
    """
    for dtype in (torch.float32, torch.float64):
        number = torch.ones(1, dtype=dtype, device="cpu")
        for function in (torch.exp, torch.expm1, torch.log, torch.log1p, torch.sqrt, torch.tanh):
            function(number)


_settle_vector_functions()  # before anything here calculates, so that bits are the same every time


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
    """Say whether triton is installed here, without importing it."""
    try:
        return importlib.util.find_spec("triton") is not None
    except ImportError:  # of a finder that forbids it
        return False


@functools.cache
def log_once(message: str) -> None:
    """Log a message at level INFO, the first time only."""
    logger.info(message)


def resolve_impl(operation: str, impl: str, device: torch.device) -> str:
    """Return the implementation, ``reference``, ``native`` or ``triton``, that ``impl`` asks for.

    ``auto`` is native on the CPU. On a CUDA (or ROCm) device it is triton, where the operation has
    a kernel and triton is installed; plain PyTorch elsewhere. The log says which, and why.

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
        obstacle = _obstacle(operation, device)
        if obstacle is None:
            log_once(f"{operation}: Triton kernels on {device.type}")
            return "triton"
        log_once(f"{operation}: plain PyTorch on {device.type}, as {obstacle}")
        return "reference"
    if impl == "native" and device.type != "cpu":
        raise ValueError(f"impl: 'native' runs on the CPU, but the inputs are on {device}")
    if impl == "triton":
        _check_triton(operation, device)
    return impl


# torch.compile calls it while it traces, with constants, and does not trace it: its log is written
# and its errors are raised then. What torch.compiler.assume_constant_result sets, which would
# import the whole compiler here.
resolve_impl._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _obstacle(operation: str, device: torch.device) -> str | None:
    """Return why the operation's Triton kernel is not chosen by itself, or None if it is."""
    if operation not in TRITON_OPERATIONS:
        return "this version has no Triton kernel for it"
    if device.type != "cuda":
        return "Triton kernels run on CUDA and ROCm devices"
    return None if has_triton() else f"triton is not installed ({HOW_TO_INSTALL})"


def _check_triton(operation: str, device: torch.device) -> None:
    """Raise ``ValueError`` where the operation's Triton kernel cannot run."""
    if operation not in TRITON_OPERATIONS:
        raise ValueError(f"impl: this version has no Triton kernel for {operation}")
    if not has_triton():
        raise ValueError(
            f"impl: 'triton' needs the package triton, which is not installed: {HOW_TO_INSTALL}"
        )
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        raise ValueError(
            "impl: 'triton' runs on a CUDA or ROCm device, or anywhere in Triton's interpreter "
            f"(TRITON_INTERPRET=1), but the inputs are on {device}"
        )


def resolve_device(name: str | torch.device) -> torch.device:
    """Return the device of that name: ``cpu``, ``cuda``, ``cuda:1``, or ``auto``.

    ``auto`` is the first CUDA (or ROCm) device that torch sees, else the CPU. ROCm's devices are
    called cuda too.

    Raises
    ------
    ValueError
        If there is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device: expected cpu, cuda, cuda:N or auto, got {name!r}") from error
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"device: expected cpu, cuda, cuda:N or auto, got {str(name)!r}")
    n_devices = torch.cuda.device_count() if device.type == "cuda" else 1
    if (device.index or 0) >= n_devices:
        raise ValueError(
            f"device: {str(name)!r} is asked for, and torch sees {n_devices} of its kind"
        )
    return device


def check_strategy(strategy: str, *, impl: str = "native") -> None:
    """Raise ``ValueError`` if a strategy is unknown, or is forced where there is no choice."""
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy: expected one of {', '.join(STRATEGIES)}, got {strategy!r}")
    if strategy == "pruned" and impl != "native":
        raise ValueError(f"strategy: 'pruned' needs impl 'native', but {impl!r} runs here")
