"""JSON bodies whose texts are well-formed and whose numbers are finite, whatever a client has cut off or written."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from llm_chatbot.engine.text.control_tokens import well_formed
from llm_chatbot.machine.json_value import json_value


def well_formed_json(body: bytes) -> Any:
    """The value of a JSON body, in which lone surrogates are U+FFFD: schemas, names and texts can all be encoded.

    Raises:
        ValueError: it is no JSON.
    """
    value = json_value(body)
    text = json.dumps(value, ensure_ascii=False)
    return value if (repaired := well_formed(text)) == text else json_value(repaired)


class WellFormedRequest(Request):
    """A request whose JSON body is read by `well_formed_json`."""

    async def json(self) -> Any:
        return well_formed_json(await self.body())


class WellFormedRoute(APIRoute):
    """A route that takes a `WellFormedRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_well_formed(request: Request) -> Response:
            return await handle(WellFormedRequest(request.scope, request.receive))

        return handle_well_formed
