"""Fixtures of the command line's tests; what they call is in invoking, beside them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from invoking import succeed, tiny


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty folder, without the data sets of this machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FASTGAN_DATA", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train the tiny recipe once, through the command line."""
    folder = tmp_path_factory.mktemp("trained")
    succeed("train", tiny(folder / "tiny.toml"), "--out", folder / "run", "--quiet")
    return folder / "run"
