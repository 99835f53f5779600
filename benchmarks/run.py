"""``python -m benchmarks.run [name[:case] ...]``: check, measure, print, write to scratch/."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import importlib
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import torch

from benchmarks import devices, harness
from benchmarks.rows import SCRATCH, Row, line, markdown, write

NAMES = (
    "philox",
    "dropout",
    "linear",
    "maxout_linear",
    "momentum_sgd",
    "parzen",
    "neighbors",
    "memory",
    "training_step",
)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmarks named, all by default; 1 if a result was wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name[:case]", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run?")
    parser.add_argument(
        "--no-compile", action="store_true", help="leave torch.compile and KeOps out"
    )
    parser.add_argument(
        "--samples", type=Path, metavar="FILE.npy", help="samples of a trained MNIST generator"
    )
    parser.add_argument(
        "--run", type=Path, metavar="FOLDER", help="a training run, for training_step:mnist:trained"
    )
    parser.add_argument("--rounds", type=int, help="interleaved rounds (15, or 3 with --quick)")
    parser.add_argument(
        "--budget",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="fewer rounds, at least 3, where a comparison's would take longer (600)",
    )
    parser.add_argument(
        "--against",
        metavar="PEER,PEER",
        help="these contenders only, beside fastgan: where all would take hours",
    )
    parser.add_argument(
        "--device", choices=devices.NAMES, default="cpu", help="where the tensors live (cpu)"
    )
    parser.add_argument("--threads", type=int, help="threads of torch, fastgan and the peers")
    parser.add_argument("--out", type=Path, default=SCRATCH, help="folder of the results")
    parser.add_argument("--name", help="of the files, in place of date and time")
    options = parser.parse_args(arguments)
    try:
        device = devices.named(options.device)
    except devices.NoDeviceError as error:
        parser.error(str(error))
    chosen = []
    for name in options.names or NAMES:
        name, _, case = name.partition(":")
        if name not in NAMES:
            parser.error(f"unknown benchmark {name!r}; expected some of {', '.join(NAMES)}")
        module = importlib.import_module(f"benchmarks.bench_{name}")
        cases = tuple(getattr(module, "CASES", ()))
        if case and case not in cases:
            known = ", ".join(cases) or "none"
            parser.error(f"unknown case {case!r} of {name}; expected one of: {known}")
        chosen.append((module, (case,) if case else ()))
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
    stamp += f"-{options.device}" * device.is_gpu + "-quick" * options.quick
    name = options.name or stamp
    rows: list[Row] = []
    n_wrong = 0
    for work in _work(chosen, options, device):
        print(f"{work.operation}, {work.size} ...", file=sys.stderr, flush=True)
        try:
            found = work.measure(
                n_rounds=options.rounds or (3 if options.quick else 15),
                block_seconds=0.01 if options.quick else 0.2,
                budget_seconds=options.budget,
            )
        except harness.WrongResultError as error:
            n_wrong += 1
            print(f"WRONG: {error}", file=sys.stderr)
            continue
        print("\n".join(map(line, found)), file=sys.stderr, flush=True)
        rows += found
        path = write(rows, name, options.out)  # each time: a run may take hours
        del work  # its tensors, before the next comparison makes its own
    if rows:
        print(markdown(rows))
        print(f"written: {path} and {path.with_suffix('.json').name}", file=sys.stderr)
    return 1 if n_wrong else 0


def _work(
    chosen: list[tuple[ModuleType, tuple[str, ...]]],
    options: argparse.Namespace,
    device: devices.Device,
) -> Iterator[harness.Work]:
    peers = None if options.against is None else options.against.split(",")
    for module, cases in chosen:
        asked = harness.Options(
            quick=options.quick,
            compile=not options.no_compile,
            samples=options.samples,
            run=options.run,
            cases=cases,
            device=device,
        )
        yield from map(partial(_against, peers), module.comparisons(asked))


def _against(names: list[str] | None, work: harness.Work) -> harness.Work:
    """Leave a comparison fastgan and the contenders named; all where none are."""
    if names is None or not isinstance(work, harness.Comparison):
        return work
    ours, *peers = work.contenders
    kept = [peer for peer in peers if peer.name in names]
    return dataclasses.replace(work, contenders=[ours, *kept])


if __name__ == "__main__":
    sys.exit(main())
