"""The messages of a chat request, after https://platform.openai.com/docs/api-reference/chat.

What servers write into their answers, and what says nothing to a model, is accepted back and left out.
"""

import json
from collections.abc import Collection, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Tag, model_validator

from llm_chatbot.api.pictures import file_of
from llm_chatbot.engine.text.history import LEFT_OUT
from llm_chatbot.engine.text.reasoning import REASONING_END, REASONING_START
from llm_chatbot.machine.json_value import json_value

# What is called what in the types of a message's parts, and all of them.
PARTS = {
    "image": ("image", "images"),
    "audio": ("recording", "recordings"),
    "video": ("video", "videos"),
    "file": ("file", "files"),
    "document": ("document", "documents"),
}
# The types of pictures in Chat Completions and in Responses.
IMAGE_KINDS = ("image_url", "input_image")
# Fields of answers that say nothing in a conversation that is sent back.
WRITTEN_BY_SERVERS = {"annotations", "audio", "id", "index", "parsed", "parsed_arguments", "provider_specific_fields"}
WRITTEN_BY_SERVERS |= {"cache_control", "extra_content", "reasoning_details", "thinking_blocks"}


def unsupported_part(kind: str) -> ValueError:
    """The fault of a message's part that is no text."""
    what = next((all for mark, (_, all) in PARTS.items() if mark in kind), f"parts of the type {kind!r}")
    return ValueError(f"{what} are not supported by this model; send text")


def kind_of_part(part: Any) -> str:
    """Whether a part of a message is "said", an "image", or "unread": of a kind that only other models read."""
    kind = part.get("type") if isinstance(part, dict) else getattr(part, "type", None)
    if isinstance(kind, str) and kind in IMAGE_KINDS:
        return "image"
    return "unread" if isinstance(kind, str) and any(mark in kind for mark in PARTS) else "said"


class Body(BaseModel):
    """A part of a request. Null is the same as leaving a field out.

    Attributes:
        ignored: names that are accepted and left out, where they are no fields.
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    ignored: ClassVar[Collection[str]] = ()

    @model_validator(mode="before")
    @classmethod
    def _drop_what_changes_nothing(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        ignored = set(cls.ignored) - cls.model_fields.keys()
        return {name: value for name, value in values.items() if value is not None and name not in ignored}


class LenientBody(Body):
    """A part that may have fields of which the model learns nothing, such as ids, states and marks of caches."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())


class SentBack(Body):
    """A part of a message, which a server may have written."""

    ignored = WRITTEN_BY_SERVERS


class TextPart(SentBack):
    type: Literal["text"]
    text: str

    @model_validator(mode="before")
    @classmethod
    def _check_type(cls, part: Any) -> Any:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "refusal":  # what an answer said in place of a text
            return {"type": "text", "text": part.get("refusal")}
        if isinstance(kind, str) and kind != "text":
            raise unsupported_part(kind)
        return part


class UnreadPart(LenientBody):
    """A part that is no text. In a conversation that goes on, words stand for it."""

    type: str

    @property
    def text(self) -> str:
        return LEFT_OUT.format(what=next(one for mark, (one, _) in PARTS.items() if mark in self.type))


class ImagePart(UnreadPart):
    """A picture, which some models read; for others it is an `UnreadPart`.

    Attributes:
        image_url: the address, or an object with one. It is looked at only where the picture is read.
    """

    type: Literal["image_url", "input_image"]
    image_url: Any = None

    @property
    def url(self) -> Any:
        return self.image_url.get("url") if isinstance(self.image_url, dict) else self.image_url


MessagePart = Annotated[
    Annotated[TextPart, Tag("said")] | Annotated[ImagePart, Tag("image")] | Annotated[UnreadPart, Tag("unread")],
    Discriminator(kind_of_part),
]


class FunctionCall(SentBack):
    name: str
    arguments: str = "{}"


class CallInMessage(SentBack):
    id: str = ""
    type: Literal["function"] = "function"
    function: FunctionCall


class ChatMessage(SentBack):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[MessagePart] = ""
    name: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[CallInMessage] = []
    tool_call_id: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _take_back(cls, message: Any) -> Any:
        """An answer as servers write it: a refusal is what was said, and reasoning has two names."""
        if not isinstance(message, dict) or message.get("role") != "assistant":
            return message
        taken = dict(message)
        refusal, reasoning = taken.pop("refusal", None), taken.pop("reasoning", None)
        if refusal and not taken.get("content"):
            taken["content"] = refusal
        if reasoning and not taken.get("reasoning_content"):
            taken["reasoning_content"] = reasoning
        return taken

    @model_validator(mode="after")
    def _check_role(self) -> "ChatMessage":
        if self.tool_calls and self.role != "assistant":
            raise ValueError("'tool_calls' belong to an assistant message")
        return self

    def for_template(self, reads_images: bool = False) -> dict[str, Any]:
        """As the engine takes it: one text that begins with its reasoning, and the arguments of calls as objects.

        Args:
            reads_images: whether the user's pictures stay pictures; the content is a list of parts then.
        """
        if reads_images and self.role == "user" and (parts := with_pictures(self.content)):
            return {"role": "user", "content": parts, **({"name": self.name} if self.name else {})}
        text = self.content if isinstance(self.content, str) else text_of_parts(self.content)
        if self.reasoning_content:
            text = f"{REASONING_START}\n{self.reasoning_content}\n{REASONING_END}\n\n{text}"
        message: dict[str, Any] = {"role": "system" if self.role == "developer" else self.role, "content": text}
        if self.tool_calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.function.name, "arguments": as_object(call.function.arguments)},
                }
                for call in self.tool_calls
            ]
        if self.name:
            message["name"] = self.name
        if self.tool_call_id:
            message["tool_call_id"] = self.tool_call_id
        return message


def text_of_parts(parts: Sequence[TextPart | UnreadPart]) -> str:
    """The texts one after the other; words for a part that is none stand on a line of their own."""
    lines = [""]
    for part in parts:
        lines += [part.text, ""] if isinstance(part, UnreadPart) else [lines.pop() + part.text]
    return on_lines(*lines)


def with_pictures(content: str | Sequence[TextPart | UnreadPart]) -> list[dict[str, Any]]:
    """The parts of a message as the engine takes them, with the bytes of pictures; empty if there are no pictures.

    What can't be read is words: `check_question` refuses it where the user asks about it now.
    """
    parts: list[dict[str, Any]] = []
    for part in [] if isinstance(content, str) else content:
        try:
            new = {"type": "image", "image": file_of(part.url)} if isinstance(part, ImagePart) else None
        except ValueError:
            new = None
        parts.append(new or {"type": "text", "text": part.text})
    return parts if any(part["type"] == "image" for part in parts) else []


def on_lines(*texts: str) -> str:
    """Texts, each on lines of its own."""
    return "\n".join(filter(None, texts))


def as_object(arguments: str) -> Any:
    """A call's arguments; the text itself where it isn't JSON, as a model may have written it."""
    try:
        return json_value(arguments)
    except json.JSONDecodeError:
        return arguments
