"""How the page is served, and which requests are refused."""

import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llm_chatbot.page.gradio_without_mcp import gradio as gr

# Far more than a conversation that fills the longest context; with pictures, as much as the API takes.
MAX_REQUEST_BYTES = 4 * 1024 * 1024
CONVERSATION_PATHS = ("/page/ask", "/page/title", "/page/summary")
MAX_CONVERSATION_BYTES = 24 * 1024 * 1024

# Files for a collection: see knowledge_routes.py. They are kept in memory while they are received.
UPLOADS = "/page/knowledge/add_file"
MAX_UPLOAD_BYTES = 200 * 1024 * 1024

# Endpoints of Gradio that a chat does not need: uploads, downloads, proxied requests, statistics.
BLOCKED_PATHS = re.compile(
    r"/(upload|upload_progress|file|file=.*|proxy=.*|stream|process_recording|component_server|deep_link|vibe-[^/]*"
    r"|monitoring|profiling|run-history|runs)(/|$)"
)

# The page loads nothing from other hosts, and an answer can't make the browser send a request to one.
CONTENT_SECURITY_POLICY = "default-src 'self' 'unsafe-inline' data: blob:; object-src 'none'; form-action 'self'"

# The page's own modules and styles, to which a policy means nothing: it would be a tenth of what a first visit fetches.
UNRESTRICTED = "/page/web/"


class ServedBlocks(gr.Blocks):
    """Gradio's server with the page's own routes and request filter. None of Gradio's front end is served.

    Args:
        routes: served before Gradio's.
        on_close: called when the page is closed.
        options: of `gr.Blocks`.

    Attributes:
        middleware: what else requests go through, after the filter.
    """

    middleware: Sequence[Middleware] = ()

    def __init__(self, routes: list[BaseRoute], on_close: Callable[[], None], **options: Any) -> None:
        super().__init__(**options)
        self._routes, self._on_close = routes, on_close

    def launch(self, *args: Any, quiet: bool = False, prevent_thread_lock: bool | None = None, **options: Any) -> Any:
        """Starts the page and prints its address.

        Args:
            quiet: print nothing.
            prevent_thread_lock: return at once instead of serving until Ctrl+C; the default in a notebook.
            args, options: of `gr.Blocks.launch`; they override the page's own.
        """
        defaults: dict[str, Any] = {
            "share": False,
            "show_error": True,
            "ssr_mode": False,
            "run_history": False,
            "app_kwargs": {
                "middleware": [Middleware(RequestFilter), *self.middleware],
                "routes": self._routes,
            },
        }
        launched = super().launch(*args, quiet=True, prevent_thread_lock=True, **{**defaults, **options})
        if not quiet:
            print(f"Chat page: {self.local_url}", flush=True)
        interactive = hasattr(sys, "ps1") or bool(sys.flags.interactive)
        if not (interactive if prevent_thread_lock is None else prevent_thread_lock):
            self.block_thread()
        return launched

    def block_thread(self) -> None:
        """Serves until Ctrl+C. Gradio's own would close the connections before the answers end."""
        with suppress(KeyboardInterrupt):
            while self.is_running:
                time.sleep(0.1)
        self.close(verbose=False)

    def close(self, verbose: bool = True) -> None:
        """Stops what is being generated, and the server."""
        self._on_close()
        super().close(verbose)


class RequestFilter:
    """ASGI middleware that refuses requests a chat does not need, before their body is read."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif (response := refusal(scope)) is not None:
            await response(scope, receive, send)
        else:
            own = scope["path"].startswith(UNRESTRICTED)
            await self.app(scope, receive, send if own else self._with_policy(send, content_security_policy(scope)))

    @staticmethod
    def _with_policy(send: Send, policy: str) -> Send:
        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Content-Security-Policy"] = policy
            await send(message)

        return send_with_policy


def content_security_policy(scope: Scope) -> str:
    """The policy for a request. A page under another name of this machine may also ask by its number: place.js."""
    name, _, port = Headers(scope=scope).get("host", "").partition(":")
    if name not in ("localhost", "0.0.0.0") or (port and not port.isdigit()):
        return CONTENT_SECURITY_POLICY
    number = f"http://127.0.0.1:{port}" if port else "http://127.0.0.1"
    return f"{CONTENT_SECURITY_POLICY}; connect-src 'self' data: blob: {number}"


def refusal(scope: Scope) -> PlainTextResponse | None:
    """The response to a request that is refused; None if it is allowed."""
    path, headers = scope["path"], Headers(scope=scope)
    if BLOCKED_PATHS.search(path):
        return PlainTextResponse("This page neither accepts nor serves files.", 403)
    if scope["method"] not in ("POST", "PUT", "PATCH"):
        return None
    length = headers.get("content-length", "")
    if not length.isdigit():  # the body could be of any size
        return PlainTextResponse("The request needs a Content-Length header.", 411)
    if int(length) > (most := most_bytes(path)):
        return PlainTextResponse(f"The request is too large; the limit is {most} bytes.", 413)
    return None


def most_bytes(path: str) -> int:
    """How large a request may be."""
    if path.endswith(UPLOADS):
        return MAX_UPLOAD_BYTES
    return MAX_CONVERSATION_BYTES if path.endswith(CONVERSATION_PATHS) else MAX_REQUEST_BYTES
