"""Files that are ZIP archives of XML: checked before a library unpacks them."""

import re
import zipfile
from pathlib import Path, PurePosixPath

from lxml import etree

from llm_chatbot.errors import UserError
from llm_chatbot.knowledge.readers.file_text import FileText, cleaned, join_parts
from llm_chatbot.knowledge.readers.html import text_of_html
from llm_chatbot.knowledge.readers.pdf import password
from llm_chatbot.knowledge.readers.plain import damaged_file

# More than any text needs; `zipfile` unpacks no more of a file than its archive says.
MAX_UNPACKED = 300 * 1024 * 1024
OLE = bytes.fromhex("d0cf11e0a1b11ae1")  # of Office's older files, and of newer ones with a password

OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"


def check_archive(path: Path) -> None:
    """
    Raises:
        UserError: it is no archive, has a password, or unpacks to too much.
    """
    with path.open("rb") as file:
        if file.read(len(OLE)) == OLE:
            raise password(path)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise damaged_file(path) from error
    if any(entry.flag_bits & 1 for entry in entries):
        raise password(path)
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED:
        raise UserError("knowledge.file_unpacked", name=path.name, limit=MAX_UNPACKED // 1024 // 1024)


def parse_xml(data: bytes) -> etree._Element:
    """The root of an XML file. Entities are not replaced, nothing is loaded."""
    return etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))


def read_odt(path: Path) -> FileText:
    """OpenDocument: https://docs.oasis-open.org/office/OpenDocument/v1.3/."""
    check_archive(path)
    with zipfile.ZipFile(path) as archive:
        manifest = archive.read("META-INF/manifest.xml")
        if b"encryption-data" in manifest:
            raise password(path)
        body = parse_xml(archive.read("content.xml")).find(f"{OFFICE}body")
    if body is None:
        raise damaged_file(path)
    text = re.sub(r"\n{3,}", "\n\n", _odt_text(body))
    return FileText(cleaned(text), headings="markdown")


def _odt_text(node: etree._Element) -> str:
    name = node.tag
    if not isinstance(name, str):  # a comment
        return ""
    if name == f"{TABLE}table-row":
        return "\t".join(" ".join(_odt_inside(cell).split()) for cell in node) + "\n"
    inside = _odt_inside(node)
    if name == f"{TEXT}h":
        level = min(6, int(node.get(f"{TEXT}outline-level", "1")))
        return f"\n\n{'#' * level} {inside.strip()}\n\n"
    if name == f"{TEXT}list-item":
        return f"\n- {inside.strip()}\n"
    if name in (f"{TEXT}p", f"{TEXT}list", f"{TABLE}table"):
        return f"\n\n{inside.strip()}\n\n"
    spaces = {f"{TEXT}s": " ", f"{TEXT}tab": "\t", f"{TEXT}line-break": "\n"}
    if name in spaces:
        return spaces[name] * int(node.get(f"{TEXT}c", "1"))
    return "" if name == f"{TEXT}tracked-changes" else inside


def _odt_inside(node: etree._Element) -> str:
    return (node.text or "") + "".join(_odt_text(child) + (child.tail or "") for child in node)


def read_epub(path: Path) -> FileText:
    """EPUB's chapters in their order: https://www.w3.org/TR/epub-33/."""
    check_archive(path)
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        container = parse_xml(archive.read("META-INF/container.xml"))
        package_path = str(container.xpath("string(//*[local-name()='rootfile']/@full-path)"))
        package = parse_xml(archive.read(package_path))
        items = {item.get("id"): item.get("href") for item in package.iter("{*}item")}
        folder = PurePosixPath(package_path).parent
        chapters = [str(folder / str(items.get(ref.get("idref")))) for ref in package.iter("{*}itemref")]
        if "META-INF/encryption.xml" in names:
            encrypted = archive.read("META-INF/encryption.xml").decode("utf-8", "replace")
            if any(chapter in encrypted for chapter in chapters):
                raise password(path)
        texts = [text_of_html(archive.read(chapter)) for chapter in chapters if chapter in names]
    return join_parts(("", "", text) for text in texts)
