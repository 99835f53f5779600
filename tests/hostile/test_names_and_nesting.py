"""Names that are not ASCII, files that may not be read, documents nested deeply."""

from __future__ import annotations

import os

import pytest
import valid_files
from hostile_readers import READERS, check_contract

from fastgan import restarts
from fastgan.figure_1_result import Figure1
from fastgan.kept_evaluation import read_model_name
from fastgan.reading import read_text
from fastgan.recipe_files import read_recipe
from fastgan.runs import read_metrics


@pytest.mark.parametrize("name", sorted(READERS))
def test_in_a_folder_whose_name_is_not_ascii(name, tmp_path):
    folder = tmp_path / "Läufe-実験 😀"
    folder.mkdir()
    path = folder / READERS[name].file_name
    path.write_bytes(valid_files.seeds()[name][0])
    assert check_contract(name, path) is not None
    path.write_bytes(b"\xff\xfe\x00")
    assert check_contract(name, path) in (None, [])  # no whole line of metrics


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
@pytest.mark.parametrize("name", sorted(READERS))
def test_without_permission(name, tmp_path):
    path = tmp_path / READERS[name].file_name
    path.write_bytes(valid_files.seeds()[name][0])
    path.chmod(0)
    with pytest.raises(PermissionError, match=path.name):
        READERS[name].read(path)


def test_a_name_with_a_null():
    with pytest.raises(ValueError, match="no path of a file"):
        read_text("a\0b")


DEEP = 100_000


@pytest.mark.parametrize(
    ("file_name", "read"),
    [
        ("model.json", lambda path: read_model_name(path.parent)),
        (restarts.RESTARTS, restarts._read),
        ("metrics.jsonl", read_metrics),
        ("figure_1.json", lambda path: Figure1.from_json(path.read_bytes())),
    ],
)
@pytest.mark.parametrize("text", ["[" * DEEP, '{"a":' * DEEP], ids=["lists", "objects"])
def test_json_nested_deeply(tmp_path, file_name, read, text):
    path = tmp_path / file_name
    path.write_text(f"{text}\n{text}\n")
    with pytest.raises(ValueError, match="nested too deeply"):
        read(path)


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 30_000, "a = " + "{a=" * 15_000, "[" + "a." * 9000 + "a]"]
)
def test_toml_nested_deeply(tmp_path, text):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"recipe\.toml: "):
        read_recipe(path)
