"""Fixtures of the whole suite: SIMD levels, thread counts, poisoned memory, real data."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fastgan import backends

# A child process imports the fastgan under test, not the source folder that it may be started in.
os.environ["PYTHONSAFEPATH"] = "1"
# Started in the background a process may ignore Ctrl-C, and so would those that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

HAS_GPU = torch.cuda.is_available()
if not HAS_GPU:
    # Kernels run in Triton's interpreter, on CPU tensors. Read when a kernel is decorated.
    os.environ["TRITON_INTERPRET"] = "1"


@pytest.fixture
def device() -> torch.device:
    """Return where kernels run: on a GPU if there is one, else in the interpreter."""
    return torch.device("cuda" if HAS_GPU else "cpu")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none, with a word."""
    for item in items:
        if not HAS_GPU and item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="this test needs a CUDA or ROCm device"))


@pytest.fixture(params=backends.simd_levels())
def simd_level(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test once at each SIMD level that this processor has."""
    backends.force_simd_level(request.param)
    assert backends.simd_level() == request.param
    yield request.param
    backends.force_simd_level(os.environ.get("FASTGAN_SIMD_LEVEL") or "auto")


@pytest.fixture(params=[1, 2, 5])
def n_threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Run the test with 1, 2 and 5 threads, torch's and the native pool's (which follows it)."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def poisoned_memory() -> Iterator[None]:
    """Make torch fill what it allocates with NaN (integers: the largest number)."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    assert torch.isnan(torch.empty(8)).all()
    yield
    torch.use_deterministic_algorithms(before)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Return the folder of the real data sets, or skip."""
    folder = os.environ.get("FASTGAN_DATA")
    if not folder:
        pytest.skip("FASTGAN_DATA is not set: this test reads the real data sets")
    if not Path(folder).is_dir():
        pytest.skip(f"FASTGAN_DATA={folder} is not a folder: this test reads the real data sets")
    return Path(folder)
