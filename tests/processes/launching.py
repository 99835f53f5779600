"""Starts a program as several processes that find each other, the way torchrun does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

# before each program: `processes`, and the arguments in sys.argv[1:]
PRELUDE = """
import sys
import torch
from fastgan.processes import launched
torch.set_num_threads(1)
with launched() as (processes, device):
"""
# after it: a group kept past its end is one whose threads are still there, and these abort the
# process now and then as the interpreter ends
EPILOGUE = """
from pathlib import Path
left = sorted(path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm"))
assert not [name for name in left if "gloo" in name], f"something keeps the group: threads {left}"
"""


def start(command: list[str], n_processes: int, folder: Path) -> list[subprocess.Popen[str]]:
    """Start a command n times, with the variables that torchrun sets."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(n_processes):
        environment = os.environ | {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(n_processes),
            "LOCAL_WORLD_SIZE": str(n_processes),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "OMP_NUM_THREADS": "1",
            "GLOO_SOCKET_IFNAME": "lo",
        }
        started.append(
            subprocess.Popen(
                command,
                env=environment,
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return started


def run(program: str, n_processes: int, folder: Path, *arguments: object) -> list[str]:
    """Run the body of a program, to which ``processes`` is known; return what each printed.

    Fails if one fails, with the errors of all, or keeps its process group past its end.
    """
    path = folder / f"program-of-{n_processes}.py"
    body = textwrap.indent(textwrap.dedent(program), "    ")
    path.write_text(PRELUDE + body + EPILOGUE, encoding="utf-8")
    command = [sys.executable, str(path), *map(str, arguments)]
    ended = [
        (*p.communicate(timeout=120), p.returncode) for p in start(command, n_processes, folder)
    ]
    errors = "\n".join(error for _, error, _ in ended)
    assert all(code == 0 for _, _, code in ended), errors
    return [output for output, _, _ in ended]
