"""A user's mistake is told in one line, with exit code 2; a fault of ours keeps its traceback."""

from __future__ import annotations

import dis
from typing import Any

import typer
from rich.console import Console
from typer.core import TyperGroup


class MistakesGroup(TyperGroup):
    """Tells a user's mistake in a line, exit code 2; lets our own faults through."""

    def invoke(self, ctx: Any) -> Any:
        """Call the command, and turn interruptions and mistakes into exit codes."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            tell(str(error) or "interrupted")
            raise typer.Exit(130) from None
        except (OSError, ValueError, TypeError, ImportError) as error:
            if not is_users_mistake(error):
                raise
            tell(f"error: {error}")
            raise typer.Exit(2) from None


def is_users_mistake(error: BaseException) -> bool:
    """Say whether an error is about what the user gave.

    Files that are not there, cannot be written or do not fit on the disk are, and so is what a
    ``raise`` statement of this package refused. The same exceptions from anywhere else are faults.
    """
    if isinstance(error, OSError):
        return not isinstance(error, BrokenPipeError)
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    code = trace.tb_frame.f_code.co_code
    ours = trace.tb_frame.f_globals.get("__name__", "").split(".")[0] == "fastgan"
    return ours and dis.opname[code[trace.tb_lasti]] == "RAISE_VARARGS"


def tell(text: str) -> None:
    """Say something on standard error."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)
