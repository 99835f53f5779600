"""``python -m fastgan.kernels.aot``: compile every shipped kernel, with no device present."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the proof; 1 if a kernel spills, exceeds a limit, or lacks what it is meant to have."""
    # Read when a kernel is decorated, so before any is imported.
    os.environ.pop("TRITON_INTERPRET", None)
    from fastgan.kernels.aot import proof, table
    from fastgan.kernels.aot.cases import cases, kernels
    from fastgan.kernels.launch import ARCHITECTURES

    parser = argparse.ArgumentParser(
        prog="python -m fastgan.kernels.aot",
        description="Compile every configuration of every kernel for "
        f"{', '.join(ARCHITECTURES)}, with no device present, and fail on spilled registers, "
        "limits exceeded, and products without tensor cores.",
    )
    parser.add_argument("--architecture", nargs="+", choices=ARCHITECTURES, default=ARCHITECTURES)
    parser.add_argument("--kernel", nargs="+", choices=sorted(kernels()), default=[])
    parser.add_argument("--output", type=Path, help="a table, .md or .json")
    parser.add_argument("--jobs", type=int, default=2, help="compilers at a time (default: 2)")
    parser.add_argument("--verbose", action="store_true", help="a line for each kernel")
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error(f"--jobs: expected at least 1, got {options.jobs}")
    if options.output and options.output.suffix not in (".md", ".json"):
        parser.error(f"--output: expected a name ending in .md or .json, got {options.output}")

    found = proof.variants(cases(), options.architecture, options.kernel)

    def report(variant: proof.Variant) -> None:
        for problem in variant.problems:
            print(f"FAILED {variant.name}: {problem}", flush=True)
        if options.verbose and variant.facts is not None:
            facts = variant.facts
            print(
                f"{variant.name}: {facts.registers} registers, {facts.spills} spills, "
                f"{facts.shared_bytes} bytes shared",
                flush=True,
            )

    proof.prove(found, n_jobs=options.jobs, report=report)
    if options.output:
        text = (
            table.to_json(found) if options.output.suffix == ".json" else table.to_markdown(found)
        )
        options.output.write_text(text, encoding="utf-8")
    failed = [variant for variant in found if variant.problems]
    by_architecture = Counter(variant.architecture for variant in found)
    counted = ", ".join(f"{n} on {name}" for name, n in by_architecture.items())
    n_kernels = len({variant.launch.kernel.name for variant in found})
    print(f"{n_kernels} kernels in {len(found)} variants ({counted}): {len(failed)} failed")
    return 1 if failed or not found else 0


if __name__ == "__main__":
    sys.exit(main())
