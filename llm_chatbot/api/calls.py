"""Requests → the questions that answer them."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from llm_chatbot.answering.grammar import Form, Grammar, Repeated, answer_grammar
from llm_chatbot.answering.options import make_generation
from llm_chatbot.answering.question import Question
from llm_chatbot.answering.schemas import standalone
from llm_chatbot.api.checks import AnswerCheck, schema_validator
from llm_chatbot.api.conversation import check_question
from llm_chatbot.api.errors import APIError
from llm_chatbot.api.model_info import ModelInfo
from llm_chatbot.api.requests import ChatRequest, CommonRequest, CompletionRequest, function_tool
from llm_chatbot.api.responses import Choice
from llm_chatbot.api.tools import FINAL_HEADER, ToolParser, as_arguments, forced_calls
from llm_chatbot.engine.decode.generation import Generation
from llm_chatbot.texts import Text

# Efforts above those that open models are trained with.
HIGHEST_EFFORTS: dict[str | None, str] = {"xhigh": "high", "max": "high"}


def chat_questions(request: ChatRequest, info: ModelInfo) -> tuple[list[Question], AnswerCheck | None]:
    """A question for each of the answers that a chat request asks for, and what whole answers are checked for.

    Raises:
        APIError: the model can't do what is asked for.
    """
    parts = [[] if isinstance(message.content, str) else message.content for message in request.messages]
    roles = [message.role for message in request.messages]
    check_question([(role, f"messages.{i}.content", parts[i]) for i, role in enumerate(roles)], info.reads_images)
    messages = tuple(message.for_template(info.reads_images) for message in request.messages)
    grammar, check = constraints(request, info)
    options = generation(request, info, request.top_logprobs if request.logprobs else None)
    question = Question(
        messages,
        generation=replace(options, thinking_budget=request.thinking_budget),
        template_options=template_options(request, info),
        room=1,
        grammar=None if grammar is None else grammar.text,
        conversation=conversation_of(request, messages),
    )
    return repeated(question, request.n), check


def completion_questions(request: CompletionRequest, info: ModelInfo) -> list[Question]:
    """A question for each of the texts that a completion request asks for, those of a prompt side by side."""
    options = replace(generation(request, info, request.logprobs), echo=request.echo)
    conversation = request.prompt_cache_key or ""
    questions = [
        Question(prompt=prompt, generation=options, room=min(1, options.max_new_tokens or 0), conversation=conversation)
        for prompt in request.prompts
    ]
    return [repetition for question in questions for repetition in repeated(question, request.n)]


def chat_choice(request: ChatRequest, info: ModelInfo) -> Choice:
    """The reader of one of the answers."""
    if not request.offered_tools:
        return Choice()
    tools = {tool.function.name: tool.function.parameters for tool in request.offered_tools}
    parser = ToolParser(info.tool_format, tools)
    return Choice(parser, None if request.parallel_tool_calls else 1)


def generation(request: CommonRequest, info: ModelInfo, top_logprobs: int | None) -> Generation:
    """How the answer is generated. A limit above the server's is lowered to that."""
    limit = info.max_tokens if request.limit is None else min(request.limit, info.max_tokens)
    return make_generation(**request.options(), max_new_tokens=limit, top_logprobs=top_logprobs)


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
    options = reasoning_options(request, info)
    for name in options.keys() - (info.variables - {"tools"}):
        raise unsupported(name, Text("api.template_ignores", name=info.name))
    if request.offered_tools:
        functions = [tool.function for tool in request.offered_tools]
        options["tools"] = [function_tool(each.name, each.description, each.parameters) for each in functions]
    return options


def reasoning_options(request: ChatRequest, info: ModelInfo) -> dict[str, Any]:
    """The variables with which a request sets the reasoning. An effort is a wish: a template may not know of any."""
    options: dict[str, Any] = {"enable_thinking": False} if request.reasoning_effort == "none" else {}
    if request.reasoning_effort not in (None, "none"):
        options = {"reasoning_effort": HIGHEST_EFFORTS.get(request.reasoning_effort, request.reasoning_effort)}
    known = {name: value for name, value in options.items() if name in info.variables}
    return {**known, **{name: value for name, value in request.chat_template_kwargs.items() if value is not None}}


def unsupported(param: str, reason: Text) -> APIError:
    return APIError("api.unsupported", param=param, code="unsupported_parameter", field=repr(param), reason=reason)


def constraints(request: ChatRequest, info: ModelInfo) -> tuple[Grammar | None, AnswerCheck | None]:
    """The grammar of the answer, and what is checked of it when it is whole; None if it is free.

    With a `response_format` the model may still call one of the tools that it was offered.

    Raises:
        APIError: a schema is not valid.
    """
    wanted, tools = request.response_format.wanted_schema, request.forced_tools
    if wanted is None and not tools:
        return None, None
    forms: list[Form | Repeated] = []
    validator, arguments = None, {}
    if wanted is not None:
        schema, tools = standalone(wanted), request.offered_tools
        validator = schema_validator(schema, "response_format")
        is_begun = request.messages[-1].role == "assistant" and request.messages[-1].content
        forms.append(Form(schema, FINAL_HEADER if info.has_channels and not is_begun else ""))
    if tools:
        functions = [(tool.function.name, tool.function.parameters) for tool in tools]
        arguments = {name: schema_validator(as_arguments(parameters), "tools") for name, parameters in functions}
        forms += forced_calls(info.tool_format, functions, request.may_call_several)
    grammar = answer_grammar(forms)
    return grammar, AnswerCheck(validator, arguments, grammar.unmasked)


def conversation_of(request: ChatRequest, messages: Sequence[dict[str, Any]]) -> str:
    """The same for all requests of a conversation: its beginning, up to the first message of the user."""
    if request.prompt_cache_key:
        return request.prompt_cache_key
    first = next((place for place, message in enumerate(messages) if message["role"] == "user"), len(messages))
    beginning = json.dumps(messages[: first + 1], default=lambda file: hashlib.sha256(file).hexdigest())
    return hashlib.sha256(beginning.encode()).hexdigest()
