"""Requests of scripts, requests that are refused, and many people at once."""

import json
import re
from collections.abc import Iterator

import httpx
import pytest
from gradio_client import Client
from playwright.sync_api import Browser, BrowserContext, expect

from llm_chatbot.answering import options as settings
from llm_chatbot.answering.models import LoadedModel
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.optimum_models import ChatSession
from llm_chatbot.page.app import ChatPage
from llm_chatbot.page.server import MAX_CONVERSATION_BYTES, MAX_REQUEST_BYTES
from tests.page_visit import FRANCE, ITALY, STORY, Server, Visit

GREEDY = {"temperature": 0, "repetition_penalty": 1}


def test_scripts_have_one_endpoint_that_streams(server: Server):
    client = Client(server.address, verbose=False)
    api = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert list(api) == ["/chat"]
    assert [parameter["parameter_name"] for parameter in api["/chat"]["parameters"]][:2] == ["message", "history"]
    assert "Paris" in client.predict(FRANCE, **GREEDY, api_name="/chat")
    job = client.submit(STORY, **GREEDY, max_new_tokens=100, api_name="/chat")
    assert job.result().startswith(job.outputs()[0])
    assert len(job.outputs()) > 1  # of an answer that takes longer than a busy machine lets a thread wait
    turns = [{"role": "user", "content": FRANCE}, {"role": "assistant", "content": "The capital of France is Paris."}]
    assert "Rome" in client.predict(ITALY, turns, **GREEDY, api_name="/chat")
    with pytest.raises(Exception, match="A conversation is a list of messages"):
        client.predict(ITALY, [{"role": "robot"}], api_name="/chat")


def test_files_and_requests_too_large_for_a_chat_are_refused(server: Server):
    def chunks() -> Iterator[bytes]:
        yield b"{}"

    api = f"{server.address}/gradio_api"
    assert httpx.post(f"{api}/upload", files={"files": ("x.txt", b"x")}).status_code == 403
    for path in (
        "file=/etc/hostname",
        "file/etc/hostname",
        "proxy=http://example.com/",
        "monitoring/summary",
        "%66ile=x",
    ):
        assert httpx.get(f"{api}/{path}").status_code == 403, path
    for join, most in (
        (f"{api}/queue/join", MAX_REQUEST_BYTES),
        (f"{server.address}/page/ask", MAX_CONVERSATION_BYTES),
    ):
        assert httpx.post(join, content=b"x" * (most + 1)).status_code == 413
        assert httpx.post(join, content=chunks()).status_code == 411
    assert httpx.post(f"{server.address}/page/ask", content=b"x" * (MAX_REQUEST_BYTES + 1)).status_code == 415
    assert "default-src 'self'" in httpx.get(server.address).headers["content-security-policy"]
    assert httpx.get(f"{server.address}/page/web/..%2f..%2fconfig.py").status_code == 404


def test_a_page_on_localhost_may_ask_its_server_by_number_and_no_other(server: Server):
    policies = {
        host: httpx.get(server.address, headers={"host": host}).headers["content-security-policy"]
        for host in ("127.0.0.1:7860", "localhost:7860", "localhost", "localhost:x; script-src *", "localhost.a.b:7860")
    }
    allowed = {host: re.findall(r"http://\S+", policy) for host, policy in policies.items()}
    assert allowed == {host: [] for host in policies} | {
        "localhost:7860": ["http://127.0.0.1:7860"],
        "localhost": ["http://127.0.0.1"],
    }


@pytest.mark.parametrize(
    "question",
    [
        {},
        [],
        {"id": "a", "conversation": "c", "messages": []},
        {"id": "a", "conversation": "c", "messages": [{"role": "robot", "content": "x"}]},
        {"id": "a", "conversation": "c", "messages": [{"role": "user", "content": "x"}], "settings": {"top_p": 7}},
        {"id": "a", "conversation": "c", "messages": [{"role": "user", "content": "x"}], "model": ["x"]},
    ],
)
def test_a_question_of_another_form_is_refused_with_a_sentence(server: Server, question):
    response = httpx.post(f"{server.address}/page/ask", json=question)
    error = response.json()["error"]
    assert response.status_code == 400 and error["text"].endswith(".")


def test_a_form_of_another_site_cannot_ask(server: Server):
    response = httpx.post(f"{server.address}/page/ask", data={"id": "a"})
    assert response.status_code == 415


def test_a_page_with_a_login_answers_nobody_else(loaded: LoadedModel):
    page = ChatPage(loaded, None)
    page.demo.launch(prevent_thread_lock=True, quiet=True, auth=("ann", "secret"))
    try:
        with httpx.Client(base_url=page.demo.local_url) as client:
            assert client.get("/page/state.json").status_code == 401
            for path in ("/page/ask", "/page/follow", "/page/stop", "/page/load"):
                assert client.post(path, json={}).status_code == 401
            client.post("/login", data={"username": "ann", "password": "secret"})
            assert client.get("/page/state.json").status_code == 200
    finally:
        page.demo.close(verbose=False)


def test_a_model_that_is_not_here_is_refused_with_the_remedy(server: Server):
    response = httpx.post(f"{server.address}/page/load", json={"model": [DEFAULT_MODEL, "INT4", "TPU"]})
    error = response.json()["error"]
    assert response.status_code == 400 and error["key"] == "engine.no_device" and error["values"]["device"] == "'TPU'"


def test_twenty_tabs_at_once_get_their_own_answers(browser: Browser, loaded: LoadedModel, monkeypatch):
    countries = "Italy Spain Japan China India Peru Chile Egypt Kenya Ghana Cuba Iran Iraq Nepal Norway Sweden Poland "
    texts = [f"What is the capital of {country}?" for country in (countries + "Greece Turkey Russia").split()]
    expected = []
    for text in texts:
        *_, whole = ChatSession(loaded.model, loaded.tokenizer).stream(text, max_new_tokens=12)
        expected.append(whole.text)
    for name, value in {"TEMPERATURE": 0, "REPETITION_PENALTY": 1, "MAX_NEW_TOKENS": 12}.items():
        monkeypatch.setattr(settings, name, value)  # quicker than to set them in every tab
    server = Server(loaded, None)
    with browser.new_context() as context:  # one browser: six connections have to do for all of them
        visits = [Visit(context, server) for _ in texts]
        for visit, text in zip(visits, texts, strict=True):
            visit.send(text)
        for visit, text in zip(visits, texts, strict=True):
            visit.wait_for_end()
            expect(visit.questions).to_have_text([text])
        stored = visits[0].stored()
        answers = {it["parent"]: it["content"] for it in stored if it["role"] == "assistant"}
        found = {it["content"]: answers[it["id"]] for it in stored if it["role"] == "user"}
        assert found == dict(zip(texts, expected, strict=True)), json.dumps(found)
    server.stop()


def test_a_tab_leaves_to_another_what_that_one_asks(context: BrowserContext, server: Server):
    other, visit = Visit(context, server), Visit(context, server, max_new_tokens="60")
    other.page.wait_for_timeout(3500)  # longer than a tab waits for what nobody follows
    requests: list[str] = []
    other.page.on("request", lambda request: requests.append(request.url))
    visit.ask(STORY)
    assert not requests
