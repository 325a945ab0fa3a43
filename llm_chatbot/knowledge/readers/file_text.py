"""A file's text, with the parts that the file itself has."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

PartKind = Literal["", "page", "slide", "sheet"]
KINDS: tuple[PartKind, ...] = ("", "page", "slide", "sheet")

PART_SEPARATOR = "\n\n"  # parts


@dataclass(frozen=True)
class FilePart:
    """A page, slide or sheet of a file, or a text that has none.

    Attributes:
        label: the number of a page or slide, the name of a sheet.
        start: of its text in the file's, in characters.
    """

    kind: PartKind
    label: str
    start: int = 0


@dataclass(frozen=True)
class FileText:
    """
    Attributes:
        parts: in the order of the text; the first begins with it.
        headings: how headings are written: as in Markdown, with a line below them as in reStructuredText, or not.
    """

    text: str
    parts: list[FilePart] = field(default_factory=lambda: [FilePart("", "")])
    headings: Literal["", "markdown", "underlined"] = ""

    def as_json(self) -> dict[str, Any]:
        parts = [[part.kind, part.label, part.start] for part in self.parts]
        return {"text": self.text, "parts": parts, "headings": self.headings}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "FileText":
        return cls(data["text"], [FilePart(*part) for part in data["parts"]], data["headings"])


def join_parts(parts: Iterable[tuple[PartKind, str, str]], headings: Literal["", "markdown"] = "markdown") -> FileText:
    """One text of the kinds, labels and texts of a file's parts; those without text are left out."""
    texts, found, start = [], [], 0
    for kind, label, text in parts:
        if text := cleaned(text):
            found.append(FilePart(kind, label, start))
            texts.append(text)
            start += len(text) + len(PART_SEPARATOR)
    return FileText(PART_SEPARATOR.join(texts), found or [FilePart("", "")], headings)


def cleaned(text: str) -> str:
    """A text with one kind of line ends, and without characters that no text has."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").strip("\n")
    return text.encode("utf-8", "replace").decode("utf-8").rstrip()
