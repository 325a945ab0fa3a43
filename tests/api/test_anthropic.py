"""Messages: Anthropic's client with the embedded model, and shapes that are checked by the client's own types."""

import json
from typing import Any

import anthropic
import pytest
from anthropic.types import ErrorResponse, Message, RawMessageStreamEvent
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from llm_chatbot.answering.served import ServedFacts
from llm_chatbot.api import respond
from llm_chatbot.api.service import create_app
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from tests.api.running_service import WEATHER, Service
from tests.fake_model import FakeModel, said

EVENTS: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)
HELLO = {"model": "fake", "max_tokens": 20, "messages": [{"role": "user", "content": "Hello"}]}
TOOL = {"name": "weather", "input_schema": WEATHER["function"]["parameters"]}
THOUGHT = said("<think>Hm", "<think>Hm.</think>", "<think>Hm.</think>Hi", "<think>Hm.</think>Hi there")
READS_THINKING = ServedFacts("fake", 100, variables=frozenset({"enable_thinking", "reasoning_effort"}))


def ask(body: dict[str, Any], model: FakeModel | None = None, path: str = "", **options: Any) -> Any:
    app = create_app({"fake": model or FakeModel(said("Hi"))}, **options)
    with TestClient(app, raise_server_exceptions=False) as web:
        return web.post(f"/v1/messages{path}", json={**HELLO, **body})


def events(response: Any) -> list[Any]:
    """The events of a stream, each of which is one of the client's types but for pings and errors."""
    found = []
    for block in filter(None, response.text.split("\n\n")):
        name, data = block.removeprefix("event: ").split("\ndata: ")
        found.append(json.loads(data))
        assert found[-1]["type"] == name
        assert name in ("ping", "error") or EVENTS.validate_python(found[-1]).type == name
    return found


@pytest.fixture
def client(service: Service) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=service.url.removesuffix("/v1"), api_key="none", max_retries=0)


def test_anthropics_client_gets_the_same_text_whole_streamed_and_from_chat_completions(
    service: Service, client: anthropic.Anthropic
):
    system, question = "Answer in one sentence.", "What is the capital of France?"
    chat = service.client.chat.completions.create(
        model=DEFAULT_MODEL,
        messages=[{"role": "system", "content": system}, {"role": "user", "content": question}],
        max_tokens=24,
        temperature=0,
    )
    options: dict[str, Any] = {"model": DEFAULT_MODEL, "max_tokens": 24, "extra_body": {"temperature": 0}}
    options |= {"system": system, "messages": [{"role": "user", "content": question}]}
    with client.messages.stream(**options) as stream:
        deltas = list(stream.text_stream)
        final = stream.get_final_message()
    whole = client.messages.create(**options)
    (block,) = whole.content
    assert block.type == "text" and block.text == chat.choices[0].message.content and chat.usage
    assert whole.stop_reason == {"stop": "end_turn", "length": "max_tokens"}[chat.choices[0].finish_reason]
    assert whole.usage.input_tokens + (whole.usage.cache_read_input_tokens or 0) == chat.usage.prompt_tokens
    counted = client.messages.count_tokens(model=DEFAULT_MODEL, system=system, messages=options["messages"])
    assert counted.input_tokens == chat.usage.prompt_tokens
    assert "".join(deltas) == block.text and len(deltas) > 3
    assert final.usage.output_tokens == whole.usage.output_tokens and final.stop_reason == whole.stop_reason


def test_a_stop_sequence_is_named_and_an_answer_is_continued(client: anthropic.Anthropic):
    options: dict[str, Any] = {"model": DEFAULT_MODEL, "max_tokens": 24, "extra_body": {"temperature": 0}}
    messages: Any = [
        {"role": "user", "content": "Count to ten."},
        {"role": "assistant", "content": "One, two, three,"},
    ]
    continued = client.messages.create(messages=messages, **options).content[0]
    assert continued.type == "text" and continued.text.lstrip().lower().startswith("four")
    stopped = client.messages.create(messages=messages, stop_sequences=["nothing", ","], **options)
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", ",")


def test_a_tool_is_called_and_its_result_is_read(client: anthropic.Anthropic):
    options: dict[str, Any] = {"model": "with-tools", "tools": [TOOL], "max_tokens": 60}
    options["extra_body"] = {"temperature": 0}
    messages: list[Any] = [{"role": "user", "content": "How is the weather in Rome?"}]
    whole = client.messages.create(messages=messages, tool_choice={"type": "any"}, **options)
    (call,) = whole.content
    assert call.type == "tool_use" and call.name == "weather" and whole.stop_reason == "tool_use"
    assert call.input["city"] in ("Paris", "Rome")

    named: Any = {"type": "tool", "name": "weather"}
    with client.messages.stream(messages=messages, tool_choice=named, **options) as stream:
        (streamed,) = stream.get_final_message().content
    assert streamed.type == "tool_use" and streamed.input == call.input

    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "31 degrees"}]}
    messages += [{"role": "assistant", "content": whole.content}, {"role": "user", "content": [result]}]
    read = client.messages.create(messages=messages, **options)
    assert read.usage.input_tokens + (read.usage.cache_read_input_tokens or 0) > 60


def test_thinking_is_a_block_with_a_budget_where_it_is_asked_for(client: anthropic.Anthropic):
    options: dict[str, Any] = {"model": "with-tools", "max_tokens": 24, "extra_body": {"temperature": 0}}
    options["messages"] = [{"role": "user", "content": "What is two and two?"}]
    thinking: Any = {"type": "enabled", "budget_tokens": 6}
    whole = client.messages.create(thinking=thinking, **options)
    thought, text = whole.content
    assert thought.type == "thinking" and thought.thinking and text.type == "text" and text.text
    assert whole.usage.output_tokens_details
    assert 6 <= whole.usage.output_tokens_details.thinking_tokens < whole.usage.output_tokens
    with client.messages.stream(thinking=thinking, **options) as stream:
        assert [block.type for block in stream.get_final_message().content] == ["thinking", "text"]
    (plain,) = client.messages.create(**options).content
    assert plain.type == "text"
    options["messages"] += [{"role": "assistant", "content": whole.content}, {"role": "user", "content": "And three?"}]
    assert client.messages.create(thinking=thinking, **options).content


def test_a_stream_is_made_of_the_clients_types():
    wanted = {"thinking": {"type": "adaptive"}}
    whole = ask(wanted, FakeModel(THOUGHT)).json()
    Message.model_validate(whole)
    assert [block.get("thinking") or block["text"] for block in whole["content"]] == ["Hm.", "Hi there"]
    found = events(ask({**wanted, "stream": True}, FakeModel(THOUGHT)))
    block = ["content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"]
    signed = [*block[:3], "content_block_delta", block[3]]
    assert [event["type"] for event in found] == ["message_start", *signed, *block, "message_delta", "message_stop"]
    assert found[-2]["usage"] == whole["usage"] and found[-2]["delta"]["stop_reason"] == "end_turn"


def test_the_input_of_a_call_streams_as_it_grows():
    call = '<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>'
    text = f"Look: {call}{call}"
    model = FakeModel(said(*(text[:size] for size in range(1, len(text) + 1))))
    found = events(ask({"tools": [TOOL], "stream": True}, model))
    for index in (1, 2):
        begun, *deltas, ended = [event for event in found if event.get("index") == index]
        assert begun["content_block"]["input"] == {} and ended["type"] == "content_block_stop" and len(deltas) > 5
        assert "".join(event["delta"]["partial_json"] for event in deltas) == '{"city": "Rome"}'
    assert found[-2]["delta"]["stop_reason"] == "tool_use"
    whole = ask({"tools": [TOOL]}, FakeModel(said(text))).json()
    Message.model_validate(whole)
    assert [block.get("input") for block in whole["content"]] == [None, {"city": "Rome"}, {"city": "Rome"}]


def test_what_is_said_after_a_call_is_a_block_after_it():
    call = '<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>'
    model = FakeModel(said(call[:50], f"{call} Done.", f"{call} Done. {call}"))
    found = events(ask({"tools": [TOOL], "stream": True}, model))
    inputs = {0: "", 1: "", 2: ""}
    for event in found:
        if event["type"] == "content_block_delta":
            inputs[event["index"]] += event["delta"].get("partial_json", event["delta"].get("text"))
    assert inputs == {0: '{"city": "Rome"}', 1: " Done.", 2: '{"city": "Rome"}'}


@pytest.mark.parametrize("thinking", [{}, {"type": "disabled"}, {"type": "adaptive", "display": "omitted"}])
def test_thinking_that_nobody_asked_to_see_is_not_shown(thinking: dict[str, str]):
    body = {"thinking": thinking} if thinking else {}
    assert [block["type"] for block in ask(body, FakeModel(THOUGHT)).json()["content"]] == ["text"]
    found = events(ask({**body, "stream": True}, FakeModel(THOUGHT)))
    assert not any("thinking" in json.dumps(event.get("delta", {})) for event in found)


def test_thinking_and_effort_reach_the_templates_that_read_them():
    model = FakeModel(said("Hi"), about=READS_THINKING)
    ask({"thinking": {"type": "enabled", "budget_tokens": 9}, "output_config": {"effort": "max"}}, model)
    ask({}, model)
    wanted, unwanted = model.questions
    assert wanted.template_options == {"enable_thinking": True, "reasoning_effort": "high"}
    assert wanted.generation.thinking_budget == 9 and unwanted.template_options == {"enable_thinking": False}
    other = FakeModel(said("Hi"))
    ask({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, other)
    assert other.questions[0].template_options == {}


def test_what_agents_send_as_it_comes_is_read():
    """As Claude Code writes it: marks for a cache, a message of the system at the end, results before the next text."""
    cached = {"cache_control": {"type": "ephemeral"}}
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "One."}, {"type": "text", "text": "Two.", **cached}]},
        {"role": "user", "content": "Three."},
        {
            "role": "assistant",
            "content": [{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "Four."}],
        },
        {"role": "user", "content": "Five."},
        {"role": "system", "content": [{"type": "text", "text": "Six.", **cached}]},
    ]
    others = {"metadata": {"user_id": "u"}, "context_management": {"edits": []}, "service_tier": "auto"}
    model = FakeModel(said("Hi"))
    system = [{"type": "text", "text": "Be", **cached}, {"type": "text", "text": "brief."}]
    assert ask({"messages": turns, "system": system, **others}, model).status_code == 200
    assert [(message["role"], message["content"]) for message in model.questions[0].messages] == [
        ("system", "Be\nbrief."),
        ("user", "One.\nTwo.\nThree."),
        ("assistant", "Four."),
        ("user", "Five."),
        ("system", "Six."),
    ]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, "images are not supported"),
        ({"messages": [{"role": "user", "content": [{"type": "document"}]}]}, "documents are not supported"),
        ({"messages": [{"role": "user", "content": [{"type": "search_result"}]}]}, "the type 'search_result' are not"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "are Anthropic's own"),
        ({"max_tokens": None}, "Field required"),
        ({"mcp_servers": [{}]}, "'mcp_servers' is not supported here"),
        ({"temperature": 3}, "less than or equal to 2"),
    ],
)
def test_what_can_not_be_done_is_refused_in_anthropics_form(body: dict[str, Any], message: str):
    response = ask(body)
    error = ErrorResponse.model_validate(response.json()).error
    assert message in error.message
    assert (response.status_code, error.type) in ((400, "invalid_request_error"), (404, "not_found_error"))


def test_keys_come_in_anthropics_header(client: anthropic.Anthropic):
    model = FakeModel(said("Hi"))
    with TestClient(create_app({"fake": model}, keys=["secret"])) as web:
        refused = web.post("/v1/messages", json=HELLO)
        assert refused.status_code == 401
        assert ErrorResponse.model_validate(refused.json()).error.type == "authentication_error"
        for headers in ({"x-api-key": "secret"}, {"Authorization": "Bearer secret"}):
            assert web.post("/v1/messages", json=HELLO, headers=headers).status_code == 200
        assert web.post("/v1/messages", json=HELLO, headers={"x-api-key": "other"}).status_code == 401


def test_a_failure_in_a_stream_is_an_error_event_and_a_wait_is_a_ping(monkeypatch: pytest.MonkeyPatch):
    *_, last = events(ask({"stream": True}, FakeModel([*said("Hi")[:1], RuntimeError("/secret")])))
    assert ErrorResponse.model_validate(last).error.type == "api_error" and "secret" not in json.dumps(last)
    monkeypatch.setattr(respond, "PAUSE_SECONDS", 0.05)
    found = events(ask({"stream": True}, FakeModel(said("Hi"), pause=0.2)))
    assert sum(event["type"] == "ping" for event in found) >= 2 and found[-1]["type"] == "message_stop"


def test_the_client_raises_what_ended_a_stream(service: Service, client: anthropic.Anthropic):
    with pytest.raises(anthropic.BadRequestError, match="tokens"):
        client.messages.create(
            model=DEFAULT_MODEL, max_tokens=9, messages=[{"role": "user", "content": "word " * 9000}], stream=True
        )
    with pytest.raises(anthropic.NotFoundError, match="no model 'other'"):
        client.messages.create(model="other", max_tokens=9, messages=[{"role": "user", "content": "Hi"}])


def test_models_are_listed_for_the_client(client: anthropic.Anthropic):
    names = [model.id for model in client.models.list()]
    assert DEFAULT_MODEL in names and client.models.retrieve(DEFAULT_MODEL).type == "model"
