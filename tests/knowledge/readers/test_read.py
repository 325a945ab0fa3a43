"""Each kind of file gives its text, or one sentence."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pptx
import pytest
from pptx.util import Inches

from llm_chatbot.errors import UserError
from llm_chatbot.knowledge.readers import archives, read
from llm_chatbot.knowledge.readers.file_text import FileText
from llm_chatbot.knowledge.readers.read import read_any
from tests.document_files import archive, docx, epub, japanese_pdf, odt, pdf

JAPANESE = "日本の首都は東京です。これはテストの文章で、すこし長めに書いてあります。"
CHINESE = "中国的首都是北京。这是一段用来测试编码的文字，稍微长一点。"
FRENCH = "L'été dernier, nous étions à Québec; école et café, garçon à Noël."


def written(tmp_path: Path, name: str, content: bytes | str) -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_any(path)
    assert path.name in str(caught.value)
    return caught.value.key


def places(text: FileText) -> list[tuple[str, str, str]]:
    """The kind and label of each part, with how its text begins."""
    return [(part.kind, part.label, text.text[part.start :].splitlines()[0]) for part in text.parts]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        *((encoding, JAPANESE) for encoding in ("utf-8", "utf-16", "cp932", "euc_jp")),
        *((encoding, CHINESE) for encoding in ("utf-8-sig", "gb18030")),
        ("cp1252", FRENCH),
    ],
)
def test_text_is_read_in_the_encoding_that_it_has(encoding: str, text: str, tmp_path: Path):
    assert read_any(written(tmp_path, "a.txt", text.encode(encoding))).text == text


def test_line_ends_are_one_kind_and_no_character_breaks_what_follows(tmp_path: Path):
    assert read_any(written(tmp_path, "a.txt", "a\r\nb\rc\n\n")).text == "a\nb\nc"


def test_the_pages_of_a_pdf_are_its_parts(tmp_path: Path):
    found = read_any(written(tmp_path, "a.pdf", pdf("First", "", "A divi-\nded word")))
    assert places(found) == [("page", "1", "First"), ("page", "3", "A divided word")]


def test_a_pdf_with_an_east_asian_encoding_is_read(tmp_path: Path):
    assert read_any(written(tmp_path, "a.pdf", japanese_pdf())).text == "日本語の文書"


def test_a_workbooks_sheets_are_its_parts(tmp_path: Path):
    book = openpyxl.Workbook()
    book.active.title = "Sales"
    book.active.append(["Year", "Sold", None])
    book.active.append([])
    book.active.append([2025, 12.5, "good\nyear"])
    book.create_sheet("Empty")
    book.create_sheet("Costs").append(["rent", 7])
    book.save(tmp_path / "a.xlsx")
    found = read_any(tmp_path / "a.xlsx")
    assert places(found) == [("sheet", "Sales", "Year\tSold"), ("sheet", "Costs", "rent\t7")]
    assert "2025\t12.5\tgood year" in found.text


def test_the_slides_of_a_presentation_are_its_parts(tmp_path: Path):
    show = pptx.Presentation()
    for title, body in (("Plans", "First\nSecond"), ("Costs", "")):
        slide = show.slides.add_slide(show.slide_layouts[1])
        slide.shapes.title.text, slide.placeholders[1].text = title, body
    table = slide.shapes.add_table(1, 2, Inches(1), Inches(1), Inches(2), Inches(1)).table
    table.cell(0, 0).text, table.cell(0, 1).text = "rent", "7"
    slide.notes_slide.notes_text_frame.text = "Say it slowly"
    show.save(str(tmp_path / "a.pptx"))
    found = read_any(tmp_path / "a.pptx")
    assert places(found) == [("slide", "1", "# Plans"), ("slide", "2", "# Costs")]
    assert "First\nSecond" in found.text and "rent\t7" in found.text and found.text.endswith("Say it slowly")


def test_of_a_docx_headings_and_paragraphs_are_read(tmp_path: Path):
    body = '<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>Title</w:t></w:r></w:p>'
    body += "<w:p><w:r><w:t>A paragraph.</w:t></w:r></w:p>"
    found = read_any(written(tmp_path, "a.docx", docx(body)))
    assert found.text.endswith("A paragraph.") and "Title" in found.text and found.headings == "markdown"


def test_of_an_odt_headings_lists_and_tables_are_read(tmp_path: Path):
    body = '<text:h text:outline-level="2">Title</text:h><text:p>One<text:s text:c="2"/>two<text:tab/>end</text:p>'
    body += "<text:tracked-changes>deleted</text:tracked-changes>"
    body += "<text:list><text:list-item><text:p>item</text:p></text:list-item></text:list><table:table>"
    row = "<table:table-row><table:table-cell><text:p>{}</text:p></table:table-cell>"
    row += "<table:table-cell><text:p>{}</text:p></table:table-cell></table:table-row>"
    body += f"{row.format('a', 'b')}{row.format('c', 'd')}</table:table>"
    found = read_any(written(tmp_path, "a.odt", odt(body)))
    assert found.text == "## Title\n\nOne  two\tend\n\n- item\n\na\tb\nc\td"


def test_the_chapters_of_an_epub_come_in_the_order_of_its_spine(tmp_path: Path):
    found = read_any(written(tmp_path, "a.epub", epub("<h1>One</h1><p>First.</p>", "<h1>Two</h1>")))
    assert found.text == "# One\n\nFirst.\n\n# Two" and len(found.parts) == 2


def test_of_html_the_text_is_read_and_nothing_else(tmp_path: Path):
    html = "<title>no</title><nav>no</nav><script>no</script><h2>Title</h2><p>a\n b<br>c</p><ul><li>d</ul>"
    html += "<pre>x\n  y</pre><table><tr><th>k<td>v</table><p hidden>no</p>"
    assert read_any(written(tmp_path, "a.html", html)).text == "## Title\n\na b\nc\n\n- d\n\n```\nx\n  y\n```\n\nk\tv"


def test_of_a_notebook_the_cells_are_read_without_outputs(tmp_path: Path):
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "text"]},
        {"cell_type": "code", "source": "x = 1", "outputs": [{"text": "no"}]},
    ]
    assert read_any(written(tmp_path, "a.ipynb", json.dumps({"cells": cells}))).text == (
        "# Title\ntext\n\n```\nx = 1\n```"
    )


@pytest.mark.parametrize("ending", ["pdf", "docx", "xlsx", "pptx", "odt", "epub", "ipynb"])
def test_a_file_that_is_not_what_its_ending_says_is_named(ending: str, tmp_path: Path):
    assert refusal(written(tmp_path, f"a.{ending}", "no such thing")) == "knowledge.file_damaged"


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("a.pdf", pdf("First")[:200]),
        ("a.docx", docx("<w:p/>")[:300]),
        ("a.odt", odt("<text:p>")),
        ("a.epub", archive({})),
    ],
)
def test_a_damaged_file_is_named(name: str, whole: bytes, tmp_path: Path):
    assert refusal(written(tmp_path, name, whole)) == "knowledge.file_damaged"


def encrypted_archive(tmp_path: Path) -> Path:
    path = written(tmp_path, "a.pptx", archive({"a": "b"}))
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the flag in the file's own header, and in the archive's list
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    return path


PASSWORDS: list[Callable[[Path], Path]] = [
    lambda folder: written(folder, "a.xlsx", archives.OLE + bytes(600)),
    lambda folder: written(folder, "a.odt", odt("", "<encryption-data/>")),
    lambda folder: written(folder, "a.epub", epub("<p>x</p>", encrypted="c1.xhtml")),
    lambda folder: written(
        folder,
        "a.pdf",
        pdf(
            "x",
            extra="/Encrypt << /Filter /Standard /V 1 /R 2 /O (aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa) "
            "/U (aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa) /P -4 >> /ID [(aaaaaaaaaaaaaaaa) (aaaaaaaaaaaaaaaa)]",
        ),
    ),
    encrypted_archive,
]


@pytest.mark.parametrize("make", PASSWORDS)
def test_a_file_with_a_password_is_named(make: Callable[[Path], Path], tmp_path: Path):
    assert refusal(make(tmp_path)) == "knowledge.file_password"


def test_an_archive_that_unpacks_to_too_much_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archives, "MAX_UNPACKED", 10_000_000)
    path = tmp_path / "a.docx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("word/document.xml", bytes(20_000_000))
    assert path.stat().st_size < 100_000 and refusal(path) == "knowledge.file_unpacked"


def test_entities_that_grow_without_end_are_refused_or_left_alone(tmp_path: Path):
    lines = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    content = f"{lines}]><x>&i;</x>"
    path = written(tmp_path, "a.odt", archive({"META-INF/manifest.xml": "<m/>", "content.xml": content}))
    assert refusal(path) in ("knowledge.file_damaged", "knowledge.file_no_text")


def test_a_file_without_text_is_named(tmp_path: Path):
    assert refusal(written(tmp_path, "a.txt", " \n")) == "knowledge.file_no_text"
    assert refusal(written(tmp_path, "a.pdf", pdf(""))) == "knowledge.file_no_text"
    assert refusal(written(tmp_path, "a.bin", b"\x7fELF\0\1\2")) == "knowledge.file_not_text"
    assert refusal(written(tmp_path, "b.bin", b"\x01\x02\x03 abc")) == "knowledge.file_not_text"


def test_a_file_that_is_too_large_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(read, "MAX_FILE_BYTES", 3)
    assert refusal(written(tmp_path, "a.txt", "abcd")) == "knowledge.file_too_large"
    monkeypatch.setattr(read, "MAX_FILE_BYTES", 100)
    monkeypatch.setattr(read, "MAX_CHARACTERS", 3)
    assert refusal(written(tmp_path, "a.txt", "abcd")) == "knowledge.file_too_long"
