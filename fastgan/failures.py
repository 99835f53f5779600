"""What fails on one of several processes, kept until all meet and end together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from fastgan.processes import Processes


class Failures:
    """What failed on this process or another.

    A process alone at work (writing a file, say) keeps its error, for the others would wait for it
    in vain; once all are where they meet, each raises: that process its own error, the others an
    :class:`fastgan.processes.ElsewhereError` that quotes it. One process alone raises at once.

    Parameters
    ----------
    processes : Processes
    """

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._error: Exception | None = None

    @property
    def are_kept(self) -> bool:
        """Whether this process has something to tell."""
        return self._error is not None

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Keep an error of the body until :meth:`tell`."""
        try:
            yield
        except Exception as error:
            if self._processes.size == 1:
                raise
            self._error = self._error or error

    def tell(self) -> None:
        """Raise on every process if one has kept an error; all call it."""
        error, self._error = self._error, None
        try:
            self._processes.tell(error)
        finally:
            error = None  # the error's frames are not to hold the error, and each other for ever

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Keep an error of the body and tell it at its end; within it processes never meet."""
        with self.kept():
            yield
        self.tell()
