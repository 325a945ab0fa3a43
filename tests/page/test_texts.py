import ast
import re
from pathlib import Path
from string import Formatter

import page.texts
from page.texts import LANGUAGES, RECOGNISED, TEXTS, recognised, translate

ROOT = Path(page.texts.__file__).parents[2]


def names(text: str) -> list[str]:
    """What is in braces."""
    return [name for _, name, _, _ in Formatter().parse(text) if name]


def test_every_language_says_everything():
    several = {text for text in TEXTS["en"] if not text.endswith("_one")}
    for language in LANGUAGES:
        assert {text for text in TEXTS[language] if not text.endswith("_one")} == several
        for text in several:
            values = dict.fromkeys(names(TEXTS["en"][text]), "1")
            assert sorted(names(TEXTS[language][text])) == sorted(values), text
            assert translate(language, text, **values)
    assert translate("fr", "send") == "Send"


def test_one_is_not_spoken_of_as_several():
    assert translate("en", "left_out", count=1) == "Context full: the oldest turn was left out."
    assert translate("en", "left_out", count=3) == "Context full: the 3 oldest turns were left out."
    assert translate("en", "tokens", count=1) == "1 token"
    assert "1" in translate("ja", "left_out", count=1)


def sentences(path: Path) -> set[str]:
    """The texts in a file, with {} for what is filled in."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    joined = [node for node in nodes if isinstance(node, ast.JoinedStr | ast.Constant)]
    parts = [node.values if isinstance(node, ast.JoinedStr) else [node] for node in joined]
    return {"".join(str(it.value) if isinstance(it, ast.Constant) else "{}" for it in part) for part in parts}


def test_every_recognised_error_is_still_what_the_code_says():
    folders = (ROOT, ROOT / "engine", ROOT / "page")
    paths = [path for folder in folders for path in folder.glob("*.py")]
    said = set().union(*map(sentences, paths))
    for key in RECOGNISED:
        assert re.sub(r"{\w+}", "{}", TEXTS["en"][key]) in said, key


def test_an_error_is_said_in_the_language_of_the_page():
    found = recognised("The model's chat template refuses: no system role; try without a system prompt.")
    assert found == {"key": "error_template_refuses", "values": {"reason": "no system role"}}
    assert "no system role" in translate("ja", found["key"], **found["values"])
    assert recognised("Something else.") == {"text": "Something else."}
