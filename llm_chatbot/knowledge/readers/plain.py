"""Text and code: files that are read as they are."""

import json
from pathlib import Path

import charset_normalizer

from llm_chatbot.errors import UserError
from llm_chatbot.knowledge.readers.file_text import FileText, cleaned

MARKDOWN = {".md", ".markdown", ".mdx", ".qmd", ".rmd"}
UNDERLINED = {".rst"}
TEXTS = {".txt", ".text", ".log", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".ini", ".cfg"}
TEXTS |= {".srt", ".vtt", ".tex", ".bib", ".adoc", ".org", ".diff", ".patch"}
_CODE = (
    "py js mjs ts tsx jsx c h cc cpp hpp cs java kt go rs rb php swift scala sh bash ps1 bat sql r jl lua pl css "
    "scss vue svelte dart ex hs clj asm cmake"
)
CODE = {f".{ending}" for ending in _CODE.split()}

# That old files have: which of them is told by how likely their characters are beside each other.
OLD_ENCODINGS = ["cp932", "euc_jp", "gb18030", "big5", "cp1252"]
BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
TESTED_CHARACTERS = 4096  # characters that tell whether it is text


def read_text(path: Path) -> FileText:
    """
    Raises:
        UserError: it is no text.
    """
    suffix = path.suffix.lower()
    headings = "markdown" if suffix in MARKDOWN else "underlined" if suffix in UNDERLINED else ""
    return FileText(cleaned(decoded_text(path)), headings=headings)  # type: ignore[arg-type]


def decoded_text(path: Path) -> str:
    """The text of a file, in UTF-8, UTF-16 with its mark, or an older encoding.

    Raises:
        UserError: it is no text.
    """
    data = path.read_bytes()
    marked = BYTE_ORDER_MARKS.get(data[:2])
    if marked is None and b"\0" in data[:TESTED_CHARACTERS]:  # no text in another encoding holds a zero
        raise not_text(path)
    try:
        text = data.decode(marked or "utf-8-sig")
    except UnicodeDecodeError as error:
        found = charset_normalizer.from_bytes(data, cp_isolation=OLD_ENCODINGS).best()
        if found is None:
            raise not_text(path) from error
        text = str(found)
    if any(ord(character) < 32 and character not in "\t\n\r\f\x1b" for character in text[:TESTED_CHARACTERS]):
        raise not_text(path)
    return text


def read_notebook(path: Path) -> FileText:
    """A Jupyter notebook's cells, without their outputs.

    Raises:
        UserError: it is none.
    """
    try:
        cells = json.loads(decoded_text(path))["cells"]
        texts = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, UserError):
            raise
        raise damaged_file(path) from error
    return FileText(cleaned("\n\n".join(_cell(*cell) for cell in texts)), headings="markdown")


def _cell(kind: str, text: str) -> str:
    return f"```\n{text}\n```" if kind == "code" else text


def not_text(path: Path) -> UserError:
    return UserError("knowledge.file_not_text", name=path.name)


def damaged_file(path: Path) -> UserError:
    return UserError("knowledge.file_damaged", name=path.name)
