"""A streaming conversation with a model.

Three layers, each a loop over the one below: `Cache.feed` turns tokens into logits, `stream_ids` yields token ids,
`ChatSession.answer` yields text. They are generators that the caller drives and closes; there is no background thread.
"""

import time
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal, Protocol

from chat_formats import CHECKPOINTS_OWN, ChatFormat
from engine.detokenizer import StreamingDetokenizer
from engine.prompt import Message, begun_answer, fitting_prompt, prompt_ids
from engine.sampling import Sampling, sample
from engine.tokenizer import ChatTokenizer

import numpy as np

# Prefill is split into chunks of this many tokens, so that the caller can stop it in between. A small model takes a
# fraction of a second for each.
PREFILL_CHUNK = 512

FinishReason = Literal["stop", "length", "cancelled"]


class Cache(Protocol):
    """The KV cache of one sequence; see `engine.kv_cache.KVCache`."""

    @property
    def ids(self) -> list[int]: ...

    def reset(self) -> None: ...

    def trim_to_prefix(self, ids: Sequence[int]) -> int: ...

    def feed(self, ids: Sequence[int]) -> np.ndarray: ...


class Model(Protocol):
    """What a conversation needs of a model; see `engine.model.ChatModel`."""

    @property
    def context_length(self) -> int | None: ...

    @property
    def stop_ids(self) -> set[int]: ...

    def new_cache(self) -> Any: ...

    def in_use(self, cache: Any) -> AbstractContextManager[None]: ...


def stream_ids(
    cache: Cache, ids: Sequence[int], sampling: Sampling, stop_ids: set[int], seed: int | None = None
) -> Generator[int, None, None]:
    """Feeds `ids` and yields the tokens that follow, one at a time, until a stop token.

    Closing the generator ends the work. A yielded token is fed only when the next one is requested, so the cache may
    not hold the last one.

    Args:
        cache: holds the tokens before `ids`.
        ids: at least one token.
        sampling: how each token is chosen.
        stop_ids: tokens that end the answer; they are not yielded.
        seed: makes sampling repeatable; None uses a new random seed.
    """
    random = np.random.default_rng(seed)
    logits = cache.feed(ids)
    seen = np.unique(cache.ids)  # duplicates may be appended below; the penalty applies once
    while (token := sample(logits, seen, sampling, random)) not in stop_ids:
        yield token
        logits = cache.feed([token])
        seen = np.append(seen, token)


@dataclass(frozen=True)
class Answer:
    """A snapshot of an answer.

    Attributes:
        text: the text so far.
        prompt_tokens: length of the prompt.
        cached_tokens: how many of those were already in the KV cache.
        dropped_turns: how many of the oldest turns were left out to make the rest fit.
        completion_tokens: length of the answer so far.
        time_to_first_token: seconds.
        tokens_per_second: decoding speed, without the first token; 0.0 before the second.
        finish_reason: "stop" if the model ended the answer, "length" if it reached the maximum length, "cancelled" if
            the stream was closed; None while it is running.
    """

    text: str
    prompt_tokens: int
    cached_tokens: int
    dropped_turns: int = 0
    completion_tokens: int = 0
    time_to_first_token: float = 0.0
    tokens_per_second: float = 0.0
    finish_reason: FinishReason | None = None


class ChatSession:
    """One conversation with a model.

    `answer` gets the messages from the caller; `stream` keeps them in the session.

    Attributes:
        messages: the turns of `stream`, as `{"role": …, "content": …}`; may be changed between answers.
        system_prompt: the system message that `stream` puts first; None leaves it to the chat template.
        chat_format: stop strings and replacements for answers.
        last_answer: the final state of the latest answer, even if it was cancelled.
    """

    def __init__(
        self,
        model: Model,
        tokenizer: ChatTokenizer,
        system_prompt: str | None = None,
        chat_format: ChatFormat = CHECKPOINTS_OWN,
    ) -> None:
        self.messages: list[Message] = []
        self.system_prompt = system_prompt
        self.chat_format = chat_format
        self.last_answer: Answer | None = None
        self._model = model
        self._tokenizer = tokenizer
        self._cache = model.new_cache()
        self._begun = begun_answer(tokenizer, prompt_ids(tokenizer, [{"role": "user", "content": ""}]))
        self._detokenizer: StreamingDetokenizer | None = None  # of the latest answer

    def reset(self) -> None:
        """Clears the conversation."""
        self.messages = []
        self._cache.reset()

    def stream(self, text: str, **generation: Any) -> Generator[Answer, None, None]:
        """Sends a message and yields the answer after every token; both are added to `messages`.

        Closing the iterator stops the answer; `messages` keeps the part that was generated.

        Args:
            text: the user's message.
            generation: see `answer`.

        Raises:
            UserError: the message alone does not fit into the context.
        """
        system = [] if self.system_prompt is None else [{"role": "system", "content": self.system_prompt}]
        asked = [*self.messages, {"role": "user", "content": text}]
        with closing(self.answer([*system, *asked], **generation)) as answers:
            for answer in answers:
                if answer.completion_tokens or answer.finish_reason:
                    self.messages = [*asked, {"role": "assistant", "content": answer.text}]
                yield answer

    def answer(
        self,
        messages: Sequence[Message],
        *,
        temperature: float = 0.0,
        top_p: float = 1.0,
        top_k: int = 0,
        repetition_penalty: float = 1.0,
        max_new_tokens: int = 256,
        seed: int | None = None,
    ) -> Generator[Answer, None, None]:
        """Yields the answer to a conversation after every token. Does not change `messages`.

        Closing the iterator stops the answer. Between the chunks of a long prompt an answer without new text is
        yielded, so that prefill can be stopped too.

        Args:
            messages: the conversation. It ends with the user's message, or with an answer that is to be continued.
            temperature, top_p, top_k, repetition_penalty: see `Sampling`.
            max_new_tokens: the maximum number of tokens to generate.
            seed: makes sampling repeatable.

        Raises:
            UserError: the last message alone does not fit into the context.
        """
        started = time.perf_counter()
        sampling = Sampling(temperature, top_k, top_p, repetition_penalty)
        if max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, not {max_new_tokens}")

        # 1. The prompt: as much of the conversation as fits and leaves room for an answer.
        begun, given = self._begun_answer(messages)
        asked = messages[:-1] if begun is not None else messages
        prompt, dropped = self._fitting_prompt(asked, len(given), max_new_tokens)
        ids = [*prompt, *given]
        if self._model.context_length is not None:
            max_new_tokens = min(max_new_tokens, self._model.context_length - len(ids))

        with self._model.in_use(self._cache):
            # 2. Prefill: the tokens that are not cached. The last token is always fed, for its logits.
            cached = self._cache.trim_to_prefix(ids[:-1])
            answer = Answer(begun or "", len(prompt), min(cached, len(prompt)), dropped, len(given))
            new = ids[cached:]
            while len(new) > PREFILL_CHUNK:
                self._cache.feed(new[:PREFILL_CHUNK])
                new = new[PREFILL_CHUNK:]
                yield answer

            # 3. Decode. From the first token on, a cancelled answer is kept.
            detokenizer = self._detokenizer = StreamingDetokenizer(self._tokenizer, self.chat_format, self._begun)
            for token in given:
                detokenizer.add_token(token)
            count = 0
            with closing(stream_ids(self._cache, new, sampling, self._model.stop_ids, seed)) as stream:
                for count, token in enumerate(islice(stream, max_new_tokens), start=1):
                    if count == 1:
                        first = time.perf_counter()
                    detokenizer.add_token(token)
                    if detokenizer.stopped:
                        break
                    answer = replace(
                        answer,
                        text=detokenizer.text,
                        completion_tokens=len(given) + count,
                        time_to_first_token=first - started,
                        tokens_per_second=(count - 1) / (time.perf_counter() - first),
                    )
                    self.last_answer = replace(answer, finish_reason="cancelled")  # unless the caller continues
                    yield answer

        # 4. The end: show the text that was held back.
        detokenizer.finalize()
        reason: FinishReason = "length" if count == max_new_tokens and not detokenizer.stopped else "stop"
        self.last_answer = replace(
            answer, text=detokenizer.text, completion_tokens=len(given) + count, finish_reason=reason
        )
        yield self.last_answer

    def _begun_answer(self, messages: Sequence[Message]) -> tuple[str | None, list[int]]:
        """The answer to be continued, or None, and its tokens.

        If this session generated the answer, its original tokens are used: tokenizing the text may give others.
        """
        if messages[-1]["role"] != "assistant":
            return None, []
        text, detokenizer = messages[-1]["content"], self._detokenizer
        if detokenizer is not None and detokenizer.text == text and not detokenizer.stopped:
            return text, list(detokenizer.ids)
        return text, self._tokenizer(text.removeprefix(self._begun), add_special_tokens=False)["input_ids"]

    def _fitting_prompt(self, messages: Sequence[Message], given: int, max_new_tokens: int) -> tuple[list[int], int]:
        """Ids of a prompt that reserves up to a quarter of the context for the answer, and how many turns it drops."""
        if self._model.context_length is None:
            return fitting_prompt(self._tokenizer, messages, None)
        room = self._model.context_length - given
        return fitting_prompt(self._tokenizer, messages, room - min(max_new_tokens, room // 4))
