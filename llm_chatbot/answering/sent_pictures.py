"""Pictures of a conversation that goes to another server: as data URLs, or words where its model reads none."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from llm_chatbot.answering.pictures import last_answered, picture_words
from llm_chatbot.engine.text.pictures import has_pictures

# What files of these types begin with, of those that `llm_chatbot.engine.vision.decoding` reads.
MEDIA_TYPES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif", b"BM": "image/bmp"}
OTHER_TYPE = "image/webp"

Messages = Sequence[Mapping[str, Any]]


def card_reads_pictures(card: Mapping[str, Any]) -> bool | None:
    """Whether a model reads pictures, by its card in a server's list; None: the card doesn't say.

    This project's and OpenRouter's cards have `input_modalities`, the latter in their `architecture`; Mistral's have
    `vision` among their `capabilities`.
    """
    architecture, capabilities = card.get("architecture"), card.get("capabilities")
    nested = architecture.get("input_modalities") if isinstance(architecture, dict) else None
    modalities = card.get("input_modalities") or nested
    if isinstance(modalities, list):
        return "image" in modalities
    vision = capabilities.get("vision") if isinstance(capabilities, dict) else None
    return vision if isinstance(vision, bool) else None


def with_data_urls(messages: Messages) -> list[dict[str, Any]]:
    """The messages with pictures as OpenAI's API has them."""
    return [
        {**message, "content": [_sent(part) for part in message["content"]]}
        if isinstance(message.get("content"), list)
        else dict(message)
        for message in messages
    ]


def _sent(part: Mapping[str, Any]) -> Mapping[str, Any]:
    if part["type"] != "image":
        return part
    data: bytes = part["image"]
    type = next((type for start, type in MEDIA_TYPES.items() if data.startswith(start)), OTHER_TYPE)
    return {"type": "image_url", "image_url": {"url": f"data:{type};base64,{base64.b64encode(data).decode()}"}}


def has_data_urls(messages: Messages) -> bool:
    """Whether `with_data_urls` has found a picture in messages."""
    contents = [message["content"] for message in messages if isinstance(message.get("content"), list)]
    return any(part["type"] == "image_url" for content in contents for part in content)


def with_words(messages: Messages) -> list[dict[str, Any]]:
    """The messages with words in place of all pictures."""
    return [picture_words(message) for message in messages]


def asks_about_pictures(messages: Messages) -> bool:
    """Whether a picture stands in a question that was not answered yet."""
    return has_pictures(messages[last_answered(messages) + 1 :])
