"""All servers, with their sessions on the event loop of one thread."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from llm_chatbot.errors import UserError
from llm_chatbot.tools.configuration import ServerConfig
from llm_chatbot.tools.server import Limits, State, ToolServer
from llm_chatbot.tools.tool import ServerTool, ToolResult

LOOK_SECONDS = 0.1  # between two looks whether a server is still wanted
SERVERS_CLOSE_SECONDS = 10.0  # for the servers to end; the SDK kills a program after four

T = TypeVar("T")


@dataclass(frozen=True)
class ServerState:
    """A server at one moment; the attributes are those of `ToolServer`."""

    name: str
    state: State
    tools: Sequence[ServerTool]
    error: UserError | None


class ToolServers:
    """Any thread may call its methods. A server is started when something of it is first needed.

    Args:
        configs: as `read_servers` returns them.
        limits: of all of them.
    """

    def __init__(self, configs: Sequence[ServerConfig], limits: Limits | None = None) -> None:
        self._servers = {config.name: ToolServer(config, limits or Limits()) for config in configs}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    @property
    def names(self) -> Sequence[str]:
        return list(self._servers)

    def states(self) -> list[ServerState]:
        """All servers, without waiting for any."""
        return [ServerState(one.name, one.state, one.tools, one.error) for one in self._servers.values()]

    def begin(self) -> None:
        """Begins to start the servers that were never needed so far."""
        for server in self._servers.values():
            if server.state == "idle":
                self._run(server.start())

    def restart(self, name: str) -> None:
        """Ends a server, and begins to start it again.

        Raises:
            UserError: there is no such server.
        """
        server = self._server(name)

        async def again() -> None:
            await server.stop()
            await server.start()

        self._run(again())

    def find(self, server: str, tool: str, is_stopped: Callable[[], bool] = lambda: False) -> ServerTool:
        """A tool as its server lists it. Waits for the server to start.

        Args:
            is_stopped: whether nobody wants it any more.

        Raises:
            UserError: there is no such server or tool, or the server doesn't start or has not when nobody wants it.
        """
        one = self._server(server)
        starting = self._run(one.start())
        while not is_stopped():
            with suppress(TimeoutError):
                starting.result(LOOK_SECONDS)
                break
        else:
            raise UserError("tools.stopped", server=server)
        found = next((each for each in one.tools if each.name == tool), None)
        if found is None:
            raise UserError("tools.no_tool", server=server, tool=tool)
        return found

    def call(self, server: str, tool: str, arguments: dict[str, Any]) -> "Future[ToolResult]":
        """Begins a call; cancelling the future stops it.

        Raises:
            UserError: there is no such server. The future raises those of `ToolServer.call`.
        """
        return self._run(self._server(server).call(tool, arguments))

    def close(self) -> None:
        """Ends all servers."""
        with self._lock:
            loop, thread, self._loop = self._loop, self._thread, None
        if loop is None or thread is None:
            return

        async def stop() -> None:
            await asyncio.wait([asyncio.create_task(server.stop()) for server in self._servers.values()])
            loop.stop()

        asyncio.run_coroutine_threadsafe(stop(), loop)
        thread.join(SERVERS_CLOSE_SECONDS)

    def _server(self, name: str) -> ToolServer:
        if name not in self._servers:
            raise UserError("tools.no_server", server=name)
        return self._servers[name]

    def _run(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="tools", daemon=True)
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(work, self._loop)
