"""Requests → the questions that answer them."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from llm_chatbot.answering.grammar import Form, Grammar, answer_grammar
from llm_chatbot.answering.options import make_generation
from llm_chatbot.answering.question import Question
from llm_chatbot.answering.schemas import standalone
from llm_chatbot.api.checks import AnswerCheck, schema_validator
from llm_chatbot.api.errors import APIError
from llm_chatbot.api.model_info import ModelInfo
from llm_chatbot.api.requests import ChatRequest, CommonRequest, CompletionRequest, Tool
from llm_chatbot.api.responses import Choice
from llm_chatbot.api.tools import FINAL_HEADER, ToolParser, as_arguments, forced_calls
from llm_chatbot.engine.decode.generation import Generation
from llm_chatbot.texts import Text


def chat_questions(request: ChatRequest, info: ModelInfo) -> tuple[list[Question], AnswerCheck | None]:
    """A question for each of the answers that a chat request asks for, and what whole answers are checked for.

    Raises:
        APIError: the model can't do what is asked for.
    """
    messages = tuple(message.for_template() for message in request.messages)
    grammar, check = constraints(request, info)
    options = generation(request, info, request.top_logprobs if request.logprobs else None)
    question = Question(
        messages,
        generation=replace(options, thinking_budget=request.thinking_budget),
        template_options=template_options(request, info),
        room=request.limit or 1,
        grammar=None if grammar is None else grammar.text,
        conversation=conversation_of(request, messages),
    )
    return repeated(question, request.n), check


def completion_questions(request: CompletionRequest, info: ModelInfo) -> list[Question]:
    """A question for each of the texts that a completion request asks for, those of a prompt side by side."""
    options = generation(request, info, request.logprobs)
    conversation = request.prompt_cache_key or ""
    questions = [
        Question(prompt=prompt, generation=options, room=request.limit, conversation=conversation)
        for prompt in request.prompts
    ]
    return [repetition for question in questions for repetition in repeated(question, request.n)]


def chat_choice(request: ChatRequest, info: ModelInfo) -> Choice:
    """The reader of one of the answers."""
    if not request.offered_tools:
        return Choice()
    assert info.tool_format is not None
    parser = ToolParser(info.tool_format, {tool.function.name for tool in request.offered_tools})
    return Choice(parser, None if request.parallel_tool_calls else 1)


def generation(request: CommonRequest, info: ModelInfo, top_logprobs: int | None) -> Generation:
    """How the answer is generated.

    Raises:
        APIError: it is to be longer than allowed.
    """
    if request.limit is not None and request.limit > info.max_tokens:
        raise APIError("api.limit", param="max_tokens", limit=info.max_tokens, wanted=request.limit)
    return make_generation(
        temperature=request.temperature,
        top_p=request.top_p,
        top_k=request.top_k,
        min_p=request.min_p,
        repetition_penalty=request.repetition_penalty,
        seed=None if request.seed is None else request.seed % 2**63,
        stop=request.stops,
        max_new_tokens=request.limit or info.max_tokens,
        top_logprobs=top_logprobs,
    )


def repeated(question: Question, count: int) -> list[Question]:
    """The same question with one seed after the other: the same request always gets the same answers."""
    options = question.generation
    seeds = [None if options.seed is None else options.seed + place for place in range(count)]
    return [replace(question, generation=replace(options, seed=seed), id=uuid4().hex) for seed in seeds]


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
        raise unsupported(name, Text("api.template_ignores", name=info.name))
    if request.offered_tools and info.tool_format is None:
        raise unsupported("tools", Text("api.tools_unknown", name=info.name))
    if any(message.tool_calls or message.role == "tool" for message in request.messages) and info.tool_format is None:
        raise unsupported("messages", Text("api.no_tools", name=info.name))
    return options


def unsupported(param: str, reason: Text) -> APIError:
    return APIError("api.unsupported", param=param, code="unsupported_parameter", field=repr(param), reason=reason)


def template_tool(tool: Tool) -> dict[str, Any]:
    """As chat templates take it."""
    function = tool.function
    described = {"name": function.name, "description": function.description, "parameters": function.parameters}
    return {"type": "function", "function": described}


def constraints(request: ChatRequest, info: ModelInfo) -> tuple[Grammar | None, AnswerCheck | None]:
    """The grammar of the answer, and what is checked of it when it is whole; None if it is free.

    With a `response_format` the model may still call one of the tools that it was offered.

    Raises:
        APIError: a schema is not valid.
    """
    wanted, tools = request.response_format.wanted_schema, request.forced_tools
    if wanted is None and not tools:
        return None, None
    forms: list[Form] = []
    validator, arguments = None, {}
    if wanted is not None:
        schema, tools = standalone(wanted), request.offered_tools
        validator = schema_validator(schema, "response_format")
        is_begun = request.messages[-1].role == "assistant" and request.messages[-1].content
        forms.append(Form(schema, FINAL_HEADER if info.has_channels and not is_begun else ""))
    if tools:
        assert info.tool_format is not None
        functions = [(tool.function.name, tool.function.parameters) for tool in tools]
        arguments = {name: schema_validator(as_arguments(parameters), "tools") for name, parameters in functions}
        forms += forced_calls(info.tool_format, functions)
    grammar = answer_grammar(forms)
    return grammar, AnswerCheck(validator, arguments, grammar.unmasked)


def conversation_of(request: ChatRequest, messages: Sequence[dict[str, Any]]) -> str:
    """The same for all requests of a conversation: its beginning, up to the first message of the user."""
    if request.prompt_cache_key:
        return request.prompt_cache_key
    first = next((place for place, message in enumerate(messages) if message["role"] == "user"), len(messages))
    return hashlib.sha256(json.dumps(messages[: first + 1]).encode()).hexdigest()
