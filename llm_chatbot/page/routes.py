"""The requests of the page's own script, beside Gradio's.

Gradio's events belong to a browser tab: they end with it, and a page that comes back cannot attach to one. An answer
here belongs to the id of its message, so these are plain requests that can be repeated at any time: a reload, a lost
connection or a restart of the server is just a later request. `follow` is a long poll rather than a stream of events:
a browser opens only six connections to a server, which six tabs with a stream each would use up.
"""

import asyncio
import inspect
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from llm_chatbot.errors import UserError
from llm_chatbot.page.answers import Answers, Question, QueueFullError, described
from llm_chatbot.page.messages import validate_messages
from llm_chatbot.page.models import ModelKey
from llm_chatbot.page.settings import generation_options
from llm_chatbot.texts import page_texts

HERE = Path(__file__).resolve().parent

# Seconds that `follow` waits for news, and between two looks: also the time between two updates of an answer.
FOLLOW_SECONDS, LOOK_INTERVAL = 1.0, 0.05

Handler = Callable[[Request], Awaitable[Response]]


def page_routes(
    answers: Answers, describe: Callable[[], dict[str, Any]], load: Callable[[ModelKey | None], dict[str, Any]]
) -> list[BaseRoute]:
    """All routes, under `/page`.

    Args:
        answers: answers the questions.
        describe: what the page has to know at its start.
        load: loads a model and describes it; may take long, and raises UserError.
    """

    async def texts(request: Request) -> Response:
        return JSONResponse(page_texts())

    async def state(request: Request) -> Response:
        described = await asyncio.to_thread(describe)
        return JSONResponse({**described, "login": request.app.auth is not None})

    async def ask(request: Request) -> Response:
        answers.ask(question(await request.json()))
        return JSONResponse({}, 202)

    async def stop(request: Request) -> Response:
        return JSONResponse({"known": answers.stop((await request.json())["id"])})

    async def follow(request: Request) -> Response:
        wanted: dict[str, dict[str, int]] = await request.json()
        end = time.monotonic() + FOLLOW_SECONDS
        while True:
            states = {id: answers.state(id, it.get("text", 0), it.get("tokens", 0)) for id, it in wanted.items()}
            news = any(state is None or state["version"] != wanted[id].get("version") for id, state in states.items())
            if news or time.monotonic() > end:
                return JSONResponse(states)
            await asyncio.sleep(LOOK_INTERVAL)

    async def load_model(request: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(load, model_key((await request.json()).get("model"))))

    return [
        Mount("/page/web", StaticFiles(directory=HERE / "web")),
        Mount("/page/vendor", StaticFiles(directory=HERE / "vendor", check_dir=False)),
        Route("/page/texts", guarded(texts)),
        Route("/page/state", guarded(state)),
        Route("/page/ask", guarded(ask), methods=["POST"]),
        Route("/page/stop", guarded(stop), methods=["POST"]),
        Route("/page/follow", guarded(follow), methods=["POST"]),
        Route("/page/load", guarded(load_model), methods=["POST"]),
    ]


def guarded(handler: Handler) -> Handler:
    """A handler that answers only people who are logged in, where a login is required, and turns errors into JSON."""

    async def handle(request: Request) -> Response:
        if not await logged_in(request):
            return JSONResponse({"error": {"key": "log_in"}}, 401)
        # A form of another site can't send this type without asking first.
        if request.method == "POST" and not request.headers.get("content-type", "").startswith("application/json"):
            return JSONResponse({"error": {"text": "The request must be JSON."}}, 415)
        try:
            return await handler(request)
        except QueueFullError:
            return JSONResponse({"error": {"key": "queue_full"}}, 503)
        except UserError as error:
            return JSONResponse({"error": described(error)}, 400)
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError):
            return JSONResponse({"error": {"text": "The request has another form than the page's."}}, 400)

    return handle


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
    messages = validate_messages(data["messages"])
    settings = data.get("settings") or {}
    prompt = settings.get("system_prompt")
    if not messages or not isinstance(prompt, str | None) or not isinstance(data["id"], str):
        raise UserError("A question has an id, messages and settings.")
    model, options = model_key(data.get("model")), generation_options(settings)
    return Question(data["id"], str(data["conversation"]), model, messages, options, prompt)


def model_key(value: Any) -> ModelKey | None:
    """Name, precision and device of a model that the page chose; None: the page's own.

    Raises:
        UserError: it has another form.
    """
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 3 or not all(isinstance(part, str) for part in value):
        raise UserError("A model has a name, a precision and a device.")
    name, precision, device = value
    return name, precision, device
