"""Reads a file of any kind that is known."""

import zipfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from llm_chatbot.errors import UserError
from llm_chatbot.knowledge.readers.file_text import FileText
from llm_chatbot.knowledge.readers.plain import CODE, MARKDOWN, TEXTS, UNDERLINED, damaged_file

MAX_FILE_BYTES = 200 * 1024 * 1024
MAX_CHARACTERS = 20_000_000  # some ten thousand pages

# The module and function of each kind, imported when there is such a file.
READER_FUNCTIONS = {
    ".pdf": ("pdf", "read_pdf"),
    ".docx": ("office", "read_docx"),
    ".xlsx": ("office", "read_xlsx"),
    ".xlsm": ("office", "read_xlsx"),
    ".pptx": ("office", "read_pptx"),
    ".odt": ("archives", "read_odt"),
    ".epub": ("archives", "read_epub"),
    ".html": ("html", "read_html"),
    ".htm": ("html", "read_html"),
    ".xhtml": ("html", "read_html"),
    ".ipynb": ("plain", "read_notebook"),
}
KNOWN_SUFFIXES = (
    frozenset(READER_FUNCTIONS) | MARKDOWN | UNDERLINED | TEXTS | CODE
)  # that a folder's files are chosen by


def read_any(path: Path) -> FileText:
    """The text of a file.

    Raises:
        UserError: it is damaged, too large, protected, or has no text.
    """
    if path.stat().st_size > MAX_FILE_BYTES:
        raise UserError("knowledge.file_too_large", name=path.name, limit=MAX_FILE_BYTES // 1024 // 1024)
    try:
        file_text = _reader(path.suffix.lower())(path)
    except (UserError, MemoryError, OSError):
        raise
    except zipfile.BadZipFile as error:
        raise damaged_file(path) from error
    except Exception as error:  # each library has its own for what it can't read, and others that it didn't foresee
        raise damaged_file(path) from error
    if not file_text.text.strip():
        raise UserError("knowledge.file_no_text", name=path.name)
    if len(file_text.text) > MAX_CHARACTERS:
        raise UserError("knowledge.file_too_long", name=path.name, limit=MAX_CHARACTERS // 1_000_000)
    return file_text


def _reader(suffix: str) -> Callable[[Path], FileText]:
    module, function = READER_FUNCTIONS.get(suffix, ("plain", "read_text"))
    return getattr(import_module(f"llm_chatbot.knowledge.readers.{module}"), function)
