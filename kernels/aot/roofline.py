"""The least time that published peaks leave a kernel: a model, not a measurement.

Nothing here knows Triton, and nothing was timed. A kernel needs at least as long as the slowest of:
its products at the tensor cores' dense peak, divided by the products that a split precision makes
of one; its other float32 and float64 operations; its special functions (exp2, log2, square roots,
reciprocals); and its tensors, moved once, at the memory's bandwidth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

#: input_precision of tl.dot -> (kind of product, how many of them make one float32 product).
PRODUCTS: Mapping[str, tuple[str, int]] = {
    "tf32": ("tf32", 1),
    "tf32x3": ("tf32", 3),
    "bf16x3": ("bf16", 3),
    "bf16x6": ("bf16", 6),
    "ieee": ("fp32", 1),
    "fp64": ("fp64", 1),
}


@dataclass(frozen=True)
class Device:
    """Published peaks of a GPU: operations a second, dense (no sparsity), and bytes a second."""

    name: str
    architecture: str
    products: Mapping[str, float]  # kind of product -> flops/s (a product and a sum are two)
    vector_flops: float  # float32 outside tensor cores; a fused multiply-add is two
    double_flops: float  # float64 outside tensor cores
    special_functions: float  # a second
    bytes_a_second: float  # of its memory
    n_multiprocessors: int
    sources: str

    def product_flops(self, precision: str) -> float:
        """Return float32 flops/s of products in an ``input_precision`` of tl.dot.

        Raises ``ValueError`` if the precision is unknown.
        """
        if precision not in PRODUCTS:
            expected = ", ".join(PRODUCTS)
            raise ValueError(f"precision: expected one of {expected}, got {precision!r}")
        kind, n_products = PRODUCTS[precision]
        return self.products[kind] / n_products


def _special(n_multiprocessors: int, clock_hz: float) -> float:
    """Return special functions a second: 16 a clock and multiprocessor."""
    return 16.0 * n_multiprocessors * clock_hz


_THROUGHPUT_TABLE = (
    "special functions: 16 a clock and multiprocessor, CUDA C++ Programming Guide, throughput of "
    "native arithmetic instructions, times the boost clock"
)

DEVICES: Mapping[str, Device] = {
    "A100": Device(
        "A100",
        "sm_80",
        {"tf32": 156e12, "bf16": 312e12, "fp32": 19.5e12, "fp64": 19.5e12},
        19.5e12,
        9.7e12,
        _special(108, 1.410e9),
        2.039e12,
        108,
        f"NVIDIA A100 80GB SXM data sheet (2021); {_THROUGHPUT_TABLE}",
    ),
    "H100": Device(
        "H100",
        "sm_90",
        {"tf32": 494.7e12, "bf16": 989.4e12, "fp32": 66.9e12, "fp64": 66.9e12},
        66.9e12,
        33.5e12,
        _special(132, 1.980e9),
        3.35e12,
        132,
        "NVIDIA H100 SXM5 80GB data sheet and architecture white paper (2022), dense figures; "
        f"{_THROUGHPUT_TABLE}",
    ),
    "B200": Device(
        "B200",
        "sm_100",
        {"tf32": 1.1e15, "bf16": 2.25e15, "fp32": 75e12, "fp64": 37e12},
        75e12,
        37e12,
        _special(148, 1.980e9),
        7.7e12,
        148,
        "NVIDIA HGX B200 data sheet, one GPU, half of its figures with sparsity; 148 "
        f"multiprocessors of 128 lanes, whose clock follows from 75 Tflop/s; {_THROUGHPUT_TABLE}",
    ),
    "MI300X": Device(
        "MI300X",
        "gfx942",
        {"tf32": 653.7e12, "bf16": 1307.4e12, "fp32": 163.4e12, "fp64": 163.4e12},
        163.4e12,
        81.7e12,
        _special(304, 2.100e9),
        5.3e12,
        304,
        "AMD Instinct MI300X data sheet (2023), dense matrix figures; special functions: a quarter "
        "of a compute unit's 64 lanes a clock, assumed",
    ),
}


class Work(NamedTuple):
    """What a kernel, or anything else, has to do, whatever it runs on."""

    product_flops: float = 0.0  # of float32 (or float64) products, before any splitting
    precision: str = "ieee"  # of those products
    vector_flops: float = 0.0
    special_functions: float = 0.0
    n_bytes: float = 0.0  # read and written, each tensor once
    double_flops: float = 0.0  # float64, outside of products


class Roofline(NamedTuple):
    """The least time of some work on a device, and what sets it."""

    seconds: float
    bound: str  # "products", "vector", "float64", "special functions" or "memory"
    parts: Mapping[str, float]  # each of them, in seconds


def roofline(work: Work, device: Device) -> Roofline:
    """Return the least time that the device's published peaks allow, a model."""
    parts = {
        "products": work.product_flops / device.product_flops(work.precision),
        "vector": work.vector_flops / device.vector_flops,
        "float64": work.double_flops / device.double_flops,
        "special functions": work.special_functions / device.special_functions,
        "memory": work.n_bytes / device.bytes_a_second,
    }
    bound = max(parts, key=lambda name: parts[name])
    return Roofline(parts[bound], bound, parts)


def device_named(name: str) -> Device | None:
    """Return the device that a driver's name for it, such as "NVIDIA H100 80GB HBM3", contains."""
    return next((d for short, d in DEVICES.items() if short.lower() in name.lower()), None)
