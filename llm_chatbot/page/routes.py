"""The page's document, and the requests of its script, beside those of Gradio's client.

Gradio's events belong to a browser tab: they end with it, and a page that comes back cannot attach to one. An answer
here belongs to the id of its message, so these are plain requests that can be repeated at any time: a reload, a lost
connection or a restart of the server is just a later request. `follow` is a long poll rather than a stream of events:
a browser opens only six connections to a server, which six tabs with a stream each would use up.
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from llm_chatbot.answering.errors import QueueFullError
from llm_chatbot.answering.options import page_generation, page_template_options
from llm_chatbot.answering.question import ModelKey, Question
from llm_chatbot.answering.service import Answering
from llm_chatbot.api.json_request import well_formed_json
from llm_chatbot.api.json_response import WellFormedJSONResponse
from llm_chatbot.errors import UserError
from llm_chatbot.knowledge.prompt import Quoted
from llm_chatbot.machine.json_value import json_value
from llm_chatbot.page.following import Known, described, follow
from llm_chatbot.page.messages import joined, validate_messages
from llm_chatbot.page.packed_files import PackedFiles
from llm_chatbot.page.visitors import is_visitor
from llm_chatbot.texts import LANGUAGES, Text, page_texts
from llm_chatbot.tools.offers import ToolKey

if TYPE_CHECKING:
    from llm_chatbot.page.tools import PageTools

logger = logging.getLogger(__name__)

HERE = Path(__file__).resolve().parent

Handler = Callable[[Request], Awaitable[Response]]


def page_routes(
    answering: Answering,
    describe: Callable[[], dict[str, Any]],
    load: Callable[[ModelKey | None], dict[str, Any]],
    tools: "PageTools | None" = None,
) -> list[BaseRoute]:
    """All routes: the document, and all else under `/page`.

    Args:
        answering: answers the questions.
        describe: what the page has to know at its start.
        load: loads a model and describes it; may take long, and raises UserError.
        tools: those that answers may call; None: there are none.
    """

    async def state(request: Request) -> Response:
        described = await asyncio.to_thread(describe)
        arrived, _ = request.scope.get("server") or ("", None)
        if "x-forwarded-for" in request.headers:  # the browser's requests arrive at a proxy
            arrived = ""
        has_tools = tools is not None and tools.are_for(is_visitor(request))
        own = {"login": request.app.auth is not None, "arrived": arrived, "tools": has_tools}
        return WellFormedJSONResponse({**described, **own})

    async def ask(request: Request) -> Response:
        asked = question(await request_json(request))
        allowed = tools.allowed(asked.tools, is_visitor(request)) if tools else []
        answering.ask(replace(asked, tools=allowed))
        return WellFormedJSONResponse({}, 202)

    async def stop(request: Request) -> Response:
        id = text(await request_json(request), "id")
        return WellFormedJSONResponse({"known": answering.stop(id) or (tools is not None and tools.calls.stop(id))})

    async def follow_answers(request: Request) -> Response:
        known, calls = known_answers(await request_json(request)), tools.calls if tools else None
        return WellFormedJSONResponse(await follow(answering, known, calls))

    async def load_model(request: Request) -> Response:
        return WellFormedJSONResponse(
            await asyncio.to_thread(load, model_key((await request_json(request)).get("model")))
        )

    return [
        Mount("/page/web", PackedFiles(directory=HERE / "web")),
        Mount("/page/vendor", PackedFiles(directory=HERE / "vendor", check_dir=False)),
        Route("/", document),
        Route("/page/texts.json", served_texts),  # Gradio compresses what has such an ending
        Route("/page/state.json", guarded(state)),
        Route("/page/ask", guarded(ask), methods=["POST"]),
        Route("/page/stop", guarded(stop), methods=["POST"]),
        Route("/page/follow", guarded(follow_answers), methods=["POST"]),
        Route("/page/load", guarded(load_model), methods=["POST"]),
    ]


async def document(request: Request) -> Response:
    return FileResponse(HERE / "web" / "index.html")


async def served_texts(request: Request) -> Response:
    asked = request.query_params.get("language", "")
    language = asked if asked in LANGUAGES else "en"
    return WellFormedJSONResponse({"language": language, "texts": page_texts(language)})


def guarded(handler: Handler) -> Handler:
    """A handler that answers only people who are logged in, where a login is required, and turns errors into JSON."""

    async def handle(request: Request) -> Response:
        if not await logged_in(request):
            return WellFormedJSONResponse({"error": Text("log_in").as_json()}, 401)
        # A form of another site can't send this type without asking first.
        if request.method == "POST" and not request.headers.get("content-type", "").startswith("application/json"):
            return WellFormedJSONResponse({"error": Text("page.not_json").as_json()}, 415)
        try:
            return await handler(request)
        except QueueFullError:
            return WellFormedJSONResponse({"error": Text("queue_full").as_json()}, 503)
        except UserError as error:
            return WellFormedJSONResponse({"error": described(error)}, 400)
        except Exception as error:  # a bug of ours: the page says so, and the log says where
            logger.exception("A request of the page failed.")
            return WellFormedJSONResponse({"error": described(error)}, 500)

    return handle


async def request_json(request: Request) -> dict[str, Any]:
    """The JSON object that a request of the page has.

    Raises:
        UserError: it has another form.
    """
    try:
        value = well_formed_json(await request.body())
    except ValueError as error:
        raise other_form() from error
    if not isinstance(value, dict):
        raise other_form()
    return value


def text(values: dict[str, Any], name: str) -> str:
    """A text of a request. Raises a `UserError` if there is none."""
    if not isinstance(value := values.get(name), str):
        raise other_form()
    return value


def known_answers(values: dict[str, Any]) -> Known:
    """The answers that the browser follows, and what it has of each. Raises a `UserError` if it has another form."""
    for known in values.values():
        if not isinstance(known, dict) or not all(isinstance(count, int) for count in known.values()):
            raise other_form()
    return values


def other_form() -> UserError:
    return UserError("page.other_form")


async def logged_in(request: Request) -> bool:
    """Whether Gradio's login lets the request in."""
    app = request.app
    if app.auth_dependency is not None:
        user = app.auth_dependency(request)
        return (await user if inspect.isawaitable(user) else user) is not None
    if app.auth is None:
        return True
    names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")  # with and without https
    return any(request.cookies.get(name) in app.tokens for name in names)


def question(data: dict[str, Any]) -> Question:
    """A question as the browser sends it.

    Raises:
        UserError: it has another form.
    """
    messages = validate_messages(data.get("messages"))
    settings = data.get("settings") or {}
    if not messages or not isinstance(settings, dict):
        raise UserError("page.question_form")
    prompt = settings.get("system_prompt")
    if not isinstance(prompt, str | None):
        raise UserError("page.question_form")
    return Question(
        joined(messages),
        generation=page_generation(settings),
        template_options=page_template_options(settings),
        model=model_key(data.get("model")),
        system_prompt=prompt,
        **summary(data),
        conversation=text(data, "conversation"),
        **knowledge(data, settings),
        **tools_of(data, settings),
        keeps_session=True,
        is_private=data.get("private") is True,
        id=text(data, "id"),
    )


def summary(data: dict[str, Any]) -> dict[str, Any]:
    """A question's part about the summary of what was said before its messages.

    Raises:
        UserError: it has another form.
    """
    content, count = data.get("summary", ""), data.get("summarised", 0)
    if not isinstance(content, str) or not isinstance(count, int) or count < 0:
        raise UserError("page.question_form")
    return {"summary": content, "summarised": count}


def knowledge(data: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """A question's part about collections: their ids, what is looked for, and the passages that it has already.

    Raises:
        UserError: it has another form.
    """
    ids, query, passages = settings.get("collections") or "", data.get("query") or "", data.get("passages")
    if not isinstance(ids, str) or not isinstance(query, str) or not isinstance(passages, list | None):
        raise UserError("page.question_form")
    if passages is None:
        return {"collections": ids.split(), "query": query}
    try:
        return {"passages": [Quoted.from_json(passage) for passage in passages]}
    except (TypeError, ValueError) as error:
        raise UserError("page.question_form") from error


def tools_of(data: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """A question's part about tools: those that may be called, and the one that has to be.

    A tool is [server, tool]; the settings have a JSON text of those that were chosen, as web/tools/chosen.js writes it.

    Raises:
        UserError: it has another form.
    """
    forced = data.get("forced_tool")
    try:
        tools = json_value(str(settings.get("tools") or "[]"))
    except ValueError:
        tools = None
    if not isinstance(tools, list):
        raise UserError("page.question_form")
    return {
        "tools": [asked_tool(tool) for tool in tools],
        "forced_tool": None if forced is None else asked_tool(forced),
    }


def asked_tool(value: Any) -> ToolKey:
    if not isinstance(value, list) or len(value) != 2 or not all(isinstance(part, str) for part in value):
        raise UserError("page.question_form")
    server, tool = value
    return server, tool


def model_key(value: Any) -> ModelKey | None:
    """Name, precision and device of a model that the page chose; None: the page's own.

    Raises:
        UserError: it has another form.
    """
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 3 or not all(isinstance(part, str) for part in value):
        raise UserError("page.model_form")
    name, precision, device = value
    return name, precision, device
