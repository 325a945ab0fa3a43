"""The requests about tools: which there are, a server that is to start again, and a call that was allowed.

A call is followed and stopped as an answer is: see `routes`.
"""

from collections.abc import Callable
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from llm_chatbot.answering.models import LoadedModel
from llm_chatbot.answering.question import ModelKey
from llm_chatbot.api.json_response import WellFormedJSONResponse
from llm_chatbot.page.routes import guarded, model_key, request_json, text
from llm_chatbot.page.tools import PageTools
from llm_chatbot.page.visitors import is_visitor


def tool_routes(tools: PageTools, load: Callable[[ModelKey | None], LoadedModel]) -> list[BaseRoute]:
    """All routes, under `/page/tools`. All are POST, which another site can't send; see `guarded`.

    Args:
        load: gives the model for a key.
    """

    async def show(request: Request) -> Response:
        return WellFormedJSONResponse({"servers": tools.described(is_visitor(request))})

    async def restart(request: Request) -> Response:
        tools.restart(text(await request_json(request), "server"), is_visitor(request))
        return await show(request)

    async def call(request: Request) -> Response:
        asked = await request_json(request)
        key = text(asked, "server"), text(asked, "tool")
        reader = partial(load, model_key(asked.get("model")))
        tools.call(text(asked, "id"), key, text(asked, "arguments"), reader, is_visitor(request))
        return WellFormedJSONResponse({}, 202)

    handlers = {"": show, "/restart": restart, "/call": call}
    return [Route(f"/page/tools{path}", guarded(act), methods=["POST"]) for path, act in handlers.items()]
