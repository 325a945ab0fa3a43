"""One open browser tab on the server, in memory only: its model, its conversation and the answer in progress."""

import threading
import uuid
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from typing import Any

from engine.session import Answer, ChatSession
from page.messages import Message, answer_message
from page.models import LoadedModel


class Tab:
    """One browser tab: its model and its conversation. One answer at a time.

    A question goes through three steps: `ask` accepts it, `begin` and `reply` answer it, `end` admits the next one.

    Attributes:
        model: answers from the next message.
        id: of the conversation, for the browser that saves it.
        messages: the conversation; while an answer is being generated, it is the last message.
    """

    def __init__(self, model: LoadedModel) -> None:
        self.model = model
        self._session_model: LoadedModel | None = None
        self._idle = threading.Condition()
        self._busy = self._waiting = self._stopping = False
        self.open(None, [])

    def open(self, id: str | None, messages: list[Message]) -> None:
        """Switches to another conversation; None starts a new one."""
        self.id = id or uuid.uuid4().hex
        self.messages = self._before = messages
        self._session: ChatSession | None = None  # answers must not depend on what was read before

    @property
    def busy(self) -> bool:
        """Whether a question was accepted whose answer has not ended."""
        return self._busy

    @property
    def waiting(self) -> bool:
        """Whether a question was accepted whose answer has not begun."""
        return self._waiting

    def ask(self, change: Callable[[list[Message]], list[Message]]) -> bool:
        """Accepts the conversation that `change` returns: its last message is answered, or continued if it is one.

        Returns:
            False if an answer is running. One that is being stopped is waited for.
        """
        with self._idle:
            if self._busy and not self._stopping:
                return False
            self._idle.wait_for(lambda: not self._busy)
            self._before, self.messages = self.messages, change(self.messages)
            self._busy, self._waiting, self._stopping = True, True, False
            return True

    def begin(self) -> bool:
        """Claims the waiting question for the caller, who must answer it; False if none is waiting."""
        with self._idle:
            waiting, self._waiting = self._waiting, False
            return waiting

    def restore(self) -> str:
        """Takes the question back; returns its text, or nothing if it only repeated or continued something."""
        asked, self.messages = self.messages, self._before
        new = asked[len(self.messages) :]
        return new[0]["content"] if new else ""

    def end(self) -> None:
        """Ends the turn: the next question can be accepted."""
        with self._idle:
            self._busy = self._stopping = False
            self._idle.notify_all()

    def stop(self) -> None:
        """Ends the answer in progress at its next token."""
        with self._idle:
            self._stopping = self._busy

    def withdraw(self) -> str | None:
        """Takes a waiting question back and returns its text; None if none is waiting."""
        if not self.begin():
            return None
        text = self.restore()
        self.end()
        return text

    def interrupt(self) -> None:
        """Takes a waiting question back, or stops the answer in progress and returns when it has ended."""
        self.withdraw()
        self.stop()
        with self._idle:
            self._idle.wait_for(lambda: not self._busy)

    def reply(self, system_prompt: str | None, **generation: Any) -> Generator[Answer, None, None]:
        """Answers the question that `begin` claimed, and keeps `messages` up to date with the answer.

        Args:
            system_prompt: put before the conversation; None leaves that to the chat template.
            generation: options of `ChatSession.answer`.

        Raises:
            UserError, RuntimeError: as `ChatSession.answer`; the latter comes from the runtime.
        """
        asked = self.messages
        earlier = asked[:-1] if asked[-1]["role"] == "assistant" else asked
        with closing(self._current_session().answer(model_input(system_prompt, asked), **generation)) as answers:
            for answer in answers:
                if self._stopping and answer.finish_reason is None:
                    answer = replace(answer, finish_reason="cancelled")
                if answer.completion_tokens or answer.finish_reason == "stop":
                    self.messages = [*earlier, answer_message(answer)]
                yield answer
                if answer.finish_reason is not None:
                    return

    def _current_session(self) -> ChatSession:
        if self._session is None or self._session_model is not self.model:
            model = self.model
            self._session, self._session_model = model.new_session(), model
        return self._session

    def release(self) -> None:
        """Frees the memory of the session when the tab is closed."""
        self.stop()
        self._session = None


def model_input(system_prompt: str | None, messages: list[Message]) -> list[dict[str, str]]:
    """What the model reads of a conversation."""
    system = [] if system_prompt is None else [{"role": "system", "content": system_prompt}]
    return [*system, *({"role": message["role"], "content": message["content"]} for message in messages)]
