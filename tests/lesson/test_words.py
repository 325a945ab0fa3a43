import ast
import re
from pathlib import Path

import nbformat

from llm_chatbot.lesson.words import say
from llm_chatbot.texts import texts

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "llm_chatbot"
NOTEBOOK = nbformat.read(ROOT / "llm-chatbot.ipynb", as_version=4)
SOURCES = [
    *(path.read_text(encoding="utf-8") for path in (PACKAGE / "lesson").glob("*.py") if path.name != "words.py"),
    (PACKAGE / "evaluation" / "charts.py").read_text(encoding="utf-8"),
    *(re.sub("^%.*$", "", cell.source, flags=re.M) for cell in NOTEBOOK.cells if cell.cell_type == "code"),
]
WORDS = {key.removeprefix("lesson.") for key in texts("en") if key.startswith("lesson.")}
TREES = [ast.parse(source) for source in SOURCES]


def test_a_word_is_in_the_notebooks_language(monkeypatch):
    for language, expected in {"en": "weight", "ja": "重み", "zh": "权重"}.items():
        monkeypatch.setenv("LLM_CHATBOT_LANGUAGE", language)
        assert (say("weight"), say("something else")) == (expected, "something else")


def test_every_word_is_translated():
    said = {
        node.args[0].value
        for tree in TREES
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("say", "label", "slider")
        and isinstance(node.args[0], ast.Constant)
    }
    assert len(said) > 20
    assert said - {"top-p"} <= WORDS


def test_no_word_is_left_over():
    written = {node.value for tree in TREES for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert WORDS - written == set()


def test_english_words_are_said_as_the_code_has_them():
    assert [word for word in WORDS if texts("en")[f"lesson.{word}"] != {"other": word}] == []


def test_values_are_filled_in(monkeypatch):
    monkeypatch.setenv("LLM_CHATBOT_LANGUAGE", "zh")
    assert say("{speed} tokens/s", speed="12") == "12 词元/秒"
