"""A command that several processes carry out, as ``torchrun`` starts them: one speaks for all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from fastgan.mistakes import is_users_mistake, tell

if TYPE_CHECKING:  # imported where it is used: `fastgan --help` answers at once
    from fastgan.processes import Processes


@contextlib.contextmanager
def launched_command(device: str) -> Iterator[tuple[Processes, str]]:
    """Join the processes that ``torchrun`` or Slurm started; this one alone where they did not.

    Where one of them fails all end with an exit code that is not zero. A user's mistake is told
    once, by the first process, wherever it was noticed; faults of ours keep their traceback.

    Parameters
    ----------
    device : str
        As the command was given it.

    Yields
    ------
    processes : Processes
    device : str
        The one that this process works on.
    """
    from fastgan.processes import ElsewhereError, ProcessFailedError, launched

    speaks = True
    try:
        with launched(device) as (processes, own_device):
            speaks = processes.is_first
            yield processes, own_device
    except ProcessFailedError as error:
        # no one else can say of a process that is gone that it is
        if speaks or not isinstance(error, ElsewhereError):
            tell(f"error: {error}")
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        if speaks:
            raise
        raise typer.Exit(130) from None
    except Exception as error:
        if speaks or not is_users_mistake(error):
            raise
        raise typer.Exit(2) from None
