"""JSON bodies whose texts are well-formed, whatever half of a character a client has cut off."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from llm_chatbot.engine.text.prompt import well_formed


class WellFormedRequest(Request):
    """A request in whose JSON body lone surrogates are U+FFFD: schemas, names and texts can all be encoded."""

    async def json(self) -> Any:
        value = await super().json()
        text = json.dumps(value, ensure_ascii=False)
        return value if (repaired := well_formed(text)) == text else json.loads(repaired)


class WellFormedRoute(APIRoute):
    """A route that takes a `WellFormedRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_well_formed(request: Request) -> Response:
            return await handle(WellFormedRequest(request.scope, request.receive))

        return handle_well_formed
