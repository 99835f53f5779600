"""The report: ``mnist.md`` and its picture, from the files of the study's runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.mnist_study import comparisons, curve, findings, sections
from benchmarks.mnist_study.findings import Found
from benchmarks.mnist_study.markdown import Section, listed
from benchmarks.mnist_study.plan import DEFAULTS, PARTS
from fastgan.files import write_atomically

REPORT = "mnist.md"
CURVE = "mnist-curve"


def write(runs: Path, folder: Path, step_ms: Mapping[str, float] | None = None) -> list[Path]:
    """Write the report on the runs below a folder, and return the paths of its files.

    Parameters
    ----------
    runs : Path
        The study's folder.
    folder : Path
        For ``mnist.md``, ``mnist-curve.png`` and ``mnist-curve-dark.png``; made if need be.
    step_ms : mapping of str to float, optional
        Milliseconds of a training step, by the name of whose step it is: the time to the paper's
        number is extrapolated to each, and said to be.

    Raises
    ------
    FileNotFoundError
        If there is no run with an epoch behind it.
    ValueError
        If a file of a run is damaged.
    OSError
        If the folder cannot be written.
    """
    found = findings.read(runs)
    folder.mkdir(parents=True, exist_ok=True)
    long = _of(found, "long")
    pictures = curve.write(long, folder, CURVE)
    content = text(found, step_ms or {}, has_picture=bool(pictures))
    return [write_atomically(folder / REPORT, content.encode()), *pictures]


def text(found: Sequence[Found], step_ms: Mapping[str, float], *, has_picture: bool) -> str:
    """Return the report as Markdown."""
    long = _of(found, "long")
    parts = [sections.headline(long)]
    if has_picture:
        parts.append(Section(_picture()))
    if long:
        parts += [sections.scores(long), sections.by_epoch(long), sections.best_epochs(long)]
        parts.append(comparisons.times(long, step_ms))
    parts += [
        comparisons.survival(_of(found, "survival")),
        comparisons.variants(_of(found, "variants")),
        comparisons.departures(_of(found, "departures")),
    ]
    missing = [words for part in parts for words in part.missing]
    missing += [f"`{part}`: no run" for part in PARTS if not _of(found, part)]
    name = (long or list(found))[0].recipe.name
    lines = [f"# How far the recipe goes: `{name}`", ""]
    lines += [line for part in parts for line in part.lines]
    lines += ["## Do it again", "", "```", *_commands(found, step_ms), "```", ""]
    lines += _machine(found)
    lines += ["## Left out", "", *(f"- {words}" for words in missing)] if missing else []
    return "\n".join(lines).rstrip() + "\n"


def _of(found: Sequence[Found], part: str) -> list[Found]:
    return [run for run in found if run.part == part]


def _picture() -> list[str]:
    alt = "Log-likelihood by epoch, each seed, beside the paper's 225"
    return [
        "<picture>",
        f'<source srcset="{CURVE}-dark.png" media="(prefers-color-scheme: dark)">',
        f'<img src="{CURVE}.png" alt="{alt}" width="760">',
        "</picture>",
        "",
    ]


def _commands(found: Sequence[Found], step_ms: Mapping[str, float]) -> list[str]:
    """Return commands that make these runs, and this report, from nothing."""
    commands = []
    for part in PARTS:
        runs = _of(found, part)
        if runs:
            seeds = ",".join(map(str, sorted({run.recipe.seed for run in runs})))
            epochs = max(run.n_epochs for run in runs)
            other = {run.recipe.name for run in runs} - {DEFAULTS[part][0]}
            commands.append(
                f"python -m benchmarks.mnist_study run {part} --seeds {seeds} --epochs {epochs} "
                + "".join(f"--recipe {name} " for name in sorted(other))
                + _options(runs)
                + "--out FOLDER"
            )
    steps = "".join(f" --step-ms '{name}={ms:g}'" for name, ms in step_ms.items())
    return [*commands, f"python -m benchmarks.mnist_study report --runs FOLDER --out docs{steps}"]


def _options(runs: Sequence[Found]) -> str:
    """Return how the runs were carried out, where that is not the default."""
    words = ""
    for field, option, default in (
        ("n_processes", "--processes", 2),
        ("n_threads", "--threads", 1),
        ("step", "--step", "auto"),
    ):
        ways = {slice_.get(field, default) for run in runs for slice_ in run.slices}
        if len(ways) == 1 and ways != {default}:
            words += f"{option} {ways.pop()} "
    return words


def _machine(found: Sequence[Found]) -> list[str]:
    """Say on what the runs were made; nothing where no file tells."""
    machines = [slice_["machine"] for run in found for slice_ in run.slices if "machine" in slice_]
    if not machines:
        return []
    facts = {
        key: listed(sorted({str(machine[key]) for machine in machines if key in machine}))
        for key in ("processor", "cores", "SIMD level", "system", "python", "fastgan", "torch")
        if any(key in machine for machine in machines)
    }
    started = min(str(machine["date"]) for machine in machines)
    finished = max(str(slice_["finished"]) for run in found for slice_ in run.slices)
    words = "; ".join(f"{key} {value}" for key, value in facts.items())
    return [f"Made from {started} to {finished} on: {words}.", ""]
