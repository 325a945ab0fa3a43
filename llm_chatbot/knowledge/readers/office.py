"""Word, Excel and PowerPoint files."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import mammoth
import openpyxl
import pptx

from llm_chatbot.knowledge.readers.archives import check_archive
from llm_chatbot.knowledge.readers.file_text import FileText, join_parts
from llm_chatbot.knowledge.readers.html import text_of_html


def read_docx(path: Path) -> FileText:
    check_archive(path)
    no_images = mammoth.images.img_element(lambda image: {"src": ""})
    with path.open("rb") as file:
        html = mammoth.convert_to_html(file, convert_image=no_images).value
    return FileText(text_of_html(html), headings="markdown")


def read_xlsx(path: Path) -> FileText:
    """Each sheet's rows that have something, with tabs between their cells; of formulas the values."""
    check_archive(path)
    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        sheets = [("sheet", sheet.title, "\n".join(_rows(sheet.values))) for sheet in book.worksheets]
    finally:
        book.close()
    return join_parts(sheets, "")  # type: ignore[arg-type]


def _rows(rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    for row in rows:
        cells = ["" if value is None else " ".join(str(value).split()) for value in row]
        if line := "\t".join(cells).rstrip():
            yield line


def read_pptx(path: Path) -> FileText:
    """Each slide's title as a heading, its texts, tables and notes."""
    check_archive(path)
    slides = enumerate(pptx.Presentation(str(path)).slides, 1)
    return join_parts(("slide", str(number), _slide(slide)) for number, slide in slides)


def _slide(slide: Any) -> str:
    title = slide.shapes.title
    texts = [f"# {' '.join(title.text_frame.text.split())}"] if title is not None and title.text_frame.text else []
    texts += [text for shape in slide.shapes if shape != title for text in _shape(shape)]
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        texts.append(slide.notes_slide.notes_text_frame.text)
    return "\n\n".join(text.replace("\v", "\n").strip() for text in texts if text.strip())


def _shape(shape: Any) -> Iterator[str]:
    if shape.has_text_frame:
        yield shape.text_frame.text
    elif getattr(shape, "has_table", False) and shape.has_table:
        yield "\n".join("\t".join(" ".join(cell.text.split()) for cell in row.cells) for row in shape.table.rows)
    for inner in getattr(shape, "shapes", ()):  # of a group
        yield from _shape(inner)
