"""The answers of the page: each belongs to the id of its message, not to the browser tab that asked for it.

An answer is generated in the background, in a thread of its own, and kept for a while after it has ended: a page that
was reloaded follows it again. A question carries all that the model reads, so the server remembers no conversation.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

from llm_chatbot.engine.decode.logprobs import TokenChoice
from llm_chatbot.engine.session import Answer
from llm_chatbot.errors import UserError
from llm_chatbot.page import texts
from llm_chatbot.page.messages import Message, figures_of
from llm_chatbot.page.models import LoadedModel, ModelKey

# Answers that are generated at a time, and questions that may wait, by default.
MAX_CONCURRENT, MAX_WAITING = 8, 30

KEPT_SECONDS = 600  # after the end of an answer


class QueueFullError(Exception):
    """No more questions may wait."""


@dataclass(frozen=True)
class Question:
    """What an answer is generated from.

    Attributes:
        id: of the answer.
        conversation: an id; its answers share a session, which knows what it has read.
        model: the key of a loaded model or of one to be loaded; None: the page's own.
        messages: from the first to the user's message, or to the answer that is to be continued.
        options: of `ChatSession.answer`.
        system_prompt: put before the messages; None is the model's own, an empty one leaves it to the chat template.
    """

    id: str
    conversation: str
    model: ModelKey | None
    messages: list[Message]
    options: dict[str, Any] = field(default_factory=dict)
    system_prompt: str | None = None


@dataclass
class PendingAnswer:
    """The state of an answer; changed under the lock of `Answers`.

    Attributes:
        version: grows with each change.
        loaded: the model, once it is there.
        answer: the engine's latest snapshot.
        error: what went wrong, as one sentence.
        reading: when the prompt's first piece had been read, and how many tokens it was read up to.
        ended: when it ended (`time.monotonic`).
    """

    question: Question
    version: int = 0
    stopping: bool = False
    started: bool = False
    loaded: LoadedModel | None = None
    answer: Answer | None = None
    error: UserError | RuntimeError | None = None
    reading: tuple[float, int] | None = None
    ended: float | None = None

    @property
    def finish_reason(self) -> str | None:
        if self.error is not None:
            return "error"
        if self.ended is not None and (self.answer is None or self.answer.finish_reason is None):
            return "cancelled"
        return self.answer.finish_reason if self.answer else None


class Answers:
    """Generates answers, a limited number at a time, and keeps each for a while after its end.

    Args:
        model: gives the model for a key; may take long, and raises UserError.
        max_concurrent: how many answers are generated at a time; other questions wait.
        max_waiting: how many questions may wait.
        kept_seconds: how long an answer is kept after its end.
    """

    def __init__(
        self,
        model: Callable[[ModelKey | None], LoadedModel],
        max_concurrent: int = MAX_CONCURRENT,
        max_waiting: int = MAX_WAITING,
        kept_seconds: float = KEPT_SECONDS,
    ) -> None:
        self._model = model
        self._max_concurrent, self._max_waiting, self._kept_seconds = max_concurrent, max_waiting, kept_seconds
        self._answers: dict[str, PendingAnswer] = {}
        self._waiting: deque[PendingAnswer] = deque()
        self._running = 0
        self._changed = threading.Condition()

    def ask(self, question: Question) -> None:
        """Accepts a question; does nothing if it was accepted before.

        Raises:
            QueueFullError: too many are waiting.
        """
        with self._changed:
            self._forget_old()
            if question.id in self._answers:
                return
            if self._running >= self._max_concurrent and len(self._waiting) >= self._max_waiting:
                raise QueueFullError
            pending = self._answers[question.id] = PendingAnswer(question)
            self._waiting.append(pending)
            self._start_next()

    def stop(self, id: str) -> bool:
        """Ends an answer at its next token, or takes it from the queue; False if it isn't known."""
        with self._changed:
            pending = self._answers.get(id)
            if pending is None:
                return False
            pending.stopping = True
            if pending in self._waiting:
                self._waiting.remove(pending)
                self._end(pending)
            return True

    def close(self) -> None:
        """Stops everything, and returns when nothing runs any more."""
        with self._changed:
            running = [pending for pending in self._answers.values() if pending.ended is None]
        for pending in running:
            self.stop(pending.question.id)
        with self._changed:
            self._changed.wait_for(lambda: self._running == 0, timeout=10)

    def state(self, id: str, known_text: int = 0, known_tokens: int = 0) -> dict[str, Any] | None:
        """An answer as the page follows it; None if it isn't known (any more).

        Args:
            known_text, known_tokens: how many characters and tokens the page has already.
        """
        with self._changed:
            pending = self._answers.get(id)
            if pending is None:
                return None
            place = self._waiting.index(pending) + 1 if pending in self._waiting else 0
            return {"version": pending.version, "place": place, **snapshot(pending, known_text, known_tokens)}

    def follow(self, id: str) -> Generator[PendingAnswer, None, None]:
        """Yields an accepted answer after each change until its end. Closing the iterator stops the answer."""
        with self._changed:
            pending = self._answers[id]
        version = -1
        try:
            while pending.ended is None or version != pending.version:
                with self._changed:
                    self._changed.wait_for(lambda: pending.version != version)  # noqa: B023
                    version = pending.version
                yield pending
        finally:
            self.stop(id)

    def _start_next(self) -> None:
        while self._waiting and self._running < self._max_concurrent:
            pending = self._waiting.popleft()
            pending.started = True
            self._running += 1
            threading.Thread(target=self._run, args=(pending,), daemon=True, name="answer").start()
        for other in self._waiting:  # their places have changed
            other.version += 1

    def _run(self, pending: PendingAnswer) -> None:
        try:
            self._update(pending, loaded=self._model(pending.question.model))
            self._generate(pending)
        except (UserError, RuntimeError) as error:  # the latter from the runtime: out of memory, a device error
            self._update(pending, error=error)
        finally:
            with self._changed:
                self._running -= 1
                self._end(pending)
                self._start_next()

    def _generate(self, pending: PendingAnswer) -> None:
        loaded, question = pending.loaded, pending.question
        assert loaded is not None
        with loaded.session(question.conversation) as session:
            messages = model_input(question, loaded)
            with closing(session.answer(messages, **question.options)) as answers:
                for answer in answers:
                    if pending.reading is None and answer.read_tokens:
                        pending.reading = (time.monotonic(), answer.read_tokens)
                    self._update(pending, answer=answer)
                    if pending.stopping and answer.finish_reason is None:
                        self._update(pending, answer=replace(answer, finish_reason="cancelled"))
                        return

    def _update(self, pending: PendingAnswer, **changes: Any) -> None:
        with self._changed:
            for name, value in changes.items():
                setattr(pending, name, value)
            pending.version += 1
            self._changed.notify_all()

    def _end(self, pending: PendingAnswer) -> None:
        pending.ended = time.monotonic()
        pending.version += 1
        self._changed.notify_all()

    def _forget_old(self) -> None:
        old = time.monotonic() - self._kept_seconds
        for id, pending in list(self._answers.items()):
            if pending.ended is not None and pending.ended < old:
                del self._answers[id]


def snapshot(pending: PendingAnswer, known_text: int, known_tokens: int) -> dict[str, Any]:
    """What the page learns of an answer, without its place in the queue."""
    answer = pending.answer
    state: dict[str, Any] = {"finish_reason": pending.finish_reason, "phase": phase(pending)}
    if pending.loaded is not None:
        state["model"] = pending.loaded.title
    if answer is not None and pending.loaded is not None:
        figures = {**figures_of(answer), "context_length": pending.loaded.context_length}
        state |= {"from": known_text, "text": answer.text[known_text:], "figures": figures}
        state["left_out"] = answer.dropped_turns
        state["reading"] = reading(pending, answer)
        if answer.tokens:
            state |= {"tokens_from": known_tokens, "tokens": [chosen(it) for it in answer.tokens[known_tokens:]]}
        if pending.ended is not None:  # whatever the page has, it is replaced
            state |= {"from": 0, "text": answer.text}
    if pending.error is not None:
        state["error"] = described(pending.error)
    return state


def reading(pending: PendingAnswer, answer: Answer) -> dict[str, float | None]:
    """How much of the prompt has been read, of how much, and the seconds left at the speed so far."""
    read, total = answer.read_tokens, answer.prompt_tokens
    began, first = pending.reading or (0.0, read)
    speed = (read - first) / max(time.monotonic() - began, 1e-3)
    return {"read": read, "total": total, "seconds": (total - read) / speed if speed else None}


def chosen(token: TokenChoice) -> list[Any]:
    """A token for the browser: its text, its probability, and the likeliest ones with theirs."""
    top = [[text, round(math.exp(logprob), 4)] for _, text, logprob in token.top]
    return [token.text, round(math.exp(token.logprob), 4), top]


def phase(pending: PendingAnswer) -> str:
    """Where an answer is: "waiting" in the queue, "loading" the model, "reading" the prompt, "writing", "ended"."""
    if pending.ended is not None:
        return "ended"
    if not pending.started:
        return "waiting"
    if pending.loaded is None:
        return "loading"
    return "writing" if pending.answer and pending.answer.completion_tokens else "reading"


def described(error: UserError | RuntimeError) -> dict[str, Any]:
    """An error as the page translates it: a key of its texts with values, or a sentence that it has no key for."""
    if isinstance(error, UserError):
        return texts.described(error)
    return {"key": "failed", "values": {"reason": str(error).strip().splitlines()[-1]}}


def model_input(question: Question, loaded: LoadedModel) -> list[Message]:
    """What the model reads: the system prompt, and the messages, of which neighbours with the same role are joined.

    There are such neighbours where a question was never answered; many chat templates refuse them.
    """
    prompt = loaded.config.system_prompt if question.system_prompt is None else question.system_prompt
    messages: list[Message] = [{"role": "system", "content": prompt}] if prompt else []
    for message in question.messages:
        if messages and messages[-1]["role"] == message["role"]:
            joined = f"{messages[-1]['content']}\n\n{message['content']}"
            messages[-1] = {"role": message["role"], "content": joined}
        elif message["content"] or message["role"] == "user":
            messages.append({"role": message["role"], "content": message["content"]})
    return messages
