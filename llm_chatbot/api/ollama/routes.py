"""The routes of Ollama's API."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from llm_chatbot.answering.served import LocalModel, ServedModel
from llm_chatbot.api.calls import completion_questions
from llm_chatbot.api.encoders import ServedEncoders
from llm_chatbot.api.find_model import find
from llm_chatbot.api.infill import suffix_questions
from llm_chatbot.api.json_request import WellFormedRoute
from llm_chatbot.api.json_response import WellFormedJSONResponse
from llm_chatbot.api.metrics import Metrics
from llm_chatbot.api.model_info import model_info
from llm_chatbot.api.ollama.cards import OLLAMA_VERSION, card, description, running
from llm_chatbot.api.ollama.embed import (
    EmbedRequest,
    OldEmbedRequest,
    embedded,
    encoder_description,
    encoder_tag,
    running_encoder,
)
from llm_chatbot.api.ollama.requests import GenerateRequest, ModelName, OllamaChatRequest, OllamaRequest
from llm_chatbot.api.ollama.tags import untagged
from llm_chatbot.api.ollama.writer import OllamaWriter
from llm_chatbot.api.respond import respond, respond_to_chat, watching_client
from llm_chatbot.api.responses import Choice


def ollama_router(models: Mapping[str, ServedModel], metrics: Metrics, encoders: ServedEncoders) -> APIRouter:
    """The routes of these models, by the names that requests call them."""
    router = APIRouter(prefix="/api")
    for part in (answers_router(models, metrics), embed_router(encoders, metrics), names_router(models, encoders)):
        router.include_router(part)
    return router


def answers_router(models: Mapping[str, ServedModel], metrics: Metrics) -> APIRouter:
    router = APIRouter(route_class=WellFormedRoute)

    @router.post("/chat")
    async def chat(body: OllamaChatRequest, request: Request) -> Response:
        new_writer = partial(OllamaWriter, body, is_chat=True)
        model = find_tagged(models, body.model)
        keep(model, body)
        if not body.messages:
            return await only_loaded(model, body, new_writer((await model.facts()).name, [Choice()]))
        asked = body.as_chat(model_info(await model.facts()))
        return await respond_to_chat(request, asked, model, new_writer, metrics, body.truncate)

    @router.post("/generate")
    async def generate(body: GenerateRequest, request: Request) -> Response:
        new_writer = partial(OllamaWriter, body, is_chat=False)
        model = find_tagged(models, body.model)
        info = model_info(await model.facts())
        keep(model, body)
        if not body.prompt:
            return await only_loaded(model, body, new_writer(info.name, [Choice()]))
        if not body.raw and not body.suffix:
            return await respond_to_chat(request, body.as_chat(info), model, new_writer, metrics, body.truncate)
        completion = body.as_completion(info)
        plain = not completion.suffix
        questions = completion_questions(completion, info) if plain else await suffix_questions(completion, model)
        answers = [model.generate(question) for question in questions]
        writer = watching_client(new_writer(info.name, [Choice(raw=True)]), model)
        return await respond(request, completion, answers, writer, metrics)

    return router


def embed_router(encoders: ServedEncoders, metrics: Metrics) -> APIRouter:
    router = APIRouter(route_class=WellFormedRoute)

    @router.post("/embed")
    async def embed(body: EmbedRequest, request: Request) -> dict[str, Any]:
        return await embedded(body, request, encoders, metrics)

    @router.post("/embeddings")
    async def embed_one(body: OldEmbedRequest, request: Request) -> dict[str, Any]:
        answer = await embedded(body.as_newer(), request, encoders, metrics)
        return {"embedding": answer["embeddings"][0] if answer["embeddings"] else []}

    return router


def names_router(models: Mapping[str, ServedModel], encoders: ServedEncoders) -> APIRouter:
    """Which models there are, and what is known of them."""
    router = APIRouter(route_class=WellFormedRoute)

    @router.get("/tags")
    async def tags() -> dict[str, Any]:
        cards = [card(await model.facts()) for model in models.values()]
        return {"models": [*cards, *map(encoder_tag, encoders.named.values())]}

    @router.get("/ps")
    async def in_memory() -> dict[str, Any]:
        every = [await model.facts() for model in models.values()]
        cards = [running(facts) for facts in every if facts.is_loaded]
        return {"models": [*cards, *map(running_encoder, encoders.named.values())]}

    @router.post("/show")
    async def show(body: ModelName) -> dict[str, Any]:
        if (encoder := encoders.named.get(untagged(body.model))) is not None:
            return encoder_description(encoder)
        facts = await find_tagged(models, body.model).facts()
        return description(facts, model_info(facts))

    @router.get("/version")
    async def version() -> dict[str, str]:
        return {"version": OLLAMA_VERSION}

    return router


def keep(model: ServedModel, body: OllamaRequest) -> None:
    """Lets the model stay in memory for as long as the request says."""
    if body.keep_alive is not None and isinstance(model, LocalModel):
        model.keep_alive(body.keep_alive)


async def only_loaded(model: ServedModel, body: OllamaRequest, writer: OllamaWriter) -> Response:
    """The response to a request without a question: the model is loaded, or freed where it isn't to be kept."""
    is_freed = body.keep_alive == 0
    if isinstance(model, LocalModel):
        await (model.free() if is_freed else model.load())
    return WellFormedJSONResponse(writer.loaded("unload" if is_freed else "load"))


def find_tagged(models: Mapping[str, ServedModel], name: str) -> ServedModel:
    """The model with a name, to which Ollama's clients may add its default tag.

    Raises:
        APIError: there is no such model.
    """
    return find(models, name if name in models else untagged(name))
