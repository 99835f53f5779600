"""results.json: what is written is read again, and what is missing or stale is told."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def known_definitions(
    suite: ModuleType, definitions: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite.parts.Part, "definition", lambda part: definitions[part.name])


def test_written_is_read(suite: ModuleType, made_up: Any, tmp_path: Path) -> None:
    path = made_up.write(tmp_path)
    found = suite.document.Document.read(tmp_path)
    assert found.command == made_up.command
    assert found.machine == made_up.machine
    assert len(found.parts) == len(suite.parts.PARTS)
    assert found.row("parzen:1e4", "KeOps")["ratio_median"] == 300.0
    assert found.faults() == []
    assert list(tmp_path.iterdir()) == [path]
    # a line a row, so that a change of one shows as such
    n_rows = sum(len(part["rows"]) for part in made_up.parts)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert sum(line.startswith('   {"operation"') for line in lines) == n_rows


def test_another_format_is_refused(suite: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"format": 0, "parts": []}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"results.json: expected format 1"):
        suite.document.Document.read(tmp_path)


def test_faults_are_told(suite: ModuleType, made_up: Any) -> None:
    parts = copy.deepcopy(list(made_up.parts))
    removed = parts.pop(0)
    parts[0]["definition"]["contenders"][0].append("a peer that is gone")
    parts[1]["name"] = "linear:backward"
    stale = replace(made_up, parts=tuple(parts))
    assert stale.faults() == [
        f"{removed['name']}: not measured",
        "linear:forward: not measured",
        "dropout: compares something else now",
        "linear:backward: not a part of the suite any more",
    ]


def test_a_row_that_is_missing_is_named(suite: ModuleType, made_up: Any) -> None:
    with pytest.raises(suite.document.MissingError, match="no part is named 'parzen:1e5'"):
        made_up.row("parzen:1e5", "fastgan")
    with pytest.raises(
        suite.document.MissingError, match="'faiss' has no numbers in parzen:1e4, parzen"
    ):
        made_up.row("parzen:1e4", "faiss", "parzen")


def test_one_noisy_part_makes_the_document_noisy(suite: ModuleType, made_up: Any) -> None:
    parts = [{**part, "machine": made_up.machine} for part in made_up.parts]
    assert suite.document.Document.of(parts, "").is_quiet
    parts[3]["is_quiet"] = False
    noisy = suite.document.Document.of(parts, "")
    assert not noisy.is_quiet
    assert "Parts: `linear:input_gradient`." in " ".join(suite.page.text(noisy, set()).split())


def test_definitions_know_contenders(definitions: dict[str, Any]) -> None:
    (step,) = definitions["training_step:tfd"]["contenders"]
    assert step[:3] == ["training step", "fastgan", "fastgan, autograd"]
    assert "torch.compile, whole step" in step
    assert definitions["parzen:1e6"]["against"] == ["torch.compile", "torch.mm"]
    (shared,) = definitions["training_step:mnist:threads"]["contenders"]
    assert shared[1] == "fastgan: 2 of the core, 1 of torch"  # whatever this machine has
    curve = definitions["scaling:parzen:2-threads"]
    assert curve["widths"][-1] == 3_072
    assert curve["counts"][-1] == 10_000_000


def test_the_page_shows_every_row(suite: ModuleType, made_up: Any) -> None:
    page = suite.page.text(made_up, {"parzen", "scaling-parzen"})
    assert page.startswith("# Speed and error, measured\n\nMeasured on 2 cores, Some with AVX-512")
    assert "nothing else running; commit 0123456789ab." in " ".join(page.split())
    assert "Other programs" not in page
    assert "Not measured" not in page
    assert '<source srcset="parzen-dark.png" media="(prefers-color-scheme: dark)">' in page
    assert "neighbors.png" not in page
    line = "| KeOps | 600 ms | - | 300 (once) | 1e-4 nats | 1 | once, on 100 of 10,000 queries |"
    assert line in page
    assert "| torch.mm (floor) | 13 ms | - | 6.50 (5.85 to 8.12) | - | 7 | - |" in page
    assert "| 10,000,000 | 0.1668 | 220.00 ± 2.00 | 3e-11 | 5 min 0 s | 700 MB |" in page
    assert "| 3,072 | 10,000,000, in blocks | 2 | 1 |" in page
    assert "Left out: 16 numbers a sample, 1 thread, 2 processes: no distributed here." in page
    for part in made_up.parts:
        assert f"| `{part['name']}` | `{part['command']}` |" in page
