"""A hundred training steps of a full-size recipe: memory, time a step, costs that move.

``python -m benchmarks.full_recipes [NAMES]``, a process for each. Exit code 1 if one passes 16 GiB,
has a cost that is not finite, does not move, or could not be measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

import fastgan
from benchmarks.machine import machine
from benchmarks.memory import CHILD
from benchmarks.rows import SCRATCH, readable
from fastgan import recipes
from fastgan.ops import philox
from fastgan.recipes import Recipe

NAMES = ("tfd-stage-1", "tfd", "cifar10-mlp", "cifar10-conv")
N_STEPS = 100
N_ENDS = 10  # steps at either end whose mean costs are shown
LIMIT_BYTES = 16 * 2**30
# TFD is given out on request only: 48x48 faces that are at hand are its stand-in.
STAND_INS = {"tfd": ("faces", "fer2013")}


@dataclass(frozen=True)
class Measured:
    """What one process found; costs are means of the first and of the last ten steps."""

    name: str
    dataset: str
    n_weights: int
    step_seconds: tuple[float, ...]
    peak_bytes: int
    discriminator_costs: tuple[float, ...]
    generator_costs: tuple[float, ...]

    @property
    def ends(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """D's cost at the first and the last steps, then G's."""
        return (_ends(self.discriminator_costs), _ends(self.generator_costs))

    @property
    def faults(self) -> list[str]:
        """What is wrong with it, in words; nothing if all is well."""
        found = []
        if self.peak_bytes > LIMIT_BYTES:
            found.append(f"memory {self.peak_bytes / 2**30:.1f} GiB, above 16 GiB")
        for net, costs in (("D", self.discriminator_costs), ("G", self.generator_costs)):
            if not all(map(math.isfinite, costs)):
                found.append(f"{net}'s cost is not finite")
            elif len(set(costs)) < 2:
                found.append(f"{net}'s cost does not move")
        return found


def images_of(recipe: Recipe) -> tuple[str, torch.Tensor]:
    """Return the name of the data set and its training images, a stand-in's where it must be.

    Raises
    ------
    FileNotFoundError
        If neither is at hand.
    """
    tried = []
    for name in (recipe.dataset, *STAND_INS.get(recipe.dataset, ())):
        try:
            return name, fastgan.load_dataset(name, download=False).train
        except (FileNotFoundError, ValueError) as error:
            tried.append(f"{name}: {str(error).splitlines()[0]}")
    raise FileNotFoundError("; ".join(tried))


def recipe_of(name: str) -> Recipe:
    """Return a recipe, or one of a recipe's stages; ValueError with the known names otherwise."""
    stages = {stage.name: stage for each in recipes.names() for stage in _stages(each)}
    return stages[name] if name in stages else recipes.by_name(name)


def _stages(name: str) -> tuple[Recipe, ...]:
    return recipes.by_name(name).stages


def train(name: str, n_steps: int) -> Measured:
    """Train in this process; the peak is that of its resident memory, start and data counted.

    A second stage starts from its initial weights here, not from a trained first stage's.
    """
    recipe = recipe_of(name)
    dataset, images = images_of(recipe)
    mean = images.mean(dim=0, dtype=torch.float64).clamp(0.0, 1.0)
    step = fastgan.make_step(
        recipe,
        generator=fastgan.Generator(recipe, mean),
        discriminator=fastgan.Discriminator(recipe),
    )
    order = philox.permutation(len(images), recipe.seed, 1, 0)
    n_batches = len(images) // recipe.batch_size
    seconds, costs = [], []
    for number in range(n_steps):
        first = number % n_batches * recipe.batch_size
        batch = images[order[first : first + recipe.batch_size]]
        started = time.perf_counter()
        found = step(batch)
        costs.append((float(found.discriminator), float(found.generator)))
        seconds.append(time.perf_counter() - started)
    modules = (step.generator, step.discriminator)
    return Measured(
        name=recipe.name,
        dataset=dataset,
        n_weights=sum(p.numel() for module in modules for p in module.parameters()),
        step_seconds=tuple(seconds),
        peak_bytes=_peak_bytes(),
        discriminator_costs=tuple(cost for cost, _ in costs),
        generator_costs=tuple(cost for _, cost in costs),
    )


def measure(name: str, n_steps: int, n_threads: int) -> Measured:
    """Train in a process of its own; RuntimeError with its last line if it fails."""
    asked = {
        "module": "full_recipes.child", "name": name, "n_steps": n_steps, "n_threads": n_threads
    }  # fmt: skip
    command = [sys.executable, str(CHILD), json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError((done.stderr.strip().splitlines() or ["it ended without a word"])[-1])
    fields = json.loads(done.stdout.splitlines()[-1])
    return Measured(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})


def markdown(found: Sequence[Measured], left_out: Sequence[str], n_threads: int) -> str:
    """Return a table for people, and below it what was left out and the machine."""
    lines = [
        "| recipe | data | weights | a step, median (.1 to .9) | peak memory | D's cost "
        "| G's cost | faults |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for each in found:
        low, *_, high = statistics.quantiles(each.step_seconds, n=10)
        d, g = (f"{first:.6f} to {last:.6f}" for first, last in each.ends)
        spread = f"({readable(low)} to {readable(high)})"
        lines.append(
            f"| {each.name} | {each.dataset} | {each.n_weights:,} "
            f"| {readable(statistics.median(each.step_seconds))} {spread} "
            f"| {each.peak_bytes / 2**30:.2f} GiB | {d} | {g} "
            f"| {'; '.join(each.faults) or 'none'} |"
        )
    lines += ["", *(f"Left out: {words}." for words in left_out)]
    steps = len(found[0].step_seconds) if found else 0
    lines.append(
        f"{steps} steps each, {n_threads} threads; costs are means of the first and the last "
        f"{N_ENDS}."
    )
    here = {**machine(), "threads": n_threads}
    lines.append("; ".join(f"{key} {value}" for key, value in here.items()) + ".")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the recipes named, print and write the table."""
    parser = argparse.ArgumentParser(description="100 steps of each full-size recipe.")
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--steps", type=int, default=N_STEPS)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=SCRATCH)
    asked = parser.parse_args(arguments)
    if asked.steps < 2 or asked.threads < 1:
        parser.error("expected --steps of at least 2 and --threads of at least 1")
    found, left_out = [], []
    for name in asked.names:
        try:
            found.append(measure(name, asked.steps, asked.threads))
        except RuntimeError as error:
            left_out.append(f"{name}: {error}")
    text = markdown(found, left_out, asked.threads)
    print(text, end="")
    asked.out.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
    (asked.out / f"full-recipes-{now}.md").write_text(text, encoding="utf-8")
    content = [
        dataclasses.asdict(each) | {"n_threads": asked.threads, "machine": machine()}
        for each in found
    ]
    path = asked.out / f"full-recipes-{now}.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return int(bool(left_out) or any(each.faults for each in found))


def _ends(costs: Sequence[float]) -> tuple[float, float]:
    return statistics.fmean(costs[:N_ENDS]), statistics.fmean(costs[-N_ENDS:])


def _peak_bytes() -> int:
    """Return the peak of this process's resident memory; Linux keeps it as VmHWM."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("needs Linux's /proc/self/status")


if __name__ == "__main__":
    sys.exit(main())
