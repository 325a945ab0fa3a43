import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LISTED = (ROOT / "README.md").read_text(encoding="utf-8").partition("## The files")[2].partition("\n## ")[0]


def test_the_list_of_files_names_every_door_and_every_folder_of_the_package():
    files = {path.name for path in ROOT.glob("*.py")}
    folders = {f"{path.parent.name}/" for path in (ROOT / "llm_chatbot").glob("*/__init__.py")}
    assert files | folders <= set(re.findall(r"\w+(?:\.py|/)", LISTED))


def test_at_most_four_python_files_lie_at_the_top():
    assert {path.name for path in ROOT.glob("*.py")} == {"config.py", "converter.py", "ov_llm_model.py", "chat_ui.py"}


def test_the_architecture_names_every_package():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    packages = {path.parent.name for path in (ROOT / "llm_chatbot").glob("*/__init__.py")}
    assert packages <= set(re.findall(r"\*\*(\w+)\*\*:", text))
