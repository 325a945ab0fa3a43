"""Shared options of the commands: the precision that is taken where none is named."""

from argparse import Namespace
from pathlib import Path

import pytest

from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.commands import options
from llm_chatbot.commands.chat import parser
from llm_chatbot.commands.options import Caller, draft_options, prepare
from llm_chatbot.errors import UserError
from llm_chatbot.folder.place import AS_IN_FILE

COMMAND, SCRIPT = Caller("llm-chatbot chat", converts=True), Caller("python chat_ui.py")


def arguments(tmp_path: Path, model: str, precision: str | None = None) -> Namespace:
    return Namespace(model=model, precision=precision, output=tmp_path, draft=None)


@pytest.mark.parametrize("caller", [COMMAND, SCRIPT], ids=["command", "script"])
def test_a_gguf_file_is_taken_as_it_is_and_nothing_is_converted(caller: Caller, tmp_path: Path):
    asked = arguments(tmp_path, DEFAULT_MODEL)
    prepare(asked, caller)
    assert asked.precision == AS_IN_FILE and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("model", "precision", "caller"),
    [(DEFAULT_MODEL, "INT4", COMMAND), ("tiny-llama-1b-chat", None, COMMAND), (DEFAULT_MODEL, "INT4", SCRIPT)],
)
def test_otherwise_a_folder_is_needed(
    model: str, precision: str | None, caller: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(options, "find_spec", lambda name: None)  # as without the extra `convert`
    asked = arguments(tmp_path, model, precision)
    expected = "llm-chatbot\\[convert\\]" if caller.converts else "python converter.py"
    with pytest.raises(UserError, match=expected):
        prepare(asked, caller)
    assert asked.precision == "INT4"


def test_a_draft_model_is_prepared_and_opened_in_its_own_precision(tmp_path: Path):
    asked = arguments(tmp_path, DEFAULT_MODEL)
    assert draft_options(asked) == {}
    asked.draft = DEFAULT_MODEL
    prepare(asked, SCRIPT)
    assert draft_options(asked)["draft"].label == "Q4_1, as in the file"
    asked.draft = "tiny-llama-1b-chat"
    with pytest.raises(UserError, match="tiny-llama-1b-chat"):
        prepare(asked, SCRIPT)


def test_a_models_name_may_stand_without_its_option():
    assert parser().parse_args([]).model == DEFAULT_MODEL
    assert parser().parse_args(["a.gguf", "--port", "1"]).model == parser().parse_args(["--model", "a.gguf"]).model
