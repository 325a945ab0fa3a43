"""Responses: OpenAI's client with the embedded model, and shapes that are checked by the client's own types."""

import json
from dataclasses import replace
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter
from starlette.testclient import TestClient

from llm_chatbot.api.service import create_app
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.errors import UserError
from tests.api.running_service import WEATHER, Service
from tests.fake_model import FakeModel, said

TOOL = {"type": "function", "strict": True, **WEATHER["function"]}
EVENTS: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
HELLO = {"model": "fake", "input": "Hello"}


def ask(body: dict[str, Any], model: FakeModel | None = None) -> Any:
    with TestClient(create_app({"fake": model or FakeModel(said("Hi"))}), raise_server_exceptions=False) as web:
        return web.post("/v1/responses", json={**HELLO, **body})


def events(response: Any) -> list[Any]:
    """The events of a stream, each of which is one of the client's types."""
    found = []
    for block in filter(None, response.text.split("\n\n")):
        name, data = block.removeprefix("event: ").split("\ndata: ")
        found.append(json.loads(data))
        assert found[-1]["type"] == name and EVENTS.validate_python(found[-1]).type == name
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


def test_openais_client_gets_the_same_text_whole_streamed_and_from_chat_completions(service: Service):
    client = service.client
    options: dict[str, Any] = {"model": DEFAULT_MODEL, "temperature": 0}
    messages: Any = [
        {"role": "system", "content": "Answer in one sentence."},
        {"role": "user", "content": "What is the capital of France?"},
    ]
    # First: of a text that was answered before, drafts bring several tokens at a time.
    with client.responses.stream(input=messages, max_output_tokens=24, **options) as stream:
        events = list(stream)
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    final = events[-1].response if events[-1].type == "response.completed" else None
    chat = client.chat.completions.create(messages=messages, max_tokens=24, **options)
    assert (final is None) == (chat.choices[0].finish_reason != "stop")
    whole = client.responses.create(
        input=messages[1]["content"], instructions=messages[0]["content"], max_output_tokens=24, store=True, **options
    )
    assert whole.output_text == chat.choices[0].message.content and whole.usage and chat.usage
    assert whole.usage.input_tokens == chat.usage.prompt_tokens
    assert Response.model_validate(whole.model_dump()).model_extra == {"store": False}
    assert "".join(deltas) == whole.output_text and len(deltas) > 3
    assert final is None or final.output_text == whole.output_text


def test_an_answer_that_is_cut_off_is_incomplete(service: Service):
    options: dict[str, Any] = {"model": DEFAULT_MODEL, "input": "Tell a long story.", "max_output_tokens": 5}
    whole = service.client.responses.create(**options)
    assert whole.status == "incomplete" and whole.output[0].status == "incomplete" and whole.incomplete_details
    assert whole.incomplete_details.reason == "max_output_tokens"
    *_, last = service.client.responses.create(stream=True, **options)
    assert last.type == "response.incomplete" and last.response.usage and last.response.usage.output_tokens == 5


def test_a_tool_is_called_and_its_result_is_read(service: Service):
    create = service.client.responses.create
    items: Any = [{"role": "user", "content": "How is the weather in Rome?"}]
    options: dict[str, Any] = {"model": "with-tools", "tools": [TOOL], "max_output_tokens": 60, "temperature": 0}
    whole = create(input=items, tool_choice="required", **options)
    (call,) = whole.output
    assert call.type == "function_call" and call.name == "weather" and whole.status == "completed"
    assert json.loads(call.arguments)["city"] in ("Paris", "Rome")

    with service.client.responses.stream(input=items, tool_choice="required", **options) as stream:
        (streamed,) = stream.get_final_response().output
    assert streamed.type == "function_call" and streamed.arguments == call.arguments

    items += [*whole.output, {"type": "function_call_output", "call_id": call.call_id, "output": "31 degrees"}]
    read = create(input=items, **options)
    assert whole.usage and read.usage and read.usage.input_tokens > whole.usage.input_tokens + 20


def test_structured_output_is_parsed(service: Service):
    class Dog(BaseModel):
        legs: int
        barks: bool

    parsed = service.client.responses.parse(
        model=DEFAULT_MODEL, input="Invent a dog.", text_format=Dog, max_output_tokens=60
    ).output_parsed
    assert isinstance(parsed, Dog)


def test_reasoning_is_an_item_of_its_own_and_may_come_back(service: Service):
    options: dict[str, Any] = {"model": "with-tools", "temperature": 0, "max_output_tokens": 24}
    options["extra_body"] = {"chat_template_kwargs": {"enable_thinking": True}, "thinking_budget": 6}
    items: Any = [{"role": "user", "content": "What is two and two?"}]
    whole = service.client.responses.create(input=items, **options)
    reasoning, message = whole.output
    assert reasoning.type == "reasoning" and reasoning.content and reasoning.content[0].text
    assert message.type == "message" and whole.output_text and "</think>" not in reasoning.content[0].text
    assert whole.usage and 6 <= whole.usage.output_tokens_details.reasoning_tokens < whole.usage.output_tokens

    streamed = list(service.client.responses.create(input=items, stream=True, **options))
    thought = "".join(event.delta for event in streamed if event.type == "response.reasoning_text.delta")
    assert thought.strip() == reasoning.content[0].text.strip()
    items += [*whole.output, {"role": "user", "content": "And three and three?"}]
    read = service.client.responses.create(input=items, **options)
    assert read.usage and read.usage.input_tokens > whole.usage.input_tokens + 10


def test_a_stream_is_made_of_the_clients_types_and_ends_in_the_whole_response():
    model = FakeModel(said("<think>Hm", "<think>Hm.</think>", "<think>Hm.</think>Hi", "<think>Hm.</think>Hi there"))
    whole = ask({"metadata": {"a": "b"}}, model).json()
    Response.model_validate(whole)
    found = events(ask({"stream": True}, model))
    kinds = [event["type"].removeprefix("response.") for event in found]
    assert kinds == [
        *("created", "in_progress"),
        *("output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.delta"),
        *("reasoning_text.done", "content_part.done", "output_item.done"),
        *("output_item.added", "content_part.added", "output_text.delta", "output_text.delta"),
        *("output_text.done", "content_part.done", "output_item.done", "completed"),
    ]

    def said_in(response: dict[str, Any]) -> list[tuple[str, str]]:
        return [(item["type"], item["content"][0]["text"]) for item in response["output"]]

    assert said_in(found[-1]["response"]) == said_in(whole) == [("reasoning", "Hm."), ("message", "Hi there")]
    assert whole["store"] is False and whole["metadata"] == {"a": "b"}


def test_the_arguments_of_a_call_stream_as_they_grow():
    call = '<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>'
    text = f"Look: {call}{call}"
    model = FakeModel(said(*(text[:size] for size in range(1, len(text) + 1))))
    found = events(ask({"tools": [TOOL], "stream": True}, model))
    arguments = [event for event in found if event["type"].startswith("response.function_call_arguments")]
    for index in (1, 2):
        *deltas, done = [event for event in arguments if event["output_index"] == index]
        assert (
            len(deltas) > 5 and "".join(event["delta"] for event in deltas) == done["arguments"] == '{"city": "Rome"}'
        )
    assert [item["type"] for item in found[-1]["response"]["output"]] == ["message", "function_call", "function_call"]
    assert {item["status"] for item in found[-1]["response"]["output"]} == {"completed"}
    whole = ask({"tools": [TOOL]}, FakeModel(said(text))).json()
    assert [item.get("arguments") for item in whole["output"]] == [None, '{"city": "Rome"}', '{"city": "Rome"}']


def test_a_call_that_is_cut_off_is_an_incomplete_item_of_a_stream():
    text = '<tool_call>{"name": "weather", "arguments": {"city": "Ro'
    *states, last = said(text[:50], text)
    model = FakeModel([*states, replace(last, finish_reason="length")])
    *_, ended = events(ask({"tools": [TOOL], "stream": True}, model))
    (item,) = ended["response"]["output"]
    assert (item["status"], item["arguments"], ended["type"]) == ("incomplete", '{"city": "Ro', "response.incomplete")


def test_what_agents_send_as_it_comes_is_read():
    """As codex writes it: items with ids, tools in a namespace, a search that the server would do."""
    model = FakeModel(said("Hi"))
    items = [
        {"type": "message", "id": "m1", "role": "developer", "content": [{"type": "input_text", "text": "One."}]},
        {"type": "message", "id": "m2", "role": "developer", "content": [{"type": "input_text", "text": "Two."}]},
        {"type": "message", "id": "m3", "role": "user", "content": [{"type": "input_text", "text": "Hi."}]},
        {
            "type": "reasoning",
            "id": "r",
            "summary": [{"type": "summary_text", "text": "Hm."}],
            "encrypted_content": "x",
        },
        {"type": "function_call", "id": "f", "call_id": "c", "name": "run", "arguments": "{}", "status": "completed"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "Done."}]},
    ]
    others = {
        "client_metadata": {"a": "b"},
        "include": ["reasoning.encrypted_content"],
        "reasoning": {"summary": "auto"},
    }
    others |= {"tools": [{"type": "web_search", "external_web_access": False}], "store": False}
    assert ask({"input": items, **others}, model).status_code == 200
    system, user, assistant, result = model.questions[0].messages
    assert assistant["tool_calls"][0]["function"] == {"name": "run", "arguments": {}} and result["content"] == "Done."
    assert system == {"role": "system", "content": "One.\nTwo."} and user["content"] == "Hi."
    assert "Hm." in assistant["content"] and model.questions[0].template_options == {}


def test_probabilities_come_with_the_text(service: Service):
    options: dict[str, Any] = {"model": DEFAULT_MODEL, "input": "Name a colour.", "max_output_tokens": 6}
    options["temperature"] = 0  # a token that is chosen from beyond the best ones is listed besides them
    whole = service.client.responses.create(top_logprobs=2, include=["message.output_text.logprobs"], **options)
    (message,) = whole.output
    assert message.type == "message" and message.content[0].type == "output_text" and message.content[0].logprobs
    assert all(len(entry.top_logprobs) == 2 for entry in message.content[0].logprobs)
    assert "".join(entry.token for entry in message.content[0].logprobs).startswith(whole.output_text)


@pytest.mark.parametrize(
    ("body", "message", "param"),
    [
        ({"previous_response_id": "resp_1"}, "send the whole conversation as 'input'", None),
        ({"conversation": "c"}, "send the whole conversation as 'input'", None),
        ({"background": True}, "use 'stream'", "background"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "items are messages, function calls", "input.0"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "images are not", "input.0.content.0"),
        ({"tools": [{"type": "file_search"}]}, "'file_search'", "tools.0"),
        ({"n": 2}, "leave it out", "n"),
        ({"temperature": 3}, "less than or equal to 2", "temperature"),
        ({"input": []}, "at least 1", "input"),
    ],
)
def test_what_can_not_be_done_is_refused_by_its_name(body: dict[str, Any], message: str, param: str | None):
    response = ask(body)
    error = response.json()["error"]
    assert response.status_code == 400 and message in error["message"] and error["param"] == param


def test_a_failure_in_a_stream_is_the_response_that_failed():
    *_, last = events(ask({"stream": True}, FakeModel([*said("Hi")[:1], RuntimeError("/secret")])))
    assert last["type"] == "response.failed" and last["response"]["error"]["code"] == "server_error"
    assert "secret" not in json.dumps(last)
    too_long = ask({"stream": True}, FakeModel([UserError("verbatim", text="Too long; shorten it.")]))
    assert too_long.status_code == 400


def test_the_oldest_turns_are_left_out_where_that_is_asked_for():
    model = FakeModel(said("Hi"))
    for truncation in ("disabled", "auto"):
        ask({"truncation": truncation, "max_output_tokens": 7}, model)
    assert [question.room for question in model.questions] == [1, None]


def test_an_unknown_model_is_named(service: Service):
    with pytest.raises(openai.NotFoundError, match="There is no model 'other'"):
        service.client.responses.create(model="other", input="Hi")
