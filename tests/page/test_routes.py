"""The page's requests in this process, without a browser and without a model."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from llm_chatbot.answering.pending import PendingAnswer
from llm_chatbot.answering.service import Answering
from llm_chatbot.page import following
from llm_chatbot.page.routes import page_routes
from llm_chatbot.texts import Text


def fails(key: object) -> Any:
    raise IndexError("list index out of range")


@pytest.fixture
def web() -> Iterator[TestClient]:
    """The routes of a page whose description and whose models fail as a bug would."""

    def describe() -> dict[str, Any]:
        raise KeyError("missing")

    app = Starlette(routes=page_routes(Answering(fails), describe, fails))
    app.auth, app.auth_dependency = None, None  # type: ignore[attr-defined]
    with TestClient(app) as client:
        yield client


QUESTION = {"id": "a", "conversation": "c", "messages": [{"role": "user", "content": "Hello"}]}


def test_a_bug_in_a_handler_is_a_500_and_its_traceback_is_in_the_log(web: TestClient, caplog: pytest.LogCaptureFixture):
    response = web.get("/page/state.json")
    assert response.status_code == 500 and response.json()["error"]["key"] == "failed"
    assert "KeyError" in caplog.text


@pytest.mark.parametrize("body", ["[]", "{", '{"id": 1}', '{"a": {"version": "x"}}'])
@pytest.mark.parametrize("path", ["ask", "stop", "follow"])
def test_a_body_of_another_form_is_a_400_with_a_sentence(web: TestClient, path: str, body: str):
    response = web.post(f"/page/{path}", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400 and response.json()["error"]


def test_a_bug_in_an_answer_is_a_sentence_on_the_page_and_a_traceback_in_the_log(
    web: TestClient, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.ERROR)
    assert web.post("/page/ask", json=QUESTION).status_code == 202
    known: dict[str, Any] = {"a": {}}
    while (state := web.post("/page/follow", json=known).json()["a"])["phase"] != "ended":
        known = {"a": {"version": state["version"]}}
    assert state["finish_reason"] == "error"
    assert state["error"] == Text("failed", reason="list index out of range").as_json()
    assert "IndexError" in caplog.text


def test_an_answer_that_cannot_be_sent_ends_and_stops_no_other(
    web: TestClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    for id in ("bad", "good"):
        web.post("/page/ask", json={**QUESTION, "id": id})
    snapshot = following.snapshot

    def with_nan(pending: PendingAnswer, *known: int) -> dict[str, Any]:
        return {**snapshot(pending, *known), **({"figures": float("nan")} if pending.question.id == "bad" else {})}

    monkeypatch.setattr(following, "snapshot", with_nan)
    response = web.post("/page/follow", json={"bad": {"version": -1}, "good": {"version": -1}})
    states = response.json()
    assert response.status_code == 200 and states["good"]["version"] > 0
    assert states["bad"]["finish_reason"] == "error" and states["bad"]["error"]["key"] == "failed"
    assert "Out of range float values" in caplog.text
