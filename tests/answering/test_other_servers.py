"""The page in front of another server: this project's own, and others as their documentation has them."""

import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from llm_chatbot.answering.other_servers import RemoteSession, new_client, open_remote
from llm_chatbot.answering.variables import KEY_VARIABLE
from llm_chatbot.api.service import create_app
from llm_chatbot.engine.session import Answer
from llm_chatbot.errors import UserError
from tests.fake_model import FakeModel, said

HELLO = [{"role": "user", "content": "Hello"}]


def session_with(handler: Callable[[httpx.Request], httpx.Response]) -> RemoteSession:
    client = httpx.Client(base_url="http://server/v1", transport=httpx.MockTransport(handler))
    return RemoteSession(client, "m")


def sse(*events: Any) -> httpx.Response:
    lines = [f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n" for event in events]
    return httpx.Response(200, text=": comment\n\n" + "".join(lines))


def delta(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def test_the_page_gets_the_same_answers_from_this_projects_server():
    model = FakeModel(said("Hi", "Hi there"))
    with TestClient(create_app({"fake": model}), base_url="http://testserver/v1/") as client:
        loaded = open_remote("", "fake", client)
        assert loaded.title == "fake · testserver" and loaded.model.context_length is None
        *_, answer = loaded.new_session().answer(
            HELLO, temperature=0.5, top_k=5, max_new_tokens=7, stop=("x",), template_options={}
        )
        assert (answer.text, answer.finish_reason) == ("Hi there", "stop")
        assert (answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens) == (10, 4, 2)
        with pytest.raises(UserError, match="choose one of: fake"):
            open_remote("", "other", client)
    (question,) = model.questions
    options = question.generation
    assert (options.max_new_tokens, options.top_k, options.stop) == (7, 5, ("x",))


def test_an_answer_that_is_continued_keeps_its_beginning():
    session = session_with(lambda request: sse(delta(content=" more"), "[DONE]"))
    *_, answer = session.answer([*HELLO, {"role": "assistant", "content": "Some"}])
    assert answer.text == "Some more"


@pytest.mark.parametrize("text", ["a\u2028b", "a\u2029b", "a\x85b"])
def test_lines_of_a_stream_end_at_line_feeds_alone(text: str):
    line = f"data: {json.dumps(delta(content=text), ensure_ascii=False)}\r\n\r\n"
    session = session_with(lambda request: httpx.Response(200, content=line.encode()))
    *_, answer = session.answer(HELLO)
    assert answer.text == text


def test_halves_of_a_character_in_two_events_are_joined_and_a_lone_one_is_replaced():
    halves = [delta(content="\ud83d"), delta(content="\ude00 ok"), delta(content="\ud83d")]
    texts = [answer.text for answer in session_with(lambda request: sse(*halves)).answer(HELLO)]
    assert texts == ["", "", "😀 ok", "😀 ok", "😀 ok\ufffd"]


def test_half_a_character_in_a_question_reaches_the_server_as_a_replacement_character():
    asked: list[Any] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        return sse(delta(content="Hi"))

    *_, answer = session_with(handler).answer([{"role": "user", "content": "a\ud83d, \ud83d\ude00"}], stop=("\ude00",))
    assert answer.text == "Hi"
    assert asked[0]["messages"][0]["content"] == "a\ufffd, 😀" and asked[0]["stop"] == ["\ufffd"]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_comes_between_its_marks(field: str):
    session = session_with(lambda request: sse(delta(**{field: "Hm"}), delta(**{field: "."}), delta(content="Hi")))
    texts = [answer.text for answer in session.answer(HELLO)]
    assert texts[1:] == ["<think>\nHm", "<think>\nHm.", "<think>\nHm.\n</think>\n\nHi", "<think>\nHm.\n</think>\n\nHi"]


def test_probabilities_reach_the_page():
    entry = {"token": "Hi", "logprob": -0.5, "top_logprobs": [{"token": "Ho", "logprob": -1.0}]}
    event = {"choices": [{"delta": {"content": "Hi"}, "logprobs": {"content": [entry]}, "finish_reason": "length"}]}
    *_, answer = session_with(lambda request: sse(event)).answer(HELLO, top_logprobs=1)
    assert answer.finish_reason == "length"
    (token,) = answer.tokens
    assert (token.text, token.logprob, token.top) == ("Hi", -0.5, ((-1, "Ho", -1.0, b""),))


@pytest.mark.parametrize("logprob", ["NaN", "-Infinity", "-1e400", "null"])
def test_a_probability_that_is_no_number_is_that_of_an_unlikely_token(logprob: str):
    entry = {"token": "Hi", "logprob": "PROBABILITY", "top_logprobs": [{"token": "Ho", "logprob": "PROBABILITY"}]}
    event = {"choices": [{"delta": {"content": "Hi"}, "logprobs": {"content": [entry]}}]}
    line = json.dumps(event).replace('"PROBABILITY"', logprob)
    *_, answer = session_with(lambda request: sse(line)).answer(HELLO, top_logprobs=1)
    (token,) = answer.tokens
    assert answer.text == "Hi" and token.logprob == token.top[0].logprob == -9999.0


def test_a_server_that_knows_only_openais_options_is_asked_again_without_the_others():
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        if "top_k" in asked[-1]:
            return httpx.Response(400, json={"error": {"message": "Unrecognized request argument supplied: top_k"}})
        return sse(delta(content="Hi"))

    session = session_with(handler)
    for _ in range(2):
        *_, answer = session.answer(HELLO, top_k=50, repetition_penalty=1.1, top_p=0.9)
        assert answer.text == "Hi"
    assert len(asked) == 3, "the second time it is known"
    assert asked[-1]["top_p"] == 0.9 and not {"top_k", "repetition_penalty"} & asked[-1].keys()


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (httpx.Response(401), KEY_VARIABLE),
        (httpx.Response(429, headers={"Retry-After": "7"}), "try again in 7 s"),
        (httpx.Response(400, json={"error": {"message": "Too long.", "code": "x"}}), r"400 \(Too long\)"),
        (httpx.Response(502, text="<html>"), "502"),
        (sse(delta(content="Hi"), {"error": {"message": "out of memory"}}), "out of memory"),
        (sse("not JSON"), "OpenAI's API"),
        (httpx.ConnectError("refused"), "can't be reached"),
    ],
)
def test_what_goes_wrong_is_a_sentence(response: httpx.Response | Exception, expected: str):
    def handler(request: httpx.Request) -> httpx.Response:
        if isinstance(response, Exception):
            raise response
        return response

    with pytest.raises(UserError, match=expected) as error:
        list(session_with(handler).answer(HELLO))
    assert str(error.value).endswith(".")


def test_closing_an_answer_closes_the_connection():
    closed = []

    class Body(httpx.SyncByteStream):
        def __iter__(self):
            while True:
                yield f"data: {json.dumps(delta(content='x'))}\n\n".encode()

        def close(self) -> None:
            closed.append(True)

    with closing(session_with(lambda request: httpx.Response(200, stream=Body())).answer(HELLO)) as answers:
        assert isinstance(next(answers), Answer) and next(answers).text == "x"
    assert closed == [True]


def test_the_key_comes_from_the_environment_and_an_address_is_checked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(KEY_VARIABLE, "secret")
    assert new_client("http://server/v1").headers["Authorization"] == "Bearer secret"
    with pytest.raises(UserError, match="--base-url"):
        new_client("server/v1")
