"""The suite's results on disk: a file a part, all of them as ``results.json``, and look-ups."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.suite.parts import PARTS, Part, same

FOLDER = Path(__file__).parents[1] / "results"
FORMAT = 1
Row = dict[str, Any]


class MissingError(KeyError):
    """The results hold no such row."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class Document:
    """All results, as ``results.json`` holds them.

    ``is_quiet`` says that nothing else ran on the machine meanwhile. Each of ``parts`` has its
    ``name``, ``definition``, ``command``, ``date``, ``seconds`` and ``rows``.
    """

    command: str
    commit: str
    is_quiet: bool
    machine: dict[str, str]
    parts: tuple[dict[str, Any], ...]

    @classmethod
    def of(cls, parts: Sequence[dict[str, Any]], command: str) -> Document:
        """Join parts; the machine is that of the part that knows most of it."""
        here = dict(max((part["machine"] for part in parts), key=len, default={}))
        here.pop("date", None)  # each part has its own
        return cls(
            command=command,
            commit=", ".join(dict.fromkeys(part["commit"] for part in parts)),
            is_quiet=all(part["is_quiet"] for part in parts),
            machine=here,
            parts=tuple({k: v for k, v in part.items() if k != "machine"} for part in parts),
        )

    @classmethod
    def read(cls, folder: Path = FOLDER) -> Document:
        """Read ``results.json``.

        Raises
        ------
        FileNotFoundError
            If there is none yet.
        ValueError
            If it is of another format.
        """
        content = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        if content.pop("format", None) != FORMAT:
            raise ValueError(f"{folder / 'results.json'}: expected format {FORMAT}")
        return cls(**{**content, "parts": tuple(content["parts"])})

    def write(self, folder: Path = FOLDER) -> Path:
        """Write ``results.json``, a line a row, and return its path."""
        head = {name: value for name, value in vars(self).items() if name != "parts"}
        lines = [json.dumps({"format": FORMAT, **head}, indent=1)[:-2] + ',\n "parts": [']
        for number, part in enumerate(self.parts):
            fields = {name: value for name, value in part.items() if name != "rows"}
            rows = ",\n   ".join(json.dumps(row) for row in part["rows"])
            text = json.dumps(fields)[:-1] + f', "rows": [\n   {rows}]}}'
            lines.append("  " + text + "," * (number + 1 < len(self.parts)))
        return written(folder / "results.json", "\n".join([*lines, " ]\n}"]) + "\n")

    def part(self, name: str) -> dict[str, Any]:
        """Return a part; MissingError if it was not measured."""
        for part in self.parts:
            if part["name"] == name:
                return part
        raise MissingError(f"results: no part is named {name!r}")

    def rows(self, part: str, operation: str = "", size: str = "") -> list[Row]:
        """Return a part's rows whose operation is this one and whose size holds these words."""
        return [
            row
            for row in self.part(part)["rows"]
            if operation in ("", row["operation"]) and size in row.get("size", "")
        ]

    def row(self, part: str, contender: str, operation: str = "", size: str = "") -> Row:
        """Return the first row of a contender; MissingError if there is none with numbers."""
        for row in self.rows(part, operation, size):
            if row["contender"] == contender and row["seconds"] is not None:
                return row
        where = ", ".join(word for word in (part, operation, size) if word)
        raise MissingError(f"results: {contender!r} has no numbers in {where}")

    def points(self, operation: str) -> list[Row]:
        """Return the points of the scaling curves of an operation, those without numbers too."""
        found: list[Row] = []
        for part in self.parts:
            if part["name"].startswith(f"scaling:{operation}:"):
                found += part["rows"]
        return found

    def faults(self) -> list[str]:
        """Say which parts are missing, unknown, or defined otherwise than in the code; none: []."""
        names = [part["name"] for part in self.parts]
        found = [f"{part.name}: not measured" for part in PARTS if part.name not in names]
        known = {part.name: part for part in PARTS}
        for part in self.parts:
            if part["name"] not in known:
                found.append(f"{part['name']}: not a part of the suite any more")
            elif not same(part["definition"], known[part["name"]].definition()):
                found.append(f"{part['name']}: compares something else now")
        return found


def read_parts(folder: Path, parts: Iterable[Part] = PARTS) -> list[dict[str, Any]]:
    """Return the parts that a folder holds, in the suite's order."""
    paths = [(folder / f"{part.file_name}.json") for part in parts]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]


def write_part(part: dict[str, Any], path: Path) -> None:
    """Write a part; its rows' machine once, that of the row that knows most."""
    machines = [row["machine"] for row in part["rows"]]
    rows = [{k: v for k, v in row.items() if k != "machine"} for row in part["rows"]]
    content = {**part, "machine": max(machines, key=len, default={}), "rows": rows}
    written(path, json.dumps(content, indent=1) + "\n")


def written(path: Path, text: str) -> Path:
    """Write a text file that appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)
    return path
