"""Training with restarts: a run that the collapse watch reports is followed by the next seed.

Nothing is hidden: the runs that were set aside stay where they are, and ``restarts.json`` beside
them says which they were, at which epoch they were stopped and why. A report of the run that came
of it lists them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastgan import recipes
from fastgan.checkpoints import check_same_recipe
from fastgan.checks import check_integer
from fastgan.data import Dataset, load_dataset
from fastgan.failures import Failures
from fastgan.files import write_atomically
from fastgan.flat_json import checked_fields, read_object
from fastgan.processes import Processes
from fastgan.reading import read_small
from fastgan.recipes import Recipe
from fastgan.runs import STAGE_FOLDER, Run, holds_run
from fastgan.training import TrainingOptions, train

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

RESTARTS = "restarts.json"  # in the folder that holds the runs


@dataclass(frozen=True)
class LostSeed:
    """A seed whose training was reported as collapsed, saturated or diverged, and so set aside."""

    seed: int
    epoch: int
    kind: str  # collapse | saturated | diverged
    message: str
    folder: str


@dataclass(frozen=True)
class Restarted:
    """What :func:`train_with_restarts` leaves.

    ``lost`` are the seeds set aside before this run; ``collapsed`` says that the run itself was
    reported too, which happens only to the last seed there was.
    """

    run: Run
    lost: tuple[LostSeed, ...]
    collapsed: bool


def train_with_restarts(
    recipe: Recipe | str = "digits",
    restarts: int = 4,
    *,
    dataset: Dataset | None = None,
    seeds: Sequence[int] | None = None,
    folder: str | Path | None = None,
    options: TrainingOptions | None = None,
    say: Callable[[str], None] = lambda _: None,
    process_group: ProcessGroup | None = None,
) -> Restarted:
    """Train, and start again with the next seed if the collapse watch reports the run.

    Parameters
    ----------
    recipe : Recipe or str
        What to train, or its name.
    restarts : int
        How often to start again at most. All runs but the last that this allows are stopped at the
        first warning; the last is trained to its end whatever happens, so that there is a result.
    dataset : Dataset, optional
        By default the recipe's own.
    seeds : sequence of int, optional
        To try in this order; by default the recipe's and the ``restarts`` that follow it.
    folder : path, optional
        Holds a run folder ``seed-<seed>`` for each seed, and ``restarts.json``; by default
        ``runs/<recipe>``.
    options : TrainingOptions, optional
        How to train; its folder and name are not used. With ``resume``, runs that are there already
        are gone on with, and seeds that were set aside stay so.
    say : callable, optional
        Takes a line of text at each stage.
    process_group : torch.distributed.ProcessGroup, optional
        As :func:`fastgan.train` takes it; the first process decides, from the files that it writes.

    Returns
    -------
    Restarted

    Raises
    ------
    ValueError
        If there is no seed, if a run that is there already is of another recipe, or as
        :func:`fastgan.train`.
    OSError
        If the folder cannot be written, or holds a run of such a seed and ``resume`` is not set.
    """
    check_integer("restarts", restarts, 0)
    recipe = recipes.by_name(recipe) if isinstance(recipe, str) else recipe
    if seeds is None:
        seeds = range(recipe.seed, recipe.seed + restarts + 1)
    if not seeds:
        raise ValueError("seeds: expected at least one, got none")
    options = options or TrainingOptions()
    dataset = load_dataset(recipe.dataset) if dataset is None else dataset
    base = Path(folder) if folder is not None else Path("runs") / recipe.name

    processes = Processes(process_group)
    failures = Failures(processes)
    lost: list[LostSeed] = []
    for number, seed in enumerate(seeds):
        is_last = number == len(seeds) - 1
        run_folder = base / f"seed-{seed}"
        found = None
        with failures.told():
            if processes.is_first and options.resume and not is_last:
                found = _lost_run(run_folder)
                if found is not None:
                    own = recipe.replace(seed=seed)
                    check_same_recipe(run_folder, Run.open(run_folder).recipe, own)
        if processes.any(found is not None):
            run = found or Run(run_folder, recipe.replace(seed=seed))
        else:
            say(f"training {recipe.name} on {dataset.name}, seed {seed}: {run_folder}")
            goes_on = processes.from_first("run" * (options.resume and holds_run(run_folder)))
            changes: dict[str, Any] = {
                **asdict(options),
                "folder": run_folder,
                "name": None,
                "resume": bool(goes_on),
                "stop_on_collapse": options.stop_on_collapse or not is_last,
            }
            run = train(
                recipe,
                dataset=dataset,
                seed=seed,
                options=TrainingOptions(**changes),
                process_group=process_group,
            )
        why = ""
        with failures.told():
            if processes.is_first and (run.status != "finished" or run.collapsed):
                why = json.dumps(asdict(_why(run, seed)))
                _record(base, seeds[0], [*lost, LostSeed(**json.loads(why))], None)
        why = processes.from_first(why)
        if not why:
            break
        lost.append(LostSeed(**json.loads(why)))
        say(f"seed {seed} is set aside: epoch {lost[-1].epoch}: {lost[-1].message}")
    else:
        say("every seed was reported by the collapse watch: the result is of the last one")
    collapsed = len(lost) == len(seeds)
    if collapsed:
        lost.pop()
    with failures.told():
        if processes.is_first:
            _record(base, seeds[0], lost, seed)
    return Restarted(run=run, lost=tuple(lost), collapsed=collapsed)


def lost_before(run: Run) -> tuple[LostSeed, ...]:
    """Return the seeds that were set aside before a run, from ``restarts.json`` beside it.

    None if there is no such file, or the run did not come of restarts; ValueError if it is damaged.
    """
    for entry in _read(run.folder.parent / RESTARTS).values():
        if entry["result"] == run.recipe.seed:
            return tuple(LostSeed(**lost) for lost in entry["lost"])
    return ()


def _record(base: Path, first: int, lost: Sequence[LostSeed], result: int | None) -> None:
    """Write what became of the seeds from ``first`` on; what began with other seeds stays."""
    path = base / RESTARTS
    entries = _read(path)
    entries[str(first)] = {"lost": [asdict(seed) for seed in lost], "result": result}
    write_atomically(path, (json.dumps(entries, indent=2) + "\n").encode())


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    damaged = f"{path}: this record of restarts is damaged"
    entries = read_object(read_small(path), damaged)
    for first, entry in entries.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("lost"), list):
            raise ValueError(f"{damaged}: {first}: expected an object with a list of lost seeds")
        for lost in entry["lost"]:
            checked_fields(LostSeed, lost, f"{damaged}: {first}: lost")
        result = entry.get("result", "nothing")
        if result is not None and type(result) is not int:
            raise ValueError(f"{damaged}: {first}: result: expected a seed, got {result!r:.100}")
    return entries


def _lost_run(folder: Path) -> Run | None:
    """Return the run in a folder if it was set aside, or the stage before it if that one was."""
    if not holds_run(folder):
        return None
    run = Run.open(folder)
    if run.status == "new":
        return _lost_run(folder / STAGE_FOLDER)
    lost = run.status in ("stopped", "diverged") or (run.status == "finished" and run.collapsed)
    return run if lost else None


def _why(run: Run, seed: int) -> LostSeed:
    warnings = run.warnings
    if not warnings:
        epoch = run.metrics[-1]["epoch"]
        message = "the samples hardly vary with z"
        return LostSeed(seed, epoch, "collapse", message, str(run.folder))
    # The first of the last epoch's: where there are two, it is the graver one.
    told = next(warning for warning in warnings if warning["epoch"] == warnings[-1]["epoch"])
    return LostSeed(seed, told["epoch"], told["warning"], told["message"], str(run.folder))
