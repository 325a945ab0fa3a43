import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LISTED = (ROOT / "README.md").read_text(encoding="utf-8").partition("## The files")[2].partition("\n## ")[0]


@pytest.mark.parametrize("package", ["convert", "engine", "page"])
def test_the_list_of_files_names_every_module(package: str):
    (paragraph,) = [text for text in LISTED.split("\n\n") if text.startswith(f"{package}/")]
    modules = {path.stem for path in (ROOT / package).glob("*.py")} - {"__init__"}
    assert modules <= set(re.findall(r"\w+", paragraph))


def test_the_list_of_files_names_every_package_and_what_is_beside_them():
    files = {path.name for path in ROOT.glob("*.py")} | {f"{path.parent.name}/" for path in ROOT.glob("*/__init__.py")}
    assert files <= set(re.findall(r"\w+(?:\.py|/)", LISTED))
