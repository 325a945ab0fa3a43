"""Runs the tutorial's code cells in their order, and the solutions of each chapter where they stand."""

import ast
import os
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell

from llm_chatbot.catalogue.rows import SUPPORTED_LLM_MODELS
from llm_chatbot.folder.manifest import read_manifest
from llm_chatbot.lesson.words import say

ROOT = Path(__file__).resolve().parents[2]
CELLS = nbformat.read(ROOT / "llm-chatbot.ipynb", as_version=4).cells
# What stands for the slow cells, which no solution is about.
SHORTER = {
    "bits-variants": "every = {name: convert_model(model_name.value, name) for name in ('FP16', 'INT4')}\n"
    "rounded = every['INT4']",
    "error-plot": "",
    "cost-table": "from config import EXAMPLE_QUESTIONS\nfrom llm_chatbot.evaluation.texts import passages",
    "cost-plot": "",
    "cost-answers": "",
    "speed-measured": "from llm_chatbot.lesson.machine import READING_SPEED, bytes_per_token\nbandwidth = 20.0",
}
CHAPTERS = 10


def solutions(text: str) -> list[str]:
    """The code in a cell's folded part."""
    folded = re.search(r"<details>.*</details>", text, re.DOTALL)
    return re.findall(r"^```python\n(.*?)^```$", folded[0], re.MULTILINE | re.DOTALL) if folded else []


def test_every_chapter_ends_with_questions_and_a_solution_to_each():
    asked = [cell.source for cell in CELLS if cell.source.startswith("### Try it")]
    assert len(asked) == CHAPTERS
    for text in asked:
        questions, _, answers = text.partition("<details>")
        numbers = re.findall(r"^(\d)\. \*(?:Predict|Change|Further):\*", questions, re.MULTILINE)
        assert 2 <= len(numbers) <= 3
        assert re.findall(r"^\*\*(\d)\.\*\*", answers, re.MULTILINE) == numbers
        assert len(solutions(text)) == len(numbers)
        for code in solutions(text):  # which fails if the solution is wrong
            assert any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(code)))


def test_cells_are_short():
    for cell in CELLS:
        assert cell.cell_type != "code" or len(cell.source.splitlines()) <= 20


@pytest.fixture
def shell(models_root: Path, monkeypatch: pytest.MonkeyPatch):
    """The shell that a notebook's cells run in, in a folder with the models and without the installation."""
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(models_root)
    installer = models_root / "llm_chatbot" / "machine" / "install.py"
    installer.parent.mkdir(parents=True, exist_ok=True)
    installer.write_text("", encoding="utf-8")
    (models_root / "requirements.txt").write_text((ROOT / "requirements.txt").read_text("utf-8"), encoding="utf-8")
    for name in [name for name in os.environ if name.startswith("LLM_CHATBOT_") and name != "LLM_CHATBOT_CACHE"]:
        monkeypatch.delenv(name)
    yield InteractiveShell()
    InteractiveShell.clear_instance()


def test_a_model_that_openvino_publishes_is_taken_where_it_is_ticked(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The cells from the choice of a model to its folder, as a reader runs them."""
    monkeypatch.chdir(tmp_path)
    cells = {cell.id: cell.source for cell in CELLS}
    ran = [cells[id] for id in ("7f002735", "dee4d477", "de14a550", "25806fd9")]
    for ticked, model in (("1", "qwen3-1.7b"), ("0", "qwen3-1.7b"), ("1", "smollm2-135m-instruct")):
        monkeypatch.setenv("LLM_CHATBOT_PREBUILT", ticked)
        monkeypatch.setenv("LLM_CHATBOT_MODEL", model)
        names: dict[str, Any] = {"os": os, "say": say, "SUPPORTED_LLM_MODELS": SUPPORTED_LLM_MODELS}
        for code in ran[:3]:
            exec(code, names)
        box = names["prebuilt"]
        assert (box.disabled, box.value) == (model != "qwen3-1.7b", model == "qwen3-1.7b" and ticked == "1")
        if box.value:
            exec(ran[3], names)
            taken = read_manifest(names["folders"]["INT4"])
            assert taken["compression"] == {"prebuilt": "OpenVINO/Qwen3-1.7B-int4-ov"}


def test_every_solution_is_right(shell: InteractiveShell):
    run = 0
    for cell in CELLS:
        if cell.cell_type == "code":
            shell.run_cell(SHORTER.get(cell.id, cell.source), silent=True).raise_error()
        names = dict(shell.user_ns)  # a chapter's solutions share what they define, and later cells don't see it
        for code in solutions(cell.source) if cell.cell_type == "markdown" else ():
            exec(code, names)
            run += 1
    assert run >= 2 * CHAPTERS
