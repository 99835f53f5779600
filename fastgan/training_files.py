"""What a run writes while it trains: its epochs, their pictures, and what the user is shown."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from torch import nn

from fastgan.averaging import WeightAverage
from fastgan.best_weights import BEST, drop_best, keep_best, settle_best
from fastgan.collapse import Finding, watch
from fastgan.data import Dataset
from fastgan.epoch_files import open_tensorboard, write_sample_grid, write_tensorboard
from fastgan.epoch_record import epoch_record
from fastgan.files import remove_left_over
from fastgan.progress import Display
from fastgan.recipes import Recipe
from fastgan.runs import Run
from fastgan.training_options import TrainingOptions


class RunFiles:
    """The files of a run under way, from a step on; of the first process alone.

    A context, to be entered when what they are to go on from is known: lines and weights of later
    steps, which a killed run may have left, are dropped, and so is what it left beside files.

    Parameters
    ----------
    run : Run
    dataset : Dataset
    options : TrainingOptions
    update : int
        Batches so far; 0 begins a run.

    Attributes
    ----------
    records : list of dict
        Of the epochs so far.
    """

    def __init__(self, run: Run, dataset: Dataset, options: TrainingOptions, update: int) -> None:
        self.run, self._dataset, self._options = run, dataset, options
        for path in (run.checkpoint_path, run.metrics_path, run.recipe_path, run.folder / BEST):
            remove_left_over(path)
        run.cut_metrics(update)
        if update > 0:
            settle_best(run.folder, update)
        else:
            drop_best(run.folder)
        self.records = run.metrics
        self._tensorboard = open_tensorboard(run, update) if options.tensorboard else None

    def __enter__(self) -> RunFiles:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._tensorboard is not None:
            with contextlib.suppress(OSError):  # its lines were flushed with each epoch
                self._tensorboard.close()

    def end_epoch(
        self,
        epoch: int,
        update: int,
        means: Sequence[float],
        seconds: float,
        generator: nn.Module,
        average: WeightAverage | None,
        display: Display,
    ) -> list[Finding]:
        """Measure an epoch that has ended, write it down, and return what it gives reason to say.

        Arguments are those of :func:`fastgan.epoch_record.epoch_record`. OSError, with a sentence,
        if something cannot be written.
        """
        run, recipe = self.run, self.run.recipe
        record, samples = epoch_record(
            epoch,
            update,
            means,
            seconds,
            recipe=recipe,
            dataset=self._dataset,
            generator=generator,
            average=None if average is None else average.generator,
            impl=self._options.impl,
        )
        if samples is not None and self._options.sample_grids:
            write_sample_grid(run, samples.cpu(), self._dataset, epoch)
        self.records.append(record)
        run.append_metrics(record)
        keep_best(run.folder, run.generator, self.records)
        display.epoch(record)
        if self._tensorboard is not None:
            write_tensorboard(self._tensorboard, record)
        findings = watch(self.records, recipe.collapse_first_epoch)
        for finding in findings:
            told = {"warning": finding.kind, "message": finding.message}
            run.append_metrics({"epoch": epoch, "step": update, **told})
            display.warn(f"epoch {epoch}: {finding.message}")
        return findings


def end_after(findings: Sequence[Finding], options: TrainingOptions) -> str:
    """Return the status that a run is to end with after such an epoch; empty where it goes on."""
    if any(finding.kind == "diverged" for finding in findings):
        return "diverged"
    return "stopped" if findings and options.stop_on_collapse else ""


def how_to_resume(run: Run, epoch: int, recipe: Recipe) -> str:
    """Return what a user who stopped a run is told."""
    return (
        f"stopped in epoch {epoch} of {recipe.n_epochs}; the state is saved in {run.folder}. "
        f"{how_to_go_on(run)}"
    )


def how_to_go_on(run: Run) -> str:
    """Return the command, and the call, that goes on with a run."""
    return (
        f"To go on: fastgan train --resume {run.folder}, "
        f"or fastgan.training.resume({str(run.folder)!r})"
    )


__all__: list[Any] = ["RunFiles", "end_after", "how_to_go_on", "how_to_resume"]
