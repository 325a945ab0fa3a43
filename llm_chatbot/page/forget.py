"""Deletes what is kept of conversations outside the browser."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from llm_chatbot.api.json_response import WellFormedJSONResponse
from llm_chatbot.engine.cache.disk_blocks import blocks_folder, forget
from llm_chatbot.page.routes import guarded


def forget_route() -> Route:
    """`/page/forget`: deletes what models have read and kept on this disk; → {"deleted": bytes}.

    Only for people at this machine: the files are those of all conversations.
    """

    async def forget_all(request: Request) -> Response:
        return WellFormedJSONResponse({"deleted": await asyncio.to_thread(forget, blocks_folder())})

    return Route("/page/forget", guarded(forget_all), methods=["POST"])
