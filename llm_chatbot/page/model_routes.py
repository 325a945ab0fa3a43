"""The requests of the "Get a model" view. They exist only where whoever opens the page may fill this machine's disk."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from llm_chatbot.api.json_response import WellFormedJSONResponse
from llm_chatbot.page.get_model import ModelGetter
from llm_chatbot.page.routes import guarded, request_json, text


def model_routes(getter: ModelGetter) -> list[BaseRoute]:
    """All routes, under `/page/models`. All are POST, which another site can't send; see `guarded`."""

    async def models(request: Request) -> Response:
        return WellFormedJSONResponse(await asyncio.to_thread(getter.models))

    async def info(request: Request) -> Response:
        return WellFormedJSONResponse(
            await asyncio.to_thread(getter.model, text(await request_json(request), "name").strip())
        )

    async def convert(request: Request) -> Response:
        asked = await request_json(request)
        prebuilt = asked.get("prebuilt") is True
        await asyncio.to_thread(getter.convert, text(asked, "name").strip(), text(asked, "precision"), prebuilt)
        return WellFormedJSONResponse({"conversion": getter.state()}, 202)

    async def measure(request: Request) -> Response:
        await asyncio.to_thread(getter.measure, text(await request_json(request), "name").strip())
        return WellFormedJSONResponse({"conversion": getter.state()}, 202)

    async def cancel(request: Request) -> Response:
        await asyncio.to_thread(getter.cancel)
        return WellFormedJSONResponse({"conversion": getter.state()})

    async def state(request: Request) -> Response:
        return WellFormedJSONResponse({"conversion": getter.state()})

    handlers = {"info": info, "convert": convert, "measure": measure, "cancel": cancel, "state": state}
    paths = {"": models} | {f"/{name}": handler for name, handler in handlers.items()}
    return [Route(f"/page/models{path}", guarded(handler), methods=["POST"]) for path, handler in paths.items()]
