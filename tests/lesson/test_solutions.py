"""Runs the tutorial's code cells in their order, and the solutions of each chapter where they stand."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell

from llm_chatbot.catalogue.rows import SUPPORTED_LLM_MODELS

ROOT = Path(__file__).resolve().parents[2]
CELLS = nbformat.read(ROOT / "llm-chatbot.ipynb", as_version=4).cells
# What stands for the slow cells, which no solution is about.
SHORTER = {
    "cost-table": "from config import EXAMPLE_QUESTIONS",
    "cost-plot": "",
    "time-plot": """from llm_chatbot.lesson.conversations import measure_conversations

timelines = measure_conversations(model, ids, (1, 8))""",
    "speed-measured": "bandwidth = 20.0",
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


def prepare_folder(folder: Path) -> None:
    """Lets a notebook take a folder for the project's, with an installation that does nothing."""
    installer = folder / "llm_chatbot" / "machine" / "install.py"
    installer.parent.mkdir(parents=True, exist_ok=True)
    installer.write_text("", encoding="utf-8")
    (folder / "requirements.txt").write_text((ROOT / "requirements.txt").read_text("utf-8"), encoding="utf-8")


@pytest.fixture
def shell(models_root: Path, monkeypatch: pytest.MonkeyPatch):
    """The shell that a notebook's cells run in, in a folder with the models and without the installation."""
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(models_root)
    prepare_folder(models_root)
    for name in [name for name in os.environ if name.startswith("LLM_CHATBOT_") and name != "LLM_CHATBOT_CACHE"]:
        monkeypatch.delenv(name)
    shell = InteractiveShell()
    yield shell
    if "demo" in shell.user_ns:
        shell.user_ns["demo"].close()
    InteractiveShell.clear_instance()


@pytest.mark.parametrize(
    ("ticked", "model", "taken"),
    [("1", "qwen3-1.7b", True), ("0", "qwen3-1.7b", False), ("1", "smollm2-135m-instruct", False)],
)
def test_a_model_that_openvino_publishes_is_taken_where_it_is_asked_for(
    ticked: str, model: str, taken: bool, monkeypatch: pytest.MonkeyPatch
):
    """The cell that converts, without the conversions."""
    asked: dict[str, bool] = {}
    monkeypatch.setattr(
        "converter.convert_model",
        lambda name, precision, *_, prebuilt=False, **options: asked.setdefault(precision, prebuilt),
    )
    monkeypatch.setenv("LLM_CHATBOT_PREBUILT", ticked)
    cell = next(cell.source for cell in CELLS if cell.id == "25806fd9")
    exec(cell, {"os": os, "Path": Path, "model_name": model, "config": SUPPORTED_LLM_MODELS[model]})
    assert {precision for precision, is_taken in asked.items() if is_taken} == ({"INT4"} if taken else set())
    assert {"INT4", "INT8", "FP16"} <= asked.keys()


def test_the_first_cells_answer_without_pytorch():
    """As a program of its own, because the tests have imported PyTorch."""
    first = [cell.source for cell in CELLS[:6] if cell.cell_type == "code"]
    program = "import os, sys\n" + "\n".join(first[1:]) + "\nassert 'torch' not in sys.modules"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert run.returncode == 0, run.stderr
    assert "sleep" in run.stdout


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
