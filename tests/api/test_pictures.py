"""Pictures in requests, over each protocol: what the model gets, and what is refused before anything is computed."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from llm_chatbot.answering.models import LoadedModel
from llm_chatbot.answering.served import LocalModel, ServedFacts
from llm_chatbot.answering.service import Answering
from llm_chatbot.api.pictures import data_url, file_of
from llm_chatbot.api.service import create_app
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.engine.files import FolderFiles
from llm_chatbot.engine.loading import open_model
from llm_chatbot.engine.precisions import EXACT
from tests.fake_model import FakeModel, said
from tests.pictures import picture_file

CHAT, RESPONSES, MESSAGES, OLLAMA, GENERATE = (
    *("/v1/chat/completions", "/v1/responses", "/v1/messages"),
    *("/api/chat", "/api/generate"),
)
FILE = b"the bytes of a file"
BASE64 = base64.b64encode(FILE).decode()


def in_words_of(path: str, text: str, content: str = BASE64, url: str | None = None) -> dict[str, Any]:
    """The body of a request with one picture, as Base64 or by an address."""
    address = url or data_url(content, "image/png")
    if path == GENERATE:
        return {"prompt": text, "images": [content]}
    if path == OLLAMA:
        return {"messages": [{"role": "user", "content": text, "images": [content]}]}
    if path == MESSAGES:
        base64_source: dict[str, Any] = {"type": "base64", "media_type": "image/png", "data": content}
        block = {"type": "image", "source": {"type": "url", "url": url} if url else base64_source}
        return {
            "max_tokens": 9,
            "messages": [{"role": "user", "content": [{"type": "text", "text": text}, block]}],
        }
    if path == RESPONSES:
        parts = [{"type": "input_text", "text": text}, {"type": "input_image", "image_url": address}]
        return {"input": [{"role": "user", "content": parts}]}
    image = {"type": "image_url", "image_url": {"url": address, "detail": "low"}}
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": text}, image]}]}


def asked(path: str, body: dict[str, Any], reads_images: bool = True) -> tuple[Any, Any]:
    """The response, and the content of the last message that the model gets."""
    model = FakeModel(said("Hi"), about=ServedFacts("fake", 100, reads_images=reads_images))
    with TestClient(create_app({"fake": model}), raise_server_exceptions=False) as web:
        response = web.post(path, json={"model": "fake", "stream": False, **body})
    return response, model.questions[0].messages[-1]["content"] if model.questions else None


TEXT, IMAGE = {"type": "text", "text": "See:"}, {"type": "image", "image": FILE}


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        (CHAT, [TEXT, IMAGE]),
        (RESPONSES, [TEXT, IMAGE]),
        (MESSAGES, [TEXT, IMAGE]),
        (OLLAMA, [IMAGE, TEXT]),
        (GENERATE, [IMAGE, TEXT]),
    ],
)
def test_a_picture_reaches_the_model_with_its_text(path: str, parts: list[dict[str, Any]]):
    response, content = asked(path, in_words_of(path, "See:"))
    assert response.status_code == 200, response.text
    assert content == parts


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (CHAT, "messages.0.content.1"),
        (RESPONSES, "input.0.content.1"),
        (MESSAGES, "messages.0.content.1"),
        (OLLAMA, "messages.0.images.0"),
        (GENERATE, "images.0"),
    ],
)
def test_what_is_no_picture_is_refused_by_its_place(path: str, place: str):
    response, content = asked(path, in_words_of(path, "See:", content="no Base64!"))
    assert response.status_code == 400 and content is None
    assert f"'{place}' is not valid: the image is not valid Base64." in response.text
    response, content = asked(path, in_words_of(path, "See:"), reads_images=False)
    assert response.status_code == 400 and content is None
    assert f"'{place}' is not valid: images are not supported by this model; send text." in response.text


@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES])
@pytest.mark.parametrize("url", ["https://example.com/a.png", "file:///etc/passwd", "data:image/png,abc"])
def test_an_address_is_never_fetched(path: str, url: str):
    response, content = asked(path, in_words_of(path, "See:", url=url))
    assert response.status_code == 400 and content is None
    assert "an image comes as a data URL, such as data:image/png;base64,…; nothing is fetched" in response.text


def test_an_address_in_an_earlier_turn_is_words():
    body = in_words_of(CHAT, "See:", url="https://example.com/a.png")
    body["messages"] += [{"role": "assistant", "content": "A cat."}, *in_words_of(CHAT, "And?")["messages"]]
    response, content = asked(CHAT, body)
    assert response.status_code == 200 and content == [{"type": "text", "text": "And?"}, IMAGE]


@pytest.mark.parametrize(("field", "value"), [("raw", True), ("suffix", "end")])
def test_a_text_that_is_continued_has_no_pictures(field: str, value: Any):
    response, _ = asked(GENERATE, {**in_words_of(GENERATE, "See:"), field: value})
    assert response.status_code == 400 and "images are not supported" in response.text


def test_lists_say_which_models_read_pictures():
    models = {
        name: FakeModel(said("Hi"), about=ServedFacts(name, 100, reads_images=reads))
        for name, reads in (("sees", True), ("blind", False))
    }
    with TestClient(create_app(models)) as web:
        cards = {card["id"]: card["input_modalities"] for card in web.get("/v1/models").json()["data"]}
        shown = web.post("/api/show", json={"model": "sees"}).json()["capabilities"]
        other = web.post("/api/show", json={"model": "blind"}).json()["capabilities"]
    assert cards == {"sees": ["text", "image"], "blind": ["text"]}
    assert "vision" in shown and "vision" not in other


def test_base64_may_have_line_breaks():
    assert file_of(f"data:image/png;base64,{BASE64[:5]}\n{BASE64[5:]}\n") == FILE


@pytest.fixture(scope="module")
def web(image_folder: Callable[[str], tuple[Path, Path]]) -> TestClient:
    """A server with a small model that reads pictures."""
    checkpoint, folder = image_folder("llava")
    files = FolderFiles(folder)
    loaded = LoadedModel(
        open_model(folder, ov_config=EXACT), files.tokenizer, get_model_config(str(checkpoint)), "llava"
    )
    return TestClient(create_app({"llava": LocalModel(Answering(lambda key: loaded), loaded)}))


def picture_request(path: str, data: bytes) -> dict[str, Any]:
    return {"model": "llava", "stream": False, **in_words_of(path, "See:", base64.b64encode(data).decode())}


def test_the_same_picture_gives_the_same_answer_over_all_protocols_and_counts_as_tokens(web: TestClient):
    data = picture_file(80, 60)
    chat = web.post(CHAT, json={**picture_request(CHAT, data), "max_tokens": 5, "temperature": 0}).json()
    again = web.post(CHAT, json={**picture_request(CHAT, data), "max_tokens": 5, "temperature": 0}).json()
    messages = web.post(MESSAGES, json={**picture_request(MESSAGES, data), "max_tokens": 5, "temperature": 0}).json()
    assert chat["choices"][0]["message"]["content"] == messages["content"][0]["text"]
    without = web.post(CHAT, json={"messages": [{"role": "user", "content": "See:"}], "max_tokens": 1}).json()
    assert chat["usage"]["prompt_tokens"] - without["usage"]["prompt_tokens"] >= 9
    assert (
        again["usage"]["prompt_tokens_details"]["cached_tokens"]
        > chat["usage"]["prompt_tokens_details"]["cached_tokens"] - 1
    )
    body = {
        name: value for name, value in picture_request(MESSAGES, data).items() if name not in ("max_tokens", "stream")
    }
    counted = web.post("/v1/messages/count_tokens", json=body).json()
    assert counted["input_tokens"] == chat["usage"]["prompt_tokens"]


def test_a_prompt_with_a_picture_is_shown_with_its_tokens(web: TestClient):
    shown = web.post("/apply-template", json=picture_request(CHAT, picture_file(80, 60))).json()["prompt"]
    assert shown.count("<image>") == 9


def test_a_damaged_picture_is_a_sentence(web: TestClient):
    response = web.post(CHAT, json=picture_request(CHAT, picture_file(80, 60)[:200]))
    assert response.status_code == 400 and "A picture is damaged" in response.text
