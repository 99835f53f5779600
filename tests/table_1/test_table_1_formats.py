"""The table as text, Markdown, LaTeX and HTML: each read back, with names that would break it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt

from fastgan.table_1_entries import collect_table_1, table_1
from fastgan.table_1_formats import to_html, to_latex, to_markdown, to_text
from fastgan.table_1_result import Cell, Row, Table1

NASTY = r"a\b {c} $d$ &e #f _g_ %h ~i ^j <script>k</script> |l| `m` \"n\" [o](p) *q* 's' &amp; é β"
STARTS = "[1] first"
AWKWARD = Path("runs/a b (c)_[d]#e%f&g|h'i\"j<k>/seed-0")


def table(model: str = NASTY, folder: Path = AWKWARD) -> Table1:
    published = Row("DBN", (Cell("138 ± 2"), Cell("1909 ± 66"), None), "published: a, b", True)
    own = [
        Row(model, (Cell("-1.5 ± 0.2", folder, (1, 2)), None, None), "measured here, 10 s", False),
        Row(STARTS, (None, None, Cell("7.0 ± 1.0", folder)), "measured here, 10 s", False),
    ]
    notes = (f"Note of {NASTY}.", "Second note.")
    return Table1(("MNIST", "TFD", NASTY), (published, *own), notes, (f"Remark {NASTY}.",))


class Reader(HTMLParser):
    """Reads tables: rows of cells' words, and each cell's link."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.words = ""
        self._open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._open = True
        if tag == "a":
            self.links.append(dict(attrs)["href"] or "")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._open = False

    def handle_data(self, data: str) -> None:
        self.words += data
        if self._open:
            self.rows[-1][-1] += data


def read_html(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    return reader


ROWS = [
    ["model", "MNIST", "TFD", NASTY, "source"],
    ["DBN", "138 ± 2", "1909 ± 66", "—", "published: a, b"],
    [NASTY, "-1.5 ± 0.21,2", "—", "—", "measured here, 10 s"],
    [STARTS, "—", "—", "7.0 ± 1.0", "measured here, 10 s"],
]


@pytest.mark.parametrize("base", [Path(), Path("reports"), Path("reports/deep er/x")])
def test_markdown_is_read_as_a_table(base):
    text = to_markdown(table(), base)
    assert text.isascii() is False
    found = read_html(MarkdownIt("gfm-like", {"linkify": False, "html": True}).render(text))
    assert found.rows == ROWS
    assert "script" not in found.tags
    assert f"1 Note of {NASTY}." in found.words
    assert f"Remark {NASTY}." in found.words
    assert len(found.links) == 2
    for link in found.links:
        assert (base / unquote(link)).resolve() == AWKWARD.resolve()


@pytest.mark.parametrize("base", [Path(), Path("reports")])
def test_html_is_read_as_a_table(base):
    for text in (to_html(table(), base), table_page(base)):
        found = read_html(text)
        assert found.rows == ROWS
        assert "script" not in found.tags
        assert f"Note of {NASTY}." in found.words
        assert f"Remark {NASTY}." in found.words
        for link in found.links:
            assert (base / unquote(link)).resolve() == AWKWARD.resolve()
    assert len(found.links) == 2


def table_page(base: Path) -> str:
    from fastgan.table_1_formats import to_html_page

    page = to_html_page(table(), base)
    assert page.startswith("<!DOCTYPE html>")
    assert "{{" not in page
    assert "http" not in page.replace("https://arxiv", "")
    assert re.search(r'<meta name="viewport" content="width=device-width', page)
    return page


def test_html_tells_published_rows_from_own():
    text = to_html(table(), Path())
    published, own = text.split('<tbody class="own">')
    assert '<tbody class="published">' in published
    assert published.count("<tr>") == 2  # the head, and one
    assert own.count("<tr>") == 2


def unlatex(text: str) -> str:
    """Undo the escapes one by one, as TeX reads them; what is left unescaped must be harmless."""
    commands = {
        r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^",
        r"\textless{}": "<", r"\textgreater{}": ">", r"\textbar{}": "|",
        r"\symbol{96}": "`", r"\symbol{34}": '"', "{[}": "[", "{]}": "]", "{*}": "*",
        r"$\pm$": "±", r"\{": "{", r"\}": "}", r"\$": "$", r"\&": "&", r"\#": "#", r"\_": "_",
        r"\%": "%",
    }  # fmt: skip
    pattern = "|".join(re.escape(command) for command in commands)
    rest = re.sub(pattern, "", text)
    assert not re.search(r"[\\{}$&#_%~^<>|`\"\[\]*]", rest), rest
    return re.sub(pattern, lambda match: commands[match[0]], text)


def test_latex_escapes_every_special_character():
    text = to_latex(table(), Path("reports"))
    body = text.split(r"\hline")
    assert len(body) == 5  # top, head, published, own, bottom
    own = body[3].strip().split("\n")
    assert [line.endswith(r" \\") for line in own] == [True, True]
    cells = [re.split(r"(?<!\\)&", line.removesuffix(r" \\")) for line in own]
    assert [len(line) for line in cells] == [4, 4]
    model, letter = cells[0][0].strip().rsplit("$^{", 1)
    assert letter == "b}$"
    assert unlatex(model) == NASTY
    assert unlatex(cells[1][0].strip().removesuffix("$^{b}$")) == STARTS
    assert not own[1].startswith("[")  # \\ would take it for its option
    match = re.fullmatch(r"\\href\{(.*)\}\{\$-1.5 \\pm 0.2\$\}\$\^\{1,2\}\$", cells[0][1].strip())
    assert match is not None
    link = match[1].replace(r"\%", "%")
    assert "%" not in match[1].replace(r"\%", "")
    assert re.fullmatch(r"[A-Za-z0-9/._~%-]+", link)
    assert (Path("reports") / unquote(link)).resolve() == AWKWARD.resolve()
    assert cells[0][2].strip() == "--"
    (remark,) = re.findall(r"^Remark (.*)\.$", text, flags=re.MULTILINE)
    assert unlatex(remark) == NASTY
    assert r"DBN$^{a}$ & $138 \pm 2$ & $1909 \pm 66$ & -- \\" in text
    assert "$^{a}$ published: a, b." in text


def test_latex_environments_are_closed():
    text = to_latex(table(), Path())
    opened = re.findall(r"\\(begin|end)\{(\w+)\}", text)
    stack = []
    for kind, name in opened:
        if kind == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert stack == []
    assert [name for kind, name in opened if kind == "begin"] == ["table", "tabular", "minipage"]
    assert r"\begin{tabular}{lrrr}" in text
    unescaped = re.sub(r"\\[{}]", "", text)
    assert unescaped.count("{") == unescaped.count("}")


def test_text_stands_in_columns():
    text = to_text(table("mine"), Path("reports"))
    lines = text.split("\n")
    start = next(number for number, line in enumerate(lines) if line.startswith("model "))
    head, rule, dbn, rule_2, mine, first = lines[start : start + 6]
    assert set(rule) == set(rule_2) == {"-"}
    for line, source in ((head, "source"), (dbn, "[a]"), (mine, "[b]"), (first, "[b]")):
        assert line.endswith(f" {source}")
    at = head.index("MNIST") + len("MNIST")
    assert dbn[:at].endswith(" 138 ± 2")
    assert mine[:at].endswith(" -1.5 ± 0.2 (1) (2)")
    assert f"mine: ../{AWKWARD}" in lines
    assert "[a] published: a, b" in lines
    assert "[b] measured here, 10 s" in lines
    assert "(2) Second note." in lines


def test_many_sources_have_letters_of_their_own():
    rows = tuple(Row(f"m{n}", (None, None), f"source {n}", False) for n in range(60))
    text = to_text(Table1(("MNIST", "TFD"), rows, (), ()), Path())
    letters = re.findall(r"^\[(\w+)\] source (\d+)$", text, flags=re.MULTILINE)
    assert len({letter for letter, _ in letters}) == 60
    assert letters[0] == ("a", "0")
    assert letters[26] == ("aa", "26")


@pytest.mark.parametrize("format", ["text", "markdown", "latex", "html"])
def test_links_start_from_the_folder_of_the_file(make_run, of_digits, tmp_path, format):
    run = make_run("runs/with space/seed-0", of_digits)
    text = table_1([run], format, relative_to=tmp_path / "docs" / "tables")
    shown = "../../runs/with space/seed-0"
    quoted = shown.replace(" ", r"\%20" if format == "latex" else "%20")
    assert (shown if format == "text" else quoted) in text
    assert str(tmp_path) not in text
    for _, mnist, tfd in PAPER_NUMBERS:
        for number in (mnist, tfd):
            assert (number.replace("±", r"\pm") if format == "latex" else number) in text
    assert "published: Goodfellow et al. 2014, Table 1" in text
    assert "measured here, 10,000 samples" in text


PAPER_NUMBERS = [
    ("DBN", "138 ± 2", "1909 ± 66"),
    ("Stacked CAE", "121 ± 1.6", "2110 ± 50"),
    ("Deep GSN", "214 ± 1.1", "1890 ± 29"),
    ("Adversarial nets", "225 ± 2", "2057 ± 26"),
]


def test_markdown_of_a_real_table(make_run, of_mnist, of_faces, tmp_path):
    folders = [make_run("a", of_mnist), make_run("b", of_faces)]
    text = to_markdown(collect_table_1(folders), tmp_path)
    found = read_html(MarkdownIt("gfm-like", {"linkify": False}).render(text))
    assert [row[:3] for row in found.rows[1:5]] == [list(row) for row in PAPER_NUMBERS]
    assert found.links == ["a", "b"]
    assert found.rows[0] == ["model", "MNIST", "TFD", "faces", "source"]
    assert found.rows[6][3] == f"{of_faces.mean:.1f} ± {of_faces.standard_error:.1f}"
    assert found.rows[6][2] == "—"
