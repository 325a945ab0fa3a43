"""A conversation with a model, which streams.

In layers, each a loop over the one below: `KVCache.feed` gives logits for tokens, `stream_ids` gives token
ids, `ChatSession.stream` gives text. The caller drives them and closes them; nothing runs on its own.
"""

import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from chat_formats import CHECKPOINTS_OWN, ChatFormat
from engine.detokenizer import TextStream
from engine.kv_cache import KVCache
from engine.prompt import begun_answer, fitting_prompt, prompt_ids
from engine.sampling import Sampling, choose

import numpy as np
from transformers import PreTrainedTokenizerFast

# How many tokens of a prompt are read before the caller can stop it: a fraction of a second each on a small model.
PREFILL_CHUNK = 1024


def stream_ids(
    cache: KVCache, ids: Sequence[int], sampling: Sampling, stop_ids: set[int], seed: int | None = None
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
    while (token := choose(logits, seen, sampling, random)) not in stop_ids:
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
        finish_reason: "stop" where the model ended it, "length" where it is as long as it may be, "stopped" where the
            stream was closed, None before that.
    """

    text: str
    prompt_tokens: int
    cached_tokens: int
    dropped_turns: int = 0
    completion_tokens: int = 0
    time_to_first_token: float = 0.0
    tokens_per_second: float = 0.0
    finish_reason: str | None = None


class ChatSession:
    """One conversation with a model.

    Attributes:
        messages: all turns so far, as `{"role": …, "content": …}`; free to change between two answers.
        system_prompt: put before the messages; None leaves that to the chat template.
        chat_format: how answers are read.
        last_answer: the latest answer as it ended, also where it was stopped.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: PreTrainedTokenizerFast,
        system_prompt: str | None = None,
        chat_format: ChatFormat = CHECKPOINTS_OWN,
    ) -> None:
        self.messages: list[dict[str, str]] = []
        self.system_prompt = system_prompt
        self.chat_format = chat_format
        self.last_answer: Answer | None = None
        self._model = model
        self._tokenizer = tokenizer
        self._cache = model.new_cache()
        self._begun = begun_answer(tokenizer, prompt_ids(tokenizer, [{"role": "user", "content": ""}]))
        self._shown: TextStream | None = None

    def reset(self) -> None:
        """Forgets the conversation."""
        self.messages = []
        self._cache.reset()

    def stream(
        self,
        text: str | None,
        *,
        temperature: float = 0.0,
        top_p: float = 1.0,
        top_k: int = 0,
        repetition_penalty: float = 1.0,
        max_new_tokens: int = 256,
        seed: int | None = None,
    ) -> Generator[Answer, None, None]:
        """Says `text` to the model and yields its answer after every token.

        Closing the iterator stops the answer, and the conversation keeps what there is of it. While a long prompt is
        being read, the answer is yielded now and then without text, so that this too can be stopped.

        Args:
            text: the user's message. None goes on with the last answer, as if it had been allowed to be longer.
            temperature, top_p, top_k, repetition_penalty: see `Sampling`.
            max_new_tokens: the longest answer, in tokens.
            seed: makes sampling repeatable.

        Raises:
            UserError: the message alone is longer than what the model can read.
        """
        started = time.perf_counter()
        sampling = Sampling(temperature, top_k, top_p, repetition_penalty)
        if max_new_tokens < 1:
            raise ValueError(f"max_new_tokens is at least 1: {max_new_tokens}")

        # 1. The prompt: as much of the conversation as leaves room for an answer.
        if text is None:
            *before, reply = self.messages
            turn, given = [], self._ids_of(reply["content"])
        else:
            reply = {"role": "assistant", "content": ""}
            turn, given = [{"role": "user", "content": text}, reply], []
            before = [*self.messages, turn[0]]
        ids, dropped = self._prompt(before, self._model.context_length - len(given), max_new_tokens)
        prompt_tokens = len(ids)
        ids += given
        longest = min(max_new_tokens, self._model.context_length - len(ids))

        with self._model.in_use(self._cache):
            # 2. Prefill: what the cache has not read yet. The last token is always fed, for its logits.
            cached = self._cache.keep_prefix(ids[:-1], prompt_length=prompt_tokens)
            answer = Answer(reply["content"], prompt_tokens, min(cached, prompt_tokens), dropped, len(given))
            new = ids[cached:]
            while len(new) > PREFILL_CHUNK:
                self._cache.feed(new[:PREFILL_CHUNK])
                new = new[PREFILL_CHUNK:]
                yield answer

            # 3. Decode. From the first token on there is something to keep, whatever happens.
            shown = self._shown = TextStream(self._tokenizer, self.chat_format, self._begun)
            for token in given:
                shown.push(token)
            count = 0
            with closing(stream_ids(self._cache, new, sampling, self._model.stop_ids, seed)) as stream:
                for count, token in enumerate(islice(stream, longest), start=1):
                    if count == 1:
                        self.messages += turn
                        first = time.perf_counter()
                    shown.push(token)
                    if shown.stopped:
                        break
                    reply["content"] = shown.text
                    answer = self.last_answer = replace(
                        answer,
                        text=shown.text,
                        completion_tokens=len(given) + count,
                        time_to_first_token=first - started,
                        tokens_per_second=(count - 1) / (time.perf_counter() - first),
                        finish_reason="stopped",  # what it will be if the caller goes no further
                    )
                    yield replace(answer, finish_reason=None)

        # 4. The end: nothing is held back any longer.
        if count == 0:
            self.messages += turn
        shown.finish()
        reply["content"] = shown.text
        ended = "length" if count == longest and not shown.stopped else "stop"
        self.last_answer = replace(answer, text=shown.text, completion_tokens=len(given) + count, finish_reason=ended)
        yield self.last_answer

    def _prompt(self, messages: list[dict[str, str]], room: int, max_new_tokens: int) -> tuple[list[int], int]:
        """Ids of a prompt that leaves at least a quarter of the room to the answer, and how many turns do not fit."""
        system = [] if self.system_prompt is None else [{"role": "system", "content": self.system_prompt}]
        limit = room - min(max_new_tokens, room // 4)
        return fitting_prompt(self._tokenizer, [*system, *messages], limit)

    def _ids_of(self, answer: str) -> list[int]:
        """The tokens of an answer: those that it was made of where they are known, as others can spell it too."""
        shown = self._shown
        if shown is not None and shown.text == answer and not shown.stopped:
            return list(shown.ids)
        return self._tokenizer(answer.removeprefix(self._begun), add_special_tokens=False)["input_ids"]
