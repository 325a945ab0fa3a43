"""The state of an answer, from its place in the queue to its end."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal, Protocol

from llm_chatbot.answering.models import LoadedModel
from llm_chatbot.answering.question import Question
from llm_chatbot.engine.session import Answer
from llm_chatbot.knowledge.prompt import Quoted
from llm_chatbot.tools.offers import Offer

Phase = Literal["waiting", "loading", "reading", "writing", "ended"]


@dataclass(eq=False)
class PendingAnswer:
    """An answer that was asked for; changed under the lock of `Answering`.

    Attributes:
        version: grows with each change.
        stopping: whether it is to end at its next token.
        started: whether it has left the queue.
        loaded: the model, once it is there.
        waited: seconds in the queue and for the model, once both are over.
        passages: of the user's collections, which it is given; None: none were looked for.
        offer: the tools that it may call; None: none were asked for.
        begun: the engine's first snapshot, with what the question has of an answer that is continued.
        answer: the engine's latest snapshot.
        error: what went wrong: a `UserError`, or anything else that a bug or the runtime raised.
        first_read: when the prompt's first chunk had been read, and how many tokens it was read up to.
        asked, ended: when it was asked for, and when it ended (`time.monotonic`).
        listeners: called after each change, in the thread that made it.
    """

    question: Question
    version: int = 0
    stopping: bool = False
    started: bool = False
    loaded: LoadedModel | None = None
    waited: float = 0.0
    passages: Sequence[Quoted] | None = None
    offer: Offer | None = None
    begun: Answer | None = None
    answer: Answer | None = None
    error: Exception | None = None
    first_read: tuple[float, int] | None = None
    asked: float = field(default_factory=time.monotonic)
    ended: float | None = None
    listeners: list[Callable[[], None]] = field(default_factory=list)

    @property
    def phase(self) -> Phase:
        """Where it is: in the queue, loading the model, reading the prompt, writing, or at its end."""
        if self.ended is not None:
            return "ended"
        if not self.started:
            return "waiting"
        if self.loaded is None:
            return "loading"
        return "writing" if self.answer and self.answer.completion_tokens else "reading"

    @property
    def finish_reason(self) -> str | None:
        if self.error is not None:
            return "error"
        if self.ended is not None and (self.answer is None or self.answer.finish_reason is None):
            return "cancelled"
        return self.answer.finish_reason if self.answer else None


class Followed(Protocol):
    """An answer or a call, which other threads change; see `PendingAnswer.listeners`."""

    listeners: list[Callable[[], None]]


@contextmanager
def changes_of(pendings: Sequence[Followed]) -> Iterator[asyncio.Event]:
    """An event of the running loop, which each change of one of them sets."""
    loop, changed = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(changed.set)

    for pending in pendings:
        pending.listeners.append(wake)
    try:
        yield changed
    finally:
        for pending in pendings:
            pending.listeners.remove(wake)
