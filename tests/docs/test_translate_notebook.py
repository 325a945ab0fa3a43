import re
from copy import deepcopy
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest

from docs.translate_notebook import (
    LANGUAGES,
    ROOT,
    SOURCE,
    WIDGET_STATES,
    code_cells,
    keep_outputs,
    missing,
    notebook_path,
    paragraphs,
    read_catalog,
    translate,
    widget_states,
)
from llm_chatbot.texts import translate as say

NOTEBOOK = nbformat.read(SOURCE, as_version=4)


def notebook(*cells: nbformat.NotebookNode) -> nbformat.NotebookNode:
    return nbformat.v4.new_notebook(cells=list(cells))


@pytest.mark.parametrize("language", LANGUAGES)
def test_everything_is_translated(language: str):
    assert missing(read_catalog(language), NOTEBOOK) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_written_notebook_is_what_the_command_writes(language: str):
    written = nbformat.read(notebook_path(language), as_version=4)
    expected = translate(NOTEBOOK, read_catalog(language))
    keep_outputs(expected, written)
    assert written == expected
    assert [cell.source for cell in code_cells(written)] == [cell.source for cell in code_cells(NOTEBOOK)]


def run_cell(id: str, source: str, text: str = "") -> nbformat.NotebookNode:
    cell = nbformat.v4.new_code_cell(source, id=id)
    cell.outputs = [nbformat.v4.new_output("stream", text=text)] if text else []
    return cell


def test_a_cell_keeps_its_output_while_the_code_that_gave_it_is_the_same():
    translated = notebook(run_cell("a", "1", "English"), run_cell("b", "2", "changed"), run_cell("c", "3"))
    former = notebook(run_cell("b", "old", "日本語"), run_cell("a", "1", "日本語"))
    keep_outputs(translated, former)
    assert [[output.text for output in cell.outputs] for cell in translated.cells] == [["日本語"], ["changed"], []]


@pytest.mark.parametrize(("again", "expected"), [("1", {"japanese": 2}), ("2", {"english": 1, "japanese": 2})])
def test_the_states_of_widgets_are_there_for_the_outputs_that_show_them(again: str, expected: dict[str, int]):
    translated, former = notebook(run_cell("a", "1"), run_cell("b", again)), notebook(*map(run_cell, "ab", "11"))
    for book, states in (translated, {"english": 1}), (former, {"japanese": 2}):
        book.metadata["widgets"] = {WIDGET_STATES: {"state": states}}
    keep_outputs(translated, former)
    assert widget_states(translated) == expected and widget_states(former) == {"japanese": 2}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_changed_paragraph_is_not_translated_any_more(language: str):
    changed = deepcopy(NOTEBOOK)
    cell = next(cell for cell in changed.cells if cell.cell_type == "markdown" and "Kullback" in cell.source)
    cell.source += " And one more sentence."
    (paragraph,) = missing(read_catalog(language), changed)
    assert paragraph.endswith("one more sentence.")


def test_each_translation_is_in_its_own_language():
    """Japanese has kana beside its Chinese characters."""
    for language, has_kana in {"ja": True, "zh": False}.items():
        for message in read_catalog(language):
            text = re.sub(r"\[[^]]*\]\([^)]*\)", "", str(message.string))  # without links
            if len(re.findall("[一-鿿]", text)) > 3:
                assert bool(re.search("[ぁ-ヿ]", text)) == has_kana, text


def test_no_character_is_lost_and_code_is_no_paragraph():
    for cell in NOTEBOOK.cells:
        assert "".join(part for part, _ in paragraphs(cell.source)) == cell.source
    text = "One.\n\n```python\n\nx = 1\n```\n\nTwo.\n\n</details>"
    assert [part for part, translated in paragraphs(text) if translated] == ["One.", "Two."]


def test_links_are_from_the_folder_of_the_translation():
    text = "[a](docs/page.md) ![b](figures/b.svg) [c](https://example.org) [d](#here)"
    (cell,) = translate(notebook(nbformat.v4.new_markdown_cell(text)), read_catalog("ja")).cells
    assert cell.source == "[a](page.md) ![b](../figures/b.svg) [c](https://example.org) [d](#here)"


@pytest.mark.parametrize("path", [SOURCE, *map(notebook_path, LANGUAGES)])
def test_every_link_leads_somewhere(path: Path):
    text = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")
    headings = {heading.replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
    for target in re.findall(r"\]\((?!https?:)([^)]*)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings
        else:
            assert (path.parent / target).is_file(), target


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_figure_differs_only_in_its_words(language: str):
    shapes = [
        [(element.tag, element.get("d"), element.get("x"), element.get("y")) for element in root.iter()]
        for root in (
            ElementTree.parse(ROOT / "figures" / f"chat_pipeline{suffix}.svg").getroot()
            for suffix in ("", f".{language}")
        )
    ]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_outputs_are_in_the_notebooks_language(language: str):
    """If it fails: make outputs."""
    outputs = str([cell.outputs for cell in code_cells(nbformat.read(notebook_path(language), as_version=4))])
    for words in ("writing, tokens/s", "loading, s"):
        assert say(language, f"lesson.{words}") in outputs
