"""The proof as a table: Markdown for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import triton
from fastgan.kernels.aot import limits
from fastgan.kernels.aot.machine_code import CLASSES
from fastgan.kernels.aot.proof import Variant
from fastgan.kernels.aot.roofline import DEVICES, PRODUCTS

_COLUMNS = (
    "kernel",
    "case",
    "configuration",
    "architecture",
    "registers",
    "spills",
    "shared, bytes",
    "tensor memory, columns",
    "programs a multiprocessor",
    "inner loop: tensor core",
    "FMA",
    "special",
    "global",
    "shared",
    "all",
    "tile: kflop",
    "KB",
    "flop/byte",
    "model: µs",
    "bound by",
)


def record(variant: Variant) -> dict[str, Any]:
    """Return everything that is known of a variant, in types that JSON has."""
    found: dict[str, Any] = {
        "kernel": variant.launch.kernel.name,
        "cases": variant.case_names,
        "configuration": variant.configuration.name,
        "constants": dict(variant.configuration.constants),
        "n_warps": variant.configuration.n_warps,
        "n_stages": variant.configuration.n_stages,
        "architecture": variant.architecture,
        "problems": variant.problems,
        "notes": variant.notes,
    }
    facts, tile = variant.facts, variant.tile
    if facts is None or tile is None:
        return found
    model = variant.roofline()
    return found | {
        "registers": facts.registers,
        "spills": facts.spills,
        "shared_bytes": facts.shared_bytes,
        "tensor_memory_columns": facts.tensor_memory_columns,
        "n_threads": facts.n_threads,
        "programs_a_multiprocessor": limits.occupancy(facts, variant.architecture),
        "tensor_core_opcodes": list(facts.tensor_core_opcodes),
        "instructions": dict(facts.whole),
        "inner_loop_instructions": None if facts.inner_loop is None else dict(facts.inner_loop),
        "inner_loop_depth": facts.loop_depth,
        "n_programs": variant.n_programs,
        "tile": {
            "product_flops": tile.product_flops,
            "precision": tile.precision if tile.product_flops else None,
            "vector_flops": tile.vector_flops,
            "double_flops": tile.double_flops,
            "special_functions": tile.special_functions,
            "read_bytes": sum(tile.read.values()),
            "written_bytes": sum(tile.written.values()),
            "turn_product_flops": tile.loop_product_flops,
            "turn_bytes": tile.loop_bytes,
            "bounds_known": tile.bounds_known,
        },
        "model_not_measurement": {
            "device": next(
                d.name for d in DEVICES.values() if d.architecture == variant.architecture
            ),
            "seconds": model.seconds,
            "bound": model.bound,
            "parts": dict(model.parts),
            "memory_bytes": variant.work().n_bytes,
        },
    }


def to_json(variants: Sequence[Variant]) -> str:
    """Return the proof as one JSON document."""
    return json.dumps(
        {
            "triton": triton.__version__,
            "model": "rooflines follow from published peaks: a model, not a measurement",
            "devices": {name: _device(name) for name in DEVICES},
            "variants": [record(variant) for variant in variants],
        },
        indent=1,
    )


def to_markdown(variants: Sequence[Variant]) -> str:
    """Return the proof as a Markdown document."""
    rows = [_row(record(variant)) for variant in variants]
    failed = [f"- {v.name}: {problem}" for v in variants for problem in v.problems]
    noted = [f"- {v.name}: {note}" for v in variants for note in v.notes]
    parts = [
        "# Kernels, compiled ahead of time\n",
        f"Triton {triton.__version__}. No device was present: registers, memory and instructions "
        "are read from the machine code. **The last two columns are a model, not a measurement**: "
        "the least time that published peaks leave the launch of the case (below). A case stands "
        "for all launches that share its machine code. Instructions are those of the inner loop "
        "(of the whole kernel, marked `*`, where there is no loop), of one warp; the tile's work "
        "is one program's, its products counted once however often a precision splits them.\n",
        _table(_COLUMNS, rows),
    ]
    if failed:
        parts += ["\n## Problems\n", "\n".join(failed)]
    if noted:
        parts += ["\n## float64: right, not fast\n", "\n".join(noted)]
    parts += ["\n## Peaks of the model\n", _peaks()]
    return "\n".join(parts) + "\n"


def _row(found: Mapping[str, Any]) -> list[str]:
    """Return a record's cells."""
    n_more = len(found["cases"]) - 1
    case = found["cases"][0] + (f" (+{n_more})" if n_more else "")
    cells = [found["kernel"], case, found["configuration"], found["architecture"]]
    if "registers" not in found:
        return [*cells, *["-"] * (len(_COLUMNS) - len(cells))]
    loop = found["inner_loop_instructions"] or found["instructions"]
    star = "" if found["inner_loop_instructions"] else "*"
    counted = [name for name in CLASSES if name != "local_memory"]
    tile, model = found["tile"], found["model_not_measurement"]
    flops = tile["product_flops"] or tile["vector_flops"] + tile["double_flops"]
    n_bytes = tile["read_bytes"] + tile["written_bytes"]
    columns = found["tensor_memory_columns"]
    return [
        *cells,
        str(found["registers"]),
        str(found["spills"]),
        str(found["shared_bytes"]),
        "-" if columns is None else str(columns),
        str(found["programs_a_multiprocessor"]),
        *(f"{loop[name]}{star}" for name in counted),
        f"{flops / 1e3:.4g}",
        f"{n_bytes / 1e3:.4g}",
        f"{flops / n_bytes:.3g}" if n_bytes else "-",
        f"{model['seconds'] * 1e6:.3g}",
        model["bound"],
    ]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def _device(name: str) -> dict[str, Any]:
    """Return a device's peaks as JSON has them."""
    device = DEVICES[name]
    return {
        "architecture": device.architecture,
        "product_flops": {p: device.product_flops(p) for p in PRODUCTS},
        "vector_flops": device.vector_flops,
        "double_flops": device.double_flops,
        "special_functions": device.special_functions,
        "bytes_a_second": device.bytes_a_second,
        "sources": device.sources,
    }


def _peaks() -> str:
    """Return the table of peaks, with their sources below it."""
    rows = []
    for device in DEVICES.values():
        peaks = [
            *(device.product_flops(p) for p in PRODUCTS),
            device.vector_flops,
            device.double_flops,
        ]
        peaks += [device.special_functions, device.bytes_a_second]
        rows.append([device.name, device.architecture, *(f"{peak / 1e12:.4g}" for peak in peaks)])
    header = ["device", "architecture", *(f"{p}, Tflop/s" for p in PRODUCTS)]
    header += ["vector, Tflop/s", "float64 vector, Tflop/s", "special, T/s", "memory, TB/s"]
    sources = [f"- {device.name}: {device.sources}." for device in DEVICES.values()]
    return _table(header, rows) + "\n\n" + "\n".join(sources)
