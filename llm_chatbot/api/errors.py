"""An exception → a response that says in a sentence what is wrong."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from llm_chatbot.answering.errors import ClosedError, NoRoomError, QueueFullError
from llm_chatbot.api.error_forms import error_body
from llm_chatbot.api.json_response import WellFormedJSONResponse
from llm_chatbot.engine.errors import ContextLengthError, NonFiniteError
from llm_chatbot.errors import UserError

RETRY_SECONDS = 10  # after which other answers may have ended

# What pydantic's faults of type ask for, and what may have been sent, in JSON's words.
JSON_TYPES = {
    "string_type": "a text",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}
SENT_TYPES = (
    (type(None), "null"),
    (bool, "true or false"),
    (int | float, "a number"),
    (str, "a text"),
    (list, "a list"),
    (object, "an object"),
)


class APIError(UserError):
    """A request that can't be served.

    Attributes:
        status: of the HTTP response.
        param: the field of the request that is to blame.
        code: the reason, for programs.
        retry_after: seconds after which it may be tried again.
    """

    def __init__(
        self,
        key: str,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
        **values: Any,
    ) -> None:
        super().__init__(key, **values)
        self.status, self.param, self.code, self.retry_after = status, param, code, retry_after


def as_api_error(error: Exception) -> APIError:
    """An error of an answer in the API's words. What is nobody's fault outside is in the log, see `Answering`."""
    if isinstance(error, APIError):
        return error
    if isinstance(error, QueueFullError):
        return APIError("verbatim", 429, code="server_busy", retry_after=error.seconds, text=error)
    if isinstance(error, ClosedError):
        return APIError("verbatim", 503, code="server_closed", text=error)
    if isinstance(error, NoRoomError):
        return APIError("verbatim", 503, code="no_memory", retry_after=RETRY_SECONDS, text=error)
    if isinstance(error, NonFiniteError):
        return APIError("verbatim", 500, code="runtime_error", text=error)
    if isinstance(error, ContextLengthError):
        return APIError("verbatim", param="messages", code="context_length_exceeded", text=error)
    if isinstance(error, UserError):
        return APIError("verbatim", text=error)
    if isinstance(error, RuntimeError):
        return APIError("api.runtime", 500, code="runtime_error")
    return APIError("api.server", 500, code="internal_error")


def response_of(error: APIError, path: str) -> WellFormedJSONResponse:
    """The response to a request that can't be served, in the form of the path's protocol."""
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = error_body(str(error), error.status, error.param, error.code, path)
    return WellFormedJSONResponse(body, error.status, headers)


def add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(UserError)
    @app.exception_handler(RuntimeError)
    async def from_engine(request: Request, error: UserError | RuntimeError) -> WellFormedJSONResponse:
        return response_of(as_api_error(error), request.url.path)

    @app.exception_handler(HTTPException)
    async def from_starlette(request: Request, error: HTTPException) -> Response:
        if request.method == "OPTIONS" and error.status_code == 405:  # not a fault: it asks what there is
            return Response(status_code=204, headers=error.headers)
        message, status = f"{str(error.detail).rstrip('.')}.", error.status_code
        return WellFormedJSONResponse(error_body(message, status, path=request.url.path), status, error.headers)

    @app.exception_handler(500)
    async def from_bug(request: Request, error: Exception) -> WellFormedJSONResponse:
        return response_of(as_api_error(error), request.url.path)

    @app.exception_handler(RequestValidationError)
    async def from_validation(request: Request, error: RequestValidationError) -> WellFormedJSONResponse:
        return response_of(validation_error(error), request.url.path)


def validation_error(error: RequestValidationError) -> APIError:
    """The first of a request's faults, in a sentence that names the field."""
    fault = told_fault(error.errors(), error.body)
    if fault["type"] == "json_invalid":
        return APIError("api.not_json")
    place = ".".join(str(part) for part in fault["loc"])
    reason = reason_of(fault, [other for other in error.errors() if request_place(other, error.body) == fault["loc"]])
    if not place and fault["type"] == "value_error":
        return APIError("api.invalid", code="invalid_value", reason=reason)
    if not place:
        return APIError("api.no_object")
    if fault["type"] == "extra_forbidden":
        return APIError("api.extra", param=place, code="unsupported_parameter", field=repr(place))
    return APIError("api.invalid_field", param=place, code="invalid_value", field=repr(place), reason=reason)


def told_fault(faults: Sequence[Any], body: Any) -> dict[str, Any]:
    """The fault that says most to the sender, with its place in the request.

    Where a field may be of several types, pydantic names the faults for each of them, and the types in their places.
    What was sent is rather of the type in which the fault lies deepest, which knows the field, or takes such a value.
    """
    placed = [{**fault, "loc": request_place(fault, body)} for fault in faults]
    first = placed[0]["loc"][:1]

    def says(fault: Mapping[str, Any]) -> tuple[int, bool, bool]:
        return len(fault["loc"]), fault["type"] != "extra_forbidden", not wanted_type(fault)

    return max((fault for fault in placed if fault["loc"][:1] == first), key=says)


def reason_of(fault: Mapping[str, Any], here: Sequence[Any]) -> str:
    """The reason why a field is refused. Of one that may be of several types, all of them are named.

    Args:
        fault: the one that is told.
        here: all in its place.
    """
    wanted = list(dict.fromkeys(filter(None, map(wanted_type, here))))
    if wanted_type(fault):
        sent = next(name for kind, name in SENT_TYPES if isinstance(fault["input"], kind))
        return f"{sent} was sent, and it takes {' or '.join(wanted)}"
    reason = fault["msg"].removeprefix("Value error, ").rstrip(".")
    return ", or ".join([reason, *wanted]) if fault["type"] == "literal_error" else reason


def wanted_type(fault: Mapping[str, Any]) -> str:
    """The type that a field takes in place of what was sent; empty if that is not the fault."""
    is_word = fault["type"] == "literal_error" and fault["ctx"]["expected"].startswith("'")
    if is_word and not isinstance(fault["input"], str):
        return "a text"
    return JSON_TYPES.get(fault["type"], "")


def request_place(fault: Mapping[str, Any], body: Any) -> tuple[int | str, ...]:
    """Where a fault lies in a request, without the names of types that pydantic puts between."""
    place: list[int | str] = []
    value = body
    for part in fault["loc"][1:]:
        is_index = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if is_index or (isinstance(value, dict) and part in value):
            place.append(part)
            value = value[part]
    if fault["type"] == "missing" and value is not None:  # null is the same as leaving a field out
        place.append(fault["loc"][-1])
    return tuple(place)
