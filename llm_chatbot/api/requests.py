"""The bodies of requests, after https://platform.openai.com/docs/api-reference.

What changes an answer is honoured, or refused by its name. What can't change it is accepted. A limit above what is
possible is lowered: such an answer ends with "length". `top_k`, `min_p`, `repetition_penalty` and `thinking_budget` are
not OpenAI's; most servers of open models know them.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, model_validator

from llm_chatbot.api.chat_messages import Body, ChatMessage, SentBack
from llm_chatbot.api.number_types import NO_LIMIT, Count, Integer, NumLogprobs, TokenIds, TokenLimit
from llm_chatbot.api.sampling_fields import SamplingFields
from llm_chatbot.api.texts_or_ids import ONE_KIND, listed

# Limits on what one request can cost before the model sees it.
MAX_BODY_BYTES = 24 * 1024 * 1024  # a photo in Base64, and those of earlier turns
MAX_MESSAGES = 2048
MAX_CHOICES = 8
MAX_PROMPTS = 64
MAX_TOOLS = 128
MAX_SCHEMA_BYTES = 64 * 1024
MAX_SCHEMA_DEPTH = 32

# Fields that are not supported, with the values that change nothing and are accepted.
NEUTRAL: dict[str, tuple[Any, ...]] = {"best_of": (1,), "echo": (False,), "modalities": (["text"],)}
# Fields that change no answer: labels for the operator's records, prices, what is kept, and hints for speed.
IGNORED = {"cache_prompt", "metadata", "prediction", "prompt_cache_retention", "safety_identifier", "service_tier"}
IGNORED |= {"store", "user", "verbosity"}


class Function(SentBack):
    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    description: str = ""
    parameters: dict[str, Any] | StrictBool = Field(default_factory=lambda: {"type": "object", "properties": {}})
    strict: bool = False


class Tool(SentBack):
    type: Literal["function"]
    function: Function


def function_tool(name: str, description: str, parameters: dict[str, Any] | bool) -> dict[str, Any]:
    """A tool as Chat Completions and chat templates have it."""
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


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
    include_obfuscation: bool = False  # of what the length of a chunk says; not done here


class CommonRequest(SamplingFields):
    """The fields that both kinds of requests have."""

    model: str | None = None
    max_tokens: TokenLimit | None = None
    n: Integer = Field(1, ge=1, le=MAX_CHOICES)
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    prompt_cache_key: str | None = Field(None, max_length=256)

    ignored = IGNORED

    @model_validator(mode="before")
    @classmethod
    def _drop_neutral_values(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {name: value for name, value in values.items() if value not in NEUTRAL.get(name, ())}

    @property
    def limit(self) -> int | None:
        """The maximum number of tokens of the answer; None: as many as the context and the server allow."""
        return None if self.max_tokens == NO_LIMIT else self.max_tokens

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with the numbers of tokens."""
        return self.stream_options.include_usage


class ChatRequest(CommonRequest):
    messages: list[ChatMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    max_completion_tokens: TokenLimit | None = None
    logprobs: bool = False
    top_logprobs: NumLogprobs = 0
    response_format: ResponseFormat = ResponseFormat(type="text")
    tools: list[Tool] = Field([], max_length=MAX_TOOLS)
    tool_choice: Literal["none", "auto", "required"] | NamedTool = "auto"
    parallel_tool_calls: bool = True
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    chat_template_kwargs: dict[str, Any] = Field({})
    thinking_budget: Count | None = None

    @model_validator(mode="after")
    def _check(self) -> "ChatRequest":
        if self.top_logprobs and not self.logprobs:
            raise ValueError("'top_logprobs' needs 'logprobs'")
        if self.limit == 0:
            raise ValueError("an answer has at least 1 token")
        if self.forced_tools and self.response_format.type != "text":
            raise ValueError("an answer is either a forced tool call or has a 'response_format'")
        wanted = self.response_format.wanted_schema
        for schema in [wanted, self.chat_template_kwargs, *(tool.function.parameters for tool in self.tools)]:
            check_schema_size(schema)
        return self

    @property
    def limit(self) -> int | None:
        """The maximum number of tokens of the answer: the lower of the two, where both names are used."""
        limits = [limit for limit in (self.max_tokens, self.max_completion_tokens) if limit not in (None, NO_LIMIT)]
        return min(limits, default=None)  # type: ignore[type-var]

    @property
    def offered_tools(self) -> list[Tool]:
        """The tools that the model is told of."""
        return [] if self.tool_choice == "none" else self.tools

    @property
    def may_call_several(self) -> bool:
        """Whether a forced answer may have several calls; a named function is called once."""
        return self.parallel_tool_calls and not isinstance(self.tool_choice, NamedTool)

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


SeveralPrompts = Annotated[list[str] | list[TokenIds], Field(min_length=1, max_length=MAX_PROMPTS)]


class CompletionRequest(CommonRequest):
    prompt: Annotated[str | TokenIds | SeveralPrompts, ONE_KIND]
    logprobs: NumLogprobs | None = None
    echo: bool = False
    suffix: str = ""

    @property
    def limit(self) -> int | None:
        """The maximum number of tokens of the text; OpenAI's default is short."""
        return 16 if self.max_tokens is None else super().limit

    @property
    def prompts(self) -> list[str | tuple[int, ...]]:
        """Each of them a text, or the ids of its tokens."""
        return [prompt if isinstance(prompt, str) else tuple(prompt) for prompt in listed(self.prompt)]


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
