"""A process's first vector function, called in two threads at once, is as exact as the next."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

# The parent's MKL has not chosen its functions, unless it is fastgan that lets it. Each child makes
# the first call, in threads that are awake.
PROGRAM = """
import os, sys, torch
{before}

def child():
    torch.set_num_threads(2)
    exponents = torch.linspace(-15.0, -14.0, 55_000, dtype=torch.float64)
    square = torch.rand(600, 600)
    for _ in range(30):
        square @ square
    exponents = exponents - 1e-9
    return int(not torch.equal(torch.exp(exponents), torch.exp(exponents)))

def forked():
    number = os.fork()
    if number == 0:
        os._exit(child())
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])

print(sum(forked() for _ in range(100)))
"""


def n_different(before: str, folder: Path) -> int:
    """Return how many of 100 processes got other bits at the first call than at the second."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(before=before)],
        check=True, capture_output=True, text=True, cwd=folder,
    )  # fmt: skip
    return int(done.stdout)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.skipif("mkl" not in torch.__config__.show().lower(), reason="torch without MKL")
def test_the_first_call_has_the_bits_of_every_other(tmp_path: Path) -> None:
    assert n_different("import fastgan.evaluation", tmp_path) == 0
