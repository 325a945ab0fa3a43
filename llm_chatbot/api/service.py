"""The app: the routes of all protocols, with keys, names and limits in front."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llm_chatbot.answering.served import LocalModel, ServedModel
from llm_chatbot.api.address import LOCAL_HOSTS
from llm_chatbot.api.anthropic.routes import messages_router
from llm_chatbot.api.embeddings import embeddings_router
from llm_chatbot.api.encoders import ServedEncoders
from llm_chatbot.api.errors import add_error_handlers
from llm_chatbot.api.infill import infill_router
from llm_chatbot.api.keys import KeyCheck
from llm_chatbot.api.metrics import Metrics
from llm_chatbot.api.middleware import GzippedBody, HeadAsGet, HostCheck, UntypedJSON
from llm_chatbot.api.ollama.routes import ollama_router
from llm_chatbot.api.openai_responses.routes import responses_router
from llm_chatbot.api.requests import MAX_BODY_BYTES
from llm_chatbot.api.routes import openai_router
from llm_chatbot.api.tokens import tokens_router

LOCAL_NAMES = (*LOCAL_HOSTS, "[::1]")

# Paths of the API beside the page, and how others begin.
API_PATHS = {"/health", "/infill", "/metrics", "/rerank"}
API_PATHS |= {"/apply-template", "/detokenize", "/tokenize", "/tokenizer_info"}
API_PREFIXES = ("/api/", "/v1/", "/v2/")

# Of pages whose origin is allowed.
ANY_REQUEST: dict[str, Any] = {"allow_methods": ["*"], "allow_headers": ["*"], "expose_headers": ["Retry-After"]}


def allowed_names(host: str, keys: Sequence[str], named: Sequence[str] = ()) -> Sequence[str]:
    """The names that requests may call the server by, for `create_app`.

    Without keys, a page in a browser must not reach a server of this machine by giving the machine another name.

    Args:
        host: the address that it listens on.
        keys: its API keys.
        named: names that its user allows; then there are no others but the local ones.
    """
    return (*LOCAL_NAMES, *named) if named or (host in LOCAL_HOSTS and not keys) else ["*"]


def create_app(
    models: Mapping[str, ServedModel],
    keys: Sequence[str] = (),
    allowed_hosts: Sequence[str] = ("*",),
    cors_origins: Sequence[str] = (),
    encoders: ServedEncoders | None = None,
) -> FastAPI:
    """Makes the app that serves these models, by the names that requests call them.

    Args:
        models: at least one.
        keys: API keys, of which each request needs one; none: everybody may ask.
        allowed_hosts: names of this server that requests may address.
        cors_origins: of pages that may ask from a browser, such as `https://example.com`; `*` is any.
        encoders: for embeddings and reranking.
    """
    metrics, encoders = Metrics(), encoders or ServedEncoders()
    for name, model in models.items():
        if isinstance(model, LocalModel):
            watch(metrics, name, model)
    app = FastAPI(
        title="llm-chatbot",
        lifespan=closing(models, encoders),
        max_body_size=MAX_BODY_BYTES,
        docs_url=None,  # these pages load their scripts from another host
        redoc_url=None,
        openapi_url=None,  # it is below, behind the keys
    )
    add_error_handlers(app)
    checked = [Depends(KeyCheck(keys))]
    for router in (
        responses_router(models, metrics),
        messages_router(models, metrics),
        ollama_router(models, metrics, encoders),
        openai_router(models, metrics, encoders),
        infill_router(models, metrics),
        embeddings_router(encoders, metrics),
        tokens_router(models, encoders),
        about_router(app, metrics),
    ):
        app.include_router(router, dependencies=checked)
    app.include_router(open_router(models))
    app.add_middleware(ResponseCounter, metrics=metrics)
    app.add_middleware(UntypedJSON)
    app.add_middleware(HeadAsGet)
    app.add_middleware(GzippedBody, most=MAX_BODY_BYTES)
    if cors_origins:
        app.add_middleware(CORSMiddleware, allow_origins=list(cors_origins), **ANY_REQUEST)
    app.add_middleware(HostCheck, names=allowed_hosts)
    return app


def open_router(models: Mapping[str, ServedModel]) -> APIRouter:
    """The routes that need no key: whether the server is there, and whether it loads one of its models."""
    router = APIRouter()

    @router.get("/")
    async def root() -> PlainTextResponse:
        return PlainTextResponse("llm-chatbot is running")

    @router.get("/health")
    async def health() -> dict[str, Any]:
        is_loading = any(isinstance(model, LocalModel) and model.is_loading for model in models.values())
        return {"status": "ok", **({"loading": True} if is_loading else {})}

    return router


def about_router(app: FastAPI, metrics: Metrics) -> APIRouter:
    """The routes that describe the app and what it did."""
    router = APIRouter(include_in_schema=False)

    @router.get("/metrics")
    async def current_metrics() -> Response:
        return metrics.response()

    @router.get("/openapi.json")
    async def schema() -> dict[str, Any]:
        return app.openapi()

    return router


def closing(models: Mapping[str, ServedModel], encoders: ServedEncoders) -> Any:
    """Ends the answers of this process, and the thread of its encoders, with the app."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        for model in models.values():
            if isinstance(model, LocalModel):
                model.answering.close()
        encoders.close()

    return lifespan


def watch(metrics: Metrics, name: str, model: LocalModel) -> None:
    metrics.watch(name, lambda: model.unfinished, lambda: model.waiting)


class APIPaths:
    """ASGI middleware that hands the API's paths to its app, and everything else on.

    Args:
        api: what `create_app` returned.
    """

    def __init__(self, app: ASGIApp, api: ASGIApp) -> None:
        self.app, self.api = app, api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        is_api = scope["type"] == "http" and (path in API_PATHS or path.startswith(API_PREFIXES))
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
