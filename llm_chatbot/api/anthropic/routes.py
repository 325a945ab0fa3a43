"""The routes of Messages."""

from collections.abc import Mapping
from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from llm_chatbot.answering.served import ServedModel
from llm_chatbot.api.anthropic.requests import CountRequest, MessagesRequest
from llm_chatbot.api.anthropic.writer import MessagesWriter
from llm_chatbot.api.calls import chat_questions
from llm_chatbot.api.find_model import find
from llm_chatbot.api.json_request import WellFormedRoute
from llm_chatbot.api.metrics import Metrics
from llm_chatbot.api.model_info import model_info
from llm_chatbot.api.respond import respond_to_chat


def messages_router(models: Mapping[str, ServedModel], metrics: Metrics) -> APIRouter:
    """The routes of these models, by the names that requests call them."""
    router = APIRouter(prefix="/v1/messages", route_class=WellFormedRoute)

    @router.post("")
    async def messages(body: MessagesRequest, request: Request) -> Response:
        model = find(models, body.model)
        chat = body.as_chat(model_info(await model.facts()))
        return await respond_to_chat(request, chat, model, partial(MessagesWriter, body), metrics)

    @router.post("/count_tokens")
    async def count_tokens(body: CountRequest) -> dict[str, int]:
        model = find(models, body.model)
        info = model_info(await model.facts())
        (question,), _ = chat_questions(body.as_chat(info), info)
        return {"input_tokens": len(await model.prompt_ids(question))}

    return router
