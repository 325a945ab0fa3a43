"""How long a model stays in memory, as Ollama's programs ask for it, and what is seen while one is loaded."""

import math
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient
from tokenizers import Tokenizer, models

from llm_chatbot.answering.models import LoadedModel
from llm_chatbot.answering.served import LocalModel
from llm_chatbot.answering.service import Answering
from llm_chatbot.api import respond
from llm_chatbot.api.ollama.requests import OllamaChatRequest, OllamaRequest
from llm_chatbot.api.ollama.writer import OllamaWriter
from llm_chatbot.api.respond import watching_client
from llm_chatbot.api.responses import Choice
from llm_chatbot.api.service import create_app
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.engine.text.tokenizer import PlainTokenizer

LOADED = SimpleNamespace(context_length=64)


def not_loaded(load: Callable[[], Any]) -> LoadedModel:
    tokenizer = PlainTokenizer(Tokenizer(models.WordLevel({"a": 0}, "a")), "{{ messages }}", {})
    return LoadedModel(None, tokenizer, get_model_config(DEFAULT_MODEL), DEFAULT_MODEL, reopen=load)


def served(loaded: LoadedModel) -> TestClient:
    def get(key: Any) -> LoadedModel:
        loaded.model  # noqa: B018, loads it
        return loaded

    return TestClient(create_app({DEFAULT_MODEL: LocalModel(Answering(get), loaded)}), raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [(300, 300), ("5m", 300), ("1h30m", 5400), ("500ms", 0.5), (0, 0), ("0", 0), (-1, math.inf), ("-1m", math.inf)],
)
def test_a_time_is_a_number_or_a_duration(sent: Any, seconds: float):
    assert OllamaRequest(model="a", keep_alive=sent).keep_alive == seconds


@pytest.mark.parametrize("sent", ["soon", "5 m", "5x", "nan", [], ""])
def test_what_is_no_time_is_refused(sent: Any):
    with pytest.raises(ValidationError):
        OllamaRequest(model="a", keep_alive=sent)


def test_a_request_without_a_question_loads_the_model_or_frees_it():
    loaded = not_loaded(lambda: LOADED)
    with served(loaded) as web:

        def names() -> list[str]:
            return [model["name"] for model in web.get("/api/ps").json()["models"]]

        assert names() == []
        answer = web.post("/api/chat", json={"model": DEFAULT_MODEL, "messages": [], "keep_alive": "10m"}).json()
        assert answer["done_reason"] == "load" and names() == [DEFAULT_MODEL] and loaded.keep_alive == 600
        assert not web.get("/api/ps").json()["models"][0]["expires_at"].startswith("2262")
        answer = web.post("/api/generate", json={"model": DEFAULT_MODEL, "keep_alive": 0}).json()
        assert answer["done_reason"] == "unload" and names() == [] and not loaded.is_loaded


def test_loading_does_not_count_as_time_without_use():
    ends: list[float] = []

    def load() -> Any:
        ends.append(time.monotonic())
        return LOADED

    loaded = not_loaded(load)
    assert loaded.model is LOADED and loaded.last_used >= ends[0]


def test_an_answer_says_how_long_its_model_was_loaded_for_it():
    loaded = not_loaded(lambda: LOADED)
    model = LocalModel(Answering(lambda key: loaded), loaded)

    body = OllamaChatRequest(model="a", messages=[], tools=[])

    def load_duration() -> int:
        writer = watching_client(OllamaWriter(body, "a", [Choice()], is_chat=True), model)
        _ = loaded.model
        loaded.load_seconds = 2.5
        return writer.end()[-1]["load_duration"]

    assert load_duration() == 2_500_000_000
    assert load_duration() == 0, "it was there"


def test_loading_is_seen_in_a_stream_and_in_the_servers_health(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(respond, "PAUSE_SECONDS", 0.05)
    may_load, health = threading.Event(), list[Any]()

    def load() -> Any:
        assert may_load.wait(30)
        raise RuntimeError("it is enough to have begun")

    with served(not_loaded(load)) as web:
        assert web.get("/health").json() == {"status": "ok"}

        def look() -> None:
            health.append(web.get("/health").json())
            may_load.set()

        timer = threading.Timer(0.5, look)
        timer.start()
        body = {"messages": [{"role": "user", "content": "a"}], "stream": True}
        text = web.post("/v1/chat/completions", json=body).text
        timer.join()
        assert ": loading the model\n\n" in text and health == [{"status": "ok", "loading": True}]
        assert web.get("/health").json() == {"status": "ok"}
