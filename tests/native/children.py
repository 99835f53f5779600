"""Python programs in processes of their own."""

from __future__ import annotations

import subprocess
import sys
import textwrap


def run(program: str, *arguments: object, timeout: float = 120) -> str:
    """Run a program to its end and return what it printed."""
    done = subprocess.run(
        command(program, *arguments), capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a program whose lines can be read as it prints them."""
    return subprocess.Popen(
        command(program, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def command(program: str, *arguments: object) -> list[str]:
    return [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program), *map(str, arguments)]
