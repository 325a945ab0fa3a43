"""What each protocol answers, checked by the types of its own client.

The clients build most of their objects without looking at them; here each field has to be one that its type allows.
Events of Responses and Messages are checked so in their own tests.
"""

import json
from collections.abc import Iterator
from typing import Any

import ollama
import openai.types
import pytest
from anthropic.types import MessageTokensCount, ModelInfo
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel
from starlette.testclient import TestClient

from llm_chatbot.api.service import create_app
from llm_chatbot.engine.decode.logprobs import TokenChoice, TopToken
from llm_chatbot.engine.session import Answer
from tests.fake_model import FakeModel

CALL = '<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>'
TEXT = f"<think>Hm.</think>Look: {CALL}"
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
ASKED = [{"role": "user", "content": "Hello"}]
TOKENS = [TokenChoice(7, "Hi", -0.5, b"Hi", (TopToken(7, "Hi", -0.5, b"Hi"), TopToken(8, "A", -1.5, b"A")))]


@pytest.fixture
def web() -> Iterator[TestClient]:
    """A model that thinks, says something and calls a tool, with the probabilities of a token."""
    states = [Answer(TEXT[:size], 10, 4, completion_tokens=size, tokens=TOKENS) for size in range(1, len(TEXT) + 1)]
    ended = Answer(TEXT, 10, 4, completion_tokens=len(TEXT), finish_reason="stop", tokens=TOKENS)
    with TestClient(create_app({"fake": FakeModel([*states, ended])})) as web:
        yield web


def post(web: TestClient, path: str, **body: Any) -> str:
    response = web.post(path, json={"model": "fake", **body})
    assert response.status_code == 200, response.text
    return response.text


def said_by(type: type[BaseModel], text: str) -> set[str]:
    """The fields of a body, which has to be of the client's type, that the type doesn't know."""
    return set(type.model_validate_json(text).model_extra or {})


def events(text: str) -> list[str]:
    found = [event.removeprefix("data: ") for event in text.split("\n\n") if event.startswith("data: ")]
    assert found.pop() == "[DONE]"
    return found


def test_chat_completions(web: TestClient):
    body = {"messages": ASKED, "tools": TOOLS, "logprobs": True, "top_logprobs": 2}
    whole = post(web, "/v1/chat/completions", **body)
    assert said_by(ChatCompletion, whole) == set()
    message = ChatCompletion.model_validate_json(whole).choices[0].message
    assert message.tool_calls and message.content == "Look:" and message.model_extra == {"reasoning_content": "Hm."}
    streamed = events(post(web, "/v1/chat/completions", **body, stream=True, stream_options={"include_usage": True}))
    assert set().union(*(said_by(ChatCompletionChunk, event) for event in streamed)) == set()
    assert ChatCompletionChunk.model_validate_json(streamed[-1]).usage


def test_completions(web: TestClient):
    body = {"prompt": "Hello", "logprobs": 2}
    assert said_by(openai.types.Completion, post(web, "/v1/completions", **body)) == set()
    # A choice of the client's type has a reason to finish in each event, and OpenAI's own server sends null there.
    for event in map(json.loads, events(post(web, "/v1/completions", **body, stream=True))):
        event["choices"][0]["finish_reason"] = event["choices"][0]["finish_reason"] or "stop"
        assert said_by(openai.types.Completion, json.dumps(event)) == set()


def test_models(web: TestClient):
    """One card is for OpenAI's clients and Anthropic's, each with its own fields; two are vLLM's and OpenRouter's."""
    (model,) = web.get("/v1/models").json()["data"]
    others = said_by(openai.types.Model, json.dumps(model)) & said_by(ModelInfo, json.dumps(model))
    assert others == {"max_model_len", "input_modalities"}


def test_counts_of_messages(web: TestClient):
    assert said_by(MessageTokensCount, post(web, "/v1/messages/count_tokens", messages=ASKED)) == set()


@pytest.mark.parametrize(
    ("path", "type", "body"),
    [
        ("/api/chat", ollama.ChatResponse, {"messages": ASKED, "tools": TOOLS, "logprobs": True, "top_logprobs": 2}),
        ("/api/chat", ollama.ChatResponse, {"messages": []}),
        ("/api/generate", ollama.GenerateResponse, {"prompt": "Hello", "logprobs": True}),
        ("/api/show", ollama.ShowResponse, {}),
    ],
)
def test_ollama(web: TestClient, path: str, type: type[BaseModel], body: dict[str, Any]):
    assert said_by(type, post(web, path, **body, stream=False)) == set()
    for line in filter(None, post(web, path, **body).splitlines()):
        assert said_by(type, line) == set()


def test_lists_of_ollama(web: TestClient):
    assert said_by(ollama.ListResponse, web.get("/api/tags").text) == set()
    assert said_by(ollama.ProcessResponse, web.get("/api/ps").text) == set()
