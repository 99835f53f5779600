"""The process that trains one full-size recipe: its peak of memory is that recipe's alone.

``memory_child`` is the script that starts it; its last line is what it measured.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import torch

from benchmarks.full_recipes.__main__ import train


def main(asked: dict[str, Any]) -> None:
    torch.set_num_threads(asked["n_threads"])
    print(json.dumps(dataclasses.asdict(train(asked["name"], asked["n_steps"]))), flush=True)
