"""Parzen values that several processes work out together: the bits of one process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from launching import run

CASES = """
import itertools, json
import numpy as np
from fastgan import ParzenWindow, parzen_log_likelihood
from fastgan.ops import parzen, shared_parzen
from fastgan.processes import ProcessFailedError

group = processes.group
random = np.random.Generator(np.random.Philox(7))
centres = (random.random((12, 100)) + random.normal(scale=0.02, size=(700, 12, 100)))
centres = centres.reshape(-1, 100)  # clusters: 8,400 samples that sketches prune
queries = centres[::400] + random.normal(scale=0.02, size=(21, 100))
parzen.BLOCK_SIZE = 1_024  # nine blocks


def same(of_many, of_one):
    pairs = zip(of_many, of_one, strict=True) if isinstance(of_one, tuple) else [(of_many, of_one)]
    return all(type(a) is type(b) and np.array_equal(a, b) for a, b in pairs)


def cases():
    as_dtype = {"uint8": lambda x: (255 * x).clip(0, 255).astype(np.uint8)}
    for by_blocks in (False, True):
        shared_parzen.by_centres = lambda *shape, by_blocks=by_blocks: by_blocks
        for dtype, strategy in itertools.product(["uint8", "float32", "float64"],
                                                 ["auto", "pruned", "dense"]):
            x, y = (as_dtype.get(dtype, lambda z: z.astype(dtype))(z) for z in (queries, centres))
            scale = 255 if dtype == "uint8" else 1
            yield f"{dtype} {strategy} {by_blocks}", (x, y, 0.2 * scale), {"strategy": strategy}
        x, y = torch.from_numpy(queries), torch.from_numpy(centres)
        yield f"grid {by_blocks}", (x, y, [0.05, 0.3]), {"return_bound": True}
        yield f"self {by_blocks}", (y[:3_000], y[:3_000], 0.1), {"exclude_self": True,
                                                               "return_bound": True}
        yield f"few {by_blocks}", (x[:1], y[:1_500], 0.1), {}
        yield f"none {by_blocks}", (x[:0], y[:1_500], 0.1), {}
        yield f"reference {by_blocks}", (x[:5], y[:2_500], 0.1), {"impl": "reference"}
        yield f"tolerance {by_blocks}", (x, y, [0.2]), {"tolerance": 0}
        np.save(sys.argv[1] + f"/{processes.rank}.npy", centres)
        mapped = np.load(sys.argv[1] + f"/{processes.rank}.npy", mmap_mode="r")
        yield f"mapped {by_blocks}", (queries, mapped, 0.1), {"return_bound": True}


differing = []
for name, arguments, options in cases():
    of_one = parzen_log_likelihood(*arguments, **options)
    if not same(parzen_log_likelihood(*arguments, **options, process_group=group), of_one):
        differing.append(name)
"""
ITERATORS_AND_WINDOWS = """
x, y = queries[:20], centres[:3_000]
batches = lambda: iter(np.array_split(y, 7))
for options in ({}, {"return_bound": True}):
    of_one = parzen_log_likelihood(x, batches(), [0.1, 0.2], **options)
    found = parzen_log_likelihood(x, batches(), [0.1, 0.2], **options, process_group=group)
    differing += ["iterator"] * (not same(found, of_one))
of_one = parzen_log_likelihood(y, batches(), 0.1, exclude_self=True)
found = parzen_log_likelihood(y, batches(), 0.1, exclude_self=True, process_group=group)
differing += ["iterator without oneself"] * (not same(found, of_one))
window = ParzenWindow(sigma=0.2).fit(y)
for _ in range(2):
    same_values = same(window.score_samples(x, process_group=group), window.score_samples(x))
    differing += ["window"] * (not same_values)

refused = []
other = processes.rank == processes.size - 1
for arguments, options in (
    ((x[: 20 - other], y, 0.1), {}),
    ((x, y, 0.1 + 0.1 * other), {}),
    ((x.astype("float32"), y.astype("float32"), 0.1) if other else (x, y, 0.1), {}),
    ((x, y, 0.1), {"strategy": "dense" if other else "auto"}),
    ((x, np.full_like(y, np.nan) if other else y, 0.1), {}),
    ((x, batches() if not other else iter([y * np.nan]), 0.1), {}),
):
    try:
        parzen_log_likelihood(*arguments, **options, process_group=group)
        refused.append("")
    except (ValueError, ProcessFailedError) as error:
        refused.append(f"{type(error).__name__}: {error}")
print(json.dumps([differing, refused]))
del group
"""


@pytest.mark.parametrize("n_processes", [2, 3, 4])
def test_every_process_gets_the_values_of_one(n_processes: int, tmp_path: Path) -> None:
    program = CASES + ITERATORS_AND_WINDOWS
    found = [json.loads(text) for text in run(program, n_processes, tmp_path, tmp_path)]
    for rank, (differing, refused) in enumerate(found):
        assert differing == []
        for text, part in zip(refused, ("(20, 100)", "0.1", "float64", "auto"), strict=False):
            assert text.startswith("ValueError: process_group: arguments: expected the same on")
            assert rank == n_processes - 1 or part in text
        for text in refused[4:]:
            kind = "ValueError: " if rank == n_processes - 1 else "ElsewhereError: "
            assert text.startswith(kind)
            assert "samples: expected finite numbers, got nan in row 0, column 0" in text
            if rank < n_processes - 1:
                assert (
                    f"process {n_processes - 1} of {n_processes} failed: ValueError: samples"
                    in text
                )
