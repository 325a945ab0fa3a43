"""Generates answers for the API: the engine in threads of its own, so that the event loop stays free.

An answer's thread stops within a token when nobody waits for it any more, and then gives its blocks back.
"""

import asyncio
import math
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

from llm_chatbot.api.errors import APIError
from llm_chatbot.api.grammar import GrammarCompiler
from llm_chatbot.api.tools import ToolFormat, tool_format
from llm_chatbot.catalogue.row import ModelConfig
from llm_chatbot.engine.session import Answer, ChatSession, Model
from llm_chatbot.engine.text.prompt import answer_ids, completion_ids, prompt_ids, template_variables
from llm_chatbot.engine.text.tokenizer import ChatTokenizer

# The maximum number of tokens of one answer, by default.
MAX_TOKENS = 8192


@dataclass(frozen=True)
class Call:
    """One answer to generate.

    Attributes:
        messages: the conversation as the chat template takes it; empty to continue `prompt` instead.
        prompt: a raw text.
        options: arguments of `ChatSession.answer`.
        limit: the maximum number of tokens; None: as many as the context and the server allow.
        grammar: what the answer has to match; see `llm_chatbot.api.grammar`.
        session: answers with the same value have the beginning of their prompts in common.
    """

    messages: tuple[dict[str, Any], ...] = ()
    prompt: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    limit: int | None = None
    grammar: str | None = None
    session: str = ""


@dataclass(frozen=True)
class ModelInfo:
    """What the API has to know of a model.

    Attributes:
        name: what requests call it.
        max_tokens: the most tokens that one answer may have.
        context_length: of prompt and answer together, in tokens; None: no limit is known.
        tool_format: how it writes tool calls; None: it does not take tools.
        variables: what its chat template reads besides the messages.
    """

    name: str
    max_tokens: int
    context_length: int | None = None
    tool_format: ToolFormat | None = None
    variables: frozenset[str] = frozenset()


class Backend(Protocol):
    """Where answers come from: this process (`LocalBackend`), or the replicas of a cluster (`cluster.backend`)."""

    async def info(self) -> ModelInfo: ...

    def generate(self, call: Call) -> AsyncGenerator[Answer, None]:
        """Yields the answer so far, again and again; closing the generator ends the work.

        The part of an answer that `call` begins is not repeated, and counts as prompt.

        Raises:
            APIError: the call can't be answered, or not now.
        """
        ...


class LocalBackend:
    """A model in this process.

    Args:
        name: what requests call the model.
        model, tokenizer: from the same folder.
        config: its row of the catalogue.
        max_concurrent: how many answers are generated at a time.
        max_waiting: how many more may wait; beyond that requests are refused.
        max_tokens: the most tokens that one answer may have.
        interval: the minimum seconds between two states of an answer that are handed on; 0 for no limit.
        new_session: makes a conversation, where the model may be freed between two of them; by default with `model`.
    """

    def __init__(
        self,
        name: str,
        model: Model,
        tokenizer: ChatTokenizer,
        config: ModelConfig,
        max_concurrent: int = 16,
        max_waiting: int = 64,
        max_tokens: int = MAX_TOKENS,
        interval: float = 0.0,
        new_session: Callable[[], ChatSession] | None = None,
    ) -> None:
        self.tokenizer, self.config = tokenizer, config
        self._new_session = new_session or partial(ChatSession, model, tokenizer, chat_format=config.chat_format)
        self.max_concurrent, self.max_waiting = max_concurrent, max_waiting
        self.active = 0
        self._interval = interval
        format, variables = tool_format(tokenizer.chat_template), frozenset(template_variables(tokenizer))
        self._info = ModelInfo(name, max_tokens, model.context_length, format, variables)
        self._grammars = GrammarCompiler(tokenizer, model.stop_ids)
        self._threads = ThreadPoolExecutor(max_concurrent, thread_name_prefix="answer")
        self._seconds = 1.0  # what an answer took lately

    async def info(self) -> ModelInfo:
        return self._info

    @property
    def waiting(self) -> int:
        """How many answers have not begun."""
        return max(self.active - self.max_concurrent, 0)

    async def generate(self, call: Call) -> AsyncGenerator[Answer, None]:
        if self.active >= self.max_concurrent + self.max_waiting:
            raise self._busy()
        self.active += 1
        started = time.monotonic()
        stream = _Latest(self._interval)
        work = self._threads.submit(stream.run, lambda: self._answers(call))
        try:
            async for answer in stream:
                yield answer
            self._seconds += 0.1 * (time.monotonic() - started - self._seconds)
        finally:
            stream.stop()
            work.cancel()  # if it has not begun
            self.active -= 1

    def _busy(self) -> APIError:
        seconds = math.ceil(self._seconds * (self.waiting + 1) / self.max_concurrent)
        text = f"The server is busy: {self.active} answers are being generated or wait; try again in {seconds} s."
        return APIError(text, 429, code="server_busy", retry_after=seconds)

    def _answers(self, call: Call) -> Generator[Answer, None, None]:
        """The answers of the engine, as the API counts them; runs in a thread."""
        session = self._new_session()
        try:
            with closing(self._begin(session, call)) as answers:
                begun = None
                for answer in answers:
                    begun = begun or answer
                    yield replace(
                        answer,
                        text=answer.text[len(begun.text) :],
                        prompt_tokens=answer.prompt_tokens + begun.completion_tokens,
                        completion_tokens=answer.completion_tokens - begun.completion_tokens,
                    )
        finally:
            session.reset()  # gives the blocks back; full ones stay shared until their space is needed

    def _begin(self, session: ChatSession, call: Call) -> Generator[Answer, None, None]:
        options = {**call.options, "max_new_tokens": self._limit(call)}
        if call.grammar is not None:
            options["constraint"] = self._grammars.constraint(call.grammar)
        if call.messages:
            return session.answer(call.messages, **options)
        return session.complete(call.prompt, **options)

    def _limit(self, call: Call) -> int:
        """The maximum number of tokens of the answer.

        Raises:
            APIError: the prompt and the answer don't fit into the context, or the answer is longer than allowed.
        """
        most, length = self._info.max_tokens, self._info.context_length
        if call.limit is not None and call.limit > most:
            text = f"An answer has at most {most} tokens here, and {call.limit} were asked for; ask for fewer."
            raise APIError(text, param="max_tokens")
        if length is None:
            return call.limit or most
        prompt = self._prompt_length(call)
        if prompt + (call.limit or 1) > length:
            asked = f"{call.limit} were asked for" if call.limit else "an answer needs at least 1"
            text = f"The context has {length} tokens, but the prompt has {prompt} and {asked}; shorten one of them."
            raise APIError(text, param="messages", code="context_length_exceeded")
        return call.limit or min(most, length - prompt)

    def _prompt_length(self, call: Call) -> int:
        if not call.messages:
            return len(completion_ids(self.tokenizer, call.prompt))
        begun = call.messages[-1] if call.messages[-1]["role"] == "assistant" else None
        asked = call.messages[:-1] if begun else call.messages
        length = len(prompt_ids(self.tokenizer, asked, call.options["template_options"]))
        return length + len(answer_ids(self.tokenizer, begun["content"])) if begun else length

    def close(self) -> None:
        """Ends the threads when their answers have ended."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Latest:
    """Hands the latest of a thread's answers to the event loop; those that came and went meanwhile are skipped."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._loop = asyncio.get_running_loop()
        self._changed, self._finished = asyncio.Event(), asyncio.Event()
        self._stopping = threading.Event()
        self._answer: Answer | None = None
        self._error: Exception | None = None
        self._ended = False

    def run(self, answers: Any) -> None:
        """Runs a generator to its end, or until `stop`."""
        try:
            with closing(answers()) as stream:
                for answer in stream:
                    if self._stopping.is_set():
                        return
                    self._answer = answer
                    self._loop.call_soon_threadsafe(self._changed.set)
        except (ValueError, RuntimeError) as error:  # the latter from the runtime: out of memory, a device error
            self._error = error
        finally:
            self._ended = True
            if not self._stopping.is_set():
                self._loop.call_soon_threadsafe(self._finished.set)
                self._loop.call_soon_threadsafe(self._changed.set)

    def stop(self) -> None:
        self._stopping.set()

    async def __aiter__(self) -> AsyncGenerator[Answer, None]:
        while True:
            await self._changed.wait()
            self._changed.clear()
            ended, answer, self._answer = self._ended, self._answer, None
            if answer is not None:
                yield answer
            if ended:
                if self._error is not None:
                    raise self._error
                return
            if self._interval and answer is not None and answer.completion_tokens:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._finished.wait(), self._interval)
