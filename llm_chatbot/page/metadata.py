"""Title and metadata of the page's document, in the place of Gradio's own."""

import re

from starlette.datastructures import MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

DESCRIPTION = "Chat with a language model that runs on this machine."

COMPRESSED = ("/", "/page/state")

# Cards for other sites, with Gradio's name and a picture on another host.
CARDS = re.compile(rb'<meta\s+(?:property="og:|name="twitter:)[^>]*>\s*')


class CompressedStart:
    """ASGI middleware that compresses what the page begins with. Gradio compresses only files, by their endings."""

    def __init__(self, app: ASGIApp) -> None:
        self._app, self._compressed = app, GZipMiddleware(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_one = scope["type"] == "http" and scope["path"] in COMPRESSED
        await (self._compressed if is_one else self._app)(scope, receive, send)


class OwnMetadata:
    """ASGI middleware that takes Gradio's cards out of each document, and gives it a description.

    It stands before those that compress.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, Document(send).send if scope["type"] == "http" else send)


class Document:
    """A response on its way: one that is HTML is collected, rewritten and sent as a whole."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._body = b""

    async def send(self, message: Message) -> None:
        """Passes a message on, or keeps it until the document is complete."""
        if message["type"] == "http.response.start" and is_document(message):
            self._start = message
        elif self._start is None or message["type"] != "http.response.body":
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                await self._send_whole(self._start)

    async def _send_whole(self, start: Message) -> None:
        body = with_own_metadata(self._body)
        MutableHeaders(scope=start)["content-length"] = str(len(body))
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})


def is_document(start: Message) -> bool:
    """Whether a response is HTML that nothing has compressed."""
    headers = MutableHeaders(scope=start)
    return headers.get("content-type", "").startswith("text/html") and "content-encoding" not in headers


def with_own_metadata(document: bytes) -> bytes:
    """The document with a description of its own and without Gradio's cards."""
    described = f'<head>\n\t\t<meta name="description" content="{DESCRIPTION}" />'
    return CARDS.sub(b"", document).replace(b"<head>", described.encode(), 1)
