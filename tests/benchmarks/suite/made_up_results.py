"""Results whose numbers are given: every part of the suite, at the sizes that it really has."""

from __future__ import annotations

import importlib
from typing import Any

MACHINE = {
    "processor": "Some(R) Processor",
    "cores": "2",
    "threads": "2",
    "SIMD level": "avx512_vnni",
    "system": "Linux 6.1",
    "python": "3.11.7",
    "torch": "2.13.0+cpu",
    "numpy": "2.4.6",
    "faiss-cpu": "not installed",
    "torch's BLAS": "MKL",
}
NOTES = {
    ("parzen:protocol", "fastgan"): "sigma 0.1668, mean 241.1881 +- 2.1301 nats",
    ("training_step:mnist:trained", "torch.mm of its products"): "17 products, 2.76 GFLOP",
}
TOLD_APART = {
    "neighbors:cifar10": ("cifar10, pixels float32 in [0, 1]: size", "cifar10, pixels uint8: size"),
    "training_step:mnist:trained": ("mnist:trained, mnist after 40 epochs: batch 100",),
}


def sizes(part: str, operation: str) -> tuple[str, ...]:
    """Return the words of a part's sizes, from the benchmark where it has them."""
    linear = importlib.import_module("benchmarks.bench_linear")
    if part == "linear:forward":
        layers = [layer for layer in linear.FORWARD if operation.endswith(f", {layer.activation}")]
        layers = layers or [layer for layer in linear.FORWARD if layer.activation == "linear"]
        return tuple(f"{x.n_rows} x {x.n_features} x {x.n_units}" for x in layers)
    if part == "linear:input_gradient":
        return tuple(layer.words(with_input=False) for layer in linear.INPUT_GRADIENT)
    if part == "linear:update":
        return tuple(layer.words(with_input=True) for layer in linear.UPDATE)
    if part == "philox":
        known = importlib.import_module("benchmarks.bench_philox").SIZES
        return tuple(f"{n:,} numbers" for n in known)
    if part == "maxout_linear":
        return ("200 x 784 to 240 units of 5 pieces", "200 x 240 to 240 units of 5 pieces")
    if part == "momentum_sgd":
        return ("1200 x 784, no limit", "8000 x 2304, max-norm 1.9365")
    if operation == "memory of a training run":
        return ("fastgan train mnist --epochs 1",)
    return TOLD_APART.get(part, (f"size of {part}",))


def row(part: str, operation: str, size: str, contender: str, place: int) -> dict[str, Any]:
    """Return a row: fastgan takes 2 ms, the contender at a place so many times as long."""
    is_floor = contender.startswith(("torch.mm", "writing", "its memory", "Philox's"))
    is_slow = contender.startswith(("KeOps", "scikit-learn"))
    ratio = 1.0 if place == 0 else 300.0 if is_slow else 0.5 + 0.75 * place
    return {
        "operation": operation,
        "size": size,
        "contender": contender,
        "is_floor": is_floor,
        "seconds": 0.002 * ratio,
        "build_seconds": 0.0005 if place == 0 else None,
        "ratio_median": ratio,
        "ratio_low": ratio if place == 0 else 0.9 * ratio,
        "ratio_high": ratio if place == 0 else 1.25 * ratio,
        "roofline_fraction": None,
        "roofline_bound": "",
        "error": None if is_floor else 10.0 ** (place - 9),
        "bound": 1e-4 if place == 0 else None,
        "error_unit": "nats" if operation == "parzen" else "of the distance",
        "extra_bytes": 36_000_000 + place if operation.startswith("memory") else None,
        "n_rounds": 1 if is_slow else 7,
        "measured_on": "100 of 10,000 queries" if is_slow else "",
        "note": NOTES.get((part, contender), ""),
    }


def bench_rows(part: str, contenders: list[list[str]]) -> list[dict[str, Any]]:
    """Return rows of each operation and size of a bench."""
    if contenders == [["training step", "all"]]:  # it was asked for without a run
        names = ["fastgan", "eager, SGD fused", "eager, without autograd"]
        contenders = [["training step", *names, "torch.mm of its products"]]
    found = []
    for operation, *names in contenders:
        for size in sizes(part, operation):
            extra = ["Philox's multiplications"] * (size == "2,000,000 numbers")
            extra += ["fastgan"] * (not names)
            for place, name in enumerate([*names, *extra]):
                found.append(row(part, operation, size, name, place))
    return found


def evaluation_rows(n_samples: int) -> list[dict[str, Any]]:
    """Return the scores of a run that gains 40 nats with every tenfold of samples."""
    counts = [10**k for k in range(3, len(str(n_samples)))]
    means = [40.0 * k for k in range(1, len(counts) + 1)]
    return [
        {
            "operation": "fastgan evaluate",
            "dataset": "mnist",
            "mean": means[-1] + 20.0,
            "standard_error": 2.0,
            "sigma": 0.1668,
            "protocol_sigma": 0.2154,
            "n_samples": n_samples,
            "n_test": 10_000,
            "curve_n_samples": counts,
            "curve_means": means,
            "curve_standard_errors": [1.5] * len(counts),
            "dropped_nats": 3e-11,
            "seconds": n_samples * 3e-5,
            "peak_bytes": 700_000_000,
        }
    ]


def scaling_rows(plan: Any) -> list[dict[str, Any]]:
    """Return the points of a plan, time in proportion to all sizes."""
    rows = []
    for width, count in plan.points() or [(784, 0)]:
        seconds = 1e-12 * max(width, 100) * max(count, 1_000) * plan.n_queries
        seconds /= 0.9 * plan.n_threads * plan.n_processes if plan.n_threads > 1 else 1.0
        held = importlib.import_module("benchmarks.suite.scaling_plan").is_held(width, count)
        rows.append(
            {
                "operation": plan.operation,
                "n_threads": plan.n_threads,
                "n_processes": plan.n_processes,
                "n_features": width,
                "n_queries": plan.n_queries,
                "n_samples": count,
                "data": "images",
                "sigma": 0.2,
                "is_held": held,
                "seconds": seconds,
                "low": 0.9 * seconds,
                "high": 1.1 * seconds,
                "n_rounds": 3,
                "floor_seconds": 3 * seconds if held else None,
                "error": 1e-10,
                "error_unit": "nats",
                "note": "",
            }
        )
    if plan.n_processes > 1:
        rows[0].update(seconds=None, low=None, high=None, note="no distributed here")
    return rows


def document(suite: Any, definitions: dict[str, Any]) -> Any:
    """Return a whole document."""
    parts = []
    for part in suite.parts.PARTS:
        definition = definitions[part.name]
        if part.kind == "scaling":
            rows = scaling_rows(suite.scaling_plan.by_name(part.name.partition(":")[2]))
        elif part.kind == "evaluate":
            rows = evaluation_rows(definition["n_samples"])
        else:
            rows = bench_rows(part.name, definition["contenders"])
        parts.append(
            {
                "name": part.name,
                "definition": definition,
                "command": f"python -m benchmarks.run {part.name}",
                "date": "2026-01-01 00:00 UTC",
                "seconds": 60.0,
                "commit": "0123456789ab",
                "is_quiet": True,
                "n_threads": 2,
                "machine": MACHINE,
                "rows": rows,
            }
        )
    return suite.document.Document.of(parts, "python -m benchmarks.suite")
