"""``python -m benchmarks.suite``: measure everything, write results/ (1.5 hours on two cores)."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.rows import SCRATCH
from benchmarks.suite import document, page, prepare, quiet
from benchmarks.suite.document import Document
from benchmarks.suite.parts import MODULES, PARTS, Inputs, Part, chosen, run_here, same

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "benchmarks" / "launch.py"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the parts; 1 if a result was wrong or a part failed, 2 if parts are missing."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser().parse_args(given)
    work = options.work or SCRATCH / ("suite-quick" if options.quick else "suite")
    out = options.out or (work / "results" if options.quick else document.FOLDER)
    try:
        parts = chosen(options.only)
    except ValueError as error:
        _parser().error(str(error))
    if options.list:
        print(plan(parts))
        return 0
    folder = work / "parts"
    parts = tuple(part for part in parts if not (options.resume and is_done(part, folder)))
    for part in parts:
        (folder / f"{part.file_name}.json").unlink(missing_ok=True)
    needs = {"samples"} & {"samples" for part in parts if part.of_samples}
    needs |= {"run"} & {"run" for part in parts if part.of_run}
    inputs = prepare.inputs(options.run, work, quick=options.quick, needs=needs)
    if options.rounds is not None:
        parts = tuple(
            dataclasses.replace(part, n_rounds=min(part.n_rounds, options.rounds)) for part in parts
        )
    n_failed = 0
    for number, part in enumerate(parts, 1):
        print(f"{number} of {len(parts)}: {part.name} ...", file=sys.stderr, flush=True)
        share = quiet.busy_share()
        is_quiet = quiet.is_quiet(share) and not (options.noisy or options.quick)
        if not (is_quiet or options.noisy or options.quick):
            print(f"others keep {share:.0%} of the cores busy: not quiet", file=sys.stderr)
        n_failed += not measure(part, inputs, work, is_quiet=is_quiet)
    found = document.read_parts(folder)
    missing = [part.name for part in PARTS if part.name not in {one["name"] for one in found}]
    if missing and not (options.allow_missing or options.quick):
        print(f"no document: these parts are missing: {', '.join(missing)}", file=sys.stderr)
        return 1 if n_failed else 2
    if not found:
        print("no document: nothing was measured", file=sys.stderr)
        return 1
    words = public(given) if missing or options.quick else ["--noisy"] * options.noisy
    made = Document.of(found, shlex.join(["python", "-m", "benchmarks.suite", *words]))
    made.write(out)
    for path in page.write(made, out):
        print(f"written: {path}", file=sys.stderr)
    return 1 if n_failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suite", description=__doc__)
    parser.add_argument("--only", metavar="PART,PART", help="these; `parzen` is all parzen:...")
    parser.add_argument("--resume", action="store_true", help="leave what is measured already")
    parser.add_argument("--list", action="store_true", help="print the parts and their minutes")
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run? (< 2 min)")
    parser.add_argument(
        "--run",
        type=Path,
        metavar="FOLDER",
        help=f"a trained mnist run (without: {prepare.N_EPOCHS} epochs are trained first)",
    )
    parser.add_argument("--rounds", type=int, help="at most so many, where a part has more")
    parser.add_argument("--noisy", action="store_true", help="other programs run: say so")
    parser.add_argument(
        "--allow-missing", action="store_true", help="write the document of what is there"
    )
    parser.add_argument("--work", type=Path, help="folder of parts and inputs (scratch/suite)")
    parser.add_argument("--out", type=Path, help="folder of the document (results)")
    return parser


def plan(parts: Sequence[Part]) -> str:
    """List the parts with their minutes."""
    lines = [f"{part.minutes:5.1f} min  {part.name}" for part in parts]
    return "\n".join([*lines, f"{sum(part.minutes for part in parts):5.1f} min  in all"])


def is_done(part: Part, folder: Path) -> bool:
    """Say whether a part was measured as the code has it now."""
    path = folder / f"{part.file_name}.json"
    if not path.exists():
        return False
    kept = json.loads(path.read_text(encoding="utf-8"))
    return same(kept["definition"], part.definition())


def measure(part: Part, inputs: Inputs, work: Path, *, is_quiet: bool) -> bool:
    """Run a part's command and keep its rows; False if it failed: then nothing is kept."""
    rows_folder = work / "rows"
    rows_folder.mkdir(parents=True, exist_ok=True)
    started, date = time.perf_counter(), datetime.datetime.now(datetime.UTC)
    if inputs.quick:
        code = run_here(part, inputs, rows_folder)
    else:
        arguments = part.arguments(inputs, rows_folder)
        command = [sys.executable, str(LAUNCH), MODULES[part.kind], *arguments]
        log = rows_folder / f"{part.file_name}.log"
        with log.open("w", encoding="utf-8") as file:
            code = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT).returncode
    path = rows_folder / f"{part.file_name}.json"
    if code != 0 or not path.exists():
        print(f"{part.name} failed, exit code {code}", file=sys.stderr)
        return False
    kept = {
        "name": part.name,
        "definition": part.definition(),
        "command": command_of(part, inputs),
        "date": date.strftime("%Y-%m-%d %H:%M UTC"),
        "seconds": round(time.perf_counter() - started, 1),
        "commit": commit(),
        "is_quiet": is_quiet,
        "n_threads": torch.get_num_threads(),
        "rows": json.loads(path.read_text(encoding="utf-8")),
    }
    document.write_part(kept, work / "parts" / path.name)
    return True


def command_of(part: Part, inputs: Inputs) -> str:
    """Return a part's command as a reader can give it."""
    own = Inputs(
        Path("RUN") if inputs.run else None,
        Path("samples.npy") if inputs.samples else None,
        inputs.quick,
    )
    arguments = [word for word in part.arguments(own, Path()) if word != "--out"]
    arguments = arguments[:1] + [
        word for word in arguments[1:] if word not in ("--name", ".", part.file_name)
    ]
    return shlex.join(["python", "-m", f"benchmarks.{MODULES[part.kind]}", *arguments])


def public(arguments: Sequence[str]) -> list[str]:
    """Return the arguments without the folders of this machine."""
    folders = ("--run", "--work", "--out")
    found, is_folder = [], False
    for word in arguments:
        if not is_folder and word.split("=")[0] not in folders:
            found.append(word)
        is_folder = word in folders
    return found


def commit() -> str:
    """Return the commit of the checkout, with "and changes" where files differ from it."""
    options: dict[str, Any] = {"capture_output": True, "text": True, "cwd": ROOT}
    try:
        head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], **options)
        changes = subprocess.run(["git", "status", "--porcelain", "-uno"], **options)
    except OSError:
        return "unknown"
    if head.returncode != 0:
        return "unknown"
    return head.stdout.strip() + " and changes" * bool(changes.stdout.strip())


if __name__ == "__main__":
    sys.exit(main())
