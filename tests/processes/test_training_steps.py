"""Steps of several processes that share each batch: the trajectory of one, and one set of bits."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from launching import run

TRAINING = Path(__file__).parents[1] / "training"
sys.path.insert(0, str(TRAINING))

from step_cases import (  # noqa: E402
    KINDS,
    RECIPES,
    TRITON,
    assert_same_costs,
    assert_same_state,
    build,
    specification,
    specified_run,
    state_of,
)
from step_cases import run as run_steps  # noqa: E402
from test_convolutional_recipes import TINY as CONVOLUTIONAL  # noqa: E402

from fastgan.recipes import MNIST  # noqa: E402

STEPS = f"""
import hashlib, json, sys
sys.path.insert(0, {str(TRAINING)!r})
from step_cases import RECIPES, batch_of, build, images_of
from step_cases import run as run_steps
from test_convolutional_recipes import TINY as CONVOLUTIONAL
from fastgan.recipes import MNIST
RECIPES |= {{"mnist": MNIST, "convolutional": CONVOLUTIONAL}}

def digest_of(step):
    state = step.state_dict()
    return hashlib.sha256(b"".join(state[k].numpy().tobytes() for k in sorted(state))).hexdigest()

folder, kind, names, n_updates = sys.argv[1], sys.argv[2].split("-"), *sys.argv[3:]
found = {{}}
for name in names.split(";"):
    step = build(kind, RECIPES[name], processes=processes)
    costs = run_steps(step, int(n_updates))
    found[name] = digest_of(step), costs.tolist()
    if processes.is_first:
        torch.save(step.state_dict(), f"{{folder}}/{{name}}.pt")
print(json.dumps(found))
"""


def take_steps(folder: Path, kind: tuple[str, str], n_processes: int, names, n_updates: int):
    """Return the states and costs of some recipes' steps, those of every process being the same."""
    printed = run(STEPS, n_processes, folder, folder, "-".join(kind), ";".join(names), n_updates)
    found = [json.loads(text) for text in printed]
    for other in found[1:]:
        assert other == found[0]
    states = {name: torch.load(folder / f"{name}.pt", weights_only=True) for name in names}
    return states, {
        name: torch.tensor(costs, dtype=torch.float64) for name, (_, costs) in found[0].items()
    }


# As for one process: in float64 every implementation stays within 1e-9 of the specification over
# 100 free steps, each tensor relative to its largest number. Plain PyTorch's Philox and Triton's
# interpreter take their time. Batches have 1 to 37 rows: some processes have none.
NAMES = list(RECIPES)
CASES = [
    (("fused", "native"), 2, NAMES, 100),
    (("fused", "native"), 3, NAMES, 100),
    (("autograd", "native"), 2, NAMES, 100),
    (("autograd", "native"), 3, ["batch 1", "max-norm alternating"], 30),
    (("fused", "reference"), 3, ["batch 1", "max-norm alternating", "saturating"], 12),
    (("fused", "native"), 2, ["mnist"], 3),
    (("autograd", "native"), 2, ["convolutional"], 30),
    (TRITON, 2, ["batch 1", "alternating k=2 saturating", "max-norm"], 6),
]


def expected(name: str, n_updates: int):
    """Return costs and states of the specification; of one process where it has none."""
    if name == "mnist":  # at the real sizes: two batches of 100 and one of 50
        start = state_of(build(("autograd", "reference"), MNIST))
        return specified_run(MNIST, start, n_updates)
    if name == "convolutional":
        step = build(("autograd", "native"), CONVOLUTIONAL)
        start = state_of(step)
        return run_steps(step, n_updates), [start] * n_updates + [state_of(step)]
    return specification(name)


@pytest.mark.parametrize(
    ("kind", "n_processes", "names", "n_updates"),
    [case for case in CASES if case[0] in KINDS],
    ids=["-".join((*kind, str(n), of[0])) for kind, n, of, _ in CASES if kind in KINDS],
)
def test_the_first_steps_are_those_of_the_specification(
    kind: tuple[str, str], n_processes: int, names: list[str], n_updates: int, tmp_path: Path
) -> None:
    states, costs = take_steps(tmp_path, kind, n_processes, names, n_updates)
    for name in names:
        wanted, wanted_states = expected(name, n_updates)
        assert_same_costs(costs[name], wanted[:n_updates])
        assert_same_state(states[name], wanted_states[n_updates])
