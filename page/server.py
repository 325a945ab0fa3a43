"""How the page is served: to whom, and what is refused."""

import re
from pathlib import Path
from typing import Any

from page.texts import TEXTS

import gradio as gr
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HERE = Path(__file__).resolve().parent

# What the page's elements are called, in the browser's language. zh stands for all kinds of Chinese.
I18N = gr.I18n(en=TEXTS["en"], ja=TEXTS["ja"], **dict.fromkeys(("zh", "zh-CN", "zh-TW"), TEXTS["zh"]))

# A conversation that fills the longest context is far below it.
MAX_REQUEST_BYTES = 4 * 1024 * 1024

# What Gradio offers and a chat has no use for: files to the server and from it, requests in its name, its own records.
CLOSED = re.compile(
    r"/(upload|upload_progress|file|file=.*|proxy=.*|stream|process_recording|component_server|deep_link|vibe-[^/]*"
    r"|monitoring|profiling|run-history|runs)(/|$)"
)

# The page needs nothing from elsewhere, and a model's answer can't make the browser ask for anything there.
CONTENT_SECURITY_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; form-action 'self'"
)

THEME = gr.themes.Base(
    primary_hue="indigo",
    neutral_hue="slate",
    radius_size="lg",
    font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"],
    font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"],
).set(
    # Gradio's own are too pale to be read by everybody: a contrast of 4.5 is what WCAG asks for.
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_400",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_400",
    input_placeholder_color="*neutral_500",
    input_placeholder_color_dark="*neutral_400",
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
)


class ServedBlocks(gr.Blocks):
    """Blocks that are launched with the page's own theme, style, script, language and gate."""

    def launch(self, *args: Any, **options: Any) -> Any:
        """Starts the page.

        Args:
            args, options: of `gr.Blocks.launch`; they win over what is set here.
        """
        script = (HERE / "page.js").read_text(encoding="utf-8")
        ours: dict[str, Any] = {
            "share": False,
            "show_error": True,
            "theme": THEME,
            "css_paths": HERE / "page.css",
            "head": f"<script>{script}</script>",
            "i18n": I18N,
            "footer_links": [],
            "ssr_mode": False,
            "run_history": False,
            "app_kwargs": {"middleware": [Middleware(Gate)]},
        }
        return super().launch(*args, **{**ours, **options})


class Gate:
    """ASGI middleware that refuses what is no part of a chat, before it is read."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif (refusal := refused(scope)) is not None:
            await refusal(scope, receive, send)
        else:
            await self.app(scope, receive, self._with_policy(send))

    @staticmethod
    def _with_policy(send: Send) -> Send:
        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
            await send(message)

        return send_with_policy


def refused(scope: Scope) -> PlainTextResponse | None:
    """The answer to a request that is not let through; None lets it through."""
    path, headers = scope["path"], Headers(scope=scope)
    if CLOSED.search(path):
        return PlainTextResponse("This page takes no files and gives none.", 403)
    if scope["method"] not in ("POST", "PUT", "PATCH"):
        return None
    length = headers.get("content-length", "")
    if not length.isdigit():  # it could be of any size; whoever sends a chat knows how long it is
        return PlainTextResponse("The request has to say how long it is.", 411)
    if int(length) > MAX_REQUEST_BYTES:
        return PlainTextResponse(f"The request is too large; {MAX_REQUEST_BYTES} bytes are allowed.", 413)
    return None
