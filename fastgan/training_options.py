"""How a training run is carried out; what it computes is the recipe's."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fastgan.checks import check_integer


@dataclass(frozen=True)
class TrainingOptions:
    """How a run is carried out; what it computes is the recipe's."""

    folder: str | os.PathLike[str] | None = None  # the run's folder; None: runs/<recipe>/<name>
    name: str | None = None  # of the run; None: seed-<seed>
    resume: bool = False  # go on with the run in the folder, from its checkpoint
    step: Literal["auto", "fused", "autograd"] = "auto"  # see fastgan.make_step
    impl: str = "auto"  # auto | reference | native | triton
    device: str | None = None  # cpu | cuda | cuda:N | auto; None: the CPU, or your modules' own
    checkpoint_every_seconds: float = 15.0  # 0: after every batch; the last batch always saves
    n_threads: int | None = None  # None: 1 for small networks (see SMALL_N_WEIGHTS), else torch's
    stop_on_collapse: bool = False  # end the run at the collapse watch's first warning
    sample_grids: bool = True  # a picture of samples at each evaluation
    tensorboard: bool = False  # write event files to <folder>/tensorboard too
    progress: bool | None = None  # the bar; None: only on a terminal

    def __post_init__(self) -> None:
        if not self.checkpoint_every_seconds >= 0.0:
            raise ValueError(
                "checkpoint_every_seconds: expected a number of at least 0, "
                f"got {self.checkpoint_every_seconds}"
            )
        if self.n_threads is not None:
            check_integer("n_threads", self.n_threads, 1)
        if self.name is not None and (not self.name or Path(self.name).name != self.name):
            raise ValueError(f"name: expected the name of one folder, got {self.name!r}")
