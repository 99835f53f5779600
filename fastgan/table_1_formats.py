"""Table 1 as text, Markdown, LaTeX and HTML: from its values to strings, all of them escaped."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from fastgan.table_1_result import Cell, Row, Table1

_NONE = "\N{EM DASH}"
_NARROW = 80  # columns of text below the table, at the least

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # by number, since their commands need a package or an encoding
    "`": r"\symbol{96}",
    '"': r"\symbol{34}",
    # after the \\ that ends a row these would begin its options
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "\N{PLUS-MINUS SIGN}": r"$\pm$",
}

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Table 1</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; }}
body {{ padding: 0 1rem; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
figure {{ margin: 0; }}
figcaption {{ padding-bottom: .8rem; }}
th, td {{ text-align: left; padding: .3rem .8rem; white-space: nowrap; }}
th:first-child {{ padding-left: 0; position: sticky; left: 0; background: Canvas; }}
tbody th {{ white-space: normal; min-width: 7rem; }}
td:last-child {{ white-space: normal; min-width: 24rem; }}
sup {{ line-height: 0; }}
.score {{ text-align: right; }}
thead tr, tbody tr:first-child {{ border-top: 1px solid; }}
tbody:last-child {{ border-bottom: 1px solid; }}
.own th {{ font-weight: 600; }}
.published th {{ font-weight: 400; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def to_text(table: Table1, base: Path) -> str:
    """Return the table in columns of plain text, with sources, folders and notes below it."""
    letters = _letters(table)
    head = ["model", *table.columns, "source"]
    lines = [
        [
            row.model,
            *(
                _NONE if cell is None else " ".join([cell.text, *(f"({n})" for n in cell.marks)])
                for cell in row.cells
            ),
            f"[{letters[row.source]}]",
        ]
        for row in table.rows
    ]
    widths = [max(len(line[place]) for line in [head, *lines]) for place in range(len(head))]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    shown = [_aligned(head, widths), rule]
    shown += [_aligned(line, widths) for line in lines[: len(table.published)]]
    if table.own:
        shown += [rule, *(_aligned(line, widths) for line in lines[len(table.published) :])]
    width = max(_NARROW, len(rule))
    parts = [_wrapped(table.caption, width), "\n".join(shown)]
    parts.append("\n".join(f"[{letter}] {source}" for source, letter in letters.items()))
    if table.own:
        parts.append(
            "\n".join(
                f"{row.model}: {', '.join(_folder(folder, base) for folder in _folders(row))}"
                for row in table.own
            )
        )
    notes = [_wrapped(f"({n}) {note}", width) for n, note in enumerate(table.notes, start=1)]
    parts += ["\n".join(notes)] if notes else []
    parts.append("\n".join(_wrapped(remark, width) for remark in table.remarks))
    return "\n\n".join(parts) + "\n"


def to_markdown(table: Table1, base: Path) -> str:
    """Return the table in GitHub's Markdown; each own number is a link to its folder."""

    def cell_of(cell: Cell | None) -> str:
        if cell is None:
            return _NONE
        text = cell.text
        if cell.folder is not None:
            text = f"[{text}]({_link(cell.folder, base)})"
        return text + (f"<sup>{_marks(cell)}</sup>" if cell.marks else "")

    head = ["model", *(_markdown(column) for column in table.columns), "source"]
    lines = [head, ["---", *("---:" for _ in table.columns), "---"]]
    lines += [
        [_markdown(row.model), *map(cell_of, row.cells), _markdown(row.source)]
        for row in table.rows
    ]
    parts = [_markdown(table.caption), "\n".join(f"| {' | '.join(line)} |" for line in lines)]
    parts += [f"<sup>{n}</sup> {_markdown(note)}" for n, note in enumerate(table.notes, start=1)]
    parts += [_markdown(remark) for remark in table.remarks]
    return "\n\n".join(parts) + "\n"


def to_latex(table: Table1, base: Path) -> str:
    r"""Return a ``table`` environment that needs no package; links where ``hyperref`` is loaded."""
    letters = _letters(table)

    def cell_of(cell: Cell | None) -> str:
        if cell is None:
            return "--"
        text = "$" + cell.text.replace(" ± ", r" \pm ") + "$"
        if cell.folder is not None:
            link = _link(cell.folder, base).replace("%", r"\%")
            text = rf"\href{{{link}}}{{{text}}}"
        return text + (f"$^{{{_marks(cell)}}}$" if cell.marks else "")

    def line_of(row: Row) -> str:
        model = f"{_latex(row.model)}$^{{{letters[row.source]}}}$"
        return " & ".join([model, *map(cell_of, row.cells)]) + r" \\"

    head = " & ".join(["Model", *(_latex(column) for column in table.columns)]) + r" \\"
    below = [f"$^{{{letter}}}$ {_latex(source)}." for source, letter in letters.items()]
    below += [f"$^{{{n}}}$ {_latex(note)}" for n, note in enumerate(table.notes, start=1)]
    below += [_latex(remark) for remark in table.remarks]
    lines = [
        r"\providecommand{\href}[2]{#2} % links need hyperref",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_latex(table.caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"\hline",
        head,
        r"\hline",
        *(line_of(row) for row in table.published),
        *([r"\hline"] if table.own else []),
        *(line_of(row) for row in table.own),
        r"\hline",
        r"\end{tabular}",
        "",
        r"\smallskip",
        r"\begin{minipage}{\linewidth}",
        r"\footnotesize",
        " \\\\\n".join(below),
        r"\end{minipage}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def to_html(table: Table1, base: Path) -> str:
    """Return the table and its notes as a fragment of HTML, for a page to hold."""

    def cell_of(cell: Cell | None) -> str:
        if cell is None:
            return f'<td class="score">{_NONE}</td>'
        text = escape(cell.text)
        if cell.folder is not None:
            text = f'<a href="{escape(_link(cell.folder, base))}">{text}</a>'
        marks = f"<sup>{_marks(cell)}</sup>" if cell.marks else ""
        return f'<td class="score">{text}{marks}</td>'

    def body_of(rows: Sequence[Row], kind: str) -> list[str]:
        if not rows:
            return []
        lines = [
            f'<tr><th scope="row">{escape(row.model)}</th>{"".join(map(cell_of, row.cells))}'
            f"<td>{escape(row.source)}</td></tr>"
            for row in rows
        ]
        return [f'<tbody class="{kind}">', *lines, "</tbody>"]

    columns = "".join(f'<th scope="col" class="score">{escape(c)}</th>' for c in table.columns)
    lines = [
        '<figure class="table-1">',
        f"<figcaption>{escape(table.caption)}</figcaption>",
        '<div class="scroll"><table>',
        f'<thead><tr><th scope="col">model</th>{columns}<th scope="col">source</th></tr></thead>',
        *body_of(table.published, "published"),
        *body_of(table.own, "own"),
        "</table></div>",
        "</figure>",
    ]
    if table.notes:
        notes = "".join(f"<li>{escape(note)}</li>" for note in table.notes)
        lines.append(f'<ol class="notes">{notes}</ol>')
    lines += [f"<p>{escape(remark)}</p>" for remark in table.remarks]
    return "\n".join(lines) + "\n"


def to_html_page(table: Table1, base: Path) -> str:
    """Return :func:`to_html` as a whole page, light and dark, that loads nothing."""
    return _PAGE.format(body=to_html(table, base).rstrip())


_RENDERERS: dict[str, Callable[[Table1, Path], str]] = {
    "text": to_text,
    "markdown": to_markdown,
    "latex": to_latex,
    "html": to_html_page,
}
FORMATS = tuple(_RENDERERS)


def check_format(format: str) -> None:
    """Raise ValueError if a format is not one of :data:`FORMATS`."""
    if format not in FORMATS:
        raise ValueError(f"format: expected one of {', '.join(FORMATS)}, got {format!r}")


def render(table: Table1, format: str, base: Path) -> str:
    """Return the table in one of :data:`FORMATS`, its links relative to the folder ``base``.

    Raises
    ------
    ValueError
        As :func:`check_format`.
    """
    check_format(format)
    return _RENDERERS[format](table, base)


def _letters(table: Table1) -> dict[str, str]:
    """Give each source a letter: a to z, aa, ab, ..."""
    letters: dict[str, str] = {}
    for row in table.rows:
        if row.source not in letters:
            first, last = divmod(len(letters), 26)
            letters[row.source] = (chr(96 + first) if first else "") + chr(97 + last)
    return letters


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    first, *scores, source = line
    cells = [first.ljust(widths[0])]
    cells += [score.rjust(width) for score, width in zip(scores, widths[1:-1], strict=True)]
    return "  ".join([*cells, source]).rstrip()


def _wrapped(text: str, width: int) -> str:
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)


def _marks(cell: Cell) -> str:
    return ",".join(map(str, cell.marks))


def _folders(row: Row) -> list[Path]:
    return [cell.folder for cell in row.cells if cell is not None and cell.folder is not None]


def _folder(folder: Path, base: Path) -> str:
    """Return a folder as seen from another; whole where there is no way (Windows' drives)."""
    try:
        return Path(os.path.relpath(folder, base)).as_posix()
    except ValueError:
        return folder.resolve().as_posix()


def _link(folder: Path, base: Path) -> str:
    """Return a link that is safe in each format: nothing but letters, digits and ``/._~-%``."""
    path = _folder(folder, base)
    return quote(path) if not Path(path).is_absolute() else folder.resolve().as_uri()


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|~&$])", r"\\\1", text)


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
