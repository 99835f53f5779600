"""``python -m benchmarks.run [names] [--quick]``: check, measure, print, write to results/."""

from __future__ import annotations

import argparse
import datetime
import importlib
import sys
from pathlib import Path

import torch

from benchmarks import harness

NAMES = ("dropout", "maxout_linear", "momentum_sgd", "parzen", "neighbors", "training_step")


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmarks named, all by default; 1 if a result was wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run?")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (15, or 3 with --quick)")
    parser.add_argument("--threads", type=int, help="threads of torch and of the native kernels")
    parser.add_argument("--out", type=Path, default=harness.RESULTS, help="folder of the results")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(NAMES))
    if unknown:
        parser.error(f"unknown benchmark {unknown[0]!r}; expected some of {', '.join(NAMES)}")
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    n_rounds = options.rounds or (3 if options.quick else 15)
    rows: list[harness.Row] = []
    n_wrong = 0
    for name in options.names or NAMES:
        module = importlib.import_module(f"benchmarks.bench_{name}")
        for comparison in module.comparisons(quick=options.quick, compile=not options.no_compile):
            print(f"{comparison.operation}, {comparison.size} ...", file=sys.stderr, flush=True)
            try:
                rows += harness.measure(
                    comparison, n_rounds=n_rounds, block_seconds=0.01 if options.quick else 0.2
                )
            except harness.WrongResultError as error:
                n_wrong += 1
                print(f"WRONG: {error}", file=sys.stderr)
    if rows:
        stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
        path = harness.write(rows, f"{stamp}{'-quick' if options.quick else ''}", options.out)
        print(harness.markdown(rows))
        print(f"written: {path} and {path.with_suffix('.json').name}", file=sys.stderr)
    return 1 if n_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
