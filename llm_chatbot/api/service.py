"""The app: the routes under /v1, /health and /metrics, with keys and limits in front."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llm_chatbot.answering.served import LocalModel, ServedModel
from llm_chatbot.api.address import LOCAL_HOSTS
from llm_chatbot.api.anthropic.routes import messages_router
from llm_chatbot.api.errors import add_error_handlers
from llm_chatbot.api.keys import KeyCheck
from llm_chatbot.api.metrics import Metrics
from llm_chatbot.api.ollama.routes import ollama_router
from llm_chatbot.api.openai_responses.routes import responses_router
from llm_chatbot.api.requests import MAX_BODY_BYTES
from llm_chatbot.api.routes import openai_router

LOCAL_NAMES = (*LOCAL_HOSTS, "[::1]")


def allowed_names(host: str, keys: Sequence[str]) -> Sequence[str]:
    """The names that requests may call the server by, for `create_app`.

    Without keys, a page in a browser must not reach a server of this machine by giving the machine another name.
    """
    return LOCAL_NAMES if host in LOCAL_HOSTS and not keys else ["*"]


def create_app(
    models: Mapping[str, ServedModel], keys: Sequence[str] = (), allowed_hosts: Sequence[str] = ("*",)
) -> FastAPI:
    """Makes the app that serves these models, by the names that requests call them.

    Args:
        models: at least one.
        keys: API keys, of which each request needs one; none: everybody may ask.
        allowed_hosts: names of this server that requests may address.
    """
    metrics = Metrics()
    for name, model in models.items():
        if isinstance(model, LocalModel):
            watch(metrics, name, model)
    app = FastAPI(title="llm-chatbot", lifespan=closing(models), max_body_size=MAX_BODY_BYTES)
    add_error_handlers(app)
    checked = [Depends(KeyCheck(keys))]
    for new_router in (responses_router, messages_router, ollama_router, openai_router):
        app.include_router(new_router(models, metrics), dependencies=checked)
    app.add_middleware(ResponseCounter, metrics=metrics)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(allowed_hosts))

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics", dependencies=checked)
    async def current_metrics() -> Response:
        return metrics.response()

    return app


def closing(models: Mapping[str, ServedModel]) -> Any:
    """Ends the answers of this process with the app."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        for model in models.values():
            if isinstance(model, LocalModel):
                model.answering.close()

    return lifespan


def watch(metrics: Metrics, name: str, model: LocalModel) -> None:
    metrics.watch(name, lambda: model.answering.unfinished, lambda: model.answering.waiting)


class APIPaths:
    """ASGI middleware that hands the API's paths to its app, and everything else on.

    Args:
        api: what `create_app` returned.
    """

    def __init__(self, app: ASGIApp, api: ASGIApp) -> None:
        self.app, self.api = app, api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_api = scope["type"] == "http" and (
            scope["path"].startswith(("/v1/", "/api/")) or scope["path"] in ("/health", "/metrics")
        )
        await (self.api if is_api else self.app)(scope, receive, send)


class ResponseCounter:
    """ASGI middleware that counts the responses by path and status."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = scope.get("route")
                self.metrics.note_response(getattr(route, "path", "other"), message["status"])
            await send(message)

        return await self.app(scope, receive, counting)
