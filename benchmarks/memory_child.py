"""The process whose memory is measured: it loads, waits for a word, makes one call, waits again.

Started by ``memory.run`` by its path, so that it imports the same fastgan as the parent. Where a
``module`` of the benchmarks is asked for, that one's ``main`` runs instead.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import fastgan

SIGMA = 0.21544346900318836  # the fourth of the paper's grid


def import_benchmarks(name: str) -> Any:
    """Import ``benchmarks.<name>`` without putting the source tree before an installed fastgan."""
    if "benchmarks" not in sys.modules:
        folder = Path(__file__).parent
        spec = importlib.util.spec_from_file_location(
            "benchmarks", folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        sys.modules["benchmarks"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["benchmarks"])
    return importlib.import_module(f"benchmarks.{name}")


def eager_neighbors(queries: np.ndarray, rows: np.ndarray) -> Any:
    module = import_benchmarks("peers")
    pair = torch.from_numpy(queries), torch.from_numpy(rows)
    return module.nearest(module.nearest_by_product, *pair, 1)


def eager_parzen(queries: np.ndarray, rows: np.ndarray) -> Any:
    module = import_benchmarks("peers")
    pair = torch.from_numpy(queries), torch.from_numpy(rows)
    return module.parzen(module.log_sums_by_product, *pair, SIGMA)


FUNCTIONS = {
    "neighbors": lambda queries, rows: fastgan.nearest_neighbors(queries, rows),
    "parzen": lambda queries, rows: fastgan.parzen_log_likelihood(queries, rows, SIGMA),
    "eager neighbors": eager_neighbors,
    "eager parzen": eager_parzen,
}


def main(asked: dict[str, Any]) -> None:
    function = FUNCTIONS[asked["function"]]
    queries = np.load(asked["queries"])[: asked["n_queries"]]
    # "c" is private to the process, and torch does not complain that it cannot be written
    rows = np.load(asked["rows"], mmap_mode="c" if asked["is_mapped"] else None)
    rows = rows[: asked["n_rows"]]
    # Threads, caches and lazily made parts are there before the measurement, in every process.
    function(queries[:64].copy(), rows[:256].copy())
    gc.collect()
    if hasattr(ctypes.CDLL(None), "malloc_trim"):
        ctypes.CDLL(None).malloc_trim(0)  # what was freed is not taken for what is used
    print("ready", flush=True)
    sys.stdin.readline()
    started = time.perf_counter()
    found = function(queries, rows)
    seconds = time.perf_counter() - started
    parts = [np.asarray(part) for part in (found if isinstance(found, tuple) else (found,))]
    print("done", seconds, sum(part.nbytes for part in parts), flush=True)
    sys.stdin.readline()
    np.savez(asked["result"], **{f"part{i}": part for i, part in enumerate(parts)})


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    run = import_benchmarks(asked["module"]).main if "module" in asked else main
    run(asked)
