"""Pictures in front of another server: a real one of this project, and others as their documentation has them."""

import base64
import json
import socket
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from PIL import Image

from llm_chatbot.answering.models import LoadedModel
from llm_chatbot.answering.other_servers import RemoteModel, RemoteSession, open_remote
from llm_chatbot.answering.pictures import WORDS, with_read_pictures
from llm_chatbot.answering.sent_pictures import card_reads_pictures, with_data_urls
from llm_chatbot.answering.served import LocalModel
from llm_chatbot.answering.service import Answering
from llm_chatbot.api.service import create_app
from llm_chatbot.catalogue.row import ModelConfig
from llm_chatbot.engine.files import FolderFiles
from llm_chatbot.engine.loading import open_model
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.errors import UserError
from tests.pictures import picture_file

CAT = picture_file(120, 90)
ANSWER = {"role": "assistant", "content": "A cat."}


def asked(text: str, *pictures: bytes) -> dict[str, Any]:
    parts = [{"type": "image", "image": picture} for picture in pictures]
    return {"role": "user", "content": [*parts, {"type": "text", "text": text}] if parts else text}


def remote(handler: Callable[[httpx.Request], httpx.Response], vision: bool | None = None) -> RemoteModel:
    client = httpx.Client(base_url="http://server/v1", transport=httpx.MockTransport(handler))
    return RemoteModel("m", None, client, vision)


def hi() -> httpx.Response:
    event = {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}]}
    return httpx.Response(200, text=f"data: {json.dumps(event)}\n\n")


class Blind:
    """A server whose model reads no pictures."""

    def __init__(self, status: int = 400) -> None:
        self.asked: list[Any] = []
        self._status = status

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(json.loads(request.content)["messages"])
        if any(isinstance(message["content"], list) for message in self.asked[-1]):
            return httpx.Response(self._status, json={"error": {"message": "image input is not supported"}})
        return hi()


@pytest.fixture(scope="module")
def service(image_folder: Callable[[str], tuple[Path, Path]]) -> Iterator[tuple[str, LoadedModel]]:
    """A server of this project with a small model that reads pictures, in a thread; its address and the model."""
    _, folder = image_folder("llava")
    config = ModelConfig("small", "A small model.", "")
    loaded = LoadedModel(open_model(folder, ov_config=EXACT), FolderFiles(folder).tokenizer, config, "small")
    app = create_app({"small": LocalModel(Answering(lambda key: loaded), loaded)})
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1", loaded
    server.should_exit = True
    thread.join(timeout=30)


def test_this_projects_server_answers_about_pictures_as_the_model_does_here(service: tuple[str, LoadedModel]):
    address, loaded = service
    model = open_remote(address, "small")
    assert model.reads_pictures and model.picture_tokens
    probabilities = []
    for picture in (CAT, picture_file(120, 90, seed=7)):
        messages = [asked("What is it?", CAT), ANSWER, asked("And what is this?", picture)]
        assert with_read_pictures(messages, model) == messages
        sessions = model.new_session(), loaded.new_session()
        there, here = (
            [*session.answer(messages, temperature=0.0, max_new_tokens=6, top_logprobs=1)][-1] for session in sessions
        )
        assert (there.text, there.prompt_tokens) == (here.text, here.prompt_tokens)
        probabilities.append(there.tokens[0].logprob)
        assert probabilities[-1] == pytest.approx(here.tokens[0].logprob, abs=1e-5)
    assert abs(probabilities[0] - probabilities[1]) > 1e-4, "another picture, another answer"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_a_picture_is_sent_with_its_type(kind: str):
    file = BytesIO()
    Image.new("RGB", (4, 3)).save(file, kind)
    (message,) = with_data_urls([asked("?", file.getvalue())])
    picture, text = message["content"]
    head, _, content = picture["image_url"]["url"].partition(",")
    assert head == f"data:image/{kind.lower()};base64" and base64.b64decode(content) == file.getvalue()
    assert text == {"type": "text", "text": "?"}


@pytest.mark.parametrize(
    ("card", "reads"),
    [
        ({"input_modalities": ["text", "image"]}, True),
        ({"input_modalities": ["text"]}, False),
        ({"architecture": {"input_modalities": ["image", "text"]}}, True),
        ({"capabilities": {"vision": False}}, False),
        ({"capabilities": {"vision": True}}, True),
        ({"capabilities": ["completion"], "architecture": "llama"}, None),
        ({}, None),
    ],
)
def test_a_card_may_say_whether_pictures_are_read(card: dict[str, Any], reads: bool | None):
    assert card_reads_pictures(card) is reads


def test_a_model_that_is_said_to_read_none_is_sent_none():
    model = remote(Blind(), vision=False)
    assert model.picture_tokens == 0
    with pytest.raises(UserError) as caught:
        with_read_pictures([asked("?", CAT)], model)
    assert caught.value.key == "prompt.reads_no_pictures"


@pytest.mark.parametrize("status", [400, 404, 422, 500])
def test_a_refusal_of_a_picture_is_a_sentence(status: int):
    session = remote(Blind(status)).new_session()
    with pytest.raises(UserError, match=rf"{status} \(image input is not supported\).*remove them") as caught:
        list(session.answer([asked("?", CAT)]))
    assert caught.value.key == "server.pictures"
    *_, answer = session.answer([asked("Without it?")])
    assert answer.text == "Hi"


def test_a_conversation_goes_on_with_words_for_pictures_that_are_refused():
    server = Blind()
    *_, answer = remote(server).new_session().answer([asked("?", CAT), ANSWER, asked("And now?")])
    assert answer.text == "Hi" and len(server.asked) == 2
    assert server.asked[1] == [{"role": "user", "content": f"{WORDS['text']}?"}, ANSWER, asked("And now?")]


def test_a_server_that_knows_neither_pictures_nor_options_is_asked_without_both():
    blind = Blind()

    def handler(request: httpx.Request) -> httpx.Response:
        if "top_k" in json.loads(request.content):
            return httpx.Response(400, json={"error": {"message": "unknown: top_k"}})
        return blind(request)

    *_, answer = remote(handler).new_session().answer([asked("?", CAT), ANSWER, asked("And?")], top_k=5)
    assert answer.text == "Hi"


@pytest.mark.parametrize(("status", "key"), [(401, "server.key"), (429, "server.busy"), (503, "server.status")])
def test_what_has_nothing_to_do_with_pictures_is_said_as_ever(status: int, key: str):
    responses = iter([httpx.Response(status), hi()])  # the second: asked again without the picture
    session: RemoteSession = remote(lambda request: next(responses)).new_session()
    with pytest.raises(UserError) as caught:
        list(session.answer([asked("?", CAT), ANSWER, asked("?")]))
    assert caught.value.key == key


def test_of_a_model_that_reads_pictures_a_refusal_is_any():
    session = remote(lambda request: httpx.Response(400, json={"error": "too long"}), vision=True).new_session()
    with pytest.raises(UserError) as caught:
        list(session.answer([asked("?", CAT), ANSWER, asked("?")]))
    assert caught.value.key == "server.status"
