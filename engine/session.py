"""A conversation with a model, which streams.

In layers, each a loop over the one below: `Cache.feed` gives logits for tokens, `stream_ids` gives token ids,
`ChatSession.answer` gives text. The caller drives them and closes them; nothing runs on its own.
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

# How many tokens of a prompt are read before the caller can stop it: a fraction of a second each on a small model.
PREFILL_CHUNK = 512

FinishReason = Literal["stop", "length", "cancelled"]


class Cache(Protocol):
    """The keys and values of one sequence of tokens: see `engine.kv_cache.KVCache`."""

    @property
    def ids(self) -> list[int]: ...

    def reset(self) -> None: ...

    def trim_to_prefix(self, ids: Sequence[int]) -> int: ...

    def feed(self, ids: Sequence[int]) -> np.ndarray: ...


class Model(Protocol):
    """What a conversation needs of a model: see `engine.model.ChatModel`."""

    @property
    def context_length(self) -> int | None: ...

    @property
    def stop_ids(self) -> set[int]: ...

    def new_cache(self) -> Any: ...

    def in_use(self, cache: Any) -> AbstractContextManager[None]: ...


def stream_ids(
    cache: Cache, ids: Sequence[int], sampling: Sampling, stop_ids: set[int], seed: int | None = None
) -> Generator[int, None, None]:
    """Continues a sequence, one token at a time, for as long as the caller asks and until a stop token.

    Closing the generator ends the work. The cache then holds all tokens that were fed: the last one that
    was yielded is among them only if another was asked for.

    Args:
        cache: what comes before `ids`.
        ids: at least one token.
        sampling: how each token is chosen.
        stop_ids: tokens that end the answer; they are not yielded.
        seed: makes sampling repeatable; None takes a new one each time.
    """
    random = np.random.default_rng(seed)
    logits = cache.feed(ids)
    seen = np.unique(cache.ids)  # that a token may come again below makes no difference
    while (token := sample(logits, seen, sampling, random)) not in stop_ids:
        yield token
        logits = cache.feed([token])
        seen = np.append(seen, token)


@dataclass(frozen=True)
class Answer:
    """What there is of an answer at one moment.

    Attributes:
        text: all of it so far.
        prompt_tokens: length of the prompt.
        cached_tokens: how many of those were in the KV cache and cost nothing.
        dropped_turns: how many of the oldest turns were left out, for the rest to fit.
        completion_tokens: length of the answer so far.
        time_to_first_token: seconds.
        tokens_per_second: of decoding, without the first token; 0.0 before the second.
        finish_reason: "stop" where the model ended it, "length" where it is as long as it may be, "cancelled" where
            the stream was closed, None before that.
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

    `answer` takes the conversation from the caller; `stream` keeps it here.

    Attributes:
        messages: all turns that `stream` has seen, as `{"role": …, "content": …}`; free to change between two answers.
        system_prompt: what `stream` puts before the messages; None leaves that to the chat template.
        chat_format: how answers are read.
        last_answer: the latest answer as it ended, also where it was cancelled.
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
        """Forgets the conversation."""
        self.messages = []
        self._cache.reset()

    def stream(self, text: str, **generation: Any) -> Generator[Answer, None, None]:
        """Says `text` to the model and yields its answer after every token; both become part of `messages`.

        Closing the iterator stops the answer, and the conversation keeps what there is of it.

        Args:
            text: the user's message.
            generation: as for `answer`.

        Raises:
            UserError: the message alone is longer than what the model can read.
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
        """Yields the answer to a conversation after every token, and changes nothing but its own KV cache.

        Closing the iterator stops the answer. While a long prompt is being read, the answer is yielded now and then
        without text, so that this too can be stopped.

        Args:
            messages: the last one is the user's; or it is an answer, which is continued as if it had been allowed to
                be longer.
            temperature, top_p, top_k, repetition_penalty: see `Sampling`.
            max_new_tokens: how many tokens are generated at most.
            seed: makes sampling repeatable.

        Raises:
            UserError: the last message alone is longer than what the model can read.
        """
        started = time.perf_counter()
        sampling = Sampling(temperature, top_k, top_p, repetition_penalty)
        if max_new_tokens < 1:
            raise ValueError(f"max_new_tokens is at least 1: {max_new_tokens}")

        # 1. The prompt: as much of the conversation as leaves room for an answer.
        begun, given = self._begun_answer(messages)
        asked = messages[:-1] if begun is not None else messages
        prompt, dropped = self._fitting_prompt(asked, len(given), max_new_tokens)
        ids = [*prompt, *given]
        if self._model.context_length is not None:
            max_new_tokens = min(max_new_tokens, self._model.context_length - len(ids))

        with self._model.in_use(self._cache):
            # 2. Prefill: what the cache has not read yet. The last token is always fed, for its logits.
            cached = self._cache.trim_to_prefix(ids[:-1])
            answer = Answer(begun or "", len(prompt), min(cached, len(prompt)), dropped, len(given))
            new = ids[cached:]
            while len(new) > PREFILL_CHUNK:
                self._cache.feed(new[:PREFILL_CHUNK])
                new = new[PREFILL_CHUNK:]
                yield answer

            # 3. Decode. From the first token on there is something to keep, whatever happens.
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
                    self.last_answer = replace(answer, finish_reason="cancelled")  # if the caller goes no further
                    yield answer

        # 4. The end: nothing is held back any longer.
        detokenizer.finalize()
        reason: FinishReason = "length" if count == max_new_tokens and not detokenizer.stopped else "stop"
        self.last_answer = replace(
            answer, text=detokenizer.text, completion_tokens=len(given) + count, finish_reason=reason
        )
        yield self.last_answer

    def _begun_answer(self, messages: Sequence[Message]) -> tuple[str | None, list[int]]:
        """The answer that a conversation ends with, if it does, and its tokens.

        They are those that it was made of where these are known, as others can spell the same text.
        """
        if messages[-1]["role"] != "assistant":
            return None, []
        text, detokenizer = messages[-1]["content"], self._detokenizer
        if detokenizer is not None and detokenizer.text == text and not detokenizer.stopped:
            return text, list(detokenizer.ids)
        return text, self._tokenizer(text.removeprefix(self._begun), add_special_tokens=False)["input_ids"]

    def _fitting_prompt(self, messages: Sequence[Message], given: int, max_new_tokens: int) -> tuple[list[int], int]:
        """Ids of a prompt that leaves at least a quarter of the room to the answer, and how many turns do not fit."""
        if self._model.context_length is None:
            return fitting_prompt(self._tokenizer, messages, None)
        room = self._model.context_length - given
        return fitting_prompt(self._tokenizer, messages, room - min(max_new_tokens, room // 4))
