"""What is shown while a run trains or is judged: a bar on a terminal, else log lines."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

logger = logging.getLogger("fastgan")


@contextlib.contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function of (n_done, n_total) that moves a bar on a terminal's standard error.

    Where standard error is no terminal, nothing is shown.
    """
    if not sys.stderr.isatty():
        yield lambda n_done, n_total: None
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn(what), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda n_done, n_total: progress.update(task, completed=n_done, total=n_total)


class Display:
    """A progress bar over the batches of a run, with the epoch's figures beside it.

    Parameters
    ----------
    name : str
        What is trained.
    n_epochs, n_batches, n_done : int
        Of the whole run; batches that an earlier session has done.
    visible : bool, optional
        None shows the bar only where standard error is a terminal. Without the bar, everything
        goes to the logger ``fastgan``.
    """

    def __init__(
        self, name: str, n_epochs: int, n_batches: int, n_done: int, visible: bool | None
    ) -> None:
        self._name = name
        self._n_epochs = n_epochs
        self._log_likelihood = ""  # the last one known
        shown = sys.stderr.isatty() if visible is None else visible
        self._progress: Progress | None = None
        if shown:
            self._progress = Progress(
                TextColumn("[bold]{task.description}"),
                BarColumn(bar_width=10),
                TimeRemainingColumn(),
                TextColumn("left  {task.fields[figures]}"),
                console=Console(stderr=True),
                refresh_per_second=4,
            )
            self._task = self._progress.add_task(
                name, total=n_batches, completed=n_done, figures=""
            )

    def __enter__(self) -> Display:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def advance(self) -> None:
        """Count a batch."""
        if self._progress is not None:
            self._progress.advance(self._task)

    def epoch(self, record: dict[str, float | int]) -> None:
        """Show the figures of an epoch that has ended."""
        epoch = f"epoch {record['epoch']}/{self._n_epochs}"
        costs = f"D {record['discriminator_cost']:.3f}  G {record['generator_cost']:.3f}"
        if "validation_log_likelihood" in record:
            self._log_likelihood = f"  {record['validation_log_likelihood']:.1f} nats"
        if self._progress is not None:  # within the 80 columns of a plain terminal
            self._progress.update(
                self._task,
                description=f"{self._name} {epoch}",
                figures=costs + self._log_likelihood,
            )
        deviation = f"  deviation {record['sample_deviation']:.3f}"
        new = self._log_likelihood if "validation_log_likelihood" in record else ""
        logger.info("%s  %s%s%s", epoch, costs, deviation, new)

    def warn(self, text: str) -> None:
        """Say something that must not be missed."""
        if self._progress is not None:
            self._progress.console.print(f"[yellow bold]warning[/] {text}", highlight=False)
            logger.info("warning: %s", text)
        else:
            logger.warning(text)
