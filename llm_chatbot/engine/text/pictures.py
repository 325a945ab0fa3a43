"""Pictures in messages: while a prompt is made, a mark in the text stands for each.

So all that joins and moves texts does so with pictures too. A mark has a number that nobody can guess, so that nothing
typed becomes a picture.
"""

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from llm_chatbot.engine.text.tokenizer import ChatTokenizer
from llm_chatbot.errors import UserError

_NONCE = secrets.token_hex(8)
_MARK = re.compile(f"\ue004{_NONCE}:(\\d+)\ue005")


class PromptPicture(Protocol):
    """A picture in a prompt; see `llm_chatbot.engine.vision.reader.Picture`.

    Attributes:
        token: what a chat template writes for it.
        row_token: what stands for each of its vectors in `text`.
        text: what stands for it in the prompt.
        ids: in place of those of the `row_token`.
    """

    token: str
    row_token: str
    text: str
    ids: list[int]


def has_pictures(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a part of a message is a picture."""
    return any(True for _ in _picture_parts(messages))


def _picture_parts(messages: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    contents = (message.get("content") for message in messages)
    return (part for content in contents if isinstance(content, list) for part in content if part["type"] == "image")


def pictures_in(messages: Sequence[Mapping[str, Any]]) -> list[Any]:
    """All that the messages have under "image" in their parts, in order."""
    return [part["image"] for part in _picture_parts(messages)]


def with_marks(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages with one text each, in which a mark stands for each of the `pictures_in` them."""
    count = 0
    marked = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            texts = []
            for part in content:
                if part["type"] == "image":
                    texts.append(f"\ue004{_NONCE}:{count}\ue005")
                    count += 1
                else:
                    texts.append(part["text"])
            content = "".join(texts)
        marked.append({**message, "content": content} if "content" in message else dict(message))
    return marked


def with_image_parts(message: dict[str, Any]) -> dict[str, Any]:
    """The message with the texts and pictures of its content as parts, where it has pictures."""
    content = message.get("content")
    text = content[0]["text"] if isinstance(content, list) and content else content
    if not isinstance(text, str) or not _MARK.search(text):
        return message
    pieces = _MARK.split(text)  # the numbers of the marks are every other one
    parts: list[dict[str, Any]] = []
    for index, piece in enumerate(pieces):
        if index % 2:
            parts.append({"type": "image"})
        elif piece:
            parts.append({"type": "text", "text": piece})
    return {**message, "content": parts}


def with_picture_texts(tokenizer: ChatTokenizer, rendered: str, pictures: Sequence[PromptPicture]) -> str:
    """A rendered prompt with the text of each picture where the template has written its token, or its mark.

    Raises:
        UserError: the template leaves a picture out.
    """
    if not pictures:
        return rendered
    pieces = _MARK.split(rendered)[::2] if _MARK.search(rendered) else rendered.split(pictures[0].token)
    if len(pieces) != len(pictures) + 1:
        raise UserError("prompt.no_pictures")
    own = pictures[0].row_token
    texts = [picture.text.replace(own, row_token_of(tokenizer, own)) for picture in pictures]
    return "".join(piece + text for piece, text in zip(pieces, [*texts, ""], strict=True))


def row_token_of(tokenizer: ChatTokenizer, own: str) -> str:
    """The token for each vector of a picture: the model's own, or one that no text has, where the vocabulary lacks it.

    That of LLaVA's GGUF files does.
    """
    further = (tokenizer.special_tokens_map.get(name) for name in ("unk_token", "pad_token"))
    candidates = [own, *(str(token) for token in further if token is not None)]
    return next((token for token in candidates if tokenizer.backend_tokenizer.token_to_id(token) is not None), own)


def with_picture_ids(tokenizer: ChatTokenizer, ids: list[int], pictures: Sequence[PromptPicture]) -> list[int]:
    """The ids of a prompt with those of the pictures in place of their `row_token`.

    Raises:
        UserError: the vocabulary has no such token.
    """
    if not pictures:
        return ids
    token = tokenizer.backend_tokenizer.token_to_id(row_token_of(tokenizer, pictures[0].row_token))
    rows = [id for picture in pictures for id in picture.ids]
    if token is None or ids.count(token) != len(rows):
        raise UserError("prompt.no_pictures")
    following = iter(rows)
    return [next(following) if id == token else id for id in ids]
