"""PDF, by PDFium."""

import re
from pathlib import Path

import pypdfium2
from pypdfium2 import raw

from llm_chatbot.errors import UserError
from llm_chatbot.knowledge.readers.file_text import FileText, join_parts
from llm_chatbot.knowledge.readers.plain import damaged_file

DIVIDED = re.compile("(\\w)(?:-\n|[\\ufffe\\x02]\n?)(?=[^\\W\\d_])")  # a word at the end of a line


def read_pdf(path: Path) -> FileText:
    """
    Raises:
        UserError: it is damaged, or has a password.
    """
    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) == raw.FPDF_ERR_PASSWORD:
            raise password(path) from error
        raise damaged_file(path) from error
    return join_parts((("page", str(index + 1), _page(document, index)) for index in range(len(document))), "")


def _page(document: pypdfium2.PdfDocument, index: int) -> str:
    try:
        page = document[index]
        text = page.get_textpage().get_text_bounded()
    except pypdfium2.PdfiumError:
        return ""  # one page is damaged, the others are read
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return DIVIDED.sub(r"\1", text).strip()


def password(path: Path) -> UserError:
    return UserError("knowledge.file_password", name=path.name)
