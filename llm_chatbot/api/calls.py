"""Requests → the calls of the engine that answer them."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from llm_chatbot.api.backend import Call, ModelInfo
from llm_chatbot.api.errors import APIError
from llm_chatbot.api.grammar import json_grammar, wrapped_json_grammar
from llm_chatbot.api.requests import ChatRequest, CompletionRequest, Request, Tool
from llm_chatbot.api.responses import Choice
from llm_chatbot.api.tools import ToolParser, forced_call


def chat_calls(request: ChatRequest, info: ModelInfo) -> list[Call]:
    """A call for each of the answers that a chat request asks for.

    Raises:
        APIError: the model can't do what is asked for.
    """
    messages = tuple(message.for_template() for message in request.messages)
    options = {**sampling_options(request), "template_options": template_options(request, info)}
    if request.logprobs:
        options["top_logprobs"] = request.top_logprobs
    call = Call(messages, "", options, request.limit, grammar(request, info), session_of(request, messages))
    return repeated(call, request.n)


def completion_calls(request: CompletionRequest) -> list[Call]:
    """A call for each of the texts that a completion request asks for, those of a prompt side by side."""
    options = sampling_options(request)
    if request.logprobs is not None:
        options["top_logprobs"] = request.logprobs
    session = request.prompt_cache_key or ""
    calls = [Call((), prompt, options, request.limit, None, session) for prompt in request.prompts]
    return [repetition for call in calls for repetition in repeated(call, request.n)]


def chat_choice(request: ChatRequest, info: ModelInfo) -> Choice:
    """What reads one of the answers."""
    if not request.offered_tools:
        return Choice()
    assert info.tool_format is not None
    parser = ToolParser(info.tool_format, {tool.function.name for tool in request.offered_tools})
    return Choice(parser, None if request.parallel_tool_calls else 1)


def sampling_options(request: Request) -> dict[str, Any]:
    """The fields of a request that are attributes of `llm_chatbot.engine.decode.generation.Generation`."""
    return {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,
        "min_p": request.min_p,
        "repetition_penalty": request.repetition_penalty,
        "seed": None if request.seed is None else request.seed % 2**63,  # NumPy's are not negative
        "stop": request.stops,
    }


def repeated(call: Call, count: int) -> list[Call]:
    """The same call with one seed after the other: the same request always gets the same answers."""
    seed = call.options["seed"]
    if seed is None:
        return [call] * count
    return [replace(call, options={**call.options, "seed": seed + place}) for place in range(count)]


def template_options(request: ChatRequest, info: ModelInfo) -> dict[str, Any]:
    """The variables for the chat template.

    Raises:
        APIError: the template does not read one of them.
    """
    options: dict[str, Any] = {}
    thinking = request.chat_template_kwargs.enable_thinking
    if request.reasoning_effort == "none":
        thinking = False
    elif request.reasoning_effort is not None:
        options["reasoning_effort"] = request.reasoning_effort
    if thinking is not None:
        options["enable_thinking"] = thinking
    if request.offered_tools:
        options["tools"] = [template_tool(tool) for tool in request.offered_tools]
    for name in options.keys() - info.variables:
        raise unsupported(name, f"the chat template of {info.name} doesn't read it")
    if request.offered_tools and info.tool_format is None:
        raise unsupported("tools", f"it is not known how {info.name} writes tool calls")
    if any(message.tool_calls or message.role == "tool" for message in request.messages) and info.tool_format is None:
        raise unsupported("messages", f"{info.name} takes no tools")
    return options


def unsupported(param: str, reason: str) -> APIError:
    return APIError(f"{param!r} is not supported: {reason}.", param=param, code="unsupported_parameter")


def template_tool(tool: Tool) -> dict[str, Any]:
    """As chat templates take it."""
    function = tool.function
    described = {"name": function.name, "description": function.description, "parameters": function.parameters}
    return {"type": "function", "function": described}


def grammar(request: ChatRequest, info: ModelInfo) -> str | None:
    """The grammar of the answer; None if it is free."""
    if (schema := request.response_format.wanted_schema) is not None:
        return json_grammar(schema)
    if tools := request.forced_tools:
        assert info.tool_format is not None
        functions = [(tool.function.name, tool.function.parameters) for tool in tools]
        return wrapped_json_grammar(*forced_call(info.tool_format, functions))
    return None


def session_of(request: ChatRequest, messages: Sequence[dict[str, Any]]) -> str:
    """The same for all requests of a conversation: its beginning, up to the first message of the user."""
    if request.prompt_cache_key:
        return request.prompt_cache_key
    first = next((place for place, message in enumerate(messages) if message["role"] == "user"), len(messages))
    return hashlib.sha256(json.dumps(messages[: first + 1]).encode()).hexdigest()
