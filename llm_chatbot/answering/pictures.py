"""Which pictures of a conversation a model reads, and words in place of the others."""

from collections.abc import Mapping, Sequence
from typing import Any

from llm_chatbot.answering.models import LoadedModel
from llm_chatbot.engine.text.history import LEFT_OUT
from llm_chatbot.engine.text.pictures import has_pictures
from llm_chatbot.engine.text.prompt import Message
from llm_chatbot.engine.vision.reader import KEPT_PICTURES
from llm_chatbot.errors import UserError

# Of a question and what is before it, the latest ones.
MAX_PICTURES = KEPT_PICTURES

WORDS = {"type": "text", "text": LEFT_OUT.format(what="image") + "\n\n"}


def with_read_pictures(messages: Sequence[Message], loaded: LoadedModel) -> Sequence[Message]:
    """The messages with words for the pictures of answered turns that the model doesn't read: one would end the
    conversation otherwise.

    Raises:
        UserError: it is asked about such a picture now.
    """
    if not has_pictures(messages):
        return messages
    room = MAX_PICTURES if loaded.reads_pictures else 0
    why = UserError("image.too_many", limit=MAX_PICTURES) if room else UserError("prompt.reads_no_pictures")
    answered, read = last_answered(messages), list(messages)
    for place in reversed(range(len(messages))):
        content = messages[place].get("content")
        if not isinstance(content, list):
            continue
        count = sum(part["type"] == "image" for part in content)
        if count > room and place > answered:
            raise why
        read[place] = {**messages[place], "content": _latest(content, count - min(count, room))}
        room -= min(count, room)
    return read


def last_answered(messages: Sequence[Mapping[str, Any]]) -> int:
    """The place of the last answer; -1: there is none."""
    return max((place for place, message in enumerate(messages) if message["role"] == "assistant"), default=-1)


def picture_words(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message with words for all its pictures."""
    content = message.get("content")
    return {**message, "content": _latest(content, len(content))} if isinstance(content, list) else dict(message)


def _latest(parts: Sequence[dict[str, Any]], left_out: int) -> list[dict[str, Any]] | str:
    """The parts with words for so many of the first pictures; one text where no picture is left."""
    kept = []
    for part in parts:
        is_left_out = part["type"] == "image" and left_out > 0
        left_out -= is_left_out
        kept.append(WORDS if is_left_out else part)
    return kept if any(part["type"] == "image" for part in kept) else "".join(part["text"] for part in kept)
