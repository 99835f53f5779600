"""What Triton compiles a split product to is what is emulated: no device is needed to see it."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from types import ModuleType

import pytest

pytest.importorskip("triton")

# In a process of its own, as kernels may be interpreted in this one.
PROGRAM = """
import json

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource


@triton.jit
def product(a, b, c, PRECISION: tl.constexpr):
    i = tl.arange(0, 64)
    k = tl.arange(0, 32)
    x = tl.load(a + i[:, None] * 32 + k[None, :])
    y = tl.load(b + i[None, :] * 32 + k[:, None])
    z = tl.load(c + i[:, None] * 64 + i[None, :])
    tl.store(c + i[:, None] * 64 + i[None, :], tl.dot(x, y, z, input_precision=PRECISION))


found = {}
for precision in ("tf32", "tf32x3", "bf16x3", "bf16x6", "ieee"):
    source = ASTSource(
        fn=product,
        signature={"a": "*fp32", "b": "*fp32", "c": "*fp32", "PRECISION": "constexpr"},
        constexprs={"PRECISION": precision},
    )
    assembly = triton.compile(source, target=GPUTarget("cuda", 80, 32)).asm
    found[precision] = {"ttgir": assembly["ttgir"], "ptx": assembly["ptx"]}
print(json.dumps(found))
"""
OPERATION = re.compile(r"(%[\w#]+) = (\S+) (.*)")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Return the intermediate code and the assembly of each precision, for sm_80."""
    file = tmp_path_factory.mktemp("compiled") / "product.py"
    file.write_text(PROGRAM, encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, str(file)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    return found


def read(code: str) -> tuple[list[tuple[int, int]], list[str], str]:
    """Return which parts are multiplied in turn, what the first adds to, and what ends it.

    A part's number is how often something was subtracted before it was made.
    """
    depth: dict[str, int] = {}
    products: list[tuple[int, int]] = []
    starts: list[str] = []
    last = ""
    for name, operation, rest in OPERATION.findall(code):
        operands = re.findall(r"%[\w#]+", rest)
        if operation == "arith.subf":  # the rest of a number
            depth[name] = max(depth.get(operand, 0) for operand in operands) + 1
        elif operation == "tt.dot":
            products.append((depth.get(operands[0], 0), depth.get(operands[1], 0)))
            starts.append(operands[2])
            last = name
        elif operation == "arith.addf" and last in operands:
            last = "added outside"
        elif operands:
            depth[name] = max(depth.get(operand, 0) for operand in operands)
    return products, starts, last


@pytest.mark.parametrize("precision", ["tf32x3", "bf16x3", "bf16x6"])
def test_parts_are_multiplied_in_the_order_that_is_emulated(
    harness: ModuleType, compiled: dict[str, dict[str, str]], precision: str
) -> None:
    emulated = importlib.import_module("benchmarks.split_precision.products")
    code = compiled[precision]["ttgir"]
    products, starts, last = read(code)
    assert tuple(products) == emulated.ORDERS[precision]
    assert starts[0].startswith("%cst")  # zero
    assert "arith.constant dense<0.000000e+00>" in code
    assert last == "added outside"


def test_tf32_is_made_as_is_emulated(compiled: dict[str, dict[str, str]]) -> None:
    """tf32x3 rounds the large parts alone (rna); tf32 rounds nothing, and adds inside."""
    code = compiled["tf32x3"]["ttgir"]
    assert len(re.findall(r'elementwise_inline_asm "cvt\.rna\.tf32\.f32', code)) == 2
    assert "cvt.rna" not in compiled["tf32"]["ptx"]
    products, starts, last = read(compiled["tf32"]["ttgir"])
    assert products == [(0, 0)]
    assert not starts[0].startswith("%cst")  # the accumulator itself
    assert last != "added outside"


def test_bf16_is_rounded_to_nearest(compiled: dict[str, dict[str, str]]) -> None:
    for precision in ("bf16x3", "bf16x6"):
        code = compiled[precision]["ptx"]
        kinds = set(re.findall(r"cvt\.(\w+)\.bf16(?:x2)?\.f32", code))
        assert kinds == {"rn"}


def test_float32_takes_no_tensor_core_on_nvidia(compiled: dict[str, dict[str, str]]) -> None:
    assert "mma" not in compiled["ieee"]["ptx"]
    assert "fma.rn.f32" in compiled["ieee"]["ptx"]
    assert "mma" in compiled["tf32x3"]["ptx"]
