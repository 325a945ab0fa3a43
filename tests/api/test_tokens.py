"""The tokens and prompts of the embedded model, as programs ask for them."""

from typing import Any

import httpx
import pytest

from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from tests.api.running_service import WEATHER, Service, asked


def post(service: Service, path: str, **body: Any) -> Any:
    return httpx.post(
        f"{service.url.removesuffix('/v1')}/{path}", json={"model": DEFAULT_MODEL, **body}, timeout=60
    ).json()


@pytest.mark.parametrize("text", ["Hello, world!", "日本語 😀", "", "<|im_end|>"])
def test_ids_are_text_again(service: Service, text: str):
    for parse_special in (True, False):
        ids = post(service, "tokenize", content=text, parse_special=parse_special)
        assert ids["count"] == len(ids["tokens"]) and ids["max_model_len"] == 8192
        assert post(service, "detokenize", tokens=ids["tokens"])["content"] == text


def test_a_control_token_is_one_where_that_is_asked_for(service: Service):
    assert post(service, "tokenize", content="<|im_end|>")["count"] == 1
    assert post(service, "tokenize", content="<|im_end|>", parse_special=False)["count"] > 1


def test_a_rendered_conversation_has_the_tokens_of_its_answers_prompt(service: Service):
    messages = asked("What is the capital of France?")
    chat = service.client.chat.completions.create(model=DEFAULT_MODEL, messages=messages, max_tokens=1)
    prompt = post(service, "apply-template", messages=messages)["prompt"]
    assert prompt.endswith("France?<|im_end|>\n<|im_start|>assistant\n") and chat.usage
    counted = [post(service, "tokenize", prompt=prompt), post(service, "tokenize", messages=messages)]
    assert [each["count"] for each in counted] == [chat.usage.prompt_tokens] * 2
    assert counted[0]["tokens"] == counted[1]["tokens"]


def test_tools_and_an_answer_that_is_continued_are_in_the_prompt(service: Service):
    messages = [*asked("Hi"), {"role": "assistant", "content": "Good mor"}]
    prompt = post(service, "apply-template", model="with-tools", messages=messages, tools=[WEATHER])["prompt"]
    assert '"weather"' in prompt and prompt.endswith("<|im_start|>assistant\nGood mor")


def test_the_special_tokens_and_the_template_are_told(service: Service):
    address = f"{service.url.removesuffix('/v1')}/tokenizer_info"
    info = httpx.get(address, params={"model": DEFAULT_MODEL}).json()
    assert info["eos_token"] == "<|im_end|>" and "<|im_start|>" in info["chat_template"]
    assert post(service, "tokenize", content=info["eos_token"])["count"] == 1


def test_what_can_not_be_read_is_refused(service: Service):
    assert "choose one of" in post(service, "tokenize", model="other", content="x")["error"]["message"]
    assert post(service, "detokenize", tokens=[-1])["error"]["param"] == "tokens.0"
    assert post(service, "detokenize", tokens=[2_000_000_000])["content"] == ""
    assert "Field required" in post(service, "tokenize")["error"]["message"]
