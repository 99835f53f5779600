"""What training writes of an epoch for people: a grid of samples, and TensorBoard's events."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from fastgan.checkpoints import explained
from fastgan.data import Dataset
from fastgan.runs import Run

# A grid of 10 x 10.
N_GRID_SAMPLES = 100


def write_sample_grid(run: Run, samples: Tensor, dataset: Dataset, epoch: int) -> None:
    """Draw samples, of shape (n, n_features) on the CPU, to ``samples/epoch-0001.png`` and so on.

    Raises OSError, with the path, if it cannot be written.
    """
    from fastgan.figures import sample_grid  # matplotlib is imported only where pictures are made

    path = run.samples_folder / f"epoch-{epoch:04d}.png"
    with explained(path):
        sample_grid(samples[:N_GRID_SAMPLES], dataset, path)


def open_tensorboard(run: Run, update: int) -> Any:
    """Return a writer of event files that drops what is there from ``update`` on.

    Raises ImportError if the package tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError(
            "tensorboard: the package tensorboard is not installed (pip install tensorboard)"
        ) from error
    return SummaryWriter(str(run.folder / "tensorboard"), purge_step=update)


def write_tensorboard(writer: Any, record: dict[str, Any]) -> None:
    """Write an epoch's record, and have it on disk."""
    for name, value in record.items():
        if name not in ("epoch", "step"):
            writer.add_scalar(name, value, record["step"])
    writer.flush()
