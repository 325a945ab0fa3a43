"""A request of Messages → what it asks for in Chat Completions."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from llm_chatbot.api.chat_messages import Body, LenientBody, UnreadPart, on_lines, unsupported_part
from llm_chatbot.api.conversation import Conversation, chat_request, check_question, refuse
from llm_chatbot.api.model_info import ModelInfo
from llm_chatbot.api.number_types import Count, PositiveInteger
from llm_chatbot.api.pictures import data_url
from llm_chatbot.api.requests import MAX_MESSAGES, MAX_TOOLS, ChatRequest, function_tool

# What is for a server's records, caches and prices. Of a context that is managed nothing is left out: a prompt that is
# too long is refused.
UNREAD_FIELDS = {
    *("cache_control", "context_management", "diagnostics", "inference_geo", "metadata", "service_tier", "speed"),
    *("user_profile_id", "workspace_id"),
}
SPOKEN, CALLED, THOUGHT = {"text"}, {"tool_use", "tool_result"}, {"thinking", "redacted_thinking"}
UNREAD = {"image", "document"}


def _check_block(block: Any) -> Any:
    kind = block.get("type") if isinstance(block, dict) else None
    if isinstance(kind, str) and kind not in SPOKEN | CALLED | THOUGHT | UNREAD:
        raise unsupported_part(kind)
    return block


class TextBlock(LenientBody):
    type: Literal["text"]
    text: str


class UnreadBlock(UnreadPart):
    type: Literal["document"]


class ImageBlock(UnreadPart):
    """A picture, which some models read.

    Attributes:
        source: looked at only where the picture is read.
    """

    type: Literal["image"]
    source: Any = None

    @property
    def url(self) -> Any:
        source = self.source if isinstance(self.source, dict) else {}
        if source.get("type") == "base64":
            return data_url(source.get("data"), source.get("media_type"))
        return source.get("url")


class ThinkingBlock(LenientBody):
    type: Literal["thinking"]
    thinking: str


class RedactedThinkingBlock(LenientBody):
    """Reasoning that only its server can read: it says nothing here."""

    type: Literal["redacted_thinking"]


class ToolUseBlock(LenientBody):
    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any] = Field(default_factory=dict)


SaidBlock = Annotated[TextBlock | ImageBlock | UnreadBlock, Field(discriminator="type"), BeforeValidator(_check_block)]
BlockText = str | list[SaidBlock]


class ToolResultBlock(LenientBody):
    type: Literal["tool_result"]
    tool_use_id: str
    content: BlockText = ""


ContentBlock = Annotated[
    TextBlock | ImageBlock | UnreadBlock | ThinkingBlock | RedactedThinkingBlock | ToolUseBlock | ToolResultBlock,
    Field(discriminator="type"),
    BeforeValidator(_check_block),
]


class MessageTurn(LenientBody):
    role: Literal["user", "assistant", "system"]
    content: str | list[ContentBlock]


class OfferedTool(LenientBody):
    name: str
    description: str = ""
    input_schema: dict[str, Any]

    @model_validator(mode="before")
    @classmethod
    def _check_type(cls, tool: Any) -> Any:
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind not in (None, "custom"):
            raise ValueError(f"tools of the type {kind!r} are Anthropic's own; give one with an 'input_schema'")
        return tool


class ToolChoice(LenientBody):
    type: Literal["auto", "any", "tool", "none"] = "auto"
    name: str = ""
    disable_parallel_tool_use: bool = False

    def as_chat(self) -> Any:
        if self.type == "tool":
            return {"type": "function", "function": {"name": self.name}}
        return "required" if self.type == "any" else self.type


class Thinking(LenientBody):
    type: Literal["enabled", "disabled", "adaptive", "between_tools"] = "disabled"
    budget_tokens: Count | None = None
    display: Literal["summarized", "omitted"] = "summarized"

    @property
    def is_wanted(self) -> bool:
        return self.type != "disabled"

    @property
    def is_shown(self) -> bool:
        return self.is_wanted and self.display != "omitted"


class OutputFormat(LenientBody):
    type: Literal["json_schema"]
    json_schema: dict[str, Any] = Field(alias="schema")


class OutputConfig(LenientBody):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


class CountRequest(Body):
    """The body of a request that counts the tokens of a prompt. `min_p` and its like are those of Chat Completions."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    model: str | None = None
    messages: list[MessageTurn] = Field(min_length=1, max_length=MAX_MESSAGES)
    system: BlockText = ""
    tools: tuple[OfferedTool, ...] = Field((), max_length=MAX_TOOLS)
    tool_choice: ToolChoice = ToolChoice()
    thinking: Thinking = Thinking()
    output_config: OutputConfig = OutputConfig()
    max_tokens: PositiveInteger | None = None
    stop_sequences: tuple[str, ...] = ()
    stream: bool = False

    ignored = UNREAD_FIELDS

    def as_chat(self, info: ModelInfo) -> ChatRequest:
        """
        Args:
            info: what the model's chat template reads. What it doesn't read of thinking and effort isn't asked for.

        Raises:
            RequestValidationError: a value is out of range, or nobody knows a field.
        """
        effort, thinking = self.output_config.effort, self.thinking.is_wanted
        fields = {
            "model": self.model,
            "messages": self._messages(info.reads_images),
            "max_tokens": self.max_tokens,
            "stop": list(self.stop_sequences),
            "tools": [function_tool(tool.name, tool.description, tool.input_schema) for tool in self.tools],
            "tool_choice": self.tool_choice.as_chat(),
            "parallel_tool_calls": not self.tool_choice.disable_parallel_tool_use,
            "response_format": self._response_format(),
            "thinking_budget": self.thinking.budget_tokens,
            "stream": self.stream,
        }
        if "enable_thinking" in info.variables:
            fields["chat_template_kwargs"] = {"enable_thinking": thinking}
        if "reasoning_effort" in info.variables and thinking and effort is not None:
            fields["reasoning_effort"] = "high" if effort in ("xhigh", "max") else effort
        return chat_request(fields, self.model_extra or {})

    def _messages(self, reads_images: bool) -> list[dict[str, Any]]:
        parts = [[] if isinstance(message.content, str) else message.content for message in self.messages]
        turns = [(message.role, f"messages.{i}.content", parts[i]) for i, message in enumerate(self.messages)]
        check_question(turns, reads_images)
        conversation = Conversation(merges_users=True)
        if system := block_text(self.system):
            conversation.say("system", system)
        for message in self.messages:
            blocks = message.content
            if isinstance(blocks, str):
                blocks = [TextBlock(type="text", text=blocks)]
            for block in blocks:
                add_block(conversation, message.role, block, reads_images)
        if not conversation.messages:
            refuse("messages", {"messages": self.messages}, "value_error", "they say nothing")
        return conversation.messages

    def _response_format(self) -> dict[str, Any] | None:
        if self.output_config.format is None:
            return None
        schema = {"name": "answer", "schema": self.output_config.format.json_schema}
        return {"type": "json_schema", "json_schema": schema}


class MessagesRequest(CountRequest):
    max_tokens: PositiveInteger

    @field_validator("stop_sequences")
    @classmethod
    def _without_empty(cls, strings: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(filter(None, strings))


def add_block(conversation: Conversation, role: str, block: Any, reads_images: bool) -> None:
    if isinstance(block, ImageBlock) and reads_images and role == "user":
        conversation.show(block.url)
    elif isinstance(block, TextBlock | UnreadPart):
        conversation.say(role, block.text)
    elif isinstance(block, ThinkingBlock):
        conversation.think(block.thinking)
    elif isinstance(block, ToolUseBlock):
        conversation.call(block.id, block.name, json.dumps(block.input, ensure_ascii=False))
    elif isinstance(block, ToolResultBlock):
        conversation.result(block.tool_use_id, block_text(block.content))


def block_text(content: str | Sequence[TextBlock | UnreadPart]) -> str:
    return content if isinstance(content, str) else on_lines(*(block.text for block in content))
