import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.extract import extract

from llm_chatbot.catalogue.rows import SUPPORTED_LLM_MODELS
from llm_chatbot.errors import UserError
from llm_chatbot.texts import LANGUAGES, Text, model_description, names, page_texts, texts, translate

PACKAGE = Path(__file__).resolve().parents[2] / "llm_chatbot"
KEYS = [key for key in texts("en") if not key.startswith(("lesson.", "about_model."))]  # tests/lesson has the lesson's
# What takes a key, and as which argument.
SAYING = {
    "python": {
        "UserError": (1,),
        "APIError": (1,),
        "GrammarError": (1,),
        "Text": (1,),
        "translate": (2,),
        "_damaged": (2,),
    },
    "javascript": {"text": (1,), "say": (1,)},
}
OF_THE_RESPONSE = {"status", "param", "code", "retry_after"}  # what `APIError` has beside its values


def said() -> set[str]:
    """The keys that the code says, as gettext's tools find them."""
    found = set()
    for kind, ending in {"python": "py", "javascript": "js"}.items():
        for path in PACKAGE.rglob(f"*.{ending}"):
            if "vendor" not in path.parts:
                with path.open("rb") as file:
                    found |= {str(message) for _, message, _, _ in extract(kind, file, SAYING[kind])}
    return found


def literals() -> Iterator[str]:
    """All strings of the code. A template literal of JavaScript, such as `${name}_info`, is a pattern."""
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        yield from (re.escape(str(node.value)) for node in ast.walk(tree) if isinstance(node, ast.Constant))
    for path in (PACKAGE / "page" / "web").rglob("*.js"):
        for literal in re.findall(r'(?<=")[\w.]+(?=")|(?<=`)[\w.${}]+(?=`)', path.read_text(encoding="utf-8")):
            yield re.sub(r"\$\{\w+\}", r"\\w+", literal)


def test_every_language_says_everything():
    for language in LANGUAGES:
        assert list(texts(language)) == list(texts("en"))
        assert all(all(forms.values()) for forms in texts(language).values())
        differing = [key for key in texts("en") if names(language, key) != names("en", key)]
        assert differing == []


def test_every_key_that_the_code_says_is_there():
    keys = {key for key in said() if re.fullmatch(r"[\w.]+", key)}  # others are patterns, or of other functions
    assert len(keys) > 100
    assert keys <= set(KEYS)


def test_no_key_is_left_over():
    used = re.compile("|".join(set(literals())))
    left = [key for key in KEYS if not used.fullmatch(key)]
    assert left == []


def test_every_call_gives_the_values_of_its_text():
    """So that an error which nobody sees for a year is not a bug in the end."""
    calls = 0
    for path in PACKAGE.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in SAYING["python"]:
                place = SAYING["python"][call.func.id][0] - 1
                key = call.args[place].value if isinstance(call.args[place], ast.Constant) else None
                values = {word.arg for word in call.keywords}
                values -= OF_THE_RESPONSE if call.func.id == "APIError" else set()
                if key is not None and None not in values:  # None: values in a dictionary
                    calls += 1
                    assert (key, values) == (key, names("en", str(key)))
    assert calls > 150


def test_a_text_follows_its_count():
    assert translate("en", "left_out", count=1) == "Context full: the oldest turn was left out."
    assert translate("en", "left_out", count=3) == "Context full: the 3 oldest turns were left out."
    assert translate("en", "tokens", count=1) == "1 token"
    assert "1" in translate("ja", "left_out", count=1)


@pytest.mark.parametrize("values", [{}, {"naem": "x"}, {"name": "x", "more": 1}])
def test_wrong_values_are_a_bug(values: dict[str, object]):
    with pytest.raises(TypeError, match="remove_file"):
        UserError("remove_file", **values)


def test_an_unknown_key_is_a_bug():
    with pytest.raises(KeyError):
        Text("gone")


def test_an_error_is_said_in_each_language():
    error = UserError("remove_file", name=Path("a.txt"))
    assert [error.in_language(language) for language in LANGUAGES] == ["Remove a.txt", "a.txt を外す", "移除 a.txt"]
    assert (str(error), error.key, error.values) == ("Remove a.txt", "remove_file", {"name": "a.txt"})
    assert isinstance(error, ValueError)


def test_a_value_is_said_in_the_same_language():
    error = UserError("remove_file", name=Text("tokens", count=1))
    assert (str(error), error.in_language("ja")) == ("Remove 1 token", "1 トークン を外す")


def test_an_error_comes_from_another_process_as_it_was():
    error = UserError("remove_file", name=Text("tokens", count=1))
    for again in (pickle.loads(pickle.dumps(error)), UserError.from_json(error.as_json())):
        assert isinstance(again, UserError) and again.in_language("zh") == error.in_language("zh")


def test_the_page_gets_all_but_what_is_said_elsewhere():
    assert page_texts("en")["tokens"] == {"one": "{count} token", "other": "{count} tokens"}
    assert page_texts("ja").keys() == {key for key in KEYS if not key.startswith(("cluster.", "command.", "launch."))}


def test_each_model_of_the_catalogue_is_described_in_each_language():
    described = [key.removeprefix("about_model.") for key in texts("en") if key.startswith("about_model.")]
    assert described == list(SUPPORTED_LLM_MODELS)
    for name, row in SUPPORTED_LLM_MODELS.items():
        descriptions = model_description(name, row.description)
        assert descriptions["en"] == row.description and len(set(descriptions.values())) == len(LANGUAGES)
    assert model_description("qwen3-4b", "qwen3, Q4_K_M") == {"en": "qwen3, Q4_K_M"}


def test_a_value_that_is_no_utf_8_can_be_written():
    assert str(UserError("remove_file", name=Path("a\udc80.txt"))) == "Remove a\\udc80.txt"
