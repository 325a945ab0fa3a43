"""Answers of the engine → what responses have of them, and what each protocol's writer does with them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from llm_chatbot.api.errors import APIError
from llm_chatbot.api.json_response import json_text
from llm_chatbot.api.tools import ToolCall, ToolParser
from llm_chatbot.engine.decode.logprobs import TokenChoice
from llm_chatbot.engine.session import Answer
from llm_chatbot.engine.text.detokenizer import overlap
from llm_chatbot.engine.text.reasoning import REASONING_END, REASONING_START

JSON = dict[str, Any]


class TokenCounts(NamedTuple):
    """The numbers of tokens of a prompt, of its part that was in the KV cache, of the answer, and of its reasoning."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0
    reasoning: int = 0


@dataclass(frozen=True)
class CallPiece:
    """The new part of a call.

    Attributes:
        index: of the call in the answer.
        begun: the call, where this is its first piece.
        arguments: what follows those that came before.
    """

    index: int
    begun: ToolCall | None
    arguments: str


@dataclass(frozen=True)
class Content:
    """The content of an answer so far; each part only grows.

    Attributes:
        reasoning, text: what is said.
        calls: the whole ones.
        pieces: of what is new, the pieces of calls, with those of one that is being written.
    """

    reasoning: str = ""
    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    pieces: tuple[CallPiece, ...] = ()

    @property
    def at_once(self) -> "Content":
        """The same with each whole call as one piece."""
        return replace(
            self, pieces=tuple(CallPiece(place, call, call.arguments) for place, call in enumerate(self.calls))
        )

    @property
    def in_order(self) -> tuple[Sequence[CallPiece], Sequence[CallPiece]]:
        """The piece of a call that was begun before the text, and those of the calls that follow it."""
        is_further = bool(self.pieces) and self.pieces[0].begun is None
        return self.pieces[:is_further], self.pieces[is_further:]


class Choice:
    """One of the answers to a request.

    Args:
        parser: reads tool calls; None: none are expected.
        most_calls: how many of them are wanted; None: all.
        raw: the text is shown as it is, with reasoning in it.

    Attributes:
        answer: the latest state of the engine's answer.
        content: what of it can be shown.
        tokens: how many of `answer.tokens` have been sent.
    """

    def __init__(self, parser: ToolParser | None = None, most_calls: int | None = None, raw: bool = False) -> None:
        self.answer: Answer | None = None
        self.content = Content()
        self.tokens = 0
        self._parser, self._most_calls, self._raw = parser, most_calls, raw
        self._sent: list[str] = []  # the arguments of each call, as far as they were in pieces

    def update(self, answer: Answer) -> Content:
        """Takes the answer's next state; returns what is new."""
        before, ended = self.content, answer.finish_reason is not None
        self.answer = answer
        reasoning, text = ("", answer.text) if self._raw else split_reasoning(answer.text, ended)
        if answer.later_reasoning:
            reasoning = f"{reasoning}\n\n{answer.later_reasoning}".lstrip()
        calls: tuple[ToolCall, ...] = ()
        pieces: tuple[CallPiece, ...] = ()
        if self._parser is not None:
            parsed = self._parser.parse(text, ended)
            text, calls = parsed.text, parsed.calls[: self._most_calls]
            written = (*parsed.calls, *filter(None, [parsed.begun]))
            pieces = tuple(self._pieces(written[: self._most_calls]))
        self.content = Content(reasoning, text, calls)
        new_calls = calls[len(before.calls) :]
        return Content(reasoning[len(before.reasoning) :], text[len(before.text) :], new_calls, pieces)

    def _pieces(self, written: Sequence[ToolCall]) -> Iterator[CallPiece]:
        """The new parts of the calls so far."""
        for index, call in enumerate(written):
            is_first = index == len(self._sent)
            if is_first:
                self._sent.append("")
            sent = self._sent[index]
            if is_first or len(call.arguments) > len(sent):
                self._sent[index] = call.arguments
                yield CallPiece(index, call if is_first else None, call.arguments[len(sent) :])

    @property
    def is_complete(self) -> bool:
        """Whether no more is wanted, though the model may go on."""
        return self._most_calls is not None and len(self.content.calls) >= self._most_calls

    @property
    def finish_reason(self) -> str | None:
        """Why the answer ended, in OpenAI's words: "stop", "length" or "tool_calls"; None while it is running."""
        if self.answer is None or (self.answer.finish_reason is None and not self.is_complete):
            return None
        return "tool_calls" if self.content.calls else (self.answer.finish_reason or "stop")

    def new_tokens(self) -> list[TokenChoice]:
        """The tokens since the last call."""
        assert self.answer is not None
        new = list(self.answer.tokens[self.tokens :])
        self.tokens += len(new)
        return new

    @property
    def counts(self) -> TokenCounts:
        if self.answer is None:
            return TokenCounts()
        answer = self.answer
        prompt, cached, completion = answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens
        return TokenCounts(prompt, cached, completion, answer.reasoning_tokens)


def split_reasoning(text: str, ended: bool) -> tuple[str, str]:
    """The reasoning that an answer begins with, without its marks, and the rest; both only grow."""
    start = text.lstrip()
    if not start.startswith(REASONING_START):
        return ("", "" if REASONING_START.startswith(start) and not ended else text)
    reasoning, mark, rest = start.removeprefix(REASONING_START).partition(REASONING_END)
    if not mark and not ended:
        reasoning = reasoning[: len(reasoning) - overlap(reasoning, REASONING_END)]
    return reasoning.strip(), rest.lstrip()


class Writer(ABC):
    """Writes the response to one request in the words of a protocol.

    Attributes:
        model: its name.
        choices: the answers, which grow.
        media_type: of a stream.
        last_line: what ends a stream that didn't fail.
        is_loading: whether the model is being loaded.
        load_seconds: how long it was loaded for this request.
    """

    media_type = "text/event-stream"
    last_line = ""
    model: str
    choices: Sequence[Choice]
    is_loading: Callable[[], bool] = staticmethod(lambda: False)
    load_seconds: Callable[[], float] = staticmethod(lambda: 0.0)

    @abstractmethod
    def begin(self) -> list[JSON]:
        """The chunks that a stream begins with. The first answer's prompt may have been read by then."""

    @abstractmethod
    def chunks(self, index: int, new: Content) -> list[JSON]:
        """The chunks with what is new in a choice."""

    @abstractmethod
    def end(self) -> list[JSON]:
        """The chunks that a stream ends with."""

    @abstractmethod
    def failure(self, error: APIError) -> list[JSON]:
        """The chunks that end a stream whose answer fails."""

    @abstractmethod
    def whole(self) -> JSON:
        """The response to a request that doesn't stream."""

    def line(self, chunk: JSON) -> str:
        """A chunk as text."""
        return f"data: {json_text(chunk)}\n\n"

    def sign_of_life(self) -> str:
        """The sign of life of a stream while there is nothing to say."""
        return ": loading the model\n\n" if self.is_loading() else ": waiting\n\n"
