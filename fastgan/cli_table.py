"""``fastgan table``: the paper's Table 1, with rows of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = (
    "Examples: `fastgan table`, `fastgan table runs/mnist/seed-0 runs/faces --all`, "
    "`fastgan table --format markdown --out table.md`"
)


def table(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Run folders, folders of `evaluate --samples ... --out`, or folders that hold "
            "some; every finished run under runs by default."
        ),
    ] = None,
    format: Annotated[
        str, typer.Option("--format", "-f", help="text, markdown, latex or html.")
    ] = "text",
    out: Annotated[
        Path | None, typer.Option(help="A file to write; its links start from its folder.")
    ] = None,
    all_published: Annotated[
        bool, typer.Option("--all", help="All published rows, not the paper's four only.")
    ] = False,
) -> None:
    """Print the paper's Table 1 with a row for each of your runs, each number with its folder.

    Data without a published column (faces, digits) have a column of their own; what is not the
    published measurement (other sample counts, a collapsed run) says so in a note.
    """
    from fastgan.files import write_atomically
    from fastgan.table_1_entries import table_1

    text = table_1(
        folders or None,
        format,
        all_published=all_published,
        relative_to=None if out is None else out.parent,
    )
    if out is None:
        typer.echo(text, nl=False)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, text.encode("utf-8"))
    typer.echo(f"table: {out}")
