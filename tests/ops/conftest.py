"""Fixtures: the fused implementations with their device; a function compiled whole, and only once.

Helpers of these tests are a module beside them: point_families.
"""

import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from fastgan import backends

sys.path.insert(0, str(Path(__file__).parent))


class Fused(NamedTuple):
    """A fused implementation, and the device whose tensors it takes in a test."""

    impl: str
    device: torch.device

    @property
    def suffix(self) -> str:
        """Return what the names of its torch ops end with."""
        return "_triton" if self.impl == "triton" else ""


@pytest.fixture(params=["native", "triton"])
def fused(request: pytest.FixtureRequest, device: torch.device) -> Fused:
    """Run the test with the native core, and with Triton on a GPU or in its interpreter."""
    if request.param == "native":
        return Fused("native", torch.device("cpu"))
    if not backends.has_triton():
        pytest.skip("triton is not installed")
    return Fused("triton", device)


class Compiled:
    """``torch.compile(fullgraph=True)``, and how many graphs came after the first call."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.n_late = 0
        self.called = False

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        compiler = torch._dynamo.lookup_backend(self.backend)

        def backend(graph: Any, inputs: Any) -> Any:
            self.n_late += self.called
            return compiler(graph, inputs)

        whole = torch.compile(function, fullgraph=True, backend=backend)

        def call(*arguments: Any) -> Any:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the compiler's own modules
                result = whole(*arguments)
            self.called = True
            return result

        return call


@pytest.fixture(params=["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def compiled(request: pytest.FixtureRequest) -> Iterator[Compiled]:
    """Trace through the fake, functionalised and differentiated ops; inductor also makes code."""
    if request.param == "inductor" and not (shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("torch.compile needs a C++ compiler, and there is none")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compiler's own modules
        import torch._dynamo
    torch._dynamo.reset()
    yield Compiled(request.param)
    torch._dynamo.reset()
