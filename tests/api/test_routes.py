"""The app in this process, with a fake model: what is asked for, what comes back, what is refused."""

import asyncio
import gzip
import json
from collections.abc import Iterator
from itertools import product
from typing import Any
from urllib.parse import quote

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from llm_chatbot.answering.errors import GrammarError
from llm_chatbot.answering.served import ServedFacts
from llm_chatbot.api import respond
from llm_chatbot.api.errors import APIError
from llm_chatbot.api.middleware import MOST_MEMBERS
from llm_chatbot.api.requests import MAX_BODY_BYTES
from llm_chatbot.api.service import APIPaths, allowed_names, create_app
from llm_chatbot.engine.decode.generation import Generation
from llm_chatbot.engine.session import Answer
from llm_chatbot.errors import UserError
from tests import coroutines
from tests.fake_model import FakeModel, said

HELLO = {"model": "fake", "messages": [{"role": "user", "content": "Hello"}]}
AS_JSON = {"Content-Type": "application/json"}
HERMES_TEMPLATE = "{% for tool in tools %}{{ tool }}{% endfor %}<tool_call>"
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


def client(model: FakeModel, **options: Any) -> TestClient:
    return TestClient(create_app({"fake": model}, **options), raise_server_exceptions=False)


def events(response: Any) -> Iterator[Any]:
    for line in filter(None, response.text.split("\n\n")):
        text = line.removeprefix("data: ")
        yield text if text == "[DONE]" else json.loads(text)


def refusal(response: Any) -> tuple[int, str, str | None]:
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"].endswith(".")
    return response.status_code, error["message"], error["param"]


def test_an_answer_comes_whole_or_as_a_stream():
    with client(FakeModel(said("Hi", "Hi there"))) as web:
        whole = web.post("/v1/chat/completions", json=HELLO).json()
        assert whole["object"] == "chat.completion" and whole["model"] == "fake"
        assert whole["choices"][0]["message"] == {"role": "assistant", "content": "Hi there"}
        assert whole["choices"][0]["finish_reason"] == "stop"
        assert whole["usage"]["prompt_tokens_details"] == {"cached_tokens": 4}

        response = web.post(
            "/v1/chat/completions", json={**HELLO, "stream": True, "stream_options": {"include_usage": True}}
        )
        assert response.headers["content-type"].startswith("text/event-stream")
        *chunks, usage, done = events(response)
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
        assert deltas == [{"role": "assistant", "content": ""}, {"content": "Hi"}, {"content": " there"}, {}]
        assert usage["choices"] == [] and usage["usage"] == whole["usage"] and done == "[DONE]"


def test_the_end_of_a_stream_has_a_chunk_of_its_own_after_the_text():
    """Clients stop reading text at a finish_reason."""
    with client(FakeModel([said("Hi there")[-1]])) as web:
        *chunks, done = events(web.post("/v1/chat/completions", json={**HELLO, "stream": True, "max_tokens": 1}))
        parts = [(chunk["choices"][0]["delta"], chunk["choices"][0]["finish_reason"]) for chunk in chunks[1:]]
        assert parts == [({"content": "Hi there"}, None), ({}, "stop")] and done == "[DONE]"
        *chunks, _ = events(web.post("/v1/completions", json={"model": "fake", "prompt": "a", "stream": True}))
        parts = [(chunk["choices"][0]["text"], chunk["choices"][0]["finish_reason"]) for chunk in chunks]
        assert parts == [("Hi there", None), ("", "stop")]


@pytest.mark.parametrize("text", ["a\u2028b", "a\u2029b", "a\x85b", "\x1c\x0b"])
def test_a_text_with_other_ends_of_lines_is_one_line_of_the_stream(text: str):
    with client(FakeModel(said(text))) as web:
        response = web.post("/v1/chat/completions", json={**HELLO, "stream": True})
        lines = [line for line in response.text.splitlines() if line]
        assert all(line.startswith("data: ") for line in lines)
        deltas = [json.loads(line[6:])["choices"][0]["delta"] for line in lines[:-1]]
        assert "".join(delta.get("content", "") for delta in deltas) == text


@pytest.mark.parametrize(("text", "expected"), [("\ud83d\ude00 ok", "😀 ok"), ("a \ud83d", "a \ufffd")])
def test_halves_of_a_character_are_joined_or_replaced_whole_and_streamed(text: str, expected: str):
    with client(FakeModel(said(text))) as web:
        whole = web.post("/v1/chat/completions", json=HELLO)
        assert whole.json()["choices"][0]["message"]["content"] == expected
        *chunks, _ = events(web.post("/v1/chat/completions", json={**HELLO, "stream": True}))
        assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == expected
        assert refusal(web.get("/v1/models/" + quote(text.encode("utf-8", "surrogatepass"))))[0] == 404


@pytest.mark.parametrize(
    "schema", [{"const": "\ud83d"}, {"properties": {"\ud83d": {}}, "required": ["\ud83d"]}, {"pattern": "\ud83d"}]
)
@pytest.mark.parametrize("stream", [False, True])
def test_halves_of_a_character_in_a_schema_are_replaced(schema: dict[str, Any], stream: bool):
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": {**schema, "type": "object"}}}]
    model = FakeModel(said(json.dumps("\ufffd" if "properties" not in schema else {"\ufffd": 1})))
    with client(model) as web:
        body = json.dumps({**HELLO, "stream": stream, "response_format": wanted})
        assert web.post("/v1/chat/completions", content=body, headers=AS_JSON).status_code == 200
        assert r"\ufffd" in (model.questions[0].grammar or "")
        body = json.dumps({**HELLO, "stream": stream, "tools": tools})
        assert web.post("/v1/chat/completions", content=body, headers=AS_JSON).status_code == 200


def test_half_a_character_is_named_where_it_is_refused():
    with client(FakeModel(said("Hi"))) as web:
        for body, place in (
            ({**HELLO, "\ud83d": 1}, "\ufffd"),
            ({**HELLO, "messages": [{"role": "user", "content": "", "\ud83d": 1}]}, "messages.0.\ufffd"),
            ({**HELLO, "tools": [{"type": "function", "function": {"name": "\ud83d"}}]}, "tools.0.function.name"),
        ):
            refused = web.post("/v1/chat/completions", content=json.dumps(body), headers=AS_JSON)
            assert refusal(refused)[0] == 400 and refusal(refused)[2] == place
        key = {**HELLO, "prompt_cache_key": "\ud83d", "metadata": {"\ud83d": "\ud83d"}}
        assert web.post("/v1/chat/completions", content=json.dumps(key), headers=AS_JSON).status_code == 200


def test_a_request_that_waits_gets_headers_and_signs_of_life(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(respond, "PAUSE_SECONDS", 0.05)
    with client(FakeModel(said("Hi"), pause=0.2)) as web:
        text = web.post("/v1/chat/completions", json={**HELLO, "stream": True}).text
    assert text.count(": waiting") >= 2 and text.endswith("data: [DONE]\n\n")


def test_several_answers_have_their_indices_and_seeds():
    model = FakeModel(said("Hi"))
    with client(model) as web:
        body = web.post("/v1/chat/completions", json={**HELLO, "n": 3, "seed": 7}).json()
        assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
        assert sorted(question.generation.seed for question in model.questions) == [7, 8, 9]
        body = web.post("/v1/completions", json={"model": "fake", "prompt": ["a", "b"], "n": 2}).json()
        assert [question.prompt for question in model.questions[3:]] == ["a", "a", "b", "b"]
        assert len(body["choices"]) == 4 and body["usage"]["prompt_tokens"] == 20


def test_what_is_asked_for_reaches_the_engine():
    model = FakeModel(said("Hi"))
    options = {"temperature": 0.5, "top_p": 0.9, "top_k": 5, "min_p": 0.1, "repetition_penalty": 1.2}
    with client(model) as web:
        web.post(
            "/v1/chat/completions",
            json={**HELLO, **options, "stop": "x", "seed": -1, "logprobs": True, "top_logprobs": 3, "max_tokens": 5},
        )
    (question,) = model.questions
    assert question.room == 1 and question.messages == ({"role": "user", "content": "Hello"},)
    assert question.template_options == {}
    assert question.generation == Generation(**options, stop=("x",), seed=None, top_logprobs=3, max_new_tokens=5)


@pytest.mark.parametrize(("wanted", "limit"), [(None, 100), (32_000, 100), (7, 7), (-1, 100)])
def test_a_limit_above_the_servers_is_lowered(wanted: int | None, limit: int):
    model = FakeModel(said("Hi"))
    with client(model) as web:
        assert web.post("/v1/chat/completions", json={**HELLO, "max_tokens": wanted}).status_code == 200
        web.post("/v1/completions", json={"prompt": [1, 2], "max_tokens": wanted, "echo": True, "logprobs": 1})
    chat, completion = model.questions
    assert (chat.generation.max_new_tokens, chat.room) == (limit, 1)
    assert completion.generation.max_new_tokens == (16 if wanted is None else limit)
    assert completion.prompt == (1, 2) and completion.generation.echo and completion.room == 1


def test_the_only_model_answers_to_any_name_with_its_own_and_several_are_listed():
    with client(FakeModel(said("Hi"))) as web:
        asked: dict[str, dict[str, Any]] = {
            "/v1/chat/completions": {"messages": HELLO["messages"]},
            "/v1/responses": {"input": "Hello"},
            "/v1/messages": {"messages": HELLO["messages"], "max_tokens": 9},
        }
        for path, named in product(asked, ({}, {"model": "gpt-5"})):
            assert web.post(path, json={**asked[path], **named}).json()["model"] == "fake"
    models = {name: FakeModel(said(name), about=ServedFacts(name, 100)) for name in ("a", "b")}
    with TestClient(create_app(models)) as web:
        assert web.post("/v1/completions", json={"model": "b", "prompt": "x"}).json()["choices"][0]["text"] == "b"
        for named, message in (({}, "Name a model; there are: a, b."), ({"model": "c"}, "choose one of: a, b")):
            status, said_message, param = refusal(web.post("/v1/completions", json={"prompt": "x", **named}))
            assert (status, param) == (404, "model") and message in said_message


@pytest.mark.parametrize(
    ("effort", "reads", "options"),
    [
        ("low", set(), {}),
        ("none", set(), {}),
        ("low", {"reasoning_effort"}, {"reasoning_effort": "low"}),
        ("xhigh", {"reasoning_effort"}, {"reasoning_effort": "high"}),
        ("none", {"enable_thinking"}, {"enable_thinking": False}),
    ],
)
def test_an_effort_is_a_wish_that_a_template_may_not_know(effort: str, reads: set[str], options: dict):
    model = FakeModel(said("Hi"), about=ServedFacts("fake", 100, variables=frozenset(reads)))
    with client(model) as web:
        assert web.post("/v1/chat/completions", json={**HELLO, "reasoning_effort": effort}).status_code == 200
    assert model.questions[0].template_options == options


def test_variables_of_the_chat_template_reach_it():
    model = FakeModel(said("Hi"), about=ServedFacts("fake", 100, variables=frozenset({"thinking", "budget"})))
    with client(model) as web:
        web.post("/v1/chat/completions", json={**HELLO, "chat_template_kwargs": {"thinking": True, "budget": None}})
    assert model.questions[0].template_options == {"thinking": True}


def test_requests_of_a_conversation_are_told_to_be_of_it():
    model = FakeModel(said("Hi"))
    turns = [*HELLO["messages"], {"role": "assistant", "content": "Hi"}, {"role": "user", "content": "And?"}]
    with client(model) as web:
        for messages in (HELLO["messages"], turns, [{"role": "user", "content": "Other"}]):
            web.post("/v1/chat/completions", json={**HELLO, "messages": messages})
        web.post("/v1/chat/completions", json={**HELLO, "prompt_cache_key": "mine"})
    first, second, other, named = [question.conversation for question in model.questions]
    assert first == second and len({first, other, named}) == 3 and named == "mine"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({**HELLO, "web_search_options": {}}, (400, "not supported", "web_search_options")),
        ({**HELLO, "temperature": 3}, (400, "less than or equal to 2", "temperature")),
        ({**HELLO, "messages": [{"role": "x", "content": ""}]}, (400, "'system'", "messages.0.role")),
        ({**HELLO, "top_logprobs": 1}, (400, "needs 'logprobs'", None)),
        ({**HELLO, "chat_template_kwargs": {"enable_thinking": False}}, (400, "chat template", "enable_thinking")),
        ({**HELLO, "chat_template_kwargs": {"tools": []}}, (400, "chat template", "tools")),
        ({"model": "fake"}, (400, "required", "messages")),
        ([], (400, "JSON object", None)),
    ],
)
def test_what_can_not_be_done_is_refused_in_openais_shape(body: Any, expected: tuple[int, str, str | None]):
    with client(FakeModel(said("Hi"))) as web:
        status, message, param = refusal(web.post("/v1/chat/completions", json=body))
        assert (status, param) == (expected[0], expected[2]) and expected[1] in message


def sent(**message: Any) -> dict[str, Any]:
    return {**HELLO, "messages": [{"role": "user", **message}]}


@pytest.mark.parametrize(
    ("body", "message", "param"),
    [
        (
            sent(content=[{"type": "image_url", "image_url": {"url": "x"}}]),
            "images are not supported by this model",
            "content.0",
        ),
        (sent(content=[{"type": "text", "text": "a"}, {"type": "input_image"}]), "images are not", "content.1"),
        (sent(content=[{"type": "input_audio"}]), "recordings are not supported", "content.0"),
        (sent(content=[{"type": "poll", "text": "?"}]), "parts of the type 'poll' are not supported", "content.0"),
        (sent(content=[{"type": "text", "text": "a", "weight": 1}]), "leave it out", "content.0.weight"),
        (sent(content=[{"type": "text"}]), "Field required", "content.0.text"),
        (sent(content={"type": "text"}), "an object was sent, and it takes a text or a list", "content"),
        (sent(content=["a"]), "a text was sent, and it takes an object", "content.0"),
        ({**HELLO, "stop": list("abcde") * 13}, "at most 64 items", "stop"),
        (sent(content=[{"type": "text", "text": None}]), "Field required", "content.0.text"),
        ({**HELLO, "stop": ["a", None]}, "null was sent, and it takes a text", "stop.1"),
        ({**HELLO, "stop": ["a", 1]}, "a number was sent, and it takes a text", "stop.1"),
        ({**HELLO, "max_tokens": "many"}, "valid integer", "max_tokens"),
        ({**HELLO, "tools": True}, "true or false was sent, and it takes a list", "tools"),
        ({**HELLO, "tool_choice": "any"}, "'none', 'auto' or 'required'", "tool_choice"),
        ({**HELLO, "tool_choice": {"type": "function"}}, "Field required", "tool_choice.function"),
        ({**HELLO, "prompt": 5}, "a number was sent, and it takes a text or a list", "prompt"),
        ({**HELLO, "prompt": [1, "a"]}, "either texts or token ids", "prompt"),
        ({**HELLO, "prompt": [1, -2]}, "greater than or equal to 0", "prompt.1"),
        ({**HELLO, "prompt": [1, True]}, "either texts or token ids", "prompt"),
        ({**HELLO, "prompt": [True]}, "true or false was sent, and it takes a whole number", "prompt.0"),
        ({**HELLO, "temperature": True}, "true or false was sent, and it takes a number", "temperature"),
    ],
)
def test_a_fault_is_named_by_what_was_sent(body: dict[str, Any], message: str, param: str):
    path = "/v1/chat/completions"
    if "prompt" in body:
        path, body = "/v1/completions", {"model": "fake", "prompt": body["prompt"]}
    with client(FakeModel(said("Hi"))) as web:
        status, said_message, said_param = refusal(web.post(path, json=body))
    assert status == 400 and message in said_message
    assert (
        said_param == (f"messages.0.{param}" if param.startswith("content") else param)
        and f"'{said_param}'" in said_message
    )


@pytest.mark.parametrize(
    ("path", "field", "value", "reason"),
    [
        ("/tokenize", "content", 5, "a number was sent, and it takes a text"),
        ("/api/chat", "format", 5, "a number was sent, and it takes a text or an object"),
        ("/api/chat", "format", "xml", "Input should be '' or 'json', or an object"),
        ("/api/chat", "think", 5, "a number was sent, and it takes true or false or a text"),
        ("/api/chat", "think", "much", "'high' or 'max', or true or false"),
        ("/api/chat", "keep_alive", "soon", "it takes a number of seconds, or a duration such as '5m'"),
        ("/api/chat", "keep_alive", True, "it takes a number of seconds, or a duration such as '5m'"),
        ("/api/chat", "keep_alive", [1], "it takes a number of seconds, or a duration such as '5m'"),
        ("/v1/chat/completions", "stream", "please", "a text was sent, and it takes true or false"),
        ("/v1/responses", "tool_choice", 5, "a number was sent, and it takes a text or an object"),
    ],
)
def test_a_field_of_several_types_names_them_all(path: str, field: str, value: Any, reason: str):
    body: dict[str, Any] = {"model": "fake", field: value}
    if path != "/tokenize":
        body["input" if path == "/v1/responses" else "messages"] = HELLO["messages"]
    with client(FakeModel(said("Hi"))) as web:
        response = web.post(path, json=body)
    assert response.status_code == 400 and f"'{field}'" in response.text and reason in response.text


ABOUT_TOOLS = ServedFacts("fake", 100, None, HERMES_TEMPLATE, frozenset({"tools"}))
CALL = '<tool_call>{"name": "weather", "arguments": {"city": "Köln"}}</tool_call>'


@pytest.mark.parametrize("stream", [False, True])
def test_what_our_own_answer_contained_is_accepted_back(stream: bool):
    model = FakeModel(said(f"<think>Hm.</think>Look: {CALL}"), about=ABOUT_TOOLS)
    with client(model) as web:
        response = web.post("/v1/chat/completions", json={**HELLO, "tools": TOOLS, "stream": stream})
        if stream:
            message: dict[str, Any] = {}
            for chunk in list(events(response))[:-1]:
                message |= chunk["choices"][0]["delta"]
        else:
            message = response.json()["choices"][0]["message"]
        assert message["tool_calls"][0].get("index", 0) == 0 and message["reasoning_content"] == "Hm."
        others: dict[str, Any] = {"annotations": [], "refusal": "", "id": "m1", "audio": None, "reasoning_details": []}
        result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "3"}
        turns = [*HELLO["messages"], {**message, **others, "role": "assistant"}, result]
        assert web.post("/v1/chat/completions", json={**HELLO, "messages": turns}).status_code == 200
    sent_back = model.questions[-1].messages[1]
    assert sent_back["tool_calls"][0]["function"] == {"name": "weather", "arguments": {"city": "Köln"}}
    assert sent_back.keys() == {"role", "content", "tool_calls"} and "Hm." in sent_back["content"]


@pytest.mark.parametrize(
    ("message", "content"),
    [
        ({"content": None, "refusal": "No."}, "No."),
        ({"content": "Hi", "reasoning": "Hm."}, "<think>\nHm.\n</think>\n\nHi"),
    ],
)
def test_other_servers_answers_are_read(message: dict[str, Any], content: str):
    model = FakeModel(said("Hi"))
    turns = [{"role": "assistant", **message}, *HELLO["messages"]]
    with client(model) as web:
        assert web.post("/v1/chat/completions", json={**HELLO, "messages": turns}).status_code == 200
    assert model.questions[0].messages[0]["content"] == content


def test_a_body_that_is_too_large_broken_or_of_another_type_is_refused():
    with client(FakeModel(said("Hi"))) as web:
        large = {**HELLO, "messages": [{"role": "user", "content": "x" * MAX_BODY_BYTES}]}
        assert web.post("/v1/chat/completions", json=large).status_code == 413
        many_parts = (b" " * 1_000_000 for _ in range(MAX_BODY_BYTES // 1_000_000 + 2))
        headers = {"Content-Type": "application/json"}
        assert web.post("/v1/chat/completions", content=many_parts, headers=headers).status_code == 413
        assert refusal(web.post("/v1/chat/completions", content=b"{", headers=headers))[0] == 400
        assert refusal(web.post("/v1/chat/completions", content=b"[" * 1_000_000, headers=headers))[0] == 400
        # What a form in any web page could send without asking:
        plain = {"Content-Type": "text/plain"}
        assert refusal(web.post("/v1/chat/completions", content=json.dumps(HELLO), headers=plain))[0] == 400
        assert refusal(web.get("/v1/nothing"))[0] == 404
        assert refusal(web.get("/v1/chat/completions"))[0] == 405


def test_a_busy_server_says_when_to_come_back():
    busy = APIError("verbatim", 429, code="server_busy", retry_after=3, text="The server is busy.")
    with client(FakeModel([busy])) as web:
        for stream in (False, True):
            response = web.post("/v1/chat/completions", json={**HELLO, "stream": stream})
            assert refusal(response)[0] == 429 and response.headers["Retry-After"] == "3"


def test_errors_before_the_first_token_have_a_status_and_later_ones_end_the_stream():
    with client(FakeModel([UserError("verbatim", text="Too long; shorten it.")])) as web:
        assert refusal(web.post("/v1/chat/completions", json={**HELLO, "stream": True}))[0] == 400
    with client(FakeModel([*said("Hi")[:1], RuntimeError("/secret/path")])) as web:
        *_, last = events(web.post("/v1/chat/completions", json={**HELLO, "stream": True}))
        assert last["error"]["type"] == "server_error" and "secret" not in last["error"]["message"]
        assert refusal(web.post("/v1/chat/completions", json=HELLO))[0] == 500
    with client(FakeModel([KeyError("/secret/path")])) as web:
        assert "secret" not in refusal(web.post("/v1/chat/completions", json=HELLO))[1]


@pytest.mark.parametrize("failure", [IndexError("list"), KeyError("x"), MemoryError(), OSError(5)], ids=repr)
def test_a_bug_in_an_answer_is_a_500_and_an_error_event_and_never_an_end(failure: Exception):
    with client(FakeModel([*said("Hi")[:1], failure])) as web:
        assert refusal(web.post("/v1/chat/completions", json=HELLO)) == (
            *(500, "The server failed; its log says why."),
            None,
        )
        *_, last = events(web.post("/v1/chat/completions", json={**HELLO, "stream": True}))
        assert last["error"]["code"] == "internal_error"


def test_a_failure_of_one_answer_ends_the_others():
    model = FakeModel([*said("Hi")[:1], RuntimeError("failed")], pause=0.01)
    with client(model) as web:
        assert web.post("/v1/chat/completions", json={**HELLO, "n": 3}).status_code == 500
    assert model.closed == 3


def test_tools_are_offered_forced_and_called():
    model = FakeModel([Answer(CALL, 1, 0, completion_tokens=1, finish_reason="stop")], about=ABOUT_TOOLS)
    with client(model) as web:
        choice = web.post("/v1/chat/completions", json={**HELLO, "tools": TOOLS}).json()["choices"][0]
        assert choice["finish_reason"] == "tool_calls" and choice["message"]["content"] is None
        assert choice["message"]["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city": "Köln"}'}
        for tool_choice in ("required", {"type": "function", "function": {"name": "weather"}}):
            web.post("/v1/chat/completions", json={**HELLO, "tools": TOOLS, "tool_choice": tool_choice})
        web.post("/v1/chat/completions", json={**HELLO, "tools": TOOLS, "tool_choice": "none"})
    auto, required, named, none = model.questions
    assert auto.grammar is None and auto.template_options["tools"][0]["function"]["name"] == "weather"
    assert required.grammar is not None and named.grammar is not None
    assert none.grammar is None and none.template_options == {}


def test_the_arguments_of_a_call_stream_as_they_grow():
    whole = f"Look: {CALL}{CALL}"
    model = FakeModel(said(*(whole[:size] for size in range(1, len(whole) + 1))), about=ABOUT_TOOLS)
    with client(model) as web:
        *chunks, _ = events(web.post("/v1/chat/completions", json={**HELLO, "tools": TOOLS, "stream": True}))
    choices = [chunk["choices"][0] for chunk in chunks]
    assert "".join(choice["delta"].get("content", "") for choice in choices) == "Look:"
    pieces = [piece for choice in choices for piece in choice["delta"].get("tool_calls", [])]
    for index in (0, 1):
        first, *others = [piece for piece in pieces if piece["index"] == index]
        assert first["id"] and first["type"] == "function" and first["function"]["name"] == "weather"
        assert len(others) > 5 and all(piece.keys() == {"index", "function"} for piece in others)
        assert all(piece["function"].keys() == {"arguments"} for piece in others)
        assert "".join(piece["function"]["arguments"] for piece in [first, *others]) == '{"city": "Köln"}'
    assert choices[-1]["finish_reason"] == "tool_calls"


def test_tools_are_offered_to_every_model_and_required_ones_may_be_several():
    model = FakeModel(said(f"{CALL}\n{CALL}"))
    with client(model) as web:
        body = {**HELLO, "tools": TOOLS, "tool_choice": "required"}
        both = web.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]["tool_calls"]
        one = web.post("/v1/chat/completions", json={**body, "parallel_tool_calls": False}).json()["choices"][0]
    assert len(both) == 2 and len(one["message"]["tool_calls"]) == 1
    several, alone = [question.grammar or "" for question in model.questions]
    assert "{0,7}" in several and "{0,7}" not in alone
    assert all(question.template_options["tools"] for question in model.questions)


def test_keys_guard_everything_but_the_health_check():
    with client(FakeModel(said("Hi")), keys=["secret"]) as web:
        assert web.get("/health").json() == {"status": "ok"} and web.get("/").text == "llm-chatbot is running"
        for path in ("/v1/models", "/metrics", "/openapi.json"):
            response = web.get(path)
            assert refusal(response)[0] == 401 and response.headers["WWW-Authenticate"] == "Bearer"
            assert web.get(path, headers={"Authorization": "Bearer secret"}).status_code == 200
        assert web.get("/api/tags").status_code == 401
        for path in ("/v1/chat/completions", "/tokenize", "/api/chat"):
            assert web.post(path, json=HELLO).status_code == 401


def test_a_page_can_not_reach_the_server_by_another_name():
    names = allowed_names("127.0.0.1", [])
    with client(FakeModel(said("Hi")), allowed_hosts=names) as web:
        for host, status in {"localhost:8000": 200, "[::1]:8000": 200, "evil.example": 403}.items():
            assert web.get("/v1/models", headers={"Host": host}).status_code == status
        evil = {"Host": "evil.example:8000"}
        assert refusal(web.get("/v1/models", headers=evil)) == (
            403,
            "evil.example is not a name of this server; start it with --allowed-host evil.example to allow it.",
            None,
        )
        assert "--allowed-host" in web.get("/api/tags", headers=evil).json()["error"]
        assert web.post("/v1/messages", headers=evil).json()["error"]["type"] == "permission_error"


def test_names_of_a_container_can_be_allowed():
    names = allowed_names("127.0.0.1", [], ["host.docker.internal", "*.lan"])
    with client(FakeModel(said("Hi")), allowed_hosts=names) as web:
        hosts = {"Host.docker.internal:8000": 200, "a.lan": 200, "localhost": 200, "lan": 403, "evil.example": 403}
        for host, status in hosts.items():
            assert web.get("/v1/models", headers={"Host": host}).status_code == status
    assert allowed_names("0.0.0.0", []) == allowed_names("127.0.0.1", ["key"]) == ["*"]
    assert "llm" in allowed_names("0.0.0.0", [], ["llm"]) and "*" not in allowed_names("0.0.0.0", [], ["llm"])


def test_pages_of_an_allowed_origin_may_ask_and_others_not():
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    with client(FakeModel(said("Hi")), cors_origins=["http://page.example"], keys=["secret"]) as web:
        for origin, status in {"http://page.example": 200, "http://other.example": 400}.items():
            response = web.options("/v1/chat/completions", headers={"Origin": origin, **asks})
            allowed = response.headers.get("Access-Control-Allow-Origin")
            assert response.status_code == status and allowed == (origin if status == 200 else None)
        headers = {"Origin": "http://page.example", "Authorization": "Bearer secret"}
        response = web.post("/v1/chat/completions", json=HELLO, headers=headers)
        assert response.headers["Access-Control-Allow-Origin"] == "http://page.example"
    with client(FakeModel(said("Hi"))) as web:
        response = web.options("/v1/chat/completions", headers={"Origin": "http://page.example", **asks})
        assert response.status_code == 204 and "Access-Control-Allow-Origin" not in response.headers


def test_beside_the_page_the_paths_of_the_api_are_its_own():
    async def page(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse(f"page {scope['path']}")(scope, receive, send)

    web = TestClient(APIPaths(page, create_app({"fake": FakeModel(said("Hi"))})))
    for path in ("/v1/models", "/api/tags", "/health", "/metrics"):
        assert web.get(path).status_code == 200 and not web.get(path).text.startswith("page")
    assert web.post("/tokenize", json={"content": "a"}).json()["tokens"] == [97]
    for path in ("/", "/page/state.json", "/docs", "/apis", "/v1"):
        assert web.get(path).text == f"page {path}"


def gzipped(web: TestClient, content: bytes, encoding: str = "gzip") -> Any:
    headers = {**AS_JSON, "Content-Encoding": encoding}
    return web.post("/v1/chat/completions", content=content, headers=headers)


def test_a_body_may_come_with_gzip():
    packed = gzip.compress(json.dumps(HELLO).encode())
    with client(FakeModel(said("Hi"))) as web:
        assert gzipped(web, packed).json()["choices"][0]["message"]["content"] == "Hi"
        assert gzipped(web, json.dumps(HELLO).encode(), "identity").is_success
        for content in (packed[:-9], json.dumps(HELLO).encode(), b""):
            status, message, _ = refusal(gzipped(web, content))
            assert status == 400 and "not gzip, or not whole" in message
        members = b"".join(gzip.compress(bytes([byte])) for byte in json.dumps(HELLO).encode())
        assert gzipped(web, members).json()["choices"][0]["message"]["content"] == "Hi"
        for more in (b"x", packed[:-9], gzip.compress(b"") * MOST_MEMBERS):
            assert gzipped(web, packed + more).status_code == 400
        status, message, _ = refusal(gzipped(web, packed, "br"))
        assert status == 415 and "br" in message


def test_a_body_that_unpacks_to_more_than_the_limit_is_refused():
    bomb = gzip.compress(json.dumps({**HELLO, "user": "x" * MAX_BODY_BYTES}).encode())
    assert len(bomb) < 100_000
    with client(FakeModel(said("Hi"))) as web:
        assert gzipped(web, bomb).status_code == 413


def test_head_and_options_are_answered():
    with client(FakeModel(said("Hi"))) as web:
        for path in ("/", "/health", "/v1/models", "/api/tags", "/metrics"):
            response = web.head(path)
            assert response.status_code == 200 and response.content == b"" and response.headers["content-length"] != "0"
        assert web.head("/v1/nothing").status_code == 404
        options = web.options("/v1/messages")
        assert (options.status_code, options.headers["Allow"], options.content) == (204, "POST", b"")


def test_the_schema_describes_every_protocol():
    with client(FakeModel(said("Hi"))) as web:
        paths = web.get("/openapi.json").json()["paths"]
        # FastAPI's pages for it load their scripts from other hosts.
        assert {web.get(path).status_code for path in ("/docs", "/redoc")} == {404}
    assert {"/v1/responses", "/v1/messages", "/api/chat", "/tokenize", "/v1/chat/completions"} <= paths.keys()


def test_models_are_listed_and_found():
    with client(FakeModel(said("Hi"))) as web:
        (card,) = web.get("/v1/models").json()["data"]
        assert card["id"] == "fake" and web.get("/v1/models/fake").json() == card
        assert refusal(web.get("/v1/models/org/other"))[0] == 404


def test_metrics_count_responses_and_tokens():
    with client(FakeModel(said("Hi", "Hi there"))) as web:
        web.post("/v1/chat/completions", json=HELLO)
        web.post("/v1/chat/completions", json={**HELLO, "stream": True})
        web.post("/v1/chat/completions", json={**HELLO, "n": 9})
        lines = web.get("/metrics").text.splitlines()
    assert 'llm_chatbot_responses_total{path="/v1/chat/completions",status="200"} 2.0' in lines
    assert 'llm_chatbot_responses_total{path="/v1/chat/completions",status="400"} 1.0' in lines
    assert 'llm_chatbot_generated_tokens_total{model="fake"} 4.0' in lines
    assert 'llm_chatbot_cached_tokens_total{model="fake"} 8.0' in lines
    assert 'llm_chatbot_first_token_seconds_count{model="fake"} 2.0' in lines


@pytest.mark.parametrize("stream", [False, True])
def test_when_the_client_goes_away_the_answer_ends(stream: bool):
    model = FakeModel(said(*"abcdefgh"), pause=3600)
    app = create_app({"fake": model})

    async def leave() -> None:
        body = json.dumps({**HELLO, "stream": stream, "n": 2}).encode()
        received = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> dict[str, Any]:
            if (message := next(received, None)) is not None:
                return message
            while len(model.questions) < 2:  # until both answers have begun
                await asyncio.sleep(0.01)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            pass

        headers = [(b"content-type", b"application/json"), (b"host", b"localhost")]
        scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers}
        scope |= {"query_string": b"", "http_version": "1.1", "asgi": {"version": "3.0", "spec_version": "2.4"}}
        await asyncio.wait_for(app(scope, receive, send), 30)

    coroutines.run(leave())
    assert model.closed == 2


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tools": TOOLS, "tool_choice": "required"}, "tools"),
        ({"tools": TOOLS, "response_format": {"type": "json_object"}}, None),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_a_grammar_that_fails_names_the_field_that_it_comes_from(asked: dict, param: str | None, stream: bool):
    about = ServedFacts("fake", 100, chat_template=HERMES_TEMPLATE, variables=frozenset({"tools"}))
    with client(FakeModel([GrammarError("api.schema", reason="too large")], about=about)) as web:
        response = web.post("/v1/chat/completions", json={**HELLO, **asked, "stream": stream})
        assert refusal(response)[0::2] == (400, param)
