"""The text of HTML, with its headings and lists as in Markdown, and a table's cells between tabs."""

import re
from pathlib import Path

from lxml import etree
from lxml import html as lxml_html

from llm_chatbot.knowledge.readers.file_text import FileText, cleaned
from llm_chatbot.knowledge.readers.plain import decoded_text

UNREAD_ELEMENTS = {"script", "style", "noscript", "template", "svg", "iframe", "object", "head", "nav"}
_BLOCKS = (
    "address article aside blockquote body dd details div dl dt figcaption figure footer form header hr main ol p "
    "pre section summary table ul"
)
BLOCKS = frozenset(_BLOCKS.split())


def read_html(path: Path) -> FileText:
    return FileText(text_of_html(decoded_text(path)), headings="markdown")


def text_of_html(source: str | bytes) -> str:
    """The text of a document or a part of one. Nothing is loaded or run."""
    if isinstance(source, str):
        source = re.sub(r"^\s*<\?xml[^>]*>", "", source)  # lxml takes no text that names an encoding
    try:
        root = lxml_html.fromstring(source)
    except (etree.ParserError, ValueError):  # nothing in it
        return ""
    text = re.sub(r"[ \t]+\n", "\n", _text(root, False))
    return cleaned(re.sub(r"\n{3,}", "\n\n", text).strip())


def _text(node: lxml_html.HtmlElement, is_pre: bool) -> str:
    if not isinstance(node.tag, str) or node.tag in UNREAD_ELEMENTS or node.get("hidden") is not None:
        return ""
    name = node.tag.rpartition("}")[2]
    if name == "br":
        return "\n"
    is_pre = is_pre or name == "pre"
    if name == "tr":
        return "\t".join(" ".join(_inside(cell, False).split()) for cell in node if isinstance(cell.tag, str)) + "\n"
    text = _inside(node, is_pre)
    if re.fullmatch("h[1-6]", name):
        return f"\n\n{'#' * int(name[1])} {' '.join(text.split())}\n\n" if text.strip() else ""
    if name == "li":
        return f"\n- {text.strip()}\n"
    if name in ("ul", "ol"):
        return "\n" + re.sub(r"\n{2,}", "\n", text.strip()) + "\n\n"
    if name == "pre":
        fenced = text.strip("\n")
        return f"\n\n```\n{fenced}\n```\n\n"
    return f"\n\n{text.strip()}\n\n" if name in BLOCKS else text


def _inside(node: lxml_html.HtmlElement, is_pre: bool) -> str:
    shown = _shown(node.text, is_pre)
    return shown + "".join(_text(child, is_pre) + _shown(child.tail, is_pre) for child in node)


def _shown(text: str | None, is_pre: bool) -> str:
    return (text or "") if is_pre else re.sub(r"\s+", " ", text or "")
