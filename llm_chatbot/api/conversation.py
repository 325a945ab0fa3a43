"""The messages of Chat Completions, from protocols whose turns have other parts."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, NoReturn, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from llm_chatbot.api.chat_messages import Body, UnreadPart, on_lines, unsupported_part
from llm_chatbot.api.errors import APIError
from llm_chatbot.api.pictures import file_of
from llm_chatbot.api.requests import ChatRequest

AnyRequest = TypeVar("AnyRequest", bound=Body)

# Fields of a Chat Completions request that another protocol says with words of its own.
SAID_OTHERWISE = frozenset(
    {
        *("logprobs", "max_completion_tokens", "max_tokens", "messages", "n", "parallel_tool_calls"),
        *("reasoning_effort", "response_format", "stop", "stream_options", "tool_choice", "tools", "top_logprobs"),
    }
)


class Conversation:
    """Messages that grow by what is said, thought, called and answered.

    What belongs to one turn of the assistant becomes one message, and so do the system's texts at the beginning:
    many chat templates take only one of those.

    Attributes:
        messages: as `ChatRequest` takes them.

    Args:
        merges_users: whether texts of the user that follow each other are one message.
    """

    def __init__(self, merges_users: bool = False) -> None:
        self.messages: list[dict[str, Any]] = []
        self._merged = {"user"} if merges_users else set()

    def say(self, role: str, text: str) -> None:
        if role == "assistant":
            message = self._assistant()
            message["content"] = on_lines(message["content"], text)
        elif self._is_begun(role):
            self._go_on(text)
        else:
            self.messages.append({"role": role, "content": text})

    def show(self, url: Any) -> None:
        """Adds a picture of the user, where texts of the user are merged."""
        part = {"type": "image_url", "image_url": {"url": url}}
        if not self._is_begun("user"):
            self.messages.append({"role": "user", "content": []})
        message = self.messages[-1]
        if isinstance(message["content"], str):
            message["content"] = [{"type": "text", "text": message["content"]}]
        message["content"].append(part)

    def _go_on(self, text: str) -> None:
        """Adds a text to the last message."""
        message = self.messages[-1]
        if isinstance(message["content"], str):
            message["content"] = on_lines(message["content"], text)
        elif message["content"] and message["content"][-1]["type"] == "text":
            message["content"][-1]["text"] = on_lines(message["content"][-1]["text"], text)
        else:
            message["content"].append({"type": "text", "text": text})

    def think(self, text: str) -> None:
        message = self._assistant()
        message["reasoning_content"] = on_lines(message.get("reasoning_content", ""), text)

    def call(self, id: str, name: str, arguments: str) -> None:
        function = {"name": name, "arguments": arguments}
        self._assistant().setdefault("tool_calls", []).append({"id": id, "type": "function", "function": function})

    def result(self, id: str, text: str) -> None:
        self.messages.append({"role": "tool", "tool_call_id": id, "content": text})

    def _assistant(self) -> dict[str, Any]:
        if not self.messages or self.messages[-1]["role"] != "assistant":
            self.messages.append({"role": "assistant", "content": ""})
        return self.messages[-1]

    def _is_begun(self, role: str) -> bool:
        """Whether the last message is one that a text of this role is added to."""
        if not self.messages or self.messages[-1]["role"] != role:
            return False
        is_opening = role == "system" and all(message["role"] == "system" for message in self.messages)
        return is_opening or role in self._merged


def check_question(turns: Sequence[tuple[str, str, Sequence[Any]]], reads_images: bool) -> None:
    """Refuses parts that the model can't read where the user asks about them now.

    In turns that are answered, and in the results of tools, words stand for them: one image would end the conversation.

    Args:
        turns: of each its role, the place of its parts in the request, and the parts.
        reads_images: whether the model reads pictures.

    Raises:
        APIError: there is such a part; the sentence names its place.
    """
    open_turns = takewhile(lambda turn: turn[0] != "assistant", reversed(turns))
    for place, parts in ((place, parts) for role, place, parts in open_turns if role == "user"):
        for index, part in enumerate(parts):
            if reason := why_unread(part, reads_images):
                param = f"{place}.{index}"
                raise APIError("api.invalid_field", param=param, code="invalid_value", field=repr(param), reason=reason)


def why_unread(part: Any, reads_images: bool) -> str:
    """Why a part is not read; empty if it is."""
    if not isinstance(part, UnreadPart):
        return ""
    if not reads_images or not hasattr(part, "url"):
        return str(unsupported_part(part.type))
    try:
        file_of(part.url)
    except ValueError as error:
        return str(error)
    return ""


def chat_request(fields: Mapping[str, Any], extra: Mapping[str, Any]) -> ChatRequest:
    """A request in the words of Chat Completions.

    Args:
        fields: what the protocol has said.
        extra: fields that it doesn't know: those that Chat Completions has beside OpenAI's, such as `min_p`.

    Raises:
        RequestValidationError: a value is out of range, or nobody knows a field.
    """
    for name in extra.keys() & SAID_OTHERWISE:
        refuse(name, extra, "extra_forbidden", "Extra inputs are not permitted")
    return validated(ChatRequest, {**extra, **{name: value for name, value in fields.items() if value is not None}})


def validated(kind: type[AnyRequest], body: Mapping[str, Any]) -> AnyRequest:
    """A request of this kind.

    Raises:
        RequestValidationError: a value is out of range, or a field is unknown; as if the body had been sent.
    """
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()]
        raise RequestValidationError(faults, body=body) from error


def refuse(field: str, body: Mapping[str, Any], kind: str, reason: str) -> NoReturn:
    """Raises what pydantic would for a field."""
    raise RequestValidationError([{"type": kind, "loc": ("body", field), "msg": reason}], body=dict(body))
