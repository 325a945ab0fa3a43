"""Numbers that no float holds, in what clients send and what models write, over each protocol."""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from llm_chatbot.answering.served import ServedFacts
from llm_chatbot.api.service import create_app
from tests.fake_model import FakeModel, said

LARGEST = 1.7976931348623157e308
ASKED = [{"role": "user", "content": "?"}]
SCHEMA = {"type": "object", "properties": {"x": {"type": "number", "maximum": "LARGE"}}}
FUNCTION = {"name": "f", "parameters": SCHEMA}
TOOL = {"type": "function", "function": FUNCTION}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": ASKED, "tools": [TOOL]},
    "/v1/responses": {"input": "?", "tools": [{"type": "function", **FUNCTION}]},
    "/v1/messages": {"messages": ASKED, "max_tokens": 9, "tools": [{"name": "f", "input_schema": SCHEMA}]},
    "/api/chat": {"messages": ASKED, "tools": [TOOL]},
}
CALLS: dict[str, tuple[str, str]] = {
    "hermes": ("<tool_call>", '<tool_call>{"name": "f", "arguments": {"x": 1e400}}</tool_call>'),
    "its arguments first": ("<tool_call>", '<tool_call>{"arguments": {"x": 1e400}, "name": "f"}</tool_call>'),
    "elements": (
        "<tool_call><function=",
        "<tool_call><function=f><parameter=x>1e400</parameter></function></tool_call>",
    ),
    "python": ("<|tool_call_start|>", "<|tool_call_start|>[f(x=1e400)]<|tool_call_end|>"),
    "gemma": ("<|tool_call>", "<|tool_call>call:f{x:1e400}<tool_call|>"),
}


def post(path: str, body: dict[str, Any], model: FakeModel, number: str = "1e400") -> Any:
    content = json.dumps({"model": "fake", **body}).replace('"LARGE"', number)
    with TestClient(create_app({"fake": model}), raise_server_exceptions=False) as web:
        return web.post(path, content=content, headers={"Content-Type": "application/json"})


def calling(template: str = "<tool_call>", text: str = "Hi") -> FakeModel:
    about = ServedFacts("fake", 100, None, "{{ tools }}" + template, frozenset({"tools"}))
    return FakeModel(said(text), about=about)


def values(text: str) -> list[Any]:
    """The JSON values in a response or a stream, which no reader refuses."""

    def refused(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    data = [line.removeprefix("data: ") for line in text.splitlines()]
    return [json.loads(line, parse_constant=refused) for line in data if line.startswith("{")]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(("template", "call"), CALLS.values(), ids=[*CALLS])
def test_a_call_with_a_number_that_no_float_holds_is_json(template: str, call: str, path: str, stream: bool):
    response = post(path, {**BODIES[path], "stream": stream}, calling(template, call))
    assert response.status_code == 200
    assert "1e400" in response.text or str(LARGEST) in response.text, "the call is there"
    assert [value for value in values(response.text) if value.get("error")] == []


@pytest.mark.parametrize("path", BODIES)
def test_a_schema_with_a_number_that_no_float_holds_has_the_largest(path: str):
    model = calling()
    assert post(path, BODIES[path], model).status_code == 200
    (tool,) = model.questions[0].template_options["tools"]
    assert tool["function"]["parameters"]["properties"]["x"]["maximum"] == LARGEST


CALLED: dict[str, Any] = {
    "/v1/chat/completions": {
        "messages": [
            *ASKED,
            {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": '{"x": NUMBER}'}}]},
            {"role": "tool", "tool_call_id": "1", "content": "2"},
        ]
    },
    "/v1/responses": {
        "input": [
            *ASKED,
            {"type": "function_call", "call_id": "1", "name": "f", "arguments": '{"x": NUMBER}'},
            {"type": "function_call_output", "call_id": "1", "output": "2"},
        ]
    },
    "/v1/messages": {
        "messages": [
            *ASKED,
            {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {"x": "LARGE"}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "2"}]},
        ]
    },
    "/api/chat": {
        "messages": [
            *ASKED,
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"x": "LARGE"}}}]},
            {"role": "tool", "content": "2"},
        ]
    },
}


@pytest.mark.parametrize("path", CALLED)
def test_a_call_that_is_sent_back_has_finite_numbers(path: str):
    model = calling()
    body = json.loads(json.dumps({**BODIES[path], **CALLED[path]}).replace("NUMBER", "1e400"))
    assert post(path, body, model).status_code == 200
    (call,) = model.questions[0].messages[1]["tool_calls"]
    assert call["function"]["arguments"] == {"x": LARGEST}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("path", BODIES)
def test_a_body_with_what_is_no_json_is_refused(path: str, number: str):
    response = post(path, BODIES[path], calling(), number)
    assert response.status_code == 400 and "JSON" in response.text
