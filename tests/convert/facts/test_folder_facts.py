import json
from pathlib import Path

import pytest

from benchmarks.conversion import byte_tokenizer
from llm_chatbot.convert.facts.folder_facts import check_folder
from llm_chatbot.convert.facts.found_in_words import found_in_words
from llm_chatbot.convert.tokenizer.openvino_tokenizers import save_as_openvino

SHOWN = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
COUNTED = SHOWN.replace("{{ m.content }}", "{{ m.content }} {{ m.content | length }}")  # GenAI counts bytes
TOOLS = "{{ tools }}" + SHOWN


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folder")
    tokenizer = byte_tokenizer()
    tokenizer.save_pretrained(folder)
    save_as_openvino(tokenizer, folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}), encoding="utf-8")
    return folder


def checked(folder: Path, template: str | None) -> dict:
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    if template is not None:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return check_folder(folder, "some model")


def test_nothing_is_said_of_a_folder_in_which_all_is_well(folder: Path):
    facts = checked(folder, SHOWN)
    assert facts["chat"] and facts["genai"]["otherwise"] == facts["genai"]["refused"] == []
    assert list(found_in_words(facts)) == []


@pytest.mark.parametrize("template", [None, "{% for m in messages %}{{ m.role }}{% endfor %}"])
def test_a_folder_that_cannot_chat_says_so(template: str | None, folder: Path):
    facts = checked(folder, template)
    assert not facts["chat"] and "genai" not in facts
    assert any("can't chat" in sentence for sentence in found_in_words(facts))


def test_conversations_that_genai_renders_otherwise_are_named(folder: Path):
    facts = checked(folder, COUNTED)
    assert facts["genai"]["otherwise"] == ["a question", "a system prompt", "an answer"]
    assert any("renders otherwise: a question, " in sentence for sentence in found_in_words(facts))


def test_other_ids_and_errors_are_said():
    facts = {"chat": True, "tokenizer": {"texts": 9, "other_ids": 1, "other_text": 0, "examples": ["½ ²"]}}
    assert list(found_in_words(facts)) == [
        "In OpenVINO GenAI, 1 of 9 sample texts get other ids and 0 are decoded otherwise, such as '½ ²'."
    ]
    failed = {"chat": True, "tokenizer": {"error": "no"}, "genai": {"error": "never"}}
    assert [("no" in one, "never" in one) for one in found_in_words(failed)] == [(True, False), (False, True)]
    assert list(found_in_words({})) == []
