"""The tutorial's eleven models, each in small: from a hub to a conversation."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import small_checkpoints
from hub_server import Hub
from transformers import AutoTokenizer

from chat_prompt import prompt_ids
from config import EXAMPLE_QUESTIONS, SUPPORTED_LLM_MODELS
from converter import convert_model
from model_folder import SUBFOLDERS
from ov_llm_model import ChatSession, load_model


@pytest.mark.parametrize("name", small_checkpoints.WRITERS)
def test_a_model_is_downloaded_converted_three_times_loaded_and_talked_to(
    name: str, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    repository = small_checkpoints.write(name, hub.root)
    config = replace(SUPPORTED_LLM_MODELS[name], parameters=None)  # of which these have far fewer
    monkeypatch.setitem(SUPPORTED_LLM_MODELS, name, config)
    question = EXAMPLE_QUESTIONS[config.language][1]
    for precision in SUBFOLDERS:
        folder = convert_model(name, precision, tmp_path)
        model, tokenizer = load_model(folder), AutoTokenizer.from_pretrained(folder)
        session = ChatSession(model, tokenizer, config.system_prompt, config.chat_format)
        *_, answer = session.stream(question, max_new_tokens=12)
        assert answer.finish_reason in ("length", "stop") and answer.completion_tokens > 0
        messages = [*session.messages, {"role": "user", "content": question}]
        *_, second = session.stream(question, max_new_tokens=2)
        assert second.prompt_tokens == len(prompt_ids(tokenizer, [*system(config.system_prompt), *messages]))
        assert second.cached_tokens >= answer.prompt_tokens

    downloaded = {path for path, _ in hub.sent}
    assert not any(path.endswith((".py", ".md")) for path in downloaded)
    pickles = {path for path in downloaded if path.endswith(".bin")}
    assert bool(pickles) == (not list(repository.glob("*.safetensors")))
    assert len(hub.sent) == len(downloaded)
    assert "auto_map" not in (folder / "config.json").read_text(encoding="utf-8")
    assert "auto_map" not in (folder / "tokenizer_config.json").read_text(encoding="utf-8")


def system(prompt: str | None) -> list[dict[str, str]]:
    return [] if prompt is None else [{"role": "system", "content": prompt}]


@pytest.mark.parametrize(
    ("name", "texts"),
    {"qwen-7b-chat": {"<|im_end|>", "<|endoftext|>"}, "chatglm3-6b": {"</s>", "<|user|>", "<|observation|>"}}.items(),
)
def test_the_tokens_that_end_an_answer_are_in_the_folder(
    name: str, texts: set[str], hub: Hub, tmp_path: Path, monkeypatch
):
    monkeypatch.setitem(SUPPORTED_LLM_MODELS, name, replace(SUPPORTED_LLM_MODELS[name], parameters=None))
    small_checkpoints.write(name, hub.root)
    folder = convert_model(name, "FP16", tmp_path)
    ids = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))["eos_token_id"]
    assert texts <= set(AutoTokenizer.from_pretrained(folder).convert_ids_to_tokens(ids))
