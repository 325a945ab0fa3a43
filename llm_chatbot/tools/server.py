"""One MCP server: started when it is first needed, listed, called, and started again after it has ended.

All of it runs on one event loop, see `servers`.
"""

import asyncio
import logging
import tempfile
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Literal, TextIO, cast

from llm_chatbot.errors import UserError
from llm_chatbot.tools.configuration import HTTPServer, ProgramServer, ServerConfig
from llm_chatbot.tools.results import offered_tool, tool_result
from llm_chatbot.tools.tool import ServerTool, ToolResult

if TYPE_CHECKING:
    from mcp import Client

logger = logging.getLogger(__name__)

MAX_PAGES = 20  # of a listing, which a server could go on with for ever
SUBSCRIBE_AGAIN = 10  # seconds after the end of a subscription
MAX_REASON = 300  # characters of what others say of an error

State = Literal["idle", "starting", "running", "failed"]


@dataclass(frozen=True)
class Limits:
    """Time limits, in seconds.

    Attributes:
        start: for a server to start and to list its tools. Programs that fetch themselves first take a while.
        call: for one call.
    """

    start: float = 60.0
    call: float = 120.0


class ToolServer:
    """
    Attributes:
        state: whether it runs; "idle" before it is first needed.
        tools: those that it listed last.
        error: why it failed; None: it hasn't.
    """

    def __init__(self, config: ServerConfig, limits: Limits) -> None:
        self.name, self._config, self._limits = config.name, config, limits
        self.state: State = "idle"
        self.tools: Sequence[ServerTool] = ()
        self.error: UserError | None = None
        self._started: asyncio.Future[Client] | None = None  # of the session that runs or begins
        self._session: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()

    async def start(self) -> "Client":
        """Starts the server, unless it runs.

        Raises:
            UserError: it can't be started, or doesn't list its tools in time.
        """
        if self._started is None:
            self._started, self._ending = asyncio.get_running_loop().create_future(), asyncio.Event()
            self._started.add_done_callback(_retrieved)
            self.state, self.error = "starting", None
            self._session = asyncio.create_task(self._run(self._started, self._ending))
        return await asyncio.shield(self._started)

    async def call(self, tool: str, arguments: dict[str, Any]) -> ToolResult:
        """Calls a tool once. Cancelling this stops the call on the server too, if it can be stopped.

        Raises:
            UserError: the server can't be started, ends meanwhile, takes too long, or refuses.
        """
        client = await self.start()
        names = {"server": self.name, "tool": tool}
        try:
            async with asyncio.timeout(self._limits.call):
                return tool_result(await client.call_tool(tool, arguments))
        except TimeoutError as error:
            raise UserError("tools.call_timeout", seconds=f"{self._limits.call:g}", **names) from error
        except Exception as error:  # the SDK's, of pydantic, of HTTP: whatever a server can cause
            if _is_closed(error):
                await self.stop()
                raise UserError("tools.call_ended", **names) from error
            raise UserError("tools.call_failed", reason=_reason(error), **names) from error

    async def stop(self) -> None:
        """Ends the session, and the server if it is a program; the next use starts it again."""
        started, session = self._started, self._session
        self._started, self._session, self.state, self.error = None, None, "idle", None
        self._ending.set()
        if session is None or started is None:
            return
        if not started.done():
            started.set_exception(UserError("tools.stopped", server=self.name))
            session.cancel()
        await asyncio.wait([session])

    async def _run(self, started: "asyncio.Future[Client]", ending: asyncio.Event) -> None:
        """The session from beginning to end: what the SDK enters has to be left in the same task."""
        changed = asyncio.Event()  # the tools may be others than those that were listed
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
            try:
                async with AsyncExitStack() as stack:
                    async with asyncio.timeout(self._limits.start):
                        client = await stack.enter_async_context(_new_client(self._config, errors, changed))
                        tools = [tool async for tool in _listed(self.name, client)]
                    self.tools, self.state = tools, "running"
                    started.set_result(client)
                    for act in (self._list_again(client, changed), _subscribe(client, changed)):
                        stack.push_async_callback(_cancel, asyncio.create_task(act))
                    await ending.wait()
            except Exception as error:  # as in `call`
                self._fail(started, self._why_not_started(error, errors))

    async def _list_again(self, client: "Client", changed: asyncio.Event) -> None:
        """Lists the tools whenever they may have changed. Those that were listed before stay where that fails."""
        while await changed.wait():
            changed.clear()
            try:
                async with asyncio.timeout(self._limits.start):
                    self.tools = [tool async for tool in _listed(self.name, client)]
            except Exception as error:  # as in `call`
                logger.info("%s did not list its tools again: %s", self.name, _reason(error))

    def _fail(self, started: "asyncio.Future[Client]", error: UserError) -> None:
        if started.done():  # it had begun well: the SDK fails to end it
            logger.info("A session did not end well: %s", error)
            return
        started.set_exception(error)
        if self._started is started:
            self._started, self._session, self.state, self.error = None, None, "failed", error

    def _why_not_started(self, error: BaseException, errors: IO[str]) -> UserError:
        first = next(_single_errors(error))
        if isinstance(first, TimeoutError):
            return UserError("tools.start_timeout", server=self.name, seconds=f"{self._limits.start:g}")
        if isinstance(self._config, ProgramServer) and isinstance(first, FileNotFoundError | PermissionError):
            return UserError("tools.no_program", server=self.name, command=self._config.command)
        if isinstance(self._config, HTTPServer):
            return UserError("tools.no_answer", server=self.name, url=self._config.url, reason=_reason(first))
        said = _last_line(errors)
        reason = said or _reason(first)
        return UserError("tools.not_started", server=self.name, reason=reason)


@asynccontextmanager
async def _new_client(config: ServerConfig, errors: IO[str], changed: asyncio.Event) -> "AsyncGenerator[Client, None]":
    """A session with a server, which ends with it.

    Args:
        errors: a file for what a program writes to its standard error.
        changed: is set when a server with a protocol before 2026 says that its tools are others now.
    """
    from mcp import Client, StdioServerParameters, stdio_client
    from mcp.client.streamable_http import streamable_http_client
    from mcp_types import ToolListChangedNotification

    async def hear(message: object) -> None:
        if isinstance(message, ToolListChangedNotification):
            changed.set()

    async with AsyncExitStack() as stack:
        if isinstance(config, ProgramServer):
            program = StdioServerParameters(
                command=config.command, args=list(config.args), env=dict(config.env), cwd=config.cwd
            )
            transport = stdio_client(program, cast(TextIO, errors))
        else:
            from httpx2 import AsyncClient

            own = AsyncClient(headers=dict(config.headers), timeout=None)  # `Limits` are the times
            transport = streamable_http_client(config.url, http_client=await stack.enter_async_context(own))
        yield await stack.enter_async_context(Client(transport, cache=None, message_handler=hear))


async def _subscribe(client: "Client", changed: asyncio.Event) -> None:
    """Sets an event whenever a server says that its tools are others now, as the protocol of 2026 has it."""
    from mcp import MCPError
    from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost

    while True:
        try:
            async with client.listen(tools_list_changed=True) as changes:
                changed.set()  # what changed before is not said
                async for _ in changes:
                    changed.set()
        except SubscriptionLost:
            pass
        except (ListenNotSupportedError, MCPError, TimeoutError) as error:
            logger.info("A server does not say by a subscription which tools it has: %s", _reason(error))
            return
        await asyncio.sleep(SUBSCRIBE_AGAIN)


async def _listed(server: str, client: "Client") -> AsyncGenerator[ServerTool, None]:
    """All tools of a server."""
    cursor = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        for tool in page.tools:
            yield offered_tool(server, tool)
        cursor = page.next_cursor
        if cursor is None:
            return


def _single_errors(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group of them, or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _single_errors(one)
    else:
        yield error


def _is_closed(error: BaseException) -> bool:
    """Whether the server's end of a connection is gone."""
    from mcp import MCPError
    from mcp_types import CONNECTION_CLOSED

    return any(isinstance(one, MCPError) and one.code == CONNECTION_CLOSED for one in _single_errors(error))


def _reason(error: BaseException) -> str:
    """An error on one line that isn't too long."""
    first = next(_single_errors(error))
    return " ".join(str(first).split())[:MAX_REASON] or type(first).__name__


def _last_line(errors: IO[str]) -> str:
    errors.seek(0)
    lines = [line.strip() for line in errors if line.strip()]
    return lines[-1][:MAX_REASON] if lines else ""


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def _retrieved(started: "asyncio.Future[Client]") -> None:
    """Nobody may wait for a server that was begun beside others: its error is told by `ToolServer.error`."""
    if not started.cancelled():
        started.exception()
