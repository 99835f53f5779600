"""The process whose memory a training step takes: it loads, builds, trains, and waits in between.

``memory_child`` is the script that starts it. It says "ready" once everything is imported, "warm"
after the first steps, "done" after the rest, and goes on at each word from its parent.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.training_steps import plain_step, step_settings


def say(*words: object) -> None:
    print(*words, flush=True)
    sys.stdin.readline()


def make(asked: dict[str, Any]) -> Callable[[], Any]:
    """Return a step of the contender that is asked for."""
    recipe = step_settings.by_shape(asked["shape"])
    recipe = step_settings.tiny(recipe) if asked["is_tiny"] else recipe
    setting = step_settings.fresh(recipe, asked["shape"], on_images=False)
    turns = setting.turns()
    if asked["contender"] in ("fastgan", "fastgan, autograd"):
        step = setting.step("auto" if asked["contender"] == "fastgan" else "autograd")
        return lambda: step(next(turns))
    ours = setting.step("autograd")
    pair = plain_step.networks(recipe, ours.generator, ours.discriminator)
    return plain_step.eager_step(recipe, pair, turns, (recipe.learning_rate, recipe.momentum_first))


def main(asked: dict[str, Any]) -> None:
    torch.set_num_threads(asked["n_threads"])
    gc.collect()
    say("ready")
    step = make(asked)
    for _ in range(asked["n_first"]):
        step()
    gc.collect()
    say("warm")
    started = time.perf_counter()
    for _ in range(asked["n_steps"]):
        step()
    seconds = time.perf_counter() - started
    gc.collect()
    say("done", seconds / asked["n_steps"])
