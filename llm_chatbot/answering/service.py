"""The service: one queue, one pool of threads, and the answers that are being generated or were lately.

An answer belongs to its id, not to the connection that asked for it: a page that was reloaded follows it again. A
question carries all that the model reads, so the service remembers no conversation.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import Any

from llm_chatbot.answering.errors import ClosedError, QueueFullError
from llm_chatbot.answering.limits import MAX_CONCURRENT, MAX_WAITING
from llm_chatbot.answering.models import LoadedModel
from llm_chatbot.answering.passages import FindPassages, with_passages
from llm_chatbot.answering.pending import PendingAnswer
from llm_chatbot.answering.pictures import with_read_pictures
from llm_chatbot.answering.question import ModelKey, Question
from llm_chatbot.engine.session import Answer, ChatSession
from llm_chatbot.engine.text.prompt import Message
from llm_chatbot.errors import UserError
from llm_chatbot.tools.offers import Offer

logger = logging.getLogger(__name__)

KEPT_SECONDS = 600  # after the end of an answer
CLOSE_SECONDS = 10  # for running answers to end
SUMMARY = "Summary of what was said before in this conversation:\n\n{summary}"
ENOUGH_TOKENS = 16  # of an answer, to say how fast its model is

# Makes a question one that its model may answer with calls of the tools that the question names. It may take long; the
# last argument says whether nobody waits for the answer any more.
OfferTools = Callable[[Question, LoadedModel, Callable[[], bool]], tuple[Question, Offer]]


class Answering:
    """Generates answers, a limited number at a time, and keeps each for a while after its end.

    Args:
        model: gives the model for a key; may take long, and raises UserError.
        max_concurrent: how many answers are generated at a time; other questions wait.
        max_waiting: how many questions may wait.
        kept_seconds: how long an answer is kept after its end.
        find_passages: finds those of the collections that a question names; None: there are no collections.
        offer_tools: offers those that a question names; None: there are no tools.
    """

    def __init__(
        self,
        model: Callable[[ModelKey | None], LoadedModel],
        max_concurrent: int = MAX_CONCURRENT,
        max_waiting: int = MAX_WAITING,
        kept_seconds: float = KEPT_SECONDS,
        find_passages: FindPassages | None = None,
        offer_tools: OfferTools | None = None,
    ) -> None:
        self.max_concurrent, self.max_waiting = max_concurrent, max_waiting
        self._model, self._kept_seconds = model, kept_seconds
        self._find_passages, self._offer_tools = find_passages, offer_tools
        self._answers: dict[str, PendingAnswer] = {}
        self._queue: deque[PendingAnswer] = deque()
        self._background: deque[PendingAnswer] = deque()  # those that wait until nothing else does
        self._running = 0
        self._seconds = 1.0  # what an answer took lately
        self._changed = threading.Condition()
        self._closed = False
        self._threads = ThreadPoolExecutor(max_concurrent, thread_name_prefix="answer")

    @property
    def waiting(self) -> int:
        """How many questions wait."""
        return len(self._queue)

    @property
    def unfinished(self) -> int:
        """How many answers are being generated or wait."""
        return self._running + len(self._queue)

    def count(self, model: ModelKey | None, adapter_weights: tuple[float, ...] = (), only_waiting: bool = False) -> int:
        """How many answers of one model with these weights of adapters are being generated or wait."""
        with self._changed:
            asked = [
                pending
                for pending in self._answers.values()
                if (pending.question.model, pending.question.adapter_weights) == (model, adapter_weights)
            ]
            return sum(not pending.started if only_waiting else pending.ended is None for pending in asked)

    def ask(self, question: Question) -> PendingAnswer:
        """Accepts a question, and returns its answer to be; the one that is known if it was accepted before.

        Raises:
            QueueFullError: too many are waiting.
        """
        with self._changed:
            self._forget_old()
            if (known := self._answers.get(question.id)) is not None:
                return known
            is_full = self._running >= self.max_concurrent and len(self._queue) >= self.max_waiting
            if is_full or self._closed:
                seconds = math.ceil(self._seconds * (self.waiting + 1) / self.max_concurrent)
                raise QueueFullError(self.unfinished, seconds)
            pending = self._answers[question.id] = PendingAnswer(question)
            (self._background if question.in_background else self._queue).append(pending)
            if not question.in_background:
                self._end_background()
            self._start_next()
            return pending

    def load(self, model: ModelKey | None) -> None:
        """Loads a model, as a question to it would.

        Raises:
            UserError: it can't be loaded.
        """
        self._model(model)

    def get(self, id: str) -> PendingAnswer | None:
        """An answer that was asked for; None if it isn't known (any more)."""
        with self._changed:
            return self._answers.get(id)

    def place(self, pending: PendingAnswer) -> int:
        """An answer's place in the queue, from 1; 0 if it has left it."""
        with self._changed:
            return self._queue.index(pending) + 1 if pending in self._queue else 0

    def stop(self, id: str) -> bool:
        """Ends an answer at its next token, or takes it from the queue; False if it isn't known."""
        with self._changed:
            pending = self._answers.get(id)
            if pending is None:
                return False
            pending.stopping = True
            for queue in (self._queue, self._background):
                if pending in queue:
                    queue.remove(pending)
                    self._end(pending)
                    self._move_up()
            return True

    def forget(self, id: str) -> None:
        """Stops an answer that nobody will ask for again."""
        with self._changed:
            self.stop(id)
            self._answers.pop(id, None)

    def close(self) -> None:
        """Ends all answers with a `ClosedError`, and returns when nothing runs any more."""
        with self._changed:
            self._closed = True
            for id, pending in list(self._answers.items()):
                if pending.ended is None:
                    pending.error = ClosedError()
                self.stop(id)
            self._changed.wait_for(lambda: self._running == 0, timeout=CLOSE_SECONDS)
        self._threads.shutdown(wait=False)

    def follow(self, id: str) -> Generator[PendingAnswer, None, None]:
        """Yields an accepted answer after each change until its end. Closing the iterator stops the answer."""
        pending, version = self._answers[id], -1
        try:
            while pending.ended is None or version != pending.version:
                with self._changed:
                    self._changed.wait_for(lambda: pending.version != version)  # noqa: B023
                    version = pending.version
                yield pending
        finally:
            self.stop(id)

    def _start_next(self) -> None:
        while self._queue and self._running < self.max_concurrent:
            self._start(self._queue.popleft())
        if self._background and not self._queue and self._running == 0:
            self._start(self._background.popleft())
        self._move_up()

    def _start(self, pending: PendingAnswer) -> None:
        pending.started = True
        self._running += 1
        self._threads.submit(self._run, pending)

    def _end_background(self) -> None:
        for pending in self._answers.values():
            if pending.question.in_background and pending.started and pending.ended is None:
                pending.stopping = True

    def _move_up(self) -> None:
        for waiting in self._queue:  # their places have changed
            self._note(waiting)

    def _run(self, pending: PendingAnswer) -> None:
        """Generates an answer, in a thread of the pool. Whatever is raised becomes the answer's error."""
        try:
            self._update(pending, loaded=self._model(pending.question.model))
            self._generate(pending)
        except UserError as error:
            self._update(pending, error=error)
        except Exception as error:  # the thread's end: it is the answer's, on the page a sentence, in the API a 500
            logger.exception("An answer failed.")
            self._update(pending, error=error)
        finally:
            with self._changed:
                self._running -= 1
                self._seconds += 0.1 * (time.monotonic() - pending.asked - self._seconds)
                self._end(pending)
                self._start_next()
            note_speed(pending)
            log_answer(pending)

    def _generate(self, pending: PendingAnswer) -> None:
        loaded = pending.loaded
        assert loaded is not None
        question = self._with_tools(pending, loaded, self._with_passages(pending, loaded))
        pending.waited = time.monotonic() - pending.asked
        with loaded.session(question) as session, closing(begin(session, loaded, question)) as answers:
            for answer in answers:
                pending.begun = pending.begun or answer
                if pending.first_read is None and answer.read_tokens:
                    pending.first_read = (time.monotonic(), answer.read_tokens)
                stopped = pending.stopping and answer.finish_reason is None
                cancelled = stopped and pending.error is None
                self._update(pending, answer=replace(answer, finish_reason="cancelled") if cancelled else answer)
                if stopped:
                    return

    def _with_passages(self, pending: PendingAnswer, loaded: LoadedModel) -> Question:
        question = pending.question
        passages = question.passages
        if passages is None and question.collections and self._find_passages is not None:
            passages = self._find_passages(question, loaded)
        if passages is None:
            return question
        self._update(pending, passages=passages)
        return with_passages(question, passages)

    def _with_tools(self, pending: PendingAnswer, loaded: LoadedModel, question: Question) -> Question:
        if not question.tools or self._offer_tools is None:
            return question
        question, offer = self._offer_tools(question, loaded, lambda: pending.stopping)
        self._update(pending, offer=offer)
        return question

    def _update(self, pending: PendingAnswer, **changes: Any) -> None:
        with self._changed:
            for name, value in changes.items():
                setattr(pending, name, value)
            self._note(pending)

    def _end(self, pending: PendingAnswer) -> None:
        pending.ended = time.monotonic()
        self._note(pending)

    def _note(self, pending: PendingAnswer) -> None:
        pending.version += 1
        self._changed.notify_all()
        for listener in list(pending.listeners):
            listener()

    def _forget_old(self) -> None:
        old = time.monotonic() - self._kept_seconds
        for id, pending in list(self._answers.items()):
            if pending.ended is not None and pending.ended < old:
                del self._answers[id]


def begin(session: ChatSession, loaded: LoadedModel, question: Question) -> Generator[Answer, None, None]:
    """The engine's answers to a question."""
    generation = question.generation
    if question.grammar is not None:
        generation = replace(generation, constraint=loaded.grammars.constraint(question.grammar))
    if question.messages:
        messages = with_read_pictures(with_system_prompt(question, loaded), loaded)
        return session.answer(messages, generation, template_options=question.template_options, room=question.room)
    return session.complete(question.prompt, generation, room=question.room)


def with_system_prompt(question: Question, loaded: LoadedModel) -> Sequence[Message]:
    """The messages of a question, after the system prompt and the summary of what was said before, if there are any."""
    prompt = loaded.config.system_prompt if question.system_prompt is None else question.system_prompt
    summary = SUMMARY.format(summary=question.summary) if question.summary else ""
    content = "\n\n".join(filter(None, (prompt, summary)))
    return [{"role": "system", "content": content}, *question.messages] if content else question.messages


def note_speed(pending: PendingAnswer) -> None:
    """Notes the model's speed, unless the answer was too short to tell."""
    if pending.loaded and pending.answer and pending.answer.completion_tokens >= ENOUGH_TOKENS:
        pending.loaded.tokens_per_second = pending.answer.tokens_per_second


def log_answer(pending: PendingAnswer) -> None:
    """One line in the log for each answer."""
    answer, name = pending.answer, pending.loaded.name if pending.loaded else pending.question.model
    if answer is None:
        logger.info("model=%s end=%s", name, pending.finish_reason)
        return
    drafts = ""
    if answer.drafted_tokens:
        drafts = f" drafted={answer.drafted_tokens} accepted={answer.accepted_tokens} gain={answer.draft_gain:.2f}"
    logger.info(
        "model=%s prompt_tokens=%d cached_tokens=%d new_tokens=%d first_token=%.3fs tokens_per_second=%.1f%s end=%s",
        *(name, answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens),
        *(answer.time_to_first_token, answer.tokens_per_second, drafts, pending.finish_reason),
    )
