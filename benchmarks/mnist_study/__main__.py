"""``python -m benchmarks.mnist_study run PART ... | report``: train and score, then write it up."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.mnist_study import carry_out, plan, report
from fastgan import recipes


def main(arguments: list[str] | None = None) -> int:
    """Run a part or write the report; 1 if a run failed, 130 if interrupted."""
    options = _parser().parse_args(arguments)
    if options.what == "report":
        try:
            written = report.write(options.runs, options.out, dict(options.step_ms))
        except FileNotFoundError as error:
            print(error, file=sys.stderr)
            return 2
        print("\n".join(map(str, written)))
        return 0
    base = None if options.recipe is None else recipes.by_name(options.recipe)
    runs = [
        run
        for part in options.parts
        for run in plan.plan(part, recipe=base, seeds=options.seeds, n_epochs=options.epochs)
    ]
    try:
        n_failed = carry_out.carry_out(
            runs,
            options.out,
            n_processes=options.processes,
            n_threads=options.threads,
            slice_epochs=options.slice,
            step=options.step,
            say=lambda line: print(line, flush=True),
        )
    except KeyboardInterrupt:
        print("interrupted; the state is saved, the same command goes on", file=sys.stderr)
        return 130
    return 1 if n_failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mnist_study", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    run = commands.add_parser(
        "run", help="train and score the runs of parts, each from where it is"
    )
    run.add_argument("parts", nargs="+", choices=plan.PARTS, metavar="PART", help=str(plan.PARTS))
    run.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="of the runs")
    run.add_argument("--seeds", type=_seeds, metavar="N,N", help="in place of the part's own")
    run.add_argument("--epochs", type=int, help="in place of the part's own; may be raised later")
    run.add_argument("--recipe", choices=recipes.names(), help="in place of the part's own")
    run.add_argument("--processes", type=int, default=2, help="runs side by side (2)")
    run.add_argument("--threads", type=int, default=1, help="of each of them (1)")
    run.add_argument("--step", choices=("auto", "fused", "autograd"), default="auto")
    run.add_argument(
        "--slice",
        type=int,
        default=25,
        metavar="EPOCHS",
        help="all runs go on by so many epochs before any goes further (25)",
    )
    written = commands.add_parser("report", help="write mnist.md and its picture")
    written.add_argument("--runs", type=Path, required=True, metavar="FOLDER", help="run's --out")
    written.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="of the report")
    written.add_argument(
        "--step-ms",
        type=_step,
        action="append",
        default=[],
        metavar="NAME=MILLISECONDS",
        help="a measured step, to extrapolate the time to the paper's number; may be repeated",
    )
    return parser


def _seeds(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _step(text: str) -> tuple[str, float]:
    name, _, milliseconds = text.rpartition("=")
    if not name or not float(milliseconds) > 0.0:
        raise ValueError(text)
    return name, float(milliseconds)


if __name__ == "__main__":
    sys.exit(main())
