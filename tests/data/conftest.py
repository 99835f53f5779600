"""Tests here see no FASTGAN_DATA, no cache of the user and no network but their own server."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fastgan.data import load

_REAL = os.environ.get("FASTGAN_DATA")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch) -> Path:
    monkeypatch.delenv("FASTGAN_DATA", raising=False)
    # a proxy of this machine would be asked for 127.0.0.1 too
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(load, "cache_folder", lambda name: folder / name)
    return folder


@pytest.fixture
def real_data(monkeypatch) -> Callable[[str], Path]:
    """Gives the folder of a real data set, or skips the test where there is none."""

    def folder_of(name: str) -> Path:
        if not _REAL:
            pytest.skip("FASTGAN_DATA is not set: no real data to read")
        folder = Path(_REAL) / name
        if not folder.is_dir():
            pytest.skip(f"FASTGAN_DATA has no folder {name}: no real {name} to read")
        monkeypatch.setenv("FASTGAN_DATA", _REAL)
        return folder

    return folder_of
