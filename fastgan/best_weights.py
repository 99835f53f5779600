"""The model of the best validation epoch: ``best.safetensors``, always of the checkpoint's past.

A run that is killed goes on from its checkpoint, which may be older than the best epoch. So the
weights of a new best epoch are written aside, to ``best.next.safetensors``, and take the place of
the old ones once a checkpoint covers that epoch.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor, nn

from fastgan.checkpoints import explained
from fastgan.files import write_atomically
from fastgan.flat_json import read_fields
from fastgan.safetensors_files import read_safetensors

FORMAT = "fastgan weights 1"
BEST = "best.safetensors"  # in the run's folder
_NEXT = "best.next.safetensors"


@dataclass(frozen=True)
class BestEpoch:
    """Which epoch the weights are of."""

    epoch: int
    step: int  # batches so far
    validation_log_likelihood: float  # nats
    sigma: float


def best_epoch(records: Sequence[Mapping[str, Any]]) -> BestEpoch | None:
    """Return the epoch of the highest validation log-likelihood, the first of equal ones.

    ``records`` are the epochs' records of ``metrics.jsonl``; None if no epoch was evaluated.
    """
    best: BestEpoch | None = None
    for record in records:
        value = record.get("validation_log_likelihood")
        if value is not None and (best is None or value > best.validation_log_likelihood):
            best = BestEpoch(record["epoch"], record["step"], value, record["sigma"])
    return best


def keep_best(folder: Path, generator: nn.Module, records: Sequence[Mapping[str, Any]]) -> bool:
    """Write the generator's weights aside if the last of the records is the best; say whether.

    OSError, with a sentence, if they cannot be written.
    """
    best = best_epoch(records)
    if best is None or best.epoch != records[-1]["epoch"]:
        return False
    tensors = {
        name: value.detach().to("cpu", copy=True).contiguous()
        for name, value in generator.state_dict().items()
    }
    metadata = {"format": FORMAT, "best": json.dumps(dataclasses.asdict(best))}
    path = folder / _NEXT
    with explained(path):
        write_atomically(path, safetensors.torch.save(tensors, metadata))
    return True


def settle_best(folder: Path, step: int) -> None:
    """Put what was written aside in place if a checkpoint of this step covers it, else drop it.

    To be called after every checkpoint, and when a run is resumed from one.
    """
    path = folder / _NEXT
    if not path.is_file():
        return
    if _read(path, with_tensors=False)[0].step <= step:
        with explained(folder / BEST):
            path.replace(folder / BEST)
    else:
        path.unlink()


def drop_best(folder: Path) -> None:
    """Remove the weights of a run that starts from its beginning."""
    for name in (BEST, _NEXT):
        with contextlib.suppress(FileNotFoundError):
            (folder / name).unlink()


def load_best(folder: Path) -> tuple[BestEpoch, dict[str, Tensor]]:
    """Read the weights of the best validation epoch, and which epoch that is.

    FileNotFoundError if the run has none (yet), ValueError if the file is damaged.
    """
    path = folder / BEST
    if not path.is_file():
        raise FileNotFoundError(
            f"folder: {folder} holds no {BEST}: no evaluated epoch is covered by a checkpoint yet, "
            "or the run is older than this file"
        )
    return _read(path, with_tensors=True)


def _read(path: Path, *, with_tensors: bool) -> tuple[BestEpoch, dict[str, Tensor]]:
    metadata, tensors = read_safetensors(path, with_tensors=with_tensors)
    if metadata.get("format") != FORMAT:
        found = metadata.get("format", "none")
        raise ValueError(f"{path}: expected weights of format {FORMAT!r}, found {found!r}")
    if "best" not in metadata:
        raise ValueError(f"{path}: damaged metadata: 'best' is missing")
    return BestEpoch(
        **read_fields(BestEpoch, metadata["best"], f"{path}: damaged metadata")
    ), tensors
