"""What an evaluation under way has written down, so that the same evaluation can go on with it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import torch

from fastgan.parzen_stream import ParzenStream
from fastgan.samples import Samples

logger = logging.getLogger("fastgan")


class EvaluationPart:
    """A file with the sums of the whole blocks so far, and whose they are.

    It appears whole or not at all, and is the same for any number of processes or threads. What is
    found there and does not belong to this evaluation, or is damaged, is moved aside (``.other`` is
    added to its name, in place of an earlier one) with a warning: the evaluation begins anew.

    Parameters
    ----------
    path : Path, optional
        None: nothing is written or found.
    name : str
        A digest of what is evaluated: samples, images, sigmas, counts.
    """

    def __init__(self, path: Path | None, name: str) -> None:
        self.path, self._name = path, name

    def save(self, stream: ParzenStream, samples: Samples) -> bool:
        """Write a stream of whole blocks down; say whether that could be done.

        On a full disk the evaluation goes on, with a warning, and what was written before stays.
        """
        if self.path is None or stream.n_blocks == 0:
            return False
        note = {"evaluation": self._name, "digest": stream.digest()}
        note |= {"lowest": samples.lowest.hex(), "highest": samples.highest.hex()}
        stream.note = json.dumps(note)
        try:
            stream.save(self.path)
        except OSError as error:
            logger.warning(
                "%s: cannot be written (%s): the evaluation goes on, and what was kept there "
                "before is still kept",
                self.path,
                error.strerror or error,
            )
            return False
        return True

    def go_on(self, stream: ParzenStream, samples: Samples) -> ParzenStream:
        """Return the stream that was written down, or the one given where there is none of it."""
        if self.path is None or not self.path.is_file():
            return stream
        device = samples.array.device if isinstance(samples.array, torch.Tensor) else None
        try:
            found = ParzenStream.load(self.path, device)
            note: dict[str, Any] = json.loads(found.note or "{}")
            if note.get("evaluation") != self._name:
                self._move_aside(
                    f"holds {found.n_samples:,} samples of another evaluation (another draw, count "
                    "or data, or a model that has changed since)"
                )
                return stream
            if not _is_whole(found, stream, note):
                raise ValueError(f"{self.path}: its sums are not those that were written")
            lowest, highest = (float.fromhex(note[name]) for name in ("lowest", "highest"))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            self._move_aside(f"cannot be gone on with ({error})")
            return stream
        samples.lowest = min(samples.lowest, lowest)
        samples.highest = max(samples.highest, highest)
        return found

    def _move_aside(self, why: str) -> None:
        assert self.path is not None
        other = self.path.with_name(f"{self.path.name}.other")
        self.path.replace(other)
        logger.warning("%s: %s: kept as %s; this one begins anew", self.path, why, other.name)


def _is_whole(found: ParzenStream, stream: ParzenStream, note: dict[str, Any]) -> bool:
    same = ("expected_n_samples", "counts", "block_size", "each_block", "exclude_self")
    return (
        all(getattr(found, name) == getattr(stream, name) for name in same)
        and found.n_samples == found.n_blocks * found.block_size
        and found.work.settled is not None
        and note.get("digest") == found.digest()
    )
