"""The Triton kernels: in the interpreter against the reference, and compiled ahead of time.

Each runs in a process of its own, as TRITON_INTERPRET is read when a kernel is decorated.
"""

import os
import subprocess
import sys
import textwrap

import pytest

from fastgan import backends

needs_triton = pytest.mark.skipif(not backends.has_triton(), reason="triton is not installed")


def run(program: str, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_triton
def test_dropout_in_the_interpreter_has_the_references_bits() -> None:
    program = """
        import itertools
        import torch
        from fastgan import ops

        n_compared = 0
        step = torch.tensor(2**32 - 1)
        shapes = ((0, 5), (1,), (3,), (7, 5), (5, 2, 3), (16, 1000))
        for number, (dtype, shape, first_row) in enumerate(
            itertools.product((torch.float32, torch.float64), shapes, (0, 1, 2**33 + 6))
        ):
            seed, stream = ((-3, 2**32 - 1), (2**40 + 1, 1))[number % 2]
            probability = (0.5, 1 / 3, 2.0**-40)[number // 3 % 3]
            input = torch.randn(shape, dtype=dtype).requires_grad_()
            arguments = (input, probability, torch.tensor(seed), step, stream, first_row)
            expected = ops.dropout(*arguments, impl="reference")
            got = ops.dropout(*arguments, impl="triton")
            assert torch.equal(got, expected), (dtype, shape, first_row, seed, probability)
            gradient = torch.randn(shape, dtype=dtype)
            assert torch.equal(
                torch.autograd.grad(got, input, gradient)[0],
                torch.autograd.grad(expected, input, gradient)[0],
            )
            n_compared += 1
        op = torch.ops.fastgan.dropout_triton.default
        sample = torch.randn(3, 4, requires_grad=True), 0.5, torch.tensor(1), step, 2, 3
        torch.library.opcheck(op, sample)
        print(n_compared)
    """
    assert int(run(program, TRITON_INTERPRET="1")) == 2 * 6 * 3


@needs_triton
def test_momentum_sgd_in_the_interpreter_equals_the_reference() -> None:
    program = """
        import torch
        from fastgan import ops

        def number(value):
            return torch.tensor(value, dtype=torch.float64)

        for dtype in (torch.float32, torch.float64):
            for shape in ((0, 3), (1,), (1023,), (2050,), (3, 1), (3, 784), (2, 1500)):
                for max_norm in (None, 0.5, 100.0) if len(shape) == 2 else (None,):
                    weight, velocity, gradient = torch.randn(3, *shape, dtype=dtype)
                    others = [weight.clone(), velocity.clone()]
                    ops.momentum_sgd(
                        weight, velocity, gradient, 0.1, 0.7, max_norm, impl="triton"
                    )
                    ops.momentum_sgd(
                        *others, gradient, number(0.1), number(0.7), max_norm, impl="reference"
                    )
                    assert torch.equal(velocity, others[1])
                    # the norm's sum in another order, the factor and the product
                    bound = 0 if max_norm is None else 4 * torch.finfo(dtype).eps
                    torch.testing.assert_close(weight, others[0], rtol=bound, atol=0)
        weight = torch.nn.Parameter(torch.ones(2, 3))
        version = weight._version
        ops.momentum_sgd(weight, torch.zeros(2, 3), torch.ones(2, 3), 0.5, 0.5, impl="triton")
        assert (weight == 0.5).all() and weight._version > version
        sample = [torch.randn(2, 3) for _ in range(3)]
        torch.library.opcheck(
            torch.ops.fastgan.momentum_sgd_triton.default, (*sample, number(0.1), number(0.7), 1.0)
        )
        print("equal")
    """
    assert run(program, TRITON_INTERPRET="1").strip() == "equal"


@pytest.mark.slow
@needs_triton
@pytest.mark.parametrize(
    ("backend", "architecture", "warp_size"),
    [("cuda", 80, 32), ("cuda", 90, 32), ("cuda", 100, 32), ("hip", "gfx942", 64)],
)
def test_kernels_compile_ahead_of_time(backend, architecture, warp_size, tmp_path) -> None:
    """For architectures that need not be here; registers are not spilled to memory."""
    program = f"""
        import pathlib
        import re
        import subprocess
        import triton
        from triton.backends.compiler import GPUTarget
        from triton.compiler import ASTSource
        from fastgan.kernels.dropout import BLOCK_PHILOX, dropout_kernel
        from fastgan.kernels.momentum_sgd import BLOCK_COLUMNS, momentum_sgd_kernel

        wheel = pathlib.Path(triton.__file__).parent
        cuobjdump = wheel / "backends" / "nvidia" / "bin" / "cuobjdump"

        def sources(real):
            drawn = dict(seed_pointer="*i64", step_pointer="*i64", stream="i64", first="i64")
            yield dropout_kernel, dict(
                input_pointer=f"*{{real}}", output_pointer=f"*{{real}}", **drawn, n="i32"
            ), dict(THRESHOLD=2**31, SCALE=2.0, BLOCK_PHILOX=BLOCK_PHILOX)
            for limited in (False, True):
                yield momentum_sgd_kernel, dict(
                    weight_pointer=f"*{{real}}", velocity_pointer=f"*{{real}}",
                    gradient_pointer=f"*{{real}}", lr_pointer="*fp64", momentum_pointer="*fp64",
                    max_norm_pointer="*fp64", n_columns="i32",
                ), dict(
                    HAS_MAX_NORM=limited, NORM_EPSILON=1e-7, BLOCK_COLUMNS=BLOCK_COLUMNS
                )

        n_compiled = 0
        for real in ("fp32", "fp64"):
            for kernel, signature, constants in sources(real):
                signature.update(dict.fromkeys(constants, "constexpr"))
                compiled = triton.compile(
                    ASTSource(kernel, signature, constexprs=constants),
                    target=GPUTarget({backend!r}, {architecture!r}, {warp_size}),
                )
                if {backend!r} == "cuda":
                    binary = pathlib.Path({str(tmp_path)!r}) / "kernel.cubin"
                    binary.write_bytes(compiled.asm["cubin"])
                    usage = subprocess.run(
                        [cuobjdump, "--dump-resource-usage", binary],
                        check=True, capture_output=True, text=True,
                    ).stdout
                    assert "STACK:0 " in usage and "LOCAL:0 " in usage, usage
                else:
                    spilled = re.findall(r"[sv]gpr_spill_count: +(\\d+)", compiled.asm["amdgcn"])
                    assert spilled and set(spilled) == {{"0"}}, spilled
                n_compiled += 1
        print(n_compiled)
    """
    assert int(run(program, TRITON_CACHE_DIR=str(tmp_path))) == 6
