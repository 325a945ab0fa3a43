"""Whole answers against their schemas: by routes with a fake model that writes what no mask keeps it from."""

import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any

import pytest
from starlette.testclient import TestClient

from llm_chatbot.answering.question import Question
from llm_chatbot.answering.served import ServedFacts
from llm_chatbot.api.service import create_app
from llm_chatbot.engine.session import Answer
from tests.fake_model import FakeModel, said

HELLO = {"model": "fake", "messages": [{"role": "user", "content": "Hello"}]}


def tool(parameters: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "add", "parameters": parameters}}


TOOLS = [tool({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})]
ABOUT = ServedFacts("fake", 100, None, "{% if tools %}<tool_call>{% endif %}", frozenset({"tools"}))
UNIQUE = {"type": "array", "uniqueItems": True}


class Attempts(FakeModel):
    """Says another text each time that it is asked."""

    def __init__(self, *attempts: Sequence[Answer | Exception]) -> None:
        super().__init__(attempts[0], about=ABOUT)
        self.attempts = iter(attempts)

    async def generate(self, question: Question) -> AsyncGenerator[Answer, None]:
        self.answers = next(self.attempts)
        async for answer in super().generate(question):
            yield answer


def asked_for(schema: Any) -> dict[str, Any]:
    return {**HELLO, "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}}


def post(model: FakeModel, body: dict[str, Any]) -> Any:
    with TestClient(create_app({"fake": model}), raise_server_exceptions=False) as web:
        return web.post("/v1/chat/completions", json=body)


def events(response: Any) -> Iterator[Any]:
    for line in filter(None, response.text.split("\n\n")):
        text = line.removeprefix("data: ")
        yield text if text == "[DONE]" else json.loads(text)


@pytest.mark.parametrize(
    ("schema", "text", "reason"),
    [
        ({"type": "integer"}, '"x"', "integer"),
        ({"const": 1234567890123456789}, "1234567890123456768", "expected"),
        ({"properties": {"name": {"type": "integer"}}}, '{"n\\u0061me": "x"}', "at /name"),
        ({"type": "integer"}, "1 and more", "not JSON"),
    ],
)
def test_a_whole_answer_that_breaks_its_schema_is_an_error(schema: Any, text: str, reason: str):
    model = Attempts(said(text))
    response = post(model, asked_for(schema))
    assert response.status_code == 500 and len(model.questions) == 1
    error = response.json()["error"]
    assert error["code"] == "schema_not_matched" and reason in error["message"]
    *_, last = events(post(Attempts(said(text)), {**asked_for(schema), "stream": True}))
    assert last["error"]["code"] == "schema_not_matched"


@pytest.mark.parametrize("stream", [False, True])
def test_where_only_the_check_keeps_the_schema_the_answer_is_asked_for_again_before_it_is_sent(stream: bool):
    model = Attempts(said("[1", "[1, 1]"), said("[1", "[1, 2]"))
    response = post(model, {**asked_for(UNIQUE), "stream": stream, "temperature": 0, "seed": 3})
    if stream:
        *chunks, done = events(response)
        assert done == "[DONE]"
        text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    else:
        text = response.json()["choices"][0]["message"]["content"]
    assert text == "[1, 2]"
    first, second = model.questions
    assert first.id != second.id and first.generation.seed != second.generation.seed
    assert first.generation.temperature == 0 < second.generation.temperature


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_wrong_twice_is_an_error_that_says_so(stream: bool):
    response = post(Attempts(said("[1, 1]"), said("[2, 2]")), {**asked_for(UNIQUE), "stream": stream})
    *others, last = events(response) if stream else [response.json()]
    assert "non-unique" in last["error"]["message"] and "[1" not in json.dumps(others)


def test_an_answer_that_was_cut_off_is_not_checked():
    cut_off = [Answer("[1, 1", 1, 0, completion_tokens=3, finish_reason="length")]
    response = post(Attempts(cut_off), asked_for(UNIQUE))
    assert response.json()["choices"][0]["message"]["content"] == "[1, 1"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ('<tool_call>{"name": "add", "arguments": {"n": 1}}</tool_call>', 200),
        ('<tool_call>{"name": "add", "arguments": {"n": "1"}}</tool_call>', 500),
        ("No.", 500),
    ],
)
def test_a_forced_calls_arguments_are_checked(text: str, status: int):
    response = post(Attempts(said(text)), {**HELLO, "tools": TOOLS, "tool_choice": "required"})
    assert response.status_code == status


@pytest.mark.parametrize("text", ["[1]", '<tool_call>{"name": "add", "arguments": {"n": 1}}</tool_call>'])
def test_with_tools_beside_a_schema_a_call_or_the_json_is_an_answer(text: str):
    model = Attempts(said(text))
    response = post(model, {**asked_for({"type": "array"}), "tools": TOOLS})
    assert response.status_code == 200
    assert model.questions[0].grammar and "tool_call" in model.questions[0].grammar


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (asked_for({"type": "nonsense"}), "response_format"),
        (asked_for({"$ref": "#/nowhere"}), "response_format"),
        (asked_for({"$ref": "http://127.0.0.1:9/schema.json"}), "response_format"),
        (asked_for({"properties": [1]}), "response_format"),
        (asked_for({"minProperties": "x", "properties": {"a": {}}}), "response_format"),
        (asked_for({"pattern": "("}), "response_format"),
        ({**HELLO, "tool_choice": "required", "tools": [tool({"type": 5})]}, "tools"),
    ],
)  # fmt: skip
def test_a_schema_that_is_not_valid_is_refused_before_the_model_is_asked(body: dict[str, Any], param: str):
    model = Attempts(said("x"))
    response = post(model, body)
    assert response.status_code == 400 and response.json()["error"]["param"] == param and not model.questions


@pytest.mark.parametrize("schema", [True, {}])
def test_a_schema_may_allow_everything(schema: Any):
    assert post(Attempts(said("5")), asked_for(schema)).status_code == 200
