"""The checkpoint of a run: one safetensors file that appears whole or not at all. No pickle.

Tensors are the step's state (weights, velocities, int64 counters) and ``position``. Floats are in
the metadata as hexadecimal, so that they come back bit for bit.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from fastgan.files import write_atomically
from fastgan.recipe_files import differences, recipe_from_toml, recipe_to_toml
from fastgan.recipes import Recipe
from fastgan.safetensors_files import read_safetensors

FORMAT = "fastgan run 1"

# Windows knows no quota.
_DISK_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}

# What may change when a run is resumed: how long it goes on and how it is judged.
FREE_FIELDS = frozenset({"n_epochs", "evaluate_every", "n_samples", "collapse_first_epoch"})


# No more than about a twentieth of the time goes into writing checkpoints.
CHECKPOINT_SHARE = 1 / 20


@dataclass(frozen=True)
class Checkpoint:
    """All that a run needs to go on as if it had never stopped."""

    recipe: Recipe
    state: dict[str, Tensor]  # of the step: weights, velocities, update, epoch
    position: int  # batches of the epoch that are done
    sums: tuple[float, ...]  # of the epoch so far, each cost times its images
    seconds: float  # of training so far
    status: str  # running | finished | interrupted | stopped | diverged
    data_digest: str  # of the training images
    n_threads: int
    torch_version: str
    n_processes: int = 1  # that shared the batches

    @property
    def update(self) -> int:
        """Batches seen since the start."""
        return int(self.state["update"])

    @property
    def epoch(self) -> int:
        """The epoch to go on with, from 1."""
        return int(self.state["epoch"])


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint aside, flush it to the disk and rename it into place.

    After an error (OSError, with a sentence) the previous checkpoint is still there, whole.
    """
    tensors = {
        # A tensor each: modules may tie weights, and safetensors writes no shared memory.
        name: value.detach().to("cpu", copy=True).contiguous()
        for name, value in checkpoint.state.items()
    }
    tensors["position"] = torch.tensor(checkpoint.position, dtype=torch.int64)
    metadata = {
        "format": FORMAT,
        "recipe": recipe_to_toml(checkpoint.recipe),
        "sums": " ".join(value.hex() for value in checkpoint.sums),
        "seconds": checkpoint.seconds.hex(),
        "status": checkpoint.status,
        "data_digest": checkpoint.data_digest,
        "n_threads": str(checkpoint.n_threads),
        "n_processes": str(checkpoint.n_processes),
        "torch_version": checkpoint.torch_version,
    }
    content = safetensors.torch.save(tensors, metadata)
    with explained(path):
        write_atomically(path, content)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; OSError if it cannot be read, ValueError if it is not a whole one."""
    metadata, tensors = _read(path, with_tensors=True)
    for name in ("position", "update", "epoch"):
        if name not in tensors or tensors[name].dtype != torch.int64 or tensors[name].ndim != 0:
            raise ValueError(f"{path}: the counter {name!r} (int64, 0-d) is missing")
    try:
        return Checkpoint(
            recipe=recipe_from_toml(metadata["recipe"]),
            position=int(tensors.pop("position")),
            state=tensors,
            sums=tuple(float.fromhex(value) for value in metadata["sums"].split()),
            seconds=float.fromhex(metadata["seconds"]),
            status=metadata["status"],
            data_digest=metadata["data_digest"],
            n_threads=int(metadata["n_threads"]),
            torch_version=metadata["torch_version"],
            n_processes=int(metadata.get("n_processes", "1")),  # younger than the first runs
        )
    except KeyError as error:
        raise ValueError(f"{path}: the metadata {error} is missing") from error
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: damaged metadata: {error}") from error


def read_status(path: Path) -> str:
    """Return the status that a checkpoint records, without reading its tensors."""
    metadata, _ = _read(path, with_tensors=False)
    return metadata.get("status", "unknown")


def check_same_recipe(path: Path, found: Recipe, wanted: Recipe) -> None:
    """Raise ValueError, naming the fields, if a checkpoint belongs to another recipe."""
    phrases = differences(wanted, found, ignore=FREE_FIELDS)
    if phrases:
        raise ValueError(f"{path}: this is a checkpoint of another recipe: {'; '.join(phrases)}")


class SaveClock:
    """When to write the next checkpoint; a context around writing one."""

    def __init__(self, every_seconds: float) -> None:
        self._every_seconds = every_seconds
        self._wait_seconds = every_seconds
        self._last = time.perf_counter()

    def due(self) -> bool:
        """Say whether it is time."""
        return time.perf_counter() - self._last >= self._wait_seconds

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._last = time.perf_counter()
        if self._every_seconds > 0.0:
            took_seconds = self._last - self._started
            self._wait_seconds = max(self._every_seconds, took_seconds / CHECKPOINT_SHARE)


def digest_of(images: Tensor) -> str:
    """Return 128 bits of BLAKE2b of the training images."""
    content = images.detach().cpu().contiguous().numpy()
    digest = hashlib.blake2b(repr((content.shape, content.dtype.str)).encode(), digest_size=16)
    digest.update(content.data)
    return digest.hexdigest()


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an OSError of writing ``path`` into one whose sentence says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_FULL:
            advice = (
                "the disk is full. The last checkpoint is untouched: free some space and resume"
            )
        else:
            advice = error.strerror or str(error)
        raise OSError(error.errno, f"cannot write {path}: {advice}") from error


def _read(path: Path, *, with_tensors: bool) -> tuple[dict[str, str], dict[str, Tensor]]:
    metadata, tensors = read_safetensors(path, with_tensors=with_tensors)
    if metadata.get("format") != FORMAT:
        found = metadata.get("format", "none")
        raise ValueError(f"{path}: expected a checkpoint of format {FORMAT!r}, found {found!r}")
    return metadata, tensors
