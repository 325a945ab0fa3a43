import json
from pathlib import Path

import pytest

from llm_chatbot.folder.chat_templates import only_one, read_templates, template_for


@pytest.mark.parametrize("entry", ["T", [{"name": "tool_use", "template": "T"}], {"rag": "T"}])
def test_a_lone_template_is_for_every_conversation(entry: object, tmp_path: Path):
    assert read_templates(tmp_path, {"chat_template": entry}) == "T"


@pytest.mark.parametrize("entry", [{"default": "D", "tool_use": "T"}, {"tool_use": "T", "default": "D"}])
@pytest.mark.parametrize("place", ["settings", "list", "old file", "files"])
def test_several_templates_are_known_by_their_names(entry: dict, place: str, tmp_path: Path):
    settings: dict = {}
    if place == "settings":
        settings["chat_template"] = entry
    elif place == "list":
        settings["chat_template"] = [{"name": name, "template": text} for name, text in entry.items()]
    elif place == "old file":
        (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": entry}), encoding="utf-8")
    else:
        (tmp_path / "chat_template.jinja").write_text("D", encoding="utf-8")
        (tmp_path / "additional_chat_templates").mkdir()
        (tmp_path / "additional_chat_templates" / "tool_use.jinja").write_text("T", encoding="utf-8")
    templates = read_templates(tmp_path, settings)
    assert templates == entry
    assert [template_for(templates, tools) for tools in (False, True)] == ["D", "T"]


def test_a_default_in_the_settings_stays_beside_files_of_other_names(tmp_path: Path):
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "tool_use.jinja").write_text("T", encoding="utf-8")
    assert read_templates(tmp_path, {"chat_template": "D"}) == {"default": "D", "tool_use": "T"}
    assert read_templates(tmp_path, {"chat_template": {"default": "D", "tool_use": "old"}})["tool_use"] == "T"  # type: ignore[index]
    assert read_templates(tmp_path, {}) == "T"
    (tmp_path / "chat_template.jinja").write_text("N", encoding="utf-8")
    assert read_templates(tmp_path, {"chat_template": "D"}) == {"default": "N", "tool_use": "T"}


def test_without_a_default_the_one_for_tools_is_the_default():
    templates = only_one({"rag": "R", "tool_use": "T"})
    assert [template_for(templates, tools) for tools in (False, True)] == ["T", "T"]
    assert template_for(only_one({"rag": "R", "other": "O"}), True) == "R"
    assert only_one(None) is only_one({}) is template_for(None, True) is None


@pytest.mark.parametrize("entry", [5, [5], ["T"], [{"name": "default"}], {"default": 1}, [{"template": "T"}]])
def test_what_is_no_template_is_an_error(entry: object, tmp_path: Path):
    with pytest.raises((LookupError, TypeError)):
        read_templates(tmp_path, {"chat_template": entry})
