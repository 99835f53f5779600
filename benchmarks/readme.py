"""``python -m benchmarks.readme``: write the README's numbers from ``benchmarks/results/``.

What stands between ``<!-- benchmarks:NAME -->`` and ``<!-- /benchmarks -->`` is written here, the
rest by hand. ``--check`` writes nothing and exits with 1 where the README says something else.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.suite import readme_distances, readme_scaling, readme_training
from benchmarks.suite.document import FOLDER, Document

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"(<!-- benchmarks:([\w-]+) -->\n)(.*?)(<!-- /benchmarks -->)", re.DOTALL)
BLOCKS: dict[str, Callable[[Document], str]] = {
    "machine": readme_distances.machine,
    "distances": readme_distances.compared,
    "distances-notes": readme_distances.notes,
    "scaling": readme_scaling.scaling,
    "samples": readme_distances.samples,
    "steps": readme_training.steps,
    "steps-notes": readme_training.steps_notes,
    "layers": readme_training.layers,
    "memory": readme_training.memory,
}


def filled(text: str, document: Document) -> str:
    """Return the README with each block made from the results.

    Raises
    ------
    ValueError
        If a block is missing, unknown, there twice, or not closed.
    """
    names = [found[1] for found in BLOCK.findall(text)]
    if sorted(names) != sorted(BLOCKS) or text.count("<!-- benchmarks:") != len(names):
        raise ValueError(
            f"README.md: expected each of the blocks {', '.join(BLOCKS)} once, got "
            f"{', '.join(names) or 'none'}"
        )
    return BLOCK.sub(lambda found: _block(found, document), text)


def _block(found: re.Match[str], document: Document) -> str:
    # Blank lines around it: Markdown ends a comment's block of HTML at the first one.
    return f"{found[1]}\n{BLOCKS[found[2]](document)}\n\n{found[4]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the README, or look whether it is as the results say."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readme", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if it is stale")
    parser.add_argument("--results", type=Path, default=FOLDER, help="folder of results.json")
    parser.add_argument("--readme", type=Path, default=README, help="the file")
    asked = parser.parse_args(arguments)
    old = asked.readme.read_text(encoding="utf-8")
    new = filled(old, Document.read(asked.results))
    if asked.check:
        if new != old:
            print(
                f"{asked.readme.name} is not what the results say: python -m benchmarks.readme",
                file=sys.stderr,
            )
        return int(new != old)
    asked.readme.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
