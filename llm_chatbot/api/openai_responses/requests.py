"""A request of Responses → what it asks for in Chat Completions."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, StrictBool, Tag, field_validator, model_validator

from llm_chatbot.api.chat_messages import (
    Body,
    ImagePart,
    LenientBody,
    UnreadPart,
    kind_of_part,
    on_lines,
    unsupported_part,
)
from llm_chatbot.api.conversation import Conversation, chat_request, check_question, refuse
from llm_chatbot.api.model_info import ModelInfo
from llm_chatbot.api.number_types import Integer, Number, PositiveInteger
from llm_chatbot.api.requests import MAX_MESSAGES, MAX_TOOLS, ChatRequest, Function, function_tool

# What a client may add for a server's records, its cache or its prices, and what only changes the stream's shape.
IGNORED_FIELDS = {
    *("client_metadata", "prompt_cache_options", "prompt_cache_retention", "safety_identifier", "service_tier"),
    *("stream_options", "user"),
}
# What would have to be remembered from one request to the next.
STATE = ("previous_response_id", "conversation", "prompt")
LOGPROBS = "message.output_text.logprobs"


class ItemPart(LenientBody):
    type: Literal["input_text", "output_text", "text", "summary_text", "reasoning_text", "refusal"]
    text: str = ""
    refusal: str = ""

    @model_validator(mode="before")
    @classmethod
    def _check_type(cls, part: Any) -> Any:
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and not kind.endswith("text") and kind != "refusal":
            raise unsupported_part(kind)
        return part

    @property
    def said(self) -> str:
        return self.text or self.refusal


AnyPart = Annotated[
    Annotated[ItemPart, Tag("said")] | Annotated[ImagePart, Tag("image")] | Annotated[UnreadPart, Tag("unread")],
    Discriminator(kind_of_part),
]
ItemContent = str | list[AnyPart]


class MessageItem(LenientBody):
    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: ItemContent


class CallItem(LenientBody):
    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str = "{}"


class ResultItem(LenientBody):
    type: Literal["function_call_output"]
    call_id: str
    output: ItemContent


class ReasoningItem(LenientBody):
    """Reasoning that is sent back. One that only its server can read says nothing here."""

    type: Literal["reasoning"]
    summary: tuple[ItemPart, ...] = ()
    content: tuple[ItemPart, ...] = ()


def _kind(item: Any) -> str | None:
    kind = item.get("type", "message") if isinstance(item, dict) else getattr(item, "type", None)
    return kind if isinstance(kind, str) else None


InputItem = Annotated[
    Annotated[MessageItem, Tag("message")]
    | Annotated[CallItem, Tag("function_call")]
    | Annotated[ResultItem, Tag("function_call_output")]
    | Annotated[ReasoningItem, Tag("reasoning")],
    Discriminator(
        _kind,
        custom_error_type="unknown_item",
        custom_error_message="items are messages, function calls, their outputs, and reasoning",
    ),
]


class FunctionTool(Function, LenientBody):
    """A function, with its type beside its name."""

    model_config = LenientBody.model_config

    type: Literal["function"]


class Namespace(LenientBody):
    """Functions with a name in common."""

    type: Literal["namespace"]
    name: str
    tools: list[FunctionTool]


class WebSearch(LenientBody):
    """Agents offer it always, and nobody here searches: the model isn't told of it."""

    type: Literal["web_search", "web_search_preview"]


AnyTool = Annotated[FunctionTool | Namespace | WebSearch, Field(discriminator="type")]


class NamedFunctionTool(LenientBody):
    type: Literal["function"]
    name: str


class ReasoningOptions(LenientBody):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None


class TextFormat(Body):
    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str = "answer"
    description: str = ""
    json_schema: dict[str, Any] | StrictBool | None = Field(default=None, alias="schema")
    strict: bool = True

    def as_response_format(self) -> dict[str, Any]:
        if self.type != "json_schema":
            return {"type": self.type}
        schema = {"name": self.name, "description": self.description, "schema": self.json_schema, "strict": self.strict}
        return {"type": self.type, "json_schema": schema}


class TextOptions(LenientBody):
    """`verbosity` is not among them: no chat template knows it."""

    format: TextFormat = TextFormat()


class ResponsesRequest(Body):
    """The body of a request. Fields that are not OpenAI's, such as `min_p`, are those of Chat Completions."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    model: str | None = None
    input: str | Annotated[list[InputItem], Field(max_length=MAX_MESSAGES)] = Field(min_length=1)
    instructions: str | None = None
    max_output_tokens: PositiveInteger | None = None
    temperature: Number | None = None
    top_p: Number | None = None
    top_logprobs: Integer | None = None
    include: tuple[str, ...] = ()
    tools: tuple[AnyTool, ...] = Field((), max_length=MAX_TOOLS)
    tool_choice: Literal["none", "auto", "required"] | NamedFunctionTool = "auto"
    parallel_tool_calls: bool = True
    reasoning: ReasoningOptions = ReasoningOptions()
    text: TextOptions = TextOptions()
    truncation: Literal["auto", "disabled"] = "disabled"
    store: bool = False
    metadata: dict[str, Any] = Field(default_factory=dict)
    background: Literal[False] = False
    prompt_cache_key: str | None = None
    stream: bool = False

    ignored = IGNORED_FIELDS

    @model_validator(mode="before")
    @classmethod
    def _check_state(cls, values: Any) -> Any:
        for name in STATE:
            if isinstance(values, dict) and values.get(name) is not None:
                raise ValueError(f"{name!r} needs a server that remembers; send the whole conversation as 'input'")
        return values

    @field_validator("background", mode="before")
    @classmethod
    def _check_background(cls, value: Any) -> Any:
        if value:
            raise ValueError("an answer that nobody waits for is not kept; use 'stream'")
        return value

    @property
    def functions(self) -> Iterator[tuple[FunctionTool, str | None]]:
        """The functions that the model is told of, with their namespaces."""
        for tool in self.tools:
            if isinstance(tool, FunctionTool):
                yield tool, None
            elif isinstance(tool, Namespace):
                yield from ((function, tool.name) for function in tool.tools)

    @property
    def wants_logprobs(self) -> bool:
        return LOGPROBS in self.include or bool(self.top_logprobs)

    def as_chat(self, info: ModelInfo) -> ChatRequest:
        """
        Args:
            info: whether the model reads pictures.

        Raises:
            RequestValidationError: a value is out of range, or nobody knows a field.
        """
        effort = self.reasoning.effort
        fields = {
            "model": self.model,
            "messages": self._messages(info.reads_images),
            "max_tokens": self.max_output_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "logprobs": self.wants_logprobs,
            "top_logprobs": self.top_logprobs,
            "tools": [function_tool(tool.name, tool.description, tool.parameters) for tool, _ in self.functions],
            "tool_choice": self._tool_choice(),
            "parallel_tool_calls": self.parallel_tool_calls,
            "response_format": self.text.format.as_response_format(),
            "reasoning_effort": "high" if effort in ("xhigh", "max") else effort,
            "prompt_cache_key": self.prompt_cache_key,
            "stream": self.stream,
        }
        return chat_request(fields, self.model_extra or {})

    def _tool_choice(self) -> Any:
        if isinstance(self.tool_choice, NamedFunctionTool):
            return {"type": "function", "function": {"name": self.tool_choice.name}}
        return self.tool_choice

    def _messages(self, reads_images: bool) -> list[dict[str, Any]]:
        if not isinstance(self.input, str):
            check_question([turn_of(item, f"input.{index}") for index, item in enumerate(self.input)], reads_images)
        conversation = Conversation()
        if self.instructions:
            conversation.say("system", self.instructions)
        for item in [MessageItem(role="user", content=self.input)] if isinstance(self.input, str) else self.input:
            add_item(conversation, item, reads_images)
        if not conversation.messages:
            refuse("input", {"input": self.input}, "value_error", "it says nothing")
        return conversation.messages


def add_item(
    conversation: Conversation, item: MessageItem | CallItem | ResultItem | ReasoningItem, reads_images: bool
) -> None:
    if isinstance(item, MessageItem) and reads_images and item.role == "user" and not isinstance(item.content, str):
        conversation.messages.append({"role": "user", "content": [chat_part(part) for part in item.content]})
    elif isinstance(item, MessageItem):
        conversation.say("system" if item.role == "developer" else item.role, item_text(item.content))
    elif isinstance(item, CallItem):
        conversation.call(item.call_id, item.name, item.arguments)
    elif isinstance(item, ResultItem):
        conversation.result(item.call_id, item_text(item.output))
    elif thought := item_text(item.content) or item_text(item.summary):
        conversation.think(thought)


def chat_part(part: ItemPart | UnreadPart) -> dict[str, Any]:
    """A part of the user's message as Chat Completions has it."""
    if isinstance(part, ImagePart):
        return {"type": "image_url", "image_url": {"url": part.url}}
    return {"type": "text", "text": part.said if isinstance(part, ItemPart) else part.text}


def item_text(content: str | Sequence[ItemPart | UnreadPart]) -> str:
    if isinstance(content, str):
        return content
    return on_lines(*(part.said if isinstance(part, ItemPart) else part.text for part in content))


def turn_of(item: Any, place: str) -> tuple[str, str, Sequence[Any]]:
    """An item as `check_question` takes a turn: reasoning and calls are the assistant's."""
    if isinstance(item, MessageItem):
        return item.role, f"{place}.content", item.content if isinstance(item.content, list) else []
    return "tool" if isinstance(item, ResultItem) else "assistant", place, []
