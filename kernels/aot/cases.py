"""What is compiled: every kernel of the package, as the real sizes of the recipes launch it.

Each case calls a public launcher on tensors of the device "meta", which have shape, dtype and
alignment but no memory. What is noted is what a GPU would be asked for: the same types, constants
and divisibility by 16.
"""

from __future__ import annotations

import importlib
import pkgutil

import fastgan.kernels
from fastgan.kernels.aot.distance_cases import distance_cases
from fastgan.kernels.aot.layer_cases import layer_cases
from fastgan.kernels.aot.noting import Case
from fastgan.kernels.launch import Kernel


def kernels() -> dict[str, Kernel]:
    """Return every Kernel that a module of the package holds, by name.

    Raises ``ValueError`` if two have one name, or a module has a function that ends in ``_kernel``
    and is in no Kernel: nothing would compile it.
    """
    found: dict[str, Kernel] = {}
    functions: dict[str, str] = {}
    for module in pkgutil.iter_modules(fastgan.kernels.__path__, "fastgan.kernels."):
        if module.ispkg:
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, Kernel) and found.setdefault(value.name, value) is not value:
                raise ValueError(f"kernels: expected one of each name, got two {value.name}")
            if name.endswith("_kernel"):
                functions[name] = module.name
    for name in sorted(functions.keys() - found.keys()):
        raise ValueError(f"kernels: expected a Kernel of {name} in {functions[name]}, found none")
    return found


def cases() -> list[Case]:
    """Return every case, the smallest recipe's first among equals."""
    return [*layer_cases(), *distance_cases()]
