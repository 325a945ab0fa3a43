import json

import httpx
import pytest

from llm_chatbot.api.service import create_app
from llm_chatbot.cluster import load
from llm_chatbot.cluster.load import Load, Retryable, Turn, answered, conversation
from tests import coroutines
from tests.fake_model import FakeModel, said


def run(work, handler=None):
    async def inside():
        app = create_app({"fake": FakeModel(said("Hi", "Hi there"))})
        transport = httpx.MockTransport(handler) if handler else httpx.ASGITransport(app)
        async with httpx.AsyncClient(base_url="http://localhost/v1", transport=transport) as client:
            return await work(client)

    return coroutines.run(inside())


def test_a_conversation_has_its_turns_with_texts_tokens_and_times():
    turns = run(lambda client: conversation(client, "fake", 1, 8))
    assert [(turn.text, turn.tokens, turn.tries) for turn in turns] == [("Hi there", 2, 1)] * 3
    assert all(turn.first_token > 0 and not turn.error for turn in turns)


def test_what_is_refused_for_now_is_asked_again_and_what_is_wrong_is_not(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(load, "MOST_TRIES", 3)
    asked = []

    def busy(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if len(asked) < 3:
            return httpx.Response(503, headers={"Retry-After": "0"})
        chunk = {"choices": [{"delta": {"content": "Hi"}}], "usage": {"completion_tokens": 1}}
        return httpx.Response(200, text=f"data: {json.dumps(chunk)}\n\n")

    turn = run(lambda client: answered(client, {}), busy)
    assert (turn.text, turn.tries, turn.error) == ("Hi", 3, "")
    asked.clear()
    turn = run(lambda client: answered(client, {}), lambda request: httpx.Response(503, headers={"Retry-After": "0"}))
    assert turn.error == "status 503"
    turn = run(lambda client: answered(client, {}), lambda request: httpx.Response(400, text="wrong"))
    assert turn.error == "status 400: wrong"


def test_an_answer_that_was_cut_off_does_not_count():
    error = {"error": {"message": "The replica was lost."}}
    for text in (f"data: {json.dumps(error)}\n\n", "data: [DONE]\n\n"):
        with pytest.raises(Retryable):
            run(lambda client: load.one_answer(client, {}), lambda request, text=text: httpx.Response(200, text=text))


def test_a_summary_counts_what_matters():
    one = Load(2.0, [[Turn("a", 10, 0.1, 1), Turn("b", 10, 0.3, 2)], [Turn(error="lost", tries=12)]])
    other = Load(2.0, [[Turn("a", 10, 0.1, 1), Turn("x", 10, 0.3, 1)], [Turn("c", 10, 0.1, 1)]])
    assert one.differences(other) == 2
    assert one.summary() == (
        "3 answers in 2.0 s, 10 tokens/s, first token 0.20 s (median) 0.30 s (99%), 2 retried, 1 failed"
    )
