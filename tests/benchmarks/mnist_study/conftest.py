"""Import the study; what these tests share is the module beside them, made_up."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module")
def study(harness: ModuleType) -> ModuleType:
    """Import the study beside ``benchmarks.harness``."""
    names = ("plan", "one_slice", "carry_out", "findings", "reached", "comparisons", "report")
    package = importlib.import_module("benchmarks.mnist_study")
    for name in (*names, "sections", "__main__"):
        importlib.import_module(f"benchmarks.mnist_study.{name}")
    return package
