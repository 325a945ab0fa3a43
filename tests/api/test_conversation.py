"""Images and other parts that are no text, in the conversations of agents, over each protocol."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from llm_chatbot.api.service import create_app
from tests.fake_model import FakeModel, said

LEFT_OUT = "[image left out: it can't be read here]"
SOURCE = {"type": "base64", "media_type": "image/png", "data": "AA=="}
URL = {"url": "data:image/png;base64,AA=="}
CHAT, RESPONSES, MESSAGES, OLLAMA = "/v1/chat/completions", "/v1/responses", "/v1/messages", "/api/chat"


def asked(path: str, messages: list[dict[str, Any]]) -> tuple[Any, list[dict[str, Any]]]:
    """The response to a conversation, and the messages that the model gets."""
    model = FakeModel(said("Hi"))
    body: dict[str, Any] = {"model": "fake", ("input" if path == RESPONSES else "messages"): messages}
    if path == MESSAGES:
        body["max_tokens"] = 9
    with TestClient(create_app({"fake": model}), raise_server_exceptions=False) as web:
        response = web.post(path, json=body)
    return response, list(model.questions[0].messages) if model.questions else []


def with_image(path: str, text: str = "See:") -> dict[str, Any]:
    """A user's message with an image in the protocol of a path."""
    if path == OLLAMA:
        return {"role": "user", "content": text, "images": ["AA=="]}
    kinds = {CHAT: "text", RESPONSES: "input_text", MESSAGES: "text"}
    images: dict[str, Any] = {
        CHAT: {"type": "image_url", "image_url": URL},
        RESPONSES: {"type": "input_image", "image_url": URL["url"]},
        MESSAGES: {"type": "image", "source": SOURCE},
    }
    return {"role": "user", "content": [{"type": kinds[path], "text": text}, images[path]]}


ANSWER, NEXT = {"role": "assistant", "content": "I can't."}, {"role": "user", "content": "Go on."}


@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES, OLLAMA])
def test_an_image_in_a_turn_that_is_answered_ends_no_conversation(path: str):
    response, messages = asked(path, [with_image(path), ANSWER, NEXT])
    assert response.status_code == 200
    assert [message["content"] for message in messages] == [f"See:\n{LEFT_OUT}", "I can't.", "Go on."]


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (CHAT, "messages.2.content.1"),
        (RESPONSES, "input.2.content.1"),
        (MESSAGES, "messages.2.content.1"),
        (OLLAMA, "messages.2.images.0"),
    ],
)
@pytest.mark.parametrize("after", [[], [NEXT]], ids=["last", "before a text"])
def test_an_image_that_the_user_asks_about_now_is_refused_by_its_place(path: str, place: str, after: list):
    response, messages = asked(path, [NEXT, ANSWER, with_image(path), *after])
    assert response.status_code == 400 and not messages
    assert f"'{place}' is not valid: images are not supported by this model; send text." in response.text


RESULTS: dict[str, list[dict[str, Any]]] = {
    CHAT: [
        {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "1", "content": with_image(CHAT)["content"]},
    ],
    RESPONSES: [
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": with_image(RESPONSES)["content"]},
    ],
    MESSAGES: [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {}}]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "1", "content": with_image(MESSAGES)["content"]}],
        },
    ],
    OLLAMA: [
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]},
        {"role": "tool", "content": "See:", "images": ["AA=="]},
    ],
}


@pytest.mark.parametrize("path", RESULTS)
def test_an_image_in_the_result_of_a_tool_is_words_and_its_text_stays(path: str):
    response, messages = asked(path, [NEXT, *RESULTS[path]])
    assert response.status_code == 200
    assert messages[-1]["role"] == "tool" and messages[-1]["content"] == f"See:\n{LEFT_OUT}"


@pytest.mark.parametrize(
    ("part", "word"),
    [
        ({"type": "input_audio", "input_audio": {}}, "recording"),
        ({"type": "file", "file": {"file_id": "a"}}, "file"),
        ({"type": "video_url", "video_url": URL}, "video"),
    ],
)
def test_texts_stay_together_around_other_parts(part: dict, word: str):
    texts = [{"type": "text", "text": text} for text in ("a", "b", "c")]
    content = [*texts[:2], part, texts[2]]
    _, messages = asked(CHAT, [{"role": "user", "content": content}, ANSWER, NEXT])
    assert messages[0]["content"] == f"ab\n[{word} left out: it can't be read here]\nc"
