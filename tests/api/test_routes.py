"""The app in this process, with a fake model: what is asked for, what comes back, what is refused."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from llm_chatbot.answering.errors import GrammarError
from llm_chatbot.answering.served import ServedFacts
from llm_chatbot.api import respond
from llm_chatbot.api.errors import APIError
from llm_chatbot.api.service import APIPaths, allowed_names, create_app
from llm_chatbot.engine.decode.generation import Generation
from llm_chatbot.engine.session import Answer
from llm_chatbot.errors import UserError
from tests import coroutines
from tests.fake_model import FakeModel, said

HELLO = {"model": "fake", "messages": [{"role": "user", "content": "Hello"}]}
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
        escaped = json.dumps({**HELLO, "model": text})
        headers = {"Content-Type": "application/json"}
        assert refusal(web.post("/v1/chat/completions", content=escaped, headers=headers))[0] == 404


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
    assert question.room == 5 and question.messages == ({"role": "user", "content": "Hello"},)
    assert question.template_options == {}
    assert question.generation == Generation(**options, stop=("x",), seed=2**63 - 1, top_logprobs=3, max_new_tokens=5)


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
        ({**HELLO, "logit_bias": {"1": 1}}, (400, "not supported", "logit_bias")),
        ({**HELLO, "temperature": 3}, (400, "less than or equal to 2", "temperature")),
        ({**HELLO, "messages": [{"role": "x", "content": ""}]}, (400, "'system'", "messages.0.role")),
        ({**HELLO, "model": "other"}, (404, "choose one of: fake", "model")),
        ({**HELLO, "top_logprobs": 1}, (400, "needs 'logprobs'", None)),
        ({**HELLO, "tools": TOOLS}, (400, "chat template", "tools")),
        ({**HELLO, "reasoning_effort": "low"}, (400, "chat template", "reasoning_effort")),
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
        (sent(content=[{"type": "image_url", "image_url": {"url": "x"}}]), "images are not supported", "content.0"),
        (sent(content=[{"type": "text", "text": "a"}, {"type": "input_image"}]), "images are not", "content.1"),
        (sent(content=[{"type": "input_audio"}]), "recordings are not supported", "content.0"),
        (sent(content=[{"type": "text", "text": "a", "cache_control": {}}]), "leave it out", "content.0.cache_control"),
        (sent(content=[{"type": "text"}]), "Field required", "content.0.text"),
        (sent(content={"type": "text"}), "valid string", "content"),
        ({**HELLO, "stop": list("abcde")}, "at most 4 stop strings", "stop"),
        ({**HELLO, "stop": ["a", 1]}, "valid string", "stop.1"),
        ({**HELLO, "tool_choice": "any"}, "'none', 'auto' or 'required'", "tool_choice"),
        ({**HELLO, "tool_choice": {"type": "function"}}, "Field required", "tool_choice.function"),
        ({**HELLO, "prompt": [1, 2, 3]}, "token ids are not supported", "prompt"),
        ({**HELLO, "prompt": 5}, "valid string", "prompt"),
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
        large = {**HELLO, "messages": [{"role": "user", "content": "x" * 5_000_000}]}
        assert web.post("/v1/chat/completions", json=large).status_code == 413
        many_parts = (b" " * 1_000_000 for _ in range(6))
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
    assert required.grammar is not None and required.grammar == named.grammar
    assert none.grammar is None and none.template_options == {}


def test_keys_guard_everything_but_the_health_check():
    with client(FakeModel(said("Hi")), keys=["secret"]) as web:
        assert web.get("/health").json() == {"status": "ok"} and web.get("/").text == "llm-chatbot is running"
        for path in ("/v1/models", "/metrics", "/docs", "/openapi.json"):
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
    for path in ("/", "/page/state", "/docs", "/apis", "/v1"):
        assert web.get(path).text == f"page {path}"


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
        assert "openapi.json" in web.get("/docs").text
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
        web.post("/v1/chat/completions", json={**HELLO, "model": "other"})
        lines = web.get("/metrics").text.splitlines()
    assert 'llm_chatbot_responses_total{path="/v1/chat/completions",status="200"} 2.0' in lines
    assert 'llm_chatbot_responses_total{path="/v1/chat/completions",status="404"} 1.0' in lines
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
