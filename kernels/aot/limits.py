"""What an architecture allows one program, and how many programs fit on a multiprocessor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastgan.kernels.aot.compiling import Facts


@dataclass(frozen=True)
class Limits:
    """Limits of an architecture; registers are 32 bits wide."""

    registers: int  # a thread
    shared_bytes: int  # a program
    tensor_memory_columns: int  # a program
    warp_size: int
    # of a multiprocessor, or of a compute unit
    n_registers: int
    register_unit: int  # registers are given to a warp in multiples of so many a thread
    multiprocessor_shared_bytes: int
    reserved_shared_bytes: int  # of each program
    n_warps: int
    n_programs: int
    sources: str


_NVIDIA = {
    "registers": 255,
    "warp_size": 32,
    "n_registers": 65536,
    "register_unit": 8,
    "reserved_shared_bytes": 1024,
    "n_warps": 64,
    "n_programs": 32,
}
_GUIDE = "CUDA C++ Programming Guide, technical specifications by compute capability"

LIMITS: Mapping[str, Limits] = {
    # The A100 allows 163 KB; sm_80's configurations also serve sm_86, sm_89 and devices that are
    # not listed, whose programs have 99 KB.
    "sm_80": Limits(
        **_NVIDIA,
        shared_bytes=99 * 1024,
        tensor_memory_columns=0,
        multiprocessor_shared_bytes=164 * 1024,
        sources=_GUIDE,
    ),
    "sm_90": Limits(
        **_NVIDIA,
        shared_bytes=227 * 1024,
        tensor_memory_columns=0,
        multiprocessor_shared_bytes=228 * 1024,
        sources=_GUIDE,
    ),
    "sm_100": Limits(
        **_NVIDIA,
        shared_bytes=227 * 1024,
        tensor_memory_columns=512,
        multiprocessor_shared_bytes=228 * 1024,
        sources=f"{_GUIDE}; PTX ISA, tcgen05.alloc: 512 columns",
    ),
    "gfx942": Limits(
        registers=512,
        shared_bytes=64 * 1024,
        tensor_memory_columns=0,
        warp_size=64,
        n_registers=4 * 512 * 64,
        register_unit=8,
        multiprocessor_shared_bytes=64 * 1024,
        reserved_shared_bytes=0,
        n_warps=4 * 8,
        n_programs=32,
        sources="AMD Instinct MI300 instruction set architecture; LLVM, User Guide for AMDGPU",
    ),
}


def problems(facts: Facts, architecture: str, *, needs_tensor_cores: bool) -> list[str]:
    """Return what is wrong with a compiled kernel, in words; nothing if it may ship."""
    limits = LIMITS[architecture]
    found = []
    if facts.spills:
        found.append(f"spills: expected none, got {facts.spills}")
    for name, value, limit in (
        ("registers", facts.registers, limits.registers),
        ("shared memory", facts.shared_bytes, limits.shared_bytes),
        ("tensor memory columns", facts.tensor_memory_columns or 0, limits.tensor_memory_columns),
    ):
        if value > limit:
            found.append(f"{name}: expected at most {limit}, got {value}")
    if needs_tensor_cores and not facts.tensor_core_opcodes:
        found.append("tensor-core instructions: expected some, found none")
    return found


def occupancy(facts: Facts, architecture: str) -> int:
    """Return how many programs a multiprocessor holds at once."""
    limits = LIMITS[architecture]
    n_warps = facts.n_threads // limits.warp_size
    given = -(-max(facts.registers, 1) // limits.register_unit) * limits.register_unit
    if architecture == "gfx942":  # each of four units has its own 512 registers a lane
        by_registers = min(512 // given, 8) * 4 // n_warps
    else:
        by_registers = limits.n_registers // (given * limits.warp_size) // n_warps
    shared = facts.shared_bytes + limits.reserved_shared_bytes
    fits = [by_registers, limits.n_warps // n_warps, limits.n_programs]
    if shared:
        fits.append(limits.multiprocessor_shared_bytes // shared)
    if facts.tensor_memory_columns:
        fits.append(limits.tensor_memory_columns // facts.tensor_memory_columns)
    return min(fits)
