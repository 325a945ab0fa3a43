"""Writes the tutorial in Japanese and Chinese: the English notebook with the texts of docs/lesson/*.po.

    python -m docs.translate_notebook

brings the .po files up to date and writes docs/llm-chatbot.ja.ipynb and docs/llm-chatbot.zh.ipynb, with the code of
llm-chatbot.ipynb. A message of a .po file is a paragraph; blocks of code are not translated. A paragraph that is new or
has changed is marked there (empty or "fuzzy"); until it is translated, the exit code is 1.

Each notebook keeps the outputs of its own run, where plots and tables have words of its language (`make outputs`). A
cell whose code has changed since then has its output of llm-chatbot.ipynb.
"""

import re
import sys
from collections.abc import Iterator
from copy import deepcopy
from io import BytesIO
from pathlib import Path
from typing import Any

import nbformat
from babel.messages import Catalog
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "llm-chatbot.ipynb"
LANGUAGES = ("ja", "zh")

WIDGET_STATES = "application/vnd.jupyter.widget-state+json"

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
MARKUP = re.compile(r"(</?details>|\s)*")
# A link or picture in the project's folder, which is above that of the translations.
LOCAL_LINK = re.compile(r"\]\((?!https?:|#)")


def paragraphs(text: str) -> Iterator[tuple[str, bool]]:
    """Splits a Markdown cell, without losing a character.

    Yields:
        (part, translated): a paragraph to translate, or what is between two of them and stays as it is.
    """
    end = 0
    for fence in FENCE.finditer(text):
        yield from _split(text[end : fence.start()])
        yield fence[0], False
        end = fence.end()
    yield from _split(text[end:])


def _split(text: str) -> Iterator[tuple[str, bool]]:
    for part in re.split(r"(\n*\n\n|^\n+|\n+$)", text):
        if part:
            yield part, not MARKUP.fullmatch(part)


def template(notebook: nbformat.NotebookNode) -> Catalog:
    """All paragraphs, with the ids of their cells."""
    catalog = Catalog(charset="utf-8")
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for part, translated in paragraphs(cell.source):
                if translated:
                    catalog.add(part, locations=[(cell.id, 0)])
    return catalog


def catalog_path(language: str) -> Path:
    return ROOT / "docs" / "lesson" / f"{language}.po"


def read_catalog(language: str) -> Catalog:
    """The translations of a language; an empty catalog if there are none."""
    path = catalog_path(language)
    if not path.is_file():
        return Catalog(language, project="llm-chatbot")
    with path.open("rb") as file:
        return read_po(file, language)


def missing(catalog: Catalog, notebook: nbformat.NotebookNode) -> list[str]:
    """The notebook's paragraphs that a catalog does not translate, or only as they were before a change."""
    found = []
    for message in template(notebook):
        known = catalog.get(message.id) if message.id else None
        if message.id and (known is None or not known.string or known.fuzzy):
            found.append(str(message.id))
    return found


def translate(notebook: nbformat.NotebookNode, catalog: Catalog) -> nbformat.NotebookNode:
    """The notebook in another language; what is not translated stays English."""
    translated = deepcopy(notebook)
    for cell in translated.cells:
        if cell.cell_type == "markdown":
            texts = [_translation(part, catalog) if wanted else part for part, wanted in paragraphs(cell.source)]
            cell.source = "".join(texts)
    return translated


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def keep_outputs(translated: nbformat.NotebookNode, former: nbformat.NotebookNode) -> None:
    """Gives each cell of a translation the outputs that it had before, if its code is still what gave them."""
    run = {cell.id: cell for cell in code_cells(former)}
    cells = code_cells(translated)
    kept = [cell for cell in cells if cell.id in run and cell.source == run[cell.id].source]
    for cell in kept:
        cell.outputs, cell.execution_count = run[cell.id].outputs, run[cell.id].execution_count
    states = {} if len(kept) == len(cells) else widget_states(translated)  # which the other cells' outputs show
    translated.metadata = deepcopy(former.metadata)
    widget_states(translated).update({**states, **widget_states(former)})


def widget_states(notebook: nbformat.NotebookNode) -> dict[str, Any]:
    """The states of a notebook's widgets by their ids."""
    states: dict[str, Any] = notebook.metadata.get("widgets", {}).get(WIDGET_STATES, {}).get("state", {})
    return states


def _translation(part: str, catalog: Catalog) -> str:
    message = catalog.get(part)
    text = str(message.string) if message and message.string and not message.fuzzy else part
    return LOCAL_LINK.sub("](../", text).replace("](../docs/", "](")


def notebook_path(language: str) -> Path:
    return ROOT / "docs" / f"llm-chatbot.{language}.ipynb"


def as_text(notebook: nbformat.NotebookNode) -> str:
    """The notebook's file."""
    return nbformat.writes(notebook) + "\n"


def main() -> int:
    notebook = nbformat.read(SOURCE, as_version=4)
    left = 0
    for language in LANGUAGES:
        catalog = read_catalog(language)
        catalog.update(template(notebook), update_creation_date=False)
        target = BytesIO()
        write_po(target, catalog, width=100, include_lineno=False)
        catalog_path(language).parent.mkdir(exist_ok=True)
        catalog_path(language).write_bytes(target.getvalue())
        translated, path = translate(notebook, catalog), notebook_path(language)
        if path.is_file():
            keep_outputs(translated, nbformat.read(path, as_version=4))
        path.write_text(as_text(translated), encoding="utf-8")
        for paragraph in missing(catalog, notebook):
            left += 1
            print(f"{language}: not translated: {paragraph.splitlines()[0]}", file=sys.stderr)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
