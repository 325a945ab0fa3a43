"""Calls that were asked for, each under an id. A tab may close: the call goes on, and its result is kept a while."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Any

from llm_chatbot.errors import UserError
from llm_chatbot.tools.offers import ToolKey
from llm_chatbot.tools.servers import ToolServers
from llm_chatbot.tools.tool import ToolResult

CALL_KEPT_SECONDS = 600.0  # after the end of a call
MAX_RUNNING = 16  # calls at a time, of everybody

Shorten = Callable[[ToolResult], ToolResult]


@dataclass(eq=False)
class PendingCall:
    """A call that was asked for.

    Attributes:
        version: grows with each change.
        result: once it is there.
        error: what went wrong.
        stopped: whether it was stopped before its end.
        ended: when it ended (`time.monotonic`); None: it has not.
        listeners: called after each change, in the thread that made it.
    """

    version: int = 0
    result: ToolResult | None = None
    error: Exception | None = None
    stopped: bool = False
    ended: float | None = None
    listeners: list[Callable[[], None]] = field(default_factory=list)


class Calls:
    """
    Args:
        servers: have the tools.
        kept_seconds: how long a call is kept after its end.
    """

    def __init__(self, servers: ToolServers, kept_seconds: float = CALL_KEPT_SECONDS) -> None:
        self._servers, self._kept_seconds = servers, kept_seconds
        self._calls: dict[str, PendingCall] = {}
        self._futures: dict[str, Future[ToolResult]] = {}
        self._lock = threading.Lock()

    def ask(self, id: str, key: ToolKey, arguments: dict[str, Any], shorten: Shorten) -> PendingCall:
        """Begins a call, unless one with this id was begun before: what was allowed once runs once.

        Args:
            shorten: makes a result fit for the model that reads it.

        Raises:
            UserError: there is no such server, or too many calls run.
        """
        with self._lock:
            self._forget_old()
            if (known := self._calls.get(id)) is not None:
                return known
            if len(self._futures) >= MAX_RUNNING:
                raise UserError("tools.too_many", limit=MAX_RUNNING)
            future = self._servers.call(*key, arguments)
            pending = self._calls[id] = PendingCall()
            self._futures[id] = future
        # In a thread of its own: `shorten` may have to wait for the model.
        end = threading.Thread(target=self._end, args=(id, pending, future, shorten), name="tool-call", daemon=True)
        end.start()
        return pending

    def get(self, id: str) -> PendingCall | None:
        """A call that was asked for; None if it isn't known (any more)."""
        with self._lock:
            return self._calls.get(id)

    def stop(self, id: str) -> bool:
        """Stops a call; False if none with this id runs."""
        with self._lock:
            future = self._futures.get(id)
        return future is not None and (future.cancel() or future.done())

    def _end(self, id: str, pending: PendingCall, future: "Future[ToolResult]", shorten: Shorten) -> None:
        try:
            pending.result = shorten(future.result())
        except CancelledError:
            pending.stopped = True
        except Exception as error:  # a bug of ours beside the `UserError`s: the page says so
            pending.error = error
        with self._lock:
            self._futures.pop(id, None)
            pending.ended = time.monotonic()
            pending.version += 1
        for listener in list(pending.listeners):
            listener()

    def _forget_old(self) -> None:
        old = time.monotonic() - self._kept_seconds
        for id, pending in list(self._calls.items()):
            if pending.ended is not None and pending.ended < old:
                del self._calls[id]
