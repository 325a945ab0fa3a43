"""The route of Responses."""

from collections.abc import Mapping
from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from llm_chatbot.answering.served import ServedModel
from llm_chatbot.api.find_model import find
from llm_chatbot.api.json_request import WellFormedRoute
from llm_chatbot.api.metrics import Metrics
from llm_chatbot.api.model_info import model_info
from llm_chatbot.api.openai_responses.requests import ResponsesRequest
from llm_chatbot.api.openai_responses.writer import ResponsesWriter
from llm_chatbot.api.respond import respond_to_chat


def responses_router(models: Mapping[str, ServedModel], metrics: Metrics) -> APIRouter:
    """The route of these models, by the names that requests call them."""
    router = APIRouter(prefix="/v1", route_class=WellFormedRoute)

    @router.post("/responses")
    async def responses(body: ResponsesRequest, request: Request) -> Response:
        new_writer = partial(ResponsesWriter, body)
        model, drops_turns = find(models, body.model), body.truncation == "auto"
        chat = body.as_chat(model_info(await model.facts()))
        return await respond_to_chat(request, chat, model, new_writer, metrics, drops_turns)

    return router
