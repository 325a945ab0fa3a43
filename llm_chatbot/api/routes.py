"""The routes under /v1: what is asked for → answers, whole or as a stream of server-sent events."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from llm_chatbot.answering.served import ServedFacts, ServedModel
from llm_chatbot.api.calls import chat_choice, chat_questions, completion_questions
from llm_chatbot.api.checks import checked_answers
from llm_chatbot.api.errors import APIError, as_api_error, error_body
from llm_chatbot.api.json_response import WellFormedJSONResponse, json_text
from llm_chatbot.api.metrics import Metrics
from llm_chatbot.api.model_info import model_info
from llm_chatbot.api.requests import ChatRequest, CommonRequest, CompletionRequest
from llm_chatbot.api.responses import ChatWriter, Choice, CompletionWriter, Content, Writer
from llm_chatbot.engine.session import Answer

PAUSE_SECONDS = 5.0  # without anything new in a stream, after which there is a sign of life
CLIENT_CLOSED_REQUEST = 499  # nginx's; nobody reads it but the metrics


def make_router(models: Mapping[str, ServedModel], metrics: Metrics) -> APIRouter:
    """The routes of these models, by the names that requests call them."""
    router = APIRouter(prefix="/v1")

    @router.post("/chat/completions")
    async def chat_completions(body: ChatRequest, request: Request) -> Response:
        model = find(models, body.model)
        info = model_info(await model.facts())
        questions, check = chat_questions(body, info)
        new_choice = partial(chat_choice, body, info)
        writer = ChatWriter(info.name, [new_choice() for _ in questions], body.n, body.logprobs)
        answers = [checked_answers(model.generate, question, check, new_choice) for question in questions]
        return await respond(request, body, answers, writer, metrics)

    @router.post("/completions")
    async def completions(body: CompletionRequest, request: Request) -> Response:
        model = find(models, body.model)
        info = model_info(await model.facts())
        questions = completion_questions(body, info)
        writer = CompletionWriter(info.name, [Choice(raw=True) for _ in questions], body.n, body.logprobs is not None)
        return await respond(request, body, [model.generate(question) for question in questions], writer, metrics)

    @router.get("/models")
    async def list_models() -> dict[str, Any]:
        return {"object": "list", "data": [model_card(await model.facts()) for model in models.values()]}

    @router.get("/models/{name:path}")
    async def one_model(name: str) -> dict[str, Any]:
        if name not in models:
            raise no_model(models, name)
        return model_card(await models[name].facts())

    return router


def find(models: Mapping[str, ServedModel], name: str | None) -> ServedModel:
    """The model that a request names. Where there is only one, it answers to any name, and its answers have its own.

    Raises:
        APIError: there is no such model.
    """
    if name is None or name not in models:
        if len(models) == 1:
            return next(iter(models.values()))
        raise no_model(models, name)
    return models[name]


def no_model(models: Mapping[str, ServedModel], name: str | None) -> APIError:
    known = ", ".join(models)
    if name is None:
        return APIError("api.which_model", 404, "model", "model_not_found", models=known)
    return APIError("api.no_model", 404, "model", "model_not_found", name=repr(name), models=known)


def model_card(facts: ServedFacts) -> dict[str, Any]:
    """A model as it is listed; `max_model_len` is vLLM's name for the length of the context."""
    card = {"id": facts.name, "object": "model", "created": 0, "owned_by": "llm-chatbot"}
    return {**card, "max_model_len": facts.context_length}


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
        return await stream(request, body, answers, writer)
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


async def stream(
    request: Request, body: CommonRequest, answers: AsyncGenerator[tuple[int, Content], None], writer: Writer
) -> Response:
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
    return EventStream(events(first, updates, writer, body.wants_usage))


async def events(
    first: Sequence[tuple[int, Content] | None],
    updates: AsyncGenerator[tuple[int, Content] | None, None],
    writer: Writer,
    wants_usage: bool,
) -> AsyncGenerator[str, None]:
    """The text of a stream of server-sent events.

    While a request waits or its prompt is read, there is a comment now and then: proxies and clients end a connection
    on which nothing comes for a minute.
    """
    loop = asyncio.get_running_loop()
    async with aclosing(updates):
        for chunk in writer.begin():
            yield event(chunk)
        sent = loop.time()
        try:
            async for update in chained(first, updates):
                chunks = [] if update is None else writer.chunks(*update)
                for chunk in chunks:
                    yield event(chunk)
                if not chunks and loop.time() - sent >= PAUSE_SECONDS:
                    yield ": waiting\n\n"
                elif not chunks:
                    continue
                sent = loop.time()
        except Exception as error:  # too late for a status: the stream says it, and the log where it came from
            known = as_api_error(error)
            yield event(error_body(str(known), known.status, known.param, known.code))
            return
        if wants_usage:
            yield event(writer.usage_chunk())
        yield "data: [DONE]\n\n"


def event(chunk: dict[str, Any]) -> str:
    return f"data: {json_text(chunk)}\n\n"


class EventStream(StreamingResponse):
    """Server-sent events. The generator is closed at once when the client goes away."""

    media_type = "text/event-stream"

    def __init__(self, content: AsyncGenerator[str, None]) -> None:
        super().__init__(content, headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        self._content = content

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async with aclosing(self._content):
            # Below version 2.4, Starlette listens for the client's leaving, also while there is nothing to send.
            await super().__call__({**scope, "asgi": {**scope.get("asgi", {}), "spec_version": "2.3"}}, receive, send)


async def merged(streams: Sequence[AsyncGenerator[Any, None]]) -> AsyncGenerator[tuple[int, Any], None]:
    """Yields the values of several generators as they come, with the index of each."""
    queue: asyncio.Queue[tuple[int, Any]] = asyncio.Queue()

    async def forward(index: int, stream: AsyncGenerator[Any, None]) -> None:
        async with aclosing(stream):
            async for value in stream:
                queue.put_nowait((index, value))

    tasks = [asyncio.create_task(forward(index, stream)) for index, stream in enumerate(streams)]
    for index, task in enumerate(tasks):
        task.add_done_callback(lambda ended, index=index: queue.put_nowait((index, ended)))  # type: ignore[misc]
    running = len(tasks)
    try:
        while running:
            index, value = await queue.get()
            if isinstance(value, asyncio.Task):
                value.result()  # raises what the generator raised
                running -= 1
            else:
                yield index, value
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def with_pauses(values: AsyncGenerator[Any, None], seconds: float) -> AsyncGenerator[Any, None]:
    """The values as they come, and None after each `seconds` without one."""
    async with aclosing(values):
        coming: asyncio.Future[Any] | None = None
        try:
            while True:
                coming = coming or asyncio.ensure_future(anext(values))
                done, _ = await asyncio.wait({coming}, timeout=seconds)
                if not done:
                    yield None
                    continue
                try:
                    value = coming.result()
                except StopAsyncIteration:
                    return
                coming = None
                yield value
        finally:
            if coming is not None:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)


async def chained(first: Sequence[Any], rest: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
    for value in first:
        yield value
    async for value in rest:
        yield value


async def drain(values: AsyncIterator[Any]) -> None:
    async for _ in values:
        pass


async def take_one(values: AsyncIterator[Any], into: list[Any]) -> None:
    with suppress(StopAsyncIteration):
        into.append(await anext(values))


async def unless_disconnected(request: Request, work: Coroutine[Any, Any, None]) -> bool:
    """Waits for the work; cancels it and returns False if the client goes away."""
    working, leaving = asyncio.create_task(work), asyncio.create_task(disconnected(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
            return True
        return False
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def disconnected(request: Request) -> None:
    """Returns when the client has gone away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
