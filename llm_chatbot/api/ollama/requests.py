"""A request of Ollama's API → what it asks for in Chat Completions, or in Completions."""

import json
import math
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from llm_chatbot.api.chat_messages import Body, ImagePart, LenientBody, on_lines, unsupported_part
from llm_chatbot.api.conversation import chat_request, check_question, validated
from llm_chatbot.api.errors import APIError
from llm_chatbot.api.model_info import ModelInfo
from llm_chatbot.api.number_types import Integer
from llm_chatbot.api.pictures import data_url
from llm_chatbot.api.requests import MAX_MESSAGES, MAX_TOOLS, ChatRequest, CompletionRequest, Tool

# What Ollama takes where a request says nothing: https://docs.ollama.com/modelfile
DEFAULTS = {"temperature": 0.8, "top_k": 40, "top_p": 0.9, "repetition_penalty": 1.1}

# Options of this server's names, by Ollama's.
RENAMED = {"repeat_penalty": "repetition_penalty"}
PASSED_ON = {"temperature", "top_k", "top_p", "min_p", "stop", "presence_penalty", "frequency_penalty"}
# How Ollama loads a model, and how far back it looks for repetitions: nothing to choose here.
RESOURCES = {
    *("embedding_only", "f16_kv", "logits_all", "low_vram", "main_gpu", "mirostat_eta", "mirostat_tau", "num_batch"),
    *("num_ctx", "num_gpu", "num_keep", "num_thread", "numa", "penalize_newline", "repeat_last_n", "use_mlock"),
    *("use_mmap", "vocab_only"),
}
# Options that are not supported, with the value that changes nothing.
NEUTRAL_OPTIONS = {"mirostat": 0, "tfs_z": 1, "typical_p": 1}

# A part of a duration as Go writes it, "1h30m".
DURATION = re.compile(r"([0-9.]+)(h|ms|us|µs|ns|m|s)")
SECONDS = {"h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def seconds_of(value: Any) -> Any:
    """How many seconds a number or a duration is; below 0 infinity.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, str):
        sign, text = ("-", value[1:]) if value.startswith("-") else ("", value)
        parts = DURATION.findall(text)
        if parts and "".join(number + unit for number, unit in parts) == text:
            value = float(f"{sign}1") * sum(float(number) * SECONDS[unit] for number, unit in parts)
        else:
            value = as_number(value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise ValueError("it takes a number of seconds, or a duration such as '5m'")
    return math.inf if value < 0 else value


def as_number(text: str) -> float:
    """The number that a text is; NaN if it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


KeepAlive = Annotated[float | None, BeforeValidator(seconds_of)]


class OllamaRequest(Body):
    """The fields of both kinds of requests."""

    model: str
    format: Literal["", "json"] | dict[str, Any] = ""
    options: dict[str, Any] = Field(default_factory=dict)
    stream: bool = True
    think: bool | Literal["low", "medium", "high", "max"] | None = None
    keep_alive: KeepAlive = None
    logprobs: bool = False
    top_logprobs: Integer | None = None
    truncate: bool = False
    shift: bool = False

    @field_validator("options")
    @classmethod
    def _check_options(cls, options: dict[str, Any]) -> dict[str, Any]:
        known = PASSED_ON | RESOURCES | RENAMED.keys() | {"num_predict", "seed"}
        for name, value in options.items():
            if name not in known and value is not None and NEUTRAL_OPTIONS.get(name) != value:
                raise ValueError(f"{name!r} is not supported here; leave it out")
        return options

    def sampling(self) -> dict[str, Any]:
        """The options by the names of Chat Completions."""
        options = {name: value for name, value in self.options.items() if value is not None}
        fields = {RENAMED.get(name, name): options[name] for name in options if name in PASSED_ON | RENAMED.keys()}
        limit, seed = options.get("num_predict", -1), options.get("seed", -1)
        if not isinstance(limit, int | float) or limit > 0:  # what is no number is refused where the fields are read
            fields["max_tokens"] = limit
        if not isinstance(seed, int | float) or seed >= 0:
            fields["seed"] = seed
        return {**DEFAULTS, **fields}

    def chat_of(self, messages: list[dict[str, Any]], tools: list[Tool], info: ModelInfo) -> ChatRequest:
        """
        Raises:
            APIError: the model doesn't think, and is asked to.
            RequestValidationError: a value is out of range.
        """
        fields = {
            **self.sampling(),
            **self._thinking(info),
            "model": self.model,
            "messages": messages,
            "tools": tools,
            "response_format": self._response_format(),
            "logprobs": self.logprobs,
            "top_logprobs": self.top_logprobs if self.logprobs else None,
            "stream": self.stream,
        }
        return chat_request(fields, {})

    def _thinking(self, info: ModelInfo) -> dict[str, Any]:
        if self.think and not info.thinks:
            raise APIError("api.no_thinking", param="think", name=info.name)
        fields: dict[str, Any] = {}
        if self.think is not None and "enable_thinking" in info.variables:
            fields["chat_template_kwargs"] = {"enable_thinking": bool(self.think)}
        if isinstance(self.think, str) and "reasoning_effort" in info.variables:
            fields["reasoning_effort"] = "high" if self.think == "max" else self.think
        return fields

    def _response_format(self) -> dict[str, Any] | None:
        if isinstance(self.format, dict):
            return {"type": "json_schema", "json_schema": {"name": "answer", "schema": self.format}}
        return {"type": "json_object"} if self.format else None


class OllamaCall(LenientBody):
    class Function(LenientBody):
        name: str
        arguments: dict[str, Any] = Field(default_factory=dict)

    id: str = ""
    function: Function

    def as_chat(self) -> dict[str, Any]:
        arguments = json.dumps(self.function.arguments, ensure_ascii=False)
        return {"id": self.id, "function": {"name": self.function.name, "arguments": arguments}}


def image_parts(images: Sequence[Any]) -> list[ImagePart]:
    """Files in Base64 as the parts of a message."""
    return [ImagePart(type="image_url", image_url=data_url(image)) for image in images]


def content_of(text: str, parts: Sequence[ImagePart], reads_images: bool) -> str | list[dict[str, Any]]:
    """The content of a Chat Completions message: pictures before the text, as in Ollama, or words for them after it."""
    if not parts or not reads_images:
        return on_lines(text, *(part.text for part in parts))
    return [*(part.model_dump() for part in parts), {"type": "text", "text": text}]


class OllamaMessage(LenientBody):
    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    thinking: str = ""
    images: tuple[Any, ...] = ()
    tool_calls: tuple[OllamaCall, ...] = ()
    tool_name: str = ""
    tool_call_id: str = ""

    @property
    def parts(self) -> list[ImagePart]:
        return image_parts(self.images)

    def as_chat(self, reads_images: bool) -> dict[str, Any]:
        fields = {
            "role": self.role,
            "content": content_of(self.content, self.parts, reads_images and self.role == "user"),
            "reasoning_content": self.thinking,
            "tool_calls": [call.as_chat() for call in self.tool_calls],
            "name": self.tool_name if self.role == "tool" else "",
            "tool_call_id": self.tool_call_id,
        }
        return {name: value for name, value in fields.items() if value or name == "content"}


class OllamaChatRequest(OllamaRequest):
    messages: list[OllamaMessage] = Field([], max_length=MAX_MESSAGES)
    tools: list[Tool] = Field([], max_length=MAX_TOOLS)

    def as_chat(self, info: ModelInfo) -> ChatRequest:
        turns = enumerate(self.messages)
        places = [(message.role, f"messages.{index}.images", message.parts) for index, message in turns]
        check_question(places, info.reads_images)
        return self.chat_of([message.as_chat(info.reads_images) for message in self.messages], self.tools, info)


class GenerateRequest(OllamaRequest):
    prompt: str = ""
    system: str = ""
    images: tuple[Any, ...] = ()
    raw: bool = False
    suffix: str = ""

    @model_validator(mode="before")
    @classmethod
    def _check_others(cls, values: Any) -> Any:
        """Fields that say nothing are accepted: clients send them all."""
        if not isinstance(values, dict):
            return values
        if values.get("images") and (values.get("raw") or values.get("suffix")):
            raise unsupported_part("image")
        if values.get("context"):
            raise ValueError("'context' is not supported; send the conversation to /api/chat")
        if values.get("template"):
            raise ValueError("'template' is not supported; write the whole prompt and set 'raw'")
        return {name: value for name, value in values.items() if name not in ("context", "template")}

    def as_chat(self, info: ModelInfo) -> ChatRequest:
        system = [{"role": "system", "content": self.system}] if self.system else []
        parts = image_parts(self.images)
        check_question([("user", "images", parts)], info.reads_images)
        content = content_of(self.prompt, parts, info.reads_images)
        return self.chat_of([*system, {"role": "user", "content": content}], [], info)

    def as_completion(self, info: ModelInfo) -> CompletionRequest:
        """
        Raises:
            RequestValidationError: a value is out of range.
        """
        fields = {
            "max_tokens": info.max_tokens,
            **self.sampling(),
            "model": self.model,
            "prompt": self.prompt,
            "suffix": self.suffix,
            "stream": self.stream,
        }
        if self.logprobs:
            fields["logprobs"] = self.top_logprobs or 0
        return validated(CompletionRequest, fields)


class ModelName(LenientBody):
    """A request that only names a model; `name` is the older word for it."""

    model: Annotated[str, Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _rename(cls, values: Any) -> Any:
        is_older = isinstance(values, dict) and not values.get("model")
        return {**values, "model": values.get("name")} if is_older else values
