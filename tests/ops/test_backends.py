"""How impl= is resolved: what auto chooses and says, what a forced one raises; without triton."""

import re
import subprocess
import sys
import textwrap
import warnings

import pytest
import torch

from fastgan import backends

CPU, CUDA, META = (torch.device(name) for name in ("cpu", "cuda:0", "meta"))

needs_triton = pytest.mark.skipif(not backends.has_triton(), reason="triton is not installed")


@pytest.fixture
def log(caplog) -> pytest.LogCaptureFixture:
    """Return the log of the test, with nothing said before."""
    backends.log_once.cache_clear()
    with caplog.at_level("INFO", logger="fastgan"):
        yield caplog
    backends.log_once.cache_clear()


@pytest.mark.parametrize("operation", sorted(backends.TRITON_OPERATIONS))
def test_auto_takes_the_kernels_on_a_cuda_device_and_says_so_once(
    operation, log, monkeypatch
) -> None:
    monkeypatch.setattr(backends, "has_triton", lambda: True)
    for _ in range(3):
        assert backends.resolve_impl(operation, "auto", CUDA) == "triton"
    assert log.messages == [f"{operation}: Triton kernels on cuda"]


@pytest.mark.parametrize(
    ("operation", "device", "installed", "reason"),
    [
        ("dropout", CUDA, False, "triton is not installed (pip install triton, on Linux"),
        ("count_within", CUDA, True, "this version has no Triton kernel for it"),
        ("dropout", META, True, "Triton kernels run on CUDA and ROCm devices"),
    ],
)
def test_auto_is_plain_torch_elsewhere_and_says_why_once(
    operation, device, installed, reason, log, monkeypatch
) -> None:
    monkeypatch.setattr(backends, "has_triton", lambda: installed)
    for _ in range(3):
        assert backends.resolve_impl(operation, "auto", device) == "reference"
    (message,) = log.messages
    assert message.startswith(f"{operation}: plain PyTorch on {device.type}, as {reason}")


@pytest.mark.parametrize("operation", ["dropout", "count_within"])
def test_auto_is_native_on_the_cpu(operation, log) -> None:
    assert backends.resolve_impl(operation, "auto", CPU) == "native"
    assert not log.messages


@pytest.mark.parametrize(
    ("operation", "impl", "device", "installed", "sentence"),
    [
        ("dropout", "cuda", CPU, True, "impl: expected one of auto, reference, native, triton, go"),
        ("dropout", "native", CUDA, True, "impl: 'native' runs on the CPU, but the inputs are on"),
        ("count_within", "triton", CUDA, True, "impl: this version has no Triton kernel for count"),
        (
            "uniform",
            "triton",
            CUDA,
            False,
            "impl: 'triton' needs the package triton, which is not installed: pip install triton, "
            "on Linux (x86-64 or ARM); PyTorch for ROCm brings its own, and there is none for "
            "macOS or Windows",
        ),
        (
            "maxout_linear",
            "triton",
            CPU,
            True,
            "impl: 'triton' runs on a CUDA or ROCm device, or anywhere in Triton's interpreter "
            "(TRITON_INTERPRET=1), but the inputs are on cpu",
        ),
    ],
)
def test_a_forced_one_that_cannot_run_says_why(
    operation, impl, device, installed, sentence, monkeypatch
) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(backends, "has_triton", lambda: installed)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        backends.resolve_impl(operation, impl, device)


@pytest.mark.parametrize("impl", ["reference", "native", "triton"])
def test_a_forced_one_that_can_run_is_taken_and_nothing_is_said(impl, log, monkeypatch) -> None:
    monkeypatch.setattr(backends, "has_triton", lambda: True)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert backends.resolve_impl("dropout", impl, CPU) == impl
    assert not log.messages


def test_a_compiled_graph_is_whole_and_the_choice_is_said(log) -> None:
    """A log entry, an environment variable or a search for a package would break the graph."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compiler's own modules
        torch._dynamo.reset()

        @torch.compile(fullgraph=True, backend="eager")
        def chosen(x: torch.Tensor) -> torch.Tensor:
            impl = backends.resolve_impl("count_within", "auto", CUDA)
            return x + (1 if impl == "reference" else 2)

        assert chosen(torch.zeros(1)) == 1
        assert chosen(torch.zeros(2)).tolist() == [1, 1]
        torch._dynamo.reset()
    assert log.messages == [
        "count_within: plain PyTorch on cuda, as this version has no Triton kernel for it"
    ]


WITHOUT_TRITON = """
    import sys

    class Forbidden:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] == "triton":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, Forbidden())
"""


def run(program: str) -> str:
    """Return what a program prints, in a process where triton cannot be imported."""
    code = textwrap.dedent(WITHOUT_TRITON) + textwrap.dedent(program)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_everything_but_the_kernels_works_without_triton() -> None:
    """Every public name, an answer, and a training step; the kernels say what to install."""
    printed = run(
        """
        import dataclasses
        try:
            import triton
        except ModuleNotFoundError:
            pass
        else:
            raise SystemExit("the import hook forbids nothing")
        import fastgan
        for name in fastgan.__all__:
            getattr(fastgan, name)
        import torch
        from fastgan import backends, ops

        assert not backends.has_triton()
        images = torch.rand(20, 64)
        assert ops.dropout(images, 0.5, 1, 2, 3).shape == images.shape
        for step in ("fused", "autograd"):
            made = fastgan.make_step(fastgan.recipes.DIGITS, step, image_mean=images.mean(0))
            assert made(images) is not None
        for call in (
            lambda: ops.dropout(images, 0.5, 1, 2, 3, impl="triton"),
            lambda: ops.maxout_linear(
                images, torch.ones(4, 64), torch.ones(4), 2, impl="triton"
            ),
            lambda: ops.momentum_sgd(images, images, images, 0.1, 0.5, impl="triton"),
            lambda: ops.philox.uniform((3,), 1, 2, 3, impl="triton"),
            lambda: ops.philox.normal((3,), 1, 2, 3, impl="triton"),
            lambda: ops.philox.permutation(3, 1, 2, 3, impl="triton"),
            lambda: fastgan.nearest_neighbors(images, images, impl="triton"),
            lambda: fastgan.parzen_log_likelihood(images, images, 0.2, impl="triton"),
            lambda: fastgan.make_step(
                fastgan.recipes.DIGITS, "fused", impl="triton", image_mean=images.mean(0)
            ),
        ):
            try:
                call()
            except ValueError as error:
                print(error)
        assert not [name for name in sys.modules if name.partition(".")[0] == "triton"]
        """
    ).splitlines()
    sentence = "impl: 'triton' needs the package triton, which is not installed: "
    assert printed == [sentence + backends.HOW_TO_INSTALL] * 9


@needs_triton
def test_the_search_for_triton_does_not_import_it() -> None:
    code = "import sys; from fastgan import backends as b; print(b.has_triton(), *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    found, *modules = done.stdout.split()
    assert found == "True"
    assert "triton" not in modules
