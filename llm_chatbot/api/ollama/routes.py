"""The routes of Ollama's API."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from llm_chatbot.answering.served import ServedModel
from llm_chatbot.api.calls import completion_questions
from llm_chatbot.api.errors import APIError
from llm_chatbot.api.json_request import WellFormedRoute
from llm_chatbot.api.json_response import WellFormedJSONResponse
from llm_chatbot.api.metrics import Metrics
from llm_chatbot.api.model_info import model_info
from llm_chatbot.api.ollama.cards import OLLAMA_VERSION, card, description, running
from llm_chatbot.api.ollama.requests import GenerateRequest, ModelName, OllamaChatRequest
from llm_chatbot.api.ollama.writer import OllamaWriter
from llm_chatbot.api.respond import respond, respond_to_chat
from llm_chatbot.api.responses import Choice
from llm_chatbot.api.routes import find


def ollama_router(models: Mapping[str, ServedModel], metrics: Metrics) -> APIRouter:
    """The routes of these models, by the names that requests call them."""
    router = APIRouter(prefix="/api", route_class=WellFormedRoute)

    @router.post("/chat")
    async def chat(body: OllamaChatRequest, request: Request) -> Response:
        new_writer = partial(OllamaWriter, body, is_chat=True)
        model = find_tagged(models, body.model)
        if not body.messages:
            return WellFormedJSONResponse(new_writer((await model.facts()).name, [Choice()]).loaded())
        asked = body.as_chat(model_info(await model.facts()))
        return await respond_to_chat(request, asked, model, new_writer, metrics, body.truncate)

    @router.post("/generate")
    async def generate(body: GenerateRequest, request: Request) -> Response:
        new_writer = partial(OllamaWriter, body, is_chat=False)
        model = find_tagged(models, body.model)
        info = model_info(await model.facts())
        if not body.prompt:
            return WellFormedJSONResponse(new_writer((await model.facts()).name, [Choice()]).loaded())
        if not body.raw:
            return await respond_to_chat(request, body.as_chat(info), model, new_writer, metrics, body.truncate)
        completion = body.as_completion(info)
        answers = [model.generate(question) for question in completion_questions(completion, info)]
        return await respond(request, completion, answers, new_writer(info.name, [Choice(raw=True)]), metrics)

    @router.post("/embed")
    @router.post("/embeddings")
    async def embed(body: ModelName) -> Response:
        find_tagged(models, body.model)
        raise APIError("api.no_embeddings", 501, name=body.model)

    @router.get("/tags")
    async def tags() -> dict[str, Any]:
        return {"models": [card(await model.facts()) for model in models.values()]}

    @router.get("/ps")
    async def in_memory() -> dict[str, Any]:
        return {"models": [running(await model.facts()) for model in models.values()]}

    @router.post("/show")
    async def show(body: ModelName) -> dict[str, Any]:
        facts = await find_tagged(models, body.model).facts()
        return description(facts, model_info(facts))

    @router.get("/version")
    async def version() -> dict[str, str]:
        return {"version": OLLAMA_VERSION}

    return router


def find_tagged(models: Mapping[str, ServedModel], name: str) -> ServedModel:
    """The model with a name, to which Ollama's clients may add its default tag.

    Raises:
        APIError: there is no such model.
    """
    return find(models, name if name in models else name.removesuffix(":latest"))
