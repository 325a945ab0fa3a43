"""The requests of the "Knowledge" view. They exist only where whoever opens the page may fill this machine's disk."""

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from llm_chatbot.api.json_response import WellFormedJSONResponse
from llm_chatbot.page.knowledge import PageKnowledge
from llm_chatbot.page.routes import guarded, other_form, request_json, text
from llm_chatbot.page.server import UPLOADS


def knowledge_routes(knowledge: PageKnowledge) -> list[BaseRoute]:
    """All routes, under `/page/knowledge`. All are POST or PUT, which another site can't send; see `guarded`."""

    async def answered(act: Callable[..., Any], *arguments: Any) -> Response:
        result = await asyncio.to_thread(act, *arguments)
        collections = await asyncio.to_thread(knowledge.collections)
        return WellFormedJSONResponse(
            {"collections": collections, "folders": knowledge.takes_folders, "result": result}
        )

    async def show(request: Request) -> Response:
        return await answered(lambda: None)

    async def make(request: Request) -> Response:
        asked = await request_json(request)
        return await answered(knowledge.make, text(asked, "name"), text(asked, "encoder").strip())

    async def add(request: Request) -> Response:
        asked = await request_json(request)
        return await answered(knowledge.add_path, text(asked, "id"), text(asked, "path"))

    async def update(request: Request) -> Response:
        return await answered(knowledge.update, text(await request_json(request), "id"))

    async def delete(request: Request) -> Response:
        return await answered(knowledge.delete, text(await request_json(request), "id"))

    async def document(request: Request) -> Response:
        asked = await request_json(request)
        if not isinstance(number := asked.get("document"), int):
            raise other_form()
        return WellFormedJSONResponse(await asyncio.to_thread(knowledge.document, text(asked, "id"), number))

    async def upload(request: Request) -> Response:
        id, name = request.query_params.get("id", ""), request.query_params.get("name", "")
        await asyncio.to_thread(knowledge.upload, id, name, await request.body())
        return WellFormedJSONResponse({})

    handlers = {"": show, "/make": make, "/add": add, "/update": update, "/delete": delete, "/document": document}
    routes = [Route(f"/page/knowledge{path}", guarded(act), methods=["POST"]) for path, act in handlers.items()]
    return [*routes, Route(UPLOADS, guarded(upload), methods=["PUT"])]
