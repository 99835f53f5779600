"""Compiling a noted launch for an architecture that need not be here, and what the result holds."""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import triton
from fastgan.kernels.aot import machine_code
from fastgan.kernels.launch import Configuration, Launch
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.compiler.compiler import make_backend
from triton.runtime.jit import create_function_from_signature

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}


class Specialisation(NamedTuple):
    """All that decides the machine code of a launch, as Triton decides it when it runs one."""

    function: Any  # what triton.jit returned
    signature: Mapping[str, str]  # argument -> type
    constants: Mapping[tuple[int, ...], Any]  # path of an argument -> value
    attributes: Mapping[tuple[int, ...], Any]  # divisibility by 16, range of a pointer
    options: Mapping[str, Any]
    architecture: str


def specialise(launch: Launch, configuration: Configuration, architecture: str) -> Specialisation:
    """Return what a device of the architecture would compile for a launch.

    The tensors are looked at for dtype, alignment and size only: those of the device "meta" will
    do. Raises ``KeyError`` for an option that the compiler does not know.
    """
    function = launch.kernel.function
    if not isinstance(function, triton.runtime.JITFunction):
        raise RuntimeError(
            "TRITON_INTERPRET: expected it unset where kernels are compiled, but "
            f"{launch.kernel.name} was decorated for the interpreter"
        )
    backend = make_backend(TARGETS[architecture])
    leading, named = launch.as_called()
    named = {
        **named,
        **configuration.constants,
        **launch.kernel.options,
        **configuration.options,
        "num_warps": configuration.n_warps,
        "num_stages": configuration.n_stages,
        "debug": False,
    }
    bind = create_function_from_signature(function.signature, function.params, backend)
    bound, specialisation, options = bind(*leading, **named)
    options, signature, constants, attributes = function._pack_args(
        backend, named, bound, specialisation, options
    )
    return Specialisation(
        function, signature, constants, attributes, dict(options.__dict__), architecture
    )


@dataclass(frozen=True)
class Facts:
    """What the machine code of one kernel holds; None where an architecture has no such thing."""

    registers: int  # a thread; gfx942: VGPR and AGPR together
    spills: int  # bytes of stack and local memory (NVIDIA), spilled registers (AMD)
    shared_bytes: int  # a program
    tensor_memory_columns: int | None
    n_threads: int  # a program
    tensor_core_opcodes: tuple[str, ...]
    whole: Mapping[str, int]  # instructions by class
    inner_loop: Mapping[str, int] | None  # the same in the inner loop
    loop_depth: int


def compile_and_read(specialisation: Specialisation) -> tuple[Facts, str]:
    """Compile, through Triton's cache of compiled kernels, and read the machine code.

    Returns the facts and the text of Triton's own representation, ``ttir``, to count work in.
    """
    target = TARGETS[specialisation.architecture]
    source = ASTSource(
        specialisation.function,
        dict(specialisation.signature),
        dict(specialisation.constants),
        dict(specialisation.attributes),
    )
    compiled = triton.compile(source, target=target, options=dict(specialisation.options))
    if target.backend == "cuda":
        found = _read_cubin(compiled.asm["cubin"], compiled.asm["ptx"])
    else:
        found = _read_amdgcn(compiled.asm["amdgcn"])
    code = found.pop("code")
    loop = machine_code.inner_loop(code)
    facts = Facts(
        **found,
        shared_bytes=compiled.metadata.shared,
        n_threads=compiled.metadata.num_warps * target.warp_size,
        tensor_core_opcodes=tuple(machine_code.tensor_core_opcodes(code)),
        whole=machine_code.count(code, range(len(code))),
        inner_loop=machine_code.count(code, loop.instructions) if loop else None,
        loop_depth=loop.depth if loop else 0,
    )
    return facts, compiled.asm["ttir"]


def _read_cubin(cubin: bytes, ptx: str) -> dict[str, Any]:
    """Return registers, spills, tensor memory and instructions of an NVIDIA kernel."""
    with _file(cubin) as path:
        text = _cuobjdump(path)
    code = machine_code.read_sass(text)
    used = {name: int(value) for name, value in re.findall(r"(REG|STACK|LOCAL):(\d+)", text)}
    if set(used) != {"REG", "STACK", "LOCAL"} or not code:
        raise RuntimeError(
            f"cuobjdump: expected REG, STACK, LOCAL and instructions, got {text[:500]!r}"
        )
    columns = [int(n) for n in re.findall(r"tcgen05\.alloc\.[^;]*,\s*(\d+);", ptx)]
    local = machine_code.count(code, range(len(code)))["local_memory"]
    return {
        "code": code,
        "registers": used["REG"],
        # local memory that no entry owns up to counts as one byte an instruction
        "spills": used["STACK"] + used["LOCAL"] or local,
        "tensor_memory_columns": sum(columns) if columns else None,
    }


def _read_amdgcn(text: str) -> dict[str, Any]:
    """Return registers, spills and instructions of an AMD kernel."""
    names = ("vgpr_count", "agpr_count", "sgpr_spill_count", "vgpr_spill_count")
    used = {}
    for name in (*names, "private_segment_fixed_size"):
        found = re.search(rf"^\s+(?:- )?\.{name}:\s+(\d+)", text, re.MULTILINE)
        if found is None:
            raise RuntimeError(f"amdgcn: expected .{name} in the metadata, found none")
        used[name] = int(found[1])
    total = re.search(r"^; TotalNumVgprs: (\d+)", text, re.MULTILINE)
    return {
        "code": machine_code.read_amdgcn(text),
        "registers": int(total[1]) if total else used["vgpr_count"],
        "spills": used["sgpr_spill_count"]
        + used["vgpr_spill_count"]
        + used["private_segment_fixed_size"],
        "tensor_memory_columns": None,
    }


@contextlib.contextmanager
def _file(content: bytes) -> Iterator[Path]:
    """Hold a binary in a file for the tools that read no pipe."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(content)
        yield path


def _cuobjdump(path: Path) -> str:
    """Return what the wheel's own cuobjdump prints of a binary's resources and instructions."""
    command = [triton.knobs.nvidia.cuobjdump.path, "--dump-resource-usage", "-sass", path]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
