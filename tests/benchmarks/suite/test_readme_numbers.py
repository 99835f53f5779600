"""The README's numbers are those of results.json, and results.json is of this code."""

from __future__ import annotations

import dataclasses
import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

README = Path(__file__).parents[3] / "README.md"


@pytest.fixture(scope="module")
def readme(suite: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.readme")


@pytest.fixture(scope="module")
def committed(suite: ModuleType) -> Any:
    """Return the committed results; skips until there are some."""
    try:
        return suite.document.Document.read()
    except FileNotFoundError:
        pytest.skip("no results yet: python -m benchmarks.suite")


def test_the_readme_says_what_the_results_say(readme: ModuleType, committed: Any) -> None:
    text = README.read_text(encoding="utf-8")
    assert readme.filled(text, committed) == text, "stale: python -m benchmarks.readme"


def test_the_results_are_of_this_code(
    suite: ModuleType,
    committed: Any,
    definitions: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(suite.parts.Part, "definition", lambda part: definitions[part.name])
    assert committed.faults() == []


def test_the_page_says_what_the_results_say(suite: ModuleType, committed: Any) -> None:
    page = (suite.document.FOLDER / "README.md").read_text(encoding="utf-8")
    pictures = {
        name for name in suite.page.PICTURES if (suite.document.FOLDER / f"{name}.png").exists()
    }
    assert suite.page.text(committed, pictures) == page


def test_every_block_is_in_the_readme_once(readme: ModuleType) -> None:
    names = [found[1] for found in readme.BLOCK.findall(README.read_text(encoding="utf-8"))]
    assert names == list(readme.BLOCKS)


def test_numbers_reach_the_readme(readme: ModuleType, made_up: Any, tmp_path: Path) -> None:
    made_up.write(tmp_path)
    file = tmp_path / "README.md"
    old = README.read_text(encoding="utf-8")
    file.write_text(old, encoding="utf-8")
    arguments = ["--results", str(tmp_path), "--readme", str(file)]
    assert readme.main([*arguments, "--check"]) == 1
    assert readme.main(arguments) == 0
    assert readme.main([*arguments, "--check"]) == 0
    new = file.read_text(encoding="utf-8")
    outside = re.compile(r"(?<=<!-- /benchmarks -->)(.*?)(?=<!-- benchmarks:|\Z)", re.DOTALL)
    assert outside.findall(new) == outside.findall(old)
    for line in (
        "| **fastgan** | 2 ms (500 us) | 2 ms (500 us) | 2 ms (500 us) | 2 ms (500 us) |",
        "| KeOps | 300 (on 100 queries) | 300 (on 100 queries) | 300 (on 100 queries) |",
        "| faiss `IndexFlatL2` | - | - | 5.00 (4.50 to 6.25) | 5.00 (4.50 to 6.25) |",
        "| error: fastgan | 1e-9 nats | 1e-9 nats | exact; 1e-9 of d2 | exact; 1e-9 of d2 |",
        "| 10,000, as published | 80.0 ± 1.5 |  |",
        "| 1,000,000 | 160.0 ± 1.5; sigma chosen again, .1668: 180.0 ± 2.0 | 30 s |",
        "| 10,000,000 | 200.0 ± 1.5; sigma chosen again, .1668: 220.0 ± 2.0 | 5 min 0 s |",
        "| a step | `digits` | `mnist` at its start | `mnist` after 40 epochs |",
        "sigma 0.1668, mean 241.1881 ± 2.1301 nats",
        "The same model gains 140 nats",
    ):
        assert line in new
    for words in (
        "1,000 queries against 10,000,000 samples of 784 numbers take Parzen sums 4.36 s (error",
        "at 784 numbers and 1,000,000 samples: Parzen sums 1.80 by two threads and 1.00 by two",
    ):
        assert words in " ".join(new.split())
    # one number changes, and the README with it
    rows = [dict(row) for row in made_up.part("evaluate:1e7")["rows"]]
    rows[0]["mean"] = 221.5
    parts = [
        {**part, "rows": rows} if part["name"] == "evaluate:1e7" else part for part in made_up.parts
    ]
    dataclasses.replace(made_up, parts=tuple(parts)).write(tmp_path)
    assert readme.main([*arguments, "--check"]) == 1


def test_a_missing_part_is_named(suite: ModuleType, readme: ModuleType, made_up: Any) -> None:
    parts = tuple(part for part in made_up.parts if part["name"] != "momentum_sgd")
    with pytest.raises(suite.document.MissingError, match="no part is named 'momentum_sgd'"):
        readme.filled(README.read_text(encoding="utf-8"), dataclasses.replace(made_up, parts=parts))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("<!-- benchmarks:steps -->", "<!-- benchmarks:step -->"),
        lambda text: text.replace("<!-- benchmarks:layers -->\n", ""),
        lambda text: text + "\n<!-- benchmarks:memory -->\n\n<!-- /benchmarks -->\n",
        lambda text: text + "\n<!-- benchmarks:more -->\n",
    ],
    ids=["unknown", "missing", "twice", "open"],
)
def test_wrong_markers_are_refused(readme: ModuleType, made_up: Any, change: Any) -> None:
    text = change(README.read_text(encoding="utf-8"))
    with pytest.raises(
        ValueError, match=r"README.md: expected each of the blocks machine, .* once"
    ):
        readme.filled(text, made_up)


def test_numbers_as_words(suite: ModuleType) -> None:
    words = suite.words
    assert [words.digits(x) for x in (0.966, 3.046, 9.996, 11.66, 350.2)] == [
        "0.97", "3.05", "10.0", "11.7", "350",
    ]  # fmt: skip
    row = {"error": 0.0, "error_unit": "nats", "seconds": 0.149, "build_seconds": 0.047}
    assert words.time_of(row) == "149 ms (47)"
    assert words.time_of({**row, "build_seconds": 3e-4}) == "149 ms (300 us)"
    assert words.error(row) == "0 nats"
    found = [words.error({**row, "error": x}) for x in (1.5e-3, 6.4e-7, 9.7e-11, 1.04e-10)]
    assert found == ["1.5e-3 nats", "6e-7 nats", "1e-10 nats", "1e-10 nats"]
    assert [words.duration(x) for x in (31.2, 274.0)] == ["31 s", "4 min 34 s"]
