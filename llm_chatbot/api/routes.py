"""The routes of Chat Completions, Completions and Models."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from llm_chatbot.answering.served import ServedFacts, ServedModel
from llm_chatbot.api.calls import completion_questions
from llm_chatbot.api.encoders import ServedEncoders
from llm_chatbot.api.find_model import find, no_model
from llm_chatbot.api.infill import suffix_questions
from llm_chatbot.api.json_request import WellFormedRoute
from llm_chatbot.api.metrics import Metrics
from llm_chatbot.api.model_info import model_info
from llm_chatbot.api.openai_writer import ChatWriter, CompletionWriter
from llm_chatbot.api.requests import ChatRequest, CompletionRequest
from llm_chatbot.api.respond import respond, respond_to_chat, watching_client
from llm_chatbot.api.responses import Choice, Writer
from llm_chatbot.encoder.encoder import EncoderModel


def openai_router(models: Mapping[str, ServedModel], metrics: Metrics, encoders: ServedEncoders) -> APIRouter:
    """The routes of these models, by the names that requests call them. The list has the encoders too."""
    router = APIRouter(prefix="/v1", route_class=WellFormedRoute)

    @router.post("/chat/completions")
    async def chat_completions(body: ChatRequest, request: Request) -> Response:
        def new_writer(model: str, choices: Sequence[Choice]) -> Writer:
            return ChatWriter(model, choices, body.n, body.logprobs, body.wants_usage)

        return await respond_to_chat(request, body, find(models, body.model), new_writer, metrics)

    @router.post("/completions")
    async def completions(body: CompletionRequest, request: Request) -> Response:
        model = find(models, body.model)
        info = model_info(await model.facts())
        questions = await suffix_questions(body, model) if body.suffix else completion_questions(body, info)
        choices = [Choice(raw=True) for _ in questions]
        writer = CompletionWriter(info.name, choices, body.n, body.logprobs is not None, body.wants_usage)
        answers = [model.generate(question) for question in questions]
        return await respond(request, body, answers, watching_client(writer, model), metrics)

    @router.get("/models")
    async def list_models() -> dict[str, Any]:
        cards = [model_card(await model.facts()) for model in models.values()]
        cards += [encoder_card(encoder) for encoder in encoders.named.values()]
        ends = {"first_id": cards[0]["id"], "last_id": cards[-1]["id"], "has_more": False}
        return {"object": "list", "data": cards, **ends}

    @router.get("/models/{name:path}")
    async def one_model(name: str) -> dict[str, Any]:
        if name in encoders.named:
            return encoder_card(encoders.named[name])
        if name not in models:
            raise no_model(models, name)
        return model_card(await models[name].facts())

    return router


def model_card(facts: ServedFacts) -> dict[str, Any]:
    """A model as it is listed, for OpenAI's clients and Anthropic's, whose lists have the same path.

    `max_model_len` is vLLM's name for the length of the context, `input_modalities` is OpenRouter's for what it reads.
    `parent` is vLLM's too, for the model that an adapter belongs to.
    """
    limits = {"max_input_tokens": facts.context_length, "max_tokens": facts.max_tokens}
    inputs = ["text", *(["image"] if facts.reads_images else [])]
    parent = {"parent": facts.parent} if facts.parent else {}
    return {**_named(facts.name), **parent, **limits, "max_model_len": facts.context_length, "input_modalities": inputs}


def encoder_card(encoder: EncoderModel) -> dict[str, Any]:
    """An encoder as it is listed."""
    return {**_named(encoder.name), "max_input_tokens": encoder.max_tokens, "max_model_len": encoder.max_tokens}


def _named(name: str) -> dict[str, Any]:
    openai = {"id": name, "object": "model", "created": 0, "owned_by": "llm-chatbot"}
    anthropic = {"type": "model", "display_name": name, "created_at": "1970-01-01T00:00:00Z", "lifecycle": "active"}
    return {**openai, **anthropic}
