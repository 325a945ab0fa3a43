"""Stands before the routes: who may address the server by which name, HEAD requests, and how bodies are packed."""

import zlib
from collections.abc import Iterator, Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llm_chatbot.api.errors import APIError, response_of
from llm_chatbot.errors import UserError

MOST_MEMBERS = 100  # of a gzip body; each one costs a copy of the bytes behind it


class HostCheck:
    """ASGI middleware that refuses requests which address the server by a name that it doesn't have.

    Starlette's own answers in plain text, which no client of a JSON protocol shows.

    Args:
        names: of the server, without port; `*` is any name, and `*.example.com` any below that domain.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str]) -> None:
        self.app, self.names = app, [name.lower() for name in names]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            name = host_name(Headers(scope=scope).get("host", ""))
            if not self._is_known(name):
                error = APIError("api.unknown_host", 403, code="unknown_host", host=name)
                return await response_of(error, scope["path"])(scope, receive, send)
        return await self.app(scope, receive, send)

    def _is_known(self, name: str) -> bool:
        return any(
            known in ("*", name) or (known.startswith("*.") and name.endswith(known[1:])) for known in self.names
        )


def host_name(header: str) -> str:
    """The name in a Host header, without its port; the address of IPv6 keeps its brackets."""
    name = header.lower()
    return f"{name.partition(']')[0]}]" if name.startswith("[") else name.partition(":")[0]


class HeadAsGet:
    """ASGI middleware that answers HEAD as GET, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            return await self.app(scope, receive, send)

        async def without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        return await self.app({**scope, "method": "GET"}, receive, without_body)


class GzippedBody:
    """ASGI middleware that unpacks bodies with `Content-Encoding: gzip`.

    Args:
        most: bytes that a body may have when it is unpacked; beyond that it is a 413, and no more of it is unpacked.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app, self.most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        encoding = Headers(scope=scope).get("content-encoding", "").lower() if scope["type"] == "http" else ""
        if encoding in ("", "identity"):
            return await self.app(scope, receive, send)
        if encoding not in ("gzip", "x-gzip"):
            error = APIError("api.encoding", 415, code="unsupported_encoding", encoding=encoding)
            return await response_of(error, scope["path"])(scope, receive, send)
        headers = MutableHeaders(raw=list(scope["headers"]))
        del headers["content-encoding"], headers["content-length"]
        unpacked = _Unpacked(receive, self.most)
        return await self.app({**scope, "headers": headers.raw}, unpacked.receive, send)


class _Unpacked:
    """A body while it comes. What is raised reaches the app where it reads the body.

    It may have several members, one after the other, as RFC 1952 allows.
    """

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive, self._left = receive, most
        self._begin_member()
        self._members_left = MOST_MEMBERS

    def _begin_member(self) -> None:
        self._unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)  # 16: with gzip's header

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request":
            return message
        try:
            body = b"".join(self._parts(message.get("body", b"")))
        except zlib.error as error:
            raise _no_gzip() from error
        if not message.get("more_body", False) and not self._unpacker.eof:
            raise _no_gzip()
        return {**message, "body": body}

    def _parts(self, packed: bytes) -> Iterator[bytes]:
        """Unpacks some more bytes of the body, one part for each member that they belong to."""
        while packed:
            if self._unpacker.eof:
                self._members_left -= 1
                if not self._members_left:
                    raise _no_gzip()
                self._begin_member()
            part = self._unpacker.decompress(packed, self._left + 1)
            self._left -= len(part)
            if self._left < 0:
                raise HTTPException(413)
            yield part
            packed = self._unpacker.unused_data


def _no_gzip() -> HTTPException:
    return HTTPException(400, str(UserError("api.not_gzip")))


class UntypedJSON:
    """ASGI middleware that reads bodies for Ollama's API as JSON whatever their type, as Ollama does.

    Its documentation asks with `curl -d`, which names the type of a form. A page in a browser could send that to any
    server without asking; its requests have an origin, and keep their type.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/api/") and "origin" not in Headers(scope=scope):
            headers = MutableHeaders(raw=list(scope["headers"]))
            headers["content-type"] = "application/json"
            scope = {**scope, "headers": headers.raw}
        return await self.app(scope, receive, send)
