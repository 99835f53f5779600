"""What a check for memorised images found: plain values that can be written, read and printed."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from fastgan.flat_json import read_fields


@dataclass(frozen=True)
class Memorisation:
    """Distances to the nearest training image: of samples, and of test images for comparison.

    Distances are Euclidean, in the scale the networks were trained in. The quantiles are those of
    ``quantile_levels``. As many samples as test images are asked about (``n_queries``).
    """

    dataset: str
    n_queries: int
    n_train: int
    quantile_levels: tuple[float, ...]
    sample_quantiles: tuple[float, ...]
    test_quantiles: tuple[float, ...]
    sample_copies: int  # samples equal to a training image, number for number
    test_copies: int  # the same for test images: duplicates in the data
    nearer_than_test: float  # share of samples nearer than the nearest hundredth of test images

    def to_json(self) -> str:
        """Return the distances as a JSON object, floats in full precision."""
        return json.dumps(dataclasses.asdict(self), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Memorisation:
        """Read what :meth:`to_json` wrote; a ValueError names what is wrong."""
        return cls(**read_fields(cls, text, "memorisation"))
