"""Questions → the response to a request, whole or as a stream, in whichever protocol a `Writer` writes."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from llm_chatbot.answering.served import LocalModel, ServedModel
from llm_chatbot.api.calls import chat_choice, chat_questions
from llm_chatbot.api.checks import checked_answers
from llm_chatbot.api.errors import as_api_error
from llm_chatbot.api.json_response import WellFormedJSONResponse
from llm_chatbot.api.metrics import Metrics
from llm_chatbot.api.model_info import model_info
from llm_chatbot.api.requests import ChatRequest, CommonRequest
from llm_chatbot.api.responses import Choice, Content, Writer
from llm_chatbot.api.streams import chained, drain, merged, take_one, unless_disconnected, with_pauses
from llm_chatbot.engine.session import Answer

PAUSE_SECONDS = 5.0  # without anything new in a stream, after which there is a sign of life
CLIENT_CLOSED_REQUEST = 499  # nginx's; nobody reads it but the metrics


async def respond_to_chat(
    request: Request,
    body: ChatRequest,
    model: ServedModel,
    new_writer: Callable[[str, Sequence[Choice]], Writer],
    metrics: Metrics,
    drops_turns: bool = False,
) -> Response:
    """The response to a request that continues a conversation, whichever protocol it came by.

    Args:
        request: as it came.
        body: what it asks for.
        model: the one that is asked.
        new_writer: makes what writes the response, from the model's name and the answers, which grow.
        metrics: note the answers.
        drops_turns: whether the oldest turns are left out of a prompt that is too long; otherwise it is refused.

    Raises:
        APIError: the model can't do what is asked for.
    """
    info = model_info(await model.facts())
    questions, check = chat_questions(body, info)
    if drops_turns:
        questions = [replace(question, room=None) for question in questions]
    new_choice = partial(chat_choice, body, info)
    answers = [checked_answers(model.generate, question, check, new_choice) for question in questions]
    writer = watching_client(new_writer(info.name, [new_choice() for _ in questions]), model)
    return await respond(request, body, answers, writer, metrics)


def watching_client(writer: Writer, model: ServedModel) -> Writer:
    """The writer, which can say that the model is being loaded, and how long that took."""
    if isinstance(model, LocalModel):
        writer.is_loading = lambda: model.is_loading
        if not model.is_loaded:
            writer.load_seconds = lambda: model.load_seconds
    return writer


async def respond(
    request: Request,
    body: CommonRequest,
    generated: Sequence[AsyncGenerator[Answer, None]],
    writer: Writer,
    metrics: Metrics,
) -> Response:
    """The response to a request. Its answers end when the client goes away."""
    answers = read(merged(generated), writer, metrics)
    if body.stream:
        return await stream(request, answers, writer)
    async with aclosing(answers):
        if not await unless_disconnected(request, drain(answers)):
            return Response(status_code=CLIENT_CLOSED_REQUEST)
    return WellFormedJSONResponse(writer.whole())


async def read(
    updates: AsyncGenerator[tuple[int, Any], None], writer: Writer, metrics: Metrics
) -> AsyncGenerator[tuple[int, Content], None]:
    """Yields what is new in an answer, with its index, until all are complete."""
    watches = [metrics.stopwatch(writer.model) for _ in writer.choices]
    try:
        async with aclosing(updates):
            async for index, answer in updates:
                choice = writer.choices[index]
                if choice.finish_reason is not None:
                    continue
                new = choice.update(answer)
                watches[index].note(choice)
                yield index, new
                if all(choice.finish_reason is not None for choice in writer.choices):
                    return
    finally:
        for choice in writer.choices:
            metrics.note_answer(writer.model, choice)


async def stream(request: Request, answers: AsyncGenerator[tuple[int, Content], None], writer: Writer) -> Response:
    """Begins the response once the engine has accepted the request, so that what is wrong with it has its status.

    A request that waits for its turn is not kept without an answer for longer than `PAUSE_SECONDS`.
    """
    first: list[tuple[int, Content] | None] = []
    updates = with_pauses(answers, PAUSE_SECONDS)
    try:
        accepted = await unless_disconnected(request, take_one(updates, first))
    except BaseException:
        await updates.aclose()
        raise
    if not accepted:
        await updates.aclose()
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    return PromptlyClosedStream(lines(first, updates, writer), writer.media_type)


async def lines(
    first: Sequence[tuple[int, Content] | None],
    updates: AsyncGenerator[tuple[int, Content] | None, None],
    writer: Writer,
) -> AsyncGenerator[str, None]:
    """The text of a stream.

    While a request waits or its prompt is read, there is a sign of life now and then: proxies and clients end a
    connection on which nothing comes for a minute.
    """
    loop = asyncio.get_running_loop()
    async with aclosing(updates):
        for chunk in writer.begin():
            yield writer.line(chunk)
        sent = loop.time()
        try:
            async for update in chained(first, updates):
                chunks = [] if update is None else writer.chunks(*update)
                for chunk in chunks:
                    yield writer.line(chunk)
                if not chunks and loop.time() - sent >= PAUSE_SECONDS:
                    yield writer.sign_of_life()
                elif not chunks:
                    continue
                sent = loop.time()
        except Exception as error:  # too late for a status: the stream says it, and the log where it came from
            for chunk in writer.failure(as_api_error(error)):
                yield writer.line(chunk)
            return
        for chunk in writer.end():
            yield writer.line(chunk)
        yield writer.last_line


class PromptlyClosedStream(StreamingResponse):
    """A stream of text. The generator is closed at once when the client goes away."""

    def __init__(self, content: AsyncGenerator[str, None], media_type: str) -> None:
        super().__init__(
            content, media_type=media_type, headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        )
        self._content = content

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async with aclosing(self._content):
            # Below version 2.4, Starlette listens for the client's leaving, also while there is nothing to send.
            await super().__call__({**scope, "asgi": {**scope.get("asgi", {}), "spec_version": "2.3"}}, receive, send)
