"""Errors that processes tell each other of, so that where one ends all do, and each says why."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from fastgan.processes import Processes

_N_BYTES = 1000  # of what is told of an error


class ElsewhereError(RuntimeError):
    """Another of the processes that share a piece of work failed, and so this one ends too."""


class Failures:
    """What failed on this process or another.

    A process alone at work (writing a file, say) keeps its error, for the others would wait for it
    in vain; once all are where they meet, each raises: that process its own error, the others an
    :class:`ElsewhereError` that quotes it. One process alone raises at once.

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
        if self._processes.size == 1:
            return
        error = self._error
        text = "" if error is None else f"{type(error).__name__}: {error}"
        content = text.encode(errors="replace")[:_N_BYTES]
        own = torch.zeros(_N_BYTES, dtype=torch.uint8)
        own[: len(content)] = torch.frombuffer(bytearray(content + b" "), dtype=torch.uint8)[:-1]
        told = [bytes(t.tolist()).rstrip(b"\0") for t in self._processes.gather(own)]
        if error is not None:
            raise error
        for rank, words in enumerate(told):
            if words:
                said = words.decode(errors="replace")
                raise ElsewhereError(f"process {rank} of {self._processes.size} failed: {said}")

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Keep an error of the body and tell it at its end; within it processes never meet."""
        with self.kept():
            yield
        self.tell()
