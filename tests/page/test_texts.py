import ast
from pathlib import Path
from string import Formatter

from llm_chatbot.page.texts import LANGUAGES, RECOGNISED, TEXTS, recognised, translate

PACKAGE = Path(__file__).resolve().parents[2] / "llm_chatbot"


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


# What the page says in English only, by how it begins, and why.
FROM_THE_TERMINAL = "said where the page or the service is started"
FROM_SCRIPTS = "only a script of one's own sends such a request"
ENGLISH_ONLY = {
    "--base-url takes an address": FROM_THE_TERMINAL,
    "x has no model x; choose one of": FROM_THE_TERMINAL,
    "There is no KV cache precision": FROM_THE_TERMINAL,
    "The memory for keys and values": FROM_THE_TERMINAL,
    "There is no folder x; name the folder": FROM_THE_TERMINAL,
    "npm": FROM_THE_TERMINAL,
    "x is not the package": FROM_THE_TERMINAL,
    "A conversation is a list of messages": FROM_SCRIPTS,
    "A question has an id": FROM_SCRIPTS,
    "A model has a name": FROM_SCRIPTS,
    "The role x contains a control token": FROM_SCRIPTS,
    "The server doesn't know this option": "never seen: the question is asked again without it",
}


def sentences(path: Path) -> set[str]:
    """The sentences of a file's errors, with an x for what is filled in."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    constants = {
        node.targets[0].id: str(node.value.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
    }

    def filled_in(part: ast.expr) -> str:
        if isinstance(part, ast.Constant):
            return str(part.value)
        if isinstance(part, ast.Name):
            return constants[part.id]
        if isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.Name):
            return constants.get(part.value.id, "x")
        return "x"

    return {
        "".join(map(filled_in, argument.values if isinstance(argument, ast.JoinedStr) else [argument]))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("UserError", "UnknownOptionError")
        for argument in node.args
        if isinstance(argument, ast.JoinedStr | ast.Constant)
        or (isinstance(argument, ast.Name) and argument.id in constants)
    }


def said_in(*folders: str) -> set[str]:
    return set().union(*(sentences(path) for folder in folders for path in (PACKAGE / folder).rglob("*.py")))


def test_every_error_that_reaches_the_page_is_said_in_its_language():
    said = said_in("page", "engine", "catalogue", "folder")
    assert len(said) > 40
    left = {sentence for sentence in said if "key" not in recognised(sentence)}
    unexpected = [sentence for sentence in left if not sentence.startswith(tuple(ENGLISH_ONLY))]
    assert not unexpected
    assert all(any(sentence.startswith(start) for sentence in left) for start in ENGLISH_ONLY)


def test_every_recognised_error_is_still_what_the_code_says():
    said = {recognised(sentence).get("key") for sentence in said_in(".")}
    assert said >= set(RECOGNISED)


def test_an_error_is_said_in_the_language_of_the_page():
    found = recognised("The model's chat template refuses: no system role; try without a system prompt.")
    assert found == {"key": "error_template_refuses", "values": {"reason": "no system role"}}
    assert "no system role" in translate("ja", found["key"], **found["values"])
    assert recognised("Something else.") == {"text": "Something else."}
