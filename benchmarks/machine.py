"""What a row was measured on: processor, threads, versions, and the BLAS that each package runs."""

from __future__ import annotations

import datetime
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import threadpoolctl
import torch

from benchmarks.devices import CPU, Device
from fastgan import backends

PACKAGES = ("fastgan", "torch", "numpy", "scikit-learn", "faiss-cpu", "pykeops")


def machine(device: Device = CPU) -> dict[str, str]:
    """Say on what, and with which versions, a row was measured."""
    return {
        **gpu(device),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "SIMD level": backends.simd_level(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: installed(name) for name in PACKAGES},
        **products(),
    }


def gpu(device: Device) -> dict[str, str]:
    """Say which GPU, its toolkit and the roofline's peaks; nothing on the CPU."""
    if not device.is_gpu:
        return {}
    toolkit = f"CUDA {torch.version.cuda}" if torch.version.cuda else f"ROCm {torch.version.hip}"
    peaks = "no peaks known, so no roofline" if device.peaks is None else device.peaks.sources
    return {
        "GPU": device.name,
        "toolkit": toolkit,
        "triton": installed("triton"),
        "roofline": f"published peaks, a model: {peaks}",
    }


def products() -> dict[str, str]:
    """Say which matrix product each package loaded so far runs, with how many threads.

    A peer on a product that does not know the processor would be beaten unfairly, so each row says
    it. torch's is linked into it, where threadpoolctl does not see it.
    """
    has_mkl = torch.backends.mkl.is_available()
    found = {"torch's BLAS": "MKL" if has_mkl else "not MKL: see torch.__config__.show()"}
    for library in threadpoolctl.threadpool_info():
        if library["user_api"] != "blas":
            continue
        owner = Path(library["filepath"]).parent.name.removesuffix(".libs")
        words = (library["internal_api"], library["version"], library.get("architecture"))
        found[f"{owner}'s BLAS"] = (
            " ".join(str(word) for word in words if word) + f", {library['num_threads']} threads"
        )
    return found


def installed(package: str) -> str:
    """Return the version of a package, or "not installed"."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
