"""Import the suite; what these tests share is the module beside them, made_up_results."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fastgan.data import locate

sys.path.insert(0, str(Path(__file__).parent))
KNOWN: dict[str, Any] = {}  # definitions: seconds to make, for all modules of a session


@pytest.fixture(scope="module")
def suite(harness: ModuleType) -> ModuleType:
    """Import the suite beside ``benchmarks.harness``."""
    for name in ("__main__", "document", "page", "parts", "scaling", "words"):
        importlib.import_module(f"benchmarks.suite.{name}")
    return importlib.import_module("benchmarks.suite")


@pytest.fixture(scope="module")
def definitions(suite: ModuleType) -> dict[str, Any]:
    """Return the definition of each part, made once; on the images that every machine has."""
    if not KNOWN:
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("FASTGAN_DATA", raising=False)
            patch.setattr(locate, "cache_folder", lambda name: Path("absent") / name)
            KNOWN.update({part.name: part.definition() for part in suite.parts.PARTS})
    return KNOWN


@pytest.fixture(scope="module")
def made_up(suite: ModuleType, definitions: dict[str, Any]) -> Any:
    """Return a document of made-up numbers, every part in it."""
    from made_up_results import document

    return document(suite, definitions)
