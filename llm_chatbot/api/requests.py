"""The bodies of requests, after https://platform.openai.com/docs/api-reference.

Everything else is refused by its name. `top_k`, `min_p`, `repetition_penalty` and `thinking_budget` are not OpenAI's;
most servers of open models know them.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, field_validator, model_validator

from llm_chatbot.engine.text.reasoning import REASONING_END, REASONING_START

# Limits on what one request can cost before the model sees it.
MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_MESSAGES = 2048
MAX_CHOICES = 8
MAX_STOPS = 4
MAX_TOOLS = 128
MAX_SCHEMA_BYTES = 64 * 1024
MAX_SCHEMA_DEPTH = 32

# Fields that are not supported, with the values that change nothing and are accepted.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "best_of": (1,),
    "echo": (False,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "presence_penalty": (0,),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "suffix": ("",),
}
# What is called what in the types of a message's parts.
PARTS = {"image": "images", "audio": "recordings", "video": "videos", "file": "files", "refusal": "refusals"}
# Fields that a server writes into its answers, and that say nothing in a conversation that is sent back.
WRITTEN_BY_SERVERS = {"annotations", "audio", "id", "index", "provider_specific_fields", "reasoning_details"}
# Labels for the operator's records, which don't change an answer.
LABELS = {"metadata", "safety_identifier", "user"}


def unsupported_part(kind: str) -> ValueError:
    """The fault of a message's part that is no text."""
    what = next((name for mark, name in PARTS.items() if mark in kind), f"parts of the type {kind!r}")
    return ValueError(f"{what} are not supported; send text")


class Body(BaseModel):
    """A part of a request. Null is the same as leaving a field out."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {name: value for name, value in values.items() if value is not None}


class LenientBody(Body):
    """A part that may have fields of which the model learns nothing, such as ids, states and marks of caches."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())


class TextPart(Body):
    type: Literal["text"]
    text: str

    @model_validator(mode="before")
    @classmethod
    def _check_type(cls, part: Any) -> Any:
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind != "text":
            raise unsupported_part(kind)
        return part


class FunctionCall(Body):
    name: str
    arguments: str = "{}"


class CallInMessage(Body):
    id: str = ""
    type: Literal["function"] = "function"
    function: FunctionCall

    @model_validator(mode="before")
    @classmethod
    def _drop_index(cls, call: Any) -> Any:
        """A stream's calls have their place in the message."""
        return {name: value for name, value in call.items() if name != "index"} if isinstance(call, dict) else call


class ChatMessage(Body):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] = ""
    name: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[CallInMessage] = []
    tool_call_id: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _take_back(cls, message: Any) -> Any:
        """An answer as servers write it: their own fields are dropped, and a refusal is what was said."""
        if not isinstance(message, dict) or message.get("role") != "assistant":
            return message
        taken = {name: value for name, value in message.items() if name not in WRITTEN_BY_SERVERS}
        refusal, reasoning = taken.pop("refusal", None), taken.pop("reasoning", None)
        if refusal and not taken.get("content"):
            taken["content"] = refusal
        if reasoning and not taken.get("reasoning_content"):
            taken["reasoning_content"] = reasoning
        return taken

    @model_validator(mode="after")
    def _check_role(self) -> "ChatMessage":
        if self.name is not None and self.role != "tool":
            raise ValueError("'name' is supported in tool messages only; write it into the content")
        if self.tool_calls and self.role != "assistant":
            raise ValueError("'tool_calls' belong to an assistant message")
        return self

    def for_template(self) -> dict[str, Any]:
        """As the engine takes it: one text that begins with its reasoning, and the arguments of calls as objects."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
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


class Function(Body):
    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    description: str = ""
    parameters: dict[str, Any] | StrictBool = Field(default_factory=lambda: {"type": "object", "properties": {}})
    strict: bool = False


class Tool(Body):
    type: Literal["function"]
    function: Function


class NamedFunction(Body):
    name: str


class NamedTool(Body):
    type: Literal["function"]
    function: NamedFunction


class JSONSchema(Body):
    name: str
    description: str = ""
    json_schema: dict[str, Any] | StrictBool = Field(alias="schema")
    strict: bool = True


class ResponseFormat(Body):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JSONSchema | None = None

    @model_validator(mode="after")
    def _check_schema(self) -> "ResponseFormat":
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("'json_schema' belongs to the type json_schema")
        return self

    @property
    def wanted_schema(self) -> dict[str, Any] | bool | None:
        """The JSON schema of the answer; None for free text."""
        if self.json_schema is not None:
            return self.json_schema.json_schema
        return {"type": "object"} if self.type == "json_object" else None


class StreamOptions(Body):
    include_usage: bool = False


class ChatTemplateKwargs(Body):
    enable_thinking: bool | None = None


class CommonRequest(Body):
    """The fields that both kinds of requests have."""

    model: str
    temperature: float = Field(1.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0)
    min_p: float = Field(0.0, ge=0, le=1)
    repetition_penalty: float = Field(1.0, gt=0, le=2)
    max_tokens: int | None = Field(None, ge=1)
    n: int = Field(1, ge=1, le=MAX_CHOICES)
    seed: int | None = None
    stop: str | list[str] = []
    stream: bool = False
    stream_options: StreamOptions | None = None
    prompt_cache_key: str | None = Field(None, max_length=256)

    @model_validator(mode="before")
    @classmethod
    def _drop_what_changes_nothing(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {
            name: value for name, value in values.items() if name not in LABELS and value not in NEUTRAL.get(name, ())
        }

    @field_validator("stop")
    @classmethod
    def _check_stop(cls, stop: Any) -> Any:
        if isinstance(stop, list) and len(stop) > MAX_STOPS:
            raise ValueError(f"at most {MAX_STOPS} stop strings are supported")
        return stop

    @model_validator(mode="after")
    def _check_stream_options(self) -> "CommonRequest":
        if self.stream_options is not None and not self.stream:
            raise ValueError("'stream_options' needs 'stream'")
        return self

    @property
    def limit(self) -> int | None:
        """The maximum number of tokens of the answer; None: as many as the context and the server allow."""
        return self.max_tokens

    @property
    def stops(self) -> tuple[str, ...]:
        """The strings that end an answer, without empty ones."""
        return tuple(filter(None, [self.stop] if isinstance(self.stop, str) else self.stop))

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with the numbers of tokens."""
        return self.stream_options is not None and self.stream_options.include_usage


class ChatRequest(CommonRequest):
    messages: list[ChatMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool = False
    top_logprobs: int = Field(0, ge=0, le=20)
    response_format: ResponseFormat = ResponseFormat(type="text")
    tools: list[Tool] = Field([], max_length=MAX_TOOLS)
    tool_choice: Literal["none", "auto", "required"] | NamedTool = "auto"
    parallel_tool_calls: bool = True
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high"] | None = None
    chat_template_kwargs: ChatTemplateKwargs = ChatTemplateKwargs()
    thinking_budget: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _check(self) -> "ChatRequest":
        if self.top_logprobs and not self.logprobs:
            raise ValueError("'top_logprobs' needs 'logprobs'")
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise ValueError("give 'max_tokens' or 'max_completion_tokens', not both")
        if self.forced_tools and self.response_format.type != "text":
            raise ValueError("an answer is either a forced tool call or has a 'response_format'")
        for schema in [self.response_format.wanted_schema, *(tool.function.parameters for tool in self.tools)]:
            check_schema_size(schema)
        return self

    @property
    def limit(self) -> int | None:
        """The maximum number of tokens of the answer."""
        return self.max_tokens or self.max_completion_tokens

    @property
    def offered_tools(self) -> list[Tool]:
        """The tools that the model is told of."""
        return [] if self.tool_choice == "none" else self.tools

    @property
    def forced_tools(self) -> list[Tool]:
        """The tools of which one has to be called; empty if the model may choose not to."""
        if isinstance(self.tool_choice, NamedTool):
            chosen = [tool for tool in self.tools if tool.function.name == self.tool_choice.function.name]
            if not chosen:
                raise ValueError("'tool_choice' names none of the 'tools'")
            return chosen
        if self.tool_choice == "required":
            if not self.tools:
                raise ValueError("'tool_choice' needs 'tools'")
            return self.tools
        return []


class CompletionRequest(CommonRequest):
    prompt: str | Annotated[list[str], Field(min_length=1, max_length=MAX_CHOICES)]
    logprobs: int | None = Field(None, ge=0, le=20)

    @field_validator("prompt", mode="before")
    @classmethod
    def _check_prompt(cls, prompt: Any) -> Any:
        if isinstance(prompt, list) and any(isinstance(item, int | list) for item in prompt):
            raise ValueError("token ids are not supported; send the text")
        return prompt

    @property
    def limit(self) -> int:
        """The maximum number of tokens of the text; OpenAI's default is short."""
        return self.max_tokens or 16

    @property
    def prompts(self) -> list[str]:
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt


def as_object(arguments: str) -> Any:
    """A call's arguments; the text itself where it isn't JSON, as a model may have written it."""
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments


def check_schema_size(schema: dict[str, Any] | bool | None) -> None:
    """Raises a `ValueError` if a JSON schema is too large to be compiled for one request."""
    if schema is None:
        return
    if len(json.dumps(schema)) > MAX_SCHEMA_BYTES:
        raise ValueError(f"a JSON schema has at most {MAX_SCHEMA_BYTES} bytes")
    if depth(schema) > MAX_SCHEMA_DEPTH:
        raise ValueError(f"a JSON schema is at most {MAX_SCHEMA_DEPTH} levels deep")


def depth(value: Any) -> int:
    """How many levels of objects and lists a JSON value has."""
    levels, level = 0, [value]
    while level := [value for value in level if isinstance(value, dict | list)]:
        levels += 1
        level = [child for value in level for child in (value.values() if isinstance(value, dict) else value)]
    return levels
